package vault_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// A known key that is good no more is answered as an unknown one, and the trail
// has it: by the minute, and what is left when the process stops.
func TestKeysTurnedAway(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		made := func(expires time.Time) (vault.APIKey, vault.Bearer) {
			k, key, err := b.CreateAPIKey(t.Context(), b.caller, vault.NewAPIKey{Name: "k", Scopes: vault.AllScopes(), ExpiresAt: expires})
			must(t, err)
			return k, vault.Bearer{Key: key}
		}
		revoked, revokedKey := made(time.Time{})
		expired, expiredKey := made(b.clock().Add(time.Minute))
		must(t, b.RevokeAPIKey(t.Context(), b.caller, revoked.ID))
		b.pass(time.Hour)
		try := func() {
			t.Helper()
			for _, key := range []vault.Bearer{revokedKey, expiredKey, {Key: vault.NewSecret("clv_key_unknown")}} {
				_, err := b.Authenticate(t.Context(), key)
				wantKind(t, err, fault.Unauthenticated)
				_, err = b.LookupHeaders(t.Context(), key, c.ID)
				wantKind(t, err, fault.Unauthenticated)
			}
		}
		got := func() map[string]int64 {
			t.Helper()
			entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{Action: vault.ActionRefused, Refused: true, Page: vault.Page{Limit: 100}})
			must(t, err)
			counts := map[string]int64{}
			for _, e := range entries {
				counts[e.ActorID+" "+e.Reason] += e.Count
			}
			return counts
		}
		want := func(what string, n int64) {
			t.Helper()
			counts := map[string]int64{}
			if n > 0 {
				counts = map[string]int64{revoked.ID + " key_revoked": n, expired.ID + " key_expired": n}
			}
			if diff := cmp.Diff(counts, got()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		try()
		try()
		must(t, b.Tidy(t.Context()))
		want("within the minute", 0)
		b.pass(time.Minute)
		must(t, b.Tidy(t.Context()))
		want("after it", 4)
		try()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("over"))
		must(t, b.Run(ctx))
		want("once it stops", 6)
	})
}
