package vault_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

func cut(s string) (name, value string, ok bool) {
	return strings.Cut(strings.TrimSuffix(s, "\n"), ": ")
}

// operations is every operation with a scope, on a connection.
func operations(b *bench, id string) map[vault.Scope][]func(context.Context, vault.Caller) error {
	page := vault.Page{Limit: 1}
	return map[vault.Scope][]func(context.Context, vault.Caller) error{
		vault.ScopeIntegrationsRead: {
			func(ctx context.Context, c vault.Caller) error {
				_, err := b.Integration(ctx, c, "timelog")
				return err
			},
			func(ctx context.Context, c vault.Caller) error { _, err := b.Integrations(ctx, c, page); return err },
		},
		vault.ScopeIntegrationsWrite: {
			func(ctx context.Context, c vault.Caller) error {
				_, err := b.CreateIntegration(ctx, c, vault.Integration{Key: "another", Provider: "x"})
				return err
			},
			func(ctx context.Context, c vault.Caller) error {
				_, err := b.PatchIntegration(ctx, c, "timelog", vault.IntegrationPatch{})
				return err
			},
			func(ctx context.Context, c vault.Caller) error { return b.DeleteIntegration(ctx, c, "timelog") },
		},
		vault.ScopeConnectWrite: {
			func(ctx context.Context, c vault.Caller) error {
				_, _, err := b.CreateSession(ctx, c, vault.NewSession{EndUser: ada})
				return err
			},
			func(ctx context.Context, c vault.Caller) error { _, err := b.Session(ctx, c, "cs_x"); return err },
			func(ctx context.Context, c vault.Caller) error {
				_, err := b.Redeem(ctx, c, "cs_x", vault.NewState(), "u")
				return err
			},
		},
		vault.ScopeConnectionsRead: {
			func(ctx context.Context, c vault.Caller) error { _, err := b.Connection(ctx, c, id); return err },
			func(ctx context.Context, c vault.Caller) error {
				_, err := b.Connections(ctx, c, vault.ConnectionFilter{Page: page})
				return err
			},
		},
		vault.ScopeConnectionsWrite: {
			func(ctx context.Context, c vault.Caller) error {
				_, err := b.PatchConnection(ctx, c, id, vault.ConnectionPatch{})
				return err
			},
			func(ctx context.Context, c vault.Caller) error {
				_, err := b.ImportConnection(ctx, c, vault.NewImport{Integration: b.in, EndUser: ada})
				return err
			},
		},
		vault.ScopeConnectionsRevoke: {
			func(ctx context.Context, c vault.Caller) error { _, err := b.Revoke(ctx, c, id); return err },
			func(ctx context.Context, c vault.Caller) error { _, err := b.DeleteConnection(ctx, c, id); return err },
		},
		vault.ScopeCredentialsRead: {
			func(ctx context.Context, c vault.Caller) error { _, err := b.AllowRefresh(ctx, c, id); return err },
		},
		vault.ScopeCredentialsReadRaw: {
			func(ctx context.Context, c vault.Caller) error {
				_, _, err := b.OpenCredential(ctx, c, id, false)
				return err
			},
		},
		vault.ScopeEventsRead: {
			func(ctx context.Context, c vault.Caller) error { _, err := b.Events(ctx, c, 0, 1); return err },
		},
		vault.ScopeAPIKeysWrite: {
			func(ctx context.Context, c vault.Caller) error {
				_, _, err := b.CreateAPIKey(ctx, c, vault.NewAPIKey{Name: "x", Scopes: []vault.Scope{vault.ScopeAuditRead}})
				return err
			},
			func(ctx context.Context, c vault.Caller) error { _, err := b.APIKeys(ctx, c, page); return err },
			func(ctx context.Context, c vault.Caller) error { return b.RevokeAPIKey(ctx, c, "key_x") },
			func(ctx context.Context, c vault.Caller) error {
				_, err := b.FindAPIKey(ctx, c, vault.NewSecret("x"))
				return err
			},
			func(ctx context.Context, c vault.Caller) error {
				_, err := b.AddAPIKey(ctx, c, vault.NewAPIKey{Name: "x"}, vault.NewSecret("x"))
				return err
			},
			func(ctx context.Context, c vault.Caller) error {
				_, err := b.ChangeAPIKey(ctx, c, "key_x", vault.APIKeyPatch{})
				return err
			},
		},
		vault.ScopeAuditRead: {
			func(ctx context.Context, c vault.Caller) error {
				_, err := b.Audit(ctx, c, vault.AuditFilter{Page: page})
				return err
			},
		},
	}
}

func TestEveryOperationWantsItsScope(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		for scope, ops := range operations(b, c.ID) {
			without := b.caller
			without.Scopes = nil
			for _, s := range vault.AllScopes() {
				if s != scope {
					without.Scopes = append(without.Scopes, s)
				}
			}
			for i, op := range ops {
				err := op(t.Context(), without)
				wantKind(t, err, fault.InsufficientScope)
				if !strings.Contains(err.Error(), string(scope)) {
					t.Errorf("%s %d: the refusal does not say which scope: %v", scope, i, err)
				}
				if got := b.reasons(t)[0]; got != string(scope) {
					t.Errorf("%s %d: the trail has %q", scope, i, got)
				}
			}
		}
		if got := b.connection(t, c.ID); got.Status != vault.StatusActive || got.Generation != 1 {
			t.Errorf("a refused operation changed the connection: %+v", got)
		}
	})
}

func TestAnotherEnvironmentSeesNothing(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		env, err := b.EnsureEnvironment(t.Context(), "dev")
		must(t, err)
		stranger := b.key(t, env.ID)
		_, key, err := b.CreateAPIKey(t.Context(), stranger, vault.NewAPIKey{Name: "x", Scopes: vault.AllScopes()})
		must(t, err)
		for name, op := range map[string]func() error{
			"connection": func() error { _, err := b.Connection(t.Context(), stranger, c.ID); return err },
			"patch": func() error {
				_, err := b.PatchConnection(t.Context(), stranger, c.ID, vault.ConnectionPatch{})
				return err
			},
			"credential": func() error { _, _, err := b.OpenCredential(t.Context(), stranger, c.ID, true); return err },
			"headers":    func() error { _, err := b.LookupHeaders(t.Context(), vault.Bearer{Key: key}, c.ID); return err },
			"refresh":    func() error { _, err := b.AllowRefresh(t.Context(), stranger, c.ID); return err },
			"condemn":    func() error { _, err := b.Condemn(t.Context(), stranger, c, "x"); return err },
			"revoke":     func() error { _, err := b.Revoke(t.Context(), stranger, c.ID); return err },
			"delete":     func() error { _, err := b.DeleteConnection(t.Context(), stranger, c.ID); return err },
			"reconnect": func() error {
				_, _, err := b.CreateSession(t.Context(), stranger, vault.NewSession{EndUser: ada, ConnectionID: c.ID})
				return err
			},
			"integration": func() error { _, err := b.Integration(t.Context(), stranger, "timelog"); return err },
			"open":        func() error { _, err := b.OpenIntegration(t.Context(), stranger, b.in.ID); return err },
			"key":         func() error { return b.RevokeAPIKey(t.Context(), stranger, b.caller.ID) },
			"claim": func() error {
				_, err := b.ClaimRenewal(t.Context(), vault.System("refresh", env.ID), c.ID, 1, "me", time.Minute)
				return err
			},
		} {
			if err := op(); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		list, err := b.Connections(t.Context(), stranger, vault.ConnectionFilter{Page: vault.Page{Limit: 10}})
		if err != nil || len(list) != 0 {
			t.Errorf("listed %d, %v", len(list), err)
		}
		r, err := b.ClaimRenewal(t.Context(), vault.System("refresh", b.caller.EnvironmentID), c.ID, 1, "me", time.Minute)
		if err != nil || r == nil {
			t.Errorf("the stranger's claim is in the way: %v", err)
		}
	})
}

func TestAPIKeys(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		k, key, err := b.CreateAPIKey(t.Context(), b.caller, vault.NewAPIKey{Name: "short", Scopes: []vault.Scope{vault.ScopeAuditRead}, ExpiresAt: b.clock().Add(time.Hour)})
		must(t, err)
		if !strings.HasPrefix(key.Reveal(), k.Prefix) || len(k.Prefix) > 14 {
			t.Errorf("prefix %q", k.Prefix)
		}
		_, err = b.Authenticate(t.Context(), vault.Bearer{Key: key})
		must(t, err)
		b.pass(time.Hour)
		_, expired := b.Authenticate(t.Context(), vault.Bearer{Key: key})
		_, unknown := b.Authenticate(t.Context(), vault.Bearer{Key: vault.NewSecret("clv_key_unknown")})
		_, none := b.Authenticate(t.Context(), vault.Bearer{Key: vault.Secret{}})
		must(t, b.RevokeAPIKey(t.Context(), b.caller, k.ID))
		_, revoked := b.Authenticate(t.Context(), vault.Bearer{Key: key})
		for _, err := range []error{expired, unknown, none, revoked} {
			wantKind(t, err, fault.Unauthenticated)
			if err.Error() != unknown.Error() {
				t.Errorf("the answers tell apart: %v", err)
			}
		}
		_, _, err = b.CreateAPIKey(t.Context(), vault.Caller{Kind: vault.CallerAPIKey, EnvironmentID: b.caller.EnvironmentID, Scopes: []vault.Scope{vault.ScopeAPIKeysWrite}},
			vault.NewAPIKey{Name: "x", Scopes: []vault.Scope{vault.ScopeCredentialsReadRaw}})
		wantKind(t, err, fault.Invalid) // nobody hands out what they lack
	})
}

func TestConfiguredAPIKey(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		own := vault.NewSecret("a-key-of-the-operators-own-making-0123456789")
		wantKind(t, b.EnsureAPIKey(t.Context(), b.caller, "configured", vault.NewSecret("short")), fault.Invalid)
		for range 2 {
			must(t, b.EnsureAPIKey(t.Context(), b.caller, "configured", own))
		}
		caller, err := b.Authenticate(t.Context(), vault.Bearer{Key: own})
		must(t, err)
		k, err := b.db.Open(t).APIKey(t.Context(), caller.EnvironmentID, caller.ID)
		must(t, err)
		if k.Prefix != "" {
			t.Errorf("%q of a key of unknown form is shown", k.Prefix)
		}
		must(t, b.RevokeAPIKey(t.Context(), b.caller, caller.ID))
		wantKind(t, b.EnsureAPIKey(t.Context(), b.caller, "configured", own), fault.Conflict)
	})
}

func TestReadsAreGathered(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		key := b.secretKey(t)
		for range 5 {
			headers(t, b, key, c.ID)
		}
		b.pass(time.Minute)
		headers(t, b, key, c.ID)
		must(t, b.FlushReads(t.Context()))
		entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{ConnectionID: c.ID, Action: vault.ActionHeadersRead, Page: vault.Page{Limit: 10}})
		must(t, err)
		var counts []int64
		for _, e := range entries {
			counts = append(counts, e.Count)
		}
		if diff := cmp.Diff([]int64{1, 5}, counts); diff != "" {
			t.Error(diff)
		}
		if got := b.connection(t, c.ID); !got.LastReadAt.Equal(b.clock()) {
			t.Errorf("last read %v, want %v", got.LastReadAt, b.clock())
		}
	})
}

func TestIntegrationSecretIsSealed(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		in, err := b.Integration(t.Context(), b.caller, "timelog")
		must(t, err)
		if !in.ClientSecret.IsZero() || !in.HasClientSecret {
			t.Error("metadata carries the secret, or does not say that there is one")
		}
		if strings.Contains(string(b.db.Dump(t)), "planted-client-secret") {
			t.Error("the database has it in clear")
		}
		title := "Better"
		_, err = b.PatchIntegration(t.Context(), b.caller, "timelog", vault.IntegrationPatch{Title: &title})
		must(t, err)
		opened, err := b.OpenIntegration(t.Context(), b.caller, in.ID)
		must(t, err)
		if opened.ClientSecret.Reveal() != "planted-client-secret" || opened.Title != title {
			t.Error("a patch of the title lost the secret")
		}
	})
}

// Client secret and refresh tokens go where the overrides point.
func TestEndpointsAreGuarded(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		elsewhere := vault.Overrides{TokenURL: "https://evil.example/token"}
		secret := vault.NewSecret("a-new-secret")
		writer := b.caller
		writer.Scopes = []vault.Scope{vault.ScopeIntegrationsWrite}
		_, err := b.PatchIntegration(t.Context(), writer, "timelog", vault.IntegrationPatch{Overrides: &elsewhere})
		wantKind(t, err, fault.Invalid) // the stored secret would be sent there
		both := vault.IntegrationPatch{Overrides: &elsewhere, ClientSecret: &secret}
		b.linked(t, "r1")
		_, err = b.PatchIntegration(t.Context(), writer, "timelog", both)
		wantKind(t, err, fault.InsufficientScope)
		_, err = b.PatchIntegration(t.Context(), b.caller, "timelog", both)
		must(t, err)
		mode := elsewhere
		mode.ResponseMode = "form_post"
		_, err = b.PatchIntegration(t.Context(), writer, "timelog", vault.IntegrationPatch{Overrides: &mode})
		must(t, err) // leads nowhere else
	})
}

func TestWrongKeysetIsFoundAtStart(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		other, err := vault.NewKeyset()
		must(t, err)
		v := vault.New(vault.Config{Store: b.db.Open(t), Keyset: other})
		if err := v.CheckKeyset(t.Context()); !errors.Is(err, vault.ErrWrongKeyset) {
			t.Errorf("got %v", err)
		}
		must(t, b.CheckKeyset(t.Context()))
	})
}

func TestRotationServesThroughout(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		key := b.secretKey(t)
		env := b.caller.EnvironmentID
		replica := &bench{Vault: b.replica(t)}
		serves := func(what string) {
			t.Helper()
			for _, x := range []*bench{b, replica} {
				if got := headers(t, x, key, c.ID); got != "Bearer access-r1" {
					t.Fatalf("%s: %s", what, got)
				}
			}
		}
		serves("before")
		before, err := b.EnvironmentKeys(t.Context(), env)
		must(t, err)
		gone := b.linked(t, "untold")
		b.provider(vault.OutcomeFailed)
		_, err = b.Revoke(t.Context(), b.caller, gone.ID)
		must(t, err)
		must(t, b.RotateEnvironment(t.Context(), env))
		serves("rotated")
		wantKind(t, b.RetireEnvironmentKey(t.Context(), env, before[0].ID), fault.Conflict)
		n, err := b.Reseal(t.Context())
		must(t, err)
		if n != 3 { // the connection, the client secret, the provider still to be told
			t.Errorf("%d rows moved", n)
		}
		serves("resealed")
		must(t, b.RetireEnvironmentKey(t.Context(), env, before[0].ID))
		serves("retired")
		b.provider(vault.OutcomeRevoked)
		b.pass(6 * time.Minute)
		must(t, b.Tidy(t.Context()))
		if got := b.heard(); len(got) != 2 || got[1] != "untold" {
			t.Errorf("after the retirement the provider was told %v", got)
		}
		if n, err := b.Reseal(t.Context()); err != nil || n != 0 {
			t.Errorf("a second time moved %d, %v", n, err)
		}
	})
}
