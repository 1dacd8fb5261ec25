package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// takeRevocation takes what is due of an integration at noon, until an hour later.
func (w *world) takeRevocation(integrationID string, now time.Time) *vault.RevocationRow {
	w.t.Helper()
	var r *vault.RevocationRow
	w.do(func(ctx context.Context, tx vault.Tx) (err error) {
		r, err = tx.ClaimRevocation(ctx, integrationID, now, now.Add(time.Hour))
		return err
	})
	return r
}

func TestRevocations(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		con := w.connect()
		insert := func(id string, due time.Time) vault.RevocationRow {
			r := vault.RevocationRow{ID: id, Connection: con.Connection, Sealed: []byte("last copy"), CreatedAt: noon, DueAt: due, BulkID: "rev_1"}
			w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertRevocation(ctx, r) })
			// What is kept is what those who tell need.
			r.Connection = vault.Connection{
				ID: con.ID, EnvironmentID: con.EnvironmentID, IntegrationID: con.IntegrationID, Integration: con.Integration, Provider: con.Provider,
				Method: con.Method, Generation: con.Generation, BaseURL: con.BaseURL, Account: con.Account, EndUser: con.EndUser,
			}
			return r
		}
		due := func(at time.Time, want ...string) {
			t.Helper()
			got, err := w.RevocationsDue(ctx, at)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("due at %s: %q, want %q (%v)", at, got, want, err)
			}
		}
		due(noon)
		later, now := insert("a", noon.Add(time.Minute)), insert("b", noon)
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.DeleteConnection(ctx, con.ID) }) // it outlives it
		err := w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertRevocation(ctx, now) })
		wantErr(t, "the same twice", err, vault.ErrDuplicate)

		due(noon, con.IntegrationID)
		if r := w.takeRevocation("int_other", noon); r != nil {
			t.Errorf("another integration's: %+v", r)
		}
		got := w.takeRevocation(con.IntegrationID, noon)
		now.DueAt, now.Tries = noon.Add(time.Hour), 1
		equal(t, "the one that is due", got, &now)
		if r := w.takeRevocation(con.IntegrationID, noon); r != nil {
			t.Errorf("a second one at noon: %+v", r)
		}
		due(noon)
		got = w.takeRevocation(con.IntegrationID, noon.Add(time.Minute))
		later.DueAt, later.Tries = noon.Add(time.Hour+time.Minute), 1
		equal(t, "a minute later", got, &later)
		got = w.takeRevocation(con.IntegrationID, noon.Add(2*time.Hour))
		if got == nil || got.ID != "b" || got.Tries != 2 {
			t.Errorf("after its time: %+v", got)
		}

		for range 2 { // gone already is no error
			w.do(func(ctx context.Context, tx vault.Tx) error { return tx.DeleteRevocation(ctx, "b") })
		}
		got = w.takeRevocation(con.IntegrationID, noon.AddDate(1, 0, 0))
		if got == nil || got.ID != "a" {
			t.Errorf("what is left: %+v", got)
		}
	})
}

// TestRevocationsAreClaimedOnce: by whatever process, and of several
// integrations each is found.
func TestRevocationsAreClaimedOnce(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		replicas := []*world{w, w.on(db.Open(t))}
		con := w.connect()
		integrations := []string{"int_a", "int_b", "int_c"}
		w.do(func(ctx context.Context, tx vault.Tx) error {
			for i := range 60 {
				c := con.Connection
				c.IntegrationID = integrations[i%3]
				r := vault.RevocationRow{ID: fmt.Sprintf("r%02d", i), Connection: c, Sealed: []byte("s"), CreatedAt: noon, DueAt: noon}
				if err := tx.InsertRevocation(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
		if due, err := w.RevocationsDue(t.Context(), noon); err != nil || !slices.Equal(due, integrations) {
			t.Errorf("due: %q, %v", due, err)
		}
		var mu sync.Mutex
		seen := map[string]int{}
		race(t, 12, func(i int) (bool, error) {
			for {
				r := replicas[i%2].takeRevocation(integrations[i%3], noon)
				if r == nil {
					return true, nil
				}
				mu.Lock()
				seen[r.ID]++
				mu.Unlock()
			}
		})
		for id, n := range seen {
			if n > 1 {
				t.Errorf("%s was claimed %d times", id, n)
			}
		}
		// Whoever finds all that is due taken at the moment goes; none is left for long.
		for _, id := range integrations {
			for r := w.takeRevocation(id, noon); r != nil; r = w.takeRevocation(id, noon) {
				seen[r.ID]++
			}
		}
		if len(seen) != 60 {
			t.Errorf("%d of 60 were claimed", len(seen))
		}
	})
}
