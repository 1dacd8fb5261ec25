package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

func (w *world) entry(change func(*vault.AuditEntry)) vault.AuditEntry {
	w.t.Helper()
	e := vault.AuditEntry{
		EnvironmentID: w.env.ID, At: noon, ActorKind: vault.CallerAPIKey, ActorID: w.key.ID,
		Action: vault.ActionConnectionCreated, Allowed: true, Count: 1,
	}
	change(&e)
	w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAudit(ctx, e) })
	found := w.trail(vault.AuditFilter{Page: vault.Page{Limit: 1}})[0]
	if d := cmp.Diff(e, found, given); d != "" {
		w.t.Errorf("what was written (-want +got):\n%s", d)
	}
	return found
}

// given are the members that a chain gives to an entry.
var given = cmpopts.IgnoreFields(vault.AuditEntry{}, "ID", "Writer", "Seq", "Hash", "Proof")

func (w *world) trail(f vault.AuditFilter) []vault.AuditEntry {
	w.t.Helper()
	list, err := w.Audit(w.t.Context(), w.env.ID, f)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func TestAudit(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		other.entry(func(*vault.AuditEntry) {})
		a := w.entry(func(*vault.AuditEntry) {})
		b := w.entry(func(e *vault.AuditEntry) {
			e.ActorKind, e.ActorID, e.Action, e.Allowed = vault.CallerEndUser, "cs_1", vault.ActionLinkFailed, false
			e.ConnectionID, e.IntegrationID, e.SessionID, e.Reason, e.Generation, e.Count = "con_gone", w.in.ID, "cs_1", "nonce", 7, 3
		})
		c := w.entry(func(e *vault.AuditEntry) { e.ConnectionID = "con_gone" })
		for what, f := range map[string]struct {
			filter vault.AuditFilter
			want   []vault.AuditEntry
		}{
			"all, newest first": {vault.AuditFilter{}, []vault.AuditEntry{c, b, a}},
			"a connection":      {vault.AuditFilter{ConnectionID: "con_gone"}, []vault.AuditEntry{c, b}},
			"an actor":          {vault.AuditFilter{ActorID: w.key.ID}, []vault.AuditEntry{c, a}},
			"an action":         {vault.AuditFilter{Action: vault.ActionLinkFailed}, []vault.AuditEntry{b}},
			"all three":         {vault.AuditFilter{ConnectionID: "con_gone", ActorID: "cs_1", Action: vault.ActionLinkFailed}, []vault.AuditEntry{b}},
			"nobody":            {vault.AuditFilter{ActorID: "none"}, nil},
			"an integration":    {vault.AuditFilter{IntegrationID: w.in.ID}, []vault.AuditEntry{b}},
			"refused":           {vault.AuditFilter{Refused: true}, []vault.AuditEntry{b}},
			"oldest first":      {vault.AuditFilter{OldestFirst: true}, []vault.AuditEntry{a, b, c}},
			"from the oldest":   {vault.AuditFilter{OldestFirst: true, Page: vault.Page{Limit: 1, Cursor: a.ID}}, []vault.AuditEntry{b}},
			"a page":            {vault.AuditFilter{Page: vault.Page{Limit: 1}}, []vault.AuditEntry{c}},
			"the next":          {vault.AuditFilter{Page: vault.Page{Limit: 1, Cursor: c.ID}}, []vault.AuditEntry{b}},
			"after the last":    {vault.AuditFilter{Page: vault.Page{Cursor: a.ID}}, nil},
		} {
			equal(t, what, w.trail(f.filter), f.want)
		}
		for name, change := range map[string]func(*vault.AuditEntry){
			"a kind of caller there is not": func(e *vault.AuditEntry) { e.ActorKind = "robot" },
			"zero times":                    func(e *vault.AuditEntry) { e.Count = 0 },
			"at no time":                    func(e *vault.AuditEntry) { e.At = time.Time{} },
			"a story as its reason":         func(e *vault.AuditEntry) { e.Reason = longText(129) },
			"nothing done":                  func(e *vault.AuditEntry) { e.Action = "" },
		} {
			e := a
			change(&e)
			wantRefused(t, name, w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAudit(ctx, e) }))
		}
	})
}

// A span of time is that of the entries, and not of when they were written: reads
// wait for a minute.
func TestAuditOfASpan(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		now := time.Now().UTC().Truncate(time.Microsecond)
		at := func(ago time.Duration) vault.AuditEntry {
			return w.entry(func(e *vault.AuditEntry) { e.At = now.Add(-ago) })
		}
		early, middle, late := at(5*time.Minute), at(2*time.Minute), at(0)
		for what, c := range map[string]struct {
			since, until time.Duration // ago, -1 where there is none
			want         []vault.AuditEntry
		}{
			"since":       {2 * time.Minute, -1, []vault.AuditEntry{late, middle}},
			"just after":  {2*time.Minute - time.Microsecond, -1, []vault.AuditEntry{late}},
			"until":       {-1, 2 * time.Minute, []vault.AuditEntry{early}},
			"between":     {3 * time.Minute, time.Minute, []vault.AuditEntry{middle}},
			"long before": {-1, 24 * time.Hour, nil},
			"later":       {-time.Hour, -1, nil},
			"all":         {24 * time.Hour, -time.Hour, []vault.AuditEntry{late, middle, early}},
		} {
			var f vault.AuditFilter
			if c.since != -1 {
				f.Since = now.Add(-c.since)
			}
			if c.until != -1 {
				f.Until = now.Add(-c.until)
			}
			equal(t, what, w.trail(f), c.want)
		}
	})
}

func TestAddReads(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		con, second := w.connect(), w.connect()
		minute := noon.Truncate(time.Minute)
		read := func(id string, m time.Time, at time.Duration, n int64) vault.ReadCount {
			return vault.ReadCount{
				EnvironmentID: w.env.ID, ActorID: w.key.ID, ConnectionID: id, Action: vault.ActionHeadersRead,
				LastAt: m.Add(at), Count: n,
			}
		}
		use := read("", minute, 50*time.Second, 9) // of the key alone
		for _, reads := range [][]vault.ReadCount{
			nil,
			{read(con.ID, minute, 30*time.Second, 2), read(second.ID, minute, time.Second, 1), use},
			{read(con.ID, minute, 10*time.Second, 3), read(con.ID, minute, 40*time.Second, 4)}, // another replica; twice in one batch
			{read(con.ID, minute.Add(time.Minute), time.Second, 5), read("con_gone", minute, 0, 1)},
		} {
			if err := w.AddReads(ctx, reads); err != nil {
				t.Fatal(err)
			}
		}
		entry := func(id string, at time.Time, n int64) vault.AuditEntry {
			return vault.AuditEntry{
				EnvironmentID: w.env.ID, At: at, ActorKind: vault.CallerAPIKey, ActorID: w.key.ID, Action: vault.ActionHeadersRead,
				Allowed: true, ConnectionID: id, Count: n,
			}
		}
		got := w.trail(vault.AuditFilter{})
		want := []vault.AuditEntry{
			entry(con.ID, minute.Add(30*time.Second), 2),
			entry(con.ID, minute.Add(10*time.Second), 3),
			entry(con.ID, minute.Add(40*time.Second), 4),
			entry(con.ID, minute.Add(61*time.Second), 5),
			entry(second.ID, minute.Add(time.Second), 1),
			entry("con_gone", minute, 1),
		}
		if d := cmp.Diff(want, got, given,
			cmpopts.SortSlices(func(a, b vault.AuditEntry) bool { return a.ConnectionID+a.At.String() < b.ConnectionID+b.At.String() })); d != "" {
			t.Errorf("entries (-want +got):\n%s", d)
		}
		if at := w.read(con.ID).LastReadAt; !at.Equal(minute.Add(61 * time.Second)) {
			t.Errorf("connection last read at %s", at)
		}
		// full has been read at noon - 1s, which is later than the second's.
		if at := w.read(second.ID).LastReadAt; !at.Equal(second.LastReadAt) && !at.Equal(minute.Add(time.Second)) {
			t.Errorf("second connection last read at %s", at)
		}
		k, err := w.APIKey(ctx, w.env.ID, w.key.ID)
		if err != nil || !k.LastUsedAt.Equal(minute.Add(50*time.Second)) { // not moved for a few seconds
			t.Errorf("key last used at %s, %v", k.LastUsedAt, err)
		}
		if err := w.AddReads(ctx, []vault.ReadCount{read(con.ID, minute.Add(-time.Hour), 0, 1)}); err != nil {
			t.Fatal(err)
		}
		if at := w.read(con.ID).LastReadAt; !at.Equal(minute.Add(61 * time.Second)) {
			t.Errorf("a late batch set the last read back to %s", at)
		}
	})
}

// All or nothing: the vault keeps what was not written and tries again.
func TestAddReadsIsOneTransaction(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		var reads []vault.ReadCount
		for range 250 { // more than one statement's worth
			reads = append(reads, vault.ReadCount{
				EnvironmentID: w.env.ID, ActorID: w.key.ID, ConnectionID: newID("con"), Action: vault.ActionHeadersRead, LastAt: noon, Count: 1,
			})
		}
		bad := reads[0]
		bad.Count = 0
		if err := w.AddReads(t.Context(), append(reads, bad)); err == nil {
			t.Fatal("a read that never happened was written")
		}
		if got := w.trail(vault.AuditFilter{}); len(got) != 0 {
			t.Errorf("%d entries of a batch that failed", len(got))
		}
		if err := w.AddReads(t.Context(), reads); err != nil {
			t.Fatal(err)
		}
		if got := w.trail(vault.AuditFilter{}); len(got) != len(reads) {
			t.Errorf("%d entries, want %d", len(got), len(reads))
		}
	})
}

// Replicas flush at the same time.
func TestAddReadsTogether(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		replicas := []*world{w, w.on(db.Open(t))}
		ids := []string{w.connect().ID, w.connect().ID, w.connect().ID}
		const flushes = 20
		race(t, flushes, func(i int) (bool, error) {
			var reads []vault.ReadCount
			for j := range ids {
				reads = append(reads, vault.ReadCount{
					EnvironmentID: w.env.ID, ActorID: w.key.ID, ConnectionID: ids[(i+j)%len(ids)], Action: vault.ActionHeadersRead,
					LastAt: noon, Count: 1,
				})
			}
			return true, replicas[i%2].AddReads(t.Context(), reads)
		})
		got := w.trail(vault.AuditFilter{})
		if len(got) != flushes*len(ids) {
			t.Fatalf("%d entries", len(got))
		}
	})
}

// Reads do not wait for the disk; whatever is written after them does again.
func TestAddReadsLeavesTheWriterDurable(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t).Open(t)
	w := newWorld(t, s)
	_, write := s.Pools()
	read := vault.ReadCount{EnvironmentID: w.env.ID, ActorID: w.key.ID, ConnectionID: "con", Action: vault.ActionHeadersRead, LastAt: noon, Count: 1}
	lost := read
	lost.Count = 0
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for what, add := range map[string]func() error{
		"written":  func() error { return s.AddReads(t.Context(), []vault.ReadCount{read}) },
		"refused":  func() error { return s.AddReads(t.Context(), []vault.ReadCount{lost}) },
		"canceled": func() error { return s.AddReads(canceled, []vault.ReadCount{read}) },
	} {
		if err := add(); (err == nil) != (what == "written") {
			t.Errorf("%s: %v", what, err)
		}
		var level int
		if err := write.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&level); err != nil || level != 2 {
			t.Errorf("%s: synchronous is %d, %v; want 2, FULL", what, level, err)
		}
	}
}
