package vault_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// TestKeysWorkEverywhereAtOnce: what is done to a key on one replica holds on the
// others from the next request on, on both ways in.
func TestKeysWorkEverywhereAtOnce(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		k, key, err := b.CreateAPIKey(t.Context(), b.caller, vault.NewAPIKey{Name: "reader", Scopes: []vault.Scope{vault.ScopeCredentialsRead}})
		must(t, err)
		replica := b.replica(t)
		ask := func() []error {
			_, err := replica.Authenticate(t.Context(), vault.Bearer{Key: key})
			_, headers := replica.LookupHeaders(t.Context(), vault.Bearer{Key: key}, c.ID)
			return []error{err, headers}
		}
		change := func(p vault.APIKeyPatch) {
			t.Helper()
			_, err := b.ChangeAPIKey(t.Context(), b.caller, k.ID, p)
			must(t, err)
		}
		for _, err := range ask() {
			must(t, err)
		}
		change(vault.APIKeyPatch{Addresses: &[]string{"192.0.2.1"}})
		for _, err := range ask() {
			wantKind(t, err, fault.Unauthenticated)
		}
		change(vault.APIKeyPatch{Addresses: &[]string{}, ExpiresAt: new(b.clock().Add(time.Hour))})
		for _, err := range ask() {
			must(t, err)
		}
		b.pass(time.Hour)
		for _, err := range ask() {
			wantKind(t, err, fault.Unauthenticated)
		}
		change(vault.APIKeyPatch{ExpiresAt: &time.Time{}})
		_, err = b.CreateIntegration(t.Context(), b.caller, vault.Integration{Key: "other", Provider: "x"})
		must(t, err)
		change(vault.APIKeyPatch{Integrations: &[]string{"other"}})
		wantKind(t, ask()[1], fault.NotFound)
		change(vault.APIKeyPatch{Integrations: &[]string{"other", "timelog"}})
		must(t, ask()[1])
		must(t, b.RevokeAPIKey(t.Context(), b.caller, k.ID))
		for _, err := range ask() {
			wantKind(t, err, fault.Unauthenticated)
		}
	})
}

// TestALimitOutlivesItsIntegration: to nothing is a limit, too.
func TestALimitOutlivesItsIntegration(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		_, err := b.CreateIntegration(t.Context(), b.caller, vault.Integration{Key: "other", Provider: "x"})
		must(t, err)
		_, key, err := b.CreateAPIKey(t.Context(), b.caller, vault.NewAPIKey{
			Name: "reader", Scopes: []vault.Scope{vault.ScopeCredentialsRead, vault.ScopeConnectionsRead}, Integrations: []string{"other"},
		})
		must(t, err)
		must(t, b.DeleteIntegration(t.Context(), b.caller, "other"))
		_, err = b.LookupHeaders(t.Context(), vault.Bearer{Key: key}, c.ID)
		wantKind(t, err, fault.NotFound)
		caller, err := b.Authenticate(t.Context(), vault.Bearer{Key: key})
		must(t, err)
		list, err := b.Connections(t.Context(), caller, vault.ConnectionFilter{Page: vault.Page{Limit: 10}})
		if err != nil || len(list) != 0 {
			t.Errorf("listed %d, %v", len(list), err)
		}
	})
}

// TestAddresses: from where a key is taken, on both ways in.
func TestAddresses(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		_, key, err := b.CreateAPIKey(t.Context(), b.caller, vault.NewAPIKey{
			Name: "reader", Scopes: []vault.Scope{vault.ScopeCredentialsRead}, Addresses: []string{"10.20.0.0/16", "192.0.2.7", "2001:db8::/32"},
		})
		must(t, err)
		for from, want := range map[string]bool{
			"10.20.0.0": true, "10.20.255.255": true, "10.21.0.0": false, "192.0.2.7": true, "192.0.2.8": false,
			"::ffff:192.0.2.7": true, "2001:db8:ffff::1": true, "2001:db9::1": false, "::1": false, "fe80::1%eth0": false, "": false,
		} {
			bearer := vault.Bearer{Key: key}
			if from != "" {
				bearer.From = netip.MustParseAddr(from)
			}
			_, one := b.Authenticate(t.Context(), bearer)
			_, other := b.LookupHeaders(t.Context(), bearer, c.ID)
			if (one == nil) != want || (other == nil) != want {
				t.Errorf("from %q: %v, %v", from, one, other)
			}
		}
	})
}

// TestOwnersHandOutAnyScope: none of which reads a credential by themselves.
func TestOwnersHandOutAnyScope(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		admin := func(r vault.Role, since time.Duration) vault.Caller {
			return vault.Caller{
				Kind: vault.CallerAdmin, ID: "adm_x", EnvironmentID: b.caller.EnvironmentID, Scopes: r.Scopes(), AuthenticatedAt: b.clock().Add(-since),
			}
		}
		n := vault.NewAPIKey{Name: "worker", Scopes: vault.AllScopes()}
		k, _, err := b.CreateAPIKey(t.Context(), admin(vault.RoleOwner, 0), n)
		must(t, err)
		_, _, err = b.RotateAPIKey(t.Context(), admin(vault.RoleOwner, 0), k.ID, vault.KeyRotation{})
		must(t, err)
		for _, r := range []vault.Role{vault.RoleViewer, vault.RoleOperator} {
			_, _, err = b.CreateAPIKey(t.Context(), admin(r, 0), n)
			wantKind(t, err, fault.InsufficientScope)
			_, err = b.APIKeys(t.Context(), admin(r, 0), vault.Page{Limit: 1})
			must(t, err) // to see them is another matter
		}
		late := admin(vault.RoleOwner, vault.FreshFor)
		_, _, create := b.CreateAPIKey(t.Context(), late, n)
		_, _, rotate := b.RotateAPIKey(t.Context(), late, k.ID, vault.KeyRotation{})
		_, change := b.ChangeAPIKey(t.Context(), late, k.ID, vault.APIKeyPatch{})
		for _, err := range []error{create, rotate, change} {
			if !errors.Is(err, vault.ErrSignInAgain) {
				t.Errorf("an old sign-in: %v", err)
			}
		}
		must(t, b.RevokeAPIKey(t.Context(), late, k.ID)) // ending never waits
	})
}
