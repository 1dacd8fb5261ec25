package store_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store"
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
			"the beginning of an email, any case": {vault.ConnectionFilter{Query: "aDA@eXAMPLE"}, "a"},
			"what comes after the @":              {vault.ConnectionFilter{Query: "Example.COM"}, "a"},
			"an end user":                         {vault.ConnectionFilter{Query: "sOMEo"}, "edc"},
			"not the middle of a word":            {vault.ConnectionFilter{Query: "meone"}, ""},
			"a word of a label, any case":         {vault.ConnectionFilter{Query: "äöü"}, "d"},
			"all words":                           {vault.ConnectionFilter{Query: "äö GRÖß"}, "d"},
			"words of two":                        {vault.ConnectionFilter{Query: "äö ada"}, ""},
			"a query is not a pattern":            {vault.ConnectionFilter{Query: "%"}, ""},
			"nor is this":                         {vault.ConnectionFilter{Query: "100%_S"}, "c"},
			"nor is the escape":                   {vault.ConnectionFilter{Query: `100%_sure\`}, "c"},
			"the beginning of all ids":            {vault.ConnectionFilter{Query: "con_"}, "edcba"},
			"an id and a word":                    {vault.ConnectionFilter{Query: "con_ ada"}, "ba"},
			"a word and a tag":                    {vault.ConnectionFilter{Query: "some", Tags: map[string]string{"team": "red"}}, "d"},
			"query nobody can have":               {vault.ConnectionFilter{Query: "a\x00"}, ""},
			"end user nobody can be":              {vault.ConnectionFilter{EndUserID: "\xff"}, ""},
			"a cursor nobody gave":                {vault.ConnectionFilter{Page: vault.Page{Cursor: "\x00"}}, ""},
			"a cursor of another list":            {vault.ConnectionFilter{Page: vault.Page{Cursor: "12.con_x"}}, ""},
			"nor of this one":                     {vault.ConnectionFilter{Expires: vault.Expires30d, At: noon, Page: vault.Page{Cursor: "con_x"}}, ""},
			"a cursor below everything":           {vault.ConnectionFilter{Page: vault.Page{Cursor: "a"}}, ""},
			"the first two":                       {vault.ConnectionFilter{Page: vault.Page{Limit: 2}}, "ed"},
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
			c.f.Page = vault.Page{}
			if list, err = w.Connections(ctx, w.env.ID, c.f); err != nil {
				t.Fatal(err)
			}
			if n, err := w.CountConnections(ctx, w.env.ID, c.f, 0); err != nil || n != len(list) {
				t.Errorf("%s: counted %d of %d: %v", what, n, len(list), err)
			}
			if n, err := w.CountConnections(ctx, w.env.ID, c.f, 2); err != nil || n != min(2, len(list)) {
				t.Errorf("%s: counted %d up to two: %v", what, n, err)
			}
		}
		list, err := w.Connections(ctx, w.env.ID, vault.ConnectionFilter{Integration: "timelog"})
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		equal(t, "listed whole", list[0], w.read(list[0].ID).Connection)
		ids, err := w.ConnectionsOf(ctx, w.env.ID, w.in.ID, "", 100)
		if err != nil || len(ids) != 5 || !slices.Contains(ids, candidate.ID) || !slices.IsSorted(ids) {
			t.Errorf("connections of the integration: %v, %v", ids, err)
		}
		if rest, err := w.ConnectionsOf(ctx, w.env.ID, w.in.ID, ids[1], 2); err != nil || !slices.Equal(rest, ids[2:4]) {
			t.Errorf("two from %s on: %v, %v", ids[1], rest, err)
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

// What is narrowed by a time comes in the order of that time, page after page.
func TestConnectionsByTime(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		names := map[string]string{}
		add := func(name string, change ...func(*vault.ConnectionRow)) {
			names[w.connect(change...).ID] = name
		}
		ends := func(renewable bool, headers, refresh time.Duration) func(*vault.ConnectionRow) {
			return func(c *vault.ConnectionRow) {
				c.Renewable, c.ExpiresAt, c.RefreshExpiresAt = renewable, time.Time{}, time.Time{}
				if headers != 0 {
					c.ExpiresAt = noon.Add(headers)
				}
				if refresh != 0 {
					c.RefreshExpiresAt = noon.Add(refresh)
				}
			}
		}
		read := func(ago time.Duration) func(*vault.ConnectionRow) {
			return func(c *vault.ConnectionRow) {
				if c.LastReadAt = noon.Add(-ago); ago < 0 {
					c.LastReadAt = time.Time{}
				}
			}
		}
		const day = 24 * time.Hour
		add("a", ends(true, time.Hour, 20*day), read(time.Hour))
		add("b", ends(true, time.Hour, 2*day), read(40*day))
		add("c", ends(false, 12*time.Hour, 0), read(100*day))
		add("d", ends(false, -time.Hour, 0), read(8*day))
		add("e", ends(true, -time.Hour, 0), read(-1))
		add("f", ends(false, 0, 0), read(23*time.Hour))
		add("g", ends(true, time.Hour, 3*day), read(25*time.Hour), func(c *vault.ConnectionRow) { c.Status = vault.StatusReconnectRequired })
		add("h", ends(false, 2*day, 0), read(-1), func(c *vault.ConnectionRow) { c.Tags = map[string]string{"team": "red"} })
		w.elsewhere().connect(ends(false, time.Hour, 0), read(40*day))

		for what, c := range map[string]struct {
			f    vault.ConnectionFilter
			want string
		}{
			"run out":                       {vault.ConnectionFilter{Expires: vault.ExpiresPast}, "d"},
			"within a day":                  {vault.ConnectionFilter{Expires: vault.Expires1d}, "c"},
			"within a week, soonest first":  {vault.ConnectionFilter{Expires: vault.Expires7d}, "cbh"},
			"within a month":                {vault.ConnectionFilter{Expires: vault.Expires30d}, "cbha"},
			"not known to":                  {vault.ConnectionFilter{Expires: vault.ExpiresNever}, "fe"},
			"only active ones run out":      {vault.ConnectionFilter{Expires: vault.Expires30d, Status: vault.StatusReconnectRequired}, ""},
			"and with a tag":                {vault.ConnectionFilter{Expires: vault.Expires30d, Tags: map[string]string{"team": "red"}}, "h"},
			"and of an integration":         {vault.ConnectionFilter{Expires: vault.Expires7d, Integration: "toggl"}, "cbh"},
			"never read, newest first":      {vault.ConnectionFilter{LastRead: vault.LastReadNever}, "he"},
			"read within a day":             {vault.ConnectionFilter{LastRead: vault.LastRead24h}, "af"},
			"not for a week, longest first": {vault.ConnectionFilter{LastRead: vault.LastReadOver7}, "cbd"},
			"not for a month":               {vault.ConnectionFilter{LastRead: vault.LastReadOver30}, "cb"},
			"not for a quarter":             {vault.ConnectionFilter{LastRead: vault.LastReadOver90}, "c"},
			"both":                          {vault.ConnectionFilter{LastRead: vault.LastReadOver7, Expires: vault.Expires7d}, "cb"},
			"and a word":                    {vault.ConnectionFilter{LastRead: vault.LastReadOver7, Query: "user"}, "cbd"},
		} {
			for _, limit := range []int{100, 1} {
				c.f.At, c.f.Page = noon, vault.Page{Limit: limit}
				got := ""
				for {
					list, err := w.Connections(ctx, w.env.ID, c.f)
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					for _, con := range list {
						got += names[con.ID]
						c.f.Page.Cursor = c.f.CursorOf(&con)
					}
					if len(list) < limit {
						break
					}
				}
				if got != c.want {
					t.Errorf("%s, %d at a time: %q, want %q", what, limit, got, c.want)
				}
			}
			if n, err := w.CountConnections(ctx, w.env.ID, c.f, 0); err != nil || n != len(c.want) {
				t.Errorf("%s: counted %d, want %d: %v", what, n, len(c.want), err)
			}
		}
	})
}

// A list is the same whether it begins with the few that a word brings, or looks
// for the word at all that it comes by.
func TestSearchAmongMany(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		var odd []string
		w.do(func(ctx context.Context, tx vault.Tx) error {
			odd = nil
			for i := range store.NarrowMost + 10 {
				row := w.full()
				row.EndUser, row.Account.Label, row.ExternalID = vault.EndUser{ID: "many"}, "even", ""
				row.Tags = map[string]string{"all": "yes"}
				if i%2 == 1 {
					row.Account.Label = "odd"
					odd = append(odd, row.ID)
				}
				if err := tx.InsertConnection(ctx, row); err != nil {
					return err
				}
			}
			return nil
		})
		slices.Reverse(odd)
		for what, f := range map[string]vault.ConnectionFilter{
			"few, among the many": {Query: "odd man"},
			"few, tagged":         {Query: "odd", Tags: map[string]string{"all": "yes"}},
		} {
			f.Page.Limit = 20
			var got []string
			for len(got) == 0 || f.Page.Cursor != "" {
				list, err := w.Connections(ctx, w.env.ID, f)
				if err != nil {
					t.Fatal(err)
				}
				f.Page.Cursor = ""
				for _, c := range list {
					got, f.Page.Cursor = append(got, c.ID), c.ID
				}
			}
			equal(t, what, got, odd)
		}
		for _, f := range []vault.ConnectionFilter{{Query: "man"}, {Tags: map[string]string{"all": "yes"}}} {
			f.Page.Limit = 1000
			list, err := w.Connections(ctx, w.env.ID, f)
			if err != nil || len(list) != 1000 {
				t.Errorf("%d of the many: %v", len(list), err)
			}
		}
	})
}

// A refresh may bring another label; what is searched for goes with it.
func TestTermsFollowTheLabel(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		c := w.connect()
		finds := func(q string) bool {
			list, err := w.Connections(t.Context(), w.env.ID, vault.ConnectionFilter{Query: q})
			if err != nil {
				t.Fatal(err)
			}
			return len(list) == 1
		}
		save := func(generation int64, ch vault.CredentialChange) bool {
			return w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
				return tx.SaveCredential(ctx, c.ID, generation, 0, ch)
			})
		}
		ch := change(vault.StatusActive)
		ch.Account.Label, ch.Relabelled = "Grace", true
		if save(7, ch) || finds("grace") || !finds("toggl") {
			t.Error("a save that was refused moved the words")
		}
		if !save(1, ch) || !finds("grace") || finds("toggl") || !finds("lovelace") {
			t.Error("the words are not those of the new label")
		}
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.DeleteConnection(ctx, c.ID) })
		contains(t, "words of deleted connections", db.Rows(t), "connection_terms.", false)
	})
}

// A text is found in each of the ways in which Unicode writes it, and shown as it
// was given.
func TestSearchIsOfNormalForms(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		const composed, decomposed = "Zo\u00eb", "Zoe\u0308"
		named := func(name string) func(*vault.ConnectionRow) {
			return func(c *vault.ConnectionRow) {
				c.EndUser, c.Account.Label, c.ExternalID = vault.EndUser{ID: "x", Name: name}, "", ""
				c.Tags = map[string]string{"who-" + name: name}
			}
		}
		one, two := w.connect(named(composed)), w.connect(named(decomposed))
		resolve := vault.New(vault.Config{})
		for what, f := range map[string]vault.ConnectionFilter{
			"composed":            {Query: composed},
			"decomposed":          {Query: decomposed},
			"its beginning":       {Query: "zo"},
			"a tag":               {Tags: map[string]string{"who-" + composed: composed}},
			"a decomposed tag":    {Tags: map[string]string{"who-" + decomposed: decomposed}},
			"a tag in the search": {Query: "tag:who-" + decomposed + "=" + composed},
		} {
			list, err := w.Connections(t.Context(), w.env.ID, resolve.ResolveFilter(vault.Caller{}, f))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, what, list, []vault.Connection{two.Connection, one.Connection})
		}
		tags := map[string]string{"who": decomposed}
		w.do(func(ctx context.Context, tx vault.Tx) error {
			return tx.UpdateConnection(ctx, one.ID, vault.ConnectionPatch{Tags: &tags}, noon)
		})
		list, err := w.Connections(t.Context(), w.env.ID, vault.ConnectionFilter{Tags: map[string]string{"who": composed}})
		if err != nil || len(list) != 1 || list[0].Tags["who"] != decomposed {
			t.Errorf("after a change: %+v, %v", list, err)
		}
	})
}
