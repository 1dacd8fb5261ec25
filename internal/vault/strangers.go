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

// strangerKey is an integration, or an API key, and what was wrong.
type strangerKey struct{ integration, apiKey, reason string }

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
	c := s.count(strangerKey{integration: e.IntegrationID, reason: e.Reason}, e.At)
	if c.written < strangersAMinute {
		c.written++
		return true
	}
	c.add(e)
	return false
}

// gather takes an entry about a known API key, none of which is written by
// itself. There are as many keys of the map as API keys.
func (s *strangers) gather(e AuditEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(strangerKey{apiKey: e.ActorID, reason: e.Reason}, e.At).add(e)
}

func (s *strangers) count(key strangerKey, at time.Time) *strangerCount {
	c := s.by[key]
	if c == nil {
		c = &strangerCount{}
		s.by[key] = c
	}
	if minute := at.Truncate(time.Minute).Unix(); c.minute != minute {
		c.minute, c.written = minute, 0
	}
	return c
}

func (c *strangerCount) add(e AuditEntry) {
	e.Count += c.rest.Count
	c.rest = e
}

// take hands out what was gathered in minutes before now's, or all of it.
func (s *strangers) take(now time.Time, all bool) []AuditEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	minute := now.Truncate(time.Minute).Unix()
	var entries []AuditEntry
	for key, c := range s.by {
		if c.minute >= minute && !all {
			continue
		}
		if c.rest.Count > 0 {
			entries = append(entries, c.rest)
		}
		delete(s.by, key)
	}
	return entries
}

// putBack keeps an entry that the database would not take.
func (s *strangers) putBack(e AuditEntry) {
	key := strangerKey{integration: e.IntegrationID, reason: e.Reason}
	if e.ActorKind == CallerAPIKey {
		key = strangerKey{apiKey: e.ActorID, reason: e.Reason}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.by[key]; c != nil && c.rest.Count > 0 {
		c.rest.Count += e.Count
		return
	}
	s.count(key, e.At).add(e)
}

// noteStrangers writes what was gathered in the minutes that are over.
func (v *Vault) noteStrangers(ctx context.Context) error {
	return v.writeStrangers(ctx, v.strangers.take(v.now(), false))
}

func (v *Vault) writeStrangers(ctx context.Context, entries []AuditEntry) error {
	for i, e := range entries {
		if err := v.audit(ctx, e); err != nil {
			for _, left := range entries[i:] {
				v.strangers.putBack(left)
			}
			return err
		}
	}
	return nil
}
