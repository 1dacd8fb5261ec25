package vault

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	dropEvery = 10 * time.Minute
	// dropAtOnce is how many entries one transaction drops: others wait for it.
	dropAtOnce = 1000
)

// dropAudit drops the entries that are past their retention: the beginning of
// each chain, since ids tell the time and rise along a chain. What is dropped is
// looked at first, and what is not as it was written stays until somebody has seen it.
func (v *Vault) dropAudit(ctx context.Context) error {
	if v.retention == 0 {
		return nil
	}
	end := firstID(entryPrefix, v.now().Add(-v.retention))
	for ctx.Err() == nil {
		n, err := v.dropSome(ctx, end)
		if errors.Is(err, ErrDuplicate) {
			return nil // another process is at it, or has just signed something: soon again
		}
		if err != nil {
			return fmt.Errorf("dropping audit entries past their retention: %w", err)
		}
		if n < dropAtOnce {
			return v.prune(ctx, end, v.now().Add(-v.retention))
		}
	}
	return nil
}

// dropSome drops the oldest entries before an id, together with signing that they
// were: one without the other never comes to pass.
func (v *Vault) dropSome(ctx context.Context, end string) (int, error) {
	keys, err := v.trail()
	if err != nil {
		return 0, err
	}
	last, err := v.lastCheckpoint(ctx, keys)
	if err != nil {
		return 0, err
	}
	entries, err := v.store.AuditBefore(ctx, end, dropAtOnce)
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	chains, findings, err := v.beginnings(ctx, keys, entries)
	if err != nil {
		return 0, v.unlessOvertaken(ctx, last, err)
	}
	unknown, err := v.unknown(ctx, keys, findings)
	if err != nil {
		return 0, err
	}
	if unknown != nil {
		return 0, v.unlessOvertaken(ctx, last, brokenTrail(*unknown))
	}
	checkpoints := make([]Checkpoint, 0, len(chains))
	for _, chain := range chains {
		c := nextCheckpoint(last, CheckpointDropped, chain.ChainHead, chain.count, v.now(), keys.signers[0])
		checkpoints = append(checkpoints, c)
		last = &c
	}
	return len(entries), v.store.DropAudit(ctx, entries[len(entries)-1].ID, len(entries), checkpoints)
}

// unlessOvertaken is the error, or [ErrDuplicate] where somebody has signed
// something after last: what was read in two parts does not fit where somebody
// dropped some in between.
func (v *Vault) unlessOvertaken(ctx context.Context, last *Checkpoint, err error) error {
	if now, again := v.store.LastCheckpoint(ctx); again == nil && now != nil && (last == nil || now.Number != last.Number) {
		return ErrDuplicate
	}
	return err
}
