package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// pruneFrom is how many checkpoints have to be over before they are dropped:
	// fewer are not worth the one that says so.
	pruneFrom   = 100
	pruneAtOnce = 1000
	// pruneRounds is how many times that are dropped in a row.
	pruneRounds = 10
)

// prune drops the checkpoints that were signed before a time and state nothing
// any more that is needed, all entries before end being dropped. They go from
// the first on, so that what is left is one chain that begins with a signed number
// and hash.
func (v *Vault) prune(ctx context.Context, end string, before time.Time) error {
	for range pruneRounds {
		n, err := v.pruneSome(ctx, end, before)
		if errors.Is(err, ErrDuplicate) {
			return nil // as when entries are dropped
		}
		if err != nil {
			return fmt.Errorf("dropping audit checkpoints past their retention: %w", err)
		}
		if n < pruneAtOnce {
			return nil
		}
	}
	return nil
}

func (v *Vault) pruneSome(ctx context.Context, end string, before time.Time) (int, error) {
	keys, err := v.trail()
	if err != nil {
		return 0, err
	}
	last, err := v.lastCheckpoint(ctx, keys)
	if err != nil || last == nil {
		return 0, err
	}
	p := pruning{Vault: v, end: end, before: before, dropped: map[string]*Checkpoint{}}
	if err := p.look(ctx, keys); err != nil {
		return 0, v.unlessOvertaken(ctx, last, err)
	}
	if p.over < pruneFrom {
		return 0, nil
	}
	place := ChainHead{Seq: p.upTo.Number, EntryID: end, Hash: p.upTo.Hash}
	statement := nextCheckpoint(last, CheckpointPruned, place, p.count, v.now(), keys.signers[0])
	return p.over, v.store.DropCheckpoints(ctx, p.upTo.Number, p.over, statement)
}

// brokenTrail is why nothing is dropped.
func brokenTrail(f Finding) error {
	return fmt.Errorf("the trail is not as it was written and nothing is dropped until somebody has looked into it: run `claviger audit verify`, then `audit acknowledge`: %s", f)
}

// followUp goes on from checkpoints, by number, up to one behind each that was signed
// with a key of the keyset, and tells found what a verification would find on the
// way: what it believes of a key that is not known hangs on that.
func (v *Vault) followUp(ctx context.Context, keys *trailKeys, from []Checkpoint, found func(Finding)) error {
	slices.SortFunc(from, func(a, b Checkpoint) int { return cmp.Compare(a.Number, b.Number) })
	check := newTrailCheck(keys.known(), found)
	passed := func(c *Checkpoint, digest Digest) {
		for ; len(from) > 0 && from[0].Number <= c.Number; from = from[1:] {
			if from[0].Digest() != digest {
				found(Finding{What: "there are two of its number, or it was changed meanwhile", Checkpoint: from[0].Number, firm: true})
			}
		}
	}
	for len(from) > 0 {
		c := from[0]
		prev := signed{c.Digest(), !check.signature(&c)}
		passed(&c, prev.Digest)
		for !keys.signed(&c) {
			page, err := v.store.CheckpointsAfter(ctx, c.Number, trailPage)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				found(Finding{What: "no checkpoint that was signed with a key of the keyset vouches for it", Checkpoint: c.Number, firm: true})
				return nil
			}
			for _, next := range page {
				good := check.signature(&next)
				if next.Number > c.Number+1 {
					check.gap(&next, c.Number+1, prev.Digest)
				} else {
					check.linked(&next, prev)
				}
				c, prev = next, signed{next.Digest(), !good}
				if passed(&c, prev.Digest); keys.signed(&c) {
					break
				}
			}
		}
	}
	return nil
}

// vouched fails where a checkpoint was not signed with a key of the keyset, and does
// not come right before others up to one that was. Those of a key that was
// retired take the longer way.
func (v *Vault) vouched(ctx context.Context, keys *trailKeys, c Checkpoint) error {
	if keys.signed(&c) {
		return nil
	}
	number := c.Number
	for {
		page, err := v.store.CheckpointsAfter(ctx, c.Number, trailPage)
		if err != nil {
			return err
		}
		for _, next := range page {
			if next.Number != c.Number+1 || next.Prev != c.Digest() {
				break
			}
			if c = next; keys.signed(&c) {
				return nil
			}
		}
		if len(page) == 0 || c.Number != page[len(page)-1].Number {
			return brokenTrail(Finding{What: "no checkpoint that was signed with a key of the keyset vouches for it", Checkpoint: number})
		}
	}
}

// pruning looks at the oldest checkpoints.
type pruning struct {
	*Vault

	end    string
	before time.Time
	// dropped is the last statement on what of a chain was dropped, by chain.
	dropped map[string]*Checkpoint
	// believed hang on what comes after them, if their keys are not known.
	believed []Checkpoint

	// over is how many checkpoints may go, and upTo the last of them.
	over int
	upTo Anchor
	// count is how many entries were dropped, as they say and those that are gone
	// already.
	count int64
}

// look finds out what may go. It fails where something is not as it was signed, and
// nobody has acknowledged it.
func (p *pruning) look(ctx context.Context, keys *trailKeys) error {
	pruned, err := p.store.LastOfKind(ctx, "", CheckpointPruned)
	if err != nil {
		return err
	}
	if pruned != nil {
		p.believed = append(p.believed, *pruned)
		p.upTo, p.count = Anchor{pruned.Seq, pruned.Hash}, pruned.Count
	}
	page, err := p.store.CheckpointsAfter(ctx, p.upTo.Number, pruneAtOnce+1)
	if err != nil {
		return err
	}
	flawed, err := p.page(ctx, keys, page)
	if err != nil || p.over < pruneFrom {
		return err
	}
	if !flawed && !keys.signed(&page[p.over-1]) {
		p.believed = append(p.believed, page[p.over])
	}
	var findings []Finding
	if err := p.followUp(ctx, keys, p.believed, func(f Finding) { findings = append(findings, f) }); err != nil {
		return err
	}
	return p.refuse(ctx, keys, findings)
}

// page goes on while checkpoints are over. The one after the last that may go is
// there to have its link looked at. It reports whether that last one is flawed, and
// known to be.
func (p *pruning) page(ctx context.Context, keys *trailKeys, page []Checkpoint) (bool, error) {
	var findings []Finding
	check := newTrailCheck(keys.known(), func(f Finding) { findings = append(findings, f) })
	prev, count := signed{Digest: p.upTo.Hash}, p.count
	for i := range page {
		c := &page[i]
		good := check.signature(c)
		before := Anchor{c.Number - 1, c.Prev}
		switch {
		case i > 0 && c.Number > page[i-1].Number+1, i == 0 && c.Number > p.upTo.Number+1:
			before = p.upTo
			if i > 0 {
				before = Anchor{page[i-1].Number, prev.Digest}
			}
			check.gap(c, before.Number+1, prev.Digest)
		default:
			check.linked(c, prev)
		}
		if err := p.refuse(ctx, keys, findings); err != nil {
			return false, err
		}
		findings = nil
		p.over, p.upTo, p.count = i, before, count
		if i == pruneAtOnce {
			return prev.flawed, nil
		}
		if good { // else nothing that it says counts
			if over, err := p.isOver(ctx, keys, c); err != nil || !over {
				return prev.flawed, err
			}
		}
		prev = signed{c.Digest(), !good}
		if c.Kind == CheckpointDropped && good {
			count += c.Count
		}
	}
	return prev.flawed, nil
}

// refuse fails with the first of some findings that nobody has acknowledged.
func (p *pruning) refuse(ctx context.Context, keys *trailKeys, findings []Finding) error {
	unknown, err := p.unknown(ctx, keys, findings)
	if err == nil && unknown != nil {
		err = brokenTrail(*unknown)
	}
	return err
}

func (p *pruning) isOver(ctx context.Context, keys *trailKeys, c *Checkpoint) (bool, error) {
	if !c.At.Before(p.before) || c.EntryID >= p.end {
		return false, nil
	}
	if c.Writer == "" {
		return true, nil // the next one says more, or what was known is gone
	}
	dropped, seen := p.dropped[c.Writer]
	if !seen {
		var err error
		if dropped, err = p.store.LastOfKind(ctx, c.Writer, CheckpointDropped); err != nil {
			return false, err
		}
		if p.dropped[c.Writer] = dropped; dropped != nil {
			p.believed = append(p.believed, *dropped)
		}
	}
	var number int64
	begin := ChainHead{Writer: c.Writer}
	if dropped != nil {
		number = dropped.Number
		begin.Seq, begin.Hash = dropped.Seq, dropped.Hash
	}
	if c.Kind == CheckpointDropped && c.Number < number || c.Kind != CheckpointDropped && c.Seq <= begin.Seq {
		return true, nil
	}
	left, err := p.store.ChainEntries(ctx, c.Writer, begin.Seq, 1)
	switch {
	case err != nil:
		return false, err
	case len(left) > 0:
		return false, nil
	case c.Kind == CheckpointDropped:
		return true, nil // nobody goes on with a chain that has rested for so long
	}
	stated, err := p.store.LastStated(ctx, c.Writer)
	if err != nil || stated == nil {
		return false, err
	}
	return true, p.refuse(ctx, keys, []Finding{cutOff(stated, begin)})
}
