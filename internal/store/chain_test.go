package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/claviger/claviger/internal/store"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// enter writes an entry with the reason.
func (w *world) enter(ctx context.Context, tx vault.Tx, reason string) error {
	return tx.InsertAudit(ctx, vault.AuditEntry{
		EnvironmentID: w.env.ID, At: noon, ActorKind: vault.CallerAPIKey, ActorID: w.key.ID,
		Action: vault.ActionConnectionUpdated, Allowed: true, Reason: reason, Count: 1,
	})
}

// chains are the entries of each writer, oldest first. It fails the test where
// one of them is no chain.
func (w *world) chains() map[string][]vault.AuditEntry {
	w.t.Helper()
	chains := map[string][]vault.AuditEntry{}
	entries := w.trail(vault.AuditFilter{})
	slices.Reverse(entries)
	for _, e := range entries {
		prev := vault.ChainHead{Writer: e.Writer}
		if chain := chains[e.Writer]; len(chain) > 0 {
			last := chain[len(chain)-1]
			prev.Seq, prev.Hash = last.Seq, last.Hash
		}
		if e.Seq != prev.Seq+1 || !e.Follows(prev.Hash) {
			w.t.Errorf("%s is number %d of its chain, after %d, and does not follow", e.Reason, e.Seq, prev.Seq)
		}
		chains[e.Writer] = append(chains[e.Writer], e)
	}
	return chains
}

// What is rolled back leaves no gap in the chain, whatever the reason was.
func TestChainWithoutWhatWasRolledBack(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		boom := errors.New("boom")
		for i := range 3 {
			w.do(func(ctx context.Context, tx vault.Tx) error { return w.enter(ctx, tx, "kept") })
			wantErr(t, "given up", w.try(func(ctx context.Context, tx vault.Tx) error {
				return errors.Join(w.enter(ctx, tx, "rolled.back"), boom)
			}), boom)
			ctx, cancel := context.WithCancel(t.Context())
			if err := w.Update(ctx, func(tx vault.Tx) error {
				defer cancel()
				return w.enter(ctx, tx, "canceled")
			}); err == nil {
				t.Error("committed after its context ended")
			}
			err := w.try(func(ctx context.Context, tx vault.Tx) error {
				return tx.InsertAudit(ctx, vault.AuditEntry{EnvironmentID: w.env.ID, At: noon, ActorKind: "robot", Action: "x", Count: 1})
			})
			wantErr(t, "refused by the schema", err, vault.ErrUnfit)
			if heads := w.AuditHeads(); len(heads) != 1 || heads[0].Seq != int64(i+1) {
				t.Errorf("after %d entries the heads are %+v", i+1, heads)
			}
		}
		chains := w.chains()
		if len(chains) != 1 {
			t.Fatalf("%d chains", len(chains))
		}
		for writer, chain := range chains {
			want := []vault.ChainHead{{Writer: writer, Seq: 3, EntryID: chain[2].ID, Hash: chain[2].Hash}}
			if heads := w.AuditHeads(); !slices.Equal(heads, want) {
				t.Errorf("heads %+v", heads)
			}
		}
	})
}

// However many transactions, single entries and flushes of reads there are at
// once: what is written is chains, one of each open store on SQLite, a few on Postgres.
func TestChainOfManyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		replicas := []*world{w, w.on(db.Open(t))}
		row := w.connect()
		var given atomic.Int64
		race(t, 60, func(i int) (bool, error) {
			r := replicas[i%2]
			switch i % 5 {
			case 0:
				return true, r.AddAudit(t.Context(), vault.AuditEntry{
					EnvironmentID: w.env.ID, At: noon, ActorKind: vault.CallerAPIKey, ActorID: w.key.ID,
					Action: vault.ActionHeadersRead, Allowed: true, Count: 1,
				})
			case 1:
				return true, r.AddReads(t.Context(), []vault.ReadCount{
					{EnvironmentID: w.env.ID, ActorID: w.key.ID, ConnectionID: row.ID, Action: vault.ActionHeadersRead, LastAt: noon, Count: 1},
					{EnvironmentID: w.env.ID, ActorID: w.key.ID, ConnectionID: "con_b", Action: vault.ActionHeadersRead, LastAt: noon, Count: 1},
				})
			case 2:
				_ = r.try(func(ctx context.Context, tx vault.Tx) error {
					return errors.Join(w.enter(ctx, tx, "rolled.back"), errors.New("boom"))
				})
				return true, nil
			}
			given.Add(2)
			return true, r.try(func(ctx context.Context, tx vault.Tx) error {
				// Some wait for a row that others have, and hold it when their turn comes.
				if _, err := tx.LockConnection(ctx, w.env.ID, row.ID); err != nil {
					return err
				}
				return errors.Join(w.enter(ctx, tx, "first"), w.enter(ctx, tx, "second"))
			})
		})
		chains := w.chains()
		if most := map[string]int{"sqlite": 2, "postgres": 2 * store.PostgresChains}[db.Kind]; len(chains) < 2 || len(chains) > most {
			t.Errorf("%d chains of two stores", len(chains))
		}
		n := 0
		for _, chain := range chains {
			n += len(chain)
			for i, e := range chain { // a transaction's entries are next to each other
				if e.Reason == "first" && chain[i+1].Reason != "second" {
					t.Errorf("after the first comes %q", chain[i+1].Reason)
				}
			}
		}
		if want := int(given.Load()) + 12 + 24; n != want {
			t.Errorf("%d entries, want %d", n, want)
		}
	})
}

// After a commit that failed nobody knows the end of the chain: what follows is
// in another one.
func TestChainAfterAFailedCommit(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		failing := []string{"PRAGMA defer_foreign_keys = ON", fmt.Sprintf("DELETE FROM environments WHERE id = '%s'", w.env.ID)}
		if db.Kind == "postgres" {
			raw := db.Raw(t)
			defer raw.Close()
			if _, err := raw.ExecContext(t.Context(), `CREATE TABLE late (x bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)`); err != nil {
				t.Fatal(err)
			}
			failing = []string{"INSERT INTO late VALUES (1)", "INSERT INTO late VALUES (1)"}
		}
		w.do(func(ctx context.Context, tx vault.Tx) error { return w.enter(ctx, tx, "before") })
		err := w.try(func(ctx context.Context, tx vault.Tx) error {
			for _, query := range failing {
				if err := store.Exec(ctx, tx, query); err != nil {
					t.Errorf("%s: %v", query, err)
				}
			}
			return w.enter(ctx, tx, "lost")
		})
		if err == nil {
			t.Fatal("committed")
		}
		for range 2 {
			w.do(func(ctx context.Context, tx vault.Tx) error { return w.enter(ctx, tx, "after") })
		}
		var lengths []int
		for _, chain := range w.chains() {
			lengths = append(lengths, len(chain))
		}
		slices.Sort(lengths)
		if !slices.Equal(lengths, []int{1, 2}) {
			t.Errorf("chains of %v entries", lengths)
		}
	})
}

// A chain that was ended is not gone on with.
func TestEndAudit(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		if heads := w.AuditHeads(); len(heads) != 0 {
			t.Fatalf("begun with %+v", heads)
		}
		w.do(func(ctx context.Context, tx vault.Tx) error { return w.enter(ctx, tx, "one") })
		heads := w.AuditHeads()
		ended, err := w.EndAudit(t.Context())
		if err != nil || len(ended) != 1 || ended[0].Seq != 1 || !slices.Equal(ended, heads) {
			t.Errorf("ended at %+v, %v", ended, err)
		}
		if again, err := w.EndAudit(t.Context()); err != nil || len(again) != 0 {
			t.Errorf("ended again at %+v, %v", again, err)
		}
		w.do(func(ctx context.Context, tx vault.Tx) error { return w.enter(ctx, tx, "two") })
		if n := len(w.chains()); n != 2 {
			t.Errorf("%d chains", n)
		}
	})
}

// On Postgres nobody waits for another one's commit before theirs: transactions
// that are held up at the end have chains of their own. What ends all of them waits
// for those, or until its context ends, and then leaves them as they are.
func TestChainsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		if db.Kind != "postgres" {
			return
		}
		s := db.Open(t)
		w := newWorld(t, s)
		var held []func()
		for range store.PostgresChains {
			held = append(held, store.HoldChain(t, s))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.EndAudit(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("ended chains that others hold: %v", err)
		}
		wantErr(t, "all are held", w.Update(ctx, func(tx vault.Tx) error { return w.enter(t.Context(), tx, "late") }), context.Canceled)
		held[3]()
		for range 2 {
			w.do(func(ctx context.Context, tx vault.Tx) error { return w.enter(ctx, tx, "in.time") })
		}
		for i, giveBack := range held {
			if i != 3 {
				giveBack()
			}
		}
		if ended, err := w.EndAudit(t.Context()); err != nil || len(ended) != 1 || ended[0].Seq != 2 {
			t.Errorf("ended at %+v, %v", ended, err)
		}
	})
}
