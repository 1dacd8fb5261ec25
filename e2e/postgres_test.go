package e2e

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// findPostgres is the URL of a server where databases may be made: the one in
// the environment, or a cluster for this run.
func (s *shared) findPostgres() (string, error) {
	if url := os.Getenv("TEST_POSTGRES_URL"); url != "" {
		return url, nil
	}
	c, err := newCluster()
	if err != nil {
		return "", err
	}
	s.onClose(c.remove)
	return c.url, nil
}

// newDatabase makes an empty database and gives its URL. It is dropped when
// the test ends, whoever is still connected.
func newDatabase(t *testing.T) string {
	t.Helper()
	server, err := run.postgres()
	if err != nil {
		t.Fatalf("finding PostgreSQL: %v", err)
	}
	return newDatabaseOn(t, server)
}

// newDatabaseOn is newDatabase on a server of the caller's choice.
func newDatabaseOn(t *testing.T, server string) string {
	t.Helper()
	name := "e2e_" + strings.ToLower(rand.Text())
	execPostgres(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { execPostgres(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("parsing the PostgreSQL URL: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

func execPostgres(t *testing.T, server, sql string) {
	t.Helper()
	// Cleanups run when t.Context is done already.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("connecting to PostgreSQL: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestDatabaseForEachTest(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		var name string
		outer := t
		t.Run("made", func(t *testing.T) {
			first, second := newDatabase(t), newDatabase(t)
			if first == second {
				t.Fatal("two databases have one URL")
			}
			execPostgres(t, first, "CREATE TABLE only_here (id int)")
			execPostgres(t, second, "CREATE TABLE only_here (id int)")
			u, err := url.Parse(first)
			if err != nil {
				t.Fatal(err)
			}
			name = strings.TrimPrefix(u.Path, "/")
			// Held open over the drop, as a process of ours might be.
			conn, err := pgx.Connect(context.Background(), first)
			if err != nil {
				t.Fatal(err)
			}
			outer.Cleanup(func() { _ = conn.Close(context.Background()) })
		})
		server, err := run.postgres()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(t.Context(), server)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		var left int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_database WHERE datname = $1", name).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if name == "" || left != 0 {
			t.Errorf("the database %q is still there", name)
		}
	})
}
