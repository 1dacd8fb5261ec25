package vault

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const acknowledgementForm = "claviger audit acknowledgement 1"

// acknowledgedAtOnce is how many findings one checkpoint acknowledges.
const acknowledgedAtOnce = 100

// Why nothing is acknowledged.
var (
	ErrNothingFound  = errors.New("nothing is wrong with the trail that could be acknowledged")
	ErrOtherFindings = errors.New("other things are wrong with the trail than those that were looked into: run `claviger audit verify` again")
)

func hashOfStatement(statement string) Digest {
	f := make(form, 0, len(statement)+64)
	f.text(acknowledgementForm)
	f.text(statement)
	return sha256.Sum256(f)
}

// AcknowledgeTrail verifies the trail and signs what is wrong with it, where that is
// exactly what the operator has looked into, the Report of a [TrailSummary], and
// signs for the ends of chains that no checkpoint stands for. From then on those
// findings are known, as long as nothing more is done to the same entries and
// checkpoints, and retention goes past them. It answers how many they are, and
// fails with [ErrNothingFound] or [ErrOtherFindings].
func (v *Vault) AcknowledgeTrail(ctx context.Context, caller Caller, report Digest) (int, error) {
	keys, err := v.trail()
	if err != nil {
		return 0, err
	}
	lines, ends, err := v.toAcknowledge(ctx, keys.known(), report)
	if err != nil {
		return 0, err
	}
	if _, err := v.lastCheckpoint(ctx, keys); err != nil {
		return 0, err // before anything is written
	}
	e := v.entry(caller, ActionAuditAcknowledged)
	e.Allowed, e.Count = true, int64(len(lines))
	if err := v.store.AddAudit(ctx, e); err != nil {
		return 0, err
	}
	e, err = v.lastOwn(ctx, caller, e.Action)
	if err != nil {
		return 0, err
	}
	if err := v.checkpoint(ctx); err != nil { // that has the entry
		return 0, err
	}
	// Where it was a checkpoint that is known to be gone, or not to be believed, nothing
	// else would stand for what it was about.
	for _, end := range ends {
		if err := v.addCheckpoint(ctx, CheckpointRunning, end); err != nil {
			return 0, err
		}
	}
	for some := range slices.Chunk(lines, acknowledgedAtOnce) {
		statement := strings.Join(some, "\n")
		place := ChainHead{Seq: e.Seq, EntryID: e.ID, Hash: hashOfStatement(statement)}
		_, err := v.signNext(ctx, func(last *Checkpoint, key ed25519.PrivateKey) (Checkpoint, error) {
			c := nextCheckpoint(last, CheckpointAcknowledged, place, int64(len(some)), v.now(), key)
			c.Statement = statement
			return c, nil
		})
		if err != nil {
			return 0, err
		}
	}
	return len(lines), nil
}

// lastOwn reads the newest entry of an action that this process has written. A
// newer one may have been planted.
func (v *Vault) lastOwn(ctx context.Context, caller Caller, action Action) (AuditEntry, error) {
	found, err := v.store.Audit(ctx, caller.EnvironmentID, AuditFilter{Action: action, Page: Page{Limit: mostPlanted}})
	if err != nil {
		return AuditEntry{}, fmt.Errorf("reading the entry of the acknowledgement: %w", err)
	}
	heads := v.store.AuditHeads()
	for _, e := range found {
		if slices.ContainsFunc(heads, func(h ChainHead) bool { return h.Writer == e.Writer && e.Seq <= h.Seq }) {
			return e, nil
		}
	}
	return AuditEntry{}, errors.New("the entry of the acknowledgement cannot be found among others of its kind")
}

// mostPlanted is how many entries are looked through for an own one.
const mostPlanted = 1000

func (v *Vault) toAcknowledge(ctx context.Context, keys TrailKeys, report Digest) (lines []string, ends []ChainHead, err error) {
	var sum TrailSummary
	err = v.ReadTrail(ctx, func(trail Trail) error {
		c, err := verifyTrail(trail, keys, nil, func(f Finding) {
			if f.Known == 0 && !f.firm {
				lines = append(lines, f.line())
			}
		})
		sum, ends = c.sum, c.unstated()
		return err
	})
	switch {
	case err != nil:
		return nil, nil, err
	case len(lines) == 0:
		return nil, nil, ErrNothingFound
	case sum.Report != report:
		return nil, nil, ErrOtherFindings
	case sum.Findings > mostFindings:
		return nil, nil, fmt.Errorf("%d findings are more than can be acknowledged: this is another trail", sum.Findings)
	}
	return lines, ends, nil
}

// acknowledgement is one that was read.
type acknowledgement struct {
	number int64
	sure   bool // signed with a key that is known
	lines  []string
}

// acknowledge takes in what somebody has looked into.
func (c *trailCheck) acknowledge(p *Checkpoint) {
	if hashOfStatement(p.Statement) != p.Hash {
		c.of(p, "its statement was changed: it acknowledges nothing")
		return
	}
	_, sure := c.keys.public[p.Key]
	c.acknowledged = append(c.acknowledged, acknowledgement{p.Number, sure, strings.Split(p.Statement, "\n")})
}

// known are the findings that are acknowledged, with the number of the checkpoint
// that does it. One that was signed with a key that is not known counts where an
// unbroken chain leads from it to one that was signed with one that is.
func (c *trailCheck) known() map[string]int64 {
	known := map[string]int64{}
	for _, a := range c.acknowledged {
		broken := func(n int64) bool { return n > a.number && n <= c.trusted }
		if !a.sure && (a.number > c.trusted || slices.ContainsFunc(c.breaks, broken)) {
			continue
		}
		c.sum.Acknowledgements++
		for _, line := range a.lines {
			known[line] = a.number
		}
	}
	return known
}

// unknown is the first of some findings that nobody has acknowledged, nil where there
// is none.
func (v *Vault) unknown(ctx context.Context, keys *trailKeys, findings []Finding) (*Finding, error) {
	if len(findings) == 0 {
		return nil, nil
	}
	all, err := v.store.Acknowledgements(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for i := range all {
		c := &all[i]
		if err := v.vouched(ctx, keys, *c); err != nil || hashOfStatement(c.Statement) != c.Hash {
			continue // then it acknowledges nothing
		}
		for line := range strings.SplitSeq(c.Statement, "\n") {
			known[line] = true
		}
	}
	for i := range findings {
		if f := &findings[i]; f.firm || !known[f.line()] {
			return f, nil
		}
	}
	return nil, nil
}
