package vault_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/vault"
)

// acknowledge has a process of its own acknowledge what is wrong, and answers how
// many findings that are.
func (w *trailOf) acknowledge(t *testing.T) int {
	t.Helper()
	v := w.replica(t)
	sum, findings := w.verify(t, nil)
	n, err := v.AcknowledgeTrail(t.Context(), vault.System("cli", w.caller.EnvironmentID), sum.Report)
	must(t, err)
	must(t, v.CloseAudit(t.Context()))
	if n != sum.Findings || n != len(findings)-sum.Known {
		t.Errorf("%d of %d findings were acknowledged", n, sum.Findings)
	}
	return n
}

// breaks are ways to tamper that somebody may have looked into.
func (w *trailOf) breaks(t *testing.T) map[string]func() {
	n := len(w.ids)
	middle, next, last := w.ids[n/2], w.ids[n/2+1], w.ids[n-1]
	return map[string]func(){
		"changed":      func() { w.exec(t, "UPDATE audit_entries SET reason = 'x' WHERE id = $1", middle) },
		"hash":         func() { w.exec(t, "UPDATE audit_entries SET hash = $1 WHERE id = $2", make([]byte, 32), middle) },
		"last changed": func() { w.exec(t, "UPDATE audit_entries SET reason = 'x' WHERE id = $1", last) },
		"proof":        func() { w.exec(t, "UPDATE audit_entries SET proof = $1 WHERE id = $2", make([]byte, 16), middle) },
		"seq":          func() { w.exec(t, "UPDATE audit_entries SET seq = seq + 100 WHERE id = $1", middle) },
		"first gone":   func() { w.exec(t, "DELETE FROM audit_entries WHERE id = $1", w.ids[0]) },
		"middle gone":  func() { w.exec(t, "DELETE FROM audit_entries WHERE id = $1", middle) },
		"two gone":     func() { w.exec(t, "DELETE FROM audit_entries WHERE id IN ($1, $2)", w.ids[1], middle) },
		"end cut off":  func() { w.exec(t, "DELETE FROM audit_entries WHERE writer = $1 AND id >= $2", w.writer, middle) },
		"chain gone": func() {
			w.exec(t, "DELETE FROM audit_entries WHERE writer = (SELECT writer FROM audit_checkpoints WHERE number = 2)")
		},
		"two swapped":     func() { w.swap(t, middle, next) },
		"one repeated":    func() { w.copy(t, middle, last+"0") },
		"forged chain":    func() { w.forgeAs(t, middle+"0", middle, "wri_forged", 1, vault.Digest{}) },
		"chained anew":    func() { w.rechain(t, middle) },
		"signature":       func() { w.exec(t, "UPDATE audit_checkpoints SET signature = $1 WHERE number = 4", make([]byte, 64)) },
		"checkpoint gone": func() { w.exec(t, "DELETE FROM audit_checkpoints WHERE number = 3") },
		"two of them":     func() { w.exec(t, "DELETE FROM audit_checkpoints WHERE number <= 2") },
		"another's":       func() { w.signAnew(t, 3) },
	}
}

// What was acknowledged is known: still named, and no longer in the way of retention.
func TestAcknowledgedBreaksAreKnown(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		_, err := b.AcknowledgeTrail(t.Context(), vault.System("cli", b.caller.EnvironmentID), vault.Digest{})
		if !errors.Is(err, vault.ErrNothingFound) {
			t.Errorf("acknowledged nothing: %v", err)
		}
		for what, tamper := range w.breaks(t) {
			w.save(t)
			tamper()
			_, err := w.replica(t).AcknowledgeTrail(t.Context(), vault.System("cli", b.caller.EnvironmentID), vault.Digest{1})
			if !errors.Is(err, vault.ErrOtherFindings) {
				t.Errorf("%s: acknowledged unseen: %v", what, err)
			}
			n := w.acknowledge(t)
			sum, findings := w.verify(t, &w.anchor)
			if sum.Findings != 0 || sum.Known != n || len(findings) != n || sum.Acknowledgements != 1 {
				t.Errorf("%s: %d are acknowledged, %+v, %v", what, n, sum, findings)
			}
			var file bytes.Buffer
			must(t, w.ReadTrail(t.Context(), func(trail vault.Trail) error { return vault.WriteTrail(&file, trail) }))
			keys, err := w.keyset.TrailKeys()
			must(t, err)
			again, err := vault.VerifyTrail(vault.TrailFile(&file), keys, nil, func(vault.Finding) {})
			if err != nil || again != sum {
				t.Errorf("%s: a file of it: %+v, %v; want %+v", what, again, err, sum)
			}
			if n := w.count(t, "SELECT count(*) FROM audit_entries WHERE action = 'audit.acknowledged' AND count = $1", n); n != 1 {
				t.Errorf("%s: %d entries say so", what, n)
			}
			must(t, w.dropAll(t, w.replica(t)))
			sum, findings = w.verify(t, nil)
			if sum.Findings != 0 || sum.Entries != 0 {
				t.Errorf("%s, past its retention: %+v, %v", what, sum, findings)
			}
			w.restore(t)
		}
	})
}

// Retention that drops a page at a time knows a break wherever the page ends.
func TestRetentionGoesPastAKnownBreakAnywhere(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		for what, tamper := range w.breaks(t) {
			w.save(t)
			tamper()
			w.acknowledge(t)
			for _, end := range append(w.ids[len(w.ids)/2-1:], "aud_~") {
				v := w.replica(t)
				if err := v.DropBefore(t.Context(), end); err != nil {
					t.Errorf("%s, up to %s: %v", what, end, err)
				}
				if sum, findings := w.verify(t, nil); sum.Findings > 0 {
					t.Errorf("%s, up to %s: %+v, %v", what, end, sum, findings)
				}
			}
			w.restore(t)
		}
	})
}

// Checkpoints are dropped past what was acknowledged of them.
func TestPruningGoesPastAKnownBreak(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		b.months(t, 110)
		for what, tamper := range w.breaks(t) {
			w.save(t)
			tamper()
			w.acknowledge(t)
			must(t, w.dropAll(t, w.replica(t)))
			if sum, findings := w.verify(t, nil); sum.Findings > 0 || sum.Pruned < 115 {
				t.Errorf("%s: %+v, %v", what, sum, findings)
			}
			w.restore(t)
		}
	})
}

// Nothing that is done later passes for what was acknowledged.
func TestLaterBreaksAreNotKnown(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		n := len(w.ids)
		before, middle, next := w.ids[n/2-1], w.ids[n/2], w.ids[n/2+1]
		breaks := w.breaks(t)
		one := bytes.Repeat([]byte{1}, 64)
		run := func(query string, args ...any) func() { return func() { w.exec(t, query, args...) } }
		ofAcknowledgement := " WHERE kind = 'acknowledged'"
		for what, c := range map[string]struct {
			first string
			later func()
		}{
			"changed again":             {"changed", run("UPDATE audit_entries SET reason = 'y' WHERE id = $1", middle)},
			"its hash as well":          {"changed", run("UPDATE audit_entries SET hash = $1 WHERE id = $2", one[:32], middle)},
			"its proof as well":         {"changed", run("UPDATE audit_entries SET proof = $1 WHERE id = $2", one[:16], middle)},
			"another one changed":       {"changed", run("UPDATE audit_entries SET reason = 'x' WHERE id = $1", next)},
			"gone then":                 {"changed", run("DELETE FROM audit_entries WHERE id = $1", middle)},
			"another wrong proof":       {"proof", run("UPDATE audit_entries SET proof = $1 WHERE id = $2", one[:16], middle)},
			"one more before":           {"middle gone", run("DELETE FROM audit_entries WHERE id = $1", before)},
			"one more after":            {"middle gone", run("DELETE FROM audit_entries WHERE id = $1", next)},
			"the one after changed":     {"middle gone", run("UPDATE audit_entries SET reason = 'x' WHERE id = $1", next)},
			"the one before changed":    {"middle gone", run("UPDATE audit_entries SET reason = 'x' WHERE id = $1", before)},
			"cut off further":           {"end cut off", run("DELETE FROM audit_entries WHERE id = $1", before)},
			"forged again":              {"forged chain", run("UPDATE audit_entries SET reason = 'again' WHERE writer = 'wri_forged'")},
			"another chain forged":      {"forged chain", func() { w.forgeAs(t, middle+"1", middle, "wri_forged2", 1, vault.Digest{}) }},
			"signed again":              {"signature", run("UPDATE audit_checkpoints SET signature = $1 WHERE number = 4", one)},
			"another signature":         {"signature", run("UPDATE audit_checkpoints SET signature = $1 WHERE number = 2", one)},
			"one more checkpoint gone":  {"checkpoint gone", run("DELETE FROM audit_checkpoints WHERE number = 2")},
			"another's again":           {"another's", func() { w.signAnew(t, 3) }},
			"acknowledgement changed":   {"changed", run("UPDATE audit_checkpoints SET statement = statement || 'x'" + ofAcknowledgement)},
			"its count":                 {"changed", run("UPDATE audit_checkpoints SET count = count + 1" + ofAcknowledgement)},
			"acknowledgement gone":      {"changed", run("DELETE FROM audit_checkpoints" + ofAcknowledgement)},
			"acknowledgement re-signed": {"changed", func() { w.signAnew(t, w.count(t, "SELECT number FROM audit_checkpoints"+ofAcknowledgement)) }},
			"longer by one": {"forged chain", func() {
				w.forgeAs(t, middle+"1", middle, "wri_forged", 2, w.find(t, middle+"0").Hash)
			}},
		} {
			w.save(t)
			breaks[c.first]()
			w.acknowledge(t)
			c.later()
			if sum, findings := w.verify(t, nil); sum.Findings == 0 {
				t.Errorf("%s: all is known: %v", what, findings)
			}
			if err := w.dropAll(t, w.replica(t)); err == nil {
				if sum, findings := w.verify(t, nil); sum.Findings == 0 {
					t.Errorf("%s: dropped, and nobody would know any more: %v", what, findings)
				}
			}
			w.restore(t)
		}
	})
}

// Nobody adds a line to an acknowledgement.
func TestAcknowledgementThatSaysMore(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		breaks := w.breaks(t)
		breaks["changed"]()
		w.acknowledge(t)
		breaks["first gone"]()
		keys, err := w.keyset.TrailKeys()
		must(t, err)
		must(t, w.ReadTrail(t.Context(), func(trail vault.Trail) error {
			_, err := vault.VerifyTrail(trail, keys, nil, func(f vault.Finding) {
				if f.Known == 0 {
					w.exec(t, "UPDATE audit_checkpoints SET statement = $1 || statement WHERE kind = 'acknowledged'", f.Line()+"\n")
				}
			})
			return err
		}))
		if sum, findings := w.verify(t, nil); sum.Known > 0 || sum.Findings < 3 {
			t.Errorf("%+v, %v", sum, findings)
		}
		if err := w.replica(t).DropBefore(t.Context(), w.ids[len(w.ids)/2+1]); err == nil {
			t.Error("what nobody has looked into was dropped")
		}
	})
}

// An acknowledgement that somebody signed with a key of their own is none.
func TestForgedAcknowledgement(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		must(t, b.CloseAudit(t.Context()))
		w.breaks(t)["changed"]()
		keys, err := w.keyset.TrailKeys()
		must(t, err)
		var lines []string
		must(t, w.ReadTrail(t.Context(), func(trail vault.Trail) error {
			_, err := vault.VerifyTrail(trail, keys, nil, func(f vault.Finding) { lines = append(lines, f.Line()) })
			return err
		}))
		_, key, err := ed25519.GenerateKey(nil)
		must(t, err)
		two, err := b.db.Open(t).CheckpointsAfter(t.Context(), 3, 2)
		must(t, err)
		statement := strings.Join(lines, "\n")
		c := vault.SignCheckpoint(&two[0], vault.CheckpointAcknowledged, vault.ChainHead{Seq: two[1].Seq, EntryID: two[1].EntryID, Hash: vault.HashOfStatement(statement)}, two[1].At, key)
		w.exec(t, "UPDATE audit_checkpoints SET kind = $1, writer = '', hash = $2, count = 1, key = $3, signature = $4, statement = $5 WHERE number = 5",
			string(c.Kind), c.Hash[:], c.Key, c.Signature, statement)
		if sum, findings := w.verify(t, nil); sum.Known > 0 || sum.Findings < 2 {
			t.Errorf("%+v, %v", sum, findings)
		}
		if err := w.replica(t).DropBefore(t.Context(), w.ids[len(w.ids)/2+1]); err == nil {
			t.Error("what nobody has looked into was dropped")
		}
	})
}

// An acknowledgement outlives the key that it was signed with, as long as the chain
// of checkpoints leads from it to one that is known.
func TestAcknowledgementAfterRotation(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		must(t, b.CloseAudit(t.Context()))
		w.exec(t, "DELETE FROM audit_entries WHERE id = $1", w.ids[2])
		w.acknowledge(t)
		old := b.keyset
		rotated, err := old.Rotate()
		must(t, err)
		b.keyset = rotated
		v := b.replica(t)
		for range 2 {
			b.write(t, v, 1)
			must(t, v.Checkpoint(t.Context()))
		}
		must(t, v.CloseAudit(t.Context()))
		b.keyset, err = rotated.Retire(old.PrimaryID())
		must(t, err)
		if sum, findings := w.verify(t, nil); sum.Findings > 0 || sum.Known != 1 {
			t.Errorf("retired: %+v, %v", sum, findings)
		}
		number := w.count(t, "SELECT number FROM audit_checkpoints WHERE kind = 'acknowledged'")
		w.exec(t, "DELETE FROM audit_checkpoints WHERE number = $1", number+1)
		if sum, findings := w.verify(t, nil); sum.Known > 0 || sum.Findings < 2 {
			t.Errorf("cut off from the keys: %+v, %v", sum, findings)
		}
	})
}

// What somebody has put into the database makes no second line of a finding, which
// would acknowledge what nobody has seen.
func TestFindingsAreOneLine(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		w.exec(t, "UPDATE audit_entries SET id = $1 WHERE id = $2", "aud_x\nentry", w.ids[2])
		n := w.acknowledge(t)
		var statement string
		must(t, w.raw.QueryRowContext(t.Context(), "SELECT statement FROM audit_checkpoints WHERE kind = 'acknowledged'").Scan(&statement))
		if lines := strings.Count(statement, "\n") + 1; lines != n {
			t.Errorf("%d lines of %d findings:\n%s", lines, n, statement)
		}
	})
}

// A checkpoint that is known to be gone, or not to be believed, leaves nothing that
// could be cut off unseen.
func TestNothingIsCutOffBehindAKnownBreak(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		closed, err := b.db.Open(t).CheckpointsAfter(t.Context(), 0, 1)
		must(t, err)
		last := closed[0]
		killed := b.killed(t, 1, 3)
		b.months(t, 1)
		b.pass(2 * vault.OverdueAfter)
		for what, c := range map[string]struct {
			tamper func()
			end    vault.ChainHead
		}{
			"signature": {func() {
				w.exec(t, "UPDATE audit_checkpoints SET signature = $1 WHERE number = $2", make([]byte, 64), last.Number)
			}, vault.ChainHead{Writer: last.Writer, EntryID: last.EntryID}},
			"checkpoint gone": {func() { w.exec(t, "DELETE FROM audit_checkpoints WHERE number = $1", last.Number) }, vault.ChainHead{Writer: last.Writer, EntryID: last.EntryID}},
			"another's":       {func() { w.signAnew(t, 3) }, vault.ChainHead{Writer: last.Writer, EntryID: last.EntryID}},
			"killed": {func() {
				w.exec(t, "UPDATE audit_entries SET reason = 'x' WHERE writer = $1 AND seq = 2", killed.Writer)
			}, killed},
		} {
			w.save(t)
			c.tamper()
			w.acknowledge(t)
			must(t, w.replica(t).Note(t.Context()))
			if sum, findings := w.verify(t, nil); sum.Findings > 0 || sum.Known == 0 {
				t.Errorf("%s: %+v, %v", what, sum, findings)
			}
			w.exec(t, "DELETE FROM audit_entries WHERE id = $1", c.end.EntryID)
			if sum, findings := w.verify(t, nil); sum.Findings == 0 {
				t.Errorf("%s: the last entry was cut off behind it: %+v, %v", what, sum, findings)
			}
			w.exec(t, "DELETE FROM audit_entries WHERE writer = $1", c.end.Writer)
			if sum, findings := w.verify(t, nil); sum.Findings == 0 {
				t.Errorf("%s: the chain was cut off behind it: %+v, %v", what, sum, findings)
			}
			w.restore(t)
		}
	})
}

// An entry that somebody has planted, newer than all, is not taken for that of the
// acknowledgement.
func TestAcknowledgementKnowsItsEntry(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		planted := "aud_vvvvvvvvvvvvvvvvvvvvvvvvvv"
		w.forgeAs(t, planted, w.ids[1], "wri_forged", 1, vault.Digest{})
		w.exec(t, "UPDATE audit_entries SET action = 'audit.acknowledged' WHERE id = $1", planted)
		w.acknowledge(t)
		if n := w.count(t, "SELECT count(*) FROM audit_checkpoints WHERE kind = 'acknowledged' AND entry_id = $1", planted); n != 0 {
			t.Errorf("%d checkpoints name the planted entry", n)
		}
		if n := w.count(t, `SELECT count(*) FROM audit_checkpoints c JOIN audit_entries e ON e.id = c.entry_id
			WHERE c.kind = 'acknowledged' AND e.action = $1`, "audit.acknowledged"); n == 0 {
			t.Error("no checkpoint names the entry of the acknowledgement")
		}
	})
}
