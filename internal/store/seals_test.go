package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

func TestCanary(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		s := db.Open(t)
		replicas := []vault.Store{s, db.Open(t)}
		if b, err := s.Canary(ctx); b != nil || err != nil {
			t.Errorf("before the first start: %q, %v", b, err)
		}
		wantErr(t, "replacing none", s.ReplaceCanary(ctx, []byte("x")), vault.ErrNotFound)
		if won := race(t, 20, func(i int) (bool, error) { return replicas[i%2].InsertCanary(ctx, []byte{'a' + byte(i)}) }); won != 1 {
			t.Errorf("%d first starts", won)
		}
		if b, err := s.Canary(ctx); len(b) != 1 || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		if err := s.ReplaceCanary(ctx, []byte("rotated")); err != nil {
			t.Fatal(err)
		}
		if b, err := replicas[1].Canary(ctx); string(b) != "rotated" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestReseal(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		w.elsewhere().connect()
		con := w.connect()
		half := w.connect(func(c *vault.ConnectionRow) { c.Status, c.Answer = vault.StatusReconnectRequired, nil })
		w.connect(func(c *vault.ConnectionRow) { c.Status, c.Credential, c.Answer = vault.StatusRevoked, nil, nil })
		public := w.newIntegration("public")
		public.SealedSecret = nil
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertIntegration(ctx, public) })

		outbox := vault.RevocationRow{ID: con.ID + ".1", Connection: con.Connection, Sealed: []byte("last copy"), CreatedAt: noon}
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertRevocation(ctx, outbox) })

		walk := func(limit int) (all []vault.SealedRow) {
			cursor := ""
			for {
				page, err := w.Sealed(ctx, w.env.ID, cursor, limit)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) > limit {
					t.Fatalf("%d rows in a page of %d", len(page), limit)
				}
				if len(page) == 0 {
					return all
				}
				all, cursor = append(all, page...), page[len(page)-1].ID
			}
		}
		sealedCon := vault.SealedRow{Table: "connections", ID: con.ID, Generation: 1, Blobs: [][]byte{con.Credential, con.Answer}}
		sealedHalf := vault.SealedRow{Table: "connections", ID: half.ID, Generation: 1, Blobs: [][]byte{half.Credential, nil}}
		sealedOut := vault.SealedRow{Table: "revocations", ID: outbox.ID, Blobs: [][]byte{outbox.Sealed}}
		sealedIn := vault.SealedRow{Table: "integrations", ID: w.in.ID, Blobs: [][]byte{w.in.SealedSecret}}
		for _, limit := range []int{1, 2, 100} {
			equal(t, "all that is sealed", walk(limit), []vault.SealedRow{sealedCon, sealedOut, sealedHalf, sealedIn})
		}

		for _, old := range []vault.SealedRow{sealedCon, sealedOut, sealedHalf, sealedIn} {
			fresh := old
			fresh.Blobs = nil
			for _, b := range old.Blobs {
				if b != nil {
					b = append([]byte("again "), b...)
				}
				fresh.Blobs = append(fresh.Blobs, b)
			}
			if ok, err := w.Reseal(ctx, fresh, old); ok || err != nil {
				t.Errorf("%s: resealed what was not there: %t, %v", old.Table, ok, err)
			}
			if ok, err := w.Reseal(ctx, old, fresh); !ok || err != nil {
				t.Errorf("%s: %t, %v", old.Table, ok, err)
			}
			if ok, err := w.Reseal(ctx, old, fresh); ok || err != nil {
				t.Errorf("%s: resealed twice: %t, %v", old.Table, ok, err)
			}
		}
		got := w.read(con.ID)
		want := con
		want.Credential, want.Answer = append([]byte("again "), con.Credential...), append([]byte("again "), con.Answer...)
		equal(t, "only the blobs changed", got, &want)

		// A refresh in between wins.
		now := vault.SealedRow{Table: "connections", ID: con.ID, Generation: 1, Blobs: [][]byte{want.Credential, want.Answer}}
		w.save(con.ID, 1, 0, change(vault.StatusActive))
		if ok, err := w.Reseal(ctx, now, sealedCon); ok || err != nil {
			t.Errorf("resealed over a new generation: %t, %v", ok, err)
		}
		for _, bad := range []vault.SealedRow{{Table: "attempts", ID: "x", Blobs: [][]byte{nil}}, {Table: "connections", ID: con.ID, Blobs: [][]byte{nil}}} {
			if _, err := w.Reseal(ctx, bad, bad); err == nil {
				t.Errorf("%+v was accepted", bad)
			}
		}
	})
}

func TestRevocations(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		replicas := []*world{w, w.on(db.Open(t))}
		con := w.connect()
		insert := func(id string, claimed bool) vault.RevocationRow {
			r := vault.RevocationRow{ID: id, Connection: con.Connection, Sealed: []byte("last copy"), CreatedAt: noon}
			if claimed {
				r.ClaimedAt = noon
			}
			w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertRevocation(ctx, r) })
			// What is kept is what those who tell need.
			r.Connection = vault.Connection{
				ID: con.ID, EnvironmentID: con.EnvironmentID, IntegrationID: con.IntegrationID, Integration: con.Integration, Provider: con.Provider,
				Method: con.Method, Generation: con.Generation, BaseURL: con.BaseURL, Account: con.Account, EndUser: con.EndUser,
			}
			return r
		}
		mine, free := insert("a", true), insert("b", false)
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.DeleteConnection(ctx, con.ID) }) // it outlives it
		err := w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertRevocation(ctx, mine) })
		wantErr(t, "the same twice", err, vault.ErrDuplicate)

		got, err := w.ClaimRevocations(ctx, noon, noon, 10)
		if err != nil {
			t.Fatal(err)
		}
		free.ClaimedAt, free.Tries = noon, 1
		equal(t, "unclaimed", got, []vault.RevocationRow{free})

		one, err := w.ClaimRevocation(ctx, mine.ID, noon)
		if err != nil {
			t.Fatal(err)
		}
		mine.Tries = 1
		equal(t, "whoever had it", one, &mine)
		_, err = w.ClaimRevocation(ctx, "none", noon)
		wantErr(t, "none", err, vault.ErrNotFound)

		for i := range 40 {
			insert(fmt.Sprintf("r%02d", i), false)
		}
		var all []string
		results := make(chan []vault.RevocationRow, 20)
		race(t, 20, func(i int) (bool, error) {
			rows, err := replicas[i%2].ClaimRevocations(ctx, noon, noon, 3)
			results <- rows
			return true, err
		})
		close(results)
		seen := map[string]bool{}
		for rows := range results {
			for _, r := range rows {
				if seen[r.ID] {
					t.Errorf("%s was claimed twice", r.ID)
				}
				seen[r.ID] = true
				all = append(all, r.ID)
			}
		}
		if len(all) > 40 {
			t.Errorf("%d claims of 40", len(all))
		}
		rest, err := w.ClaimRevocations(ctx, noon, noon, 100)
		if err != nil || len(rest)+len(all) != 40 {
			t.Errorf("%d claimed, %d left of 40: %v", len(all), len(rest), err)
		}
		if again, err := w.ClaimRevocations(ctx, noon.Add(1000), noon, 100); err != nil || len(again) != 42 {
			t.Errorf("after their time %d of 42 can be claimed again: %v", len(again), err)
		}

		for range 2 { // gone already is no error
			w.do(func(ctx context.Context, tx vault.Tx) error { return tx.DeleteRevocation(ctx, mine.ID) })
		}
		if d := cmp.Diff([]byte("last copy"), one.Sealed); d != "" {
			t.Error(d)
		}
		_, err = w.ClaimRevocation(ctx, mine.ID, noon)
		wantErr(t, "deleted", err, vault.ErrNotFound)
	})
}
