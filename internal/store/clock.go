package store

import (
	"context"
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

func (c *clock) now() time.Time {
	r := c.last.Load()
	if r == nil {
		return c.wall()
	}
	return r.database.Add(time.Since(r.local))
}

// Now is the time of the database.
func (s *Store) Now() time.Time { return s.clock.now() }

// measure asks the database. Half of the trip there and back is taken off.
func (s *Store) measure(ctx context.Context) error {
	var us int64
	before := time.Now()
	if err := s.conn.db.QueryRowContext(ctx, `SELECT `+s.d.now).Scan(&us); err != nil {
		return interpretError("reading the database's clock", err)
	}
	trip := time.Since(before)
	s.clock.last.Store(&reading{database: fromMicros(us), local: before.Add(trip / 2)})
	return nil
}

// KeepTime measures the database's clock now and then, until ctx ends. The
// embedded database has the clock of this machine and needs none of it.
func (s *Store) KeepTime(ctx context.Context) {
	if s.pool == nil {
		return
	}
	for pause(ctx, measureEvery) == nil {
		if err := s.measure(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("keeping time with the database", "error", err)
		}
	}
}
