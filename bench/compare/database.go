package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the drivers
	_ "modernc.org/sqlite"

	"github.com/claviger/claviger/internal/store"
)

// database is one to measure on, with the schema and no rows at first.
type database struct {
	kind string // sqlite, postgres
	// url is what the broker takes; empty for SQLite, whose file is in dir.
	url string
	dir string
}

// path is what the store and the limit program take.
func (d *database) path() string {
	if d.kind == "postgres" {
		return d.url
	}
	return filepath.Join(d.dir, "claviger.db")
}

// raw opens the database past the store.
func (d *database) raw() (*sql.DB, error) {
	if d.kind == "postgres" {
		return sql.Open("pgx", d.url)
	}
	return sql.Open("sqlite", "file:"+d.path()+"?_pragma=busy_timeout(10000)&_pragma=synchronous(OFF)")
}

// create makes a database with the schema. drop removes it.
func (b *bench) create(ctx context.Context, kind, dir string) (d *database, drop func() error, err error) {
	d = &database{kind: kind, dir: dir}
	drop = func() error { return os.RemoveAll(dir) }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	if kind == "postgres" {
		name := "claviger_bench_" + strings.ToLower(rand.Text()[:10])
		if err := execute(ctx, b.postgres, "CREATE DATABASE "+name); err != nil {
			return nil, nil, fmt.Errorf("creating a database: %w", err)
		}
		drop = func() error {
			return errors.Join(os.RemoveAll(dir), execute(context.WithoutCancel(ctx), b.postgres, "DROP DATABASE "+name+" WITH (FORCE)"))
		}
		u, err := url.Parse(b.postgres)
		if err != nil {
			return nil, nil, errors.Join(errors.New("reading the URL of Postgres"), drop())
		}
		u.Path = "/" + name
		d.url = u.String()
	}
	m, err := store.NewMigrator(store.Config{URL: d.path(), Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = m.Up(ctx)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("making the schema: %w", errors.Join(err, drop()))
	}
	return d, drop, nil
}

func execute(ctx context.Context, url, statement string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	_, err = c.Exec(ctx, statement)
	return err
}

// settle brings the statistics up to date and the pages to rest, so that no
// slice pays for the filling.
func (d *database) settle(ctx context.Context) error {
	if d.kind == "postgres" {
		return d.execute(ctx, "VACUUM (ANALYZE)", "CHECKPOINT")
	}
	return d.execute(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
}

func (d *database) execute(ctx context.Context, statements ...string) error {
	db, err := d.raw()
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// postmaster finds the server's process, if it is on this machine.
func postmaster(ctx context.Context, url string) (int, error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	var pidFile string
	if err := c.QueryRow(ctx, "SELECT pg_read_file('postmaster.pid')").Scan(&pidFile); err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(pidFile, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0, err
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(name)) != "postgres" {
		return 0, errors.New("it is on another machine")
	}
	return pid, nil
}

// pinPostgres moves the server to the core of the servers.
func (b *bench) pinPostgres(ctx context.Context) error {
	// Who is born later inherits it.
	for _, p := range append([]int{b.postmaster}, children(b.postmaster)...) {
		if err := pinAll(ctx, serverCore, p); err != nil {
			return err
		}
	}
	return nil
}
