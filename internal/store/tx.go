package store

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// tx is [vault.Tx].
type tx struct{ reader }

var _ vault.Tx = tx{}

// Postgres may give up a transaction for the good of another. A few tries are
// plenty where transactions are as short as ours.
const maxTries = 5

// Update runs fn in one transaction, and once more from the start where
// Postgres gave it up for a deadlock or a conflict.
func (s *Store) Update(ctx context.Context, fn func(vault.Tx) error) error {
	return s.update(ctx, func(t tx) error { return fn(t) })
}

func (s *Store) update(ctx context.Context, fn func(tx) error) error {
	for try := 1; ; try++ {
		err := s.updateOnce(ctx, fn)
		if try == maxTries || !worthRetrying(ctx, err) {
			return err
		}
		if err := pause(ctx, time.Duration(try)*5*time.Millisecond); err != nil {
			return err
		}
	}
}

func (s *Store) updateOnce(ctx context.Context, fn func(tx) error) error {
	db, err := s.write.BeginTx(ctx, s.txOptions())
	if err != nil {
		return interpretError("beginning transaction", err)
	}
	// Answers ErrTxDone after the commit; matters after an error and a panic.
	defer func() { _ = db.Rollback() }()
	if err := fn(tx{reader{conn{db: db, d: s.d}}}); err != nil {
		return err
	}
	return interpretError("committing", db.Commit())
}

// txOptions asks for what the statements are written for, whatever the server
// has as its default. SQLite knows one level only, and refuses to be asked.
func (s *Store) txOptions() *sql.TxOptions {
	if s.pool == nil {
		return nil
	}
	return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
}

// pause waits between half of d and d and a half.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
