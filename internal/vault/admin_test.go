package vault_test

import (
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

func TestRevocation(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "refresh-1")
		r, err := b.Revocation(t.Context(), b.caller, c.ID)
		must(t, err)
		if r != (vault.Revocation{}) {
			t.Errorf("of a live connection: %+v", r)
		}

		b.provider(vault.OutcomeFailed)
		_, err = b.Revoke(t.Context(), b.caller, c.ID)
		must(t, err)
		at := b.clock()
		want := vault.Revocation{At: at, ActorKind: b.caller.Kind, ActorID: b.caller.ID, Outcome: vault.OutcomeFailed, ToldAt: at}
		if r, err = b.Revocation(t.Context(), b.caller, c.ID); err != nil || r != want {
			t.Errorf("revocation = %+v, %v; want %+v", r, err, want)
		}

		b.provider(vault.OutcomeRevoked)
		b.pass(10 * time.Minute)
		must(t, b.Tidy(t.Context()))
		want.Outcome, want.ToldAt = vault.OutcomeRevoked, b.clock()
		if r, err = b.Revocation(t.Context(), b.caller, c.ID); err != nil || r != want {
			t.Errorf("after the provider was told again: %+v, %v; want %+v", r, err, want)
		}

		env, err := b.EnsureEnvironment(t.Context(), "another")
		must(t, err)
		if r, err = b.Revocation(t.Context(), b.key(t, env.ID), c.ID); err != nil || r != (vault.Revocation{}) {
			t.Errorf("from another environment: %+v, %v", r, err)
		}
		_, err = b.Revocation(t.Context(), vault.Caller{Kind: vault.CallerAPIKey, EnvironmentID: env.ID}, c.ID)
		wantKind(t, err, fault.InsufficientScope)
	})
}

func TestAPIKeyByID(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		k, err := b.APIKey(t.Context(), b.caller, b.caller.ID)
		must(t, err)
		if k.ID != b.caller.ID || k.Name != "test" {
			t.Errorf("key = %+v", k)
		}
		env, err := b.EnsureEnvironment(t.Context(), "another")
		must(t, err)
		_, err = b.APIKey(t.Context(), b.key(t, env.ID), b.caller.ID)
		wantKind(t, err, fault.NotFound)
		_, err = b.APIKey(t.Context(), vault.Caller{Kind: vault.CallerAPIKey, EnvironmentID: b.caller.EnvironmentID}, b.caller.ID)
		wantKind(t, err, fault.InsufficientScope)
	})
}
