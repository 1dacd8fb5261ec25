package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// Explained is s with every statement shown to record, with the database's
// plan for it, before it runs; and a transaction of the same kind that commits
// each statement by itself. The hot path is planned with the rest.
func (s *Store) Explained(record func(query, plan string)) (vault.Store, vault.Tx) {
	c := conn{db: explainer{s.write, s.d.name, record}, d: s.d}
	shown := &Store{reader: reader{c}, w: c, read: s.read, write: s.write, pool: s.pool}
	return explainedStore{shown}, newTx(c.db, s.d)
}

// Exec runs a statement in a transaction.
func Exec(ctx context.Context, t vault.Tx, query string) error {
	_, err := t.(tx).db.ExecContext(ctx, query)
	return err
}

// TrailIn reads what [Store.ReadTrail] does.
func TrailIn(ctx context.Context, t vault.Tx) error {
	r := trailReader{t.(tx).conn}
	_, err := r.TrailEntries(ctx, "aud", 10)
	_, err2 := r.TrailCheckpoints(ctx, vault.Checkpoint{EntryID: "aud", Number: 1}, 10)
	return errors.Join(err, err2)
}

// DropIn deletes what [Store.DropAudit] does.
func DropIn(ctx context.Context, t vault.Tx, upTo string) error {
	_, err := t.(tx).dropEntries(ctx, upTo)
	return err
}

// PruneIn deletes what [Store.DropCheckpoints] does.
func PruneIn(ctx context.Context, t vault.Tx, upTo int64) error {
	_, err := t.(tx).dropCheckpoints(ctx, upTo)
	return err
}

// NumberIn numbers events in a transaction of [Store.Explained].
func NumberIn(ctx context.Context, t vault.Tx, limit int) error {
	_, err := t.(tx).numberEvents(ctx, limit)
	return err
}

type explainedStore struct{ *Store }

// LookupHeaders runs what a lookup by itself runs, and what a batch runs.
func (s explainedStore) LookupHeaders(ctx context.Context, keyHash []byte, connectionID string) (*vault.HeadersRow, error) {
	batch, args := sqliteBatch(4), []any{keyHash, connectionID, nil, nil, nil, nil, nil, nil}
	if s.pool != nil {
		batch, args = hotBatch, []any{[][]byte{keyHash, keyHash}, []string{connectionID, ""}}
	}
	for query, args := range map[string][]any{hotStatement: {keyHash, connectionID}, batch: args} {
		rows, err := s.w.db.QueryContext(ctx, query, args...)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// Batches is how work is shared: run is called with what a batch asks
// for, and what it answers is the error of them all.
func Batches(lanes, most int, run func(lane int, ids []string) error) (ask func(ctx context.Context, id string) error, stop func()) {
	b := newBatches(lanes, most, func(lane int, batch []*wanted[string]) error {
		var ids []string
		for _, x := range batch {
			ids = append(ids, x.it)
		}
		return run(lane, ids)
	})
	return func(ctx context.Context, id string) error {
		_, err := b.do(ctx, id)
		return err
	}, b.close
}

type explainer struct {
	db     *sql.DB
	kind   string
	record func(query, plan string)
}

func (e explainer) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	e.explain(ctx, query, args)
	return e.db.ExecContext(ctx, query, args...)
}

func (e explainer) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	e.explain(ctx, query, args)
	return e.db.QueryContext(ctx, query, args...)
}

func (e explainer) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	e.explain(ctx, query, args)
	return e.db.QueryRowContext(ctx, query, args...)
}

func (e explainer) explain(ctx context.Context, query string, args []any) {
	prefix := "EXPLAIN "
	if e.kind == "sqlite" {
		prefix = "EXPLAIN QUERY PLAN "
	}
	plan, err := many(ctx, conn{db: e.db}, "explaining", func(row scanner) (line string, err error) {
		if e.kind == "sqlite" {
			var id, parent, unused int
			return line, row.Scan(&id, &parent, &unused, &line)
		}
		return line, row.Scan(&line)
	}, prefix+query, args...)
	if err != nil {
		plan = []string{err.Error()}
	}
	e.record(query, strings.Join(plan, "\n"))
}

// NarrowMost is how many connections a word may bring to be begun with.
const NarrowMost = narrowMost

// Pools are the pools of the store.
func (s *Store) Pools() (read, write *sql.DB) { return s.read, s.write }

// WaitForLocks sets how long to wait for another process that migrates.
func (m *Migrator) WaitForLocks(d time.Duration) { m.lockTimeout = d }

// PostgresChains is how many chains a store writes at a time on Postgres.
const PostgresChains = postgresChains

// HoldChain holds a chain as a transaction does that commits, until what it
// answers is called.
func HoldChain(t *testing.T, s *Store) (giveBack func()) {
	t.Helper()
	l, err := s.trail.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return func() { s.trail.giveBack(l) }
}
