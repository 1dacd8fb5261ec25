package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/claviger/claviger/internal/store"
)

// recorder records what was run, and holds each run until it is let go.
type recorder struct {
	mu   sync.Mutex
	ran  [][]string
	gate chan error
}

func (b *recorder) run(_ int, ids []string) error {
	b.mu.Lock()
	b.ran = append(b.ran, ids)
	b.mu.Unlock()
	return <-b.gate
}

func (b *recorder) seen() [][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.ran)
}

// What comes while a statement is under way is not answered by it: it may have
// begun before a revocation that the caller knows of.
func TestBatchesWaitForTheNextStatement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &recorder{gate: make(chan error)}
		ask, stop := store.Batches(1, 3, b.run)
		answers := make(chan error, 10)
		later := func(id string) {
			go func() { answers <- ask(t.Context(), id) }()
			synctest.Wait()
		}
		later("first")
		for i := range 5 {
			later(fmt.Sprint(i))
		}
		equal(t, "under way", b.seen(), [][]string{{"first"}})
		broken := errors.New("broken")
		b.gate <- broken
		synctest.Wait()
		if err := <-answers; !errors.Is(err, broken) || len(answers) != 0 {
			t.Errorf("the first got %v, and %d others were answered with it", err, len(answers))
		}
		b.gate <- nil
		b.gate <- nil
		synctest.Wait()
		equal(t, "batches", b.seen(), [][]string{{"first"}, {"0", "1", "2"}, {"3", "4"}})
		for range 5 {
			if err := <-answers; err != nil {
				t.Errorf("a failure was passed on to the next batch: %v", err)
			}
		}
		stop()
	})
}

// With a second lane nobody waits for the statement of others.
func TestBatchesUseEveryLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &recorder{gate: make(chan error)}
		ask, stop := store.Batches(2, 3, b.run)
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() { _ = ask(t.Context(), fmt.Sprint(i)) })
			synctest.Wait()
		}
		equal(t, "under way", b.seen(), [][]string{{"0"}, {"1"}})
		close(b.gate)
		all.Wait()
		stop()
	})
}

func TestBatchesAndCallersThatLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &recorder{gate: make(chan error)}
		ask, stop := store.Batches(1, 3, b.run)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { left <- ask(ctx, "leaves") }()
		synctest.Wait()
		stays := make(chan error, 1)
		go func() { stays <- ask(t.Context(), "stays") }()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that left got %v", err)
		}
		if err := ask(ctx, "gone before it came"); !errors.Is(err, context.Canceled) {
			t.Errorf("gone before it came: %v", err)
		}
		b.gate <- nil
		stopped := make(chan struct{})
		go func() {
			stop()
			close(stopped)
		}()
		synctest.Wait()
		select {
		case <-stopped:
			t.Error("stopped with a statement under way")
		default:
		}
		b.gate <- nil
		if err := <-stays; err != nil {
			t.Error(err)
		}
		<-stopped
		equal(t, "batches", b.seen(), [][]string{{"leaves"}, {"stays"}})
		if ask(t.Context(), "late") == nil {
			t.Error("asked after the end, and got an answer")
		}
	})
}
