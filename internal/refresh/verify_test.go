package refresh_test

import (
	"slices"
	"testing"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

// An admin has a connection verified and refreshed without being able to read
// it, and the trail says who asked.
func TestAdminAsks(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		operator := vault.Caller{Kind: vault.CallerAdmin, ID: "adm_op", EnvironmentID: b.caller.EnvironmentID, Scopes: vault.RoleOperator.Scopes()}
		viewer := operator
		viewer.Scopes = vault.RoleViewer.Scopes()
		c := b.linkTimeLog(t)

		_, err := b.Refresh(t.Context(), viewer, c.ID)
		wantKind(t, err, fault.InsufficientScope)
		_, err = b.Verify(t.Context(), viewer, c.ID)
		wantKind(t, err, fault.InsufficientScope)

		said, err := b.Verify(t.Context(), operator, c.ID)
		must(t, err)
		if now := b.connection(t, c.ID); said != refresh.VerifiedHonoured || !now.DueAt.Equal(c.DueAt) {
			t.Errorf("%s, due at %s and not %s", said, now.DueAt, c.DueAt)
		}
		b.sandbox.TimeLog().ExpireAccessTokens()
		if said, err = b.Verify(t.Context(), operator, c.ID); err != nil || said != refresh.VerifiedHonoured {
			t.Errorf("what was verified a moment ago is asked about again: %s, %v", said, err)
		}
		b.clock.pass(minute)
		said, err = b.Verify(t.Context(), operator, c.ID)
		must(t, err)
		if now := b.connection(t, c.ID); said != refresh.VerifiedRenewed || now.Generation <= c.Generation {
			t.Errorf("refused, and %s at generation %d", said, now.Generation)
		}
		b.clock.pass(minute)
		now, err := b.Refresh(t.Context(), operator, c.ID)
		must(t, err)
		if now.Generation <= c.Generation+1 {
			t.Error("was not refreshed")
		}
		entries, err := b.vault.Audit(t.Context(), b.caller, vault.AuditFilter{ActorID: "adm_op", Page: vault.Page{Limit: 50}})
		must(t, err)
		var did []vault.Action
		for _, e := range entries {
			did = append(did, e.Action)
		}
		want := []vault.Action{
			vault.ActionRefreshAsked, vault.ActionVerifyAsked, vault.ActionVerifyAsked, vault.ActionVerifyAsked, vault.ActionRefused, vault.ActionRefused,
		}
		if !slices.Equal(did, want) {
			t.Errorf("the trail has %q, want %q", did, want)
		}
	})
}

// What the provider refuses and nothing renews is condemned.
func TestVerifyRefused(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkToggl(t, "api_token", vault.Credential{"api_token": vault.NewSecret(sandbox.TogglAdaToken)})
		said, err := b.Verify(t.Context(), b.caller, c.ID)
		must(t, err)
		if said != refresh.VerifiedHonoured {
			t.Error(said)
		}
		b.clock.pass(minute)
		b.sandbox.Toggl().Faults().Next(sandbox.TogglMe, 1, sandbox.Status(502))
		_, err = b.Verify(t.Context(), b.caller, c.ID)
		wantKind(t, err, fault.ProviderUnavailable)
		if _, err := b.sandbox.Toggl().Accounts().ResetToken(sandbox.AdaEmail); err != nil {
			t.Fatal(err)
		}
		_, err = b.Verify(t.Context(), b.caller, c.ID)
		wantKind(t, err, fault.ReconnectRequired)
		if got := b.connection(t, c.ID); got.Status != vault.StatusReconnectRequired || got.StatusReason != vault.ReasonRejected {
			t.Errorf("%s, %s", got.Status, got.StatusReason)
		}
	})
}
