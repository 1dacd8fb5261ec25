package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/claviger/claviger/internal/vault"
)

// narrowMost is how many connections a condition may bring for a list to begin
// with it, sort what there is, and look at the rest after that. Whatever brings
// more is looked at along the way: it does not take long to fill a page then.
const narrowMost = 1000

// afterAll is behind every character that follows the beginning of a word.
const afterAll = "\U0010FFFF"

// Connections lists without candidates and ciphertext. Which index a list goes
// along is decided here and not by a planner, who on SQLite knows nothing about
// the rows, and on Postgres what they looked like lately.
func (r reader) Connections(ctx context.Context, environmentID string, f vault.ConnectionFilter) ([]vault.Connection, error) {
	w, hint := where{}, ""
	ids, narrow, err := r.narrowest(ctx, environmentID, f)
	switch {
	case err != nil:
		return nil, err
	case narrow:
		if len(ids) == 0 {
			return nil, nil
		}
		list, err := r.d.list(ids)
		if err != nil {
			return nil, err
		}
		w.and(fmt.Sprintf(r.d.isIn, "id"), list)
		w.and("environment_id = ?", environmentID)
	default:
		hint = r.d.along(f)
		w.and("environment_id = ?", environmentID)
	}
	w.matching(environmentID, f, walking)
	tail, args, ok := w.inOrder(f)
	if !ok {
		return nil, nil // a cursor that nobody gave
	}
	return many(ctx, r.conn, "listing connections", scanConnection, `SELECT `+connectionColumns+` FROM connections`+hint+tail, args...)
}

// CountConnections counts up to most, or all.
func (r reader) CountConnections(ctx context.Context, environmentID string, f vault.ConnectionFilter, most int) (int, error) {
	w, limit := connectionsWhere(environmentID, f), ""
	if most > 0 {
		limit = fmt.Sprintf(" LIMIT %d", most)
	}
	scan := func(row scanner) (n int, err error) { return n, row.Scan(&n) }
	n, err := oneIf(ctx, r.conn, "counting connections", scan,
		`SELECT count(*) FROM (SELECT 1 FROM connections`+w.sql.String()+limit+`) matching`, w.args...)
	if n == nil {
		return 0, err
	}
	return *n, err
}

// connectionsWhere is what a filter asks for, but for cursor and order, as a
// condition on the table connections: for whoever wants all that match.
func connectionsWhere(environmentID string, f vault.ConnectionFilter) *where {
	var w where
	w.and("environment_id = ?", environmentID)
	w.matching(environmentID, f, whole)
	return &w
}

// manner is how words and tags are looked for.
type manner int

const (
	// whole: as sets, for a statement that reads all there is.
	whole manner = iota
	// walking: at each row that a list comes by. A planner cannot make a join of
	// these.
	walking
)

func (w *where) matching(environmentID string, f vault.ConnectionFilter, m manner) {
	w.and("replaces_id IS NULL")
	if f.Integration != "" {
		w.and("integration_id = (SELECT i.id FROM integrations i WHERE i.environment_id = ? AND i.key = ?)", environmentID, f.Integration)
	}
	w.ofIntegrations(environmentID, f.Within)
	if f.EndUserID != "" {
		w.and("end_user_id = ?", f.EndUserID)
	}
	if f.Status != "" {
		w.and("status = ?", string(f.Status))
	}
	if f.Failing {
		w.and("failures > 0 AND status = 'active'")
	}
	if len(f.Tags) > vault.MaxTags {
		w.and("FALSE") // no connection has so many, and no statement takes any number
		return
	}
	for _, key := range slices.Sorted(maps.Keys(f.Tags)) {
		if m == walking {
			w.and("(SELECT t.value = ? FROM connection_tags t WHERE t.environment_id = ? AND t.connection_id = connections.id AND t.key = ?)",
				f.Tags[key], environmentID, key)
		} else {
			w.and("id IN (SELECT t.connection_id FROM connection_tags t WHERE t.environment_id = ? AND t.key = ? AND t.value = ?)",
				environmentID, key, f.Tags[key])
		}
	}
	for _, word := range f.Words() {
		switch {
		case isID(word):
			w.and("id >= ? AND id < ?", word, word+afterAll)
		case m == walking:
			w.and("(SELECT TRUE FROM connection_terms t WHERE t.connection_id = connections.id AND t.term >= ? AND t.term < ? LIMIT 1)",
				word, word+afterAll)
		default:
			w.and("id IN (SELECT t.connection_id FROM connection_terms t WHERE t.environment_id = ? AND t.term >= ? AND t.term < ?)",
				environmentID, word, word+afterAll)
		}
	}
	w.lastRead(f)
	w.expires(f)
}

// isID reports whether a word of a search is the beginning of a connection's id.
func isID(word string) bool { return strings.HasPrefix(word, "con_") }

func (w *where) lastRead(f vault.ConnectionFilter) {
	from, before := f.ReadSpan()
	if f.LastRead == vault.LastReadNever {
		w.and("read_day IS NULL")
	}
	if !from.IsZero() {
		w.and("read_day >= ? AND last_read_at >= ?", vault.ReadDay(from), micros(from))
	}
	if !before.IsZero() {
		w.and("read_day <= ? AND last_read_at < ?", vault.ReadDay(before), micros(before))
	}
}

func (w *where) expires(f vault.ConnectionFilter) {
	if f.Expires == "" {
		return
	}
	w.and("status = 'active'")
	from, before := f.EndSpan()
	if f.Expires == vault.ExpiresNever {
		w.and("ends_at IS NULL")
	}
	if !from.IsZero() {
		w.and("ends_at >= ?", micros(from))
	}
	if !before.IsZero() {
		w.and("ends_at < ?", micros(before))
	}
}

// inOrder adds the cursor and ends the statement of a list of connections. ok
// is false for a cursor of another list.
func (w *where) inOrder(f vault.ConnectionFilter) (tail string, args []any, ok bool) {
	if f.Order() == vault.NewestFirst {
		if strings.Contains(f.Page.Cursor, ".") {
			return "", nil, false
		}
		if f.Page.Cursor != "" {
			w.and("id < ?", f.Page.Cursor)
		}
		// To Postgres one NULL is not another, and an index on them only in order if
		// the list is said to be.
		first := ""
		switch {
		case f.Expires == vault.ExpiresNever:
			first = "ends_at DESC, "
		case f.LastRead == vault.LastReadNever:
			first = "read_day DESC, "
		}
		w.args = append(w.args, limitOf(f.Page))
		fmt.Fprintf(&w.sql, " ORDER BY %sid DESC LIMIT $%d", first, len(w.args))
		return w.sql.String(), w.args, true
	}
	by, direction, beyond := "ends_at", "", ">"
	if f.Order() != vault.EndsFirst {
		by = "read_day"
	}
	if f.Order() == vault.ReadLast {
		direction, beyond = " DESC", "<"
	}
	if f.Page.Cursor != "" {
		at, id, ok := f.ParseCursor()
		if !ok {
			return "", nil, false
		}
		w.and("("+by+", id) "+beyond+" (?, ?)", at, id)
	}
	w.args = append(w.args, limitOf(f.Page))
	fmt.Fprintf(&w.sql, " ORDER BY %[1]s%[2]s, id%[2]s LIMIT $%[3]d", by, direction, len(w.args))
	return w.sql.String(), w.args, true
}

// narrowest answers the ids that one of the words or tags of a filter brings,
// that which brings the fewest; narrow is false where each brings many.
func (r reader) narrowest(ctx context.Context, environmentID string, f vault.ConnectionFilter) (ids []string, narrow bool, err error) {
	if len(f.Tags) > vault.MaxTags {
		return nil, true, nil // no connection has so many
	}
	try := func(from, condition string, args ...any) error {
		var w where
		w.and(condition, args...)
		scan := func(row scanner) (id string, err error) { return id, row.Scan(&id) }
		found, err := many(ctx, r.conn, "looking for few connections", scan,
			`SELECT t.connection_id FROM `+from+` t`+w.sql.String()+fmt.Sprintf(" LIMIT %d", narrowMost+1), w.args...)
		if err == nil && len(found) <= narrowMost && (!narrow || len(found) < len(ids)) {
			ids, narrow = found, true
		}
		return err
	}
	for key, value := range f.Tags {
		if err := try("connection_tags", "t.environment_id = ? AND t.key = ? AND t.value = ?", environmentID, key, value); err != nil {
			return nil, false, err
		}
	}
	for _, word := range f.Words() {
		if isID(word) {
			continue // goes along the ids anyway
		}
		if err := try("connection_terms", "t.environment_id = ? AND t.term >= ? AND t.term < ?", environmentID, word, word+afterAll); err != nil {
			return nil, false, err
		}
	}
	return ids, narrow, nil
}
