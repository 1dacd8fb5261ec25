package api

import (
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// auditFilter reads what narrows the trail.
func auditFilter(q *httpd.Params) vault.AuditFilter {
	return vault.AuditFilter{
		ConnectionID:  q.String("connection_id", maxParam),
		ActorID:       q.String("actor_id", maxParam),
		Action:        vault.Action(q.String("action", maxParam)),
		IntegrationID: q.String("integration_id", maxParam),
		Refused:       q.Bool("refused"),
		Since:         q.Time("since"),
		Until:         q.Time("until"),
	}
}

// GET /v1/audit
func (h *Handler) listAudit(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	p, f := pageOf(q), auditFilter(q)
	f.Page = p.page()
	if err := p.err(q); err != nil {
		return err
	}
	found, err := h.vault.Audit(c.Request().Context(), caller, f)
	if err != nil {
		return err
	}
	return answerPage(c, p, found, func(e vault.AuditEntry) string { return e.ID }, showAuditEntry)
}

func showAuditEntry(e vault.AuditEntry) vault.EntryLine { return e.Line() }

// GET /v1/audit/export
func (h *Handler) exportAudit(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	f := auditFilter(q)
	if err := q.Err(); err != nil {
		return err
	}
	presented := bearerOf(c)
	ctx := c.Request().Context()
	return httpd.Lines(c, "", func(send func([]vault.EntryLine) error) error {
		return h.vault.ExportAudit(ctx, caller, f, func(entries []vault.AuditEntry) error {
			// Whoever reads slowly takes hours over it: a key that was revoked gets no
			// further part.
			now, err := h.vault.Authenticate(ctx, presented)
			if err == nil {
				err = h.vault.Allow(ctx, now, vault.ScopeAuditRead)
			}
			if err != nil {
				return err
			}
			return send(vault.Lines(entries))
		})
	})
}
