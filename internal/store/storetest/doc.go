// Package storetest gives tests a database of their own: SQLite in a temporary
// file always, Postgres as well where TEST_POSTGRES_URL names a server.
//
// The URL has to be one of a role that may create databases. Each test gets a
// fresh one, copied from a template that has the schema, and drops it at the
// end. The template stays on the server, one for each version of the schema.
//
//	storetest.Each(t, func(t *testing.T, db *storetest.DB) {
//		t.Parallel()
//		s := db.Open(t)
//		…
//	})
//
// It owns databases for tests and nothing about their content.
package storetest
