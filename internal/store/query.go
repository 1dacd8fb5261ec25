package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/claviger/claviger/internal/vault"
)

// querier is a pool or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// scanner is one row.
type scanner interface{ Scan(dest ...any) error }

// conn runs statements. Each takes what is being done, for the error.
type conn struct {
	db querier
	d  *dialect
}

// exec answers how many rows were changed.
func (c conn) exec(ctx context.Context, what, query string, args ...any) (int64, error) {
	if unspeakable(args) {
		return 0, fmt.Errorf("%s: %w", what, errText)
	}
	res, err := c.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, interpretError(what, err)
	}
	n, err := res.RowsAffected()
	return n, interpretError(what, err)
}

// insert is exec for new rows.
func (c conn) insert(ctx context.Context, what, query string, args ...any) error {
	_, err := c.exec(ctx, what, query, args...)
	return parentMissing(what, err)
}

// swap is exec that reports whether a row was as expected.
func (c conn) swap(ctx context.Context, what, query string, args ...any) (bool, error) {
	n, err := c.exec(ctx, what, query, args...)
	return n > 0, err
}

// must is exec that answers [vault.ErrNotFound] where there is no such row.
func (c conn) must(ctx context.Context, what, query string, args ...any) error {
	n, err := c.exec(ctx, what, query, args...)
	if err == nil && n == 0 {
		return fmt.Errorf("%s: %w", what, vault.ErrNotFound)
	}
	return err
}

// one reads a row, or answers [vault.ErrNotFound].
func one[T any](ctx context.Context, c conn, what string, scan func(scanner) (T, error), query string, args ...any) (*T, error) {
	if unspeakable(args) {
		return nil, fmt.Errorf("%s: %w (%w)", what, vault.ErrNotFound, errText)
	}
	v, err := scan(c.db.QueryRowContext(ctx, query, args...))
	if err != nil {
		return nil, interpretError(what, err)
	}
	return &v, nil
}

// oneIf is one that answers nil where there is no such row.
func oneIf[T any](ctx context.Context, c conn, what string, scan func(scanner) (T, error), query string, args ...any) (*T, error) {
	v, err := one(ctx, c, what, scan, query, args...)
	if errors.Is(err, vault.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

// many reads all rows, nil where there are none.
func many[T any](ctx context.Context, c conn, what string, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	if unspeakable(args) {
		return nil, nil
	}
	rows, err := c.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, interpretError(what, err)
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, interpretError(what, err)
		}
		all = append(all, v)
	}
	return all, interpretError(what, rows.Err())
}

// unspeakable reports whether an argument is text that no row can hold. To
// look for it finds nothing, on both databases alike.
func unspeakable(args []any) bool {
	for _, a := range args {
		switch a := a.(type) {
		case string:
			if !speakable(a) {
				return true
			}
		case []string:
			if slices.ContainsFunc(a, func(s string) bool { return !speakable(s) }) {
				return true
			}
		}
	}
	return false
}

func speakable(s string) bool {
	return utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// where grows the conditions of a list.
type where struct {
	sql  strings.Builder
	args []any
}

// and adds a condition; each ? in it stands for the next argument.
func (w *where) and(cond string, args ...any) {
	if w.sql.Len() == 0 {
		w.sql.WriteString(" WHERE ")
	} else {
		w.sql.WriteString(" AND ")
	}
	for i, part := range strings.Split(cond, "?") {
		if i > 0 {
			w.args = append(w.args, args[i-1])
			fmt.Fprintf(&w.sql, "$%d", len(w.args))
		}
		w.sql.WriteString(part)
	}
}

// mark stands for the argument that is that many from the last one; 1 is the
// last.
func (w *where) mark(fromLast int) string { return fmt.Sprintf("$%d", len(w.args)+1-fromLast) }

// among narrows a column to some words; none does not narrow.
func (w *where) among(column string, words []string) {
	if len(words) == 0 {
		return
	}
	w.and(column+" IN (?"+strings.Repeat(", ?", len(words)-1)+")", anys(words)...)
}

// ofIntegrations narrows connections to those of integrations with one of the
// keys; none does not narrow.
func (w *where) ofIntegrations(environmentID string, keys []string) {
	if len(keys) == 0 {
		return
	}
	w.and("integration_id IN (SELECT i.id FROM integrations i WHERE i.environment_id = ? AND i.key IN (?"+strings.Repeat(", ?", len(keys)-1)+"))",
		append([]any{environmentID}, anys(keys)...)...)
}

func anys(words []string) []any {
	args := make([]any, len(words))
	for i, word := range words {
		args[i] = word
	}
	return args
}

// limit ends the statement: ascending by a column, so many at most.
func (w *where) limit(column string, n int) (string, []any) {
	w.args = append(w.args, n)
	fmt.Fprintf(&w.sql, " ORDER BY %s LIMIT $%d", column, len(w.args))
	return w.sql.String(), w.args
}

// maxPage is more than any page that people may ask for, so that a caller can
// ask for one item more than it shows.
const maxPage = 1000

// page adds the cursor and ends the statement: newest first by id.
func (w *where) page(id string, p vault.Page) (string, []any) {
	if p.Cursor != "" {
		w.and(id+" < ?", p.Cursor)
	}
	w.args = append(w.args, limitOf(p))
	fmt.Fprintf(&w.sql, " ORDER BY %s DESC LIMIT $%d", id, len(w.args))
	return w.sql.String(), w.args
}

func limitOf(p vault.Page) int {
	if p.Limit < 1 || p.Limit > maxPage {
		return maxPage
	}
	return p.Limit
}
