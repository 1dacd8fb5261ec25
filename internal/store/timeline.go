package store

import (
	"context"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// ConnectionHistory has an index of its own: among a million reads, the dozen
// things that happened.
func (r reader) ConnectionHistory(ctx context.Context, environmentID, connectionID string, page vault.Page) ([]vault.AuditEntry, error) {
	var w where
	w.and("environment_id = ?", environmentID)
	w.and("connection_id = ?", connectionID)
	w.and("action <> 'headers.read'")
	tail, args := w.page("id", page)
	return many(ctx, r.conn, "listing what happened", scanAudit, `SELECT `+auditColumns+` FROM audit_entries`+tail, args...)
}

// newest begins a statement that adds up the newest entries on a connection.
func newest(environmentID, connectionID, actions string) *where {
	var w where
	w.and("environment_id = ?", environmentID)
	w.and("connection_id = ?", connectionID)
	w.and("action IN (" + actions + ")")
	return &w
}

func (r reader) ConnectionReads(ctx context.Context, environmentID string, f vault.ReadsFilter) ([]vault.ReadSum, error) {
	w := newest(environmentID, f.ConnectionID, "'headers.read'")
	if f.From != "" {
		w.and("id >= ?", f.From)
	}
	if f.Before != "" {
		w.and("id < ?", f.Before)
	}
	w.args = append(w.args, f.Most, micros(f.HourlySince))
	hourly := w.mark(1)
	return many(ctx, r.conn, "adding up reads", scanReads, `
		SELECT actor_kind, actor_id, daily, min(at), max(at), CAST(sum(count) AS bigint), count(*), min(id), max(id)
		FROM (
			SELECT id, at, actor_kind, actor_id, count, at < `+hourly+` AS daily,
				CASE WHEN at < `+hourly+` THEN at / 86400000000 ELSE at / 3600000000 END AS span
			FROM (SELECT id, at, actor_kind, actor_id, count FROM audit_entries`+w.sql.String()+` ORDER BY id DESC LIMIT `+w.mark(2)+`) newest
		) spans
		GROUP BY actor_kind, actor_id, daily, span
		ORDER BY max(id) DESC`, w.args...)
}

func scanReads(row scanner) (s vault.ReadSum, err error) {
	err = row.Scan(&s.ActorKind, &s.ActorID, &s.Daily, timeColumn{&s.First}, timeColumn{&s.Last}, &s.Count, &s.Entries, &s.FirstID, &s.LastID)
	span := time.Hour
	if s.Daily {
		span = 24 * time.Hour
	}
	s.Since = s.First.Truncate(span)
	return s, err
}

func (r reader) ConnectionActivity(ctx context.Context, environmentID string, f vault.ActivityFilter) ([]vault.ActivityHour, time.Time, error) {
	w := newest(environmentID, f.ConnectionID, "'headers.read', 'credential.read', 'connection.refreshed', 'connection.refresh_failed'")
	w.and("id >= ?", f.From)
	w.and("at >= ?", micros(f.Since))
	w.args = append(w.args, f.Most)
	var oldest time.Time
	entries := 0
	hours, err := many(ctx, r.conn, "adding up activity", func(row scanner) (h vault.ActivityHour, err error) {
		var first time.Time
		var n int
		err = row.Scan(timeColumn{&h.Hour}, &h.Reads, &h.Refreshes, &h.Failed, timeColumn{&first}, &n)
		if entries += n; oldest.IsZero() || first.Before(oldest) {
			oldest = first
		}
		return h, err
	}, `
		SELECT at / 3600000000 * 3600000000, CAST(coalesce(sum(CASE WHEN action IN ('headers.read', 'credential.read') THEN count END), 0) AS bigint),
			count(CASE WHEN action = 'connection.refreshed' THEN 1 END), count(CASE WHEN action = 'connection.refresh_failed' THEN 1 END),
			min(at), count(*)
		FROM (SELECT at, action, count FROM audit_entries`+w.sql.String()+` ORDER BY id DESC LIMIT `+w.mark(1)+`) newest
		GROUP BY at / 3600000000
		ORDER BY 1`, w.args...)
	if entries < f.Most {
		oldest = time.Time{}
	}
	return hours, oldest, err
}
