package vault

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// LastRead narrows a list by when headers were last read.
type LastRead string

// The spans of [LastRead]. The zero value does not narrow.
const (
	LastReadNever  LastRead = "never"
	LastRead24h    LastRead = "within_24h"
	LastReadOver7  LastRead = "over_7d"
	LastReadOver30 LastRead = "over_30d"
	LastReadOver90 LastRead = "over_90d"
)

// LastReads lists the spans.
func LastReads() []LastRead {
	return []LastRead{LastRead24h, LastReadOver7, LastReadOver30, LastReadOver90, LastReadNever}
}

// Expires narrows a list to active connections by when they run out: when what
// renews the credential ends, or the credential where nothing renews it.
type Expires string

// The spans of [Expires]. The zero value does not narrow.
const (
	ExpiresPast  Expires = "expired"
	Expires1d    Expires = "within_1d"
	Expires7d    Expires = "within_7d"
	Expires30d   Expires = "within_30d"
	ExpiresNever Expires = "never" // or not known to
)

// ExpiresSpans lists the spans.
func ExpiresSpans() []Expires {
	return []Expires{ExpiresPast, Expires1d, Expires7d, Expires30d, ExpiresNever}
}

// EndsAt is when an active connection runs out unless the end user links again;
// zero where that is not known, or has happened.
func (c *Connection) EndsAt() time.Time {
	switch {
	case c.Status != StatusActive:
		return time.Time{}
	case c.Renewable:
		return c.RefreshExpiresAt
	}
	return c.ExpiresAt
}

// Words are what of Query is looked for, in lower case: beginnings of words, all
// of which have to be there.
func (f ConnectionFilter) Words() []string { return words(f.Query) }

const day = 24 * time.Hour

// EndSpan is the time in which [Connection.EndsAt] has to lie for Expires, from
// and including the first moment; a zero bound is none.
func (f ConnectionFilter) EndSpan() (from, before time.Time) {
	switch f.Expires {
	case ExpiresPast:
		return time.Time{}, f.At
	case Expires1d:
		return f.At, f.At.Add(day)
	case Expires7d:
		return f.At, f.At.Add(7 * day)
	case Expires30d:
		return f.At, f.At.Add(30 * day)
	}
	return time.Time{}, time.Time{}
}

// ReadSpan is the same for LastRead.
func (f ConnectionFilter) ReadSpan() (from, before time.Time) {
	switch f.LastRead {
	case LastRead24h:
		return f.At.Add(-day), time.Time{}
	case LastReadOver7:
		return time.Time{}, f.At.Add(-7 * day)
	case LastReadOver30:
		return time.Time{}, f.At.Add(-30 * day)
	case LastReadOver90:
		return time.Time{}, f.At.Add(-90 * day)
	}
	return time.Time{}, time.Time{}
}

// maxFilterText bounds what is looked for, in bytes.
const maxFilterText = 256

// faults says which members cannot be looked for, by their names in the filter of
// a bulk revocation. A word that nobody knows would not narrow, and more would be
// revoked than it says.
func (f ConnectionFilter) faults() []fault.Field {
	var wrong []fault.Field
	for _, m := range []struct{ name, value string }{{"/filter/integration", f.Integration}, {"/filter/end_user_id", f.EndUserID}, {"/filter/q", f.Query}} {
		if len(m.value) > maxFilterText {
			wrong = append(wrong, fault.Field{Pointer: m.name, Detail: fmt.Sprintf("Must be at most %d bytes.", maxFilterText)})
		}
	}
	wrong = append(wrong, unlisted("/filter/status", f.Status, Statuses())...)
	wrong = append(wrong, unlisted("/filter/last_read", f.LastRead, LastReads())...)
	return append(wrong, unlisted("/filter/expires", f.Expires, ExpiresSpans())...)
}

// unlisted is what to say of a word that is not one of all, nor empty.
func unlisted[W ~string](pointer string, word W, all []W) []fault.Field {
	if word == "" || slices.Contains(all, word) {
		return nil
	}
	texts := make([]string, len(all))
	for i, w := range all {
		texts[i] = string(w)
	}
	return []fault.Field{{Pointer: pointer, Detail: "Must be one of " + strings.Join(texts, ", ") + "."}}
}

// checkCursor refuses the cursor of a list in another order: it would go on
// anywhere.
func (f ConnectionFilter) checkCursor() error {
	if _, _, ok := f.ParseCursor(); ok {
		return nil
	}
	return &fault.Error{
		Kind: fault.Malformed, Message: "The query is not valid.",
		Fields: []fault.Field{{Pointer: "cursor", Detail: "must be a next_cursor of this list, narrowed by the same last_read and expires"}},
	}
}

// Order is what a list goes along.
type Order int

// The orders. A list that is narrowed by a time goes along that time.
const (
	NewestFirst Order = iota
	EndsFirst         // what runs out first
	ReadFirst         // the day of the last read, the longest ago first
	ReadLast          // the latest day first
)

// letter begins the cursors of an order, so that none is taken for that of
// another. Those of [NewestFirst] are ids, and have none.
func (o Order) letter() string { return [...]string{"", "e", "r", "l"}[o] }

// Order is the order of the list that f narrows.
func (f ConnectionFilter) Order() Order {
	switch {
	case f.Expires != "" && f.Expires != ExpiresNever:
		return EndsFirst
	case f.LastRead == LastRead24h:
		return ReadLast
	case f.LastRead != "" && f.LastRead != LastReadNever:
		return ReadFirst
	}
	return NewestFirst
}

// CursorOf is the cursor that goes on after c in the list that f narrows.
func (f ConnectionFilter) CursorOf(c *Connection) string {
	at := ReadDay(c.LastReadAt)
	switch f.Order() {
	case NewestFirst:
		return c.ID
	case EndsFirst:
		at = c.EndsAt().UnixMicro()
	}
	return f.Order().letter() + strconv.FormatInt(at, 10) + "." + c.ID
}

// ReadDay is the day of a time, counted from 1970 in UTC.
func ReadDay(t time.Time) int64 { return t.UnixMicro() / day.Microseconds() }

// ParseCursor reads what [ConnectionFilter.CursorOf] made for a list in the same
// order; ok is false for anything else. at is in microseconds or days, 0 where the
// list goes by id. An empty cursor is that of the beginning.
func (f ConnectionFilter) ParseCursor() (at int64, id string, ok bool) {
	cursor := f.Page.Cursor
	if cursor == "" || f.Order() == NewestFirst {
		return 0, cursor, !strings.Contains(cursor, ".")
	}
	text, id, _ := strings.Cut(cursor, ".")
	text, ok = strings.CutPrefix(text, f.Order().letter())
	at, err := strconv.ParseInt(text, 10, 64)
	return at, id, ok && err == nil && id != ""
}
