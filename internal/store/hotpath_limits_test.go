package store_test

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// TestLookupLimits: what a key is limited to comes with it, alone and in a
// batch, and belongs to nobody else in the batch.
func TestLookupLimits(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		row := w.connect()
		key := func(name string, integrations []string, addresses ...string) vault.APIKey {
			k := vault.APIKey{ID: newID("key"), EnvironmentID: w.env.ID, Hash: hash(name), Scopes: w.key.Scopes, Integrations: integrations, CreatedAt: noon}
			for _, a := range addresses {
				k.Addresses = append(k.Addresses, netip.MustParsePrefix(a))
			}
			w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAPIKey(ctx, k) })
			return k
		}
		keys := []vault.APIKey{
			w.key,
			key("integrations", []string{"toggl", "time-log_2"}),
			key("addresses", nil, "10.0.0.0/8", "2001:db8::/32"),
			key("both", []string{"other"}, "192.0.2.7/32"),
		}
		ask := func(n int, k *vault.APIKey, id string) {
			got, err := w.LookupHeaders(t.Context(), k.Hash, id)
			if err != nil || got == nil {
				t.Errorf("%d: %v", n, err)
				return
			}
			want := w.found(k, &row)
			if id != row.ID {
				want = w.found(k, nil)
			}
			if len(k.Integrations)+len(k.Addresses) > 0 {
				want.KeyLimits = &vault.KeyLimits{Integrations: k.Integrations, Addresses: k.Addresses}
				if id == row.ID {
					want.Integration = w.in.Key
				}
			}
			l := got.KeyLimits
			if (l == nil) != (want.KeyLimits == nil) ||
				l != nil && (!slices.Equal(l.Integrations, want.KeyLimits.Integrations) || !slices.Equal(l.Addresses, want.KeyLimits.Addresses)) {
				t.Errorf("%d: limits %+v, want %+v", n, l, want.KeyLimits)
			}
			if got.KeyID != want.KeyID || got.Status != want.Status || got.Integration != want.Integration {
				t.Errorf("%d: %s, %s, %s", n, got.KeyID, got.Status, got.Integration)
			}
		}
		for n := range keys {
			ask(n, &keys[n], row.ID)
			ask(n, &keys[n], "con_none")
		}
		var wg sync.WaitGroup
		for n := range 200 {
			wg.Go(func() {
				id := row.ID
				if n%3 == 0 {
					id = "con_none"
				}
				ask(n, &keys[n%len(keys)], id)
			})
		}
		wg.Wait()
	})
}

// TestLimitsAreKept: on the way in and out, and by a change.
func TestLimitsAreKept(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		k := vault.APIKey{
			ID: newID("key"), EnvironmentID: w.env.ID, Hash: hash("limited"), Scopes: w.key.Scopes, CreatedAt: noon, ReplacesID: w.key.ID,
			Integrations: []string{"toggl", "gone"}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::/0")},
		}
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAPIKey(ctx, k) })
		read := func() *vault.APIKey {
			t.Helper()
			got, err := w.APIKey(t.Context(), w.env.ID, k.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&k, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
			return got
		}
		read()
		successor := func(of string) string {
			t.Helper()
			got, err := w.APIKeySuccessor(t.Context(), w.env.ID, of)
			if err != nil {
				t.Fatal(err)
			}
			if got == nil {
				return ""
			}
			return got.ID
		}
		if got := successor(w.key.ID); got != k.ID || successor(k.ID) != "" {
			t.Errorf("successor %q", got)
		}
		k.Integrations, k.Addresses = nil, []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
		w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) { return tx.UpdateAPIKey(ctx, k) })
		read()
		w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
			return tx.RevokeAPIKey(ctx, w.env.ID, k.ID, noon)
		})
		if got := successor(w.key.ID); got != "" {
			t.Errorf("a revoked successor %q", got)
		}
		stranger := k
		stranger.ID, stranger.Hash, stranger.EnvironmentID = newID("key"), hash("stranger"), other.env.ID
		err := w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAPIKey(ctx, stranger) })
		wantErr(t, "a key that takes over from another environment's", err, vault.ErrNotFound)
	})
}
