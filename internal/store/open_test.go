package store_test

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/store"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

func TestURLs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for url, wantFile := range map[string]string{
		"sqlite:" + dir + "/a.db":         "a.db",
		"sqlite://" + dir + "/b.db":       "b.db",
		dir + "/c.db":                     "c.db",
		dir + "/deep/er/d.db":             "deep/er/d.db",
		dir + "/with:colon.db":            "with:colon.db",
		dir + "/100%25 ?a=b&mode=ro#c.db": "100%25 ?a=b&mode=ro#c.db",
		dir + "/日本.db":                    "日本.db",
	} {
		s, err := store.Open(t.Context(), store.Config{URL: url, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if _, err := os.Stat(filepath.Join(dir, wantFile)); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{
		"", "sqlite:", "sqlite://", ":memory:", "sqlite::memory:", "mysql://root@localhost/x", "file:x.db", "https://example.com",
	} {
		if _, err := store.Open(t.Context(), store.Config{URL: url, Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%q was opened", url)
		}
		if _, err := store.NewMigrator(store.Config{URL: url, Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%q can be migrated", url)
		}
	}
}

func TestPasswordIsInNoError(t *testing.T) {
	t.Parallel()
	const password = "hunter2-s3cret"
	for _, url := range []string{
		"postgres://u:" + password + "@127.0.0.1:1/db",
		"postgres://u:" + password + "@[::1/db",
		"postgres://u:" + password + "@127.0.0.1:port/db",
		"postgres://u:" + password + "@127.0.0.1:1/db?sslmode=nonsense",
		"postgres://u:" + password + "@127.0.0.1:1/db?pool_max_conns=none",
		"postgres://u:" + password + "%zz@127.0.0.1:1/db",
		"postgres://u@127.0.0.1:1/db?sslmode=nonsense&password=" + password,
		"mysql://u:" + password + "@127.0.0.1:1/db",
	} {
		cfg := store.Config{URL: url, Log: slog.New(slog.DiscardHandler)}
		_, err := store.Open(t.Context(), cfg)
		if err == nil {
			t.Fatalf("%s was opened", url)
		}
		contains(t, url, []byte(err.Error()), password, false)
		m, err := store.NewMigrator(cfg)
		if err == nil {
			err = m.Up(t.Context())
		}
		contains(t, url+", migrating", []byte(err.Error()), password, false)
	}
}

func TestSQLiteFiles(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	w := newWorld(t, db.Open(t))
	w.connect()
	path := strings.TrimPrefix(db.URL, "sqlite:")
	for file, want := range map[string]fs.FileMode{path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := info.Mode().Perm(); got != want && runtime.GOOS != "windows" {
			t.Errorf("%s has mode %o, want %o", filepath.Base(file), got, want)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := store.Open(t.Context(), store.Config{URL: db.URL, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	contains(t, "warning about a file that others may read", log.Bytes(), "chmod 600", runtime.GOOS != "windows")
}

// A pragma set by a statement reaches one connection of a pool.
func TestSQLitePragmas(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t).Open(t)
	read, write := s.Pools()
	ctx := t.Context()
	for i := range 5 {
		pool, queryOnly := read, "1"
		if i == 4 {
			pool, queryOnly = write, "0"
		}
		c, err := pool.Conn(ctx) // held, so that each is another one
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000",
			"secure_delete": "1", "trusted_schema": "0", "query_only": queryOnly,
		} {
			var got string
			if err := c.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("connection %d: %s is %q, want %q (%v)", i, pragma, got, want, err)
			}
		}
	}
}

// SQLite overwrites what is erased; once its log is checkpointed nothing of it
// is left on the disk.
func TestSQLiteErases(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t)
	s := db.Open(t)
	w := newWorld(t, s)
	// Long enough for pages of its own, which nothing else is written into.
	credential := bytes.Repeat([]byte("ciphertext."), 5000)
	row := w.connect(func(c *vault.ConnectionRow) { c.Credential, c.Answer = credential, credential[:100] })
	contains(t, "before", db.Dump(t), string(credential[:1000]), true)
	w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) { return tx.Revoke(ctx, row.ID, "", noon) })
	_, write := s.Pools()
	if _, err := write.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	contains(t, "after", db.Dump(t), "ciphertext", false)
}

// A pooler in transaction mode may know no prepared statements; then the URL
// asks for another way of running them, and every statement has to bear it.
func TestPostgresExecModes(t *testing.T) {
	t.Parallel()
	if os.Getenv(storetest.EnvPostgres) == "" {
		return
	}
	for _, mode := range []string{"cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			db := storetest.Postgres(t)
			db.URL += "&default_query_exec_mode=" + mode
			ctx := t.Context()
			w := newWorld(t, db.Open(t))
			row, session := w.connect(), w.session()
			attempt := w.attempt(session)
			equal(t, "connection", w.read(row.ID), &row)
			if held := w.claim(row.ID, 1, "me", live); held == nil || !w.spend(row.ID, 1, "fp", live) {
				t.Error("no lease")
			}
			w.release(row.ID, 1, true)
			if !w.save(row.ID, 1, 0, change(vault.StatusActive)) {
				t.Error("not saved")
			}
			race(t, 64, func(int) (bool, error) { // alone and in batches
				found, err := w.LookupHeaders(ctx, w.key.Hash, row.ID)
				return err == nil && found != nil && found.Generation == 2, err
			})
			list, err := w.Connections(ctx, w.env.ID, vault.ConnectionFilter{
				Integration: "toggl", EndUserID: "user-1", Status: vault.StatusActive, Tags: map[string]string{"team": "blue"},
				Query: "ADA", Page: vault.Page{Cursor: "d", Limit: 1},
			})
			if err != nil || len(list) != 1 {
				t.Errorf("list: %v, %v", list, err)
			}
			if err := w.AddReads(ctx, []vault.ReadCount{{
				EnvironmentID: w.env.ID, ActorID: w.key.ID, ConnectionID: row.ID, Action: vault.ActionHeadersRead, LastAt: noon, Count: 1,
			}}); err != nil {
				t.Error(err)
			}
			if got := w.trail(vault.AuditFilter{ConnectionID: row.ID}); len(got) != 1 {
				t.Errorf("trail: %v", got)
			}
			sealed, err := w.Sealed(ctx, w.env.ID, "", 10)
			if err != nil || len(sealed) != 2 {
				t.Fatalf("sealed: %v, %v", sealed, err)
			}
			if ok, err := w.Reseal(ctx, sealed[0], sealed[0]); !ok || err != nil {
				t.Errorf("reseal: %t, %v", ok, err)
			}
			w.do(func(ctx context.Context, tx vault.Tx) error {
				if _, err := tx.ChargeGuess(ctx, w.env.ID, "u", noon, 1); err != nil {
					return err
				}
				if _, err := tx.TakeAttempt(ctx, attempt.ID); err != nil {
					return err
				}
				if err := tx.UpdateConnection(ctx, row.ID, vault.ConnectionPatch{Tags: &map[string]string{"a": "b"}}, noon); err != nil {
					return err
				}
				if err := tx.InsertRevocation(ctx, vault.RevocationRow{ID: "r", Connection: row.Connection, Sealed: []byte("s"), CreatedAt: noon, DueAt: noon}); err != nil {
					return err
				}
				_, err := tx.Revoke(ctx, row.ID, "", noon)
				return err
			})
			if due, err := w.RevocationsDue(ctx, noon); err != nil || len(due) != 1 {
				t.Errorf("revocations: %v, %v", due, err)
			}
			if err := w.DeleteExpired(ctx, noon.AddDate(1, 0, 0), noon.AddDate(1, 0, 0)); err != nil {
				t.Error(err)
			}
			if err := w.Ping(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}
