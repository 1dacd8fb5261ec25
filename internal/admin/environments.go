package admin

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
)

// POST /admin/environment
//
// The same main page is shown for the other environment; what was on it is
// nothing that is there.
func (h *Handler) switchEnvironment(c echo.Context, v visit) error {
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	if err := h.vault.SwitchEnvironment(c.Request().Context(), v.caller, v.stay.Session.ID, form.Get("environment")); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, orHome(inside(form.Get("next"))))
}
