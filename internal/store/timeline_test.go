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

// note writes entries on a connection, at these times before noon.
func (w *world) note(connectionID, actor string, action vault.Action, count int64, ago ...time.Duration) {
	w.t.Helper()
	w.do(func(ctx context.Context, tx vault.Tx) error {
		for _, d := range ago {
			err := tx.InsertAudit(ctx, vault.AuditEntry{
				EnvironmentID: w.env.ID, At: noon.Add(-d), ActorKind: vault.CallerAPIKey, ActorID: actor, Action: action,
				Allowed: true, ConnectionID: connectionID, Count: count,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func TestConnectionTimeline(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		c, another := w.connect().ID, w.connect().ID
		const hour, day = time.Hour, 24 * time.Hour
		w.note(c, "key_a", vault.ActionConnectionCreated, 1, 40*day)
		w.note(c, "key_a", vault.ActionHeadersRead, 1, 40*day)
		w.note(c, "key_a", vault.ActionHeadersRead, 5, 3*day+2*hour, 3*day+hour)
		w.note(c, "key_b", vault.ActionHeadersRead, 7, 3*day)
		w.note(c, "key_a", vault.ActionConnectionRefreshed, 1, 2*day)
		w.note(c, "key_a", vault.ActionRefreshFailed, 1, 100*time.Minute)
		w.note(c, "key_a", vault.ActionHeadersRead, 2, 90*time.Minute, 80*time.Minute)
		w.note(c, "key_a", vault.ActionCredentialRead, 1, 70*time.Minute)
		w.note(c, "key_a", vault.ActionHeadersRead, 3, 30*time.Minute)
		w.note(another, "key_a", vault.ActionHeadersRead, 100, hour)
		other.note(c, "key_a", vault.ActionHeadersRead, 100, hour)

		history, err := w.ConnectionHistory(ctx, w.env.ID, c, vault.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var actions []vault.Action
		for _, e := range history {
			actions = append(actions, e.Action)
		}
		equal(t, "what happened", actions, []vault.Action{
			vault.ActionCredentialRead, vault.ActionRefreshFailed, vault.ActionConnectionRefreshed, vault.ActionConnectionCreated,
		})

		midnight := noon.Truncate(day)
		reads, err := w.ConnectionReads(ctx, w.env.ID, vault.ReadsFilter{ConnectionID: c, HourlySince: midnight, Most: 100})
		if err != nil {
			t.Fatal(err)
		}
		sum := func(actor string, count int64, entries int, since time.Time, daily bool) vault.ReadSum {
			return vault.ReadSum{ActorKind: vault.CallerAPIKey, ActorID: actor, Count: count, Entries: entries, Since: since, Daily: daily}
		}
		want := []vault.ReadSum{
			sum("key_a", 3, 1, midnight.Add(11*hour), false),
			sum("key_a", 4, 2, midnight.Add(10*hour), false),
			sum("key_b", 7, 1, midnight.Add(-3*day), true),
			sum("key_a", 10, 2, midnight.Add(-3*day), true),
			sum("key_a", 1, 1, midnight.Add(-40*day), true),
		}
		ends := cmpopts.IgnoreFields(vault.ReadSum{}, "First", "Last", "FirstID", "LastID")
		if d := cmp.Diff(want, reads, ends); d != "" {
			t.Errorf("reads (-want +got):\n%s", d)
		}
		if got := reads[1]; !got.First.Equal(noon.Add(-90*time.Minute)) || !got.Last.Equal(noon.Add(-80*time.Minute)) || got.FirstID >= got.LastID {
			t.Errorf("the ends of %+v", got)
		}
		part, err := w.ConnectionReads(ctx, w.env.ID, vault.ReadsFilter{
			ConnectionID: c, From: reads[3].FirstID, Before: reads[1].LastID, HourlySince: midnight, Most: 100,
		})
		if err != nil || len(part) != 3 || part[0].Count != 2 || part[2].Count != 10 {
			t.Errorf("from and before: %+v, %v", part, err)
		}
		newest, err := w.ConnectionReads(ctx, w.env.ID, vault.ReadsFilter{ConnectionID: c, HourlySince: midnight, Most: 2})
		if err != nil || len(newest) != 2 || newest[1].Count != 2 {
			t.Errorf("the newest two: %+v, %v", newest, err)
		}

		hours, oldest, err := w.ConnectionActivity(ctx, w.env.ID, vault.ActivityFilter{ConnectionID: c, Since: noon.Add(-10 * day), Most: 100})
		if err != nil || !oldest.IsZero() {
			t.Fatal(oldest, err)
		}
		equal(t, "hours", hours, []vault.ActivityHour{
			{Hour: midnight.Add(-3*day + 9*hour + hour), Reads: 5},
			{Hour: midnight.Add(-3*day + 11*hour), Reads: 5},
			{Hour: midnight.Add(-3*day + 12*hour), Reads: 7},
			{Hour: midnight.Add(-2*day + 12*hour), Refreshes: 1},
			{Hour: midnight.Add(10 * hour), Reads: 5, Failed: 1},
			{Hour: midnight.Add(11 * hour), Reads: 3},
		})
		_, oldest, err = w.ConnectionActivity(ctx, w.env.ID, vault.ActivityFilter{ConnectionID: c, Since: noon.Add(-10 * day), Most: 3})
		if err != nil || !oldest.Equal(noon.Add(-80*time.Minute)) {
			t.Errorf("the newest three go back to %s, %v", oldest, err)
		}
	})
}
