package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// apiKeysPage lists API keys, without the keys. admin/api-keys.html
type apiKeysPage struct {
	frame
	Notices []web.Notice
	Rows    []apiKeyRow
	Pager   pager
}

// apiKeyRow is a key in the list.
type apiKeyRow struct {
	vault.APIKey
	State keyState
}

// keyState is where a key stands.
type keyState string

const (
	keyActive  keyState = "Active"
	keyExpired keyState = "Expired"
	keyRevoked keyState = "Revoked"
)

// Badge is the class of the state's badge.
func (s keyState) Badge() string {
	if s == keyActive {
		return "badge-active"
	}
	return "badge-revoked"
}

// ScopeWords lists what the key may do.
func (r apiKeyRow) ScopeWords() string {
	words := make([]string, len(r.Scopes))
	for i, s := range r.Scopes {
		words[i] = string(s)
	}
	if !slices.ContainsFunc(vault.AllScopes(), func(s vault.Scope) bool { return !slices.Contains(r.Scopes, s) }) {
		return "every scope"
	}
	return strings.Join(words, ", ")
}

// RevokeHref asks whether to revoke the key.
func (r apiKeyRow) RevokeHref() string { return apiKeysPath + "/" + r.ID + "/revoke" }

// Live says that the key still works.
func (r apiKeyRow) Live() bool { return r.State == keyActive }

func newAPIKeyRow(k vault.APIKey, now time.Time) apiKeyRow {
	row := apiKeyRow{APIKey: k, State: keyActive}
	switch {
	case !k.RevokedAt.IsZero():
		row.State = keyRevoked
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		row.State = keyExpired
	}
	return row
}

// GET /admin/api-keys
func (h *Handler) listAPIKeys(c echo.Context, v visit) error {
	q := httpd.Query(c)
	p, done := pageOf(q), q.String("revoked", maxParam)
	if err := q.Err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	found, err := h.vault.APIKeys(ctx, v.caller, p)
	if err != nil {
		return err
	}
	page := apiKeysPage{frame: v.frame(c, apiKeysPath)}
	if done != "" {
		// What the address says is only believed of a key that is revoked.
		if k, err := h.vault.APIKey(ctx, v.caller, done); err == nil && !k.RevokedAt.IsZero() {
			page.Notices = []web.Notice{{
				Kind: web.Success, Title: "The key “" + k.Name + "” is revoked",
				Text: "No replica takes it any more.",
			}}
		} else if err != nil && !isNotFound(err) {
			return err
		}
	}
	found, page.Pager = paged(found, func(k *vault.APIKey) string { return k.ID }, p, apiKeysPath, nil, "key", "keys")
	for _, k := range found {
		page.Rows = append(page.Rows, newAPIKeyRow(k, h.now()))
	}
	return httpd.Render(c, http.StatusOK, "admin/api-keys", page)
}

// revokeKeyPage asks once more, and says what will happen. admin/revoke-key.html
type revokeKeyPage struct {
	frame
	apiKeyRow
}

// GET /admin/api-keys/{id}/revoke
func (h *Handler) confirmRevokeAPIKey(c echo.Context, v visit) error {
	id, err := pathID(c, "API key")
	if err != nil {
		return err
	}
	k, err := h.vault.APIKey(c.Request().Context(), v.caller, id)
	if err != nil {
		return err
	}
	row := newAPIKeyRow(k, h.now())
	if row.State == keyRevoked {
		return c.Redirect(http.StatusSeeOther, keyRevokedPath(id))
	}
	return httpd.Render(c, http.StatusOK, "admin/revoke-key", revokeKeyPage{v.frame(c, apiKeysPath), row})
}

// POST /admin/api-keys/{id}/revoke
func (h *Handler) revokeAPIKey(c echo.Context, v visit) error {
	id, err := pathID(c, "API key")
	if err != nil {
		return err
	}
	if err := h.vault.RevokeAPIKey(c.Request().Context(), v.caller, id); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, keyRevokedPath(id))
}

func keyRevokedPath(id string) string {
	return withQuery(apiKeysPath, url.Values{"revoked": {id}})
}
