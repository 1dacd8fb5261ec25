package admin

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// newIntegrationPage sets a provider up. admin/integration-new.html
type newIntegrationPage struct {
	frame
	integrationForm
	Service     string
	Description string
	Guide       *web.Guide
	// Redirects says that the provider wants a redirect URI, which is known when
	// the integration is there.
	Redirects bool
}

func (h *Handler) newIntegrationPage(c echo.Context, v *visit, p *providers.Provider, f integrationForm) newIntegrationPage {
	return newIntegrationPage{
		frame: v.frame(c, integrationsPath), integrationForm: f, Service: p.Title, Description: p.Description, Guide: setupGuide(p),
		Redirects: slices.ContainsFunc(p.Methods, func(m providers.Method) bool { return m.Redirects() }),
	}
}

// GET /admin/integrations/new/{provider}
func (h *Handler) askForIntegration(c echo.Context, v visit) error {
	ctx := c.Request().Context()
	if err := h.vault.AllowSetup(ctx, v.caller); err != nil {
		return err
	}
	p, err := h.provider(c)
	if err != nil {
		return err
	}
	key, err := h.freeKey(ctx, &v, p.Name)
	if err != nil {
		return err
	}
	f := newIntegrationForm(p, vault.Integration{Key: key})
	return httpd.Render(c, http.StatusOK, "admin/integration-new", h.newIntegrationPage(c, &v, p, f))
}

// freeKey suggests a key that no integration has, as far as it can be known.
func (h *Handler) freeKey(ctx context.Context, v *visit, name string) (string, error) {
	found, err := h.vault.Integrations(ctx, v.caller, vault.Page{Limit: maxOptions})
	if err != nil {
		return "", err
	}
	taken := func(key string) bool {
		return slices.ContainsFunc(found, func(in vault.Integration) bool { return in.Key == key })
	}
	key := name
	for n := 2; taken(key); n++ {
		key = name + "-" + strconv.Itoa(n)
	}
	return key, nil
}

// POST /admin/integrations/new/{provider}
func (h *Handler) createIntegration(c echo.Context, v visit) error {
	ctx := c.Request().Context()
	if err := h.vault.AllowSetup(ctx, v.caller); err != nil {
		return err
	}
	p, err := h.provider(c)
	if err != nil {
		return err
	}
	typed, err := httpd.Form(c)
	if err != nil {
		return err
	}
	in := vault.Integration{Provider: p.Name}
	f := newIntegrationForm(p, in)
	f.read(typed, p, &in)
	if f.Methods.Error == "" {
		made, err := h.vault.CreateIntegration(ctx, v.caller, in)
		if err == nil {
			return c.Redirect(http.StatusSeeOther, integrationPath(made.ID)+"?done="+doneCreated)
		}
		if !f.explains(err, typed.Get(fieldSecret) != "") {
			return err
		}
	} else { // and whatever else is wrong, all at once
		e, _ := fault.As(h.vault.CheckIntegration(in))
		if e == nil {
			e = fault.InvalidFields()
		}
		f.blame(e, typed.Get(fieldSecret) != "")
	}
	httpd.RecordOf(ctx).SetOutcome(fault.Invalid.Code())
	return httpd.Render(c, http.StatusUnprocessableEntity, "admin/integration-new", h.newIntegrationPage(c, &v, p, f))
}

// explains puts an error of the vault into the form, if it is about the form.
func (f *integrationForm) explains(err error, typedSecret bool) bool {
	e, ok := fault.As(err)
	switch {
	case !ok:
		return false
	case e.Kind == fault.Conflict && f.field(fieldKey) != nil:
		f.blame(fault.InvalidField("/"+fieldKey, "%s", e.Message), typedSecret)
	case e.Kind == fault.Invalid, e.Kind == fault.InsufficientScope && e.Fields == nil && f.field(fieldKey) == nil:
		f.blame(e, typedSecret)
	default:
		return false
	}
	return true
}
