package vault_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

const week = 7 * 24 * time.Hour

// entriesLeft counts the whole trail.
func (w *trailOf) entriesLeft(t *testing.T) int {
	t.Helper()
	n := 0
	must(t, w.ReadTrail(t.Context(), func(trail vault.Trail) error {
		for item, err := range trail {
			must(t, err)
			if item.Entry != nil {
				n++
			}
		}
		return nil
	}))
	return n
}

// What is past its retention is dropped, a checkpoint says so, and what is left
// verifies: in part of a chain, all of it, and after more was written.
func TestRetention(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		before := w.entriesLeft(t)
		b.Retain(week)
		must(t, b.DropAudit(t.Context()))
		if n := w.entriesLeft(t); n != before {
			t.Errorf("%d of %d entries are left, and none is old", n, before)
		}
		b.pass(week + time.Hour)
		must(t, b.DropAudit(t.Context()))
		sum, findings := w.verify(t, &w.anchor)
		if n := w.entriesLeft(t); n != 0 || len(findings) > 0 || sum.Dropped != int64(before) || sum.Chains != 4 || sum.Checkpoints != 5+4 {
			t.Errorf("%d entries are left, %+v, %v", n, sum, findings)
		}
		b.linked(t, "r9") // the chain goes on
		sum, findings = w.verify(t, &w.anchor)
		if n := w.entriesLeft(t); n == 0 || len(findings) > 0 || sum.Entries != int64(n) || sum.Tail != int64(n) {
			t.Errorf("%d entries are left, %+v, %v", n, sum, findings)
		}
		var file bytes.Buffer
		must(t, w.ReadTrail(t.Context(), func(trail vault.Trail) error { return vault.WriteTrail(&file, trail) }))
		keys, err := w.keyset.TrailKeys()
		must(t, err)
		again, err := vault.VerifyTrail(vault.TrailFile(&file), keys, nil, func(f vault.Finding) { t.Error(f) })
		if err != nil || again != sum {
			t.Errorf("a file of it: %+v, %v", again, err)
		}
	})
}

// Of chains that are older and younger each loses its own beginning.
func TestRetentionOfAPart(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		old := w.ids[len(w.ids)/2] // and with it all before it, of all chains
		n := int64(0)
		must(t, w.ReadTrail(t.Context(), func(trail vault.Trail) error {
			for item, err := range trail {
				must(t, err)
				if item.Entry != nil && item.Entry.ID < old {
					n++
				}
			}
			return nil
		}))
		must(t, b.DropBefore(t.Context(), old))
		sum, findings := w.verify(t, &w.anchor)
		if len(findings) > 0 || sum.Dropped != n || sum.Tail == 0 {
			t.Errorf("%+v, %v", sum, findings)
		}
		middle := w.ids[len(w.ids)/2+1]
		for what, c := range map[string]struct {
			tamper   func()
			at, says string
		}{
			"one more gone": {func() { w.exec(t, "DELETE FROM audit_entries WHERE id = $1", old) }, middle, "1 entry is missing before it, after entry"},
			"one changed":   {func() { w.exec(t, "UPDATE audit_entries SET reason = 'x' WHERE id = $1", old) }, old, "it was changed"},
			"one put back": {func() {
				w.forge(t, old, w.writer, 1, vault.Digest{})
				w.exec(t, "UPDATE audit_entries SET id = 'aud_000' WHERE id = 'aud_zzz'")
			}, "aud_000", "were dropped, says checkpoint"},
			"its checkpoint gone": {func() {
				w.exec(t, "DELETE FROM audit_checkpoints WHERE kind = 'dropped' AND writer = $1", w.writer)
			}, old, "missing before it, after the beginning"},
			"its checkpoint says less": {func() {
				w.exec(t, "UPDATE audit_checkpoints SET seq = seq - 1 WHERE kind = 'dropped' AND writer = $1", w.writer)
			}, "checkpoint", "its signature is wrong"},
		} {
			w.save(t)
			c.tamper()
			_, findings := w.verify(t, nil)
			if got := strings.Join(findings, "\n"); !strings.Contains(got, c.at) || !strings.Contains(got, c.says) {
				t.Errorf("%s: nothing at %s says %q:\n%s", what, c.at, c.says, got)
			}
			w.restore(t)
		}
	})
}

// What was tampered with is not dropped: it would be gone, and signed for.
func TestRetentionKeepsWhatWasChanged(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		b.Retain(week)
		b.pass(2 * week)
		for what, tamper := range w.breaks(t) {
			w.save(t)
			tamper()
			before := w.entriesLeft(t)
			err := b.DropAudit(t.Context())
			if n := w.entriesLeft(t); n != before && err == nil {
				t.Errorf("%s: %d of %d entries are left", what, n, before)
			}
			if err != nil && !strings.Contains(err.Error(), "audit verify") {
				t.Errorf("%s: got %v", what, err)
			}
			if _, findings := w.verify(t, nil); len(findings) == 0 {
				t.Errorf("%s: nobody would know any more", what)
			}
			w.restore(t)
		}
	})
}

// What was written with a key that was retired is as good as the checkpoint that
// stands for it, which may come after what is dropped at a time.
func TestRetentionAfterRotation(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		must(t, b.CloseAudit(t.Context()))
		b.retire(t)
		v := b.replica(t)
		for _, end := range w.ids {
			must(t, v.DropBefore(t.Context(), end))
			if _, findings := w.verify(t, nil); len(findings) > 0 {
				t.Errorf("up to %s: %v", end, findings)
			}
		}
		w.rechain(t, w.ids[len(w.ids)-1])
		if err := v.DropBefore(t.Context(), "aud_~"); err == nil {
			t.Error("dropped what was written anew, with neither proof nor checkpoint")
		}
	})
}

// Replicas that drop at the same time do it once.
func TestRetentionOnReplicas(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		before := w.entriesLeft(t)
		vaults := []*vault.Vault{b.replica(t), b.replica(t), b.replica(t)}
		b.pass(2 * week)
		var wg sync.WaitGroup
		for _, v := range vaults {
			v.Retain(week)
			wg.Go(func() {
				if err := v.DropAudit(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		sum, findings := w.verify(t, &w.anchor)
		if len(findings) > 0 || sum.Dropped != int64(before) || sum.Entries != 0 {
			t.Errorf("%+v, %v; there were %d", sum, findings, before)
		}
	})
}

// dropsBetween is a store where another process drops what this one has just read.
type dropsBetween struct {
	vault.Store

	drop func()
}

func (s dropsBetween) AuditBefore(ctx context.Context, end string, limit int) ([]vault.AuditEntry, error) {
	entries, err := s.Store.AuditBefore(ctx, end, limit)
	s.drop()
	return entries, err
}

// Who is not first with what is to be dropped takes no harm from it, and finds no
// fault with the trail.
func TestRetentionBetweenReadingAndReading(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		late := vault.New(vault.Config{
			Store:  dropsBetween{b.db.Open(t), func() { must(t, b.DropBefore(t.Context(), w.ids[len(w.ids)/2])) }},
			Keyset: b.keyset, Now: b.clock, AuditRetention: week,
		})
		b.pass(week + time.Hour)
		must(t, late.DropAudit(t.Context()))
		if _, findings := w.verify(t, &w.anchor); len(findings) > 0 {
			t.Errorf("%v", findings)
		}
	})
}

// retire rotates the master keyset, and retires the key from before as `key
// retire` does: once the newest key vouches for the trail.
func (b *bench) retire(t *testing.T) {
	t.Helper()
	old := b.keyset
	rotated, err := old.Rotate()
	must(t, err)
	b.keyset = rotated
	must(t, b.replica(t).VouchForTrail(t.Context()))
	b.keyset, err = rotated.Retire(old.PrimaryID())
	must(t, err)
}
