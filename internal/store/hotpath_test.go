package store_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// found is what the hot path has to answer.
func (w *world) found(k *vault.APIKey, c *vault.ConnectionRow) *vault.HeadersRow {
	r := &vault.HeadersRow{
		KeyID: k.ID, EnvironmentID: k.EnvironmentID, KeyHash: k.Hash, Scopes: k.Scopes,
		KeyExpiresAt: k.ExpiresAt, KeyRevoked: !k.RevokedAt.IsZero(), StrictReads: w.env.StrictReads,
	}
	if c != nil {
		r.Status, r.StatusReason, r.Generation = c.Status, c.StatusReason, c.Generation
		r.ExpiresAt, r.Renewable, r.Answer = c.ExpiresAt, c.Renewable, c.Answer
	}
	return r
}

func TestLookupHeaders(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		row, waiting := w.connect(), w.connect(pending(noon))
		endless := w.connect(func(c *vault.ConnectionRow) { c.ExpiresAt, c.Renewable = time.Time{}, false })
		bare := vault.APIKey{ID: newID("key"), EnvironmentID: w.env.ID, Hash: hash("bare"), CreatedAt: noon}
		over := bare
		over.ID, over.Hash = newID("key"), hash("over")
		w.do(func(ctx context.Context, tx vault.Tx) error {
			if err := tx.InsertAPIKey(ctx, bare); err != nil {
				return err
			}
			return tx.InsertAPIKey(ctx, over)
		})
		w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
			return tx.RevokeAPIKey(ctx, w.env.ID, over.ID, noon)
		})
		over.RevokedAt = noon
		revoked := w.connect()
		w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) { return tx.Revoke(ctx, revoked.ID, "why", noon) })

		cases := []struct {
			what string
			hash []byte
			id   string
			want *vault.HeadersRow
		}{
			{"both", w.key.Hash, row.ID, w.found(&w.key, &row)},
			{"pending", w.key.Hash, waiting.ID, w.found(&w.key, &waiting)},
			{"without an end", w.key.Hash, endless.ID, w.found(&w.key, &endless)},
			{"revoked", w.key.Hash, revoked.ID, w.found(&w.key, w.read(revoked.ID))},
			{"unknown connection", w.key.Hash, "con_none", w.found(&w.key, nil)},
			{"no connection", w.key.Hash, "", w.found(&w.key, nil)},
			{"an id that no row can have", w.key.Hash, "con_\x00", w.found(&w.key, nil)},
			{"an id that is not UTF-8", w.key.Hash, "\xff", w.found(&w.key, nil)},
			{"another environment's connection", other.key.Hash, row.ID, w.found(&other.key, nil)},
			{"unknown key", hash("unknown"), row.ID, nil},
			{"no key", nil, row.ID, nil},
			{"a key that may do nothing", bare.Hash, "", w.found(&bare, nil)},
			{"a revoked key, for the vault to judge", over.Hash, row.ID, w.found(&over, &row)},
		}
		for _, c := range cases {
			got, err := w.LookupHeaders(ctx, c.hash, c.id)
			if err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			equal(t, c.what, got, c.want)
		}
		// All at once, so that they share statements of every size.
		race(t, 40*len(cases), func(i int) (bool, error) {
			c := cases[i%len(cases)]
			got, err := w.LookupHeaders(ctx, c.hash, c.id)
			equal(t, c.what+", together", got, c.want)
			return true, err
		})
	})
}

// Whoever asks after a revocation was committed does not get the answer, on any
// replica, however many ask at the time.
func TestLookupHeadersAfterRevoke(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		replicas := []vault.Store{w.Store, db.Open(t)}
		for range 5 {
			row := w.connect()
			var over, stop atomic.Bool
			var readers sync.WaitGroup
			before, after := make(chan struct{}, 1), make(chan struct{}, 1)
			tell := func(c chan struct{}) {
				select {
				case c <- struct{}{}:
				default:
				}
			}
			for i := range 16 {
				readers.Go(func() {
					for !stop.Load() {
						late := over.Load()
						got, err := replicas[i%2].LookupHeaders(t.Context(), w.key.Hash, row.ID)
						switch {
						case err != nil || got == nil:
							t.Errorf("%+v, %v", got, err)
							return
						case late && got.Status != vault.StatusRevoked:
							t.Errorf("asked after the revocation and got %s", got.Status)
							return
						case late:
							tell(after)
						default:
							tell(before)
						}
					}
				})
			}
			<-before
			w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) { return tx.Revoke(ctx, row.ID, "why", noon) })
			over.Store(true)
			for range 20 {
				<-after
			}
			stop.Store(true)
			readers.Wait()
		}
	})
}

// A caller that has gone away does not take the statement along.
func TestLookupHeadersCanceled(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		row := w.connect()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
				defer cancel()
				_, _ = w.LookupHeaders(ctx, w.key.Hash, row.ID)
			})
		}
		wg.Wait()
		got, err := w.LookupHeaders(t.Context(), w.key.Hash, row.ID)
		if err != nil {
			t.Error(err)
		}
		equal(t, "after", got, w.found(&w.key, &row))
	})
}

// A store that was opened before there was a schema serves once there is one.
func TestLookupHeadersBeforeTheSchema(t *testing.T) {
	t.Parallel()
	storetest.EachEmpty(t, func(t *testing.T, db *storetest.DB) {
		s := db.Open(t)
		if got, err := s.LookupHeaders(t.Context(), hash("k"), "con"); err == nil {
			t.Errorf("without a schema: %+v", got)
		}
		if err := newMigrator(t, db).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := s.LookupHeaders(t.Context(), hash("k"), "con"); got != nil || err != nil {
			t.Errorf("with a schema: %+v, %v", got, err)
		}
	})
}

// BenchmarkLookupHeaders is the statement with nothing around it, alone and
// with others to share it with.
func BenchmarkLookupHeaders(b *testing.B) {
	storetest.EachB(b, func(b *testing.B, db *storetest.DB) {
		s := db.Open(b)
		ctx := b.Context()
		env := vault.Environment{ID: newID("env"), Name: "bench", Keyset: []byte("k"), CreatedAt: noon}
		w := &world{Store: s, env: env}
		w.in = w.newIntegration("toggl")
		key := vault.APIKey{ID: newID("key"), EnvironmentID: env.ID, Hash: hash("key"), Scopes: vault.AllScopes(), CreatedAt: noon}
		row := w.full()
		row.Answer = make([]byte, 1200)
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
		look := func(b *testing.B) {
			if got, err := s.LookupHeaders(ctx, key.Hash, row.ID); got == nil || err != nil {
				b.Error(got, err)
			}
		}
		b.Run("alone", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				look(b)
			}
		})
		b.Run("together", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					look(b)
				}
			})
		})
	})
}
