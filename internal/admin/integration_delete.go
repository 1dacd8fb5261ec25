package admin

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// deleteIntegrationPage asks once more, and says what will happen.
// admin/integration-delete.html
type deleteIntegrationPage struct {
	frame
	integrationRow
	// Live says that there are connections that are not revoked.
	Live    bool
	Confirm web.Field
	Notices []web.Notice
	Back    string
}

// GET /admin/integrations/{id}/delete
func (h *Handler) confirmDelete(c echo.Context, v visit) error {
	if err := h.vault.AllowSetup(c.Request().Context(), v.caller); err != nil {
		return err
	}
	in, err := h.integration(c, &v)
	if err != nil {
		return err
	}
	return h.renderDelete(c, &v, http.StatusOK, in, typedName("integration's key", in.Key), nil)
}

func (h *Handler) renderDelete(c echo.Context, v *visit, status int, in vault.Integration, confirm web.Field, notices []web.Notice) error {
	row, err := h.integrationRow(in)
	if err != nil {
		return err
	}
	page := deleteIntegrationPage{
		frame: v.frame(c, integrationsPath), integrationRow: row, Confirm: confirm, Notices: notices, Back: row.Href(),
	}
	for _, s := range []vault.Status{vault.StatusActive, vault.StatusReconnectRequired, vault.StatusPending} {
		found, err := h.vault.Connections(c.Request().Context(), v.caller, vault.ConnectionFilter{
			Integration: in.Key, Status: s, Page: vault.Page{Limit: 1},
		})
		if err != nil {
			return err
		}
		page.Live = page.Live || len(found) > 0
	}
	return httpd.Render(c, status, "admin/integration-delete", page)
}

// POST /admin/integrations/{id}/delete
func (h *Handler) deleteIntegration(c echo.Context, v visit) error {
	ctx := c.Request().Context()
	if err := h.vault.AllowSetup(ctx, v.caller); err != nil {
		return err
	}
	in, err := h.integration(c, &v)
	if err != nil {
		return err
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	confirm := typedName("integration's key", in.Key)
	if !confirmed(form, in.Key, &confirm) {
		return h.renderDelete(c, &v, http.StatusUnprocessableEntity, in, confirm, nil)
	}
	err = h.vault.DeleteIntegration(ctx, v.caller, in.Key, form.Get("revoke") == "yes")
	if f, ok := fault.As(err); ok && f.Kind == fault.Conflict {
		httpd.RecordOf(ctx).SetOutcome(f.Kind.Code())
		return h.renderDelete(c, &v, http.StatusConflict, in, confirm, []web.Notice{{
			Kind: web.Problem, Title: "It was not deleted",
			Text: "Somebody has an account linked with it, since a moment ago perhaps. Confirm once more to revoke that as well.",
		}})
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, withQuery(integrationsPath, url.Values{"deleted": {in.Key}}))
}
