package vault_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

const firstSecret = "planted-client-secret" // of the bench

// replace puts another client secret in the place of the one there is.
func (b *bench) replace(t *testing.T, secret string, more ...func(*vault.IntegrationPatch)) vault.Integration {
	t.Helper()
	s := vault.NewSecret(secret)
	p := vault.IntegrationPatch{ClientSecret: &s}
	for _, m := range more {
		m(&p)
	}
	in, err := b.PatchIntegration(t.Context(), b.caller, "timelog", p)
	must(t, err)
	return in
}

func overlap(d time.Duration) func(*vault.IntegrationPatch) {
	return func(p *vault.IntegrationPatch) { p.ClientSecretOverlap = &d }
}

// secrets are the two that a call to the provider would have.
func (b *bench) secrets(t *testing.T) string {
	t.Helper()
	in, err := b.OpenIntegration(t.Context(), b.caller, b.in.ID)
	must(t, err)
	return in.ClientSecret.Reveal() + "/" + in.PreviousClientSecret.Reveal()
}

func TestClientSecretOverlap(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		in := b.replace(t, "second")
		if !in.PreviousClientSecretUntil.Equal(b.clock().Add(24*time.Hour)) || !in.ClientSecret.IsZero() || !in.PreviousClientSecret.IsZero() {
			t.Errorf("metadata: until %v", in.PreviousClientSecretUntil)
		}
		if got := b.secrets(t); got != "second/"+firstSecret {
			t.Errorf("got %s", got)
		}
		dump := string(b.db.Dump(t))
		for _, secret := range []string{"second", firstSecret} {
			if strings.Contains(dump, secret) {
				t.Errorf("%s is in the database in clear", secret)
			}
		}
		// A change of something else keeps both, and so does the same secret again.
		title := "Better"
		_, err := b.PatchIntegration(t.Context(), b.caller, "timelog", vault.IntegrationPatch{Title: &title})
		must(t, err)
		b.replace(t, "second")
		if got := b.secrets(t); got != "second/"+firstSecret {
			t.Errorf("after a change of the title: %s", got)
		}

		b.pass(24*time.Hour - time.Second)
		must(t, b.Tidy(t.Context()))
		if got := b.secrets(t); got != "second/"+firstSecret {
			t.Errorf("before the end: %s", got)
		}
		b.pass(time.Second)
		if got := b.secrets(t); got != "second/" { // erased or not
			t.Errorf("at the end: %s", got)
		}
		must(t, b.Tidy(t.Context()))
		row, err := b.db.Open(t).Integration(t.Context(), b.in.EnvironmentID, b.in.ID)
		must(t, err)
		if row.SealedPrevious != nil || !row.PreviousClientSecretUntil.IsZero() || row.SealedSecret == nil {
			t.Errorf("after the end the row has %d bytes of it, until %v", len(row.SealedPrevious), row.PreviousClientSecretUntil)
		}
		must(t, b.Tidy(t.Context()))
		dropped, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{Action: vault.ActionIntegrationSecretDropped, Page: vault.Page{Limit: 10}})
		must(t, err)
		if len(dropped) != 1 || dropped[0].IntegrationID != b.in.ID || dropped[0].ActorKind != vault.CallerSystem {
			t.Errorf("trail: %+v", dropped)
		}
		changes, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{Action: vault.ActionIntegrationUpdated, Page: vault.Page{Limit: 10}})
		must(t, err)
		var reasons []string
		for _, e := range changes {
			reasons = append(reasons, e.Reason)
		}
		if got := strings.Join(reasons, ","); got != ",,client_secret" {
			t.Errorf("reasons of the changes: %q", got)
		}
	})
}

// TestClientSecretIsDropped: what a secret was not meant for it is not sent to.
func TestClientSecretIsDropped(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		client, elsewhere := "another-client", vault.Overrides{TokenURL: "https://elsewhere.example/token"}
		methods := vault.Overrides{TokenURL: elsewhere.TokenURL, ResponseMode: "form_post"}
		for _, tt := range []struct {
			what string
			do   func()
			want string
		}{
			{"no overlap", func() { b.replace(t, "second", overlap(0)) }, "second/"},
			{"an hour", func() { b.replace(t, "third", overlap(time.Hour)) }, "third/second"},
			{"once more: one is kept", func() { b.replace(t, "fourth", overlap(time.Hour)) }, "fourth/third"},
			{"dropped alone", func() {
				none := time.Duration(0)
				_, err := b.PatchIntegration(t.Context(), b.caller, "timelog", vault.IntegrationPatch{ClientSecretOverlap: &none})
				must(t, err)
			}, "fourth/"},
			{"another client", func() { b.replace(t, "fifth", func(p *vault.IntegrationPatch) { p.ClientID = &client }) }, "fifth/"},
			{"before other endpoints", func() { b.replace(t, "sixth") }, "sixth/fifth"},
			{"other endpoints, the same secret", func() { b.replace(t, "sixth", func(p *vault.IntegrationPatch) { p.Overrides = &elsewhere }) }, "sixth/"},
			{"other endpoints, another secret", func() {
				b.replace(t, "seventh", func(p *vault.IntegrationPatch) { p.Overrides = &vault.Overrides{} })
			}, "seventh/"},
			{"back", func() {
				b.replace(t, "eighth", func(p *vault.IntegrationPatch) { p.Overrides = &elsewhere })
				b.replace(t, "ninth")
			}, "ninth/eighth"},
			{"the same endpoints", func() {
				_, err := b.PatchIntegration(t.Context(), b.caller, "timelog", vault.IntegrationPatch{Overrides: &methods})
				must(t, err)
			}, "ninth/eighth"},
			{"removed", func() { b.replace(t, "") }, "/"},
			{"the first one", func() { b.replace(t, "tenth") }, "tenth/"},
		} {
			tt.do()
			if got := b.secrets(t); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
			}
		}
		for _, d := range []time.Duration{-time.Second, vault.MaxSecretOverlap + 1} {
			s := vault.NewSecret("x")
			_, err := b.PatchIntegration(t.Context(), b.caller, "timelog", vault.IntegrationPatch{ClientSecret: &s, ClientSecretOverlap: &d})
			wantKind(t, err, fault.Invalid)
		}
		hour := time.Hour
		_, err := b.PatchIntegration(t.Context(), b.caller, "timelog", vault.IntegrationPatch{ClientSecretOverlap: &hour})
		wantKind(t, err, fault.Invalid)
	})
}

// TestBothSecretsAreResealed: neither is left behind under a key that goes.
func TestBothSecretsAreResealed(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.replace(t, "second")
		before, err := b.EnvironmentKeys(t.Context(), b.caller.EnvironmentID)
		must(t, err)
		must(t, b.RotateEnvironment(t.Context(), b.caller.EnvironmentID))
		use, err := b.KeyUse(t.Context(), b.caller.EnvironmentID)
		must(t, err)
		if use[before[0].ID] != 2 {
			t.Errorf("use of the old key: %v", use)
		}
		n, err := b.Reseal(t.Context())
		must(t, err)
		if n != 1 {
			t.Errorf("%d rows moved", n)
		}
		must(t, b.RetireEnvironmentKey(t.Context(), b.caller.EnvironmentID, before[0].ID))
		if got := b.secrets(t); got != "second/"+firstSecret {
			t.Errorf("got %s", got)
		}
	})
}

// TestSecretsDoNotChangePlaces: a blob is bound to what it is for.
func TestSecretsDoNotChangePlaces(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.replace(t, "second")
		s := b.db.Open(t)
		row, err := s.Integration(t.Context(), b.in.EnvironmentID, b.in.ID)
		must(t, err)
		row.SealedSecret, row.SealedPrevious = row.SealedPrevious, row.SealedSecret
		must(t, s.Update(t.Context(), func(tx vault.Tx) error { return tx.UpdateIntegration(t.Context(), *row) }))
		if _, err := b.OpenIntegration(t.Context(), b.caller, b.in.ID); err == nil {
			t.Error("they opened in each other's place")
		}
	})
}

// TestAnOldSignInReplacesNoSecret is for admins.
func TestAnOldSignInReplacesNoSecret(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		admin := vault.Caller{
			Kind: vault.CallerAdmin, ID: "adm_x", EnvironmentID: b.caller.EnvironmentID, Scopes: vault.RoleOwner.Scopes(),
			AuthenticatedAt: b.clock().Add(-vault.FreshFor),
		}
		s, title := vault.NewSecret("second"), "Better"
		if _, err := b.PatchIntegration(t.Context(), admin, "timelog", vault.IntegrationPatch{ClientSecret: &s}); !errors.Is(err, vault.ErrSignInAgain) {
			t.Errorf("got %v", err)
		}
		_, err := b.PatchIntegration(t.Context(), admin, "timelog", vault.IntegrationPatch{Title: &title})
		must(t, err)
		admin.AuthenticatedAt = b.clock()
		_, err = b.PatchIntegration(t.Context(), admin, "timelog", vault.IntegrationPatch{ClientSecret: &s})
		must(t, err)
	})
}
