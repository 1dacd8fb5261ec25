package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// measureEvery is how often the database is asked for the time.
const measureEvery = 30 * time.Second

// clock is the database's, carried on by this machine's monotonic one: replicas
// whose own clocks are wrong agree on what has expired.
type clock struct {
	wall func() time.Time
	last atomic.Pointer[reading] // nil where the database's is this machine's
}

type reading struct {
	database time.Time
	local    time.Time // with its monotonic part
}

// standstill is how much more time may pass by the wall than by the monotonic
// clock before the latter is taken to have stood still, as it does while a
// virtual machine is paused.
const standstill = 2 * time.Second

func (c *clock) now() time.Time {
	r := c.last.Load()
	if r == nil {
		return c.wall()
	}
	now := time.Now()
	passed, byWall := now.Sub(r.local), now.Round(0).Sub(r.local.Round(0))
	if byWall-passed > standstill {
		// Too late is the safe side: what has expired is not served.
		passed = byWall
	}
	return r.database.Add(passed)
}

// Now is the time of the database.
func (s *Store) Now() time.Time { return s.clock.now() }

const (
	// measureTime bounds a measurement, and longestTrip one that is believed:
	// nobody knows when on the way the clock was read.
	measureTime = 2 * time.Second
	longestTrip = 250 * time.Millisecond
)

// measure asks the database, on a connection that is there already. Half of the
// trip there and back is taken off.
func (s *Store) measure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	db, err := s.pool.Acquire(ctx)
	if err != nil {
		return interpretError("reading the database's clock", err)
	}
	defer db.Release()
	var us int64
	before := time.Now()
	if err := db.QueryRow(ctx, `SELECT `+s.d.now).Scan(&us); err != nil {
		return interpretError("reading the database's clock", err)
	}
	trip := time.Since(before)
	if trip > longestTrip && s.clock.last.Load() != nil {
		return fmt.Errorf("reading the database's clock took %v", trip)
	}
	s.clock.last.Store(&reading{database: fromMicros(us), local: before.Add(trip / 2)})
	return nil
}

// KeepTime measures the database's clock now and then, until ctx ends. The
// embedded database has the clock of this machine and needs none of it.
func (s *Store) KeepTime(ctx context.Context) {
	if s.pool == nil {
		return
	}
	for pause(ctx, measureEvery) == nil { // a trip that took too long waits for the next
		if err := s.measure(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("keeping time with the database", "error", err)
		}
	}
}
