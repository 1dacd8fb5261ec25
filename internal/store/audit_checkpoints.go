package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/claviger/claviger/internal/vault"
)

const checkpointColumns = `number, prev, at, kind, writer, seq, entry_id, hash, count, key, signature, statement`

func scanCheckpoint(row scanner) (c vault.Checkpoint, err error) {
	err = row.Scan(&c.Number, bytesColumn(c.Prev[:]), timeColumn{&c.At}, &c.Kind, &c.Writer, &c.Seq, &c.EntryID,
		bytesColumn(c.Hash[:]), &c.Count, &c.Key, &c.Signature, &c.Statement)
	return c, err
}

// LastCheckpoint is the one with the highest number, nil where there is none.
func (r reader) LastCheckpoint(ctx context.Context) (*vault.Checkpoint, error) {
	return oneIf(ctx, r.conn, "reading the last audit checkpoint", scanCheckpoint,
		`SELECT `+checkpointColumns+` FROM audit_checkpoints ORDER BY number DESC LIMIT 1`)
}

// InsertCheckpoint writes one, or answers [vault.ErrDuplicate].
func (s *Store) InsertCheckpoint(ctx context.Context, c vault.Checkpoint) error {
	return insertCheckpoint(ctx, s.w, c)
}

func insertCheckpoint(ctx context.Context, db conn, c vault.Checkpoint) error {
	return db.insert(ctx, "inserting audit checkpoint",
		`INSERT INTO audit_checkpoints (`+checkpointColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		c.Number, c.Prev[:], micros(c.At), string(c.Kind), c.Writer, c.Seq, c.EntryID, c.Hash[:], c.Count, c.Key, c.Signature, c.Statement)
}

// LastOfKind is the last checkpoint of a kind about a chain, or about none.
func (s *Store) LastOfKind(ctx context.Context, writer string, kind vault.CheckpointKind) (*vault.Checkpoint, error) {
	return oneIf(ctx, s.conn, "reading the last audit checkpoint of a kind", scanCheckpoint,
		`SELECT `+checkpointColumns+` FROM audit_checkpoints WHERE writer = $1 AND kind = $2 ORDER BY number DESC LIMIT 1`, writer, string(kind))
}

// StatedAfter lists checkpoints that say how far a chain has come.
func (s *Store) StatedAfter(ctx context.Context, writer string, seq int64, limit int) ([]vault.Checkpoint, error) {
	return many(ctx, s.conn, "listing audit checkpoints of a chain", scanCheckpoint,
		`SELECT `+checkpointColumns+` FROM audit_checkpoints WHERE writer = $1 AND seq > $2 AND kind IN ('running', 'closed')
		ORDER BY seq, number LIMIT $3`, writer, seq, limit)
}

// CheckpointsBetween lists the checkpoints about entries from one id to another.
func (s *Store) CheckpointsBetween(ctx context.Context, first, last string) ([]vault.Checkpoint, error) {
	return many(ctx, s.conn, "listing audit checkpoints of some entries", scanCheckpoint,
		`SELECT `+checkpointColumns+` FROM audit_checkpoints WHERE entry_id >= $1 AND entry_id <= $2 ORDER BY entry_id, number`, first, last)
}

// Acknowledgements lists the checkpoints that say what somebody has looked into.
func (s *Store) Acknowledgements(ctx context.Context) ([]vault.Checkpoint, error) {
	return many(ctx, s.conn, "listing what is acknowledged of the audit trail", scanCheckpoint,
		`SELECT `+checkpointColumns+` FROM audit_checkpoints WHERE writer = '' AND kind = 'acknowledged' ORDER BY number`)
}

// AuditBefore lists the oldest entries with ids before end.
func (s *Store) AuditBefore(ctx context.Context, end string, limit int) ([]vault.AuditEntry, error) {
	return many(ctx, s.conn, "listing old audit entries", scanAudit,
		`SELECT `+auditColumns+` FROM audit_entries WHERE id < $1 ORDER BY id LIMIT $2`, end, limit)
}

// DropAudit deletes the entries up to an id, and writes the checkpoints first:
// whoever else is at it waits for their numbers, and then gives up.
func (s *Store) DropAudit(ctx context.Context, upTo string, count int, checkpoints []vault.Checkpoint) error {
	return s.update(ctx, func(t tx) error {
		for _, c := range checkpoints {
			if err := insertCheckpoint(ctx, t.conn, c); err != nil {
				return err
			}
		}
		n, err := t.dropEntries(ctx, upTo)
		if err == nil && n != int64(count) {
			err = fmt.Errorf("dropping audit entries: %d of them where there were %d", n, count)
		}
		return err
	})
}

func (t tx) dropEntries(ctx context.Context, upTo string) (int64, error) {
	return t.exec(ctx, "dropping audit entries", `DELETE FROM audit_entries WHERE id <= $1`, upTo)
}

// CheckpointsAfter lists checkpoints by number.
func (s *Store) CheckpointsAfter(ctx context.Context, number int64, limit int) ([]vault.Checkpoint, error) {
	return many(ctx, s.conn, "listing audit checkpoints", scanCheckpoint,
		`SELECT `+checkpointColumns+` FROM audit_checkpoints WHERE number > $1 ORDER BY number LIMIT $2`, number, limit)
}

// DropCheckpoints deletes the checkpoints up to a number, and writes the one that
// says so.
func (s *Store) DropCheckpoints(ctx context.Context, upTo int64, count int, statement vault.Checkpoint) error {
	return s.update(ctx, func(t tx) error {
		if err := insertCheckpoint(ctx, t.conn, statement); err != nil {
			return err
		}
		n, err := t.dropCheckpoints(ctx, upTo)
		if err == nil && n != int64(count) {
			err = fmt.Errorf("dropping audit checkpoints: %d of them where there were %d", n, count)
		}
		return err
	})
}

func (t tx) dropCheckpoints(ctx context.Context, upTo int64) (int64, error) {
	return t.exec(ctx, "dropping audit checkpoints", `DELETE FROM audit_checkpoints WHERE number <= $1`, upTo)
}

// ReadTrail runs fn in one transaction that sees the database as it is when it
// begins. While it runs SQLite cannot shorten its log, nor Postgres clean up.
func (s *Store) ReadTrail(ctx context.Context, fn func(vault.TrailReader) error) error {
	opts := &sql.TxOptions{ReadOnly: true}
	if s.pool != nil {
		opts.Isolation = sql.LevelRepeatableRead
	}
	db, err := s.read.BeginTx(ctx, opts)
	if err != nil {
		return interpretError("beginning transaction", err)
	}
	defer func() { _ = db.Rollback() }() // there is nothing to commit
	return fn(trailReader{conn{db: db, d: s.d}})
}

// trailReader is [vault.TrailReader].
type trailReader struct{ conn }

func (r trailReader) TrailEntries(ctx context.Context, after string, limit int) ([]vault.AuditEntry, error) {
	return many(ctx, r.conn, "reading the trail", scanAudit,
		`SELECT `+auditColumns+` FROM audit_entries WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
}

func (r trailReader) TrailCheckpoints(ctx context.Context, after vault.Checkpoint, limit int) ([]vault.Checkpoint, error) {
	return many(ctx, r.conn, "reading audit checkpoints", scanCheckpoint,
		`SELECT `+checkpointColumns+` FROM audit_checkpoints WHERE (entry_id, number) > ($1, $2) ORDER BY entry_id, number LIMIT $3`,
		after.EntryID, after.Number, limit)
}
