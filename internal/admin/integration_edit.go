package admin

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// editIntegrationPage changes an integration. admin/integration-edit.html
type editIntegrationPage struct {
	frame
	integrationRow
	Form    integrationForm
	Notices []web.Notice
}

// GET /admin/integrations/{id}/edit
func (h *Handler) askForChanges(c echo.Context, v visit) error {
	in, p, err := h.toChange(c, &v)
	if err != nil {
		return err
	}
	return h.renderEdit(c, &v, http.StatusOK, in, newIntegrationForm(p, in))
}

// toChange is the integration of the path, for somebody who may change it.
func (h *Handler) toChange(c echo.Context, v *visit) (vault.Integration, *providers.Provider, error) {
	if err := h.vault.AllowSetup(c.Request().Context(), v.caller); err != nil {
		return vault.Integration{}, nil, err
	}
	in, err := h.integration(c, v)
	if err != nil {
		return vault.Integration{}, nil, err
	}
	p, err := h.providerOf(in)
	return in, p, err
}

func (h *Handler) renderEdit(c echo.Context, v *visit, status int, in vault.Integration, f integrationForm) error {
	row, err := h.integrationRow(in)
	if err != nil {
		return err
	}
	return httpd.Render(c, status, "admin/integration-edit", editIntegrationPage{
		v.frame(c, integrationsPath), row, f, f.Notices,
	})
}

// POST /admin/integrations/{id}/edit
func (h *Handler) changeIntegration(c echo.Context, v visit) error {
	before, p, err := h.toChange(c, &v)
	if err != nil {
		return err
	}
	typed, err := httpd.Form(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	in, f := before, newIntegrationForm(p, before)
	f.read(typed, p, &in)
	typedSecret := typed.Get(fieldSecret) != ""
	if f.Methods.Error == "" {
		patch := vault.IntegrationPatch{
			Title: &in.Title, ClientID: &in.ClientID, Scopes: &in.Scopes, Methods: &in.Methods, Overrides: &in.Overrides,
		}
		if typedSecret && f.field(fieldSecret) != nil {
			patch.ClientSecret = &in.ClientSecret
		}
		_, err = h.vault.PatchIntegration(ctx, v.caller, in.Key, patch)
		if err == nil {
			return c.Redirect(http.StatusSeeOther, integrationPath(in.ID)+"?done="+doneChanged)
		}
		if !f.explains(err, typedSecret) {
			return err
		}
	} else {
		e, _ := fault.As(h.vault.CheckIntegration(in))
		if e == nil {
			e = fault.InvalidFields()
		}
		f.blame(e, typedSecret)
	}
	httpd.RecordOf(ctx).SetOutcome(fault.Invalid.Code())
	return h.renderEdit(c, &v, http.StatusUnprocessableEntity, before, f)
}
