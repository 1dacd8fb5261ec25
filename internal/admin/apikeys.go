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
	// Successor is the name of the key that takes over from this one, and Old of
	// the one that this one takes over from, where they are on the page.
	Successor, Old string
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

// Limits says where the key is good, in short; "" for everywhere.
func (r apiKeyRow) Limits() string {
	var limits []string
	if len(r.Integrations) > 0 {
		limits = append(limits, "only "+strings.Join(r.Integrations, ", "))
	}
	if len(r.Addresses) > 0 {
		limits = append(limits, "from "+strings.Join(r.Asked().Addresses, ", "))
	}
	return strings.Join(limits, "; ")
}

// EditHref changes the key, and RotateHref makes one in its place.
func (r apiKeyRow) EditHref() string   { return apiKeysPath + "/" + r.ID + "/edit" }
func (r apiKeyRow) RotateHref() string { return apiKeysPath + "/" + r.ID + "/rotate" }

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
	page := apiKeysPage{frame: v.frame(c, apiKeysPath), Notices: h.flashes.take(c)}
	if done != "" {
		// What the address says is only believed of a key that is revoked.
		if k, err := h.vault.APIKey(ctx, v.caller, done); err == nil && !k.RevokedAt.IsZero() {
			page.Notices = append(page.Notices, web.Notice{
				Kind: web.Success, Title: "The key “" + k.Name + "” is revoked",
				Text: "No replica takes it any more.",
			})
		} else if err != nil && !isNotFound(err) {
			return err
		}
	}
	found, page.Pager = paged(found, func(k *vault.APIKey) string { return k.ID }, p, apiKeysPath, nil, "key", "keys")
	for _, k := range found {
		page.Rows = append(page.Rows, newAPIKeyRow(k, h.now()))
	}
	pairUp(page.Rows)
	return httpd.Render(c, http.StatusOK, "admin/api-keys", page)
}

// pairUp names the other half of each rotation. One that was revoked takes over
// from nobody.
func pairUp(rows []apiKeyRow) {
	at := map[string]*apiKeyRow{}
	for i := range rows {
		at[rows[i].ID] = &rows[i]
	}
	for i := range rows {
		r := &rows[i]
		old := at[r.ReplacesID]
		if old == nil {
			continue
		}
		r.Old = old.shown()
		if r.State != keyRevoked {
			old.Successor = r.shown()
		}
	}
}

// shown is how people know the key: names need not be unique.
func (r apiKeyRow) shown() string {
	if r.Prefix == "" {
		return r.ID
	}
	return r.Prefix + "…"
}

// revokeKeyPage asks once more, and says what will happen. admin/revoke-key.html
type revokeKeyPage struct {
	frame
	apiKeyRow
	Confirm web.Field
}

func confirmKey(k *vault.APIKey) web.Field { return typedName("key's name", k.Name) }

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
	return httpd.Render(c, http.StatusOK, "admin/revoke-key", revokeKeyPage{v.frame(c, apiKeysPath), row, confirmKey(&k)})
}

// POST /admin/api-keys/{id}/revoke
func (h *Handler) revokeAPIKey(c echo.Context, v visit) error {
	id, err := pathID(c, "API key")
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	k, err := h.vault.APIKey(ctx, v.caller, id)
	if err != nil {
		return err
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	row := newAPIKeyRow(k, h.now())
	if confirm := confirmKey(&k); row.State != keyRevoked && !confirmed(form, k.Name, &confirm) {
		return httpd.Render(c, http.StatusUnprocessableEntity, "admin/revoke-key", revokeKeyPage{v.frame(c, apiKeysPath), row, confirm})
	}
	if err := h.vault.RevokeAPIKey(ctx, v.caller, id); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, keyRevokedPath(id))
}

func keyRevokedPath(id string) string {
	return withQuery(apiKeysPath, url.Values{"revoked": {id}})
}
