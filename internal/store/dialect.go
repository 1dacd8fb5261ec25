package store

import (
	"fmt"
	"strings"

	"github.com/claviger/claviger/internal/vault"
)

// dialect has what SQLite and Postgres say differently.
type dialect struct {
	name string
	// now is the database's own clock in microseconds. Leases live by it, so
	// that replicas need not agree on the time.
	now string
	// due selects the ids of what is due, %[1]s being a condition on the
	// integrations i and $%[2]d the most of them: of those that have been due for
	// longest at each integration, what works and will not for long
	// first.
	due string
	// forUpdate ends a SELECT that locks its row. SQLite has none: its
	// transactions are immediate, one writer at a time.
	forUpdate string
	// forUpdateOf is forUpdate for the table t of a join.
	forUpdateOf string
	// batch is how many rows one statement of the background takes. On SQLite the
	// work is ours: a statement is a fraction of a millisecond there, and requests
	// come in between.
	batch int
	// skipLocked ends a SELECT that passes over what others have locked.
	skipLocked string
	// tableExists answers whether the table $1 is there.
	tableExists string
	// isIn asks whether a column, %s, has one of the values of a parameter that
	// [dialect.list] makes.
	isIn string
	// connection is the column list of a whole connection.
	connection string
}

func newDialect(d dialect) *dialect {
	d.connection = connectionColumns + `, ` + sealedColumns + `, coalesce(lease_until > ` + d.now + `, FALSE)`
	return &d
}

const sqliteNow = `CAST(unixepoch('subsec') * 1000000 AS INTEGER)`

func sqliteDialect() *dialect {
	return newDialect(dialect{
		name:  "sqlite",
		isIn:  `%s IN (SELECT value FROM json_each(?))`,
		batch: 8,
		now:   sqliteNow,
		due: `
			SELECT c.id FROM integrations i JOIN connections c ON c.id IN (
				SELECT d.id FROM connections d
				WHERE d.integration_id = i.id AND d.due_at <= ` + sqliteNow + ` AND d.status = 'active'
					AND (d.lease_until IS NULL OR d.lease_until <= ` + sqliteNow + `)
				ORDER BY d.due_at LIMIT 4 * $%[2]d)%[1]s
			ORDER BY coalesce(c.expires_at BETWEEN ` + sqliteNow + ` AND ` + sqliteNow + ` + 60000000, FALSE) DESC, c.due_at LIMIT $%[2]d`,
		tableExists: `SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = $1`,
	})
}

// postgresBegun is the time at the beginning of the statement. An index is not
// searched for clock_timestamp(), which moves on meanwhile.
const postgresBegun = `(extract(epoch FROM statement_timestamp()) * 1000000)::bigint`

func postgresDialect() *dialect {
	return newDialect(dialect{
		name:  "postgres",
		isIn:  `%s = ANY(?::text[])`,
		batch: 1000,
		now:   `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`,
		due: `
			SELECT d.id FROM integrations i CROSS JOIN LATERAL (
				SELECT c.id, c.expires_at, c.due_at FROM connections c
				WHERE c.integration_id = i.id AND c.due_at <= ` + postgresBegun + ` AND c.status = 'active'
					AND (c.lease_until IS NULL OR c.lease_until <= ` + postgresBegun + `)
				ORDER BY c.due_at LIMIT 4 * $%[2]d FOR UPDATE OF c SKIP LOCKED) d%[1]s
			ORDER BY coalesce(d.expires_at BETWEEN ` + postgresBegun + ` AND ` + postgresBegun + ` + 60000000, FALSE) DESC, d.due_at LIMIT $%[2]d`,
		forUpdate:   ` FOR UPDATE`,
		forUpdateOf: ` FOR NO KEY UPDATE OF t`,
		skipLocked:  ` FOR UPDATE SKIP LOCKED`,
		tableExists: `SELECT to_regclass($1) IS NOT NULL`,
	})
}

// column is a column of [dialect.rows]: texts, numbers or blobs.
type column struct {
	name    string
	texts   []string
	numbers []int64
	blobs   [][]byte
}

func texts[T any](name string, rows []T, of func(*T) string) column {
	c := column{name: name, texts: make([]string, len(rows))}
	for i := range rows {
		c.texts[i] = of(&rows[i])
	}
	return c
}

func numbers[T any](name string, rows []T, of func(*T) int64) column {
	c := column{name: name, numbers: make([]int64, len(rows))}
	for i := range rows {
		c.numbers[i] = of(&rows[i])
	}
	return c
}

func blobs[T any](name string, rows []T, of func(*T) []byte) column {
	c := column{name: name, blobs: make([][]byte, len(rows))}
	for i := range rows {
		c.blobs[i] = of(&rows[i])
	}
	return c
}

func (c column) len() int { return max(len(c.texts), len(c.numbers), len(c.blobs)) }

// rows begins a statement that takes many rows in, as the table r. On Postgres
// it reads the same however many there are, so that it is prepared once. On
// SQLite a parameter with a name, such as $1, is looked up one by one: they have
// none there.
func (d *dialect) rows(columns ...column) (with string, args []any) {
	names, sources := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
		switch {
		case c.texts != nil:
			sources[i] = fmt.Sprintf("$%d::text[]", i+1)
			args = append(args, c.texts)
		case c.blobs != nil:
			sources[i] = fmt.Sprintf("$%d::bytea[]", i+1)
			args = append(args, c.blobs)
		default:
			sources[i] = fmt.Sprintf("$%d::bigint[]", i+1)
			args = append(args, c.numbers)
		}
	}
	with = "WITH r (" + strings.Join(names, ", ") + ") AS ("
	if d.name == "postgres" {
		list := strings.Join(names, ", ")
		return with + "SELECT " + list + " FROM unnest(" + strings.Join(sources, ", ") + ") u (" + list + "))", args
	}
	marks := "(?" + strings.Repeat(", ?", len(columns)-1) + ")"
	n := columns[0].len()
	args = make([]any, 0, n*len(columns))
	for i := range n {
		for _, c := range columns {
			switch {
			case c.texts != nil:
				args = append(args, c.texts[i])
			case c.blobs != nil:
				args = append(args, c.blobs[i])
			default:
				args = append(args, c.numbers[i])
			}
		}
	}
	return with + "VALUES " + marks + strings.Repeat(", "+marks, n-1) + ")", args
}

// list is texts as one parameter, see isIn.
func (d *dialect) list(texts []string) (any, error) {
	if d.name == "postgres" {
		return texts, nil
	}
	return document(texts)
}

// along names the index that a list goes along, for SQLite, which takes the
// hint and has no statistics to find it by. Each ends in the order of the list, or
// brings little to sort.
func (d *dialect) along(f vault.ConnectionFilter) string {
	index := ""
	switch {
	case f.EndUserID != "":
		index = "connections_by_end_user"
	case f.Order() == vault.EndsFirst && f.Integration != "":
		index = "connections_by_integration_end"
	case f.Order() == vault.EndsFirst:
		index = "connections_by_end"
	case f.Order() != vault.NewestFirst, f.LastRead == vault.LastReadNever:
		index = "connections_by_read"
	case f.Expires == vault.ExpiresNever && f.Integration != "":
		index = "connections_by_integration_end"
	case f.Expires == vault.ExpiresNever:
		index = "connections_by_end"
	case f.Failing:
		index = "connections_failing"
	case f.Integration != "" && f.Status != "":
		index = "connections_by_integration_status"
	case f.Integration != "":
		index = "connections_by_integration"
	case f.Status != "":
		index = "connections_by_status"
	default:
		return "" // the key of environment and id
	}
	return d.indexed(index)
}

// indexed follows the name of a table that is to be read along this index.
func (d *dialect) indexed(index string) string {
	if d.name != "sqlite" {
		return ""
	}
	return " INDEXED BY " + index
}
