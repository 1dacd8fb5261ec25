package refresh_test

import (
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

func (b *bench) linkMany(t *testing.T, n int) []vault.Connection {
	t.Helper()
	all := make([]vault.Connection, n)
	for i := range all {
		all[i] = b.linkTimeLog(t)
	}
	return all
}

// However many connections want to be refreshed, a provider that is down gets
// ten calls at most before it is left alone, from each process.
func TestAnOutageOfAProviderIsNotAStorm(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		all := b.linkMany(t, 40)
		b.clock.pass(2 * time.Hour)
		b.sandbox.TimeLog().Faults().Always(sandbox.TimeLogRefresh, sandbox.Status(503))
		for range 3 {
			for _, c := range all {
				_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
				wantKind(t, err, fault.ProviderUnavailable)
				if f, _ := fault.As(err); f.RetryAfter < time.Second {
					t.Fatalf("Retry-After %v", f.RetryAfter)
				}
			}
			b.clock.pass(2 * minute) // back-off of each connection is over
		}
		if n := b.sandbox.TimeLog().RefreshCalls(); n < 2 || n > 10 {
			t.Errorf("%d calls", n)
		}
		for _, c := range all {
			if now := b.connection(t, c.ID); now.Status != vault.StatusActive {
				t.Fatalf("condemned by an outage: %s", now.StatusReason)
			}
		}
	})
}

// One connection was told to come back later: that goes for the host.
func TestRetryAfterIsForTheHost(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		first, second := b.linkTimeLog(t), b.linkTimeLog(t)
		b.clock.pass(2 * time.Hour)
		b.sandbox.TimeLog().Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.TooManyRequests(90*time.Second))
		for _, c := range []vault.Connection{first, second, first} {
			_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
			wantKind(t, err, fault.ProviderUnavailable)
			if f, _ := fault.As(err); f.RetryAfter < 89*time.Second {
				t.Errorf("Retry-After %v", f.RetryAfter)
			}
		}
		if n := b.sandbox.TimeLog().RefreshCalls(); n != 1 {
			t.Errorf("%d calls", n)
		}
		b.clock.pass(91 * time.Second)
		for _, c := range []vault.Connection{first, second} {
			_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
			must(t, err)
		}
	})
}
