package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// apiKey is a key without the key.
type apiKey struct {
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	Prefix       string        `json:"prefix"`
	Scopes       []vault.Scope `json:"scopes"`
	Integrations []string      `json:"integrations"`
	Addresses    []string      `json:"addresses"`
	ReplacesID   *string       `json:"replaces_id"`
	ExpiresAt    *time.Time    `json:"expires_at"`
	RevokedAt    *time.Time    `json:"revoked_at"`
	LastUsedAt   *time.Time    `json:"last_used_at"`
	CreatedAt    time.Time     `json:"created_at"`
}

// newAPIKey is a key as its maker gets it, once.
type newAPIKey struct {
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	Key          string        `json:"key"`
	Prefix       string        `json:"prefix"`
	Scopes       []vault.Scope `json:"scopes"`
	Integrations []string      `json:"integrations"`
	Addresses    []string      `json:"addresses"`
	ReplacesID   *string       `json:"replaces_id"`
	ExpiresAt    *time.Time    `json:"expires_at"`
	CreatedAt    time.Time     `json:"created_at"`
}

func showAPIKey(k vault.APIKey) apiKey {
	return apiKey{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: emptyNotNull(k.Scopes),
		Integrations: emptyNotNull(k.Integrations), Addresses: k.Asked().Addresses, ReplacesID: wordOrNull(k.ReplacesID),
		ExpiresAt: orNull(k.ExpiresAt), RevokedAt: orNull(k.RevokedAt), LastUsedAt: orNull(k.LastUsedAt), CreatedAt: k.CreatedAt,
	}
}

func showNewAPIKey(k vault.APIKey, key vault.Secret) newAPIKey {
	shown := showAPIKey(k)
	return newAPIKey{
		ID: shown.ID, Name: shown.Name, Key: key.Reveal(), Prefix: shown.Prefix, Scopes: shown.Scopes,
		Integrations: shown.Integrations, Addresses: shown.Addresses, ReplacesID: shown.ReplacesID,
		ExpiresAt: shown.ExpiresAt, CreatedAt: shown.CreatedAt,
	}
}

// POST /v1/api-keys
func (h *Handler) createAPIKey(c echo.Context, caller vault.Caller) error {
	var in *struct {
		Name         string        `json:"name"`
		Scopes       []vault.Scope `json:"scopes"`
		Integrations []string      `json:"integrations"`
		Addresses    []string      `json:"addresses"`
		ExpiresAt    *time.Time    `json:"expires_at"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	n := vault.NewAPIKey{Name: in.Name, Scopes: in.Scopes, Integrations: in.Integrations, Addresses: in.Addresses}
	if in.ExpiresAt != nil {
		n.ExpiresAt = notNever(*in.ExpiresAt)
	}
	k, key, err := h.vault.CreateAPIKey(c.Request().Context(), caller, n)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, showNewAPIKey(k, key))
}

// notNever is for a time that somebody gave: the year 1 is long past, and would
// read as "never".
func notNever(t time.Time) time.Time {
	if t.IsZero() {
		return t.UTC().Add(1)
	}
	return t.UTC()
}

// never is the end of a key that has none, where null would leave the one there is.
const never = "never"

// endOf reads the end of a key that is there; nil where it stays.
func endOf(text *string) (*time.Time, error) {
	switch {
	case text == nil:
		return nil, nil
	case *text == never:
		return &time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, *text)
	if err != nil {
		return nil, fault.InvalidField("/expires_at", "Must be a time such as 2006-01-02T15:04:05Z, or %s.", never)
	}
	t = notNever(t)
	return &t, nil
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

// GET /v1/api-keys/{id}
func (h *Handler) getAPIKey(c echo.Context, caller vault.Caller) error {
	k, err := h.vault.APIKey(c.Request().Context(), caller, c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showAPIKey(k))
}

// PATCH /v1/api-keys/{id}
func (h *Handler) patchAPIKey(c echo.Context, caller vault.Caller) error {
	var in *struct {
		Name         *string        `json:"name"`
		Scopes       *[]vault.Scope `json:"scopes"`
		Integrations *[]string      `json:"integrations"`
		Addresses    *[]string      `json:"addresses"`
		ExpiresAt    *string        `json:"expires_at"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	end, err := endOf(in.ExpiresAt)
	if err != nil {
		return err
	}
	k, err := h.vault.ChangeAPIKey(c.Request().Context(), caller, c.Param("id"), vault.APIKeyPatch{
		Name: in.Name, Scopes: in.Scopes, Integrations: in.Integrations, Addresses: in.Addresses, ExpiresAt: end,
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showAPIKey(k))
}

// POST /v1/api-keys/{id}/rotate
func (h *Handler) rotateAPIKey(c echo.Context, caller vault.Caller) error {
	var in *struct {
		OverlapSeconds *int64  `json:"overlap_seconds"`
		ExpiresAt      *string `json:"expires_at"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	end, err := endOf(in.ExpiresAt)
	if err != nil {
		return err
	}
	k, key, err := h.vault.RotateAPIKey(c.Request().Context(), caller, c.Param("id"), vault.KeyRotation{
		Overlap: overlapOf(in.OverlapSeconds, vault.DefaultKeyOverlap, vault.MaxKeyOverlap), ExpiresAt: end,
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, showNewAPIKey(k, key))
}

// overlapOf is the default where nothing is said, and a time that the vault
// refuses where there is no such time.
func overlapOf(seconds *int64, standard, longest time.Duration) time.Duration {
	switch {
	case seconds == nil:
		return standard
	case *seconds < 0 || *seconds > int64(longest/time.Second):
		return -1
	}
	return time.Duration(*seconds) * time.Second
}

// DELETE /v1/api-keys/{id}
func (h *Handler) deleteAPIKey(c echo.Context, caller vault.Caller) error {
	if err := h.vault.RevokeAPIKey(c.Request().Context(), caller, c.Param("id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
