// Package store keeps the vault's rows in SQLite or Postgres.
//
// It sees ciphertext only and decides nothing: it is [vault.Store] in SQL, and
// the rules that hold whatever the code above does are constraints of the
// schema, which is in package migrations.
//
//	store.go, tx.go         Store, and transactions
//	sqlite.go, postgres.go  opening each
//	dialect.go              where their SQL differs
//	query.go, columns.go    running statements, and values between Go and SQL
//	errors.go               the one place where drivers' errors are understood
//	migrate*.go             the schema: up, down, status, force
//	hotpath.go              key and connection in one round trip
//	environments.go …       the tables
//
// SQL that is equal on both databases is written once. Where they differ by
// necessity the dialect has a named piece for each. Times are microseconds
// since 1970, a zero time is NULL. Empty maps and slices come back as nil.
//
// No statement leaves session state behind, so a pooler in transaction mode
// may stand in front of Postgres; one that knows no prepared statements wants
// default_query_exec_mode=exec in the URL. Migrations take a session lock and
// want the database itself.
//
// A revoked connection's ciphertext is overwritten in SQLite (secure_delete)
// once its log is checkpointed, and gone from Postgres with the next vacuum.
package store
