package admin

import (
	"context"
	"errors"
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
	Form apiKeyForm
	// Version is of the key that the form was made from.
	Version string
	// Clash is nil where nobody has changed the key since.
	Clash   *clash
	Notices []web.Notice
}

// keyStep is a step about one key.
type keyStep func(echo.Context, visit, vault.APIKey) error

// working lets a step have the key that the path names, if it is not revoked;
// otherwise the list says so.
func (h *Handler) working(next keyStep) step {
	return func(c echo.Context, v visit) error {
		id, err := pathID(c, "API key")
		if err != nil {
			return err
		}
		k, err := h.vault.APIKey(c.Request().Context(), v.caller, id)
		if err != nil {
			return err
		}
		if !k.RevokedAt.IsZero() {
			return h.flashes.leave(c, apiKeysPath, web.Notice{
				Kind: web.Warning, Title: "The key “" + k.Name + "” is revoked", Text: "It stays as it is. Make a new one instead.",
			})
		}
		return next(c, v, k)
	}
}

// GET /admin/api-keys/{id}/edit
func (h *Handler) askToChangeAPIKey(c echo.Context, v visit, k vault.APIKey) error {
	integrations, err := h.limitable(c.Request().Context(), &v)
	if err != nil {
		return err
	}
	return httpd.Render(c, http.StatusOK, "admin/api-key-edit", editAPIKeyPage{
		frame: v.frame(c, apiKeysPath), apiKeyRow: newAPIKeyRow(k, h.now()), Version: k.Version(),
		Form: newAPIKeyForm(k.Asked(), integrations, true),
	})
}

// POST /admin/api-keys/{id}/edit
func (h *Handler) changeAPIKey(c echo.Context, v visit, k vault.APIKey) error {
	typed, err := httpd.Form(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	integrations, err := h.limitable(ctx, &v)
	if err != nil {
		return err
	}
	page := editAPIKeyPage{
		frame: v.frame(c, apiKeysPath), apiKeyRow: newAPIKeyRow(k, h.now()), Version: typed.Get(versionField),
		Form: newAPIKeyForm(k.Asked(), integrations, true),
	}
	n, end := page.Form.read(typed, h.now())
	if err = page.Form.unread(h.vault.CheckAPIKey(v.caller, n, true)); err == nil {
		p := n.Patch()
		p.ExpiresAt, p.Seen = end, &page.Version
		if k, err = h.vault.ChangeAPIKey(ctx, v.caller, k.ID, p); err == nil {
			return h.flashes.leave(c, apiKeysPath, web.Notice{
				Kind: web.Success, Title: "The key “" + k.Name + "” is changed", Text: "Every replica goes by it from the next request on.",
			})
		}
	}
	status, kind := http.StatusUnprocessableEntity, fault.Invalid
	switch {
	case errors.Is(err, vault.ErrChangedSince):
		status, kind = http.StatusConflict, fault.Conflict
		if err := h.compareAPIKey(ctx, &v, &page, integrations); err != nil {
			return err
		}
	case !page.Form.blames(err):
		return err
	}
	page.Notices = page.Form.Notices
	httpd.RecordOf(ctx).SetOutcome(kind.Code())
	return httpd.Render(c, status, "admin/api-key-edit", page)
}

// compareAPIKey puts what is there by now beside what was typed. Sent again, the
// form is made from that.
func (h *Handler) compareAPIKey(ctx context.Context, v *visit, page *editAPIKeyPage, integrations []vault.Integration) error {
	k, err := h.vault.APIKey(ctx, v.caller, page.ID)
	if err != nil {
		return err
	}
	page.Clash, err = h.newClash(ctx, v, vault.AuditFilter{Action: vault.ActionAPIKeyUpdated}, func(e vault.AuditEntry) bool { return e.Reason == k.ID })
	if err != nil {
		return err
	}
	there := newAPIKeyForm(k.Asked(), integrations, true)
	page.Form.keep(there.Life.Options[0])
	page.Clash.Afresh = page.EditHref()
	page.Clash.Differences = differences(there.settings(), page.Form.settings())
	page.Version = k.Version()
	return nil
}
