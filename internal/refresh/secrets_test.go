package refresh_test

import (
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

// knows makes TimeLog take this client secret and no other.
func (b *bench) knows(secret string) {
	c := sandbox.DemoClient()
	c.Secret = secret
	b.sandbox.TimeLog().Register(c)
}

// TestClientSecretOverlap: while both secrets are tried it does not matter on
// which side it is replaced first, and no refresh token is spent for a refusal.
func TestClientSecretOverlap(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const next = "the-next-client-secret-of-the-integration"
		tl := b.sandbox.TimeLog()
		c := b.linkTimeLog(t)
		generation := b.connection(t, c.ID).Generation
		read := func(what string, posts int) {
			t.Helper()
			b.clock.pass(2 * time.Hour)
			before := tl.RefreshCalls()
			s, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
			must(t, err)
			generation += 2 // the rotated token first, the rest after it
			if got := b.connection(t, c.ID); got.Generation != generation || got.Failures != 0 || got.Status != vault.StatusActive {
				t.Errorf("%s: generation %d after %d failures, %s", what, got.Generation, got.Failures, got.Status)
			}
			if n := tl.RefreshCalls() - before; n != posts {
				t.Errorf("%s: %d posts, want %d", what, n, posts)
			}
			if !b.accepted(t, tl.URL()+"/api/ResolveUri", s) {
				t.Errorf("%s: TimeLog does not take the headers", what)
			}
		}
		replace := func(secret string) {
			t.Helper()
			s := vault.NewSecret(secret)
			_, err := b.vault.PatchIntegration(t.Context(), b.caller, "timelog", vault.IntegrationPatch{ClientSecret: &s})
			must(t, err)
		}
		read("before", 1)
		replace(next)
		read("replaced here only", 2)
		b.knows(next)
		read("replaced there as well", 1)
		replace("a-third-client-secret-for-the-integration")
		read("once more here", 2)

		if n := tl.Reuses(); n != 0 {
			t.Errorf("%d refresh tokens came twice", n)
		}
		for _, f := range tl.Families() {
			if f.RevokedBy != "" {
				t.Errorf("a family was ended: %+v", f)
			}
		}

		// When the time is over the one before is not tried, and that condemns nobody.
		b.clock.pass(24 * time.Hour)
		before := tl.RefreshCalls()
		_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		if !fault.Is(err, fault.ProviderRejected) {
			t.Errorf("got %v", err)
		}
		if n := tl.RefreshCalls() - before; n != 1 {
			t.Errorf("%d posts after the overlap", n)
		}
		if got := b.connection(t, c.ID); got.Status != vault.StatusActive || got.Generation != generation {
			t.Errorf("after a refusal of the client: %s, generation %d", got.Status, got.Generation)
		}
		replace(next) // put right
		read("put right", 1)
	})
}

// TestClientSecretOverlapAtRevocation: a secret that is replaced after the
// connection was revoked, and before TimeLog could be told.
func TestClientSecretOverlapAtRevocation(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		b.knows("the-next-client-secret-of-the-integration")
		receipt, err := b.vault.Revoke(t.Context(), b.caller, c.ID)
		must(t, err)
		if receipt.Provider.Outcome != vault.OutcomeFailed {
			t.Fatalf("receipt: %+v", receipt)
		}
		s := vault.NewSecret("the-next-client-secret-of-the-integration")
		_, err = b.vault.PatchIntegration(t.Context(), b.caller, "timelog", vault.IntegrationPatch{ClientSecret: &s})
		must(t, err)
		b.clock.pass(10 * time.Minute)
		must(t, b.vault.Tidy(t.Context()))
		for _, f := range b.sandbox.TimeLog().Families() {
			if f.RevokedBy == "" {
				t.Errorf("TimeLog was not told: %+v", f)
			}
		}
	})
}
