package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/claviger/claviger/internal/vault"
)

// Config says where the database is.
type Config struct {
	// URL is postgres://… or, for SQLite, sqlite:path or a bare path. Required.
	// What pgx understands in a URL (pool_max_conns, default_query_exec_mode,
	// sslmode …) works here.
	URL string
	// Log is for what an operator should know. Required.
	Log *slog.Logger
	// Now is this machine's clock; time.Now where nil. [Store.Now] goes by the
	// database's where that is another one.
	Now func() time.Time
}

// Store is [vault.Store] on SQLite or Postgres. It is safe for concurrent use.
type Store struct {
	reader
	w conn // runs single statements that change something
	// read and write are one pool on Postgres. On SQLite the write pool has one
	// connection: writers queue here, in order, and not in SQLite's busy loop.
	read, write *sql.DB
	pool        *pgxpool.Pool // Postgres only
	lookups     *batches[lookup]
	entries     *batches[vault.AuditEntry]
	trail       *trail
	stopLookups func() error
	memos       hotMemos
	log         *slog.Logger
	clock       clock
}

var _ vault.Store = (*Store)(nil)

// reader has the methods that a transaction shares with the store.
type reader struct{ conn }

// Open connects to the database. It does not touch the schema: that is for a
// [Migrator]. The caller closes the store.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	where, err := locate(cfg.URL)
	if err != nil {
		return nil, err
	}
	if where.path != "" {
		return openSQLite(ctx, cfg, where.path)
	}
	return openPostgres(ctx, cfg)
}

// location is a database URL, read.
type location struct {
	path string // SQLite's file, empty for Postgres
}

func locate(url string) (location, error) {
	scheme, rest, found := strings.Cut(url, ":")
	switch {
	case url == "":
		return location{}, errors.New("no database URL")
	case found && (scheme == "postgres" || scheme == "postgresql"):
		return location{}, nil
	case found && scheme == "sqlite":
		rest = strings.TrimPrefix(rest, "//")
	case strings.Contains(scheme, "/"), !found, len(scheme) == 1: // a path; C:\… is one too
		rest = url
	default:
		return location{}, fmt.Errorf("database URL begins with %q: want postgres://… or sqlite:path", scheme+":")
	}
	if rest == "" || strings.HasPrefix(rest, ":memory:") {
		return location{}, errors.New("SQLite wants the path of a file: every connection to :memory: is a database of its own")
	}
	return location{path: rest}, nil
}

// Ping reports whether the database answers and has the schema of this
// release, or a newer one: the release before keeps serving while the next
// one migrates.
func (s *Store) Ping(ctx context.Context) error {
	version, dirty, err := s.schemaVersion(ctx)
	if err != nil {
		return err
	}
	known, err := knownMigrations(s.d.name)
	if err != nil {
		return err
	}
	latest := known[len(known)-1].Version
	switch {
	case dirty:
		return &DirtyError{Version: version}
	case version < latest:
		return fmt.Errorf("the schema is at version %d and this release needs %d: run migrate up", version, latest)
	}
	return nil
}

// Close closes all connections. Statements under way end first.
func (s *Store) Close() error {
	var errs []error
	s.entries.close()
	errs = append(errs, s.stopLookups())
	errs = append(errs, s.read.Close())
	if s.write != s.read {
		errs = append(errs, s.write.Close())
	}
	if s.pool != nil {
		s.pool.Close()
	}
	return errors.Join(errs...)
}
