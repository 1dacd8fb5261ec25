package vault

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// beginning is what is left of a chain at its beginning, and to be dropped.
type beginning struct {
	ChainHead
	count int64
}

// beginnings looks at the oldest entries of the trail as a verification of all of it
// would, and answers how far they go in each chain and what is wrong. For that it may
// have to read on in a chain.
func (v *Vault) beginnings(ctx context.Context, keys *trailKeys, entries []AuditEntry) (chains []beginning, findings []Finding, err error) {
	found := func(f Finding) { findings = append(findings, f) }
	c := newTrailCheck(keys.known(), found)
	c.keepStrangers = true
	counts := map[string]int64{}
	for i := range entries {
		counts[entries[i].Writer]++
	}
	last := entries[len(entries)-1].ID
	stated, err := v.statedOf(ctx, counts, entries[0].ID, last)
	if err != nil {
		return nil, nil, err
	}
	for i := range entries {
		for len(stated) > 0 && stated[0].EntryID < entries[i].ID {
			c.checkpoint(&stated[0])
			stated = stated[1:]
		}
		c.entry(entries[i])
	}
	for i := range stated {
		c.checkpoint(&stated[i])
	}
	for _, h := range c.order {
		if counts[h.Writer] == 0 {
			continue
		}
		head, err := v.goesOn(ctx, h)
		if err != nil {
			return nil, nil, err
		}
		chains = append(chains, beginning{head, counts[h.Writer]})
		if err := v.readOn(ctx, c, h, last); err != nil {
			return nil, nil, err
		}
	}
	err = v.followUp(ctx, keys, c.strangers, found)
	return chains, findings, err
}

// statedOf are the checkpoints about entries from one to another, and what was
// stated before of chains that have some of those.
func (v *Vault) statedOf(ctx context.Context, writers map[string]int64, first, last string) ([]Checkpoint, error) {
	stated, err := v.store.CheckpointsBetween(ctx, first, last)
	if err != nil {
		return nil, err
	}
	for writer := range writers {
		for _, kind := range []CheckpointKind{CheckpointDropped, CheckpointClosed} {
			c, err := v.store.LastOfKind(ctx, writer, kind)
			if err != nil {
				return nil, err
			}
			if c != nil && (c.EntryID < first || c.EntryID > last && kind == CheckpointDropped) {
				stated = append(stated, *c)
			}
		}
	}
	slices.SortFunc(stated, func(a, b Checkpoint) int {
		return cmp.Or(cmp.Compare(a.EntryID, b.EntryID), cmp.Compare(a.Number, b.Number))
	})
	return stated, nil
}

// goesOn is the head of a chain as its next entry has it. It matters where the last
// one was changed: either what it says, or its hash.
func (v *Vault) goesOn(ctx context.Context, h *chainCheck) (ChainHead, error) {
	head := h.ChainHead
	if h.computed == h.Hash {
		return head, nil
	}
	next, err := v.store.ChainEntries(ctx, h.Writer, h.Seq, 1)
	if err == nil && len(next) == 1 && next[0].Follows(h.computed) {
		head.Hash = h.computed
	}
	return head, err
}

// readOnMost is how many entries of a chain are read to find out about some of them.
const readOnMost = 1_000_000

// readOn reads a chain, all of which was looked at up to an id, until it is clear what
// is missing in it, or who proves it.
func (v *Vault) readOn(ctx context.Context, c *trailCheck, h *chainCheck, last string) error {
	open := func() bool { return h.missed != nil || h.unsure() }
	var stated []Checkpoint
	for read := 0; open(); {
		if read >= readOnMost {
			return fmt.Errorf("no checkpoint stands for any of %d entries of %s from number %d on", read, h.Writer, h.Seq-int64(read))
		}
		page, err := v.store.ChainEntries(ctx, h.Writer, h.Seq, trailPage)
		if err != nil {
			return err
		}
		if read == 0 {
			if stated, err = v.store.StatedAfter(ctx, h.Writer, h.Seq, trailPage); err != nil {
				return err
			}
			stated = slices.DeleteFunc(stated, func(p Checkpoint) bool { return p.EntryID <= last })
		}
		for i := range page {
			for open() && len(stated) > 0 && stated[0].Seq < page[i].Seq {
				c.checkpoint(&stated[0])
				stated = stated[1:]
			}
			if !open() {
				return nil
			}
			read++
			c.entry(page[i])
		}
		if len(page) < trailPage {
			for i := range stated {
				c.checkpoint(&stated[i])
			}
			c.endOf(h)
			return nil
		}
	}
	return nil
}
