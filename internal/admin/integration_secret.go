package admin

import (
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// secretPage replaces a client secret. admin/integration-secret.html
type secretPage struct {
	frame
	integrationRow
	Secret web.Field
	// Overlap is for how long the one before is tried; nil where there is none.
	Overlap *web.Select
	// Confirm is for erasing the one before.
	Confirm web.Field
	Notices []web.Notice
}

// The fields of the form beside the secret.
const (
	fieldOverlap = "overlap"
	fieldDrop    = "drop"
)

// overlapOf is for how long the secret before is tried, by the word of the form.
func overlapOf(word string) (time.Duration, bool) {
	switch word {
	case "day":
		return vault.DefaultSecretOverlap, true
	case "hour":
		return time.Hour, true
	case "none":
		return 0, true
	}
	return 0, false
}

func overlapSelect(chosen string) *web.Select {
	s := &web.Select{
		Name: fieldOverlap, Label: "The old one still works for", Value: "day",
		Help: "Where the provider refuses the new one, the old one is tried. So it does not matter which side is changed first.",
		Options: []web.Option{
			{Value: "day", Label: "A day"},
			{Value: "hour", Label: "An hour"},
			{Value: "none", Label: "Not at all: it is erased at once"},
		},
	}
	if _, ok := overlapOf(chosen); ok {
		s.Value = chosen
	}
	return s
}

// confirmErasing asks for the integration's key to be typed.
func confirmErasing(in vault.Integration) web.Field { return typedName("integration's key", in.Key) }

func (h *Handler) renderSecret(c echo.Context, v *visit, status int, in vault.Integration, overlap, wrong string, confirm web.Field) error {
	row, err := h.integrationRow(in)
	if err != nil {
		return err
	}
	page := secretPage{
		frame: v.frame(c, integrationsPath), integrationRow: row,
		Secret: web.Field{
			Name: fieldSecret, Label: "New client secret", Type: "password", Required: true, Code: true, MaxLength: 4096,
			Autocomplete: "new-password", Help: "It is encrypted, and never shown again.", Error: wrong,
		},
		Confirm: confirm,
	}
	page.Secret.Autofocus = confirm.Error == ""
	if in.HasClientSecret {
		page.Overlap = overlapSelect(overlap)
	}
	if n, ok := web.FieldErrors("Nothing was changed", []web.Field{page.Secret, page.Confirm}); ok {
		page.Notices = []web.Notice{n}
	}
	return httpd.Render(c, status, "admin/integration-secret", page)
}

// GET /admin/integrations/{id}/secret
func (h *Handler) askForSecret(c echo.Context, v visit) error {
	in, _, err := h.toChange(c, &v)
	if err != nil {
		return err
	}
	return h.renderSecret(c, &v, http.StatusOK, in, "", "", confirmErasing(in))
}

// POST /admin/integrations/{id}/secret
func (h *Handler) replaceSecret(c echo.Context, v visit) error {
	in, _, err := h.toChange(c, &v)
	if err != nil {
		return err
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	patch, done := secretPatch(form), doneSecret
	confirm := confirmErasing(in)
	switch {
	case form.Get(fieldDrop) == "yes":
		if !confirmed(form, in.Key, &confirm) {
			httpd.RecordOf(ctx).SetOutcome(fault.Invalid.Code())
			return h.renderSecret(c, &v, http.StatusUnprocessableEntity, in, "", "", confirm)
		}
		patch, done = vault.IntegrationPatch{ClientSecretOverlap: new(time.Duration)}, doneDropped
	case patch.ClientSecret == nil:
		httpd.RecordOf(ctx).SetOutcome(fault.Invalid.Code())
		return h.renderSecret(c, &v, http.StatusUnprocessableEntity, in, form.Get(fieldOverlap), "Paste the new client secret.", confirm)
	}
	_, err = h.vault.PatchIntegration(ctx, v.caller, in.Key, patch)
	if f, ok := fault.As(err); ok && f.Kind == fault.Invalid {
		httpd.RecordOf(ctx).SetOutcome(f.Kind.Code())
		detail := f.Message
		if len(f.Fields) > 0 {
			detail = f.Fields[0].Detail
		}
		return h.renderSecret(c, &v, http.StatusUnprocessableEntity, in, form.Get(fieldOverlap), detail, confirm)
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, integrationPath(in.ID)+"?done="+done)
}

func secretPatch(form url.Values) vault.IntegrationPatch {
	var p vault.IntegrationPatch
	if typed := form.Get(fieldSecret); typed != "" {
		secret := vault.NewSecret(typed)
		p.ClientSecret = &secret
	}
	if overlap, ok := overlapOf(form.Get(fieldOverlap)); ok {
		p.ClientSecretOverlap = &overlap
	}
	return p
}
