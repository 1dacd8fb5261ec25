package admin

import (
	"errors"
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
	Form integrationForm
	// Version is of the integration that the form was made from.
	Version string
	// Clash is nil where nobody has changed the integration since.
	Clash   *clash
	Notices []web.Notice
}

// GET /admin/integrations/{id}/edit
func (h *Handler) askForChanges(c echo.Context, v visit) error {
	in, p, err := h.toChange(c, &v)
	if err != nil {
		return err
	}
	page, err := h.editPage(c, &v, in, newIntegrationForm(p, in))
	if err != nil {
		return err
	}
	return httpd.Render(c, http.StatusOK, "admin/integration-edit", page)
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

func (h *Handler) editPage(c echo.Context, v *visit, in vault.Integration, f integrationForm) (editIntegrationPage, error) {
	row, err := h.integrationRow(in)
	return editIntegrationPage{
		frame: v.frame(c, integrationsPath), integrationRow: row, Form: f, Version: in.Version(), Notices: f.Notices,
	}, err
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
	typedSecret, seen := typed.Get(fieldSecret) != "", typed.Get(versionField)
	if f.Methods.Error == "" {
		patch := vault.IntegrationPatch{
			Seen: &seen, Title: &in.Title, ClientID: &in.ClientID, Scopes: &in.Scopes, Methods: &in.Methods, Overrides: &in.Overrides,
		}
		if typedSecret && f.field(fieldSecret) != nil {
			patch.ClientSecret = &in.ClientSecret
		}
		_, err = h.vault.PatchIntegration(ctx, v.caller, in.Key, patch)
		if err == nil {
			return c.Redirect(http.StatusSeeOther, integrationPath(in.ID)+"?done="+doneChanged)
		}
		if errors.Is(err, vault.ErrChangedSince) {
			return h.compareIntegration(c, &v, f, typedSecret)
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
	page, err := h.editPage(c, &v, before, f)
	if err != nil {
		return err
	}
	page.Version = seen
	httpd.RecordOf(ctx).SetOutcome(fault.Invalid.Code())
	return httpd.Render(c, http.StatusUnprocessableEntity, "admin/integration-edit", page)
}

// compareIntegration shows what is there by now beside what was typed. Sent
// again, the form is made from that.
func (h *Handler) compareIntegration(c echo.Context, v *visit, f integrationForm, typedSecret bool) error {
	in, p, err := h.toChange(c, v)
	if err != nil {
		return err
	}
	page, err := h.editPage(c, v, in, f)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	page.Clash, err = h.newClash(ctx, v, vault.AuditFilter{Action: vault.ActionIntegrationUpdated, IntegrationID: in.ID}, func(vault.AuditEntry) bool { return true })
	if err != nil {
		return err
	}
	if typedSecret {
		page.Notices = []web.Notice{{Kind: web.Info, Title: "Type the client secret again", Text: "It is not kept in a page."}}
	}
	there := newIntegrationForm(p, in)
	page.Clash.Afresh = page.Href() + "/edit"
	page.Clash.Differences = differences(there.settings(), f.settings())
	httpd.RecordOf(ctx).SetOutcome(fault.Conflict.Code())
	return httpd.Render(c, http.StatusConflict, "admin/integration-edit", page)
}
