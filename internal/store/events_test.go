package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

func (w *world) newEvent() vault.Event {
	return vault.Event{
		ID: newID("evt"), EnvironmentID: w.env.ID, At: noon, Type: vault.EventRefreshed, ConnectionID: "con_gone", Integration: "toggl",
		Provider: "toggl", EndUserID: "user-1", Status: vault.StatusActive, Reason: "transient", Generation: 3,
	}
}

// happen inserts an event, changed by each of change.
func (w *world) happen(change ...func(*vault.Event)) vault.Event {
	w.t.Helper()
	e := w.newEvent()
	for _, c := range change {
		c(&e)
	}
	w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertEvent(ctx, e) })
	return e
}

func (w *world) number(limit int) int {
	w.t.Helper()
	n, err := w.NumberEvents(w.t.Context(), limit)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) events(after int64, limit int) []vault.Event {
	w.t.Helper()
	list, err := w.Events(w.t.Context(), w.env.ID, nil, after, limit)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func positioned(at int64, e vault.Event) vault.Event {
	e.Position = at
	return e
}

func TestEvents(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		if n := w.number(10); n != 0 {
			t.Errorf("numbered %d of none", n)
		}
		a := w.happen()
		theirs := other.happen()
		b := w.happen(func(e *vault.Event) { e.Type, e.Reason = vault.EventRecovered, "" })
		// As a replica writes it whose clock is behind: no clock decides.
		late := w.happen(func(e *vault.Event) { e.ID, e.At = "evt_0", noon.Add(-time.Hour) })
		equal(t, "before they are numbered", w.events(0, 10), []vault.Event(nil))
		if n := w.number(3); n != 3 {
			t.Errorf("numbered %d, want 3", n)
		}
		equal(t, "the first", w.events(0, 10), []vault.Event{positioned(1, a), positioned(3, b)})
		if n := w.number(3); n != 1 {
			t.Errorf("numbered %d, want 1", n)
		}
		for what, c := range map[string]struct {
			after int64
			limit int
			want  []vault.Event
		}{
			"all":              {0, 10, []vault.Event{positioned(1, a), positioned(3, b), positioned(4, late)}},
			"one":              {0, 1, []vault.Event{positioned(1, a)}},
			"after the first":  {1, 10, []vault.Event{positioned(3, b), positioned(4, late)}},
			"after another's":  {2, 1, []vault.Event{positioned(3, b)}},
			"after the last":   {4, 10, nil},
			"far from them":    {1 << 62, 10, nil},
			"before the first": {-1, 1, []vault.Event{positioned(1, a)}},
		} {
			equal(t, what, w.events(c.after, c.limit), c.want)
		}
		equal(t, "elsewhere", other.events(0, 10), []vault.Event{positioned(2, theirs)})

		for name, c := range map[string]struct {
			change func(*vault.Event)
			want   error
		}{
			"the same id":           {func(e *vault.Event) { e.ID = a.ID }, vault.ErrDuplicate},
			"in no environment":     {func(e *vault.Event) { e.EnvironmentID = "env_none" }, vault.ErrNotFound},
			"without an id":         {func(e *vault.Event) { e.ID = "" }, nil},
			"of no type":            {func(e *vault.Event) { e.Type = "" }, nil},
			"at no time":            {func(e *vault.Event) { e.At = time.Time{} }, nil},
			"before any credential": {func(e *vault.Event) { e.Generation = 0 }, nil},
			"a story as its reason": {func(e *vault.Event) { e.Reason = longText(129) }, nil},
		} {
			e := w.newEvent()
			c.change(&e)
			err := w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertEvent(ctx, e) })
			if c.want != nil {
				wantErr(t, name, err, c.want)
			} else {
				wantRefused(t, name, err)
			}
		}
		boom := errors.New("boom")
		wantErr(t, "rolled back", w.try(func(ctx context.Context, tx vault.Tx) error {
			return errors.Join(tx.InsertEvent(ctx, w.newEvent()), boom)
		}), boom)
		if n := w.number(10); n != 0 {
			t.Errorf("numbered %d events of transactions that failed", n)
		}
	})
}

// A transaction that began first, and wrote first, commits after what came
// later has been read: its event is still to come.
func TestEventCommittedLate(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		second := w.on(db.Open(t))
		first := w.newEvent()
		var later vault.Event
		overtake := func() {
			later = second.happen()
			if n := second.number(10); n != 1 {
				t.Errorf("numbered %d, want the one that is committed", n)
			}
			equal(t, "read meanwhile", second.events(0, 10), []vault.Event{positioned(1, later)})
		}
		if db.Kind == "sqlite" { // nobody can write while another does
			overtake()
		}
		w.do(func(ctx context.Context, tx vault.Tx) error {
			if err := tx.InsertEvent(ctx, first); err != nil {
				return err
			}
			if db.Kind == "postgres" {
				overtake()
			}
			return nil
		})
		if n := second.number(10); n != 1 {
			t.Errorf("numbered %d, want the late one", n)
		}
		equal(t, "read after that", second.events(1, 10), []vault.Event{positioned(2, first)})
	})
}

// Whoever follows gets every event that was committed, once, and those of each
// writer in its order; however many write, give up and number at the same time.
func TestFollowingEvents(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		replicas := []*world{w, w.on(db.Open(t)), w.on(db.Open(t))}
		const writers, rounds = 6, 25
		boom := errors.New("boom")
		var mu sync.Mutex
		want := map[string][]string{} // by connection, in order
		var writing, numbering sync.WaitGroup
		for i := range writers {
			writing.Go(func() {
				con := fmt.Sprint("con_", i)
				other := w.newEvent().ID // older than any of the others
				for round := range rounds {
					var ids []string
					err := replicas[i%len(replicas)].try(func(ctx context.Context, tx vault.Tx) error {
						ids = nil // it may run again
						for range 1 + (i+round)%3 {
							e := w.newEvent()
							e.ConnectionID = con
							if round == rounds-1 && len(ids) == 0 {
								e.ID = other
							}
							ids = append(ids, e.ID)
							if err := tx.InsertEvent(ctx, e); err != nil {
								return err
							}
						}
						if round%4 == 3 {
							return boom
						}
						return nil
					})
					switch {
					case errors.Is(err, boom):
					case err != nil:
						t.Error(err)
					default:
						mu.Lock()
						want[con] = append(want[con], ids...)
						mu.Unlock()
					}
				}
			})
		}
		written := make(chan struct{})
		for _, r := range replicas[:2] {
			numbering.Go(func() {
				for done := false; !done; {
					select {
					case <-written:
						done = true // and once more
					default:
					}
					for {
						n, err := r.NumberEvents(t.Context(), 7)
						if err != nil {
							t.Error(err)
							return
						}
						if n == 0 {
							break
						}
					}
				}
			})
		}
		numbered := make(chan struct{})
		go func() {
			writing.Wait()
			close(written)
			numbering.Wait()
			close(numbered)
		}()
		defer func() { <-numbered }()
		got := map[string][]string{}
		var after int64
		for done := false; !done; {
			select {
			case <-numbered:
				done = true
			default:
			}
			for {
				page := replicas[2].events(after, 5)
				for _, e := range page {
					if e.Position <= after {
						t.Fatalf("position %d after %d", e.Position, after)
					}
					after = e.Position
					got[e.ConnectionID] = append(got[e.ConnectionID], e.ID)
				}
				if len(page) < 5 {
					break
				}
			}
		}
		equal(t, "followed", got, want)
		all := 0
		for ids := range maps.Values(want) {
			all += len(ids)
		}
		if after != int64(all) {
			t.Errorf("the last position of %d events is %d", all, after)
		}
	})
}

func TestOldEventsAreDeleted(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		keepSince := noon.Add(-time.Hour)
		w.do(func(ctx context.Context, tx vault.Tx) error {
			for i := range 1200 { // more than two batches
				e := w.newEvent()
				e.At = keepSince.Add(-time.Duration(1200-i) * time.Second)
				if err := tx.InsertEvent(ctx, e); err != nil {
					return err
				}
			}
			return nil
		})
		fresh := w.happen(func(e *vault.Event) { e.At = keepSince })
		w.number(2000)
		unread := w.happen(func(e *vault.Event) { e.At = keepSince.Add(-time.Minute) })
		for range 2 {
			if err := w.DeleteExpired(t.Context(), noon, keepSince); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "what a follower of old gets", w.events(3, 10), []vault.Event{positioned(1201, fresh)})
		w.number(10)
		equal(t, "what nobody could read", w.events(1201, 10), []vault.Event{positioned(1202, unread)})
		// Positions go on where all events are gone.
		if err := w.DeleteExpired(t.Context(), noon, noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		last := w.happen()
		w.number(10)
		equal(t, "after all were gone", w.events(0, 10), []vault.Event{positioned(1203, last)})
	})
}
