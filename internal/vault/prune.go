package vault

import (
	"context"
	"errors"
	"fmt"
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
	return fmt.Errorf("the trail is not as it was written and nothing is dropped; run `claviger audit verify`: %s", f)
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

	// over is how many checkpoints may go, and upTo the last of them.
	over int
	upTo Anchor
	// count is how many entries were dropped, as they say and those that are gone
	// already.
	count int64
}

// look finds out what may go. It fails where something is not as it was signed.
func (p *pruning) look(ctx context.Context, keys *trailKeys) error {
	pruned, err := p.store.LastPruned(ctx)
	if err != nil {
		return err
	}
	if pruned != nil {
		if err := p.vouched(ctx, keys, *pruned); err != nil {
			return err
		}
		p.upTo, p.count = Anchor{pruned.Seq, pruned.Hash}, pruned.Count
	}
	page, err := p.store.CheckpointsAfter(ctx, p.upTo.Number, pruneAtOnce+1)
	if err != nil {
		return err
	}
	if err := p.page(ctx, keys.known(), page); err != nil || p.over == 0 {
		return err
	}
	return p.vouched(ctx, keys, page[p.over-1])
}

// page goes on while checkpoints are over. The one after the last that may go is
// there to have its link looked at.
func (p *pruning) page(ctx context.Context, known TrailKeys, page []Checkpoint) error {
	var broken *Finding
	check := newTrailCheck(known, func(f Finding) {
		if broken == nil {
			broken = &f
		}
	})
	prev, count := p.upTo, p.count
	for i := range page {
		c := &page[i]
		check.signature(c)
		if c.Number != prev.Number+1 || c.Prev != prev.Hash {
			check.of(c, "the checkpoint before it is another one than when it was signed, or is missing")
		}
		if broken != nil {
			return brokenTrail(*broken)
		}
		p.over, p.upTo, p.count = i, prev, count
		if i == pruneAtOnce {
			return nil
		}
		if over, err := p.isOver(ctx, c); err != nil || !over {
			return err
		}
		if prev = (Anchor{c.Number, c.Digest()}); c.Kind == CheckpointDropped {
			count += c.Count
		}
	}
	return nil
}

func (p *pruning) isOver(ctx context.Context, c *Checkpoint) (bool, error) {
	if !c.At.Before(p.before) || c.EntryID >= p.end {
		return false, nil
	}
	if c.Kind == CheckpointPruned {
		return true, nil // the next one says more
	}
	dropped, seen := p.dropped[c.Writer]
	if !seen {
		var err error
		if dropped, err = p.store.LastDropped(ctx, c.Writer); err != nil {
			return false, err
		}
		p.dropped[c.Writer] = dropped
	}
	var upTo, number int64
	if dropped != nil {
		upTo, number = dropped.Seq, dropped.Number
	}
	if c.Kind == CheckpointDropped && c.Number < number || c.Kind != CheckpointDropped && c.Seq <= upTo {
		return true, nil
	}
	left, err := p.store.ChainEntries(ctx, c.Writer, upTo, 1)
	switch {
	case err != nil:
		return false, err
	case len(left) > 0:
		return false, nil
	case c.Kind == CheckpointDropped:
		return true, nil // nobody goes on with a chain that has rested for so long
	}
	return false, brokenTrail(Finding{
		What:       fmt.Sprintf("the end of the chain was cut off: %s missing, up to this one", some(c.Seq-upTo)),
		Checkpoint: c.Number, Writer: c.Writer, Seq: c.Seq, EntryID: c.EntryID, At: c.At,
	})
}
