package store

import (
	"context"
	"errors"
	"runtime"
	"sync"
)

// lookups answers the lookups of the hot path a batch at a time: what comes
// while a statement is under way waits for the next one, and shares it. Every
// lookup is answered by a statement that began after it came, so that nothing
// in here can make an answer stale: there is no cache.
type lookups struct {
	// run fills in a batch on a lane, or fails as a whole. It is not called
	// twice at a time for one lane.
	run func(lane int, batch []*lookup) error
	// most is the size of a batch.
	most int

	mu      sync.Mutex
	queue   []*lookup
	idle    []int // lanes with nothing to do
	closed  bool
	running sync.WaitGroup
}

// lookup is one question and, once done is closed, its answer.
type lookup struct {
	hash []byte
	id   string

	row   HotRow
	found bool
	err   error
	done  chan struct{}
}

var errClosed = errors.New("the store is closed")

func newLookups(lanes, most int, run func(lane int, batch []*lookup) error) *lookups {
	l := &lookups{run: run, most: most}
	for lane := range lanes {
		l.idle = append(l.idle, lane)
	}
	return l
}

// do waits for an answer, or until ctx ends.
func (l *lookups) do(ctx context.Context, hash []byte, id string) (*lookup, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x := &lookup{hash: hash, id: id, done: make(chan struct{})}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, errClosed
	}
	l.queue = append(l.queue, x)
	if n := len(l.idle); n > 0 {
		lane := l.idle[n-1]
		l.idle = l.idle[:n-1]
		l.running.Go(func() { l.work(lane) })
	}
	l.mu.Unlock()
	select {
	case <-x.done:
		return x, x.err
	case <-ctx.Done():
		return nil, ctx.Err() // its answer is for nobody
	}
}

// work runs batches until nobody waits.
func (l *lookups) work(lane int) {
	for {
		// Whoever has read a request already may still join. With nobody else
		// to run this costs nothing.
		runtime.Gosched()
		batch := l.take(lane)
		if batch == nil {
			return
		}
		err := l.run(lane, batch)
		for _, x := range batch {
			x.err = err
			close(x.done)
		}
	}
}

// take answers what waits, no more than fits; where there is nothing the lane
// is idle from then on.
func (l *lookups) take(lane int) []*lookup {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.idle = append(l.idle, lane)
		return nil
	}
	n := min(len(l.queue), l.most)
	batch := l.queue[:n:n]
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return batch
}

// close answers what has been asked and takes nothing more.
func (l *lookups) close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.running.Wait()
	return nil
}
