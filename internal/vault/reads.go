package vault

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// readLedger gathers reads in memory: the read path writes nothing. An entry
// a key, connection and minute says who read what. What has waited for long
// enough is taken out a few at a time, so that writing it never gets in the way
// of those who read.
type readLedger struct {
	mu    sync.Mutex
	reads map[readKey]*gathered
	queue []*gathered // the same, oldest first
	round int
}

type gathered struct {
	ReadCount
	key   readKey
	round int // in which it began
}

type readKey struct {
	actor, connection string
	action            Action
	minute            int64
	written           bool
}

func newReadLedger() *readLedger { return &readLedger{reads: map[readKey]*gathered{}} }

func (l *readLedger) add(caller Caller, connectionID string, action Action, at time.Time, written bool) {
	second := at.Unix()
	key := readKey{caller.ID, connectionID, action, second - second%60, written}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.reads[key]
	if r == nil {
		r = &gathered{key: key, round: l.round, ReadCount: ReadCount{
			EnvironmentID: caller.EnvironmentID, ActorID: caller.ID, ConnectionID: connectionID,
			Action: action, Minute: at.Truncate(time.Minute), Written: written,
		}}
		l.reads[key] = r
		l.queue = append(l.queue, r)
	}
	r.Count++
	r.LastAt = at
}

// take takes out what began so many rounds ago or more, and begins a round.
func (l *readLedger) take(rounds int) []ReadCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round++
	n := 0
	for n < len(l.queue) && l.round-l.queue[n].round >= rounds {
		n++
	}
	if n == 0 {
		return nil
	}
	out := make([]ReadCount, n)
	for i, r := range l.queue[:n] {
		out[i] = r.ReadCount
		delete(l.reads, r.key)
	}
	l.queue = append(l.queue[:0:0], l.queue[n:]...)
	return out
}

// putBack keeps counts that the database would not take.
func (l *readLedger) putBack(reads []ReadCount) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first []*gathered
	for _, r := range reads {
		key := readKey{r.ActorID, r.ConnectionID, r.Action, r.Minute.Unix(), r.Written}
		if have := l.reads[key]; have != nil {
			have.Count += r.Count
			continue
		}
		back := &gathered{ReadCount: r, key: key}
		l.reads[key] = back
		first = append(first, back)
	}
	l.queue = append(first, l.queue...)
}

// noteRead counts a read; where the environment is strict, its entry is in the
// trail when this returns, and where it cannot be written nothing is answered.
func (v *Vault) noteRead(ctx context.Context, s Stored) error {
	at := v.now()
	if s.strict {
		e := v.connectionEntry(s.Caller, ActionHeadersRead, &s.Connection)
		if err := v.store.AddAudit(ctx, e); err != nil {
			return fault.Wrap(fmt.Errorf("writing audit entry %s: %w", e.Action, err),
				fault.Unavailable, "The read cannot be recorded just now, and is not answered without.").After(time.Second)
		}
	}
	v.reads.add(s.Caller, s.Connection.ID, ActionHeadersRead, at, s.strict)
	return nil
}

// FlushReads writes all the gathered reads.
func (v *Vault) FlushReads(ctx context.Context) error { return v.flush(ctx, 0) }

func (v *Vault) flush(ctx context.Context, rounds int) error {
	reads := v.reads.take(rounds)
	if len(reads) == 0 {
		return nil
	}
	if err := v.store.AddReads(ctx, reads); err != nil {
		v.reads.putBack(reads)
		return fmt.Errorf("writing %d read counts: %w", len(reads), err)
	}
	return nil
}

// flushes writes what was gathered before it is a second old, until ctx ends.
func (v *Vault) flushes(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := v.flush(ctx, flushRounds)
		if err == nil || ctx.Err() != nil {
			continue
		}
		v.log.ErrorContext(ctx, "background work of the vault", "error", err)
		select { // the database has other worries
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}
