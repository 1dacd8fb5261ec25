package vault_test

import (
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

func TestOwnAPIKeys(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		own := vault.NewSecret("a-key-of-the-operators-own-making-0123456789")
		n := vault.NewAPIKey{Name: "reports", Scopes: []vault.Scope{vault.ScopeAuditRead}, ExpiresAt: b.clock().Add(time.Hour)}
		_, err := b.FindAPIKey(t.Context(), b.caller, own)
		wantKind(t, err, fault.NotFound)

		short, lost := vault.NewSecret("short"), vault.NewSecret("clv_key_0123456789012345678901234567890123456789")
		for _, bad := range []vault.Secret{short, lost} {
			_, err = b.AddAPIKey(t.Context(), b.caller, n, bad)
			wantKind(t, err, fault.Invalid)
		}
		over := n
		over.ExpiresAt = b.clock()
		_, err = b.AddAPIKey(t.Context(), b.caller, over, own)
		wantKind(t, err, fault.Invalid)

		k, err := b.AddAPIKey(t.Context(), b.caller, n, own)
		must(t, err)
		_, err = b.AddAPIKey(t.Context(), b.caller, n, own)
		wantKind(t, err, fault.Conflict)
		caller, err := b.Authenticate(t.Context(), vault.Bearer{Key: own})
		must(t, err)
		if caller.ID != k.ID || caller.May(vault.ScopeConnectionsRead) {
			t.Errorf("%+v", caller)
		}

		n.Scopes, n.ExpiresAt = []vault.Scope{vault.ScopeConnectionsRead}, time.Time{}
		_, err = b.ChangeAPIKey(t.Context(), b.caller, k.ID, n.Patch())
		must(t, err)
		b.pass(2 * time.Hour) // its old end
		if caller, err = b.Authenticate(t.Context(), vault.Bearer{Key: own}); err != nil || !caller.May(vault.ScopeConnectionsRead) || caller.May(vault.ScopeAuditRead) {
			t.Errorf("%+v, %v", caller, err)
		}
		_, err = b.ChangeAPIKey(t.Context(), b.caller, k.ID, vault.APIKeyPatch{Scopes: &[]vault.Scope{}})
		wantKind(t, err, fault.Invalid)

		env, err := b.EnsureEnvironment(t.Context(), "dev")
		must(t, err)
		stranger := b.key(t, env.ID)
		_, err = b.FindAPIKey(t.Context(), stranger, own)
		wantKind(t, err, fault.Conflict)
		_, err = b.ChangeAPIKey(t.Context(), stranger, k.ID, n.Patch())
		wantKind(t, err, fault.NotFound)

		must(t, b.RevokeAPIKey(t.Context(), b.caller, k.ID))
		_, err = b.ChangeAPIKey(t.Context(), b.caller, k.ID, n.Patch())
		wantKind(t, err, fault.Conflict)
		found, err := b.FindAPIKey(t.Context(), b.caller, own)
		if err != nil || found.RevokedAt.IsZero() {
			t.Errorf("a revoked key: %+v, %v", found, err)
		}
	})
}
