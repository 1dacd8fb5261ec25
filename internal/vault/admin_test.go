package vault_test

import (
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// keyWith makes a key with the scopes.
func (b *bench) keyWith(t *testing.T, name string, scopes ...vault.Scope) vault.Secret {
	t.Helper()
	_, key, err := b.CreateAPIKey(t.Context(), b.caller, vault.NewAPIKey{Name: name, Scopes: scopes})
	must(t, err)
	return key
}

func TestAdminSession(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		key := b.keyWith(t, "console", vault.ScopeConnectionsRead, vault.ScopeAuditRead)
		caller, s, err := b.SignIn(t.Context(), key)
		must(t, err)
		if caller.Kind != vault.CallerAdmin || caller.ID != s.KeyID || caller.EnvironmentID != b.caller.EnvironmentID {
			t.Errorf("caller = %+v of session %+v", caller, s)
		}
		if s.KeyName != "console" || s.Environment != vault.DefaultEnvironment || !s.Since.Equal(b.clock()) {
			t.Errorf("session = %+v", s)
		}
		_, other, err := b.SignIn(t.Context(), key)
		must(t, err)
		if other.ID == s.ID {
			t.Error("two sessions with one id")
		}

		again, err := b.ResumeAdmin(t.Context(), s)
		must(t, err)
		if again.Kind != vault.CallerAdmin || !again.May(vault.ScopeAuditRead) || again.May(vault.ScopeConnectionsRevoke) {
			t.Errorf("resumed caller = %+v, want the key's scopes", again)
		}

		must(t, b.SignOut(t.Context(), caller, s))
		_, err = b.replica(t).ResumeAdmin(t.Context(), s)
		wantKind(t, err, fault.Unauthenticated)
		if _, err := b.ResumeAdmin(t.Context(), other); err != nil {
			t.Errorf("the other session of the key: %v", err)
		}

		entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{ActorID: caller.ID, Page: vault.Page{Limit: 10}})
		must(t, err)
		var got []vault.Action
		for _, e := range entries {
			if e.ActorKind != vault.CallerAdmin || e.SessionID == "" {
				t.Errorf("entry = %+v", e)
			}
			got = append(got, e.Action)
		}
		if len(got) != 3 || got[0] != vault.ActionAdminSignedOut || got[1] != vault.ActionAdminSignedIn || got[2] != vault.ActionAdminSignedIn {
			t.Errorf("trail = %v", got)
		}
	})
}

func TestAdminSessionAmongManySignOuts(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		caller, s, err := b.SignIn(t.Context(), b.keyWith(t, "console", vault.ScopeConnectionsRead))
		must(t, err)
		_, stays, err := b.SignIn(t.Context(), b.keyWith(t, "console", vault.ScopeConnectionsRead))
		must(t, err)
		must(t, b.SignOut(t.Context(), caller, s))
		for range 201 { // more than one page of the trail
			must(t, b.SignOut(t.Context(), caller, vault.AdminSession{ID: "adm_another"}))
		}
		_, err = b.ResumeAdmin(t.Context(), s)
		wantKind(t, err, fault.Unauthenticated)
		if _, err := b.ResumeAdmin(t.Context(), stays); err != nil {
			t.Errorf("a session that nobody ended: %v", err)
		}
	})
}

func TestAdminSessionEndsWithItsKey(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		key := b.keyWith(t, "console", vault.ScopeConnectionsRead)
		_, s, err := b.SignIn(t.Context(), key)
		must(t, err)
		moved := s
		moved.EnvironmentID = "env_another"
		_, err = b.ResumeAdmin(t.Context(), moved)
		wantKind(t, err, fault.Unauthenticated)

		must(t, b.replica(t).RevokeAPIKey(t.Context(), b.caller, s.KeyID))
		_, err = b.ResumeAdmin(t.Context(), s)
		wantKind(t, err, fault.Unauthenticated)
		_, _, err = b.SignIn(t.Context(), key)
		wantKind(t, err, fault.Unauthenticated)
	})
}

func TestSignInNeedsConnectionsRead(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		_, _, err := b.SignIn(t.Context(), b.keyWith(t, "backend", vault.ScopeCredentialsRead, vault.ScopeAuditRead))
		wantKind(t, err, fault.InsufficientScope)
		if got := b.reasons(t); len(got) != 1 || got[0] != string(vault.ScopeConnectionsRead) {
			t.Errorf("refusals in the trail = %q", got)
		}
		_, _, err = b.SignIn(t.Context(), vault.NewSecret("clv_key_nobody"))
		wantKind(t, err, fault.Unauthenticated)
	})
}

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
