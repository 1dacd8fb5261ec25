package storetest

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/claviger/claviger/internal/store"
	"github.com/claviger/claviger/internal/vault"
)

// EnvPostgres is the environment variable with the URL of a Postgres server.
const EnvPostgres = "TEST_POSTGRES_URL"

// DB is a database with the schema and no rows, for one test.
type DB struct {
	// Kind is "sqlite" or "postgres".
	Kind string
	// URL is what [store.Open] and the broker's configuration take.
	URL string

	path string // SQLite's file
}

// Each runs fn as the subtest "sqlite" and, where there is a server, as
// "postgres". It does not make them parallel; fn may.
func Each(t *testing.T, fn func(t *testing.T, db *DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t)) })
	if os.Getenv(EnvPostgres) != "" {
		t.Run("postgres", func(t *testing.T) { fn(t, Postgres(t)) })
	}
}

// EachEmpty is [Each] with databases that have no schema.
func EachEmpty(t *testing.T, fn func(t *testing.T, db *DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, emptySQLite(t)) })
	if os.Getenv(EnvPostgres) != "" {
		t.Run("postgres", func(t *testing.T) { fn(t, emptyPostgres(t)) })
	}
}

// EachB is [Each] for benchmarks.
func EachB(b *testing.B, fn func(b *testing.B, db *DB)) {
	b.Helper()
	b.Run("sqlite", func(b *testing.B) { fn(b, SQLite(b)) })
	if os.Getenv(EnvPostgres) != "" {
		b.Run("postgres", func(b *testing.B) { fn(b, Postgres(b)) })
	}
}

// Run is [Each] for tests that want stores only. Every call of open makes an
// independent store on the same database: two are two replicas.
func Run(t *testing.T, fn func(t *testing.T, open func() vault.Store)) {
	t.Helper()
	Each(t, func(t *testing.T, db *DB) { fn(t, func() vault.Store { return db.Open(t) }) })
}

// SQLite makes a database in a temporary file.
func SQLite(tb testing.TB) *DB {
	tb.Helper()
	db := emptySQLite(tb)
	if err := migrateUp(tb.Context(), db.URL); err != nil {
		tb.Fatal(err)
	}
	return db
}

func emptySQLite(tb testing.TB) *DB {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "data", "claviger.db")
	return &DB{Kind: "sqlite", URL: "sqlite:" + path, path: path}
}

// Config is what opens the database.
func (db *DB) Config() store.Config {
	return store.Config{URL: db.URL, Log: slog.New(slog.DiscardHandler)}
}

// Open opens the database; it is closed at the end of the test.
func (db *DB) Open(tb testing.TB) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), db.Config())
	if err != nil {
		tb.Fatalf("opening %s: %v", db.Kind, err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("closing %s: %v", db.Kind, err)
		}
	})
	return s
}

func migrateUp(ctx context.Context, url string) error {
	m, err := store.NewMigrator(store.Config{URL: url, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return m.Up(ctx)
}
