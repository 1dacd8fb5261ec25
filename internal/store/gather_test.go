package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// gathered is all that is gathered, so many rows at a time, and in how many parts.
func gathered(t *testing.T, s vault.Store, env string, f vault.ConnectionFilter, look int) (all []string, parts int) {
	t.Helper()
	below := "con_~"
	for below != "" {
		ids, next, err := s.GatherRevocable(t.Context(), env, f, below, look)
		if err != nil {
			t.Fatal(err)
		}
		if next >= below || slices.ContainsFunc(ids, func(id string) bool { return id >= below || id < next }) {
			t.Fatalf("below %s there are %q, and it goes on below %s", below, ids, next)
		}
		all, below = append(all, ids...), next
		parts++
	}
	return all, parts
}

// What is gathered for a filter is what its list has, without what is revoked, by
// id, however many rows a part looks at.
func TestGatherRevocable(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		timelog := w.newIntegration("timelog")
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertIntegration(ctx, timelog) })
		elsewhere := w.elsewhere()
		const day = 24 * time.Hour
		for i := range 40 {
			row := w.connect(func(c *vault.ConnectionRow) {
				c.EndUser = vault.EndUser{ID: fmt.Sprintf("user-%d", i%7)}
				c.Tags = map[string]string{"team": []string{"blue", "red"}[i%2]}
				c.Renewable, c.ExpiresAt, c.LastReadAt = false, noon.Add(time.Duration(i*7%40-5)*day), noon.Add(-time.Duration(i*11%100)*day)
				if i%3 == 0 {
					c.IntegrationID, c.Integration = timelog.ID, timelog.Key
				}
				switch {
				case i%6 == 1:
					c.Status = vault.StatusReconnectRequired
				case i%9 == 5:
					c.Status, c.Credential, c.Answer = vault.StatusRevoked, nil, nil
				case i%8 == 2:
					c.ExpiresAt, c.LastReadAt = time.Time{}, time.Time{}
				}
			})
			if i%5 == 0 {
				w.connect(pending(noon), func(c *vault.ConnectionRow) { c.ReplacesID = row.ID })
			}
			elsewhere.connect()
		}
		if _, err := db.Raw(t).ExecContext(t.Context(), `UPDATE connections SET failures = 2 WHERE end_user_id IN ('user-1', 'user-3')`); err != nil {
			t.Fatal(err)
		}
		filters := []vault.ConnectionFilter{
			{},
			{Integration: "timelog"},
			{Integration: "none"},
			{EndUserID: "user-3"},
			{EndUserID: "user-3", Integration: "timelog", Status: "active"},
			{Status: vault.StatusActive},
			{Status: vault.StatusRevoked},
			{Status: vault.StatusReconnectRequired, Integration: "toggl"},
			{Failing: true},
			{Failing: true, Integration: "timelog"},
			{Failing: true, Status: vault.StatusRevoked},
			{Within: []string{"timelog", "x"}},
			{Query: "user-2"},
			{Query: "user"},
			{Query: "con_"},
			{Query: "nobody"},
			{Tags: map[string]string{"team": "blue"}},
			{Tags: map[string]string{"team": "red"}, Query: "user", Expires: vault.Expires30d},
		}
		for _, e := range vault.ExpiresSpans() {
			filters = append(filters, vault.ConnectionFilter{Expires: e}, vault.ConnectionFilter{Expires: e, Status: vault.StatusReconnectRequired})
		}
		for _, l := range vault.LastReads() {
			filters = append(filters, vault.ConnectionFilter{LastRead: l}, vault.ConnectionFilter{LastRead: l, Integration: "toggl", Expires: vault.Expires30d})
		}
		some := 0
		for _, f := range filters {
			f.At = noon
			list, err := w.Connections(t.Context(), w.env.ID, f)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, c := range list {
				if c.Status != vault.StatusRevoked {
					want = append(want, c.ID)
				}
			}
			slices.Sort(want)
			slices.Reverse(want)
			some += min(len(want), 1)
			for _, look := range []int{1, 3, 1000} {
				got, _ := gathered(t, w, w.env.ID, f, look)
				equal(t, fmt.Sprintf("%+v, %d at a time", f, look), got, want)
			}
		}
		if some < len(filters)/2 {
			t.Errorf("only %d of %d filters match anything", some, len(filters))
		}
	})
}

// A connection that matches all the while is found, whatever moves in the order
// of the list meanwhile.
func TestGatherRevocableWhileTimesMove(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		const day = 24 * time.Hour
		for what, f := range map[string]vault.ConnectionFilter{
			"last read": {LastRead: vault.LastReadOver7, At: noon},
			"lately":    {LastRead: vault.LastRead24h, At: noon},
			"expiry":    {Expires: vault.Expires30d, At: noon},
		} {
			w := newWorld(t, db.Open(t))
			raw := db.Raw(t)
			var want []string
			for range 12 {
				want = append(want, w.connect(func(c *vault.ConnectionRow) {
					c.Renewable, c.ExpiresAt, c.LastReadAt = false, noon.Add(10*day), noon.Add(-20*day)
					if f.LastRead == vault.LastRead24h {
						c.LastReadAt = noon
					}
				}).ID)
			}
			slices.Reverse(want)
			var got []string
			for below, i := "con_~", 0; below != ""; i++ {
				ids, next, err := w.GatherRevocable(t.Context(), w.env.ID, f, below, 2)
				if err != nil {
					t.Fatal(err)
				}
				got, below = append(got, ids...), next
				// All that is still to be looked at goes to either end of the list's order.
				ends, read := noon.Add(time.Hour), noon.Add(-90*day)
				if i%2 == 1 {
					ends, read = noon.Add(29*day), noon.Add(-8*day)
				}
				if f.LastRead == vault.LastRead24h {
					read = noon.Add(-time.Duration(i%2) * 20 * time.Hour)
				}
				if _, err := raw.ExecContext(t.Context(), `UPDATE connections SET expires_at = $1, last_read_at = $2 WHERE environment_id = $3`,
					ends.UnixMicro(), read.UnixMicro(), w.env.ID); err != nil {
					t.Fatal(err)
				}
			}
			equal(t, what, got, want)
		}
	})
}

// A part looks at no more than it is told to, along one index, of which it reads a
// range in its own order: also where nothing matches for a long way.
func TestGatheringUsesIndexes(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		if db.Kind == "postgres" {
			db.URL += "&options=" + "-c%20enable_seqscan%3Doff" // an empty table is fastest read whole
		}
		s := db.Open(t)
		w := newWorld(t, s)
		const n, look = 3000, 500
		row := w.connect()
		crowd(t, db, row.ID, n)
		crowd(t, db, w.elsewhere().connect().ID, 4*n) // no part may go past these
		plans := map[string]string{}
		shown, _ := s.Explained(func(query, plan string) { plans[query] = plan })
		every := (n + 1 + look) / look
		for what, c := range map[string]struct {
			f vault.ConnectionFilter
			// by are columns that one of the statements searches by, in as many parts.
			by    []string
			parts int
		}{
			"all":                         {vault.ConnectionFilter{}, []string{"environment_id", "id"}, every},
			"integration":                 {vault.ConnectionFilter{Integration: "toggl"}, []string{"integration_id", "id"}, every},
			"status of all":               {vault.ConnectionFilter{Status: "active"}, []string{"status", "id"}, every},
			"rare status":                 {vault.ConnectionFilter{Status: "reconnect_required"}, []string{"status", "id"}, 1},
			"integration and rare status": {vault.ConnectionFilter{Integration: "toggl", Status: "reconnect_required"}, []string{"integration_id", "status", "id"}, 1},
			"end user":                    {vault.ConnectionFilter{EndUserID: "user-7"}, []string{"end_user_id", "id"}, 1},
			"failing":                     {vault.ConnectionFilter{Failing: true}, []string{"environment_id", "id"}, 1},
			"expired":                     {vault.ConnectionFilter{Expires: vault.ExpiresPast}, []string{"status", "id"}, every},
			"expires, of one":             {vault.ConnectionFilter{Expires: vault.Expires30d, Integration: "toggl"}, []string{"integration_id", "status", "id"}, every},
			"read long ago":               {vault.ConnectionFilter{LastRead: vault.LastReadOver30}, []string{"environment_id", "id"}, every},
			"read long ago, rare status":  {vault.ConnectionFilter{LastRead: vault.LastReadOver30, Status: "reconnect_required"}, []string{"status", "id"}, 1},
			"nothing":                     {vault.ConnectionFilter{LastRead: vault.LastReadOver90, At: noon.Add(-time.Hour * 24 * 365)}, []string{"environment_id", "id"}, every},
			"rare word":                   {vault.ConnectionFilter{Query: "user-77"}, []string{"term"}, 1},
			"word of all":                 {vault.ConnectionFilter{Query: "user"}, []string{"environment_id", "id", "connection_id"}, every},
			"rare tag":                    {vault.ConnectionFilter{Tags: map[string]string{"rare": "yes"}}, []string{"value"}, 1},
			"tag of all":                  {vault.ConnectionFilter{Tags: map[string]string{"all": "yes"}}, []string{"environment_id", "id", "connection_id"}, every},
		} {
			if c.f.At.IsZero() {
				c.f.At = noon
			}
			clear(plans)
			if _, parts := gathered(t, shown, w.env.ID, c.f, look); parts < c.parts-1 || parts > c.parts {
				t.Errorf("%s: in %d parts, want %d", what, parts, c.parts)
			}
			wantSearched(t, what, plans, c.by)
		}
		if n <= store.NarrowMost {
			t.Error("no word is that of many")
		}
	})
}
