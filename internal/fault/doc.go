// Package fault is the one error type that people outside the process see.
//
// Everything a caller, an end user or an admin may read of an error is in an
// [Error]: a kind that code decides on and a sentence fit to show. The cause
// behind it is for the log alone. Any other error that reaches the edge is
// shown as an internal fault without a word of its text.
//
// The package knows no HTTP: package httpd turns a kind into a status, a
// problem document or a page.
package fault
