package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claviger/claviger/internal/vault"
)

// hotStatement reads a key and a connection at once. NULLs are made zero in
// SQL, so that a row scans into plain variables.
func hotStatement(now string) string {
	return `
	SELECT k.id, k.environment_id, k.name, k.prefix, k.hash, k.scopes,
		coalesce(k.expires_at, 0), coalesce(k.revoked_at, 0), k.created_at, coalesce(k.last_used_at, 0),
		coalesce(c.id, ''), coalesce(c.status, ''), coalesce(c.status_reason, ''), coalesce(c.generation, 0),
		coalesce(c.expires_at, 0), coalesce(c.renewable, FALSE), c.answer,
		coalesce(c.lease_owner, ''), coalesce(c.lease_epoch, 0), coalesce(c.lease_until, 0), c.lease_spending,
		coalesce(c.lease_until > ` + now + `, FALSE)
	FROM api_keys k LEFT JOIN connections c ON c.environment_id = k.environment_id AND c.id = $2
	WHERE k.hash = $1`
}

// HotStatement is the hot path's statement on the database that url names, for
// those who measure what it costs by itself. $1 is the hash of a key, $2 the id
// of a connection, and a row is a [HotRow].
func HotStatement(url string) string {
	if where, err := locate(url); err == nil && where.path == "" {
		return postgresDialect().hot
	}
	return sqliteDialect().hot
}

// HotRow is what the hot path reads, as it is stored.
type HotRow struct {
	key                            vault.APIKey
	conn                           vault.ConnectionRow
	scopes                         string
	keyExpires, revoked, made, use int64
	expires, until                 int64
}

// Columns are where the row is scanned to.
func (r *HotRow) Columns() []any {
	k, c := &r.key, &r.conn
	return []any{
		&k.ID, &k.EnvironmentID, &k.Name, &k.Prefix, &k.Hash, &r.scopes, &r.keyExpires, &r.revoked, &r.made, &r.use,
		&c.ID, &c.Status, &c.StatusReason, &c.Generation, &r.expires, &c.Renewable, &c.Answer,
		&c.Lease.Owner, &c.Lease.Epoch, &r.until, &c.Lease.Spending, &c.Lease.Held,
	}
}

// Answer is the sealed answer.
func (r *HotRow) Answer() []byte { return r.conn.Answer }

// KeyAndConnection is the hot path: one prepared statement, one round trip.
func (s *Store) KeyAndConnection(ctx context.Context, keyHash []byte, connectionID string) (*vault.APIKey, *vault.ConnectionRow, error) {
	if !speakable(connectionID) {
		connectionID = "" // the key is still to be judged
	}
	row, err := s.hotRow(ctx, keyHash, connectionID)
	if err != nil {
		return nil, nil, interpretError("reading key and connection", err)
	}
	var r HotRow
	err = row.Scan(r.Columns()...)
	switch {
	case errors.Is(err, sql.ErrNoRows), errors.Is(err, pgx.ErrNoRows):
		return nil, nil, nil
	case err != nil:
		return nil, nil, interpretError("reading key and connection", err)
	}
	k, c := &r.key, &r.conn
	k.Scopes = splitScopes(r.scopes)
	k.ExpiresAt, k.RevokedAt, k.CreatedAt, k.LastUsedAt = zeroable(r.keyExpires), zeroable(r.revoked), zeroable(r.made), zeroable(r.use)
	if c.ID == "" {
		return k, nil, nil
	}
	c.EnvironmentID = k.EnvironmentID
	c.ExpiresAt, c.Lease.Until = zeroable(r.expires), zeroable(r.until)
	return k, c, nil
}

// zeroable reads a time whose NULL was made 0. Nothing here happened in 1970.
func zeroable(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return fromMicros(us)
}

// hotRow runs the statement: on Postgres straight through the pool, past
// database/sql, where the connection prepares it once by itself.
func (s *Store) hotRow(ctx context.Context, keyHash []byte, connectionID string) (scanner, error) {
	if s.pool != nil {
		return s.pool.QueryRow(ctx, s.d.hot, keyHash, connectionID), nil
	}
	stmt := s.hot.Load()
	if stmt == nil {
		// Not in Open: there may be no schema yet.
		fresh, err := s.read.PrepareContext(ctx, s.d.hot)
		if err != nil {
			return nil, fmt.Errorf("preparing: %w", err)
		}
		if !s.hot.CompareAndSwap(nil, fresh) {
			_ = fresh.Close()
		}
		stmt = s.hot.Load()
	}
	return stmt.QueryRowContext(ctx, keyHash, connectionID), nil
}
