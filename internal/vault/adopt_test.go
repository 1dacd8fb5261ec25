package vault_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/claviger/claviger/internal/vault"
)

// write has a vault write entries, each in a transaction of its own.
func (b *bench) write(t *testing.T, v *vault.Vault, n int) {
	t.Helper()
	for i := range n {
		_, _, err := v.CreateAPIKey(t.Context(), b.caller, vault.NewAPIKey{Name: fmt.Sprint(i), Scopes: vault.AllScopes()})
		must(t, err)
	}
}

// killed is a process that wrote some entries, signed for them, wrote some more and
// was killed; it answers the end of its chain.
func (b *bench) killed(t *testing.T, signed, more int) vault.ChainHead {
	t.Helper()
	v := b.replica(t)
	b.write(t, v, signed)
	if signed > 0 {
		must(t, v.Checkpoint(t.Context()))
	}
	b.write(t, v, more)
	return v.Head()
}

// The end of a killed process's chain could be cut off unseen for some minutes, and
// not once another process has signed for it.
func TestEndsOfKilledProcessesAreAdopted(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		heads := []vault.ChainHead{b.killed(t, 2, 3), b.killed(t, 0, 2)}
		must(t, b.Note(t.Context()))
		if sum, findings := w.verify(t, nil); sum.Tail != 3+2 || len(findings) > 0 {
			t.Errorf("before they are overdue: %+v, %v", sum, findings)
		}
		w.save(t)
		for _, h := range heads {
			w.exec(t, "DELETE FROM audit_entries WHERE id = $1", h.EntryID)
		}
		if _, findings := w.verify(t, nil); len(findings) > 0 {
			t.Errorf("the window is smaller than it is said to be: %v", findings)
		}
		w.restore(t)

		b.pass(2 * vault.OverdueAfter)
		later := b.replica(t) // one that started after they were killed
		must(t, later.Note(t.Context()))
		sum, findings := w.verify(t, nil)
		if sum.Tail != 0 || len(findings) > 0 {
			t.Errorf("adopted: %+v, %v", sum, findings)
		}
		must(t, later.Note(t.Context()))
		must(t, b.Note(t.Context()))
		if again, _ := w.verify(t, nil); again.Checkpoints != sum.Checkpoints {
			t.Errorf("%d checkpoints, and %d after looking again", sum.Checkpoints, again.Checkpoints)
		}
		for _, h := range heads {
			w.save(t)
			w.exec(t, "DELETE FROM audit_entries WHERE id = $1", h.EntryID)
			if _, findings := w.verify(t, nil); !strings.Contains(strings.Join(findings, "\n"), h.Writer+", ") ||
				!strings.Contains(strings.Join(findings, "\n"), "the end of the chain was cut off: 1 entry is missing") {
				t.Errorf("the end of %s was cut off, and found is %v", h.Writer, findings)
			}
			w.restore(t)
		}
	})
}

// A process that could not sign for a while goes on with its chain, whoever signed
// for it meanwhile.
func TestAdoptedChainGoesOn(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		paused := b.replica(t)
		b.write(t, paused, 2)
		b.pass(2 * vault.OverdueAfter)
		must(t, b.Note(t.Context()))
		b.write(t, paused, 2)
		must(t, paused.CloseAudit(t.Context()))
		if sum, findings := w.verify(t, nil); sum.Tail != 0 || len(findings) > 0 {
			t.Errorf("%+v, %v", sum, findings)
		}
	})
}

// During a rotation of the master keyset those that have the new key sign for the
// chains of those that are still without.
func TestOthersSignDuringARotation(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		must(t, b.Note(t.Context()))
		old := b.Vault
		rotated, err := b.keyset.Rotate()
		must(t, err)
		b.keyset = rotated
		first := b.replica(t)
		b.write(t, first, 1)
		must(t, first.Note(t.Context()))
		for range 2 {
			b.write(t, old, 2)
			if err := old.Note(t.Context()); err == nil {
				t.Error("signed behind what it cannot check")
			}
			b.pass(2 * vault.OverdueAfter)
			must(t, first.Note(t.Context()))
			if sum, findings := w.verify(t, nil); sum.Tail != 0 || len(findings) > 0 {
				t.Errorf("%+v, %v", sum, findings)
			}
		}
	})
}

// What is not as it was written is not vouched for, and the operator is told
// once; what comes before it is.
func TestBrokenEndsAreNotAdopted(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		head := b.killed(t, 2, 4)
		b.write(t, b.Vault, 1)
		must(t, b.Checkpoint(t.Context()))
		b.pass(2 * vault.OverdueAfter)
		at := func(seq int64) (id string) {
			must(t, w.raw.QueryRowContext(t.Context(), "SELECT id FROM audit_entries WHERE writer = $1 AND seq = $2", head.Writer, seq).Scan(&id))
			return id
		}
		third, fifth := at(3), at(5)
		for what, c := range map[string]struct {
			tamper func()
			says   string
			tail   int64 // entries that nobody stands for
		}{
			"changed":       {func() { w.exec(t, "UPDATE audit_entries SET reason = 'x' WHERE id = $1", fifth) }, "it was changed", 2},
			"first changed": {func() { w.exec(t, "UPDATE audit_entries SET reason = 'x' WHERE id = $1", third) }, "it was changed", 4},
			"gone":          {func() { w.exec(t, "DELETE FROM audit_entries WHERE id = $1", fifth) }, "1 entry is missing", 2},
			"forged": {func() {
				w.forge(t, fifth, head.Writer, head.Seq+1, head.Hash)
			}, "its proof is wrong", 1},
			"forged chain": {func() {
				w.forgeAs(t, fifth+"z", fifth, "wri_zforged", 1, vault.Digest{})
			}, "its proof is wrong", 1},
			"its checkpoint": {func() {
				w.exec(t, "UPDATE audit_checkpoints SET signature = $1 WHERE writer = $2", make([]byte, 64), head.Writer)
			}, "no key of the keyset signed it", 0},
		} {
			w.save(t)
			c.tamper()
			b.log.Reset()
			v := b.replica(t)
			for range 3 {
				must(t, v.Note(t.Context()))
			}
			sum, findings := w.verify(t, nil)
			if len(findings) == 0 || c.tail > 0 && sum.Tail != c.tail {
				t.Errorf("%s: %+v, %v; want a tail of %d", what, sum, findings, c.tail)
			}
			if n := strings.Count(b.log.String(), c.says); n != 1 {
				t.Errorf("%s: %q was said %d times:\n%s", what, c.says, n, b.log)
			}
			w.restore(t)
		}
	})
}

// Replicas that look after the same ends at once sign for each once.
func TestReplicasAdoptOnce(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		must(t, b.Note(t.Context()))
		before, _ := w.verify(t, nil)
		for range 5 {
			b.killed(t, 0, 2)
		}
		b.pass(2 * vault.OverdueAfter)
		var all sync.WaitGroup
		for range 3 {
			v := b.replica(t)
			all.Go(func() {
				if err := v.Note(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if sum, findings := w.verify(t, nil); sum.Tail != 0 || sum.Checkpoints != before.Checkpoints+5 || len(findings) > 0 {
			t.Errorf("%+v, %v; there were %d checkpoints", sum, findings, before.Checkpoints)
		}
	})
}

// fewAtATime is a store that lists few chains at a time, and counts them.
type fewAtATime struct {
	vault.Store

	listed *int
}

func (s fewAtATime) ChainEnds(ctx context.Context, before string, limit int) ([]vault.ChainEnd, error) {
	chains, err := s.Store.ChainEnds(ctx, before, min(limit, 3))
	*s.listed += len(chains)
	return chains, err
}

// However many chains there are, a round looks at a part of them, and each has its
// turn again and again.
func TestEveryChainHasItsTurn(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		old := b.replica(t)
		b.write(t, old, 1)
		must(t, old.Checkpoint(t.Context()))
		for range 10 {
			b.killed(t, 0, 1)
		}
		listed := 0
		v := vault.New(vault.Config{Store: fewAtATime{b.db.Open(t), &listed}, Keyset: b.keyset, Now: b.clock})
		for range 2 {
			b.write(t, old, 1) // killed only now
			b.pass(2 * vault.OverdueAfter)
			listed = 0
			rounds := (4+1+10)/3 + 1
			for range rounds {
				must(t, v.Note(t.Context()))
			}
			if listed > 6*rounds {
				t.Errorf("%d chains were looked at in %d rounds", listed, rounds)
			}
			must(t, b.Note(t.Context()))
			if sum, findings := w.verify(t, nil); sum.Tail != 0 || len(findings) > 0 {
				t.Errorf("%+v, %v", sum, findings)
			}
		}
	})
}

// Nobody waits for hours until what a clock wrote that was ahead is old enough.
func TestEndsFromAClockAheadAreAdopted(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		b.killed(t, 1, 2)
		b.pass(-2 * vault.OverdueAfter)
		must(t, b.Note(t.Context()))
		if sum, findings := w.verify(t, nil); sum.Tail != 0 || len(findings) > 0 {
			t.Errorf("%+v, %v", sum, findings)
		}
	})
}
