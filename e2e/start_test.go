package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestBadStart starts the broker in ways in which it must not serve. It says
// what is wrong and what to do, gives no secret away, ends with an error, and
// nobody has answered at its address.
func TestBadStart(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.api.get("/v1/integrations").want(200) // there is something to protect
		other := filepath.Join(t.TempDir(), "other.json")
		w.makeKeyset(other)
		broken := filepath.Join(t.TempDir(), "broken.json")
		if err := os.WriteFile(broken, []byte(`{"primaryKeyId":1,"key":[]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			settings []string // over those of a good start
			says     []string
		}{
			"another keyset":   {[]string{"CLAVIGER_KEYSET_FILE=" + other}, []string{"keyset"}},
			"a broken keyset":  {[]string{"CLAVIGER_KEYSET_FILE=" + broken}, []string{"CLAVIGER_KEYSET"}},
			"a missing file":   {[]string{"CLAVIGER_KEYSET_FILE=" + other + ".gone"}, []string{"CLAVIGER_KEYSET", "no such file"}},
			"a setting's typo": {[]string{"CLAVIGER_LISTN=127.0.0.1:1"}, []string{"CLAVIGER_LISTN", "CLAVIGER_LISTEN"}},
			"plain http for the world": {
				[]string{"CLAVIGER_PUBLIC_URL=http://broker.example.com"}, []string{"CLAVIGER_PUBLIC_URL", "https"},
			},
			"three at once": {
				[]string{"CLAVIGER_LOG_LEVEL=loud", "CLAVIGER_OUTBOUND_ALLOW=everything", "CLAVIGER_API_KEY=short"},
				[]string{"CLAVIGER_LOG_LEVEL", "CLAVIGER_OUTBOUND_ALLOW", "CLAVIGER_API_KEY", "at least 32"},
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				refuseToStart(w.in(t), c.settings, c.says...)
			})
		}
		t.Run("a busy port", func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ln.Close() }()
			said := start(w.in(t), []string{"CLAVIGER_LISTEN=" + ln.Addr().String()})
			if !strings.Contains(said, "in use") || !strings.Contains(said, ln.Addr().String()) {
				t.Errorf("it says: %s", said)
			}
		})
	})
}

// TestDirtySchema is a database in which a migration has failed half-way.
func TestDirtySchema(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.api.get("/v1/integrations").want(200)
		for _, b := range w.brokers {
			if err := b.terminate(); err != nil {
				t.Fatal(err)
			}
		}
		const statement = "UPDATE schema_migrations SET dirty = true"
		if w.kind == "postgres" {
			execPostgres(t, w.database, statement)
		} else {
			db, err := sql.Open("sqlite", filepath.Join(w.dataDir, "claviger.db"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		const advice = `run "migrate force 0" if it failed on the way up`
		refuseToStart(w, nil, "dirty", advice)
		if said := w.run("migrate", "status"); !strings.Contains(said, advice) {
			t.Errorf("migrate status does not say what to do: %s", said)
		}
	})
}

// TestEmptyDatabase is a server database that nobody has migrated, and one that
// is not there.
func TestEmptyDatabase(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "postgres")
		refuseToStart(w, []string{"CLAVIGER_DATABASE_URL=" + newDatabase(t)}, "claviger migrate up")
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		w.hide("a password of the database", "password-of-a-database-that-is-not-there")
		refuseToStart(w, []string{
			"CLAVIGER_DATABASE_URL=postgres://claviger:password-of-a-database-that-is-not-there@127.0.0.1:" + strconv.Itoa(port) + "/claviger",
		}, "refused")
		refuseToStart(w, []string{"CLAVIGER_KEYSET_FILE="}, "CLAVIGER_KEYSET", "required with Postgres", "claviger key generate")
	})
}

// refuseToStart checks that the broker does not start with settings over those
// of the world, and says all of this.
func refuseToStart(w *world, settings []string, says ...string) {
	w.t.Helper()
	port, err := freePort()
	if err != nil {
		w.t.Fatal(err)
	}
	at := "127.0.0.1:" + strconv.Itoa(port)
	said := start(w, append([]string{"CLAVIGER_LISTEN=" + at}, settings...))
	for _, s := range says {
		if !strings.Contains(said, s) {
			w.t.Errorf("it does not say %q: %s", s, said)
		}
	}
	if conn, err := net.Dial("tcp", at); err == nil {
		_ = conn.Close()
		w.t.Error("somebody listens there")
	}
}

// start runs the broker until it gives up, and answers what it said. Nothing
// may have been served, and no secret said.
func start(w *world, settings []string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	prepared := claviger(w.t, append(append([]string{}, w.settings...), settings...), "serve")
	cmd := exec.CommandContext(ctx, prepared.Path, prepared.Args[1:]...)
	cmd.Env, cmd.Dir = prepared.Env, prepared.Dir
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if ctx.Err() != nil {
		w.t.Fatalf("it goes on and on: %s", said.Bytes())
	}
	if err == nil {
		w.t.Errorf("it ended without an error: %s", said.Bytes())
	}
	if strings.Contains(said.String(), "Claviger v0.0.0-e2e is at") || bytes.Contains(said.Bytes(), []byte(`"msg":"request"`)) {
		w.t.Errorf("it served: %s", said.Bytes())
	}
	w.secrets().refuteLeaks(w.t, "what it said", said.Bytes())
	return said.String()
}
