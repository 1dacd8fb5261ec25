package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// apiKey is a key without the key.
type apiKey struct {
	ID         string        `json:"id"`
	Name       string        `json:"name"`
	Prefix     string        `json:"prefix"`
	Scopes     []vault.Scope `json:"scopes"`
	ExpiresAt  *time.Time    `json:"expires_at"`
	RevokedAt  *time.Time    `json:"revoked_at"`
	LastUsedAt *time.Time    `json:"last_used_at"`
	CreatedAt  time.Time     `json:"created_at"`
}

// newAPIKey is a key as its maker gets it, once.
type newAPIKey struct {
	ID        string        `json:"id"`
	Name      string        `json:"name"`
	Key       string        `json:"key"`
	Prefix    string        `json:"prefix"`
	Scopes    []vault.Scope `json:"scopes"`
	ExpiresAt *time.Time    `json:"expires_at"`
	CreatedAt time.Time     `json:"created_at"`
}

func showAPIKey(k vault.APIKey) apiKey {
	return apiKey{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: emptyNotNull(k.Scopes), ExpiresAt: orNull(k.ExpiresAt),
		RevokedAt: orNull(k.RevokedAt), LastUsedAt: orNull(k.LastUsedAt), CreatedAt: k.CreatedAt,
	}
}

// POST /v1/api-keys
func (h *Handler) createAPIKey(c echo.Context, caller vault.Caller) error {
	var in *struct {
		Name      string        `json:"name"`
		Scopes    []vault.Scope `json:"scopes"`
		ExpiresAt *time.Time    `json:"expires_at"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	n := vault.NewAPIKey{Name: in.Name, Scopes: in.Scopes}
	if in.ExpiresAt != nil {
		n.ExpiresAt = in.ExpiresAt.UTC()
		if n.ExpiresAt.IsZero() { // the year 1 is long past, and would read as "never"
			n.ExpiresAt = n.ExpiresAt.Add(1)
		}
	}
	k, key, err := h.vault.CreateAPIKey(c.Request().Context(), caller, n)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, newAPIKey{
		ID: k.ID, Name: k.Name, Key: key.Reveal(), Prefix: k.Prefix, Scopes: k.Scopes, ExpiresAt: orNull(k.ExpiresAt), CreatedAt: k.CreatedAt,
	})
}

// GET /v1/api-keys
func (h *Handler) listAPIKeys(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	p := pageOf(q)
	if err := p.err(q); err != nil {
		return err
	}
	found, err := h.vault.APIKeys(c.Request().Context(), caller, p.page())
	if err != nil {
		return err
	}
	return answerPage(c, p, found, func(k vault.APIKey) string { return k.ID }, showAPIKey)
}

// DELETE /v1/api-keys/{id}
func (h *Handler) deleteAPIKey(c echo.Context, caller vault.Caller) error {
	if err := h.vault.RevokeAPIKey(c.Request().Context(), caller, c.Param("id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
