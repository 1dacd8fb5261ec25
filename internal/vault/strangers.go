package vault

import (
	"context"
	"sync"
	"time"
)

// strangerID is the actor of what somebody did of whom nothing is known.
const strangerID = "unknown"

// strangersAMinute is how many refusals of unknown callers an integration gets
// into the trail one by one.
const strangersAMinute = 20

// strangers keeps callers that nobody knows from filling the trail: what goes
// beyond the first of a minute is gathered into one entry with a count.
type strangers struct {
	mu sync.Mutex
	by map[strangerKey]*strangerCount
}

type strangerKey struct{ integration, reason string }

type strangerCount struct {
	minute  int64
	written int
	rest    AuditEntry // the newest that was not written, counting all of them
}

func newStrangers() *strangers { return &strangers{by: map[strangerKey]*strangerCount{}} }

// mayWrite reports whether the entry may be written by itself. There are as
// many keys as integrations and reasons, so the map needs no other bound.
func (s *strangers) mayWrite(e AuditEntry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strangerKey{e.IntegrationID, e.Reason}
	c := s.by[key]
	if c == nil {
		c = &strangerCount{}
		s.by[key] = c
	}
	if minute := e.At.Truncate(time.Minute).Unix(); c.minute != minute {
		c.minute, c.written = minute, 0
	}
	if c.written < strangersAMinute {
		c.written++
		return true
	}
	e.Count += c.rest.Count
	c.rest = e
	return false
}

// take hands out what was gathered in minutes before now's.
func (s *strangers) take(now time.Time) []AuditEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	minute := now.Truncate(time.Minute).Unix()
	var entries []AuditEntry
	for key, c := range s.by {
		if c.minute >= minute {
			continue
		}
		if c.rest.Count > 0 {
			entries = append(entries, c.rest)
		}
		delete(s.by, key)
	}
	return entries
}

// noteStrangers writes what was gathered.
func (v *Vault) noteStrangers(ctx context.Context) error {
	for _, e := range v.strangers.take(v.now()) {
		if err := v.audit(ctx, e); err != nil {
			return err
		}
	}
	return nil
}
