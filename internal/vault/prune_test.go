package vault_test

import (
	"crypto/ed25519"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// months has the bench write for a while, with a checkpoint for each entry.
func (b *bench) months(t *testing.T, entries int) {
	t.Helper()
	for range entries {
		b.write(t, b.Vault, 1)
		must(t, b.Checkpoint(t.Context()))
	}
}

// dropAll drops what there is as if it were past its retention, and nothing that is
// written later.
func (w *trailOf) dropAll(t *testing.T, v *vault.Vault) error {
	t.Helper()
	var end string
	must(t, w.raw.QueryRowContext(t.Context(), "SELECT max(entry_id) FROM (SELECT entry_id FROM audit_checkpoints UNION ALL SELECT id FROM audit_entries) ids").Scan(&end))
	return w.dropTo(t, v, end+"z")
}

// dropTo drops entries before an id, and the checkpoints that were signed so far.
func (w *trailOf) dropTo(t *testing.T, v *vault.Vault, end string) error {
	t.Helper()
	w.pass(time.Second)
	before := w.clock()
	if err := v.DropBefore(t.Context(), end); err != nil {
		return err
	}
	return v.Prune(t.Context(), end, before)
}

func (w *trailOf) count(t *testing.T, query string, args ...any) (n int64) {
	t.Helper()
	must(t, w.raw.QueryRowContext(t.Context(), query, args...).Scan(&n))
	return n
}

const allCheckpoints = "SELECT count(*) FROM audit_checkpoints"

// Checkpoints go with the entries that they are about; a signed one says up to
// which, and what is left verifies, again and again.
func TestCheckpointsPastTheirRetention(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		var entries int64
		for round := range 3 {
			b.months(t, 110)
			before, _ := w.verify(t, nil)
			entries += before.Entries
			must(t, w.dropAll(t, b.Vault))
			sum, findings := w.verify(t, nil)
			if len(findings) > 0 || sum.Dropped != entries || sum.Pruned != before.Newest.Number || sum.Entries != 0 {
				t.Errorf("round %d: %+v, %v; before it %+v", round, sum, findings, before)
			}
			if n := w.count(t, allCheckpoints); n > 6 || n != sum.Checkpoints {
				t.Errorf("round %d: %d checkpoints are left", round, n)
			}
			b.linked(t, "again")
			must(t, b.Checkpoint(t.Context()))
			after, findings := w.verify(t, &sum.Newest)
			if len(findings) > 0 || after.Tail != 0 || after.Newest.Number != sum.Newest.Number+1 {
				t.Errorf("round %d, gone on: %+v, %v", round, after, findings)
			}
		}
	})
}

// Few are not worth the one that says that they are gone.
func TestFewCheckpointsStay(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		b.months(t, 3)
		must(t, w.dropAll(t, b.Vault))
		if sum, findings := w.verify(t, &w.anchor); sum.Pruned != 0 || sum.Entries != 0 || len(findings) > 0 {
			t.Errorf("%+v, %v", sum, findings)
		}
	})
}

// A checkpoint stays, and all after it, while entries that it is about do.
func TestCheckpointsOfWhatIsKeptStay(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		b.months(t, 220)
		var middle string
		must(t, w.raw.QueryRowContext(t.Context(), "SELECT entry_id FROM audit_checkpoints WHERE number = 120").Scan(&middle))
		must(t, w.dropTo(t, b.Vault, middle))
		sum, findings := w.verify(t, nil)
		if sum.Pruned != 119 || sum.Entries == 0 || len(findings) > 0 {
			t.Errorf("%+v, %v", sum, findings)
		}
	})
}

// What is done to a trail whose first checkpoints were dropped is found as it is
// elsewhere, and an anchor says what it can.
func TestVerifyFindsTamperingAfterPruning(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		b.months(t, 110)
		before, _ := w.verify(t, nil)
		w.save(t)
		must(t, w.dropAll(t, b.Vault))
		_, err := w.raw.ExecContext(t.Context(), "ALTER TABLE good_audit_checkpoints RENAME TO old_checkpoints")
		must(t, err)
		_, err = w.raw.ExecContext(t.Context(), "DROP TABLE good_audit_entries")
		must(t, err)
		for range 3 {
			b.write(t, b.Vault, 1)
			must(t, b.Checkpoint(t.Context()))
		}
		sum, findings := w.verify(t, &before.Newest)
		if len(findings) > 0 || sum.Pruned != before.Newest.Number {
			t.Fatalf("%+v, %v", sum, findings)
		}
		if _, findings := w.verify(t, &w.anchor); len(findings) != 1 || !strings.Contains(findings[0], "checkpoint 5: it was noted and was dropped since") {
			t.Errorf("an anchor that is older: %v", findings)
		}
		other := before.Newest
		other.Hash[0]++
		if _, findings := w.verify(t, &other); len(findings) != 1 || !strings.Contains(findings[0], "was another one than was noted") {
			t.Errorf("another anchor: %v", findings)
		}
		var like string
		must(t, w.raw.QueryRowContext(t.Context(), "SELECT max(id) FROM audit_entries").Scan(&like))
		statement := " WHERE kind = 'pruned'"
		for what, c := range map[string]struct {
			tamper func()
			says   string
		}{
			"one put back":          {func() { w.exec(t, "INSERT INTO audit_checkpoints SELECT * FROM old_checkpoints WHERE number = 3") }, "checkpoint 3, entry"},
			"all put back":          {func() { w.exec(t, "INSERT INTO audit_checkpoints SELECT * FROM old_checkpoints") }, "it was dropped, says checkpoint"},
			"statement gone":        {func() { w.exec(t, "DELETE FROM audit_checkpoints"+statement) }, "checkpoints 1 to 115 are missing"},
			"statement says less":   {func() { w.exec(t, "UPDATE audit_checkpoints SET seq = seq - 1"+statement) }, "its signature is wrong"},
			"statement says more":   {func() { w.exec(t, "UPDATE audit_checkpoints SET seq = seq + 1"+statement) }, "checkpoints 1 to 115 are missing"},
			"statement's hash":      {func() { w.exec(t, "UPDATE audit_checkpoints SET hash = $1"+statement, make([]byte, 32)) }, "its signature is wrong"},
			"statement's count":     {func() { w.exec(t, "UPDATE audit_checkpoints SET count = count + 1"+statement) }, "its signature is wrong"},
			"statement's entries":   {func() { w.exec(t, "UPDATE audit_checkpoints SET entry_id = 'aud_0'"+statement) }, "its signature is wrong"},
			"one more gone":         {func() { w.exec(t, "DELETE FROM audit_checkpoints WHERE number = 116") }, "checkpoint 116 is missing before it"},
			"two more gone":         {func() { w.exec(t, "DELETE FROM audit_checkpoints WHERE number <= 117") }, "checkpoints 116 to 117 are missing before it"},
			"statement and more":    {func() { w.exec(t, "DELETE FROM audit_checkpoints WHERE number <= 121") }, "checkpoints 1 to 121 are missing before it"},
			"an entry from before":  {func() { w.forgeAs(t, "aud_000", like, "wri_old", 1, vault.Digest{}) }, "all entries before that time were dropped, says checkpoint"},
			"first checkpoint":      {func() { w.exec(t, "UPDATE audit_checkpoints SET prev = $1 WHERE number = 116", make([]byte, 32)) }, "checkpoint 116"},
			"an entry that is left": {func() { w.exec(t, "UPDATE audit_entries SET reason = 'x' WHERE id = $1", like) }, "it was changed"},
		} {
			w.save(t)
			c.tamper()
			_, findings := w.verify(t, nil)
			if !strings.Contains(strings.Join(findings, "\n"), c.says) {
				t.Errorf("%s: nothing says %q:\n%s", what, c.says, strings.Join(findings, "\n"))
			}
			w.restore(t)
		}
	})
}

// signAnew puts a checkpoint in the place of another one that somebody made who has
// the database and a key of their own.
func (w *trailOf) signAnew(t *testing.T, number int64) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	two, err := w.db.Open(t).CheckpointsAfter(t.Context(), number-2, 2)
	must(t, err)
	last, c := two[0], two[1]
	c = vault.SignCheckpoint(&last, c.Kind, vault.ChainHead{Writer: c.Writer, Seq: c.Seq, EntryID: c.EntryID, Hash: c.Hash}, c.At, key)
	w.exec(t, "UPDATE audit_checkpoints SET key = $1, signature = $2 WHERE number = $3", c.Key, c.Signature, number)
}

// Nothing is dropped that is not as it was signed: it would be gone, and signed for.
func TestPruningKeepsWhatWasChanged(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		b.months(t, 110)
		for what, tamper := range map[string]func(){
			"signature":   func() { w.exec(t, "UPDATE audit_checkpoints SET signature = $1 WHERE number = 50", make([]byte, 64)) },
			"statement":   func() { w.exec(t, "UPDATE audit_checkpoints SET at = at - 1 WHERE number = 50") },
			"another key": func() { w.exec(t, "UPDATE audit_checkpoints SET key = '0123456789abcdef' WHERE number = 50") },
			"one gone":    func() { w.exec(t, "DELETE FROM audit_checkpoints WHERE number = 50") },
			"first gone":  func() { w.exec(t, "DELETE FROM audit_checkpoints WHERE number = 1") },
			"a chain gone": func() {
				w.exec(t, "DELETE FROM audit_entries WHERE writer = (SELECT writer FROM audit_checkpoints WHERE number = 2)")
			},
			"an end gone":     func() { w.exec(t, "DELETE FROM audit_entries WHERE id = $1", b.Head().EntryID) },
			"forged from one": func() { w.signAnew(t, 60) },
		} {
			w.save(t)
			tamper()
			before := w.count(t, allCheckpoints+" WHERE kind <> 'dropped'")
			if err := w.dropAll(t, b.Vault); err == nil {
				t.Errorf("%s: no error", what)
			}
			if n := w.count(t, allCheckpoints+" WHERE kind <> 'dropped'"); n != before {
				t.Errorf("%s: %d checkpoints are left of %d", what, n, before)
			}
			if _, findings := w.verify(t, nil); len(findings) == 0 {
				t.Errorf("%s: nobody would know any more", what)
			}
			w.restore(t)
		}
		must(t, w.dropAll(t, b.Vault))
		if sum, findings := w.verify(t, nil); sum.Pruned == 0 || len(findings) > 0 {
			t.Errorf("put right: %+v, %v", sum, findings)
		}
	})
}

// Checkpoints of a key that was retired go once a later one vouches for them, and
// not before.
func TestPruningAfterRotation(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		b.months(t, 110)
		must(t, b.CloseAudit(t.Context()))
		b.retire(t)
		must(t, w.dropAll(t, b.replica(t)))
		if sum, findings := w.verify(t, nil); sum.Pruned < 100 || len(findings) > 0 {
			t.Errorf("%+v, %v", sum, findings)
		}
	})
}

// Replicas that drop at the same time do it once.
func TestPruningOnReplicas(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		b.months(t, 120)
		before, _ := w.verify(t, nil)
		b.pass(week + time.Hour)
		var all sync.WaitGroup
		for range 3 {
			v := b.replica(t)
			v.Retain(week)
			all.Go(func() {
				for range 3 {
					if err := v.DropAudit(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		sum, findings := w.verify(t, nil)
		if len(findings) > 0 || sum.Dropped != before.Entries || sum.Pruned != before.Newest.Number {
			t.Errorf("%+v, %v; before it %+v", sum, findings, before)
		}
	})
}

// A chain that has rested may have been dropped long before its process stops: it is
// not signed for any more, whether what says so is still there or not.
func TestClosingAChainThatWasDropped(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		for rounds := range 3 {
			resting, silent := b.replica(t), b.replica(t)
			b.write(t, resting, 2)
			must(t, resting.Checkpoint(t.Context()))
			b.write(t, silent, 2) // and could not sign for it until now
			writers := []any{resting.Head().Writer, silent.Head().Writer}
			for range rounds { // its entries, then the checkpoint that says so
				b.months(t, 110)
				must(t, w.dropAll(t, b.Vault))
			}
			if n := w.count(t, allCheckpoints+" WHERE writer IN ($1, $2)", writers...); (n > 0) != (rounds < 2) {
				t.Fatalf("%d checkpoints of them are left after %d rounds", n, rounds)
			}
			must(t, silent.Checkpoint(t.Context()))
			must(t, resting.CloseAudit(t.Context()))
			must(t, silent.CloseAudit(t.Context()))
			if sum, findings := w.verify(t, nil); len(findings) > 0 {
				t.Errorf("after %d rounds: %+v, %v", rounds, sum, findings)
			}
			b.months(t, 110)
			must(t, w.dropAll(t, b.Vault))
			if sum, findings := w.verify(t, nil); len(findings) > 0 {
				t.Errorf("after %d rounds, gone on: %+v, %v", rounds, sum, findings)
			}
		}
	})
}

// Whatever the last checkpoint says is said once more with the new key.
func TestRotationAfterAnyCheckpoint(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		for _, c := range []struct {
			kind vault.CheckpointKind
			last func()
		}{
			{vault.CheckpointRunning, func() { b.months(t, 110) }},
			{vault.CheckpointDropped, func() { must(t, b.DropBefore(t.Context(), "aud_~")) }},
			{vault.CheckpointPruned, func() {
				b.months(t, 110)
				must(t, w.dropAll(t, b.Vault))
			}},
			{vault.CheckpointAcknowledged, func() {
				b.months(t, 2)
				w.exec(t, "UPDATE audit_entries SET reason = 'x'")
				sum, _ := w.verify(t, nil)
				_, err := b.AcknowledgeTrail(t.Context(), vault.System("cli", b.caller.EnvironmentID), sum.Report)
				must(t, err)
			}},
		} {
			c.last()
			before, err := b.db.Open(t).LastCheckpoint(t.Context())
			must(t, err)
			if before.Kind != c.kind {
				t.Fatalf("the last is %s, not %s", before.Kind, c.kind)
			}
			sum, _ := w.verify(t, nil)
			old := b.keyset
			b.keyset, err = old.Rotate()
			must(t, err)
			must(t, b.replica(t).VouchForTrail(t.Context()))
			b.keyset, err = b.keyset.Retire(old.PrimaryID())
			must(t, err)
			b.Vault = b.replica(t)
			after, findings := w.verify(t, nil)
			if after.Findings > 0 || after.Checkpoints != sum.Checkpoints+1 || after.Dropped != sum.Dropped || after.Pruned != sum.Pruned {
				t.Errorf("%s: %+v, %v; before it %+v", c.kind, after, findings, sum)
			}
		}
		b.months(t, 110)
		must(t, w.dropAll(t, b.Vault))
		b.months(t, 110)
		must(t, w.dropAll(t, b.Vault))
		if sum, findings := w.verify(t, nil); sum.Findings > 0 {
			t.Errorf("%+v, %v", sum, findings)
		}
	})
}

// state puts a statement of somebody's own key in the place of a checkpoint and
// answers what puts that back.
func (w *trailOf) state(t *testing.T, number int64, kind vault.CheckpointKind, e vault.AuditEntry) (undo func()) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	set := func(c vault.Checkpoint) {
		w.exec(t, "UPDATE audit_checkpoints SET kind = $1, writer = $2, seq = $3, entry_id = $4, hash = $5, count = $6, key = $7, signature = $8 WHERE number = $9",
			string(c.Kind), c.Writer, c.Seq, c.EntryID, c.Hash[:], c.Count, c.Key, c.Signature, number)
	}
	two, err := w.db.Open(t).CheckpointsAfter(t.Context(), number-2, 2)
	must(t, err)
	set(vault.SignCheckpoint(&two[0], kind, vault.ChainHead{Writer: e.Writer, Seq: e.Seq, EntryID: e.ID, Hash: e.Hash}, two[1].At, key))
	return func() { set(two[1]) }
}

// Nothing is dropped because of a checkpoint that nobody with the keyset signed, which
// could be taken away again.
func TestNothingIsDroppedOnAForgedStatement(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		n := len(w.ids)
		gone, unsigned := b.killed(t, 2, 0), b.killed(t, 0, 2)
		b.months(t, 105)
		b.pass(time.Second)
		before := b.clock()
		b.months(t, 15)
		drop := func() error { return b.DropBefore(t.Context(), w.ids[n-1]+"z") }
		for what, c := range map[string]struct {
			tamper func() (undo func())
			drop   func() error
		}{
			"a beginning cut off": {func() func() {
				e := w.find(t, w.ids[1])
				w.exec(t, "DELETE FROM audit_entries WHERE writer = $1 AND seq <= 2", w.writer)
				return w.state(t, 120, vault.CheckpointDropped, e)
			}, drop},
			"a chain made anew": {func() func() {
				w.exec(t, "UPDATE audit_entries SET proof = $1 WHERE writer = $2", make([]byte, 16), unsigned.Writer)
				return w.state(t, 120, vault.CheckpointRunning, w.find(t, unsigned.EntryID))
			}, func() error { return b.DropBefore(t.Context(), unsigned.EntryID+"z") }},
			"made anew further on": {func() func() {
				w.exec(t, "UPDATE audit_entries SET proof = $1 WHERE writer = $2", make([]byte, 16), unsigned.Writer)
				return w.state(t, 120, vault.CheckpointRunning, w.find(t, unsigned.EntryID))
			}, func() error { return b.DropBefore(t.Context(), unsigned.EntryID) }},
			"a chain cut off": {func() func() {
				e := w.find(t, gone.EntryID)
				w.exec(t, "DELETE FROM audit_entries WHERE writer = $1", gone.Writer)
				must(t, b.DropBefore(t.Context(), "aud_~"))
				return w.state(t, 120, vault.CheckpointDropped, e)
			}, func() error { return b.Prune(t.Context(), "aud_~", before) }},
		} {
			w.save(t)
			undo := c.tamper()
			if err := c.drop(); err == nil || !strings.Contains(err.Error(), "audit verify") {
				t.Errorf("%s: %v", what, err)
			}
			undo()
			if sum, findings := w.verify(t, nil); len(findings) == 0 {
				t.Errorf("%s: nobody would know any more: %+v", what, sum)
			}
			w.restore(t)
		}
	})
}
