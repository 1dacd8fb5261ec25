package vault

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
)

// VerifyTrail looks at the whole trail and tells found of each thing that is
// wrong. It keeps what it has to know of each chain in memory, and no entries. An
// error is that the trail could not be read.
func VerifyTrail(trail Trail, keys TrailKeys, noted *Anchor, found func(Finding)) (TrailSummary, error) {
	c := newTrailCheck(keys, found)
	c.noted = noted
	for item, err := range trail {
		switch {
		case err != nil:
			return c.sum, err
		case item.Entry != nil:
			c.entry(*item.Entry)
		default:
			c.checkpoint(item.Checkpoint)
		}
	}
	c.end()
	return c.sum, nil
}

func newTrailCheck(keys TrailKeys, found func(Finding)) *trailCheck {
	c := &trailCheck{keys: keys, chains: map[string]*chainCheck{}, numbers: map[int64]signed{}, wanted: map[int64]*Checkpoint{}}
	c.found = func(f Finding) {
		c.sum.Findings++
		found(f)
	}
	return c
}

// trailCheck is a trail up to some place.
type trailCheck struct {
	keys  TrailKeys
	noted *Anchor
	found func(Finding)
	sum   TrailSummary

	chains map[string]*chainCheck
	order  []*chainCheck

	// Checkpoints do not come by number. In numbers are those whose successor
	// has not come yet, and in wanted are by number those that nobody has seen but
	// their successor, which is what is kept.
	numbers map[int64]signed
	wanted  map[int64]*Checkpoint
	// trusted and unknown are the highest numbers with a signature that is good,
	// and with one of a key that is not known.
	trusted, unknown int64
	anchored         bool
	// pruned says best which checkpoints are gone, and lowest is the first of those
	// that are there.
	pruned, lowest *Checkpoint
	first          *AuditEntry
}

type signed struct {
	Digest
	flawed bool // and said so
}

// chainCheck is one chain up to some place.
type chainCheck struct {
	ChainHead
	// computed is what the hash of the last entry ought to be, where it is not
	// what it is.
	computed Digest
	entries  int64 // seen
	first    *AuditEntry
	stated   int64 // up to where a checkpoint states what it is, or that it was dropped
	closed   int64 // its last entry, as a checkpoint says
	// missed is the checkpoint of an entry that has not come.
	missed *Checkpoint
	// key is what proves its entries, from 1; 0 while none does.
	key      int
	unproven *AuditEntry // the first of them
}

func (c *trailCheck) chain(writer string) *chainCheck {
	chain := c.chains[writer]
	if chain == nil {
		chain = &chainCheck{ChainHead: ChainHead{Writer: writer}}
		c.chains[writer] = chain
		c.order = append(c.order, chain)
	}
	return chain
}

// goOn is a chain from the entry on that a checkpoint is about.
func (h *chainCheck) goOn(p *Checkpoint) {
	h.ChainHead, h.computed = ChainHead{Writer: p.Writer, Seq: p.Seq, EntryID: p.EntryID, Hash: p.Hash}, p.Hash
	h.stated = max(h.stated, p.Seq)
	if p.Kind == CheckpointClosed {
		h.closed = p.Seq
	}
}

func (c *trailCheck) at(e *AuditEntry, format string, args ...any) {
	c.found(Finding{What: fmt.Sprintf(format, args...), EntryID: e.ID, Writer: e.Writer, Seq: e.Seq, At: e.At})
}

func (c *trailCheck) of(p *Checkpoint, format string, args ...any) {
	c.found(Finding{What: fmt.Sprintf(format, args...), Checkpoint: p.Number, EntryID: p.EntryID, Writer: p.Writer, Seq: p.Seq, At: p.At})
}

// follows reports whether e comes right after the last entry of the chain, if it
// had this number.
func (h *chainCheck) follows(e AuditEntry, seq int64) bool {
	e.Seq = seq
	return e.Follows(h.Hash) || h.computed != h.Hash && e.Follows(h.computed)
}

func (c *trailCheck) entry(e AuditEntry) {
	if c.sum.Entries++; c.first == nil {
		c.first = &e
	}
	h := c.chain(e.Writer)
	if h.entries++; h.entries == 1 {
		h.first = &e
	}
	if h.closed > 0 && e.Seq > h.closed {
		c.at(&e, "it comes after the end of its chain, which was closed at number %d", h.closed)
	}
	want := h.Seq + 1
	switch fits := h.follows(e, want); {
	case e.Seq == want && fits:
		c.proof(h, &e)
	case e.Seq == want:
		c.at(&e, "it was changed: its hash is another one")
	case fits:
		c.at(&e, "its number was changed: it is number %d of its chain", want)
		e.Seq = want
	case e.Seq > want:
		after := "the beginning"
		if h.EntryID != "" {
			after = "entry " + h.EntryID
		}
		c.at(&e, "%s missing before it, after %s", some(e.Seq-want), after)
	default:
		c.at(&e, "it is out of place: number %d of its chain came before it", h.Seq)
		return
	}
	if p := h.missed; p != nil && p.Seq <= e.Seq {
		if p.Seq == e.Seq || p.Seq < want { // else it is among those that are missing
			c.of(p, "its entry is not where it was")
		}
		h.missed = nil
	}
	h.computed = e.digest(h.Hash)
	h.Seq, h.Hash, h.EntryID = e.Seq, e.Hash, e.ID
}

func some(n int64) string {
	if n == 1 {
		return "1 entry is"
	}
	return fmt.Sprintf("%d entries are", n)
}

// proof looks for the key that proves an entry. It is one for all of a chain: that
// of the process that wrote it.
func (c *trailCheck) proof(h *chainCheck, e *AuditEntry) {
	if len(c.keys.proofs) == 0 {
		return
	}
	if h.key > 0 {
		if proofWith(c.keys.proofs[h.key-1], e.Hash) != e.Proof {
			c.at(e, "its proof is wrong: no process with the keyset wrote it so")
		}
		return
	}
	for i, key := range c.keys.proofs {
		if proofWith(key, e.Hash) != e.Proof {
			continue
		}
		h.key = i + 1
		if h.unproven != nil {
			c.at(h.unproven, "its proof is wrong: no process with the keyset wrote it so")
			h.unproven = nil
		}
		return
	}
	if h.unproven == nil {
		h.unproven = e
	}
}

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
			c.of(p, "it is another one than was noted")
		}
	}
	if !good {
		return
	}
	if p.Kind == CheckpointPruned {
		c.prune(p)
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
		if h.missed == nil || h.missed.Seq < p.Seq {
			h.missed = p
		}
	case h.Seq > p.Seq || h.EntryID != p.EntryID:
		c.of(p, "its entry is not where it was")
	case h.Hash != p.Hash && h.computed != p.Hash:
		c.of(p, "its entry has another hash: of entries %d to %d of the chain one was changed, and those after it were made to follow", h.stated+1, p.Seq)
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
	case !ed25519.Verify(key, digest[:], p.Signature):
		c.of(p, "its signature is wrong: it was changed")
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
		if _, twice := c.numbers[p.Number]; twice {
			c.of(p, "there are two of its number")
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
		c.of(p, "the checkpoint before it is another one than when it was signed")
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
		c.at(e, "all entries before that time were dropped, says checkpoint %d, and yet it is there", p.Number)
	}
}

func (c *trailCheck) dropped(h *chainCheck, p *Checkpoint) {
	if h.entries > 0 {
		c.at(h.first, "all up to number %d of its chain were dropped, says checkpoint %d, and yet it is there", p.Seq, p.Number)
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
		if h.missed != nil {
			c.of(h.missed, "the end of the chain was cut off: %s missing, up to this one", some(h.missed.Seq-h.Seq))
		}
		if e := h.unproven; e != nil && h.stated < h.Seq {
			c.at(e, "no key of the keyset proves it or those after it in its chain, and no checkpoint stands for them")
		}
		if h.closed == 0 {
			c.sum.Open++
		}
		c.sum.Tail += max(0, h.Seq-h.stated)
	}
	c.sum.Chains = len(c.order)
	c.begin()
	c.endOfCheckpoints()
	if c.noted != nil && !c.anchored {
		c.found(Finding{What: "it was noted and is not there: the end of the trail was cut off", Checkpoint: c.noted.Number})
	}
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
		c.of(c.lowest, "it was dropped, says checkpoint %d, and yet it is there", p.Number)
	}
	if c.noted == nil || c.noted.Number > p.Seq || c.anchored {
		return
	}
	c.anchored = true
	switch {
	case c.noted.Number < p.Seq:
		c.found(Finding{
			What:       fmt.Sprintf("it was noted and was dropped since, being past its retention, says checkpoint %d: whether the trail had it nobody can tell any more; note a newer one", p.Number),
			Checkpoint: c.noted.Number,
		})
	case c.noted.Hash != p.Hash:
		c.found(Finding{What: fmt.Sprintf("it was dropped, says checkpoint %d, and was another one than was noted", p.Number), Checkpoint: c.noted.Number})
	}
}

func (c *trailCheck) endOfCheckpoints() {
	lasts := slices.Sorted(maps.Keys(c.numbers)) // of each unbroken run, the highest last
	gaps := slices.SortedFunc(maps.Values(c.wanted), func(a, b *Checkpoint) int { return cmp.Compare(a.Number, b.Number) })
	from := c.sum.Pruned + 1
	gaps = slices.DeleteFunc(gaps, func(next *Checkpoint) bool { return next.Number <= from })
	for _, next := range gaps {
		for len(lasts) > 0 && lasts[0] < next.Number {
			from = max(from, lasts[0]+1)
			lasts = lasts[1:]
		}
		what := fmt.Sprintf("checkpoints %d to %d are missing before it", from, next.Number-1)
		if from == next.Number-1 {
			what = fmt.Sprintf("checkpoint %d is missing before it", from)
		}
		c.of(next, "%s", what)
	}
	if c.unknown > c.trusted {
		c.found(Finding{
			What:       "it was signed with a key that is not of this keyset, and no later checkpoint vouches for it",
			Checkpoint: c.unknown,
		})
	}
}
