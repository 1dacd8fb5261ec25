package vault_test

import (
	"testing"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// What is linked, renewed or mended is due by what the new credential says.
func TestDueFromTheStart(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		endless := grant("r1", time.Time{})
		endless.Renewable, endless.VerifyEvery = false, 24*time.Hour
		hour := func() vault.Grant { return grant("r1", b.clock().Add(time.Hour)) }
		within := func(what, id string, earliest, latest time.Duration) {
			t.Helper()
			if after := b.connection(t, id).DueAt.Sub(b.clock()); after < earliest || after > latest {
				t.Errorf("%s: due after %v, want from %v to %v", what, after, earliest, latest)
			}
		}

		caller, _, _ := b.bound(t, vault.NewSession{})
		l, err := b.Link(t.Context(), caller, b.in, "oidc", endless)
		must(t, err)
		within("linked, without an end", l.Connection.ID, 18*time.Hour, 30*time.Hour)

		c, err := b.ImportConnection(t.Context(), b.caller, vault.NewImport{Integration: b.in, Method: "oidc", Grant: hour(), EndUser: ada})
		must(t, err)
		within("imported", c.ID, 45*time.Minute, 51*time.Minute)

		b.pass(30 * time.Minute)
		r := b.claim(t, b.connection(t, c.ID), time.Minute)
		rescue := grant("r2", b.connection(t, c.ID).ExpiresAt)
		b.rescue(t, r, rescue)
		within("rescued", c.ID, 0, time.Second)
		b.save(t, r, hour())
		within("renewed", c.ID, 45*time.Minute, 51*time.Minute)

		// Mended by what the host redeems later: the grant is gone by then.
		s, l := redeemable(t, b, vault.NewSession{})
		within("waiting", l.Connection.ID, 45*time.Minute, 51*time.Minute)
		_, err = b.Redeem(t.Context(), b.caller, s.ID, l.Result, ada.ID)
		must(t, err)
		within("redeemed", l.Connection.ID, 45*time.Minute, 51*time.Minute)
		caller, s, _ = b.bound(t, vault.NewSession{ConnectionID: c.ID, ReturnURL: "https://app.example.com/linked"})
		l, err = b.Link(t.Context(), caller, b.in, "oidc", endless)
		must(t, err)
		candidate := l.Connection.DueAt
		_, err = b.Redeem(t.Context(), b.caller, s.ID, l.Result, ada.ID)
		must(t, err)
		if due := b.connection(t, c.ID).DueAt; due.IsZero() || !due.Equal(candidate) {
			t.Errorf("mended: due %v, the candidate was due %v", due, candidate)
		}
	})
}
