package vault_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// happened lists what has happened since a position, and the position to go on
// from.
func (b *bench) happened(t *testing.T, after int64) ([]vault.Event, int64) {
	t.Helper()
	events, err := b.Events(t.Context(), b.caller, after, 100)
	must(t, err)
	if len(events) > 0 {
		after = events[len(events)-1].Position
	}
	return events, after
}

// reconnected links a connection anew, for a host that redeems or not.
func (b *bench) reconnected(t *testing.T, id string, redeem bool) {
	t.Helper()
	n := vault.NewSession{ConnectionID: id}
	if !redeem {
		caller, _, _ := b.bound(t, n)
		_, err := b.Link(t.Context(), caller, b.in, "oidc", grant("anew", b.clock().Add(time.Hour)))
		must(t, err)
		return
	}
	s, l := redeemable(t, b, n)
	_, err := b.Redeem(t.Context(), b.caller, s.ID, l.Result, ada.ID)
	must(t, err)
}

// fail has n refreshes of a connection fail in a row.
func (b *bench) fail(t *testing.T, id string, n int) {
	t.Helper()
	for range n {
		r, err := b.ClaimRenewal(t.Context(), vault.System("refresh", b.caller.EnvironmentID), id, 1, "me", time.Minute)
		must(t, err)
		must(t, b.AbandonRenewal(t.Context(), b.caller, r, vault.Setback{Reason: "transient"}))
	}
}

func (b *bench) imported(t *testing.T) vault.Connection {
	t.Helper()
	c, err := b.ImportConnection(t.Context(), b.caller, vault.NewImport{Integration: b.in, Method: "oidc", Grant: grant("r", time.Time{}), EndUser: ada})
	must(t, err)
	return c
}

// condemned is a connection that the end user has to link again.
func (b *bench) condemned(t *testing.T) vault.Connection {
	t.Helper()
	c := b.linked(t, "r")
	ok, err := b.Condemn(t.Context(), b.caller, c, vault.ReasonRejected)
	must(t, err)
	if !ok {
		t.Fatal("was not condemned")
	}
	return b.connection(t, c.ID)
}

// TestEventsOfActions: each way of linking and ending a connection, and what a
// follower hears of it.
func TestEventsOfActions(t *testing.T) {
	type heard struct {
		Type       vault.EventType
		Status     vault.Status
		Reason     string
		Generation int64
	}
	created := heard{vault.EventCreated, vault.StatusActive, "", 1}
	revoked := heard{vault.EventRevoked, vault.StatusRevoked, vault.ReasonRevokedByCaller, 1}
	recovered := heard{vault.EventRecovered, vault.StatusActive, "", 2}
	cases := map[string]struct {
		// before makes a connection, and nothing that it does counts.
		before func(*testing.T, *bench) string
		action func(t *testing.T, b *bench, id string)
		want   []heard
	}{
		"linked":          {nil, func(t *testing.T, b *bench, _ string) { b.linked(t, "r") }, []heard{created}},
		"imported":        {nil, func(t *testing.T, b *bench, _ string) { b.imported(t) }, []heard{created}},
		"pending":         {nil, func(t *testing.T, b *bench, _ string) { redeemable(t, b, vault.NewSession{}) }, nil},
		"imported, twice": {nil, importTwice, []heard{created}},
		"redeemed": {nil, func(t *testing.T, b *bench, _ string) {
			s, l := redeemable(t, b, vault.NewSession{})
			_, err := b.Redeem(t.Context(), b.caller, s.ID, l.Result, ada.ID)
			must(t, err)
		}, []heard{created}},
		"redeemed for somebody else": {nil, func(t *testing.T, b *bench, _ string) {
			s, l := redeemable(t, b, vault.NewSession{})
			_, err := b.Redeem(t.Context(), b.caller, s.ID, l.Result, "mallory")
			wantKind(t, err, fault.Conflict)
		}, nil},
		"redeemed too late": {nil, func(t *testing.T, b *bench, _ string) {
			redeemable(t, b, vault.NewSession{})
			b.pass(vault.RedeemTTL + time.Second)
			must(t, b.Tidy(t.Context()))
		}, nil},
		"pending, revoked":            {waiting, revoke, nil},
		"pending, deleted":            {waiting, remove, nil},
		"pending, linked anew":        {waiting, func(t *testing.T, b *bench, id string) { b.reconnected(t, id, false) }, []heard{{vault.EventCreated, vault.StatusActive, "", 2}}},
		"active, linked anew":         {live, func(t *testing.T, b *bench, id string) { b.reconnected(t, id, false) }, nil},
		"active, redeemed anew":       {live, func(t *testing.T, b *bench, id string) { b.reconnected(t, id, true) }, nil},
		"active, a refresh fails":     {live, func(t *testing.T, b *bench, id string) { b.fail(t, id, 1) }, nil},
		"active, refreshes fail":      {live, func(t *testing.T, b *bench, id string) { b.fail(t, id, 5) }, []heard{{vault.EventRefreshFailing, vault.StatusActive, "transient", 1}}},
		"failing, linked anew":        {failing, func(t *testing.T, b *bench, id string) { b.reconnected(t, id, false) }, []heard{recovered}},
		"failing, redeemed anew":      {failing, func(t *testing.T, b *bench, id string) { b.reconnected(t, id, true) }, []heard{recovered}},
		"failing, revoked":            {failing, revoke, []heard{revoked}},
		"active, condemned":           {nil, func(t *testing.T, b *bench, _ string) { b.condemned(t) }, []heard{created, {vault.EventReconnectRequired, vault.StatusReconnectRequired, vault.ReasonRejected, 1}}},
		"condemned, linked anew":      {dead, func(t *testing.T, b *bench, id string) { b.reconnected(t, id, false) }, []heard{recovered}},
		"condemned, redeemed anew":    {dead, func(t *testing.T, b *bench, id string) { b.reconnected(t, id, true) }, []heard{recovered}},
		"condemned, not yet redeemed": {dead, candidate, nil},
		"condemned, never redeemed": {dead, func(t *testing.T, b *bench, id string) {
			candidate(t, b, id)
			b.pass(vault.RedeemTTL + time.Second)
			must(t, b.Tidy(t.Context()))
		}, nil},
		"revoked":            {live, revoke, []heard{revoked}},
		"condemned, revoked": {dead, revoke, []heard{revoked}},
		"revoked again": {live, func(t *testing.T, b *bench, id string) {
			revoke(t, b, id)
			_, err := b.Revoke(t.Context(), b.caller, id)
			wantKind(t, err, fault.Revoked)
		}, []heard{revoked}},
		"deleted": {live, remove, []heard{revoked}},
		"deleted with a candidate": {live, func(t *testing.T, b *bench, id string) {
			candidate(t, b, id)
			remove(t, b, id)
		}, []heard{revoked}},
		"revoked, deleted": {live, func(t *testing.T, b *bench, id string) { revoke(t, b, id); remove(t, b, id) }, []heard{revoked}},
		"tagged": {live, func(t *testing.T, b *bench, id string) {
			_, err := b.PatchConnection(t.Context(), b.caller, id, vault.ConnectionPatch{Tags: &map[string]string{"a": "b"}})
			must(t, err)
		}, nil},
	}
	each(t, func(t *testing.T, b *bench) {
		for name, c := range cases {
			var id string
			if c.before != nil {
				id = c.before(t, b)
			}
			_, from := b.happened(t, 0)
			c.action(t, b, id)
			events, _ := b.happened(t, from)
			var got []heard
			for _, e := range events {
				got = append(got, heard{e.Type, e.Status, e.Reason, e.Generation})
				if id != "" && e.ConnectionID != id || e.ID == "" || e.EnvironmentID != b.caller.EnvironmentID ||
					!e.At.Equal(b.clock()) || e.Integration != "timelog" || e.Provider != "timelog" || e.EndUserID != ada.ID {
					t.Errorf("%s: event %+v of connection %s", name, e, id)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

// TestEventsOfAnIntegration: with it end those that anybody has heard of.
func TestEventsOfAnIntegration(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		want := []string{live(t, b), dead(t, b)}
		candidate(t, b, want[0])
		waiting(t, b)
		_, from := b.happened(t, 0)
		b.removeIntegration(t)
		events, _ := b.happened(t, from)
		var got []string
		for _, e := range events {
			if e.Type != vault.EventRevoked || e.Integration != "timelog" {
				t.Errorf("event %+v", e)
			}
			got = append(got, e.ConnectionID)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func live(t *testing.T, b *bench) string { return b.linked(t, "r").ID }
func dead(t *testing.T, b *bench) string { return b.condemned(t).ID }

func failing(t *testing.T, b *bench) string {
	id := live(t, b)
	b.fail(t, id, 4)
	return id
}

func waiting(t *testing.T, b *bench) string {
	_, l := redeemable(t, b, vault.NewSession{})
	return l.Connection.ID
}

func candidate(t *testing.T, b *bench, id string) {
	redeemable(t, b, vault.NewSession{ConnectionID: id})
}

func revoke(t *testing.T, b *bench, id string) {
	_, err := b.Revoke(t.Context(), b.caller, id)
	must(t, err)
}

func remove(t *testing.T, b *bench, id string) {
	_, err := b.DeleteConnection(t.Context(), b.caller, id)
	must(t, err)
}

func importTwice(t *testing.T, b *bench, _ string) {
	n := vault.NewImport{Integration: b.in, Method: "oidc", Grant: grant("r", time.Time{}), EndUser: ada, ExternalID: "one"}
	_, err := b.ImportConnection(t.Context(), b.caller, n)
	must(t, err)
	_, err = b.ImportConnection(t.Context(), b.caller, n)
	wantKind(t, err, fault.Conflict)
}

// brittle is a store whose transactions fail at the end, or where they write
// an event.
type brittle struct {
	vault.Store
	atEvent bool
}

var errBrittle = errors.New("brittle")

func (s brittle) Update(ctx context.Context, fn func(vault.Tx) error) error {
	return s.Store.Update(ctx, func(tx vault.Tx) error {
		if s.atEvent {
			return fn(noEvents{tx})
		}
		if err := fn(tx); err != nil {
			return err
		}
		return errBrittle
	})
}

type noEvents struct{ vault.Tx }

func (noEvents) InsertEvent(context.Context, vault.Event) error { return errBrittle }

// TestEventsAndChangesAreOne: no change without its event, no event without its
// change.
func TestEventsAndChangesAreOne(t *testing.T) {
	actions := map[string]func(*testing.T, *bench) func(*vault.Vault) error{
		"link": func(t *testing.T, b *bench) func(*vault.Vault) error {
			caller, _, _ := b.bound(t, vault.NewSession{})
			return func(v *vault.Vault) error {
				_, err := v.Link(t.Context(), caller, b.in, "oidc", grant("r", time.Time{}))
				return err
			}
		},
		"import": func(t *testing.T, b *bench) func(*vault.Vault) error {
			return func(v *vault.Vault) error {
				_, err := v.ImportConnection(t.Context(), b.caller, vault.NewImport{Integration: b.in, Method: "oidc", Grant: grant("r", time.Time{}), EndUser: ada})
				return err
			}
		},
		"redeem": func(t *testing.T, b *bench) func(*vault.Vault) error {
			s, l := redeemable(t, b, vault.NewSession{})
			return func(v *vault.Vault) error {
				_, err := v.Redeem(t.Context(), b.caller, s.ID, l.Result, ada.ID)
				return err
			}
		},
		"mend": func(t *testing.T, b *bench) func(*vault.Vault) error {
			caller, _, _ := b.bound(t, vault.NewSession{ConnectionID: dead(t, b)})
			return func(v *vault.Vault) error {
				_, err := v.Link(t.Context(), caller, b.in, "oidc", grant("r", time.Time{}))
				return err
			}
		},
		"promote": func(t *testing.T, b *bench) func(*vault.Vault) error {
			s, l := redeemable(t, b, vault.NewSession{ConnectionID: dead(t, b)})
			return func(v *vault.Vault) error {
				_, err := v.Redeem(t.Context(), b.caller, s.ID, l.Result, ada.ID)
				return err
			}
		},
		"revoke": func(t *testing.T, b *bench) func(*vault.Vault) error {
			id := live(t, b)
			return func(v *vault.Vault) error {
				_, err := v.Revoke(t.Context(), b.caller, id)
				return err
			}
		},
	}
	each(t, func(t *testing.T, b *bench) {
		var broken []*vault.Vault
		for _, atEvent := range []bool{true, false} {
			broken = append(broken, vault.New(vault.Config{
				Store: brittle{b.db.Open(t), atEvent}, Keyset: b.keyset, Now: b.clock,
				CheckIntegration: func(vault.Integration) error { return nil }, TellProvider: b.tell,
			}))
		}
		for name, prepare := range actions {
			run := prepare(t, b)
			_, from := b.happened(t, 0)
			before := string(b.db.Rows(t))
			for i, v := range broken {
				if err := run(v); !errors.Is(err, errBrittle) {
					t.Fatalf("%s on %d: %v", name, i, err)
				}
				if after := string(b.db.Rows(t)); after != before {
					t.Errorf("%s on %d: something was written", name, i)
				}
			}
			must(t, run(b.Vault))
			if events, _ := b.happened(t, from); len(events) != 1 {
				t.Errorf("%s: %d events of one change", name, len(events))
			}
		}
	})
}

func TestEventsOfAnotherEnvironment(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.linked(t, "r")
		env, err := b.EnsureEnvironment(t.Context(), "dev")
		must(t, err)
		events, err := b.Events(t.Context(), b.key(t, env.ID), 0, 10)
		if err != nil || len(events) != 0 {
			t.Errorf("a stranger sees %+v, %v", events, err)
		}
	})
}

// TestEventsAreNumberedAndForgotten: the background gives positions to all that
// there is, and ends what is older than thirty days.
func TestEventsAreNumberedAndForgotten(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		s := b.db.Open(t)
		insert := func(n int) {
			must(t, s.Update(t.Context(), func(tx vault.Tx) error {
				for range n {
					e := vault.Event{
						ID: vault.NewState().Reveal(), EnvironmentID: b.caller.EnvironmentID, At: b.clock(), Type: vault.EventRefreshed,
						ConnectionID: "con_x", Status: vault.StatusActive, Generation: 1,
					}
					if err := tx.InsertEvent(t.Context(), e); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		positions := func() []int64 {
			list, err := s.Events(t.Context(), b.caller.EnvironmentID, nil, 0, 1<<20)
			must(t, err)
			at := make([]int64, len(list))
			for i, e := range list {
				at[i] = e.Position
			}
			return at
		}
		const many = 1100
		insert(many) // more than are numbered at once
		must(t, b.Tidy(t.Context()))
		if at := positions(); len(at) != many || !slices.IsSorted(at) || at[0] != 1 || at[many-1] != many {
			t.Errorf("%d events are numbered", len(at))
		}
		b.pass(29 * 24 * time.Hour)
		insert(1)
		must(t, b.Tidy(t.Context()))
		if at := positions(); len(at) != many+1 {
			t.Errorf("%d events are kept after 29 days", len(at))
		}
		b.pass(25 * time.Hour)
		must(t, b.Tidy(t.Context()))
		if diff := cmp.Diff([]int64{many + 1}, positions()); diff != "" {
			t.Errorf("after 30 days: %s", diff)
		}
	})
}

// TestRunNumbersEvents: somebody who only looks at the database sees them too.
func TestRunNumbersEvents(t *testing.T) {
	t.Parallel()
	b := newBench(t, storetest.SQLite(t))
	s := b.db.Open(t)
	b.linked(t, "r")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := s.Events(t.Context(), b.caller.EnvironmentID, nil, 0, 10)
		must(t, err)
		if len(list) == 1 {
			break
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("not numbered in time")
		}
	}
	stop()
	must(t, <-done)
}
