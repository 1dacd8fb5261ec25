package store

import (
	"context"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// EndedTests lists revoked connections of tests.
func (s *Store) EndedTests(ctx context.Context, before time.Time, limit int) ([]vault.Connection, error) {
	return many(ctx, s.conn, "listing tests that are over", scanConnection, `
		SELECT `+connectionColumns+` FROM connections
		WHERE id IN (SELECT connection_id FROM connect_sessions WHERE kind = 'test' AND connection_id IS NOT NULL AND created_at < $1)
		  AND status = 'revoked' AND updated_at < $1
		LIMIT $2`, micros(before), limit)
}
