package vault_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// tested links an account in a test of the bench's integration.
func (b *bench) tested(t *testing.T, token string) vault.IntegrationTest {
	t.Helper()
	s, link, err := b.BeginTest(t.Context(), b.caller, b.in.ID, "http://broker.example/admin/back")
	must(t, err)
	_, binding, err := b.BindSession(t.Context(), link, vault.Secret{})
	must(t, err)
	caller, _, err := b.BoundSession(t.Context(), s.ID, binding)
	must(t, err)
	_, err = b.Link(t.Context(), caller, b.in, "oidc", grant(token, b.clock().Add(time.Hour)))
	must(t, err)
	test, err := b.Test(t.Context(), b.caller, s.ID)
	must(t, err)
	return test
}

func actionsOf(entries []vault.AuditEntry) []vault.Action {
	var actions []vault.Action
	for _, e := range entries {
		actions = append(actions, e.Action)
	}
	return actions
}

// renewTo is a renewal that comes back with another refresh token.
func renewTo(token, reason string) vault.TestRenewal {
	return func(context.Context, vault.Integration, vault.Connection, vault.Credential) (vault.Credential, string) {
		return grant(token, time.Time{}).Credential, reason
	}
}

// TestIntegrationTest: what a test links never serves anybody, is renewed once,
// and is gone afterwards, at the provider too.
func TestIntegrationTest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, reason string
		second       vault.Action
	}{
		{"renewed", "", vault.ActionConnectionRefreshed},
		{"not renewed", "invalid_grant", vault.ActionRefreshFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, b *bench) {
				test := b.tested(t, "first")
				c := test.Connection
				if c == nil || c.Status != vault.StatusPending || c.Tags[vault.TestTag] != test.Session.ID {
					t.Fatalf("linked in a test: %+v", c)
				}
				if _, _, err := b.OpenCredential(t.Context(), b.caller, c.ID, true); err == nil {
					t.Error("the credential of a test is handed out")
				}
				// What a stranger tries meanwhile is no part of it.
				_, err := b.AttachReply(t.Context(), b.in.ID, vault.NewSecret("of nobody"), vault.NewSecret("reply"))
				wantKind(t, err, fault.Malformed)
				must(t, b.FinishTest(t.Context(), b.caller, test.Session.ID, renewTo("second", tt.reason)))
				if diff := cmp.Diff([]string{"second"}, b.heard()); diff != "" {
					t.Errorf("the provider was told to end (-want +got)\n%s", diff)
				}
				test, err = b.Test(t.Context(), b.caller, test.Session.ID)
				must(t, err)
				want := []vault.Action{
					vault.ActionSessionBound, vault.ActionConnectionCreated, tt.second, vault.ActionConnectionRevoked, vault.ActionProviderTold,
				}
				if diff := cmp.Diff(want, actionsOf(test.Entries)); diff != "" {
					t.Errorf("trail (-want +got)\n%s", diff)
				}
				if test.Connection.Status != vault.StatusRevoked || test.Session.Status != vault.SessionCompleted {
					t.Errorf("afterwards: %s, %s", test.Connection.Status, test.Session.Status)
				}
				wantKind(t, b.FinishTest(t.Context(), b.caller, test.Session.ID, renewTo("third", "")), fault.Conflict)
				if events, err := b.Events(t.Context(), b.caller, 0, 10); err != nil || len(events) != 0 {
					t.Errorf("followers hear of a test: %v, %v", events, err)
				}

				must(t, b.Tidy(t.Context()))
				b.connection(t, c.ID) // the report may still be looked at
				b.pass(16 * time.Minute)
				must(t, b.Tidy(t.Context()))
				_, err = b.Connection(t.Context(), b.caller, c.ID)
				wantKind(t, err, fault.NotFound)
				test, err = b.Test(t.Context(), b.caller, test.Session.ID)
				must(t, err)
				if diff := cmp.Diff(append(want, vault.ActionConnectionDeleted), actionsOf(test.Entries)); diff != "" || test.Connection != nil {
					t.Errorf("trail of what is deleted (-want +got)\n%s", diff)
				}
			})
		})
	}
}

// TestIntegrationTestLeft: an admin who walks away leaves nothing behind.
func TestIntegrationTestLeft(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		test := b.tested(t, "first")
		b.pass(vault.RedeemTTL + time.Second)
		must(t, b.Tidy(t.Context()))
		if diff := cmp.Diff([]string{"first"}, b.heard()); diff != "" {
			t.Errorf("the provider was told to end (-want +got)\n%s", diff)
		}
		wantKind(t, b.FinishTest(t.Context(), b.caller, test.Session.ID, renewTo("x", "")), fault.Conflict)
		b.pass(16 * time.Minute)
		must(t, b.Tidy(t.Context()))
		_, err := b.Connection(t.Context(), b.caller, test.Connection.ID)
		wantKind(t, err, fault.NotFound)
	})
}

// TestIntegrationTestIsNoOtherSession: neither is one taken for the other.
func TestIntegrationTestIsNoOtherSession(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		_, host, _ := b.bound(t, vault.NewSession{})
		_, err := b.Test(ctx, b.caller, host.ID)
		wantKind(t, err, fault.NotFound)
		wantKind(t, b.FinishTest(ctx, b.caller, host.ID, nil), fault.NotFound)
		_, _, err = b.CreateSession(ctx, b.caller, vault.NewSession{Kind: vault.SessionTest, EndUser: ada})
		wantKind(t, err, fault.Invalid)

		test := b.tested(t, "first")
		_, err = b.Redeem(ctx, b.caller, test.Session.ID, vault.NewSecret("x"), test.Session.EndUser.ID)
		wantKind(t, err, fault.Conflict)

		env, err := b.EnsureEnvironment(ctx, "another")
		must(t, err)
		other := b.key(t, env.ID)
		_, _, err = b.BeginTest(ctx, other, b.in.ID, "")
		wantKind(t, err, fault.NotFound)
		_, err = b.Test(ctx, other, test.Session.ID)
		wantKind(t, err, fault.NotFound)
		wantKind(t, b.FinishTest(ctx, other, test.Session.ID, nil), fault.NotFound)
		reader := b.caller
		reader.Scopes = []vault.Scope{vault.ScopeIntegrationsRead}
		_, _, err = b.BeginTest(ctx, reader, b.in.ID, "")
		wantKind(t, err, fault.InsufficientScope)
		wantKind(t, b.FinishTest(ctx, reader, test.Session.ID, nil), fault.InsufficientScope)

		// One that was begun and led to nothing just ends.
		s, _, err := b.BeginTest(ctx, b.caller, b.in.ID, "")
		must(t, err)
		must(t, b.FinishTest(ctx, b.caller, s.ID, nil))
		wantKind(t, b.FinishTest(ctx, b.caller, s.ID, nil), fault.Conflict)
	})
}
