package refresh_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

// stumbling refuses its next saves and takes everything after that.
type stumbling struct {
	vault.Store

	saves atomic.Int32
}

func (s *stumbling) Update(ctx context.Context, fn func(vault.Tx) error) error {
	return s.Store.Update(ctx, func(tx vault.Tx) error { return fn(stumblingTx{tx, s}) })
}

type stumblingTx struct {
	vault.Tx

	store *stumbling
}

func (t stumblingTx) SaveCredential(ctx context.Context, id string, generation, epoch int64, ch vault.CredentialChange) (bool, error) {
	if t.store.saves.Add(-1) >= 0 {
		return false, errDown
	}
	return t.Tx.SaveCredential(ctx, id, generation, epoch, ch)
}

// stumble is a replica that cannot save the rescue of its next renewal at once,
// and an expired connection.
func (b *bench) stumble(t *testing.T, refuse int32) (replica, vault.Connection) {
	t.Helper()
	s := &stumbling{Store: b.db.Open(t)}
	r := b.openWith(t, s, refresh.Config{Spool: b.openSpool(t, t.TempDir())})
	c := b.linkTimeLog(t)
	b.clock.pass(2 * time.Hour)
	s.saves.Store(refuse)
	return r, c
}

// The rescue goes aside, and the check of the rest takes a while. Nobody saves
// it from under its own renewal.
func TestRescueAsideAndASlowFinish(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		r, c := b.stumble(t, 1)
		release := make(chan struct{})
		b.sandbox.TimeLog().Faults().Next(sandbox.TimeLogResolveURI, 1, sandbox.Withhold(release))
		r.run(t)
		read := make(chan error, 1)
		go func() {
			s, err := r.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
			if err == nil && !s.MinTTLMet {
				t.Error("not the new headers")
			}
			read <- err
		}()
		must(t, b.sandbox.TimeLog().WaitRefresh(t.Context(), 1))
		select { // long enough for what runs in the background
		case <-time.After(2 * time.Second):
		case err := <-read:
			t.Fatalf("answered before the provider was: %v", err)
		}
		if now := b.connection(t, c.ID); now.Generation != 1 {
			t.Errorf("saved from under the renewal: generation %d", now.Generation)
		}
		close(release)
		must(t, <-read)
		if n := b.sandbox.TimeLog().RefreshCalls(); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

// The rescue goes aside, and what came with it is of no use. The old token is
// spent, and nobody sends it again.
func TestRescueAsideAndAUselessAnswer(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		for refused, name := range map[int32]string{1: "for a moment", 2: "for a while"} {
			r, c := b.stumble(t, refused)
			before := b.sandbox.TimeLog().RefreshCalls()
			b.sandbox.TimeLog().Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Rewrite(func(a *sandbox.Answer) {
				a.Body = []byte(strings.Replace(string(a.Body), `"access_token"`, `"no_access_token"`, 1))
			}))
			if _, err := r.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute); err == nil {
				t.Fatalf("%s: served", name)
			}
			r.run(t)
			s, err := b.other.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute) // knows nothing of it
			if err != nil || !s.MinTTLMet {
				t.Errorf("%s: another replica: %v", name, err)
			}
			if calls, reuses := b.sandbox.TimeLog().RefreshCalls()-before, b.sandbox.TimeLog().Reuses(); calls != 2 || reuses != 0 {
				t.Errorf("%s: %d calls, %d reuses", name, calls, reuses)
			}
		}
	})
}

// The rescue goes aside, and what came with it condemns the connection. It does
// not come back to life when the rescue arrives.
func TestRescueAsideAndAnotherAccount(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		var other sandbox.Case
		for _, x := range sandbox.Cases(sandbox.Refresh) {
			if !x.Accept && strings.Contains(x.Name, "sub") {
				other = x
			}
		}
		r, c := b.stumble(t, 2)
		undo := b.sandbox.TimeLog().Tamper(sandbox.Refresh, other.Tamper)
		defer undo()
		if _, err := r.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute); err == nil {
			t.Fatal("served")
		}
		r.run(t)
		waitFor(t, "the rescue has arrived", func() bool { return b.connection(t, c.ID).Generation == 2 })
		if now := b.connection(t, c.ID); now.Status != vault.StatusReconnectRequired || now.StatusReason != vault.ReasonIdentityChanged {
			t.Errorf("%s, %s", now.Status, now.StatusReason)
		}
	})
}

// The database is away for longer than the lease. When it is back, another
// replica comes first; it gives the one that has the new token a moment.
func TestOutageLongerThanTheLease(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		r, s, c := b.spooled(t, b.openSpool(t, t.TempDir()))
		if _, err := b.db.Raw(t).ExecContext(t.Context(), `UPDATE connections SET lease_until = 1 WHERE lease_until IS NOT NULL`); err != nil {
			t.Fatal(err)
		}
		r.run(t)
		s.down.Store(false)
		got, err := b.other.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		if err != nil || !got.MinTTLMet {
			t.Errorf("another replica: %v", err)
		}
		if calls, reuses := b.sandbox.TimeLog().RefreshCalls(), b.sandbox.TimeLog().Reuses(); calls != 1 || reuses != 0 {
			t.Errorf("%d calls, %d reuses", calls, reuses)
		}
	})
}
