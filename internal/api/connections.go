package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// connection is a connection as the API shows it.
type connection struct {
	ID              string            `json:"id"`
	Integration     string            `json:"integration"`
	Provider        string            `json:"provider"`
	Method          string            `json:"method"`
	Status          vault.Status      `json:"status"`
	StatusReason    *string           `json:"status_reason"`
	Generation      int64             `json:"generation"`
	EndUser         vault.EndUser     `json:"end_user"`
	Account         vault.Account     `json:"account"`
	BaseURL         *string           `json:"base_url"`
	Scopes          []string          `json:"scopes"`
	ExpiresAt       *time.Time        `json:"expires_at"`
	LastRefreshedAt *time.Time        `json:"last_refreshed_at"`
	LastReadAt      *time.Time        `json:"last_read_at"`
	CreatedAt       time.Time         `json:"created_at"`
	UpdatedAt       time.Time         `json:"updated_at"`
	Tags            map[string]string `json:"tags"`
	Metadata        map[string]any    `json:"metadata"`
	ExternalID      *string           `json:"external_id"`
}

func showConnection(c vault.Connection) connection {
	out := connection{
		ID: c.ID, Integration: c.Integration, Provider: c.Provider, Method: c.Method,
		Status: c.Status, StatusReason: wordOrNull(c.StatusReason), Generation: c.Generation,
		EndUser: c.EndUser, Account: c.Account, BaseURL: wordOrNull(c.BaseURL), Scopes: emptyNotNull(c.Scopes),
		ExpiresAt: orNull(c.ExpiresAt), LastRefreshedAt: orNull(c.LastRefreshedAt), LastReadAt: orNull(c.LastReadAt),
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
		Tags: c.Tags, Metadata: c.Metadata, ExternalID: wordOrNull(c.ExternalID),
	}
	if out.Tags == nil {
		out.Tags = map[string]string{}
	}
	if out.Metadata == nil {
		out.Metadata = map[string]any{}
	}
	return out
}

// GET /v1/connections
func (h *Handler) listConnections(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	p := pageOf(q)
	f := vault.ConnectionFilter{
		Integration: q.String("integration", maxParam),
		EndUserID:   q.String("end_user_id", maxParam),
		Status:      httpd.OneOf(q, "status", vault.Statuses()...),
		Failing:     q.Bool("failing"),
		LastRead:    httpd.OneOf(q, "last_read", vault.LastReads()...),
		Expires:     httpd.OneOf(q, "expires", vault.ExpiresSpans()...),
		Tags:        q.Prefixed("tag.", maxParam),
		Query:       q.String("q", maxParam),
		Page:        p.page(),
	}
	_, p.cursor, _ = f.ParseCursor() // its id; what it says besides is for the vault to judge
	if err := p.err(q); err != nil {
		return err
	}
	found, err := h.vault.Connections(c.Request().Context(), caller, f)
	if err != nil {
		return err
	}
	return answerPage(c, p, found, func(x vault.Connection) string { return f.CursorOf(&x) }, showConnection)
}

// GET /v1/connections/{id}
func (h *Handler) getConnection(c echo.Context, caller vault.Caller) error {
	found, err := h.vault.Connection(c.Request().Context(), caller, connectionID(c))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showConnection(found))
}

// PATCH /v1/connections/{id}
func (h *Handler) patchConnection(c echo.Context, caller vault.Caller) error {
	var in *struct {
		Tags     *map[string]string `json:"tags"`
		Metadata *map[string]any    `json:"metadata"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	patched, err := h.vault.PatchConnection(c.Request().Context(), caller, connectionID(c), vault.ConnectionPatch{Tags: in.Tags, Metadata: in.Metadata})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showConnection(patched))
}

// credential is the secret part of a connection, for a caller that asked for it.
type credential struct {
	Credential map[string]string `json:"credential"`
	Method     string            `json:"method"`
	Generation int64             `json:"generation"`
	ExpiresAt  *time.Time        `json:"expires_at"`
}

// GET /v1/connections/{id}/credential
func (h *Handler) getCredential(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	withRefreshToken := q.Bool("refresh_token")
	if err := q.Err(); err != nil {
		return err
	}
	conn, opened, err := h.vault.OpenCredential(c.Request().Context(), caller, connectionID(c), withRefreshToken)
	if err != nil {
		return err
	}
	out := credential{Credential: map[string]string{}, Method: conn.Method, Generation: conn.Generation, ExpiresAt: orNull(conn.ExpiresAt)}
	for _, name := range opened.Names() {
		out.Credential[name] = opened.Get(name)
	}
	return c.JSON(http.StatusOK, out)
}

// POST /v1/connections/{id}/refresh
func (h *Handler) refreshConnection(c echo.Context, caller vault.Caller) error {
	if err := httpd.DecodeJSON(c, &struct{}{}, httpd.AllowEmpty); err != nil {
		return err
	}
	fresh, err := h.engine.Refresh(c.Request().Context(), caller, connectionID(c))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showConnection(fresh))
}

// POST /v1/connections/{id}/rejected
func (h *Handler) rejectConnection(c echo.Context, caller vault.Caller) error {
	var in *struct {
		Generation int64 `json:"generation"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	if in.Generation < 1 {
		return fault.InvalidField("/generation", "Must be the generation that the headers came with, 1 or more.")
	}
	now, err := h.engine.Rejected(c.Request().Context(), caller, connectionID(c), in.Generation)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showConnection(now))
}

// POST /v1/connections/{id}/revoke
func (h *Handler) revokeConnection(c echo.Context, caller vault.Caller) error {
	if err := httpd.DecodeJSON(c, &struct{}{}, httpd.AllowEmpty); err != nil {
		return err
	}
	receipt, err := h.vault.Revoke(c.Request().Context(), caller, connectionID(c))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, receipt)
}

// DELETE /v1/connections/{id}
func (h *Handler) deleteConnection(c echo.Context, caller vault.Caller) error {
	receipt, err := h.vault.DeleteConnection(c.Request().Context(), caller, connectionID(c))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, receipt)
}
