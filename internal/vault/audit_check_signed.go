package vault

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
)

func (c *trailCheck) checkpoint(p *Checkpoint) {
	c.sum.Checkpoints++
	if c.lowest == nil || p.Number < c.lowest.Number {
		c.lowest = p
	}
	good := c.signature(p)
	c.link(p, !good)
	if c.noted != nil && c.noted.Number == p.Number {
		if c.anchored = c.noted.Hash == p.Digest(); !c.anchored {
			c.anchored = true
			f := findingOf(p, Digest{}, "it is another one than was noted")
			f.firm = true
			c.found(f)
		}
	}
	if !good {
		return
	}
	switch p.Kind {
	case CheckpointPruned:
		c.prune(p)
		return
	case CheckpointAcknowledged:
		c.acknowledge(p)
		return
	}
	h := c.chain(p.Writer)
	if p.Kind == CheckpointDropped {
		c.dropped(h, p)
		return
	}
	if p.Kind == CheckpointClosed {
		h.closed = p.Seq
	}
	switch {
	case h.Seq < p.Seq: // it is missing, unless it was dropped
		if h.missed == nil || h.missed.Seq <= p.Seq {
			h.missed = p
		}
	case h.Seq > p.Seq || h.EntryID != p.EntryID:
		c.found(findingOf(p, h.Hash, "its entry is not where it was"))
	case h.Hash != p.Hash && h.computed != p.Hash:
		f := findingOf(p, h.Hash, "its entry has another hash: an entry of the chain up to there was changed, and those after it were made to follow")
		f.Good = h.stated
		c.found(f)
	default:
		h.stated = p.Seq
	}
}

// signature reports whether what a checkpoint says may be believed. That of a key
// that is not known may, until the end shows that nobody vouches for it.
func (c *trailCheck) signature(p *Checkpoint) bool {
	digest := p.Digest()
	key, known := c.keys.public[p.Key]
	switch {
	case !known:
		c.unknown = max(c.unknown, p.Number)
		if c.keepStrangers {
			c.strangers = append(c.strangers, *p)
		}
	case !ed25519.Verify(key, digest[:], p.Signature):
		c.of(p, "its signature is wrong: it was changed")
		c.breaks = append(c.breaks, p.Number)
		return false
	default:
		c.trusted = max(c.trusted, p.Number)
	}
	if p.Number >= c.sum.Newest.Number {
		c.sum.Newest = Anchor{p.Number, digest}
	}
	return true
}

// link compares a checkpoint with the one before it and the one after it, if they
// have come already.
func (c *trailCheck) link(p *Checkpoint, flawed bool) {
	mine := signed{p.Digest(), flawed}
	if next := c.wanted[p.Number]; next != nil {
		c.linked(next, mine)
		delete(c.wanted, p.Number)
	} else {
		if other, twice := c.numbers[p.Number]; twice {
			c.found(findingOf(p, other.Digest, "there are two of its number"))
			c.breaks = append(c.breaks, p.Number)
		}
		c.numbers[p.Number] = mine
	}
	prev, seen := c.numbers[p.Number-1]
	switch {
	case p.Number == 1:
		c.linked(p, signed{})
	case seen:
		c.linked(p, prev)
		delete(c.numbers, p.Number-1)
	default:
		c.wanted[p.Number-1] = p
	}
}

func (c *trailCheck) linked(p *Checkpoint, prev signed) {
	if p.Prev != prev.Digest && !prev.flawed {
		c.found(findingOf(p, prev.Digest, "the checkpoint before it is another one than when it was signed"))
		c.breaks = append(c.breaks, p.Number)
	}
}

// prune takes in what a checkpoint says of those that are gone. It comes after the
// entries that it says are gone too.
func (c *trailCheck) prune(p *Checkpoint) {
	if c.pruned != nil && c.pruned.Number > p.Number {
		return
	}
	c.pruned = p
	if e := c.first; e != nil && e.ID < p.EntryID {
		c.found(findingAt(e, Digest{}, "all entries before that time were dropped, says checkpoint %d, and yet it is there", p.Number))
	}
}

func (c *trailCheck) dropped(h *chainCheck, p *Checkpoint) {
	if h.entries > 0 {
		c.at(h, h.first, "all up to number %d of its chain were dropped, says checkpoint %d, and yet it is there", p.Seq, p.Number)
	}
	c.sum.Dropped += p.Count
	h.goOn(p)
	if h.missed != nil && h.missed.Seq <= p.Seq {
		h.missed = nil
	}
}

// end says what is missing at the ends.
func (c *trailCheck) end() {
	for _, h := range c.order {
		c.endOf(h)
		if h.closed == 0 {
			c.sum.Open++
		}
		c.sum.Tail += max(0, h.Seq-h.stated)
	}
	c.sum.Chains = len(c.order)
	c.begin()
	c.endOfCheckpoints()
	if c.noted != nil && !c.anchored {
		c.found(Finding{What: "it was noted and is not there: the end of the trail was cut off", Checkpoint: c.noted.Number, firm: true})
	}
}

// endOf says what is missing at the end of a chain.
func (c *trailCheck) endOf(h *chainCheck) {
	if h.missed != nil {
		c.found(cutOff(h.missed, h.ChainHead))
	}
	// One of a key that was retired is as good as the checkpoint that stands for it.
	if h.unsure() {
		c.endOfRun(h)
	}
}

// unstated are the ends of chains that are proven, and that no checkpoint stands for.
func (c *trailCheck) unstated() (ends []ChainHead) {
	for _, h := range c.order {
		if h.Seq > h.stated && h.shown == h.Seq {
			ends = append(ends, h.ChainHead)
		}
	}
	return ends
}

// unsure is that nothing stands for the last entries that are not proven.
func (h *chainCheck) unsure() bool {
	return h.unproven != nil && (h.key > 0 || h.stated < h.unproven.Seq)
}

// begin compares the first checkpoint that is to be there with what was dropped
// before it.
func (c *trailCheck) begin() {
	p := c.pruned
	if p == nil {
		return
	}
	c.sum.Pruned = p.Seq
	c.sum.Dropped += p.Count
	if next := c.wanted[p.Seq]; next != nil {
		c.linked(next, signed{Digest: p.Hash})
		delete(c.wanted, p.Seq)
	}
	if c.lowest.Number <= p.Seq {
		f := findingOf(c.lowest, Digest{}, "it was dropped, says checkpoint %d, and yet it is there: delete it", p.Number)
		f.firm = true // or others could come beside it
		c.found(f)
	}
	if c.noted == nil || c.noted.Number > p.Seq || c.anchored {
		return
	}
	c.anchored = true
	switch {
	case c.noted.Number < p.Seq:
		c.found(Finding{
			What:       fmt.Sprintf("it was noted and was dropped since, being past its retention, says checkpoint %d: whether the trail had it nobody can tell any more; note a newer one", p.Number),
			Checkpoint: c.noted.Number, firm: true,
		})
	case c.noted.Hash != p.Hash:
		c.found(Finding{What: fmt.Sprintf("it was dropped, says checkpoint %d, and was another one than was noted", p.Number), Checkpoint: c.noted.Number, firm: true})
	}
}

func (c *trailCheck) endOfCheckpoints() {
	lasts := slices.Sorted(maps.Keys(c.numbers)) // of each unbroken run, the highest last
	gaps := slices.SortedFunc(maps.Values(c.wanted), func(a, b *Checkpoint) int { return cmp.Compare(a.Number, b.Number) })
	var last Digest
	if c.pruned != nil {
		last = c.pruned.Hash
	}
	from := c.sum.Pruned + 1
	gaps = slices.DeleteFunc(gaps, func(next *Checkpoint) bool { return next.Number <= from })
	for _, next := range gaps {
		for len(lasts) > 0 && lasts[0] < next.Number {
			if lasts[0] >= from {
				from, last = lasts[0]+1, c.numbers[lasts[0]].Digest
			}
			lasts = lasts[1:]
		}
		c.gap(next, from, last)
	}
	if c.unknown > c.trusted {
		c.found(Finding{
			What:       "it was signed with a key that is not of this keyset, and no later checkpoint vouches for it",
			Checkpoint: c.unknown, firm: true,
		})
	}
}

// gap is that those before a checkpoint are missing, from a number on; last is the
// hash of the one before that.
func (c *trailCheck) gap(next *Checkpoint, from int64, last Digest) {
	what := fmt.Sprintf("checkpoints %d to %d are missing before it", from, next.Number-1)
	if from == next.Number-1 {
		what = fmt.Sprintf("checkpoint %d is missing before it", from)
	}
	c.found(findingOf(next, last, "%s", what))
	c.breaks = append(c.breaks, next.Number)
}
