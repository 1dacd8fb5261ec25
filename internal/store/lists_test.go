package store_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

func TestConnectionFilters(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		w.elsewhere().connect() // in no list
		timelog := w.newIntegration("timelog")
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertIntegration(ctx, timelog) })

		plain := func(c *vault.ConnectionRow) {
			c.EndUser, c.Account, c.Tags, c.ExternalID = vault.EndUser{ID: "someone"}, vault.Account{}, nil, ""
		}
		names := map[string]string{}
		add := func(name string, change func(*vault.ConnectionRow)) {
			names[w.connect(plain, change).ID] = name
		}
		add("a", func(c *vault.ConnectionRow) {
			c.EndUser = vault.EndUser{ID: "ada", Email: "Ada@Example.com", Name: "Ada"}
		})
		add("b", func(c *vault.ConnectionRow) {
			c.IntegrationID, c.Integration, c.EndUser.ID = timelog.ID, timelog.Key, "ada"
			c.Tags = map[string]string{"team": "blue", "tier": "1"}
		})
		add("c", func(c *vault.ConnectionRow) { c.Tags, c.ExternalID = map[string]string{"team": "blue"}, "100%_sure\\" })
		add("d", func(c *vault.ConnectionRow) {
			c.Status, c.Account.Label = vault.StatusReconnectRequired, "Größe ÄÖÜ"
			c.Tags = map[string]string{"team": "red"}
		})
		add("e", pending(noon))
		candidate := w.connect(plain, pending(noon), func(c *vault.ConnectionRow) {
			for id, name := range names {
				if name == "a" {
					c.ReplacesID = id
				}
			}
			c.EndUser.ID = "ada"
		})
		names[candidate.ID] = "candidate"

		for what, c := range map[string]struct {
			f    vault.ConnectionFilter
			want string
		}{
			"all, newest first, no candidate": {vault.ConnectionFilter{}, "edcba"},
			"integration":                     {vault.ConnectionFilter{Integration: "timelog"}, "b"},
			"unknown integration":             {vault.ConnectionFilter{Integration: "none"}, ""},
			"end user":                        {vault.ConnectionFilter{EndUserID: "ada"}, "ba"},
			"status":                          {vault.ConnectionFilter{Status: vault.StatusReconnectRequired}, "d"},
			"pending":                         {vault.ConnectionFilter{Status: vault.StatusPending}, "e"},
			"tag":                             {vault.ConnectionFilter{Tags: map[string]string{"team": "blue"}}, "cb"},
			"all tags":                        {vault.ConnectionFilter{Tags: map[string]string{"team": "blue", "tier": "1"}}, "b"},
			"a tag of another value":          {vault.ConnectionFilter{Tags: map[string]string{"team": "Blue"}}, ""},
			"everything at once": {vault.ConnectionFilter{
				Integration: "timelog", EndUserID: "ada", Status: vault.StatusActive, Tags: map[string]string{"tier": "1"}, Query: "ADA",
			}, "b"},
			"query in email, any case":  {vault.ConnectionFilter{Query: "aDA@eXAMPLE"}, "a"},
			"query in end user":         {vault.ConnectionFilter{Query: "oMEo"}, "edc"},
			"query in label":            {vault.ConnectionFilter{Query: "gröSSe"}, ""},
			"query in label, ASCII":     {vault.ConnectionFilter{Query: "GRöß"}, "d"},
			"query is not a pattern":    {vault.ConnectionFilter{Query: "%"}, "c"},
			"nor is this":               {vault.ConnectionFilter{Query: "_"}, "edcba"}, // con_…
			"nor this":                  {vault.ConnectionFilter{Query: "0%_S"}, "c"},
			"nor is the escape":         {vault.ConnectionFilter{Query: `SURE\`}, "c"},
			"query nobody can have":     {vault.ConnectionFilter{Query: "a\x00"}, ""},
			"end user nobody can be":    {vault.ConnectionFilter{EndUserID: "\xff"}, ""},
			"a cursor nobody gave":      {vault.ConnectionFilter{Page: vault.Page{Cursor: "\x00"}}, ""},
			"a cursor below everything": {vault.ConnectionFilter{Page: vault.Page{Cursor: "a"}}, ""},
			"the first two":             {vault.ConnectionFilter{Page: vault.Page{Limit: 2}}, "ed"},
		} {
			list, err := w.Connections(ctx, w.env.ID, c.f)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			got := ""
			for _, con := range list {
				got += names[con.ID]
			}
			if got != c.want {
				t.Errorf("%s: %q, want %q", what, got, c.want)
			}
		}
		list, err := w.Connections(ctx, w.env.ID, vault.ConnectionFilter{Integration: "timelog"})
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		equal(t, "listed whole", list[0], w.read(list[0].ID).Connection)
		ids, err := w.ConnectionsOf(ctx, w.env.ID, w.in.ID)
		if err != nil || len(ids) != 5 || !slices.Contains(ids, candidate.ID) {
			t.Errorf("connections of the integration: %v, %v", ids, err)
		}
	})
}

// Whoever pages while others insert sees each item that was there at the
// start once.
func TestPaging(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		var want []string
		for range 25 {
			want = append(want, w.connect().ID)
		}
		slices.Reverse(want)

		stop := make(chan struct{})
		inserted := make(chan struct{}, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			second := w.on(db.Open(t))
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := second.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertConnection(ctx, second.full()) }); err != nil {
					t.Error(err)
					return
				}
				select {
				case inserted <- struct{}{}:
				default:
				}
			}
		})
		var got []string
		f := vault.ConnectionFilter{Page: vault.Page{Limit: 4}}
		for {
			<-inserted
			list, err := w.Connections(ctx, w.env.ID, f)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range list {
				got = append(got, c.ID)
			}
			if len(list) < 4 {
				break
			}
			f.Page.Cursor = got[len(got)-1]
		}
		close(stop)
		wg.Wait()
		if i := slices.Index(got, want[0]); i < 0 {
			t.Error("the newest of the start is missing")
		} else {
			equal(t, "what was there at the start", got[i:], want)
		}
		if !slices.IsSortedFunc(got, func(a, b string) int { return cmp.Compare(b, a) }) {
			t.Error("not newest first")
		}
	})
}

func TestPendingBefore(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		late := w.connect(pending(noon))
		later := w.elsewhere().connect(pending(noon.Add(-time.Minute))) // any environment
		w.connect(pending(noon.Add(time.Microsecond)))
		redeemed := w.connect(pending(noon))
		w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
			return tx.SetStatus(ctx, redeemed.ID, 1, vault.StatusActive, "", noon)
		})
		list, err := w.PendingBefore(ctx, noon, 10)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "overdue", list, []vault.Connection{later.Connection, late.Connection})
		if list, err = w.PendingBefore(ctx, noon, 1); err != nil || len(list) != 1 {
			t.Errorf("limit 1: %d, %v", len(list), err)
		}
	})
}
