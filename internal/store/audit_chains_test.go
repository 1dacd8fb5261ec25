package store_test

import (
	"context"
	"slices"
	"testing"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// Chains come from the youngest on, each with the first entry that no checkpoint
// stands for.
func TestChainEnds(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		var want []vault.ChainEnd
		for i, stated := range []int{0, 1, 2, 3} {
			chain := vault.ChainHead{}
			for range 3 {
				w.do(func(ctx context.Context, tx vault.Tx) error { return w.enter(ctx, tx, "x") })
				chain = w.AuditHeads()[0]
			}
			if _, err := w.EndAudit(t.Context()); err != nil {
				t.Fatal(err)
			}
			entries, err := w.ChainEntries(t.Context(), chain.Writer, 0, 10)
			if err != nil || len(entries) != 3 || entries[2].ID != chain.EntryID {
				t.Fatalf("%+v, %v", entries, err)
			}
			if later, err := w.ChainEntries(t.Context(), chain.Writer, 1, 1); err != nil || len(later) != 1 || later[0].ID != entries[1].ID {
				t.Errorf("%+v, %v", later, err)
			}
			end := vault.ChainEnd{Writer: chain.Writer}
			if stated < 3 {
				end.EntryID = entries[stated].ID
			}
			want = append(want, end)
			if stated > 0 {
				c := checkpointOf(int64(i), entries[stated-1])
				if err := w.InsertCheckpoint(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			last, err := w.LastStated(t.Context(), chain.Writer)
			switch {
			case err != nil, (last == nil) != (stated == 0):
				t.Errorf("%+v, %v", last, err)
			case last != nil && last.Seq != int64(stated):
				t.Errorf("%d of them are stated, want %d", last.Seq, stated)
			}
		}
		slices.Reverse(want)
		all, err := w.ChainEnds(t.Context(), "", 10)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "all", all, want)
		some, err := w.ChainEnds(t.Context(), want[0].Writer, 2)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "two after the first", some, want[1:3])
		if none, err := w.ChainEnds(t.Context(), want[3].Writer, 2); err != nil || len(none) != 0 {
			t.Errorf("after the last: %v, %v", none, err)
		}
	})
}

func checkpointOf(number int64, e vault.AuditEntry) vault.Checkpoint {
	return vault.Checkpoint{
		Number: number, At: noon, Kind: vault.CheckpointRunning, Writer: e.Writer, Seq: e.Seq, EntryID: e.ID, Hash: e.Hash,
		Key: "0123456789abcdef", Signature: make([]byte, 64),
	}
}

// With many entries and checkpoints, and no planner told what to avoid, the ends of
// chains are found by stepping along an index.
func TestChainEndsAreFoundByIndexes(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		s := db.Open(t)
		w := newWorld(t, s)
		w.do(func(ctx context.Context, tx vault.Tx) error { return w.enter(ctx, tx, "x") })
		entries, err := w.ChainEntries(t.Context(), w.AuditHeads()[0].Writer, 0, 1)
		if err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
		if err := w.InsertCheckpoint(t.Context(), checkpointOf(1, entries[0])); err != nil {
			t.Fatal(err)
		}
		raw := db.Raw(t)
		for _, statement := range []string{
			`INSERT INTO audit_entries (id, environment_id, at, actor_kind, actor_id, action, allowed, reason, generation, count, writer, seq, hash, proof)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
			SELECT id || i, environment_id, at, actor_kind, actor_id, action, allowed, reason, generation, count, 'wri_' || (i % 50), i, hash, proof
			FROM audit_entries, n`,
			`INSERT INTO audit_checkpoints (number, prev, at, kind, writer, seq, entry_id, hash, count, key, signature, statement)
			WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
			SELECT i, prev, at, kind, 'wri_' || (i % 50), i, entry_id, hash, count, key, signature, statement
			FROM audit_checkpoints, n`,
			`ANALYZE`,
		} {
			if _, err := raw.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%v\n%s", err, statement)
			}
		}
		var plans []string
		shown, _ := s.Explained(func(_, plan string) { plans = append(plans, plan) })
		chains, err := shown.ChainEnds(t.Context(), "", 1000)
		if err != nil || len(chains) != 51 {
			t.Errorf("%d chains, %v", len(chains), err)
		}
		for _, plan := range plans {
			if line := readsWhole(plan); line != "" || !searches(plan, "writer") || !searches(plan, "seq") {
				t.Errorf("reads %s\n%s", line, plan)
			}
		}
	})
}
