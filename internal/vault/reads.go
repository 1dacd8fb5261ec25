package vault

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

const (
	// maxMarks is how many pairs of key and connection the ledger knows to be in
	// the trail for this minute. What is beyond that is written whenever it was
	// gathered, a few times a minute.
	maxMarks = 100_000
	// restsAtOnce is how many reads of the minute before are written at once: all
	// of them fall due together, and writing them is not to be noticed.
	restsAtOnce = 2_000
	// soonAtOnce bounds the others in one transaction. There are more after the
	// database would not take them for a while.
	soonAtOnce = 10_000
)

// readLedger gathers reads in memory: the read path writes nothing. The first
// read of a connection by a key in a minute is in the trail within a second, and
// what follows in that minute is one more entry once it is over: who dies loses
// how often, and not who read what. What has waited for long enough is taken out
// a few at a time, so that writing it never gets in the way of those who read.
type readLedger struct {
	mu    sync.Mutex
	reads map[readKey]*gathered
	soon  []*gathered // first reads, and uses without an entry: oldest first
	rests []*gathered // what follows in a minute, oldest first
	uses  []ReadCount // the times of those, to be noted meanwhile
	round int
	// marks are the pairs whose first read of the minute was taken out.
	marks  map[readKey]struct{}
	minute int64
	limit  int // of marks
}

type gathered struct {
	ReadCount
	key   readKey
	round int       // in which it began
	noted time.Time // the last use that was noted
}

type readKey struct {
	actor, connection string
	action            Action
	minute            int64 // since 1970
	written           bool
}

func newReadLedger() *readLedger {
	return &readLedger{reads: map[readKey]*gathered{}, marks: map[readKey]struct{}{}, limit: maxMarks}
}

func minuteOf(at time.Time) int64 { return at.Unix() / 60 }

func (l *readLedger) add(caller Caller, connectionID string, action Action, at time.Time, written bool) {
	key := readKey{caller.ID, connectionID, action, minuteOf(at), written}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.reads[key]
	if r == nil {
		r = &gathered{key: key, round: l.round, noted: at, ReadCount: ReadCount{
			EnvironmentID: caller.EnvironmentID, ActorID: caller.ID, ConnectionID: connectionID, Action: action, Written: written,
		}}
		l.reads[key] = r
		if l.marked(key) {
			l.rests = append(l.rests, r)
		} else {
			l.soon = append(l.soon, r)
		}
	}
	r.Count++
	r.LastAt = at
	if at.Sub(r.noted) >= UseCoarse { // a rest: nothing else waits for so long
		r.noted = at
		use := r.ReadCount
		use.Written = true
		l.uses = append(l.uses, use)
	}
}

func (l *readLedger) marked(key readKey) bool {
	_, marked := l.marks[key]
	return marked
}

// mark keeps in mind that the first read is on its way into the trail.
func (l *readLedger) mark(key readKey) {
	if key.connection == "" || key.written {
		return // makes no entry
	}
	if key.minute != l.minute {
		l.minute = key.minute
		l.marks = map[readKey]struct{}{}
	}
	if len(l.marks) < l.limit {
		l.marks[key] = struct{}{}
	}
}

// take begins a round, and takes out what is due: what began so many rounds
// ago, and rests of the minutes before now's.
func (l *readLedger) take(now time.Time) []ReadCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round++
	soon := 0
	for soon < min(len(l.soon), soonAtOnce) && l.round-l.soon[soon].round >= flushRounds {
		soon++
	}
	rests := 0
	for rests < min(len(l.rests), restsAtOnce) && l.rests[rests].key.minute < minuteOf(now) {
		rests++
	}
	return l.takeOut(soon, rests)
}

// takeAny takes out what there is, due or not, as much as is written at once.
func (l *readLedger) takeAny() []ReadCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.takeOut(min(len(l.soon), soonAtOnce), min(len(l.rests), restsAtOnce))
}

func (l *readLedger) takeOut(soon, rests int) []ReadCount {
	if soon+rests+len(l.uses) == 0 {
		return nil
	}
	out := make([]ReadCount, 0, soon+rests+len(l.uses))
	for _, r := range l.soon[:soon] {
		l.mark(r.key)
	}
	for _, some := range [][]*gathered{l.soon[:soon], l.rests[:rests]} {
		for _, r := range some {
			out = append(out, r.ReadCount)
			delete(l.reads, r.key)
		}
	}
	out = append(out, l.uses...)
	if soon > 0 {
		l.soon = slices.Clone(l.soon[soon:])
	}
	if rests > 0 {
		l.rests = slices.Clone(l.rests[rests:])
	}
	l.uses = nil
	return out
}

// putBack keeps what the database would not take, to be tried again soon. Reads
// that came meanwhile and relied on it go with it.
func (l *readLedger) putBack(reads []ReadCount) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first []*gathered
	relied := map[*gathered]bool{}
	for _, r := range reads {
		key := readKey{r.ActorID, r.ConnectionID, r.Action, minuteOf(r.LastAt), r.Written}
		delete(l.marks, key)
		if have := l.reads[key]; have != nil {
			have.Count += r.Count
			relied[have] = true
			continue
		}
		back := &gathered{ReadCount: r, key: key, noted: r.LastAt}
		l.reads[key] = back
		first = append(first, back)
	}
	l.rests = slices.DeleteFunc(l.rests, func(r *gathered) bool {
		if relied[r] {
			first = append(first, r)
		}
		return relied[r]
	})
	l.soon = append(first, l.soon...)
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
func (v *Vault) FlushReads(ctx context.Context) error {
	for {
		if written, err := v.flush(ctx, v.reads.takeAny); err != nil || written == 0 {
			return err
		}
	}
}

// flush writes what take takes out, and answers how much that was.
func (v *Vault) flush(ctx context.Context, take func() []ReadCount) (int, error) {
	reads := take()
	if len(reads) == 0 {
		return 0, nil
	}
	if err := v.store.AddReads(ctx, reads); err != nil {
		v.reads.putBack(reads)
		return 0, fmt.Errorf("writing %d read counts: %w", len(reads), err)
	}
	return len(reads), nil
}

// flushes writes first reads before they are a second old, and the others soon
// after their minute, until ctx ends.
func (v *Vault) flushes(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		_, err := v.flush(ctx, func() []ReadCount { return v.reads.take(v.now()) })
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
