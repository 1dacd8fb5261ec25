package refresh_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

var errDown = errors.New("the database is down")

// shaky is a store whose database goes away and comes back.
type shaky struct {
	vault.Store

	down atomic.Bool
}

func (s *shaky) Update(ctx context.Context, fn func(vault.Tx) error) error {
	if s.down.Load() {
		return errDown
	}
	return s.Store.Update(ctx, fn)
}

func (s *shaky) Connection(ctx context.Context, environmentID, id string) (*vault.ConnectionRow, error) {
	if s.down.Load() {
		return nil, errDown
	}
	return s.Store.Connection(ctx, environmentID, id)
}

func (s *shaky) LookupHeaders(ctx context.Context, hash []byte, id string) (*vault.HeadersRow, error) {
	if s.down.Load() {
		return nil, errDown
	}
	return s.Store.LookupHeaders(ctx, hash, id)
}

func (b *bench) openSpool(t *testing.T, dir string) *refresh.Spool {
	t.Helper()
	spool, err := refresh.OpenSpool(refresh.SpoolConfig{Dir: dir, Probe: func(sealed []byte) error {
		_, err := b.vault.OpenUnsaved(sealed)
		return err
	}})
	must(t, err)
	return spool
}

// run works ahead of time until the test ends.
func (r replica) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// The database goes away while the provider answers. Nobody who waits notices,
// and nothing is lost.
func TestDatabaseRefusesTheSave(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		dir := t.TempDir()
		for name, comesBack := range map[string]func(*testing.T, *shaky, replica) replica{
			"by itself": func(t *testing.T, s *shaky, r replica) replica {
				s.down.Store(false)
				r.run(t)
				return r
			},
			"to the next reader": func(_ *testing.T, s *shaky, r replica) replica {
				s.down.Store(false)
				return r
			},
			"to another process": func(t *testing.T, _ *shaky, _ replica) replica {
				next := b.openWith(t, b.db.Open(t), refresh.Config{Spool: b.openSpool(t, dir)})
				next.Replay(t.Context())
				return next
			},
		} {
			store := &shaky{Store: b.db.Open(t)}
			spool := b.openSpool(t, dir)
			r := b.openWith(t, store, refresh.Config{Spool: spool})
			c := b.linkTimeLog(t)
			b.clock.pass(2 * time.Hour)
			calls := b.sandbox.TimeLog().RefreshCalls()
			release := make(chan struct{})
			b.sandbox.TimeLog().Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Withhold(release))
			var readers sync.WaitGroup
			for range 10 {
				readers.Go(func() {
					s, err := r.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
					if err != nil {
						t.Errorf("%s: a waiting reader got %v", name, err)
						return
					}
					if !s.MinTTLMet || !b.accepted(t, b.sandbox.TimeLog().URL()+"/api/ResolveUri", s) {
						t.Errorf("%s: the headers are no good", name)
					}
				})
			}
			must(t, b.sandbox.TimeLog().WaitRefresh(t.Context(), calls+1))
			store.down.Store(true)
			close(release)
			readers.Wait()
			if got := len(spool.Names()); got != 1 {
				t.Fatalf("%s: %d in the spool", name, got)
			}
			if now := b.connection(t, c.ID); now.Generation != c.Generation {
				t.Fatalf("%s: was saved after all", name)
			}
			r = comesBack(t, store, r)
			s, err := r.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
			must(t, err)
			if !s.MinTTLMet || !b.accepted(t, b.sandbox.TimeLog().URL()+"/api/ResolveUri", s) {
				t.Errorf("%s: the headers are no good afterwards", name)
			}
			waitFor(t, name+": the spool is empty", func() bool { return len(b.openSpool(t, dir).Names()) == 0 })
			if now := b.connection(t, c.ID); now.Generation == c.Generation {
				t.Errorf("%s: was never saved", name)
			}
			b.clock.pass(2 * time.Hour) // and the chain goes on
			_, err = b.other.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
			must(t, err)
			if n := b.sandbox.TimeLog().Reuses(); n != 0 {
				t.Fatalf("%s: %d reuses", name, n)
			}
		}
	})
}

// spooled is a replica whose database went away while the provider answered, and
// the connection whose new credential is on disk since.
func (b *bench) spooled(t *testing.T, spool *refresh.Spool) (replica, *shaky, vault.Connection) {
	t.Helper()
	store := &shaky{Store: b.db.Open(t)}
	r := b.openWith(t, store, refresh.Config{Spool: spool})
	c := b.linkTimeLog(t)
	b.clock.pass(2 * time.Hour)
	release := make(chan struct{})
	b.sandbox.TimeLog().Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Withhold(release))
	read := make(chan error, 1)
	go func() {
		_, err := r.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		read <- err
	}()
	must(t, b.sandbox.TimeLog().WaitRefresh(t.Context(), 1))
	store.down.Store(true)
	close(release)
	must(t, <-read)
	return r, store, c
}

// waitFor polls for what happens in another goroutine.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// A connection that was revoked while its new credential was on disk is gone.
func TestSpooledAndRevoked(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		spool := b.openSpool(t, t.TempDir())
		r, store, c := b.spooled(t, spool)
		_, err := b.other.vault.Revoke(t.Context(), b.caller, c.ID)
		must(t, err)
		store.down.Store(false)
		_, err = r.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		wantKind(t, err, fault.Revoked)
		r.run(t)
		waitFor(t, "the spool is empty", func() bool { return len(spool.Names()) == 0 })
		b.clock.pass(10 * minute)
		must(t, b.vault.Tidy(t.Context()))
		if f := b.sandbox.TimeLog().Families()[0]; !f.Revoked {
			t.Error("the provider was not told about the credential that came later")
		}
	})
}

// A reader whose headers still work does not wait for a slow provider.
func TestSlowProviderKeepsNobodyWaiting(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		b.clock.pass(50 * minute)
		release := make(chan struct{})
		b.sandbox.TimeLog().Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Withhold(release))
		for _, r := range []replica{b.replica, b.other} { // the one with the lease, and one without
			s, err := r.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, 30*minute)
			must(t, err)
			if s.MinTTLMet || !b.accepted(t, b.sandbox.TimeLog().URL()+"/api/ResolveUri", s) {
				t.Error("not the headers that still work")
			}
		}
		close(release)
		waitFor(t, "the renewal that nobody waited for", func() bool { return b.connection(t, c.ID).ExpiresAt.After(b.clock.Now().Add(30 * minute)) })
		if n := b.sandbox.TimeLog().RefreshCalls(); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}
