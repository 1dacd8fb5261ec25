package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claviger/claviger/bench/pace"
)

// withMany compares a broker with so many connections with one that has few.
func (b *bench) withMany(ctx context.Context, kind string, few *target) (err error) {
	begun := time.Now()
	w, drop, err := b.prepare(ctx, kind, b.many, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	b.say("%s, %d connections, filled in %s", kind, b.many, time.Since(begun).Round(time.Second))
	var starts []float64
	var many *target
	for range 5 {
		if many != nil {
			if err := many.stop(); err != nil {
				return err
			}
		}
		if many, err = b.startBroker(ctx, w, "many"); err != nil {
			return err
		}
		r, err := pace.Run(ctx, many.plan(ctx, 1, 1, time.Millisecond)) // one
		if err != nil {
			return errors.Join(err, many.stop())
		}
		starts = append(starts, float64(time.Since(many.born).Milliseconds()))
		if r.Failed > 0 {
			return errors.Join(errors.New("the first answer was not 200"), many.stop())
		}
	}
	defer func() { err = errors.Join(err, many.stop()) }()
	b.say("  start to first answer: %.0f ms", median(starts))
	few.name = fmt.Sprint(b.rows)
	many.name = fmt.Sprint(b.many)
	c, err := b.compare(ctx, &target{server: many.server, ids: spread(w.ours, b.rows), key: many.key, postmaster: many.postmaster}, few)
	if err != nil {
		return err
	}
	c.print(b, "  as many of them asked for as there are in the small table", many, few)
	if c, err = b.compare(ctx, many, few); err != nil {
		return err
	}
	c.print(b, "  all of them asked for: every read is the first of its minute, and an entry in the trail", many, few)
	now, peak := many.resident()
	b.say("  resident memory: %.0f MiB, at most %.0f", now, peak)
	return nil
}

// withStrict is one audit entry a read, in the trail before the answer, against
// the same limit: it writes nothing at all.
func (b *bench) withStrict(ctx context.Context, kind string, limit *target) (err error) {
	w, drop, err := b.prepare(ctx, kind, b.rows, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	broker, err := b.startBroker(ctx, w, "strict")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.stop()) }()
	c, err := b.compare(ctx, broker, limit)
	if err != nil {
		return err
	}
	c.print(b, kind+", strict read audit", broker, limit)
	return nil
}

// spread picks n of all, from end to end.
func spread(all []string, n int) []string {
	picked := make([]string, 0, n)
	for i := range min(n, len(all)) {
		picked = append(picked, all[i*len(all)/min(n, len(all))])
	}
	return picked
}
