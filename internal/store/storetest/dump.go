package storetest

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver
)

// Dump is everything in the database as raw bytes, to search for what must not
// be there: each value of each row of each table as it is stored and, for
// SQLite, the files too, with whatever is left of erased rows.
func (db *DB) Dump(tb testing.TB) []byte {
	tb.Helper()
	out := db.Rows(tb)
	if db.path != "" {
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(db.path + suffix)
			if err != nil && !os.IsNotExist(err) {
				tb.Fatalf("dumping: %v", err)
			}
			out = append(out, b...)
		}
	}
	return out
}

// Rows is [DB.Dump] without what is left of erased rows: lines of
// table.column=value.
func (db *DB) Rows(tb testing.TB) []byte {
	tb.Helper()
	var out bytes.Buffer
	pool := db.Raw(tb)
	defer func() { _ = pool.Close() }()
	tables := "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
	if db.Kind == "postgres" {
		tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
	}
	names := column(tb, pool, tables)
	if len(names) == 0 {
		tb.Fatal("dumping: there is no table")
	}
	for _, name := range names {
		dumpTable(tb, pool, name, &out)
	}
	return out.Bytes()
}

// Raw opens the database past the store, for looking at it and for breaking
// it; it is closed at the end of the test.
func (db *DB) Raw(tb testing.TB) *sql.DB {
	tb.Helper()
	if db.path != "" {
		pool, err := sql.Open("sqlite", "file:"+db.path+"?_pragma=busy_timeout(10000)")
		if err != nil {
			tb.Fatalf("opening %s: %v", db.Kind, err)
		}
		tb.Cleanup(func() { _ = pool.Close() })
		return pool
	}
	config, err := pgxpool.ParseConfig(db.URL)
	if err != nil {
		tb.Fatalf("opening %s: %v", db.Kind, err)
	}
	pool := stdlib.OpenDB(*config.ConnConfig)
	tb.Cleanup(func() { _ = pool.Close() })
	return pool
}

func column(tb testing.TB, pool *sql.DB, query string) []string {
	tb.Helper()
	rows, err := pool.QueryContext(tb.Context(), query)
	if err != nil {
		tb.Fatalf("dumping: %v", err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			tb.Fatalf("dumping: %v", err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		tb.Fatalf("dumping: %v", err)
	}
	return all
}

func dumpTable(tb testing.TB, pool *sql.DB, name string, out *bytes.Buffer) {
	tb.Helper()
	rows, err := pool.QueryContext(tb.Context(), `SELECT * FROM "`+name+`"`)
	if err != nil {
		tb.Fatalf("dumping %s: %v", name, err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		tb.Fatalf("dumping %s: %v", name, err)
	}
	values := make([]any, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			tb.Fatalf("dumping %s: %v", name, err)
		}
		for i, v := range values {
			fmt.Fprintf(out, "%s.%s=", name, columns[i])
			switch v := v.(type) {
			case []byte:
				out.Write(bytes.ReplaceAll(v, []byte("\n"), []byte("␤")))
			default:
				fmt.Fprint(out, v)
			}
			out.WriteByte('\n')
		}
	}
	if err := rows.Err(); err != nil {
		tb.Fatalf("dumping %s: %v", name, err)
	}
}
