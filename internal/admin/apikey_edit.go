package admin

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// editAPIKeyPage changes a key. admin/api-key-edit.html
type editAPIKeyPage struct {
	frame
	apiKeyRow
	Form    apiKeyForm
	Notices []web.Notice
}

// workingKey is the key that the path names, if it is not revoked; otherwise ok
// is false, and the list says so.
func (h *Handler) workingKey(c echo.Context, v *visit) (k vault.APIKey, ok bool, err error) {
	id, err := pathID(c, "API key")
	if err != nil {
		return k, false, err
	}
	k, err = h.vault.APIKey(c.Request().Context(), v.caller, id)
	if err != nil {
		return k, false, err
	}
	if !k.RevokedAt.IsZero() {
		return k, false, h.flashes.leave(c, apiKeysPath, web.Notice{
			Kind: web.Warning, Title: "The key “" + k.Name + "” is revoked", Text: "It stays as it is. Make a new one instead.",
		})
	}
	return k, true, nil
}

// GET /admin/api-keys/{id}/edit
func (h *Handler) askToChangeAPIKey(c echo.Context, v visit) error {
	k, ok, err := h.workingKey(c, &v)
	if err != nil || !ok {
		return err
	}
	integrations, err := h.limitable(c.Request().Context(), &v)
	if err != nil {
		return err
	}
	return httpd.Render(c, http.StatusOK, "admin/api-key-edit", editAPIKeyPage{
		frame: v.frame(c, apiKeysPath), apiKeyRow: newAPIKeyRow(k, h.now()), Form: newAPIKeyForm(k.Asked(), integrations, true),
	})
}

// POST /admin/api-keys/{id}/edit
func (h *Handler) changeAPIKey(c echo.Context, v visit) error {
	k, ok, err := h.workingKey(c, &v)
	if err != nil || !ok {
		return err
	}
	typed, err := httpd.Form(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	integrations, err := h.limitable(ctx, &v)
	if err != nil {
		return err
	}
	f := newAPIKeyForm(k.Asked(), integrations, true)
	n, end := f.read(typed, h.now())
	if !f.wrong() {
		p := n.Patch()
		p.ExpiresAt = end
		changed, err := h.vault.ChangeAPIKey(ctx, v.caller, k.ID, p)
		if err == nil {
			return h.flashes.leave(c, apiKeysPath, web.Notice{
				Kind: web.Success, Title: "The key “" + changed.Name + "” is changed", Text: "Every replica goes by it from the next request on.",
			})
		}
		if !fault.Is(err, fault.Invalid) {
			return err
		}
		e, _ := fault.As(err)
		f.blame(e)
	} else {
		f.blame(invalidFault(h.vault.CheckAPIKey(v.caller, n, true)))
	}
	httpd.RecordOf(ctx).SetOutcome(fault.Invalid.Code())
	return httpd.Render(c, http.StatusUnprocessableEntity, "admin/api-key-edit", editAPIKeyPage{
		frame: v.frame(c, apiKeysPath), apiKeyRow: newAPIKeyRow(k, h.now()), Form: f, Notices: f.Notices,
	})
}
