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
	apiKey
	Key string `json:"key"`
}

func showAPIKey(k vault.APIKey) apiKey {
	return apiKey{
		ID: k.ID, Name: k.Name, Prefix: k.Prefix, Scopes: emptyNotNull(k.Scopes), ExpiresAt: orNull(k.ExpiresAt),
		RevokedAt: orNull(k.RevokedAt), LastUsedAt: orNull(k.LastUsedAt), CreatedAt: k.CreatedAt,
	}
}

// POST /v1/api-keys
func (h *Handler) createAPIKey(c echo.Context, caller vault.Caller) error {
	var in struct {
		Name      string        `json:"name"`
		Scopes    []vault.Scope `json:"scopes"`
		ExpiresAt time.Time     `json:"expires_at"`
	}
	if err := httpd.DecodeJSON(c, &in); err != nil {
		return err
	}
	k, key, err := h.vault.CreateAPIKey(c.Request().Context(), caller, vault.NewAPIKey(in))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, newAPIKey{showAPIKey(k), key.Reveal()})
}

// GET /v1/api-keys
func (h *Handler) listAPIKeys(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	page := pageOf(q)
	if err := q.Err(); err != nil {
		return err
	}
	found, err := h.vault.APIKeys(c.Request().Context(), caller, page)
	if err != nil {
		return err
	}
	return answerList(c, found, page.Limit, func(k vault.APIKey) string { return k.ID }, showAPIKey)
}

// DELETE /v1/api-keys/{id}
func (h *Handler) deleteAPIKey(c echo.Context, caller vault.Caller) error {
	if err := h.vault.RevokeAPIKey(c.Request().Context(), caller, c.Param("id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// auditEntry is one line of the trail.
type auditEntry struct {
	ID            string           `json:"id"`
	At            time.Time        `json:"at"`
	ActorKind     vault.CallerKind `json:"actor_kind"`
	ActorID       string           `json:"actor_id"`
	Action        vault.Action     `json:"action"`
	Allowed       bool             `json:"allowed"`
	ConnectionID  *string          `json:"connection_id"`
	IntegrationID *string          `json:"integration_id"`
	SessionID     *string          `json:"connect_session_id"`
	Reason        *string          `json:"reason"`
	Generation    *int64           `json:"generation"`
	Count         int64            `json:"count"`
}

func showAuditEntry(e vault.AuditEntry) auditEntry {
	out := auditEntry{
		ID: e.ID, At: e.At, ActorKind: e.ActorKind, ActorID: e.ActorID, Action: e.Action, Allowed: e.Allowed,
		ConnectionID: wordOrNull(e.ConnectionID), IntegrationID: wordOrNull(e.IntegrationID), SessionID: wordOrNull(e.SessionID),
		Reason: wordOrNull(e.Reason), Count: e.Count,
	}
	if e.Generation != 0 {
		out.Generation = &e.Generation
	}
	return out
}

// GET /v1/audit
func (h *Handler) listAudit(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	f := vault.AuditFilter{
		ConnectionID: q.String("connection_id", maxParam),
		ActorID:      q.String("actor_id", maxParam),
		Action:       vault.Action(q.String("action", maxParam)),
		Page:         pageOf(q),
	}
	if err := q.Err(); err != nil {
		return err
	}
	found, err := h.vault.Audit(c.Request().Context(), caller, f)
	if err != nil {
		return err
	}
	return answerList(c, found, f.Page.Limit, func(e vault.AuditEntry) string { return e.ID }, showAuditEntry)
}
