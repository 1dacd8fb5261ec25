package store

// dialect has what SQLite and Postgres say differently.
type dialect struct {
	name string
	// now is the database's own clock in microseconds. Leases live by it, so
	// that replicas need not agree on the time.
	now string
	// begun is the same at the beginning of the statement. It stays what it is
	// as long as that runs, so that an index can be searched for it.
	begun string
	// forUpdate ends a SELECT that locks its row. SQLite has none: its
	// transactions are immediate, one writer at a time.
	forUpdate string
	// skipLocked ends a SELECT that passes over what others have locked.
	skipLocked string
	// tableExists answers whether the table $1 is there.
	tableExists string
	// connection is the column list of a whole connection.
	connection string
}

func newDialect(d dialect) *dialect {
	d.connection = connectionColumns + `, ` + sealedColumns + `, coalesce(lease_until > ` + d.now + `, FALSE)`
	return &d
}

func sqliteDialect() *dialect {
	return newDialect(dialect{
		name:        "sqlite",
		now:         `CAST(unixepoch('subsec') * 1000000 AS INTEGER)`,
		begun:       `CAST(unixepoch('subsec') * 1000000 AS INTEGER)`,
		tableExists: `SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = $1`,
	})
}

func postgresDialect() *dialect {
	return newDialect(dialect{
		name:        "postgres",
		now:         `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`,
		begun:       `(extract(epoch FROM statement_timestamp()) * 1000000)::bigint`,
		forUpdate:   ` FOR UPDATE`,
		skipLocked:  ` FOR UPDATE SKIP LOCKED`,
		tableExists: `SELECT to_regclass($1) IS NOT NULL`,
	})
}
