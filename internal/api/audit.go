package api

import (
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

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
	p := pageOf(q)
	f := vault.AuditFilter{
		ConnectionID: q.String("connection_id", maxParam),
		ActorID:      q.String("actor_id", maxParam),
		Action:       vault.Action(q.String("action", maxParam)),
		Page:         p.page(),
	}
	if err := p.err(q); err != nil {
		return err
	}
	found, err := h.vault.Audit(c.Request().Context(), caller, f)
	if err != nil {
		return err
	}
	return answerPage(c, p, found, func(e vault.AuditEntry) string { return e.ID }, showAuditEntry)
}
