package store

import (
	"context"

	"github.com/claviger/claviger/internal/vault"
)

// afterWriters comes after the names of all chains.
const afterWriters = "~"

// ChainEnds lists chains from the youngest on, each with its first entry that no
// checkpoint stands for. It steps along the index from name to name, and looks at
// two rows of each.
func (s *Store) ChainEnds(ctx context.Context, before string, limit int) ([]vault.ChainEnd, error) {
	if before == "" {
		before = afterWriters
	}
	return many(ctx, s.conn, "listing the ends of audit chains", scanChainEnd, `
		WITH RECURSIVE chain(writer, n) AS (
			SELECT (SELECT writer FROM audit_entries WHERE writer < $1 ORDER BY writer DESC LIMIT 1), 1
			UNION ALL
			SELECT (SELECT e.writer FROM audit_entries e WHERE e.writer < chain.writer ORDER BY e.writer DESC LIMIT 1), n + 1
			FROM chain WHERE chain.writer IS NOT NULL AND n < $2
		)
		SELECT chain.writer, coalesce((
			SELECT e.id FROM audit_entries e
			WHERE e.writer = chain.writer AND e.seq > coalesce((
				SELECT c.seq FROM audit_checkpoints c WHERE c.writer = chain.writer ORDER BY c.seq DESC, c.number DESC LIMIT 1), 0)
			ORDER BY e.seq LIMIT 1), '')
		FROM chain WHERE chain.writer IS NOT NULL ORDER BY n`, before, limit)
}

func scanChainEnd(row scanner) (e vault.ChainEnd, err error) {
	err = row.Scan(&e.Writer, &e.EntryID)
	return e, err
}

// LastStated is the checkpoint that stands for most of a chain.
func (s *Store) LastStated(ctx context.Context, writer string) (*vault.Checkpoint, error) {
	return oneIf(ctx, s.conn, "reading the last audit checkpoint of a chain", scanCheckpoint,
		`SELECT `+checkpointColumns+` FROM audit_checkpoints WHERE writer = $1 ORDER BY seq DESC, number DESC LIMIT 1`, writer)
}

// ChainEntries lists entries of a chain by number.
func (s *Store) ChainEntries(ctx context.Context, writer string, after int64, limit int) ([]vault.AuditEntry, error) {
	return many(ctx, s.conn, "reading a chain of audit entries", scanAudit,
		`SELECT `+auditColumns+` FROM audit_entries WHERE writer = $1 AND seq > $2 ORDER BY seq LIMIT $3`, writer, after, limit)
}
