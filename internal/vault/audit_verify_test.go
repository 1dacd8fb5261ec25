package vault_test

import (
	"bytes"
	"crypto/ed25519"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// trailOf is a trail to tamper with: two chains that are closed, one that runs on
// and is noted, one whose process was killed, and some checkpoints of each.
type trailOf struct {
	*bench
	raw    *sql.DB
	anchor vault.Anchor
	// ids are the entries of the chain that runs, the bench's own.
	ids    []string
	writer string
}

func newTrailOf(t *testing.T, b *bench) *trailOf {
	t.Helper()
	for _, end := range []func(*vault.Vault){
		func(v *vault.Vault) { must(t, v.CloseAudit(t.Context())) },
		func(v *vault.Vault) { must(t, v.CloseAudit(t.Context())) },
		func(v *vault.Vault) { must(t, v.Checkpoint(t.Context())) }, // and killed later
	} {
		v := b.replica(t)
		for i := range 3 {
			_, _, err := v.CreateAPIKey(t.Context(), b.caller, vault.NewAPIKey{Name: fmt.Sprint(i), Scopes: vault.AllScopes()})
			must(t, err)
		}
		end(v)
	}
	b.linked(t, "r1")
	must(t, b.Checkpoint(t.Context()))
	b.linked(t, "r2")
	must(t, b.Checkpoint(t.Context()))
	b.linked(t, "r3")
	w := &trailOf{bench: b, raw: b.db.Raw(t)}
	sum, findings := w.verify(t, nil)
	if len(findings) > 0 {
		t.Fatalf("a trail that nobody touched: %v", findings)
	}
	w.anchor = sum.Newest
	w.writer = b.Head().Writer
	must(t, b.ReadTrail(t.Context(), func(trail vault.Trail) error {
		for item, err := range trail {
			must(t, err)
			if item.Entry != nil && item.Entry.Writer == w.writer {
				w.ids = append(w.ids, item.Entry.ID)
			}
		}
		return nil
	}))
	return w
}

func (w *trailOf) verify(t *testing.T, noted *vault.Anchor) (sum vault.TrailSummary, findings []string) {
	t.Helper()
	keys, err := w.keyset.TrailKeys()
	must(t, err)
	must(t, w.ReadTrail(t.Context(), func(trail vault.Trail) (err error) {
		sum, err = vault.VerifyTrail(trail, keys, noted, func(f vault.Finding) { findings = append(findings, f.String()) })
		return err
	}))
	return sum, findings
}

func (w *trailOf) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	res, err := w.raw.ExecContext(t.Context(), query, args...)
	must(t, err)
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s changed nothing, %v", query, err)
	}
}

// save keeps the trail as it is, for restore to put back.
func (w *trailOf) save(t *testing.T) {
	t.Helper()
	for _, table := range []string{"audit_entries", "audit_checkpoints"} {
		_, err := w.raw.ExecContext(t.Context(), fmt.Sprintf("CREATE TABLE good_%s AS SELECT * FROM %s", table, table))
		must(t, err)
	}
}

func (w *trailOf) restore(t *testing.T) {
	t.Helper()
	for _, table := range []string{"audit_entries", "audit_checkpoints"} {
		for _, statement := range []string{"DELETE FROM %[1]s", "INSERT INTO %[1]s SELECT * FROM good_%[1]s", "DROP TABLE good_%[1]s"} {
			_, err := w.raw.ExecContext(t.Context(), fmt.Sprintf(statement, table))
			must(t, err)
		}
	}
}

func TestVerifyGoodTrail(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		sum, findings := w.verify(t, &w.anchor)
		if len(findings) > 0 || sum.Findings != 0 {
			t.Errorf("%v", findings)
		}
		if sum.Chains != 4 || sum.Open != 2 || sum.Checkpoints != 5 || sum.Newest.Number != 5 || sum.Tail == 0 || sum.Entries != int64(9+len(w.ids)) {
			t.Errorf("%+v", sum)
		}
	})
}

// Each way to tamper is found, and where.
func TestVerifyFindsTampering(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		middle, last := w.ids[len(w.ids)/2], w.ids[len(w.ids)-1]
		next := w.ids[len(w.ids)/2+1]
		on := func(id, query string, args ...any) func() {
			return func() { w.exec(t, query+" WHERE id = '"+id+"'", args...) }
		}
		set := func(assignment string, args ...any) func() {
			return on(middle, "UPDATE audit_entries SET "+assignment, args...)
		}
		const changed = "it was changed: its hash is another one"
		zeros := func(n int) []byte { return make([]byte, n) }
		for what, c := range map[string]struct {
			tamper func()
			at     string // in some finding
			says   string
		}{
			"environment": {set("environment_id = 'env_other'"), middle, changed},
			"time":        {set("at = at + 1"), middle, changed},
			"actor kind":  {set("actor_kind = 'admin'"), middle, changed},
			"actor":       {set("actor_id = 'key_other'"), middle, changed},
			"action":      {set("action = 'connection.deleted'"), middle, changed},
			"allowed":     {set("allowed = NOT allowed"), middle, changed},
			"connection":  {set("connection_id = 'con_other'"), middle, changed},
			"integration": {set("integration_id = 'int_other'"), middle, changed},
			"session":     {set("session_id = 'cs_other'"), middle, changed},
			"reason":      {set("reason = 'other'"), middle, changed},
			"generation":  {set("generation = 77"), middle, changed},
			"count":       {set("count = 77"), middle, changed},
			"id":          {set("id = id || '0'"), middle + "0", changed},
			"hash":        {set("hash = $1", zeros(32)), middle, changed},
			"proof":       {set("proof = $1", zeros(16)), middle, "its proof is wrong"},
			"seq":         {set("seq = seq + 100"), middle, "its number was changed"},
			"writer":      {set("writer = 'wri_other'"), next, "1 entry is missing before it, after entry"},
			"first gone":  {on(w.ids[0], "DELETE FROM audit_entries"), w.ids[1], "1 entry is missing before it, after the beginning"},
			"middle gone": {on(middle, "DELETE FROM audit_entries"), next, "1 entry is missing before it, after entry"},
			"many gone":   {func() { w.exec(t, "DELETE FROM audit_entries WHERE writer = $1 AND id < $2", w.writer, middle) }, middle, fmt.Sprintf("%d entries are missing", len(w.ids)/2)},
			"end cut off": {func() { w.exec(t, "DELETE FROM audit_entries WHERE writer = $1 AND id >= $2", w.writer, middle) }, "checkpoint 5", "the end of the chain was cut off"},
			"chain gone": {func() {
				w.exec(t, "DELETE FROM audit_entries WHERE writer = (SELECT writer FROM audit_checkpoints WHERE number = 2)")
			}, "checkpoint 2", "the end of the chain was cut off"},
			"two swapped":  {func() { w.swap(t, middle, next) }, middle, "missing before it"},
			"one repeated": {func() { w.copy(t, middle, last+"0") }, last + "0", "out of place"},
			"forged chain": {func() { w.forge(t, middle, "wri_forged", 1, vault.Digest{}) }, "wri_forged", "no key of the keyset proves it"},
			"forged end": {func() {
				head := b.Head()
				w.forge(t, middle, w.writer, head.Seq+1, head.Hash)
			}, "zzz", "its proof is wrong"},
			"after a closed end": {func() {
				w.exec(t, "UPDATE audit_entries SET seq = 4, id = 'aud_zzz', writer = (SELECT writer FROM audit_checkpoints WHERE number = 1) WHERE id = $1", middle)
			}, "aud_zzz", "after the end of its chain"},
			"chained anew":       {func() { w.rechain(t, middle) }, "checkpoint 5", "its entry has another hash"},
			"checkpoint's entry": {func() { w.exec(t, "UPDATE audit_checkpoints SET seq = seq - 1 WHERE number = 4") }, "checkpoint 4", "its signature is wrong"},
			"checkpoint's time":  {func() { w.exec(t, "UPDATE audit_checkpoints SET at = at - 1 WHERE number = 4") }, "checkpoint 4", "its signature is wrong"},
			"checkpoint's hash":  {func() { w.exec(t, "UPDATE audit_checkpoints SET hash = $1 WHERE number = 4", zeros(32)) }, "checkpoint 4", "its signature is wrong"},
			"checkpoint's prev":  {func() { w.exec(t, "UPDATE audit_checkpoints SET prev = $1 WHERE number = 4", zeros(32)) }, "checkpoint 4", "its signature is wrong"},
			"checkpoint's kind":  {func() { w.exec(t, "UPDATE audit_checkpoints SET kind = 'closed' WHERE number = 4") }, "checkpoint 4", "its signature is wrong"},
			"signature":          {func() { w.exec(t, "UPDATE audit_checkpoints SET signature = $1 WHERE number = 4", zeros(64)) }, "checkpoint 4", "its signature is wrong"},
			"another key":        {func() { w.exec(t, "UPDATE audit_checkpoints SET key = '0123456789abcdef' WHERE number = 5") }, "checkpoint 5", "signed with a key that is not of this keyset"},
			"number":             {func() { w.exec(t, "UPDATE audit_checkpoints SET number = 9 WHERE number = 4") }, "checkpoint 5", "checkpoint 4 is missing before it"},
			"checkpoint gone":    {func() { w.exec(t, "DELETE FROM audit_checkpoints WHERE number = 2") }, "checkpoint 3", "checkpoint 2 is missing before it"},
			"first checkpoints":  {func() { w.exec(t, "DELETE FROM audit_checkpoints WHERE number <= 2") }, "checkpoint 3", "checkpoints 1 to 2 are missing before it"},
			"last checkpoint":    {func() { w.exec(t, "DELETE FROM audit_checkpoints WHERE number = 5") }, "checkpoint 5", "it was noted and is not there"},
			"all of it": {func() {
				w.exec(t, "DELETE FROM audit_checkpoints")
				w.exec(t, "DELETE FROM audit_entries")
			}, "checkpoint 5", "it was noted and is not there"},
		} {
			w.save(t)
			c.tamper()
			_, findings := w.verify(t, &w.anchor)
			if !slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, c.at) && strings.Contains(f, c.says) }) {
				t.Errorf("%s: nothing at %s says %q:\n%s", what, c.at, c.says, strings.Join(findings, "\n"))
			}
			if c.says == changed && len(findings) != 1 {
				t.Errorf("%s is one change, and %d are found:\n%s", what, len(findings), strings.Join(findings, "\n"))
			}
			w.restore(t)
		}
		if _, findings := w.verify(t, &w.anchor); len(findings) > 0 {
			t.Errorf("put back: %v", findings)
		}
	})
}

// swap gives each of two entries the id of the other.
func (w *trailOf) swap(t *testing.T, a, b string) {
	t.Helper()
	for _, ids := range [][2]string{{a, "aud_between"}, {b, a}, {"aud_between", b}} {
		w.exec(t, "UPDATE audit_entries SET id = $1 WHERE id = $2", ids[1], ids[0])
	}
}

const columns = `environment_id, at, actor_kind, actor_id, action, allowed, connection_id, integration_id, session_id, reason, generation, count`

func (w *trailOf) copy(t *testing.T, from, id string) {
	t.Helper()
	w.exec(t, "INSERT INTO audit_entries (id, "+columns+", writer, seq, hash, proof) SELECT $1, "+columns+", writer, seq, hash, proof FROM audit_entries WHERE id = $2", id, from)
}

// forge is what somebody can do who has the database and no key.
func (w *trailOf) forge(t *testing.T, like, writer string, seq int64, prev vault.Digest) {
	t.Helper()
	w.forgeAs(t, "aud_zzz", like, writer, seq, prev)
}

func (w *trailOf) forgeAs(t *testing.T, id, like, writer string, seq int64, prev vault.Digest) vault.Digest {
	t.Helper()
	e := w.find(t, like)
	e.ID, e.Writer, e.Seq, e.Reason = id, writer, seq, "forged"
	hash := vault.DigestOf(&e, prev)
	w.exec(t, "INSERT INTO audit_entries (id, "+columns+`, writer, seq, hash, proof) SELECT $1, environment_id, at, actor_kind, actor_id, action, allowed,
		connection_id, integration_id, session_id, 'forged', generation, count, $2, $3, $4, $5 FROM audit_entries WHERE id = $6`,
		e.ID, writer, seq, hash[:], make([]byte, vault.ProofSize), like)
	return hash
}

// rechain changes an entry and makes all that come after it in its chain follow.
func (w *trailOf) rechain(t *testing.T, from string) {
	t.Helper()
	var prev vault.Digest
	for _, id := range w.ids {
		e := w.find(t, id)
		if id >= from {
			e.Reason = "changed"
			e.Hash = vault.DigestOf(&e, prev)
			w.exec(t, "UPDATE audit_entries SET reason = $1, hash = $2 WHERE id = $3", e.Reason, e.Hash[:], id)
		}
		prev = e.Hash
	}
}

func (w *trailOf) find(t *testing.T, id string) (found vault.AuditEntry) {
	t.Helper()
	must(t, w.ReadTrail(t.Context(), func(trail vault.Trail) error {
		for item, err := range trail {
			must(t, err)
			if item.Entry != nil && item.Entry.ID == id {
				found = *item.Entry
			}
		}
		return nil
	}))
	return found
}

// A file has the same trail: it verifies as the database does, and what is done to
// the file is found.
func TestVerifyAFile(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		var file bytes.Buffer
		must(t, w.ReadTrail(t.Context(), func(trail vault.Trail) error { return vault.WriteTrail(&file, trail) }))
		keys, err := w.keyset.TrailKeys()
		must(t, err)
		public, err := vault.PublicTrailKeys(keys.Public())
		must(t, err)
		check := func(text string, keys vault.TrailKeys) (vault.TrailSummary, []string, error) {
			var findings []string
			sum, err := vault.VerifyTrail(vault.TrailFile(strings.NewReader(text)), keys, &w.anchor, func(f vault.Finding) { findings = append(findings, f.String()) })
			return sum, findings, err
		}
		good := file.String()
		want, _ := w.verify(t, nil)
		for _, keys := range []vault.TrailKeys{keys, public} {
			if sum, findings, err := check(good, keys); err != nil || len(findings) > 0 || sum != want {
				t.Errorf("%+v, %v, %v; want %+v", sum, findings, err, want)
			}
		}
		lines := strings.SplitAfter(good, "\n")
		for what, c := range map[string]struct{ text, says string }{
			"changed": {strings.Replace(good, `"count":1`, `"count":2`, 1), "it was changed"},
			"cut":     {strings.Join(lines[:len(lines)-3], ""), "cut short"},
			"no end":  {strings.Join(slices.Concat(lines[:5], lines[6:]), ""), "the file ends with"},
			"no form": {strings.Join(lines[1:], ""), "no export of a whole trail"},
			"no JSON": {"hello", "no export of a whole trail"},
			"more":    {good + lines[1], "goes on after its end"},
			"unknown": {strings.Replace(good, `"count":1`, `"count":1,"note":"x"`, 1), "unknown field"},
			"short":   {strings.Replace(good, `"proof":"`, `"proof":"00`, 1), "17 bytes where 16 are due"},
		} {
			_, findings, err := check(c.text, keys)
			if err != nil {
				findings = append(findings, err.Error())
			}
			if !strings.Contains(strings.Join(findings, "\n"), c.says) {
				t.Errorf("%s: %q, want %q", what, findings, c.says)
			}
		}
	})
}

// After a rotation of the master keyset the old signatures and proofs are good;
// once the old key is retired, those of later checkpoints vouch for them.
func TestVerifyAfterRotation(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		must(t, b.CloseAudit(t.Context()))
		old := b.keyset
		rotated, err := old.Rotate()
		must(t, err)
		b.keyset = rotated
		v := b.replica(t)
		w := &trailOf{bench: b}
		if _, findings := w.verify(t, nil); len(findings) > 0 {
			t.Errorf("rotated: %v", findings)
		}
		if b.keyset, err = rotated.Retire(old.PrimaryID()); err != nil {
			t.Fatal(err)
		}
		_, findings := w.verify(t, nil)
		if !strings.Contains(strings.Join(findings, "\n"), "no later checkpoint vouches for it") {
			t.Errorf("retired too early: %v", findings)
		}
		for range 2 { // the second finds nothing to do
			must(t, v.VouchForTrail(t.Context()))
		}
		if sum, findings := w.verify(t, nil); len(findings) > 0 || sum.Checkpoints != 2 {
			t.Errorf("vouched for: %+v, %v", sum, findings)
		}
		_, err = v.EnsureEnvironment(t.Context(), "another")
		must(t, err)
		must(t, v.CloseAudit(t.Context()))
		if _, findings := w.verify(t, nil); len(findings) > 0 {
			t.Errorf("retired: %v", findings)
		}
	})
}

// Whatever the last checkpoint says, it is vouched for before its key is retired.
func TestVouchForEachKind(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		b.months(t, 110)
		must(t, b.CloseAudit(t.Context()))
		for kind, last := range map[vault.CheckpointKind]func(){
			vault.CheckpointClosed:  func() {},
			vault.CheckpointDropped: func() { must(t, w.replica(t).DropBefore(t.Context(), w.ids[1])) },
			vault.CheckpointPruned:  func() { must(t, w.dropAll(t, w.replica(t))) },
			vault.CheckpointAcknowledged: func() {
				w.breaks(t)["changed"]()
				sum, _ := w.verify(t, nil)
				_, err := w.replica(t).AcknowledgeTrail(t.Context(), vault.System("cli", w.caller.EnvironmentID), sum.Report)
				must(t, err)
			},
		} {
			w.save(t)
			last()
			var is string
			must(t, w.raw.QueryRowContext(t.Context(), "SELECT kind FROM audit_checkpoints ORDER BY number DESC LIMIT 1").Scan(&is))
			if is != string(kind) {
				t.Errorf("the last is %s, want %s", is, kind)
			}
			before, _ := w.verify(t, nil)
			old := b.keyset
			rotated, err := old.Rotate()
			must(t, err)
			b.keyset = rotated
			v := b.replica(t)
			must(t, v.VouchForTrail(t.Context()))
			b.keyset, err = rotated.Retire(old.PrimaryID())
			must(t, err)
			after, findings := w.verify(t, nil)
			if after.Findings > 0 || after.Known != before.Known || after.Dropped != before.Dropped || after.Pruned != before.Pruned || after.Entries != before.Entries {
				t.Errorf("%s: %+v, %v; before it %+v", kind, after, findings, before)
			}
			b.keyset = old
			w.restore(t)
		}
	})
}

// Who has the database and no keyset cannot have a checkpoint of theirs vouched
// for by the next good one, nor with it a chain that nobody wrote.
func TestNobodyVouchesForAForgedCheckpoint(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		w.forge(t, w.ids[0], "wri_forged", 1, vault.Digest{})
		e := w.find(t, "aud_zzz")
		_, key, err := ed25519.GenerateKey(nil)
		must(t, err)
		store := b.db.Open(t)
		last, err := store.LastCheckpoint(t.Context())
		must(t, err)
		must(t, store.InsertCheckpoint(t.Context(), vault.SignCheckpoint(last, vault.CheckpointClosed,
			vault.ChainHead{Writer: e.Writer, Seq: e.Seq, EntryID: e.ID, Hash: e.Hash}, b.clock(), key)))
		b.linked(t, "r4")
		if err := b.Checkpoint(t.Context()); err == nil {
			t.Error("went on from a checkpoint that nobody with the keyset signed")
		}
		if err := b.DropBefore(t.Context(), w.ids[1]); err == nil {
			t.Error("dropped entries behind a checkpoint that nobody with the keyset signed")
		}
		if _, findings := w.verify(t, &w.anchor); !strings.Contains(strings.Join(findings, "\n"), "signed with a key that is not of this keyset") {
			t.Errorf("nothing says that it is forged: %v", findings)
		}
		w.exec(t, "DELETE FROM audit_checkpoints WHERE number = $1", last.Number+1)
		w.exec(t, "DELETE FROM audit_entries WHERE id = $1", e.ID)
		must(t, b.Checkpoint(t.Context()))
		if _, findings := w.verify(t, &w.anchor); len(findings) > 0 {
			t.Errorf("put right: %v", findings)
		}
	})
}

// A checkpoint that comes before its entry stands for it all the same: who has
// only public keys sees that the entries were made anew behind it.
func TestVerifyFindsEntriesBehindTheirCheckpoint(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		w := newTrailOf(t, b)
		keys, err := w.keyset.TrailKeys()
		must(t, err)
		public, err := vault.PublicTrailKeys(keys.Public())
		must(t, err)
		var early, late []vault.TrailItem
		var prev vault.Digest
		must(t, w.ReadTrail(t.Context(), func(trail vault.Trail) error {
			for item, err := range trail {
				must(t, err)
				if item.Entry == nil || item.Entry.Writer != w.writer {
					early = append(early, item)
					continue
				}
				e := *item.Entry
				e.Reason = "changed"
				e.Hash = vault.DigestOf(&e, prev)
				prev = e.Hash
				late = append(late, vault.TrailItem{Entry: &e})
			}
			return nil
		}))
		var findings []string
		_, err = vault.VerifyTrail(func(yield func(vault.TrailItem, error) bool) {
			for _, item := range slices.Concat(early, late) {
				if !yield(item, nil) {
					return
				}
			}
		}, public, &w.anchor, func(f vault.Finding) { findings = append(findings, f.String()) })
		must(t, err)
		if !strings.Contains(strings.Join(findings, "\n"), "its entry is not where it was") {
			t.Errorf("%v", findings)
		}
	})
}

// An export has what there is when it begins, whatever the clocks say, and no end
// of its own making.
func TestExportIsComplete(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.linked(t, "r1")
		b.mu.Lock()
		b.now = b.now.Add(-time.Hour) // it was an hour fast
		b.mu.Unlock()
		b.linked(t, "r2")
		all, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{Page: vault.Page{Limit: 200}})
		must(t, err)
		n := 0
		must(t, b.ExportAudit(t.Context(), b.caller, vault.AuditFilter{}, func(entries []vault.AuditEntry) error {
			n += len(entries)
			b.linked(t, fmt.Sprint("r3-", n))
			return nil
		}))
		if n != len(all) {
			t.Errorf("%d entries are exported of %d", n, len(all))
		}
	})
}
