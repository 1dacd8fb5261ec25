package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// busyTimeout is how long a writer waits for one in another process.
const busyTimeout = 10 * time.Second

// sqliteDSN has every pragma, because each pooled connection needs them.
func sqliteDSN(path string, pragmas ...string) string {
	q := url.Values{
		"_pragma": append([]string{
			fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
			"journal_mode(WAL)",
			"synchronous(FULL)", // a rotated token must survive the plug being pulled: there is no second copy anywhere
			"foreign_keys(1)",
			"secure_delete(1)", // what is revoked is overwritten
			"trusted_schema(0)",
		}, pragmas...),
		// A deferred transaction that reads and then writes fails at once where
		// another wrote in between, whatever the timeout.
		"_txlock": {"immediate"},
	}
	return fileURL(path, q)
}

// fileURL is a path as SQLite takes it with parameters (https://www.sqlite.org/uri.html).
func fileURL(path string, q url.Values) string {
	escaped := (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
	return (&url.URL{Scheme: "file", Opaque: escaped, RawQuery: q.Encode()}).String()
}

func openSQLite(ctx context.Context, cfg Config, path string) (_ *Store, err error) {
	if err := prepareFile(cfg.Log, path); err != nil {
		return nil, err
	}
	s := &Store{log: cfg.Log, clock: clock{wall: cfg.Now}, trail: newTrail(1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(s.read, s.write))
		}
	}()
	if s.write, err = sql.Open("sqlite", sqliteDSN(path)); err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", sqliteDSN(path, "query_only(1)")); err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	readers := max(4, runtime.GOMAXPROCS(0))
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	// The writer first: it makes a new file WAL, which a reader may not.
	for _, pool := range []*sql.DB{s.write, s.read} {
		if err := connectSQLite(ctx, pool); err != nil {
			return nil, fmt.Errorf("opening %s: %w", path, err)
		}
	}
	d := sqliteDialect()
	s.reader, s.w = reader{conn{db: s.read, d: d}}, conn{db: s.write, d: d}
	s.entries = s.newEntries(ctx)
	s.lookups, s.stopLookups = sqliteLookups(ctx, s.read.Driver(), sqliteDSN(path, "query_only(1)"))
	return s, nil
}

// connectSQLite makes the first connection. Of two processes that make a new
// file WAL at once one is refused, and SQLite does not wait for that by itself.
func connectSQLite(ctx context.Context, pool *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, busyTimeout)
	defer cancel()
	for {
		err := pool.PingContext(ctx)
		if !isLocked(err) {
			return err
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return err
		}
	}
}

// prepareFile makes a new database readable by its owner only; SQLite gives
// its log the mode of the file.
func prepareFile(log *slog.Logger, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making the directory of the database: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the database: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking at the database: %w", err)
	}
	if loose := info.Mode().Perm() & 0o077; loose != 0 && runtime.GOOS != "windows" {
		log.Warn("other users of this machine may open the database file; chmod 600 it", "path", path, "mode", info.Mode().Perm())
	}
	return nil
}

func closeAll(dbs ...*sql.DB) error {
	var errs []error
	for _, db := range dbs {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
