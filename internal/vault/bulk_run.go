package vault

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// How bulk revocations are worked on. Each part is one transaction, in which the
// row is locked: replicas take turns, and what a crash cuts off never was. Parts
// are small, as requests wait for the rows in them, and on SQLite for the writer.
const (
	bulkPoll   = time.Second
	revokePart = 32
	// gatherPart connections are looked at in one statement, and less than twice as
	// many written down in one part; where few of them match, it takes so many looks.
	gatherPart  = 1000
	gatherLooks = 10
)

// bulks works on bulk revocations until ctx ends.
func (v *Vault) bulks(ctx context.Context) {
	tick := time.NewTicker(bulkPoll)
	defer tick.Stop()
	for {
		if err := v.bulkAll(ctx); err != nil && ctx.Err() == nil {
			v.log.Error("revoking in bulk", "error", err)
		}
		select {
		case <-tick.C:
		case <-v.bulkUp:
		case <-ctx.Done():
			return
		}
	}
}

// bulkAll works on bulk revocations until there is nothing to do.
func (v *Vault) bulkAll(ctx context.Context) error {
	for ctx.Err() == nil {
		worked, err := v.bulkPart(ctx)
		if err != nil || !worked {
			return err
		}
		wake(v.outboxUp)
	}
	return nil
}

// bulkPart does one part of the bulk revocation that has waited longest. One
// connection that cannot be revoked keeps the others from nothing: it is tried by
// itself, and then written down as failed.
func (v *Vault) bulkPart(ctx context.Context) (worked bool, err error) {
	var at bulkPlace
	for _, most := range []int{revokePart, 1} {
		worked, at, err = v.bulkTry(ctx, most)
		if err == nil || ctx.Err() != nil || fault.Is(err, fault.Unavailable) {
			return worked, err
		}
		if at.item == "" {
			return worked, errors.Join(err, v.bulkLater(ctx, at))
		}
	}
	v.log.Error("a connection cannot be revoked", "connection", at.item, "bulk_revocation", at.bulk, "error", err)
	return true, v.bulkGiveUp(ctx, at)
}

// bulkLater lets the other bulk revocations have their turn before one that
// cannot go on.
func (v *Vault) bulkLater(ctx context.Context, at bulkPlace) error {
	if at.bulk == "" {
		return nil
	}
	return v.store.Update(ctx, func(tx Tx) error {
		b, err := tx.LockBulkRevocation(ctx, at.environment, at.bulk)
		if err != nil {
			return ignoreMissing(err)
		}
		b.WorkedAt = v.now()
		return tx.UpdateBulkRevocation(ctx, *b)
	})
}

// bulkPlace is where the work is.
type bulkPlace struct{ environment, bulk, item string }

func (v *Vault) bulkTry(ctx context.Context, most int) (worked bool, at bulkPlace, err error) {
	var gathering *BulkRevocation
	var turned bool // those who wait for it want to know
	err = v.store.Update(ctx, func(tx Tx) error {
		at, gathering, turned = bulkPlace{}, nil, false
		b, err := tx.LockBulkAtWork(ctx)
		if worked = err == nil; err != nil {
			return ignoreMissing(err)
		}
		at.environment, at.bulk = b.EnvironmentID, b.ID
		if !b.Gathered {
			gathering = b
			return nil
		}
		b.WorkedAt = v.now()
		switch {
		case b.Unrevoked():
			err = v.revokeSome(ctx, tx, b, most, &at)
		case b.Undeleted():
			turned, err = true, v.finishDeletion(ctx, tx, b)
		default:
			b.Status, b.FinishedAt, turned = BulkCompleted, v.now(), true
			err = tx.InsertAudit(ctx, v.bulkEntry(System("revoke", b.EnvironmentID), ActionBulkCompleted, b))
		}
		if err != nil {
			return err
		}
		return tx.UpdateBulkRevocation(ctx, *b)
	})
	if err == nil && gathering != nil {
		err = v.gatherSome(ctx, gathering)
	}
	if err == nil && turned {
		v.bulkTurned.broadcast()
	}
	return worked, at, err
}

// gatherSome looks at some more connections, and writes down which of them are to
// be revoked. Nothing is locked while it looks.
func (v *Vault) gatherSome(ctx context.Context, b *BulkRevocation) error {
	ids, next, err := v.findSome(ctx, b)
	if err != nil {
		return err
	}
	return v.store.Update(ctx, func(tx Tx) error {
		now, err := tx.LockBulkRevocation(ctx, b.EnvironmentID, b.ID)
		if err != nil || now.Status != BulkGathering || now.GatheredTo != b.GatheredTo {
			return err // stopped, or another process got on with it
		}
		added, err := tx.InsertBulkItems(ctx, b.ID, ids)
		if err != nil {
			return err
		}
		now.Total, now.WorkedAt = now.Total+added, v.now()
		if now.GatheredTo = next; next == "" {
			now.Gathered, now.Status = true, BulkRunning
		}
		return tx.UpdateBulkRevocation(ctx, *now)
	})
}

// findSome goes by the ids of connections, whatever order a list with the filter
// has: times move meanwhile, and what moves with them might slip past. Where an
// integration goes it finds all that keeps it, what is to mend a connection too,
// which no list has. next is "" where that is all.
func (v *Vault) findSome(ctx context.Context, b *BulkRevocation) (ids []string, next string, err error) {
	if b.Deletion.IntegrationID == "" {
		next = cmp.Or(b.GatheredTo, b.UpTo)
		for looks := 0; looks < gatherLooks && len(ids) < gatherPart && next != ""; looks++ {
			var found []string
			if found, next, err = v.store.GatherRevocable(ctx, b.EnvironmentID, *b.Filter, next, gatherPart); err != nil {
				return nil, "", err
			}
			ids = append(ids, found...)
		}
		return ids, next, nil
	}
	ids, err = v.store.ConnectionsOf(ctx, b.EnvironmentID, b.Deletion.IntegrationID, b.GatheredTo, gatherPart)
	if len(ids) == gatherPart {
		next = ids[gatherPart-1]
	}
	return ids, next, err
}

// revokeSome revokes up to most connections in the name of whoever asked. Their
// providers are told through the outbox. at is set to the one that it is at.
func (v *Vault) revokeSome(ctx context.Context, tx Tx, b *BulkRevocation, most int, at *bulkPlace) error {
	ids, err := tx.UntouchedBulkItems(ctx, b.ID, most)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return errors.New("the counts of bulk revocation " + b.ID + " are not those of its items")
	}
	if b.StartedAt.IsZero() {
		b.StartedAt = v.now()
	}
	opened := map[string]Integration{}
	for _, id := range ids {
		at.item = id
		item, err := v.revokeItem(ctx, tx, b, id, opened)
		if err != nil {
			return err
		}
		if _, err := tx.SettleBulkItem(ctx, b.ID, item); err != nil {
			return err
		}
		b.BulkCounts = b.with(item)
	}
	return nil
}

// revokeItem revokes one connection of a bulk revocation, if it is still there
// to be revoked.
func (v *Vault) revokeItem(ctx context.Context, tx Tx, b *BulkRevocation, id string, opened map[string]Integration) (BulkItem, error) {
	item := BulkItem{ConnectionID: id, DoneAt: v.now()}
	row, err := tx.LockConnection(ctx, b.EnvironmentID, id)
	switch {
	case errors.Is(err, ErrNotFound):
		item.Outcome = BulkMissing
		return item, nil
	case err != nil:
		return item, err
	case row.Status == StatusRevoked:
		item.Outcome = BulkAlreadyRevoked
		return item, nil
	}
	in, ok := opened[row.IntegrationID]
	if !ok {
		if in, err = v.integrationOf(ctx, tx, row); err != nil {
			return item, err
		}
		opened[row.IntegrationID] = in
	}
	due, err := v.markLocked(ctx, tx, b.asker(), row, in, marking{reason: ReasonRevokedByCaller, bulkID: b.ID})
	if err != nil {
		return item, err
	}
	item.Outcome = BulkRevoked
	if due.row == nil {
		item.Told = due.instead.Outcome
	}
	return item, nil
}

// with is the counts with an item more that nothing had become of.
func (c BulkCounts) with(item BulkItem) BulkCounts {
	switch item.Outcome {
	case BulkRevoked:
		c.Revoked++
	case BulkAlreadyRevoked:
		c.AlreadyRevoked++
	case BulkMissing:
		c.Missing++
	case BulkFailed:
		c.Failed++
	}
	switch item.Told {
	case OutcomeRevoked:
		c.ToldRevoked++
	case OutcomeUnsupported:
		c.ToldUnsupported++
	case OutcomeFailed:
		c.ToldFailed++
	}
	return c
}

// bulkGiveUp writes one connection down as failed.
func (v *Vault) bulkGiveUp(ctx context.Context, at bulkPlace) error {
	return v.store.Update(ctx, func(tx Tx) error {
		b, err := tx.LockBulkRevocation(ctx, at.environment, at.bulk)
		if err != nil {
			return err
		}
		item := BulkItem{ConnectionID: at.item, Outcome: BulkFailed, DoneAt: v.now()}
		settled, err := tx.SettleBulkItem(ctx, b.ID, item)
		if err != nil || !settled { // another process got on with it
			return err
		}
		b.BulkCounts = b.with(item)
		b.WorkedAt = v.now()
		return tx.UpdateBulkRevocation(ctx, *b)
	})
}
