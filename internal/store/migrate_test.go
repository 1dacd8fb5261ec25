package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-migrate/migrate/v4/database"

	"github.com/claviger/claviger/internal/store"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/migrations"
)

// eachEmpty runs fn in parallel on both databases, which have no schema.
func eachEmpty(t *testing.T, fn func(t *testing.T, db *storetest.DB, m *store.Migrator)) {
	t.Helper()
	t.Parallel()
	storetest.EachEmpty(t, func(t *testing.T, db *storetest.DB) {
		t.Parallel()
		fn(t, db, newMigrator(t, db))
	})
}

func newMigrator(t *testing.T, db *storetest.DB) *store.Migrator {
	t.Helper()
	m, err := store.NewMigrator(db.Config())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func status(t *testing.T, m *store.Migrator) store.SchemaStatus {
	t.Helper()
	s, err := m.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func execute(t *testing.T, db *storetest.DB, statements ...string) {
	t.Helper()
	pool := db.Raw(t)
	for _, s := range statements {
		if _, err := pool.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// latest is the newest migration that the repository has.
func latest(t *testing.T) int {
	t.Helper()
	files, err := fs.Glob(migrations.FS, "sqlite/*.up.sql")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestMigrateUpAndDown(t *testing.T) {
	eachEmpty(t, func(t *testing.T, db *storetest.DB, m *store.Migrator) {
		ctx := t.Context()
		before := status(t, m)
		if before.Version != 0 || before.Dirty || before.Latest != latest(t) || len(before.Pending) != latest(t) {
			t.Errorf("an empty database: %+v", before)
		}
		if before.Pending[0] != (store.Migration{Version: 1, Name: "schema"}) {
			t.Errorf("the first migration is %+v", before.Pending[0])
		}
		if got := tables(t, db); len(got) != 0 {
			t.Errorf("looking made tables: %v", got)
		}
		s := db.Open(t)
		if err := s.Ping(ctx); err == nil || !strings.Contains(err.Error(), "migrate up") {
			t.Errorf("a database without a schema: %v", err)
		}
		for range 2 {
			if err := m.Up(ctx); err != nil {
				t.Fatal(err)
			}
			if got := status(t, m); got.Version != latest(t) || got.Dirty || len(got.Pending) != 0 {
				t.Errorf("after up: %+v", got)
			}
			if err := s.Ping(ctx); err != nil {
				t.Error(err)
			}
		}
		made := tables(t, db)
		for _, n := range []int{0, -1, latest(t) + 1} {
			if err := m.Down(ctx, n); err == nil {
				t.Errorf("took back %d of %d", n, latest(t))
			}
		}
		if err := m.Down(ctx, latest(t)); err != nil {
			t.Fatal(err)
		}
		if got := tables(t, db); len(got) != 1 || got[0] != "schema_migrations" {
			t.Errorf("left over: %v", got)
		}
		if err := m.Up(ctx); err != nil {
			t.Fatal(err)
		}
		equal(t, "up again", tables(t, db), made)
	})
}

// Replicas start together.
func TestMigrateTogether(t *testing.T) {
	eachEmpty(t, func(t *testing.T, db *storetest.DB, _ *store.Migrator) {
		race(t, 8, func(int) (bool, error) { return true, newMigrator(t, db).Up(t.Context()) })
		if err := db.Open(t).Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A migration that fails leaves nothing but its mark, and the error says what
// to do about that.
func TestMigrateFailure(t *testing.T) {
	eachEmpty(t, func(t *testing.T, db *storetest.DB, m *store.Migrator) {
		ctx := t.Context()
		status(t, m)                                                    // makes SQLite's file
		execute(t, db, "CREATE TABLE connections (in_the_way integer)") // not the first table of the migration
		err := m.Up(ctx)
		var dirty *store.DirtyError
		if !errors.As(err, &dirty) || dirty.Version != 1 || dirty.Err == nil {
			t.Fatalf("got %v", err)
		}
		for _, part := range []string{"connections", "migrate force 0", "migrate up"} {
			contains(t, "advice", []byte(err.Error()), part, true)
		}
		contains(t, "advice", []byte(err.Error()), "CREATE TABLE environments", false)
		equal(t, "what is left", tables(t, db), []string{"connections", "schema_migrations"})

		err = m.Up(ctx)
		if !errors.As(err, &dirty) || dirty.Err != nil {
			t.Errorf("again: %v", err)
		}
		if err := m.Down(ctx, 1); !errors.As(err, &dirty) {
			t.Errorf("down: %v", err)
		}
		if err := db.Open(t).Ping(ctx); !errors.As(err, &dirty) {
			t.Errorf("ping: %v", err)
		}
		if got := status(t, m); !got.Dirty || got.Version != 1 || len(got.Pending) != latest(t) {
			t.Errorf("status: %+v", got)
		}
		execute(t, db, "DROP TABLE connections")
		if err := m.Force(ctx, latest(t)+1); err == nil {
			t.Error("forced to a version that there is not")
		}
		if err := m.Force(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if err := m.Up(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// The next release has migrated, and this one still serves.
func TestNewerSchema(t *testing.T) {
	eachEmpty(t, func(t *testing.T, db *storetest.DB, m *store.Migrator) {
		ctx := t.Context()
		if err := m.Up(ctx); err != nil {
			t.Fatal(err)
		}
		execute(t, db, "UPDATE schema_migrations SET version = 999")
		if err := m.Up(ctx); err != nil {
			t.Errorf("up: %v", err)
		}
		if err := db.Open(t).Ping(ctx); err != nil {
			t.Errorf("ping: %v", err)
		}
		if err := m.Down(ctx, 1); err == nil || !strings.Contains(err.Error(), "999") {
			t.Errorf("down: %v", err)
		}
	})
}

// Another process migrates, and does not come to an end.
func TestMigrateWaits(t *testing.T) {
	eachEmpty(t, func(t *testing.T, db *storetest.DB, m *store.Migrator) {
		status(t, m) // makes SQLite's directory
		hold(t, db)
		m.WaitForLocks(10 * time.Millisecond)
		err := m.Up(t.Context())
		if err == nil || !strings.Contains(err.Error(), "another process that migrates") {
			t.Errorf("got %v", err)
		}
		if got := status(t, m); got.Version != 0 || got.Dirty {
			t.Errorf("status: %+v", got)
		}
	})
}

// hold takes the lock of a process that migrates, until the end of the test.
func hold(t *testing.T, db *storetest.DB) {
	t.Helper()
	ctx := t.Context()
	if db.Kind == "sqlite" {
		lock, err := sql.Open("sqlite", strings.TrimPrefix(db.URL, "sqlite:")+".migrating")
		if err != nil {
			t.Fatal(err)
		}
		lock.SetMaxOpenConns(1)
		t.Cleanup(func() { _ = lock.Close() })
		if _, err := lock.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
			t.Fatal(err)
		}
		return
	}
	var name string
	c, err := db.Raw(t).Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.QueryRowContext(ctx, "SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	id, err := database.GenerateAdvisoryLockId(name, "public", "schema_migrations")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecContext(ctx, "SELECT pg_advisory_lock($1)", id); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
}

func TestMigrateStops(t *testing.T) {
	eachEmpty(t, func(t *testing.T, db *storetest.DB, m *store.Migrator) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantErr(t, "a context that has ended", m.Up(ctx), context.Canceled)
		if got := tables(t, db); len(got) != 0 {
			t.Errorf("made %v", got)
		}
	})
}

// Both folders have the same steps, and a way back for each.
func TestMigrationFiles(t *testing.T) {
	t.Parallel()
	names := func(pattern, folder, suffix string) (names []string) {
		files, err := fs.Glob(migrations.FS, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			names = append(names, strings.TrimSuffix(strings.TrimPrefix(f, folder), suffix))
		}
		return names
	}
	want := names("postgres/*.up.sql", "postgres/", ".up.sql")
	if len(want) == 0 {
		t.Fatal("no migrations")
	}
	equal(t, "sqlite up", names("sqlite/*.up.sql", "sqlite/", ".up.sql"), want)
	equal(t, "sqlite down", names("sqlite/*.down.sql", "sqlite/", ".down.sql"), want)
	equal(t, "postgres down", names("postgres/*.down.sql", "postgres/", ".down.sql"), want)
	for i, name := range want {
		if !strings.HasPrefix(name, fmt.Sprintf("%06d_", i+1)) {
			t.Errorf("%s is not number %d", name, i+1)
		}
	}
}

// tables lists what there is, sorted.
func tables(t *testing.T, db *storetest.DB) []string {
	t.Helper()
	query := "SELECT name FROM sqlite_master WHERE type = 'table'"
	if db.Kind == "postgres" {
		query = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
	}
	all := texts(t, db.Raw(t), query)
	slices.Sort(all)
	return all
}

func texts(t *testing.T, pool *sql.DB, query string) (all []string) {
	t.Helper()
	rows, err := pool.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// The two schemas are one: the same tables, columns, constraints and indexes.
func TestSchemasAgree(t *testing.T) {
	t.Parallel()
	constraint := func(folder string) []string {
		files, err := fs.Glob(migrations.FS, folder+"/*.up.sql")
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, file := range files {
			b, err := fs.ReadFile(migrations.FS, file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
		var lines []string
		for line := range strings.Lines(all.String()) {
			line = strings.Join(strings.Fields(line), " ")
			if strings.HasPrefix(line, "--") || strings.HasPrefix(line, "CONSTRAINT") && strings.Contains(line, "_booleans ") {
				continue
			}
			line = strings.NewReplacer(
				"GENERATED ALWAYS AS IDENTITY", "NOT NULL", // a key that SQLite gives unasked
				"DEFAULT FALSE", "DEFAULT 0",
				`text COLLATE "C"`, "TEXT", "bytea", "BLOB", "bigint", "INTEGER", "boolean", "INTEGER",
				" STRICT", "", ", WITHOUT ROWID", "", " WITH (fillfactor = 80)", "",
			).Replace(line)
			line, _, _ = strings.Cut(line, " -- ")
			lines = append(lines, strings.TrimSpace(line))
		}
		return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
	}
	equal(t, "sqlite's schema, against that of postgres", constraint("sqlite"), constraint("postgres"))
}
