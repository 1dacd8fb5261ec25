package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// TestPreviousSecrets: what is over is found and erased, in its own environment
// and once, and nothing else is.
func TestPreviousSecrets(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		until := w.in.PreviousClientSecretUntil
		list := func(at time.Time) int {
			t.Helper()
			found, err := w.PreviousSecretsUntil(ctx, at, 1000)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, in := range found {
				if in.ID == w.in.ID {
					n++
				}
			}
			return n
		}
		drop := func(environment string, at time.Time) bool {
			return w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
				return tx.DropPreviousSecret(ctx, environment, w.in.ID, at)
			})
		}
		if early := until.Add(-time.Microsecond); list(early) != 0 || drop(w.env.ID, early) {
			t.Error("over before its time")
		}
		if list(until) != 1 || drop(other.env.ID, until) {
			t.Error("not over in time, or from another environment")
		}
		if !drop(w.env.ID, until) || drop(w.env.ID, until) || list(until) != 0 {
			t.Error("has to be dropped once")
		}
		got, err := w.Integration(ctx, w.env.ID, w.in.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := w.in
		want.SealedPrevious, want.PreviousClientSecretUntil = nil, time.Time{}
		equal(t, "the rest stays", got, &want)

		lonely := w.newIntegration("lonely")
		lonely.SealedSecret = nil
		wantRefused(t, "a secret before of none", w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertIntegration(ctx, lonely) }))
		endless := w.newIntegration("endless")
		endless.PreviousClientSecretUntil = time.Time{}
		wantRefused(t, "a secret before without an end", w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertIntegration(ctx, endless) }))
	})
}
