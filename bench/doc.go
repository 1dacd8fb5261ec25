// Package bench measures what callers wait for; see README.md beside it.
package bench
