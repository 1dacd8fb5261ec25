package store

import (
	"context"
	"errors"
	"runtime"
	"sync"
)

// batches does what many want done, a batch at a time: what comes while a
// statement is under way waits for the next one, and shares it. Everything is
// done by a statement that began after it came, so that nothing in here can
// make an answer stale: there is no cache.
type batches[T any] struct {
	// run does a batch on a lane, or fails as a whole. It is not called twice at
	// a time for one lane.
	run func(lane int, batch []*wanted[T]) error
	// most is the size of a batch.
	most int

	mu      sync.Mutex
	queue   []*wanted[T]
	idle    []int // lanes with nothing to do
	closed  bool
	running sync.WaitGroup
}

// wanted is one thing to do. It is the caller's once done is closed.
type wanted[T any] struct {
	it   T
	err  error
	done chan struct{}
}

var errClosed = errors.New("the store is closed")

func newBatches[T any](lanes, most int, run func(lane int, batch []*wanted[T]) error) *batches[T] {
	b := &batches[T]{run: run, most: most}
	for lane := range lanes {
		b.idle = append(b.idle, lane)
	}
	return b
}

// do waits until it is done, or until ctx ends: it may be done all the same
// then, for nobody.
func (b *batches[T]) do(ctx context.Context, it T) (*T, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x := &wanted[T]{it: it, done: make(chan struct{})}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, errClosed
	}
	b.queue = append(b.queue, x)
	if n := len(b.idle); n > 0 {
		lane := b.idle[n-1]
		b.idle = b.idle[:n-1]
		b.running.Go(func() { b.work(lane) })
	}
	b.mu.Unlock()
	select {
	case <-x.done:
		return &x.it, x.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// work runs batches until nobody waits.
func (b *batches[T]) work(lane int) {
	for {
		// Whoever has read a request already may still join. With nobody else
		// to run this costs nothing.
		runtime.Gosched()
		batch := b.take(lane)
		if batch == nil {
			return
		}
		err := b.run(lane, batch)
		for _, x := range batch {
			x.err = err
			close(x.done)
		}
	}
}

// take answers what waits, no more than fits; where there is nothing the lane
// is idle from then on.
func (b *batches[T]) take(lane int) []*wanted[T] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		b.idle = append(b.idle, lane)
		return nil
	}
	n := min(len(b.queue), b.most)
	batch := b.queue[:n:n]
	if b.queue = b.queue[n:]; len(b.queue) == 0 {
		b.queue = nil
	}
	return batch
}

// close does what has been asked for and takes nothing more.
func (b *batches[T]) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.running.Wait()
}
