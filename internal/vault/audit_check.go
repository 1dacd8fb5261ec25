package vault

// VerifyTrail looks at the whole trail and tells found of each thing that is
// wrong, once all was looked at. It keeps what it has to know of each chain in
// memory, and no entries. An error is that the trail could not be read.
func VerifyTrail(trail Trail, keys TrailKeys, noted *Anchor, found func(Finding)) (TrailSummary, error) {
	c, err := verifyTrail(trail, keys, noted, found)
	return c.sum, err
}

func verifyTrail(trail Trail, keys TrailKeys, noted *Anchor, found func(Finding)) (*trailCheck, error) {
	var kept []Finding
	c := newTrailCheck(keys, func(f Finding) {
		if len(kept) < mostFindings {
			kept = append(kept, f)
			return
		}
		found(f)
	})
	c.noted = noted
	for item, err := range trail {
		switch {
		case err != nil:
			return c, err
		case item.Entry != nil:
			c.entry(*item.Entry)
		default:
			c.checkpoint(item.Checkpoint)
		}
	}
	c.end()
	known := c.known()
	var unknown []Finding
	for _, f := range kept {
		if f.Known = known[f.line()]; f.Known > 0 {
			c.sum.Known++
			c.sum.Findings--
		} else {
			unknown = append(unknown, f)
		}
		found(f)
	}
	c.sum.Report = reportOf(unknown)
	return c, nil
}

// mostFindings is how many findings wait for the end, where it is clear which are
// known. No more than that can be acknowledged.
const mostFindings = 10_000

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
	acknowledged   []acknowledgement
	breaks         []int64 // numbers where the checkpoints are no chain
	// strangers are those signed with keys that are not known, where they are kept.
	strangers     []Checkpoint
	keepStrangers bool
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
	unproven *AuditEntry // the last of some in a row
	proven   int64       // the number before those
	shown    int64       // its last entry that is proven
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

// at is a finding at an entry that comes after the last one of its chain so far.
func (c *trailCheck) at(h *chainCheck, e *AuditEntry, format string, args ...any) {
	c.found(findingAt(e, h.Hash, format, args...))
}

func (c *trailCheck) of(p *Checkpoint, format string, args ...any) {
	c.found(findingOf(p, Digest{}, format, args...))
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
		c.at(h, &e, "it comes after the end of its chain, which was closed at number %d", h.closed)
	}
	want := h.Seq + 1
	switch fits := h.follows(e, want); {
	case e.Seq == want && fits:
		c.proof(h, &e)
	case e.Seq == want:
		c.at(h, &e, "it was changed: its hash is another one")
	case fits:
		c.at(h, &e, "its number was changed: it is number %d of its chain", want)
		e.Seq = want
	case e.Seq > want:
		after := "the beginning"
		if h.EntryID != "" {
			after = "entry " + h.EntryID
		}
		c.at(h, &e, "%s missing before it, after %s", some(e.Seq-want), after)
	default:
		c.at(h, &e, "it is out of place: number %d of its chain came before it", h.Seq)
		return
	}
	if p := h.missed; p != nil && p.Seq <= e.Seq {
		if p.Seq == e.Seq || p.Seq < want { // else it is among those that are missing
			c.found(findingOf(p, h.Hash, "its entry is not where it was"))
		}
		h.missed = nil
	}
	h.computed = e.digest(h.Hash)
	h.Seq, h.Hash, h.EntryID = e.Seq, e.Hash, e.ID
}

// proof looks for the key that proves an entry. It is one for all of a chain: that
// of the process that wrote it.
func (c *trailCheck) proof(h *chainCheck, e *AuditEntry) {
	if len(c.keys.proofs) == 0 {
		return
	}
	if h.key > 0 && proofWith(c.keys.proofs[h.key-1], e.Hash) == e.Proof {
		h.shown = e.Seq
		c.endOfRun(h)
		return
	}
	if h.key == 0 {
		for i, key := range c.keys.proofs {
			if proofWith(key, e.Hash) == e.Proof {
				h.key, h.shown = i+1, e.Seq
				c.endOfRun(h)
				return
			}
		}
	}
	if h.unproven == nil {
		h.proven = e.Seq - 1
	}
	h.unproven = e
}

// endOfRun says that some entries are not proven, at the last of them: its hash is
// over all of them.
func (c *trailCheck) endOfRun(h *chainCheck) {
	if e := h.unproven; e != nil {
		f := findingAt(e, Digest{}, "its proof is wrong: no key of the keyset proves it, nor those right before it that are not proven")
		f.Good = h.proven
		c.found(f)
	}
	h.unproven = nil
}
