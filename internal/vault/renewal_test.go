package vault_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

func (b *bench) claim(t *testing.T, c vault.Connection, ttl time.Duration) *vault.Renewal {
	t.Helper()
	r, err := b.ClaimRenewal(t.Context(), b.system(), c.ID, c.Generation, "test", ttl)
	must(t, err)
	return r
}

// save ends a renewal with what the provider answered.
func (b *bench) save(t *testing.T, r *vault.Renewal, g vault.Grant) vault.SaveOutcome {
	t.Helper()
	u, err := b.PrepareSave(t.Context(), r, g)
	must(t, err)
	outcome, err := b.Save(t.Context(), b.system(), u)
	must(t, err)
	return outcome
}

// rescue saves a rotated refresh token in the middle of a renewal.
func (b *bench) rescue(t *testing.T, r *vault.Renewal, g vault.Grant) {
	t.Helper()
	u, err := b.PrepareRescue(t.Context(), r, g)
	must(t, err)
	outcome, err := b.Save(t.Context(), b.system(), u)
	if err != nil || outcome != vault.SaveDone {
		t.Fatalf("rescue: %v, %v", outcome, err)
	}
	r.Rescued(u)
}

func (b *bench) system() vault.Caller { return vault.System("refresh", b.caller.EnvironmentID) }

func TestOneHolderAtATime(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		r := b.claim(t, c, time.Minute)
		if r == nil || r.Uncertain || r.Credential.Get(vault.ValueRefreshToken) != "r1" || r.Integration.ClientSecret.IsZero() {
			t.Fatalf("renewal: %+v", r)
		}
		if b.claim(t, c, time.Minute) != nil {
			t.Fatal("a second holder")
		}
		if got := b.save(t, r, grant("r2", b.clock().Add(time.Hour))); got != vault.SaveDone {
			t.Fatalf("saved: %v", got)
		}
		if b.claim(t, c, time.Minute) != nil {
			t.Error("the old generation can still be claimed")
		}
		if now := b.connection(t, c.ID); now.Generation != 2 || now.LastRefreshedAt.IsZero() {
			t.Errorf("afterwards: %+v", now)
		}
		if diff := cmp.Diff([]vault.Action{vault.ActionConnectionCreated, vault.ActionConnectionRefreshed}, b.actions(t, c.ID)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPendingIsNotRenewed(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		_, l := redeemable(t, b, vault.NewSession{})
		if b.claim(t, l.Connection, time.Minute) != nil {
			t.Error("what nobody has redeemed can be renewed, and would be active by that")
		}
	})
}

// A holder that comes late has the only answer there is, if nobody has a newer
// one. It may be dead by now, so it counts as expired.
func TestLateSave(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		var late, next *vault.Renewal
		for late == nil { // on a busy machine it may end before it began
			late = b.claim(t, c, 500*time.Millisecond)
		}
		for next == nil { // it ends by the database's clock
			next = b.claim(t, c, time.Minute)
		}
		if !next.Uncertain {
			t.Error("the next holder is not told that the token may be spent")
		}
		u, err := b.PrepareSave(t.Context(), late, grant("r2", b.clock().Add(time.Hour)))
		must(t, err)
		// Whoever holds the lease may come back with something newer.
		if got, err := b.Save(t.Context(), b.system(), u); err != nil || got != vault.SaveHeld {
			t.Errorf("the late holder, beside another: %v, %v", got, err)
		}
		if now := b.connection(t, c.ID); now.Generation != 1 {
			t.Errorf("the holder was overtaken: %+v", now)
		}
		must(t, b.AbandonRenewal(t.Context(), b.system(), next, vault.Setback{Reason: "transient", Uncertain: true}))
		if got, err := b.Save(t.Context(), b.system(), u); err != nil || got != vault.SaveLate {
			t.Errorf("the late holder, alone: %v, %v", got, err)
		}
		now := b.connection(t, c.ID)
		if now.Generation != 2 || now.ExpiresAt.After(b.clock()) || now.DueAt.After(b.clock()) {
			t.Errorf("what came late is believed: %+v", now)
		}
		if got := b.save(t, next, grant("r3", time.Time{})); got != vault.SaveMoved {
			t.Errorf("the holder, after it: %v", got)
		}
		condemned, err := b.CondemnRenewal(t.Context(), b.system(), next, vault.ReasonOutcomeLost)
		if must(t, err); condemned {
			t.Error("the holder condemned what had been saved meanwhile")
		}
		r := b.claim(t, now, time.Minute)
		if r == nil || r.Uncertain || r.Credential.Get(vault.ValueRefreshToken) != "r2" {
			t.Fatalf("the next renewal begins with %+v", r)
		}
	})
}

func TestLateSaveOfACondemnedConnection(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		for reason, want := range map[string]vault.SaveOutcome{
			vault.ReasonOutcomeLost:     vault.SaveLate,
			vault.ReasonIdentityChanged: vault.SaveMoved,
			vault.ReasonInvalidGrant:    vault.SaveMoved,
		} {
			c := b.linked(t, "r1")
			r := b.claim(t, c, time.Minute)
			u, err := b.PrepareSave(t.Context(), r, grant("r2", b.clock().Add(time.Hour)))
			must(t, err)
			// Another replica, which has found the lease over and the token spent.
			must(t, b.AbandonRenewal(t.Context(), b.system(), r, vault.Setback{Uncertain: true, Unasked: true}))
			condemned, err := b.CondemnRenewal(t.Context(), b.system(), b.claim(t, c, time.Minute), reason)
			if must(t, err); !condemned {
				t.Fatal("not condemned")
			}
			got, err := b.Save(t.Context(), b.system(), u)
			if must(t, err); got != want {
				t.Errorf("%s: %v, want %v", reason, got, want)
			}
			if now := b.connection(t, c.ID); (now.Status == vault.StatusActive) != (want == vault.SaveLate) {
				t.Errorf("%s: %s", reason, now.Status)
			}
		}
	})
}

// The refresh token that came with what condemned a connection is kept, for the
// provider to be told; the connection stays condemned.
func TestRescueOfACondemnedConnection(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		r := b.claim(t, c, time.Minute)
		rescue := grant("r1", c.ExpiresAt)
		rescue.Credential[vault.ValueRefreshToken] = vault.NewSecret("r2")
		u, err := b.PrepareRescue(t.Context(), r, rescue)
		must(t, err)
		condemned, err := b.CondemnRenewal(t.Context(), b.system(), r, vault.ReasonIdentityChanged)
		if must(t, err); !condemned {
			t.Fatal("not condemned")
		}
		u.Orphan()
		if got, err := b.Save(t.Context(), b.system(), u); err != nil || got != vault.SaveDone {
			t.Errorf("%v, %v", got, err)
		}
		if now := b.connection(t, c.ID); now.Status != vault.StatusReconnectRequired || now.StatusReason != vault.ReasonIdentityChanged || !now.DueAt.IsZero() {
			t.Errorf("%s, %s, due %v", now.Status, now.StatusReason, now.DueAt)
		}
		_, err = b.Revoke(t.Context(), b.caller, c.ID)
		must(t, err)
		if diff := cmp.Diff([]string{"r2"}, b.heard()); diff != "" {
			t.Error(diff)
		}
	})
}

// A save whose answer was lost is tried again.
func TestSaveTwice(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		u, err := b.PrepareSave(t.Context(), b.claim(t, c, time.Minute), grant("r2", time.Time{}))
		must(t, err)
		for range 2 {
			got, err := b.Save(t.Context(), b.system(), u)
			if must(t, err); got != vault.SaveDone {
				t.Errorf("%v", got)
			}
		}
		if now := b.connection(t, c.ID); now.Generation != 2 {
			t.Errorf("generation %d", now.Generation)
		}
		if diff := cmp.Diff([]vault.Action{vault.ActionConnectionCreated, vault.ActionConnectionRefreshed}, b.actions(t, c.ID)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestUnsavedOnDisk(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		key := b.secretKey(t)
		u, err := b.PrepareSave(t.Context(), b.claim(t, c, time.Minute), grant("planted-r2", b.clock().Add(time.Hour)))
		must(t, err)
		sealed, err := b.SealUnsaved(u)
		must(t, err)
		if strings.Contains(string(sealed), "planted") || strings.Contains(string(sealed), c.ID) {
			t.Error("something is there in clear")
		}
		stranger, err := vault.NewKeyset()
		must(t, err)
		if _, err := vault.New(vault.Config{Keyset: stranger}).OpenUnsaved(sealed); !errors.Is(err, vault.ErrSeal) {
			t.Errorf("another keyset: %v", err)
		}
		again, err := b.OpenUnsaved(sealed)
		must(t, err)
		if again.Name() != u.Name() || !again.ExpiresAt.Equal(u.ExpiresAt) || again.Servable() || !u.Servable() {
			t.Errorf("read again: %s, %v, servable %t", again.Name(), again.ExpiresAt, again.Servable())
		}
		got, err := b.Save(t.Context(), b.system(), again)
		if must(t, err); got != vault.SaveDone {
			t.Errorf("%v", got)
		}
		if h := headers(t, b, key, c.ID); h != "Bearer access-planted-r2" {
			t.Errorf("headers %s", h)
		}
		if r := b.claim(t, b.connection(t, c.ID), time.Minute); r.Credential.Get(vault.ValueRefreshToken) != "planted-r2" {
			t.Error("not the refresh token that was spooled")
		}
	})
}

// What waited on disk while its connection was revoked is ended at the provider.
func TestUnsavedOfARevokedConnection(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		u, err := b.PrepareSave(t.Context(), b.claim(t, c, time.Minute), grant("r2", time.Time{}))
		must(t, err)
		sealed, err := b.SealUnsaved(u)
		must(t, err)
		_, err = b.Revoke(t.Context(), b.caller, c.ID)
		must(t, err)
		for range 2 { // the file is there until it has been removed
			u, err = b.OpenUnsaved(sealed)
			must(t, err)
			got, err := b.Save(t.Context(), b.system(), u)
			if must(t, err); got != vault.SaveMoved {
				t.Errorf("%v", got)
			}
		}
		b.pass(6 * time.Minute)
		must(t, b.Tidy(t.Context()))
		if diff := cmp.Diff([]string{"r1", "r2"}, b.heard()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAbandonRemembersUncertainty(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		must(t, b.AbandonRenewal(t.Context(), b.system(), b.claim(t, c, time.Minute), vault.Setback{Reason: "transient"}))
		r := b.claim(t, c, time.Minute)
		if r.Uncertain {
			t.Error("not sent is not uncertain")
		}
		must(t, b.AbandonRenewal(t.Context(), b.system(), r, vault.Setback{Reason: "uncertain", Uncertain: true}))
		if r = b.claim(t, c, time.Minute); !r.Uncertain {
			t.Error("the lost outcome is forgotten")
		}
	})
}

func TestRescueKeepsTheLease(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		key := b.secretKey(t)
		r := b.claim(t, c, time.Minute)
		rescue := grant("r1", c.ExpiresAt)
		rescue.Credential[vault.ValueRefreshToken] = vault.NewSecret("r2")
		b.rescue(t, r, rescue)
		if got := headers(t, b, key, c.ID); got != "Bearer access-r1" {
			t.Errorf("meanwhile: %s", got)
		}
		if b.claim(t, b.connection(t, c.ID), time.Minute) != nil {
			t.Error("the lease was given away")
		}
		if got := b.save(t, r, grant("r2", time.Time{})); got != vault.SaveDone {
			t.Fatalf("saved: %v", got)
		}
		if got := headers(t, b, key, c.ID); got != "Bearer access-r2" {
			t.Errorf("afterwards: %s", got)
		}
	})
}

func TestCondemnOnlyTheGenerationThatFailed(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		old := b.linked(t, "r1")
		r := b.claim(t, old, time.Minute)
		if got := b.save(t, r, grant("r2", time.Time{})); got != vault.SaveDone {
			t.Fatalf("saved: %v", got)
		}
		condemned, err := b.Condemn(t.Context(), b.system(), old, vault.ReasonInvalidGrant)
		must(t, err)
		if c := b.connection(t, old.ID); condemned || c.Status != vault.StatusActive {
			t.Error("the loser of a race condemned a healthy connection")
		}
		condemned, err = b.Condemn(t.Context(), b.system(), b.connection(t, old.ID), vault.ReasonInvalidGrant)
		must(t, err)
		c := b.connection(t, old.ID)
		if !condemned || c.Status != vault.StatusReconnectRequired || c.StatusReason != vault.ReasonInvalidGrant {
			t.Errorf("%t, %+v", condemned, c)
		}
		_, err = b.LookupHeaders(t.Context(), vault.Bearer{Key: b.secretKey(t)}, c.ID)
		wantKind(t, err, fault.ReconnectRequired)
	})
}

func TestRevoke(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "planted-refresh-token")
		key := b.secretKey(t)
		receipt, err := b.Revoke(t.Context(), b.caller, c.ID)
		must(t, err)
		if receipt.Provider.Outcome != vault.OutcomeRevoked || !receipt.RevokedAt.Equal(b.clock()) {
			t.Errorf("receipt: %+v", receipt)
		}
		if diff := cmp.Diff([]string{"planted-refresh-token"}, b.heard()); diff != "" {
			t.Error(diff)
		}
		_, err = b.LookupHeaders(t.Context(), vault.Bearer{Key: key}, c.ID)
		wantKind(t, err, fault.Revoked)
		_, err = b.Revoke(t.Context(), b.caller, c.ID)
		wantKind(t, err, fault.Revoked)
		must(t, b.Tidy(t.Context()))
		b.pass(time.Hour)
		must(t, b.Tidy(t.Context()))
		if len(b.heard()) != 1 {
			t.Errorf("told %d times", len(b.heard()))
		}
		want := []vault.Action{vault.ActionConnectionCreated, vault.ActionConnectionRevoked, vault.ActionProviderTold}
		if diff := cmp.Diff(want, b.actions(t, c.ID)); diff != "" {
			t.Error(diff)
		}
		_, err = b.DeleteConnection(t.Context(), b.caller, c.ID)
		must(t, err)
		_, err = b.Connection(t.Context(), b.caller, c.ID)
		wantKind(t, err, fault.NotFound)
		if got := b.actions(t, c.ID); len(got) != 4 {
			t.Errorf("the trail went with the row: %v", got)
		}
	})
}

func TestProviderThatIsDownIsToldLater(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		b.provider(vault.OutcomeFailed)
		receipt, err := b.Revoke(t.Context(), b.caller, c.ID)
		must(t, err)
		if receipt.Provider.Outcome != vault.OutcomeFailed {
			t.Errorf("receipt: %+v", receipt)
		}
		if got := b.connection(t, c.ID); got.Status != vault.StatusRevoked {
			t.Errorf("revoked here all the same: %s", got.Status)
		}
		b.provider(vault.OutcomeRevoked)
		must(t, b.Tidy(t.Context()))
		if len(b.heard()) != 1 {
			t.Error("told again at once")
		}
		b.pass(6 * time.Minute)
		must(t, b.Tidy(t.Context()))
		b.pass(6 * time.Minute)
		must(t, b.Tidy(t.Context()))
		if len(b.heard()) != 2 {
			t.Errorf("told %d times, want 2", len(b.heard()))
		}
	})
}

func TestRevokeDuringRefresh(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		r := b.claim(t, c, time.Minute)
		_, err := b.Revoke(t.Context(), b.caller, c.ID)
		must(t, err)
		if got := b.save(t, r, grant("r2", time.Time{})); got != vault.SaveMoved {
			t.Fatalf("the connection is gone, and took a new credential: %v", got)
		}
		b.pass(6 * time.Minute)
		must(t, b.Tidy(t.Context()))
		if diff := cmp.Diff([]string{"r1", "r2"}, b.heard()); diff != "" {
			t.Errorf("the provider is told about both: %s", diff)
		}
	})
}

func TestDeleteDuringRefresh(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		r := b.claim(t, c, time.Minute)
		b.provider(vault.OutcomeFailed) // so that the first message is still there
		_, err := b.DeleteConnection(t.Context(), b.caller, c.ID)
		must(t, err)
		if got := b.save(t, r, grant("r2", time.Time{})); got != vault.SaveMoved {
			t.Fatalf("the connection is gone, and took a new credential: %v", got)
		}
		b.provider(vault.OutcomeRevoked)
		must(t, b.DeleteIntegration(t.Context(), b.caller, "timelog"))
		b.pass(6 * time.Minute)
		must(t, b.Tidy(t.Context()))
		heard := b.heard()
		slices.Sort(heard)
		if diff := cmp.Diff([]string{"r1", "r1", "r2"}, heard); diff != "" {
			t.Errorf("with connection and integration gone the provider is still told: %s", diff)
		}
	})
}

// A candidate that nobody redeemed shares its permission with the connection
// that it was to mend.
func TestUnredeemedReconnectLeavesTheConnectionAlone(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		old := b.linked(t, "r1")
		n := vault.NewSession{ConnectionID: old.ID, ReturnURL: "https://app.example.com/linked"}
		caller, s, _ := b.bound(t, n)
		l, err := b.Link(t.Context(), caller, b.in, "oidc", grant("r2", time.Time{}))
		must(t, err)
		_, err = b.Redeem(t.Context(), b.caller, s.ID, l.Result, "somebody-else")
		wantKind(t, err, fault.Conflict)
		caller, _, _ = b.bound(t, n)
		_, err = b.Link(t.Context(), caller, b.in, "oidc", grant("r3", time.Time{}))
		must(t, err)
		b.pass(vault.RedeemTTL)
		must(t, b.Tidy(t.Context()))
		if got := b.heard(); len(got) != 0 {
			t.Errorf("the provider was told to end %v", got)
		}
		caller, _, _ = b.bound(t, n)
		_, err = b.Link(t.Context(), caller, b.in, "oidc", grant("r4", time.Time{}))
		must(t, err)
		_, err = b.DeleteConnection(t.Context(), b.caller, old.ID)
		must(t, err) // with a candidate under way
		if diff := cmp.Diff([]string{"r1", "r4"}, b.heard()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestHeldBaseURLIsInTheTrail(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		g := grant("r2", time.Time{})
		g.HeldBaseURL = "https://evil.timelog.com/"
		if got := b.save(t, b.claim(t, c, time.Minute), g); got != vault.SaveDone {
			t.Fatalf("saved: %v", got)
		}
		actions := b.actions(t, c.ID)
		if actions[len(actions)-1] != vault.ActionBaseURLHeld || strings.Contains(b.connection(t, c.ID).BaseURL, "evil") {
			t.Errorf("%v", actions)
		}
	})
}

func TestNothingSecretInTheDatabase(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "planted-refresh-token")
		key := b.secretKey(t)
		caller, s, binding := b.bound(t, vault.NewSession{})
		state := vault.NewState()
		must(t, b.BeginAttempt(t.Context(), caller, binding, b.in, "oidc", state, vault.Credential{"nonce": vault.NewSecret("planted-nonce")}))
		_, err := b.AttachReply(t.Context(), b.in.ID, state, vault.NewSecret("code=planted-code"))
		must(t, err)
		r := b.claim(t, c, time.Minute)
		_, _ = r, s
		dump := string(b.db.Dump(t)) + b.log.String()
		for _, secret := range []string{
			"planted-refresh-token", "access-planted", "planted-client-secret", "planted-nonce", "planted-code",
			key.Reveal(), state.Reveal(), binding.Reveal(),
		} {
			if strings.Contains(dump, secret) {
				t.Errorf("%.12s… is there in clear", secret)
			}
		}
	})
}
