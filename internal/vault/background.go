package vault

import (
	"context"
	"errors"
	"sync"
	"time"
)

// How often the vault looks after itself, and how long ended sessions and
// events are kept.
const (
	flushEvery  = 250 * time.Millisecond
	flushRounds = 3 // a read waits half a second at least for others of its minute
	numberEvery = time.Second
	noteEvery   = time.Minute
	tidyEvery   = 15 * time.Second
	tellEvery   = 5 * time.Second
	keepPast    = 30 * 24 * time.Hour
)

// Run flushes reads, numbers events, revokes what was not redeemed and what is to
// be revoked in bulk, tells providers, signs how far the trail has come, drops what
// of it is past its retention and removes what is over, until ctx ends; then it
// writes what is gathered. It answers only what that does. A provider that hangs
// keeps none of the rest waiting.
func (v *Vault) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { v.flushes(ctx) })
	loops.Go(func() { v.every(ctx, numberEvery, v.numberEvents) })
	loops.Go(func() { v.every(ctx, tidyEvery, v.clean) })
	loops.Go(func() { v.every(ctx, noteEvery, v.note) })
	loops.Go(func() { v.every(ctx, dropEvery, v.dropAudit) })
	loops.Go(func() { v.tells(ctx) })
	loops.Go(func() { v.bulks(ctx) })
	loops.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(v.FlushReads(last), v.writeStrangers(last, v.strangers.take(v.now(), true)))
}

func (v *Vault) every(ctx context.Context, period time.Duration, work func(context.Context) error) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := work(ctx); err != nil && ctx.Err() == nil {
			v.log.Error("background work of the vault", "error", err)
		}
	}
}

// Tidy does one round of the background work by itself.
func (v *Vault) Tidy(ctx context.Context) error {
	return errors.Join(v.numberEvents(ctx), v.clean(ctx), v.bulkAll(ctx), v.tellAll(ctx), v.bulkAll(ctx))
}

func (v *Vault) clean(ctx context.Context) error {
	return errors.Join(
		v.reap(ctx),
		v.clearTests(ctx),
		v.WarmKeysets(ctx),
		v.noteStrangers(ctx),
		v.dropSecrets(ctx),
		v.store.DeleteExpired(ctx, v.now(), v.now().Add(-keepPast)),
	)
}
