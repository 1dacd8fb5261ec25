package store_test

import (
	"context"
	"testing"
	"time"

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
		public.SealedSecret, public.SealedPrevious, public.PreviousClientSecretUntil = nil, nil, time.Time{}
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertIntegration(ctx, public) })

		outbox := vault.RevocationRow{ID: con.ID + ".1", Connection: con.Connection, Sealed: []byte("last copy"), CreatedAt: noon, DueAt: noon}
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
		sealedIn := vault.SealedRow{Table: "integrations", ID: w.in.ID, Blobs: [][]byte{w.in.SealedSecret, w.in.SealedPrevious}}
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
