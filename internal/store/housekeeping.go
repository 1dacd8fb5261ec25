package store

import (
	"context"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// PendingBefore lists connections whose time to be redeemed is over, the
// longest overdue first.
func (s *Store) PendingBefore(ctx context.Context, at time.Time, limit int) ([]vault.Connection, error) {
	return many(ctx, s.conn, "listing overdue connections", scanConnection,
		`SELECT `+connectionColumns+` FROM connections WHERE pending_until <= $1 ORDER BY pending_until LIMIT $2`,
		micros(at), limit)
}

// sweepBatch keeps each DELETE short: others wait for it.
const sweepBatch = 500

// The bulk revocation b has items, and the oldest one that ended before $1 and has.
const (
	bulkHasItems = `((SELECT i.connection_id FROM bulk_revocation_items i WHERE i.bulk_revocation_id = b.id LIMIT 1) IS NOT NULL)`
	oldBulk      = `(SELECT b.id FROM bulk_revocations b WHERE b.finished_at < $1 AND ` + bulkHasItems + ` ORDER BY b.finished_at LIMIT 1)`
)

// DeleteExpired removes what is over, in small transactions.
func (s *Store) DeleteExpired(ctx context.Context, now, keepSince time.Time) error {
	for _, sweep := range []struct {
		what, query string
		at          time.Time
	}{
		{"deleting expired attempts", `
			DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE expires_at <= $1 LIMIT $2)`, now},
		{"deleting guess windows", `
			DELETE FROM guesses WHERE (environment_id, end_user_id) IN (SELECT environment_id, end_user_id FROM guesses WHERE ends_at < $1 LIMIT $2)
			AND ends_at < $1`, now},
		{"deleting ended connect sessions", `
			DELETE FROM connect_sessions WHERE id IN (
				SELECT id FROM connect_sessions
				WHERE expires_at < $1 AND (result_expires_at IS NULL OR result_expires_at < $1) LIMIT $2)`, keepSince},
		{"deleting old sign-in links", `
			DELETE FROM admin_links WHERE id IN (SELECT id FROM admin_links WHERE expires_at < $1 LIMIT $2)
			AND expires_at < $1`, keepSince},
		{"deleting old admin sessions", `
			DELETE FROM admin_sessions WHERE id IN (SELECT id FROM admin_sessions WHERE seen_at < $1 LIMIT $2)
			AND seen_at < $1`, keepSince},
		// One after the other: of one there may be a million.
		{"deleting items of an old bulk revocation", `
			DELETE FROM bulk_revocation_items WHERE bulk_revocation_id = ` + oldBulk + ` AND connection_id IN (
				SELECT connection_id FROM bulk_revocation_items WHERE bulk_revocation_id = ` + oldBulk + ` ORDER BY connection_id LIMIT $2)`, keepSince},
		{"deleting old bulk revocations", `
			DELETE FROM bulk_revocations WHERE id IN (
				SELECT b.id FROM bulk_revocations b WHERE b.finished_at < $1 AND NOT ` + bulkHasItems + ` LIMIT $2)`, keepSince},
		// Along the positions, which needs no index of its own: they are as good
		// as in the order of time. What nobody could read yet stays.
		{"deleting old events", `
			DELETE FROM events WHERE seq IN (
				SELECT seq FROM (SELECT seq, at FROM events WHERE position > 0 ORDER BY position LIMIT $2) AS oldest
				WHERE at < $1)`, keepSince},
	} {
		for {
			n, err := s.w.exec(ctx, sweep.what, sweep.query, micros(sweep.at), sweepBatch)
			if err != nil {
				return err
			}
			if n < sweepBatch {
				break
			}
		}
	}
	return nil
}
