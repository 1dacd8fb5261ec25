// Testsummary reads what `go test -json` writes and tells a person about it:
// failures in full as they happen, one line for each package, and at the end
// how many tests ran, how many of them on SQLite and how many on PostgreSQL.
//
// A test counts as run on a database when a segment of its path is "sqlite" or
// "postgres", as in TestStore/postgres/claim. Only leaves are counted: a
// parent says nothing that its subtests did not, unless it failed alone.
//
// It exits with 1 when a test or package failed, when one was skipped, when
// none ran, and, with -postgres, when none ran on PostgreSQL: a suite that
// quietly tests nothing is the failure that nobody notices.
//
// It runs nothing itself; see scripts/test for that.
package main
