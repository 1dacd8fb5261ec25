package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the drivers
	_ "modernc.org/sqlite"

	"github.com/claviger/claviger/internal/store"
)

// database is one to measure on.
type database struct {
	kind, url string
}

// create makes a database with the schema. drop removes it; it is never nil.
func create(ctx context.Context, kind, postgres, file string) (d *database, drop func() error, err error) {
	d, drop = &database{kind: kind, url: file}, func() error { return nil }
	if kind == "postgres" {
		admin, err := pgx.Connect(ctx, postgres)
		if err != nil {
			return nil, drop, fmt.Errorf("connecting to Postgres: %w", err)
		}
		name := "claviger_lists_" + strings.ToLower(rand.Text()[:10])
		if _, err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
			return nil, drop, errors.Join(err, admin.Close(ctx))
		}
		drop = func() error {
			_, err := admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
			return errors.Join(err, admin.Close(ctx))
		}
		u, err := url.Parse(postgres)
		if err != nil {
			return nil, drop, errors.New("reading the URL of Postgres")
		}
		u.Path = "/" + name
		d.url = u.String()
	}
	m, err := store.NewMigrator(store.Config{URL: d.url, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = m.Up(ctx)
	}
	return d, drop, err
}

// world is what was put into it.
type world struct {
	environment string
	// middle is the id of a connection in the middle, busy that of one with a long
	// trail.
	middle, busy string
	now          time.Time
}

// seedBatch is how many connections one statement makes, trailLength how many
// entries the busy one has.
const (
	seedBatch   = 20_000
	trailLength = 100_000
)

// seed fills a database by SQL: connections of four integrations of very
// different size, a few of them in trouble, with words, tags and times of all
// kinds, and a credential of the usual size. None of them opens.
func (d *database) seed(ctx context.Context, rows int) (_ *world, err error) {
	driver, dsn := "sqlite", "file:"+d.url+"?_pragma=busy_timeout(10000)&_pragma=synchronous(OFF)&_pragma=cache_size(-400000)"
	if d.kind == "postgres" {
		driver, dsn = "pgx", d.url
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	w := &world{environment: "env_" + strings.Repeat("0", 26), now: time.Now().UTC(), middle: conID(rows / 2), busy: conID(1)}
	exec := func(statement string) error {
		if _, err := db.ExecContext(ctx, d.dialect(statement)); err != nil { //nolint:gosec // all of them are in this file
			return fmt.Errorf("%.60s…: %w", strings.TrimSpace(statement), err)
		}
		return nil
	}
	now := strconv.FormatInt(w.now.UnixMicro(), 10)
	prepare := []string{`INSERT INTO environments (id, name, keyset, created_at) VALUES ('` + w.environment + `', 'bench', CAST('keyset' AS {bytes}), 1)`}
	for i, key := range []string{"large", "medium", "small", "tiny"} {
		prepare = append(prepare, fmt.Sprintf(`INSERT INTO integrations (id, environment_id, key, provider, title, client_id, scopes, methods, overrides, created_at, updated_at)
			VALUES ('int_%026d', '%s', '%s', 'toggl', '', '', 'null', 'null', '{}', 1, 1)`, i, w.environment, key))
	}
	for _, statement := range prepare {
		if err := exec(statement); err != nil {
			return nil, err
		}
	}
	for from := 1; from <= rows; from += seedBatch {
		numbers := fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT CAST(%d AS bigint) UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, from, min(rows, from+seedBatch-1))
		for _, statement := range []string{connections, terms, tags} {
			statement = strings.NewReplacer("{with}", numbers, "{env}", w.environment, "{now}", now).Replace(statement)
			if err := exec(statement); err != nil {
				return nil, err
			}
		}
	}
	for from := 1; from <= trailLength; from += seedBatch {
		numbers := fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT CAST(%d AS bigint) UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, from, from+seedBatch-1)
		if err := exec(strings.NewReplacer("{with}", numbers, "{env}", w.environment, "{now}", now, "{con}", w.busy).Replace(trail)); err != nil {
			return nil, err
		}
	}
	if d.kind == "postgres" {
		return w, exec("VACUUM (ANALYZE)")
	}
	return w, exec("PRAGMA wal_checkpoint(TRUNCATE)")
}

func conID(i int) string { return fmt.Sprintf("con_%026d", i) }

// dialect puts what the two databases say differently into a statement: {id} is
// the number i as the end of an id, {blob} is as long as a credential.
func (d *database) dialect(statement string) string {
	id, blob, bytes := `printf('%026d', i)`, `randomblob(800)`, `BLOB`
	if d.kind == "postgres" {
		id, bytes = `lpad(i::text, 26, '0')`, `bytea`
		blob = `decode(repeat(md5(i::text), 50), 'hex')`
	}
	return strings.NewReplacer("{id}", id, "{blob}", blob, "{bytes}", bytes).Replace(statement)
}

const connections = `INSERT INTO connections (id, environment_id, integration_id, method, status, status_reason, generation,
	end_user_id, end_user_email, end_user_name, account_id, account_label, base_url, scopes, tags, metadata, renewable,
	expires_at, refresh_expires_at, last_read_at, due_at, failures, created_at, updated_at, credential, answer)
	{with}
	SELECT 'con_' || {id}, '{env}',
		'int_' || CASE WHEN i % 1000 < 800 THEN '00000000000000000000000000' WHEN i % 1000 < 990 THEN '00000000000000000000000001'
			WHEN i % 10000 < 9998 THEN '00000000000000000000000002' ELSE '00000000000000000000000003' END,
		'api_token', CASE WHEN i % 1000 < 950 THEN 'active' WHEN i % 1000 < 955 THEN 'reconnect_required' ELSE 'revoked' END, '', 1,
		'user-' || (i / 2),
		CASE i % 20 WHEN 0 THEN 'grace' ELSE 'ada' END || '.' || i || '@company' || (i % 5000) || '.example',
		CASE i % 20 WHEN 0 THEN 'Grace' ELSE 'Ada' END || ' ' || CASE i % 40 WHEN 0 THEN 'Lovelace' ELSE 'Hopper' || (i % 1000) END,
		'acc-' || i, 'Account ' || i, 'https://api.example', 'null', 'null', 'null', i % 10 < 6,
		{now} + 3600000000, CASE WHEN i % 10 < 4 THEN {now} + (i % 90 - 1) * 86400000000 END,
		CASE WHEN i % 10 < 7 THEN {now} - i % 80000 * 1000000 WHEN i % 10 < 9 THEN {now} - i % 120 * 86400000000 END,
		CASE WHEN i % 1000 < 950 THEN {now} + i % 3000 * 1000000 END, CASE WHEN i % 200 = 7 THEN 2 ELSE 0 END,
		{now} - 86400000000 * 400, {now},
		CASE WHEN i % 1000 < 955 THEN {blob} END, CASE WHEN i % 1000 < 955 THEN {blob} END
	FROM n`

const terms = `INSERT INTO connection_terms (environment_id, connection_id, term)
	{with}
	SELECT '{env}', 'con_' || {id}, 'user-' || (i / 2) FROM n
	UNION ALL SELECT '{env}', 'con_' || {id}, CASE i % 20 WHEN 0 THEN 'grace' ELSE 'ada' END || '.' || i || '@company' || (i % 5000) || '.example' FROM n
	UNION ALL SELECT '{env}', 'con_' || {id}, 'company' || (i % 5000) || '.example' FROM n
	UNION ALL SELECT '{env}', 'con_' || {id}, CASE i % 20 WHEN 0 THEN 'grace' ELSE 'ada' END FROM n
	UNION ALL SELECT '{env}', 'con_' || {id}, CASE i % 40 WHEN 0 THEN 'lovelace' ELSE 'hopper' || (i % 1000) END FROM n
	UNION ALL SELECT '{env}', 'con_' || {id}, 'account' FROM n
	UNION ALL SELECT '{env}', 'con_' || {id}, CAST(i AS TEXT) FROM n`

const tags = `INSERT INTO connection_tags (environment_id, connection_id, key, value)
	{with}
	SELECT '{env}', 'con_' || {id}, 'team', 'team-' || (i % 10) FROM n
	UNION ALL SELECT '{env}', 'con_' || {id}, 'plan', 'vip' FROM n WHERE i % 10000 = 77`

const trail = `INSERT INTO audit_entries (id, environment_id, at, actor_kind, actor_id, action, allowed, connection_id, reason, generation, count,
	writer, seq, hash, proof)
	{with}
	SELECT 'aud_' || {id}, '{env}', {now} - (100000 - i) * 20000000, 'api_key', 'key_' || (i % 3),
		CASE WHEN i % 5000 = 0 THEN 'connection.refreshed' ELSE 'headers.read' END, i > 0, '{con}', '', 0, 1 + i % 5,
		'bench', i, CAST('01234567890123456789012345678901' AS {bytes}), CAST('0123456789012345' AS {bytes})
	FROM n`
