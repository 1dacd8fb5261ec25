package vault

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// readLedger gathers reads in memory: the read path writes nothing. An entry
// a key, connection and minute, flushed every second, says who read what.
type readLedger struct {
	mu    sync.Mutex
	reads map[readKey]*ReadCount
}

type readKey struct {
	actor, connection string
	action            Action
	minute            int64
}

func newReadLedger() *readLedger { return &readLedger{reads: map[readKey]*ReadCount{}} }

func (l *readLedger) add(caller Caller, connectionID string, action Action, at time.Time) {
	minute := at.Truncate(time.Minute)
	key := readKey{caller.ID, connectionID, action, minute.Unix()}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.reads[key]
	if r == nil {
		r = &ReadCount{
			EnvironmentID: caller.EnvironmentID, ActorID: caller.ID, ConnectionID: connectionID,
			Action: action, Minute: minute,
		}
		l.reads[key] = r
	}
	r.Count++
	r.LastAt = at
}

func (l *readLedger) take() []ReadCount {
	l.mu.Lock()
	reads := l.reads
	l.reads = map[readKey]*ReadCount{}
	l.mu.Unlock()
	out := make([]ReadCount, 0, len(reads))
	for _, r := range slices.Collect(maps.Values(reads)) {
		out = append(out, *r)
	}
	return out
}

// putBack keeps counts that the database would not take.
func (l *readLedger) putBack(reads []ReadCount) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range reads {
		key := readKey{r.ActorID, r.ConnectionID, r.Action, r.Minute.Unix()}
		if have := l.reads[key]; have != nil {
			have.Count += r.Count
			continue
		}
		l.reads[key] = &r
	}
}

// FlushReads writes the gathered reads.
func (v *Vault) FlushReads(ctx context.Context) error {
	reads := v.reads.take()
	if len(reads) == 0 {
		return nil
	}
	if err := v.store.AddReads(ctx, reads); err != nil {
		v.reads.putBack(reads)
		return fmt.Errorf("writing %d read counts: %w", len(reads), err)
	}
	return nil
}
