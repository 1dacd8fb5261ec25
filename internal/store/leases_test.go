package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

const (
	live = time.Hour
	// over makes a lease that has ended already, in the database's time.
	over = -time.Second
)

func (w *world) claim(id string, generation int64, owner string, ttl time.Duration) *vault.ConnectionRow {
	w.t.Helper()
	row, ok, err := w.ClaimLease(w.t.Context(), id, generation, owner, ttl)
	if err != nil || ok != (row != nil) {
		w.t.Fatalf("claim by %s: %v, %t, %v", owner, row, ok, err)
	}
	return row
}

func (w *world) spend(id string, epoch int64, spending string, ttl time.Duration) bool {
	w.t.Helper()
	ok, err := w.NoteSpending(w.t.Context(), id, epoch, []byte(spending), ttl)
	if err != nil {
		w.t.Fatal(err)
	}
	return ok
}

func (w *world) release(id string, epoch int64, keep bool) {
	w.t.Helper()
	w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
		return tx.ReleaseLease(ctx, id, epoch, vault.Release{KeepSpending: keep})
	})
}

func (w *world) save(id string, generation, epoch int64, ch vault.CredentialChange) bool {
	w.t.Helper()
	return w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
		return tx.SaveCredential(ctx, id, generation, epoch, ch)
	})
}

func TestLease(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		row := w.connect()

		first := w.claim(row.ID, 1, "first", live)
		if first == nil {
			t.Fatal("a free lease was refused")
		}
		want := row
		want.Lease = vault.Lease{Owner: "first", Epoch: 1, Until: first.Lease.Until, Held: true}
		equal(t, "the claimed row", first, &want)
		equal(t, "as others read it", w.read(row.ID), &want)
		// The database's clock is this machine's here.
		if left := time.Until(first.Lease.Until); left < live-time.Minute || left > live+time.Minute {
			t.Errorf("%s left of a lease of %s", left, live)
		}
		for what, refused := range map[string]*vault.ConnectionRow{
			"held by another":    w.claim(row.ID, 1, "second", live),
			"held by oneself":    w.claim(row.ID, 1, "first", live),
			"another generation": w.claim(row.ID, 2, "second", live),
			"no such connection": w.claim("con_none", 1, "second", live),
			"not even a text":    w.claim("\x00", 1, "second", live),
		} {
			if refused != nil {
				t.Errorf("claimed although %s", what)
			}
		}

		if !w.spend(row.ID, 1, "fp-1", over) {
			t.Error("the holder may not send")
		}
		if got := w.read(row.ID).Lease; got.Held || string(got.Spending) != "fp-1" || got.Owner != "first" {
			t.Errorf("a lease that ended: %+v", got)
		}
		if w.spend(row.ID, 1, "fp-late", live) {
			t.Error("a lease that ended lets its holder send")
		}
		second := w.claim(row.ID, 1, "second", live)
		if second == nil || second.Lease.Epoch != 2 || string(second.Lease.Spending) != "fp-1" {
			t.Fatalf("the next holder has to see what the last one was about to spend: %+v", second)
		}

		// The first holder wakes up late.
		if w.spend(row.ID, 1, "fp-late", live) {
			t.Error("an old epoch may send")
		}
		if w.save(row.ID, 1, 1, change(vault.StatusActive)) {
			t.Error("an old epoch saved")
		}
		w.release(row.ID, 1, false)
		if got := w.read(row.ID).Lease; !got.Held || got.Owner != "second" || string(got.Spending) != "fp-1" {
			t.Errorf("an old epoch ended the new lease: %+v", got)
		}

		if !w.save(row.ID, 1, 2, change(vault.StatusActive)) {
			t.Error("the holder could not save")
		}
		equal(t, "after a save", w.read(row.ID).Lease, vault.Lease{Epoch: 2})
		if w.spend(row.ID, 2, "x", live) {
			t.Error("a lease is over with its save")
		}
		if third := w.claim(row.ID, 2, "third", live); third == nil || third.Lease.Epoch != 3 {
			t.Errorf("the next generation's lease: %+v", third)
		}
	})
}

func TestLeaseRelease(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		row := w.connect()
		for i, keep := range []bool{true, false} {
			epoch := int64(i + 1)
			if w.claim(row.ID, 1, "me", live) == nil || !w.spend(row.ID, epoch, "fp", live) {
				t.Fatal("no lease")
			}
			w.release(row.ID, epoch, keep)
			want := vault.Lease{Epoch: epoch}
			if keep {
				want.Spending = []byte("fp")
			}
			equal(t, "released", w.read(row.ID).Lease, want)
			w.release(row.ID, epoch, keep) // twice is harmless
		}
	})
}

// A save in the middle of a renewal lets the holder go on at the new generation.
func TestSaveKeepsLease(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		row := w.connect()
		held := w.claim(row.ID, 1, "me", live)
		if held == nil || !w.spend(row.ID, 1, "fp", live) {
			t.Fatal("no lease")
		}
		ch := change(vault.StatusActive)
		ch.KeepLease = true
		if !w.save(row.ID, 1, 1, ch) {
			t.Fatal("not saved")
		}
		got := w.read(row.ID)
		if got.Generation != 2 || !got.Lease.Held || got.Lease.Owner != "me" || got.Lease.Spending != nil {
			t.Errorf("generation %d, lease %+v", got.Generation, got.Lease)
		}
		ch.KeepLease = false
		if !w.spend(row.ID, 1, "fp-2", live) || !w.save(row.ID, 2, 1, ch) {
			t.Error("the holder could not go on")
		}
	})
}

func TestLeaseByStatus(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		waiting, condemned := w.connect(pending(noon)), w.connect()
		w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
			return tx.SetStatus(ctx, condemned.ID, 1, vault.StatusReconnectRequired, "", noon)
		})
		if w.claim(waiting.ID, 1, "me", live) == nil {
			t.Error("a pending connection's credential ages too")
		}
		if w.claim(condemned.ID, 1, "me", live) != nil {
			t.Error("there is nothing to refresh in a condemned connection")
		}

		// A reconnect takes the lease away from whoever is refreshing.
		row := w.connect()
		w.claim(row.ID, 1, "me", live)
		if !w.save(row.ID, 1, 0, change(vault.StatusActive)) {
			t.Fatal("not linked anew")
		}
		if w.spend(row.ID, 1, "fp", live) || w.save(row.ID, 1, 1, change(vault.StatusActive)) {
			t.Error("a refresh went on after the reconnect")
		}
	})
}

func TestLeaseRace(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		replicas := []*world{w, w.on(db.Open(t))}
		row := w.connect()
		for round, ttl := range []time.Duration{over, over, live} {
			won := race(t, 60, func(i int) (bool, error) {
				// An ended lease can be claimed again at once, so that in these
				// rounds every call may win; each has to have an epoch of its own.
				got, ok, err := replicas[i%2].ClaimLease(t.Context(), row.ID, 1, "someone", ttl)
				if ok && got.Lease.Held != (ttl == live) {
					t.Errorf("round %d: held is %t", round, got.Lease.Held)
				}
				return ok, err
			})
			epoch := w.read(row.ID).Lease.Epoch
			switch {
			case ttl == over && (won != 60 || epoch != int64(60*(round+1))):
				t.Errorf("round %d: %d claims, epoch %d", round, won, epoch)
			case ttl == live && (won != 1 || epoch != 121):
				t.Errorf("round %d: %d callers hold the lease, epoch %d", round, won, epoch)
			}
		}
	})
}

func TestExtendLease(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		row := w.connect()
		extend := func(epoch int64, ttl time.Duration) bool {
			held, err := w.ExtendLease(t.Context(), row.ID, epoch, ttl)
			if err != nil {
				t.Fatal(err)
			}
			return held
		}
		if extend(0, live) {
			t.Error("extended what nobody holds")
		}
		first := w.claim(row.ID, 1, "first", time.Minute)
		if !extend(1, live) || w.read(row.ID).Lease.Until.Sub(first.Lease.Until) < 30*time.Minute {
			t.Error("the holder's lease does not last longer")
		}
		if extend(2, live) {
			t.Error("extended for another epoch")
		}
		if !extend(1, over) || extend(1, live) {
			t.Error("a lease that has ended came back to life")
		}
	})
}

func TestClaimDue(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		now := time.Now()
		// expiring after, due after
		due := func(expires, due time.Duration) string {
			row := w.connect()
			ch := change(vault.StatusActive)
			if ch.ExpiresAt, ch.DueAt = now.Add(expires), now.Add(due); expires == 0 {
				ch.ExpiresAt = time.Time{}
			}
			if !w.save(row.ID, 1, 0, ch) {
				t.Fatal("not saved")
			}
			return row.ID
		}
		endless := due(0, -time.Hour)
		later := due(time.Hour, -time.Minute)
		soon := due(30*time.Second, -time.Second)
		over := due(-time.Hour, -time.Second)
		held := due(-2*time.Hour, -time.Hour)
		w.claim(held, 2, "somebody", live)
		condemned := due(-2*time.Hour, -time.Hour)
		w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
			return tx.SetStatus(ctx, condemned, 2, vault.StatusReconnectRequired, "x", noon)
		})
		_ = due(time.Hour, time.Hour)

		claim := func(limit int, skip ...string) []string {
			all, err := w.ClaimDue(ctx, limit, time.Hour, skip)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, c := range all {
				ids = append(ids, c.ID)
			}
			return ids
		}
		if got := claim(10, w.in.ID); got != nil {
			t.Errorf("claimed of an integration to be skipped: %v", got)
		}
		equal(t, "what works and will not for long", claim(1), []string{soon})
		equal(t, "the others, by their end", claim(10), []string{over, later, endless})
		if got := claim(10); got != nil {
			t.Errorf("claimed twice: %v", got)
		}
		if err := w.SetDue(ctx, later, 2, now.Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := w.SetDue(ctx, soon, 1, now.Add(-time.Second)); err != nil { // another generation
			t.Fatal(err)
		}
		equal(t, "due again", claim(10), []string{later})
		if got := w.read(later).DueAt.Sub(now); got < 50*time.Minute {
			t.Errorf("claimed and due again after %v", got)
		}
		if !w.read(condemned).DueAt.IsZero() {
			t.Error("what is condemned is still looked at")
		}
	})
}

func TestClaimDueIsShared(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		one, other := db.Open(t), db.Open(t)
		w := newWorld(t, one)
		const n = 40
		for range n {
			row := w.connect()
			ch := change(vault.StatusActive)
			ch.DueAt = time.Now().Add(-time.Minute)
			w.save(row.ID, 1, 0, ch)
		}
		claimed := make(chan string, 4*n)
		var replicas sync.WaitGroup
		for _, s := range []*store.Store{one, other, one, other} {
			replicas.Go(func() {
				for {
					all, err := s.ClaimDue(t.Context(), 3, time.Hour, nil)
					if err != nil {
						t.Error(err)
					}
					if len(all) == 0 {
						return
					}
					for _, c := range all {
						claimed <- c.ID
					}
				}
			})
		}
		replicas.Wait()
		close(claimed)
		times := map[string]int{}
		for id := range claimed {
			times[id]++
		}
		for id, k := range times {
			if k != 1 {
				t.Errorf("%s was claimed %d times", id, k)
			}
		}
		if len(times) != n {
			t.Errorf("%d of %d claimed", len(times), n)
		}
	})
}

// What one replica announces, the other hears; on SQLite there is no other.
func TestAnnounce(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		if db.Kind == "sqlite" {
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		one, other := db.Open(t), db.Open(t)
		heard, ended := make(chan string, 100), make(chan error, 1)
		go func() { ended <- other.Listen(ctx, func(id string) { heard <- id }) }()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for first := true; first; { // until it listens
			if err := one.Announce(ctx, "con_1"); err != nil {
				t.Fatal(err)
			}
			select {
			case id := <-heard:
				if first = false; id != "con_1" {
					t.Errorf("heard %q", id)
				}
			case <-tick.C:
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("told to end, it says %v", err)
		}
	})
}

// A machine whose clock is wrong goes by the database's.
func TestNowIsTheDatabases(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		wrong := func() time.Time { return time.Now().Add(90 * time.Second) }
		cfg := db.Config()
		cfg.Now = wrong
		s, err := store.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		ahead := time.Until(s.Now())
		if db.Kind == "postgres" && ahead.Abs() > 30*time.Second {
			t.Errorf("%v ahead of the database", ahead)
		}
		if db.Kind == "sqlite" && ahead < 60*time.Second {
			t.Errorf("the embedded database has this machine's clock, and not one that is %v off it", ahead)
		}
	})
}
