package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// tx is [vault.Tx].
type tx struct {
	reader
	// entries are what is to be in the trail with it.
	entries *[]vault.AuditEntry
}

func newTx(db querier, d *dialect) tx { return tx{reader{conn{db: db, d: d}}, new([]vault.AuditEntry)} }

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
	t := newTx(db, s.d)
	if err := fn(t); err != nil {
		return err
	}
	return s.commit(ctx, db, t, entryBatch)
}

// updateSoon is update on SQLite without waiting for the disk: the next commit
// that does takes it along. A power cut may cost it, the end of the process does
// not. Waiting would be done in this process, many times a second.
func (s *Store) updateSoon(ctx context.Context, fn func(tx) error) (err error) {
	c, err := s.write.Conn(ctx)
	if err != nil {
		return interpretError("beginning transaction", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if _, err := c.ExecContext(ctx, "PRAGMA synchronous = NORMAL"); err != nil {
		return interpretError("beginning transaction", err)
	}
	defer func() {
		_, back := c.ExecContext(context.WithoutCancel(ctx), "PRAGMA synchronous = FULL")
		if back != nil { // the pool is to make another
			_ = c.Raw(func(any) error { return driver.ErrBadConn })
			err = errors.Join(err, back)
		}
	}()
	db, err := c.BeginTx(ctx, nil)
	if err != nil {
		return interpretError("beginning transaction", err)
	}
	defer func() { _ = db.Rollback() }()
	t := newTx(prepared{db, map[string]*sql.Stmt{}}, s.d)
	if err := fn(t); err != nil {
		return err
	}
	return s.commit(ctx, db, t, s.d.batch)
}

// prepared is a transaction that repeats itself. Its statements end with it.
type prepared struct {
	*sql.Tx
	stmts map[string]*sql.Stmt
}

func (p prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt := p.stmts[query]
	if stmt == nil {
		var err error
		if stmt, err = p.PrepareContext(ctx, query); err != nil {
			return nil, err
		}
		p.stmts[query] = stmt
	}
	return stmt.ExecContext(ctx, args...)
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
