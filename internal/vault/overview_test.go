package vault_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

func TestOverview(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const day = 24 * time.Hour
		other, err := b.CreateIntegration(t.Context(), b.caller, vault.Integration{Key: "clicktime", Provider: "clicktime"})
		must(t, err)
		add := func(in vault.Integration, g vault.Grant) vault.Connection {
			c, err := b.ImportConnection(t.Context(), b.caller, vault.NewImport{Integration: in, Method: "x", EndUser: vault.EndUser{ID: "u"}, Grant: g})
			must(t, err)
			return c
		}
		ends := func(after time.Duration) vault.Grant {
			g := grant("token", b.clock().Add(time.Hour))
			g.Renewable, g.RefreshExpiresAt = true, b.clock().Add(after)
			return g
		}
		add(b.in, ends(time.Hour))
		add(b.in, ends(6*day+time.Hour))
		add(b.in, ends(7*day+time.Hour))
		add(b.in, ends(31*day))
		gone := add(b.in, ends(day))
		_, err = b.Revoke(t.Context(), b.caller, gone.ID)
		must(t, err)
		condemned := add(other, ends(day))
		_, err = b.Condemn(t.Context(), b.caller, condemned, vault.ReasonRejected)
		must(t, err)
		failing := add(other, grant("token", b.clock().Add(time.Hour)))
		r, err := b.ClaimRenewal(t.Context(), b.caller, failing.ID, 1, "me", time.Minute)
		must(t, err)
		must(t, b.AbandonRenewal(t.Context(), b.caller, r, vault.Setback{Reason: "provider_unavailable"}))
		key := b.secretKey(t)
		for range 10 {
			s, err := b.LookupHeaders(t.Context(), vault.Bearer{Key: key}, failing.ID)
			must(t, err)
			_, err = b.OpenHeaders(t.Context(), s)
			must(t, err)
		}
		must(t, b.FlushReads(t.Context()))
		_, _, err = b.CreateAPIKey(t.Context(), b.caller, vault.NewAPIKey{Name: "soon", Scopes: vault.AllScopes(), ExpiresAt: b.clock().Add(3 * day)})
		must(t, err)
		_, _, err = b.CreateAPIKey(t.Context(), b.caller, vault.NewAPIKey{Name: "later", Scopes: vault.AllScopes(), ExpiresAt: b.clock().Add(30 * day)})
		must(t, err)
		elsewhere, err := b.EnsureEnvironment(t.Context(), "elsewhere")
		must(t, err)

		o, err := b.Overview(t.Context(), b.caller)
		must(t, err)
		want := []vault.Standing{
			{IntegrationID: other.ID, Key: "clicktime", Provider: "clicktime", Active: 1, Failing: 1, ReconnectRequired: 1, ReadsPerMinute: 2},
			{IntegrationID: b.in.ID, Key: "timelog", Provider: "timelog", Active: 4, Revoked: 1, Soon: 2, Month: 3},
		}
		if d := cmp.Diff(want, o.Standings); d != "" {
			t.Errorf("standings (-want +got)\n%s", d)
		}
		if o.Ends[0] != 1 || o.Ends[6] != 1 || o.Ends[7] != 1 || o.Ends[1] != 0 {
			t.Errorf("ends %v", o.Ends)
		}
		if len(o.Keys) != 1 || o.Keys[0].Name != "soon" {
			t.Errorf("keys %+v", o.Keys)
		}
		if total := o.Total(); total.Active != 5 || total.Soon != 2 || total.ReadsPerMinute != 2 {
			t.Errorf("total %+v", total)
		}
		empty, err := b.Overview(t.Context(), vault.System("test", elsewhere.ID))
		must(t, err)
		if len(empty.Standings) != 0 || empty.Total() != (vault.Standing{}) || len(empty.Keys) != 0 {
			t.Errorf("elsewhere: %+v", empty)
		}

		// For whom it is, and how old it may be.
		viewer := vault.Caller{Kind: vault.CallerAdmin, EnvironmentID: b.caller.EnvironmentID, Scopes: []vault.Scope{vault.ScopeConnectionsRead}}
		seen, err := b.Overview(t.Context(), viewer)
		must(t, err)
		if seen.Keys != nil {
			t.Error("keys for somebody who may not see any")
		}
		viewer.Integrations = []string{"clicktime"}
		seen, err = b.Overview(t.Context(), viewer)
		must(t, err)
		if len(seen.Standings) != 1 || seen.Total().Active != 1 || seen.Ends[0] != 0 {
			t.Errorf("limited to one, and sees %+v", seen)
		}
		viewer.Scopes = nil
		_, err = b.Overview(t.Context(), viewer)
		wantKind(t, err, fault.InsufficientScope)
		add(b.in, ends(time.Hour))
		b.pass(9 * time.Second)
		o, err = b.Overview(t.Context(), b.caller)
		must(t, err)
		if o.Total().Active != 5 {
			t.Error("counted again within ten seconds")
		}
		b.pass(time.Minute)
		o, err = b.Overview(t.Context(), b.caller)
		must(t, err)
		if o.Total().Active != 6 {
			t.Error("not counted again")
		}
	})
}

// counting counts how often the connections of an environment are counted, and
// lets nobody go on until it may.
type counting struct {
	vault.Store

	times atomic.Int32
	begun chan struct{}
	goOn  chan struct{}
}

func (c *counting) CountByStatus(ctx context.Context, environmentID string) ([]vault.StatusCount, error) {
	if c.times.Add(1) == 1 {
		close(c.begun)
	}
	<-c.goOn
	return c.Store.CountByStatus(ctx, environmentID)
}

// However many look, there is one count; it goes on when the first goes away.
func TestOverviewIsShared(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		store := &counting{Store: b.db.Open(t), begun: make(chan struct{}), goOn: make(chan struct{})}
		v := vault.New(vault.Config{Store: store, Keyset: b.keyset, Now: b.clock, Log: slog.New(slog.DiscardHandler)})
		first, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := v.Overview(first, b.caller)
			gone <- err
		}()
		<-store.begun
		cancel()
		if err := <-gone; err == nil {
			t.Error("who went away has an answer")
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if o, err := v.Overview(t.Context(), b.caller); err != nil || len(o.Standings) != 1 {
					t.Errorf("%+v, %v", o, err)
				}
			})
		}
		close(store.goOn)
		all.Wait()
		if n := store.times.Load(); n != 1 {
			t.Errorf("counted %d times", n)
		}
	})
}
