package storetest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claviger/claviger/migrations"
)

// templateLock serialises the making of the template over all test processes.
const templateLock = 0x636c6176 // "clav"

// Postgres makes a database on the server that TEST_POSTGRES_URL names. Without
// one the test fails; see [Each].
func Postgres(tb testing.TB) *DB {
	tb.Helper()
	server := server(tb)
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	template, err := ensureTemplate(ctx, server)
	if err != nil {
		tb.Fatalf("preparing the template database: %v", err)
	}
	return createDatabase(tb, server, template)
}

func emptyPostgres(tb testing.TB) *DB {
	tb.Helper()
	return createDatabase(tb, server(tb), "template0")
}

func server(tb testing.TB) string {
	tb.Helper()
	server := os.Getenv(EnvPostgres)
	if server == "" {
		tb.Fatalf("%s is not set", EnvPostgres)
	}
	return server
}

// createDatabase copies a template; the copy is dropped at the end of the test.
func createDatabase(tb testing.TB, server, template string) *DB {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	name := "claviger_test_" + strings.ToLower(rand.Text())
	if err := execute(ctx, server, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		tb.Fatalf("creating a database: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), time.Minute)
		defer cancel()
		if err := execute(ctx, server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("dropping the database: %v", err)
		}
	})
	return &DB{Kind: "postgres", URL: onServer(server, name)}
}

// onServer is the server's URL with another database. Tests run side by side,
// so that each store gets few connections.
func onServer(server, database string) string {
	u, err := url.Parse(server)
	if err != nil { // pgx has read it before
		return server
	}
	u.Path = "/" + database
	q := u.Query()
	if !q.Has("pool_max_conns") {
		q.Set("pool_max_conns", "8")
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// ensureTemplate makes the template database where it is not there yet. Its
// name is a digest of the migrations, and it gets that name when it is complete.
func ensureTemplate(ctx context.Context, server string) (string, error) {
	digest, err := schemaDigest()
	if err != nil {
		return "", err
	}
	template := "claviger_template_" + digest
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // ends the lock as well
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", templateLock); err != nil {
		return "", err
	}
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", template).Scan(&exists); err != nil || exists {
		return template, err
	}
	building := template + "_new"
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + building + " WITH (FORCE)", "CREATE DATABASE " + building} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return "", err
		}
	}
	if err := migrateUp(ctx, onServer(server, building)); err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+building+" RENAME TO "+template)
	return template, err
}

func schemaDigest() (string, error) {
	h := sha256.New()
	files, err := fs.Glob(migrations.FS, "postgres/*.up.sql")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		b, err := fs.ReadFile(migrations.FS, file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", file, len(b), b)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

func execute(ctx context.Context, server, statement string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, statement)
	return err
}
