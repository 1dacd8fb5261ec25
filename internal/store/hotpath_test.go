package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

func TestKeyAndConnection(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		row, waiting := w.connect(), w.connect(pending(noon))
		serving := func(c *vault.ConnectionRow) *vault.ConnectionRow {
			return &vault.ConnectionRow{
				Connection: vault.Connection{
					ID: c.ID, EnvironmentID: c.EnvironmentID, Status: c.Status, StatusReason: c.StatusReason,
					Generation: c.Generation, ExpiresAt: c.ExpiresAt, Renewable: c.Renewable,
				},
				Answer: c.Answer,
				Lease:  c.Lease,
			}
		}
		look := func(what string, keyHash []byte, id string, wantKey *vault.APIKey, want *vault.ConnectionRow) {
			t.Helper()
			key, conn, err := w.KeyAndConnection(ctx, keyHash, id)
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			equal(t, what+": key", key, wantKey)
			equal(t, what+": connection", conn, want)
		}
		look("both", w.key.Hash, row.ID, &w.key, serving(&row))
		look("again, prepared", w.key.Hash, row.ID, &w.key, serving(&row))
		look("pending", w.key.Hash, waiting.ID, &w.key, serving(&waiting))
		look("unknown connection", w.key.Hash, "con_none", &w.key, nil)
		look("no connection", w.key.Hash, "", &w.key, nil)
		look("an id that no row can have", w.key.Hash, "con_\x00", &w.key, nil)
		look("an id that is not UTF-8", w.key.Hash, "\xff", &w.key, nil)
		look("another environment's connection", other.key.Hash, row.ID, &other.key, nil)
		look("unknown key", hash("unknown"), row.ID, nil, nil)
		look("no key", nil, row.ID, nil, nil)

		bare := vault.APIKey{ID: newID("key"), EnvironmentID: w.env.ID, Hash: hash("bare"), CreatedAt: noon}
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAPIKey(ctx, bare) })
		look("a key that may do nothing", bare.Hash, "", &bare, nil)
		w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
			return tx.RevokeAPIKey(ctx, w.env.ID, bare.ID, noon)
		})
		bare.RevokedAt = noon
		look("a revoked key, for the vault to judge", bare.Hash, "", &bare, nil)

		w.claim(row.ID, 1, "me", live)
		w.spend(row.ID, 1, "fp", live)
		held := w.read(row.ID)
		look("leased", w.key.Hash, row.ID, &w.key, serving(held))
		w.spend(row.ID, 1, "fp", over)
		held = w.read(row.ID)
		look("lease over", w.key.Hash, row.ID, &w.key, serving(held))

		w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) { return tx.Revoke(ctx, row.ID, "why", noon) })
		look("revoked, at once", w.key.Hash, row.ID, &w.key, serving(w.read(row.ID)))
	})
}

func TestKeyAndConnectionTogether(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		row := w.connect()
		race(t, 64, func(int) (bool, error) {
			key, conn, err := w.KeyAndConnection(t.Context(), w.key.Hash, row.ID)
			if err == nil && (key == nil || conn == nil || key.ID != w.key.ID || string(conn.Answer) != string(row.Answer)) {
				t.Errorf("%v, %v", key, conn)
			}
			return err == nil, err
		})
	})
}

// A caller that has gone away does not take the statement along.
func TestKeyAndConnectionCanceled(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		row := w.connect()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
				defer cancel()
				_, _, _ = w.KeyAndConnection(ctx, w.key.Hash, row.ID)
			})
		}
		wg.Wait()
		if _, conn, err := w.KeyAndConnection(t.Context(), w.key.Hash, row.ID); conn == nil || err != nil {
			t.Errorf("%v, %v", conn, err)
		}
	})
}

func BenchmarkKeyAndConnection(b *testing.B) {
	storetest.EachB(b, func(b *testing.B, db *storetest.DB) {
		s := db.Open(b)
		ctx := b.Context()
		env := vault.Environment{ID: newID("env"), Name: "bench", Keyset: []byte("k"), CreatedAt: noon}
		w := &world{Store: s, env: env}
		w.in = w.newIntegration("toggl")
		key := vault.APIKey{ID: newID("key"), EnvironmentID: env.ID, Hash: hash("key"), Scopes: vault.AllScopes(), CreatedAt: noon}
		row := w.full()
		row.Answer = make([]byte, 512)
		err := s.Update(ctx, func(tx vault.Tx) error {
			for _, err := range []error{
				tx.InsertEnvironment(ctx, env), tx.InsertIntegration(ctx, w.in), tx.InsertAPIKey(ctx, key), tx.InsertConnection(ctx, row),
			} {
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, conn, err := s.KeyAndConnection(ctx, key.Hash, row.ID); conn == nil || err != nil {
					b.Error(conn, err)
					return
				}
			}
		})
	})
}
