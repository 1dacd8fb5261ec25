package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// overdueAfter is how old an entry is that no checkpoint stands for when others
	// than its process look after it: that has missed three rounds.
	overdueAfter = 3 * time.Minute
	// youngestChains is how many chains a round always looks at, those that began
	// last: they are where something happens. Of the others it looks at
	// chainsInTurn.
	youngestChains = 200
	chainsInTurn   = 800
	// adoptAtOnce is how many entries a round checks.
	adoptAtOnce = 20_000
)

// ends is how far this process has come with the ends that others left behind.
type ends struct {
	sync.Mutex
	// turn is the chain that was looked at last, in the order from the youngest.
	turn string
	// said are the entries that the operator was told of, by chain.
	said map[string]int64
}

// ChainEnd is a chain, and the first of its entries that no checkpoint stands for.
type ChainEnd struct {
	Writer  string
	EntryID string // empty where there is none
}

// note signs how far the trail has come: the chains of this process, then what
// others left behind.
func (v *Vault) note(ctx context.Context) error {
	if err := v.checkpoint(ctx); err != nil {
		return err
	}
	return v.adopt(ctx)
}

// adopt signs for the ends of chains whose own process should have done so long
// since, and was killed, or may not: else who has the database could cut them
// off unseen. It goes through a bounded part of the chains.
func (v *Vault) adopt(ctx context.Context) error {
	v.ends.Lock()
	defer v.ends.Unlock()
	chains, err := v.store.ChainEnds(ctx, "", youngestChains)
	if err != nil {
		return fmt.Errorf("looking for ends of the audit trail: %w", err)
	}
	if n := len(chains); n > 0 {
		if v.ends.turn == "" {
			v.ends.turn = chains[n-1].Writer
		}
		inTurn, err := v.store.ChainEnds(ctx, v.ends.turn, chainsInTurn)
		if err != nil {
			return fmt.Errorf("looking for ends of the audit trail: %w", err)
		}
		v.ends.turn = ""
		if n := len(inTurn); n > 0 {
			v.ends.turn = inTurn[n-1].Writer
		}
		chains = append(chains, inTurn...)
	}
	overdue, ahead := firstID(entryPrefix, v.now().Add(-overdueAfter)), firstID(entryPrefix, v.now().Add(overdueAfter))
	left := adoptAtOnce
	for _, chain := range chains {
		// Of one that a clock wrote that is ahead nobody can tell how old it is.
		if waits := chain.EntryID >= overdue && chain.EntryID < ahead; chain.EntryID == "" || waits || left <= 0 {
			continue
		}
		n, err := v.adoptEnd(ctx, chain.Writer, left)
		if err != nil {
			return fmt.Errorf("signing for the end of %s: %w", chain.Writer, err)
		}
		left -= n
	}
	return nil
}

// adoptEnd checks the entries of a chain from its last checkpoint on, so many at
// most, and signs for those that are as they were written. It answers how many it
// looked at.
func (v *Vault) adoptEnd(ctx context.Context, writer string, most int) (int, error) {
	keys, err := v.trail()
	if err != nil {
		return 0, err
	}
	looked := 0
	for range checkpointTries {
		// Read first: whoever signs or drops anything after it is noticed.
		last, err := v.lastCheckpoint(ctx, keys)
		if err != nil {
			return looked, err
		}
		end, err := v.checkEnd(ctx, keys, writer, most)
		looked += end.looked
		if err != nil {
			return looked, err
		}
		if end.broken != nil {
			now, err := v.store.LastCheckpoint(ctx)
			if err != nil {
				return looked, err
			}
			if last == nil || now == nil || now.Number != last.Number {
				continue // what was read in parts need not fit
			}
			v.sayBroken(*end.broken)
		}
		if end.good.Seq == 0 {
			return looked, nil
		}
		err = v.store.InsertCheckpoint(ctx, nextCheckpoint(last, CheckpointRunning, end.good, 0, v.now(), keys.signers[0]))
		if !errors.Is(err, ErrDuplicate) {
			return looked, err
		}
	}
	return looked, nil // the others that were first have seen to it, or the next round does
}

// chainEnd is what was found of the end of a chain.
type chainEnd struct {
	looked int
	good   ChainHead // up to where it is good; without a Seq where nothing more is
	broken *Finding
}

func (v *Vault) checkEnd(ctx context.Context, keys *trailKeys, writer string, most int) (end chainEnd, err error) {
	stated, err := v.store.LastStated(ctx, writer)
	if err != nil {
		return end, err
	}
	c := newTrailCheck(keys.known(), func(f Finding) {
		if end.broken == nil {
			end.broken = &f
		}
	})
	h := c.chain(writer)
	if stated != nil {
		if !keys.signed(stated) {
			c.of(stated, "no key of the keyset signed it: nobody can tell how the chain goes on from it")
			return end, nil
		}
		h.goOn(stated)
	}
	for end.broken == nil && end.looked < most {
		page, err := v.store.ChainEntries(ctx, writer, h.Seq, min(trailPage, most-end.looked))
		if err != nil {
			return end, err
		}
		for i := range page {
			end.looked++
			c.entry(page[i])
			if h.unproven != nil {
				c.endOfRun(h)
			}
			if end.broken != nil {
				break
			}
			end.good = h.ChainHead
		}
		if len(page) < trailPage {
			break
		}
	}
	return end, nil
}

// mostSaid bounds what is kept of what was said.
const mostSaid = 1000

// sayBroken tells the operator once what nobody signs for.
func (v *Vault) sayBroken(f Finding) {
	if v.ends.said[f.Writer] == f.Seq {
		return
	}
	if v.ends.said == nil || len(v.ends.said) >= mostSaid {
		v.ends.said = map[string]int64{}
	}
	v.ends.said[f.Writer] = f.Seq
	v.log.Error("the audit trail is not as it was written: no checkpoint is signed for the end of this chain; run `claviger audit verify`", "finding", f.String())
}
