package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	migratesqlite "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
)

// driver opens the database for golang-migrate, which closes it. release gives
// back the lock that SQLite's driver lacks.
func (m *Migrator) driver(ctx context.Context) (_ database.Driver, release func() error, err error) {
	if m.where.path != "" {
		if err := prepareFile(m.cfg.Log, m.where.path); err != nil {
			return nil, nil, err
		}
		if release, err = lockFile(ctx, m.where.path+".migrating", m.lockTimeout); err != nil {
			return nil, nil, err
		}
		db, err := sql.Open("sqlite", sqliteDSN(m.where.path))
		if err != nil {
			return nil, nil, errors.Join(err, release())
		}
		driver, err := migratesqlite.WithInstance(db, &migratesqlite.Config{})
		if err != nil {
			return nil, nil, errors.Join(err, db.Close(), release())
		}
		return driver, release, nil
	}
	pc, err := pgxpool.ParseConfig(m.cfg.URL) // knows the pool's parameters, which a connection does not
	if err != nil {
		return nil, nil, fmt.Errorf("reading database URL: %w", err)
	}
	// golang-migrate asks for its lock without a deadline.
	db := stdlib.OpenDB(*pc.ConnConfig, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, fmt.Sprintf("SET lock_timeout = %d", m.lockTimeout.Milliseconds()))
		return err
	}))
	driver, err := migratepgx.WithInstance(db, &migratepgx.Config{})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return driver, func() error { return nil }, nil
}

// defaultLockTimeout is how long to wait for another process that migrates.
const defaultLockTimeout = 2 * time.Minute

// isLocked reports whether a lock was waited for in vain.
func isLocked(err error) bool {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	return errors.Is(err, migrate.ErrLockTimeout) ||
		errors.As(err, &pg) && pg.Code == pgLockNotAvailable ||
		errors.As(err, &lite) && lite.Code()&0xff == sqliteBusy
}

// lockFile holds an exclusive transaction in a small database beside the real
// one: a lock that works on every system and ends with its process.
func lockFile(ctx context.Context, path string, timeout time.Duration) (release func() error, err error) {
	dsn := fileURL(path, url.Values{"_pragma": {fmt.Sprintf("busy_timeout(%d)", timeout.Milliseconds())}})
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("opening lock: %w", err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), db.Close())
	}
	return db.Close, nil
}

// migrateLog hands golang-migrate's lines to slog.
type migrateLog struct{ log *slog.Logger }

func (l migrateLog) Printf(format string, args ...any) {
	l.log.Info("schema", "step", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (migrateLog) Verbose() bool { return false }
