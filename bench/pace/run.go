package pace

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Asker is one connection to a server. It is used by one goroutine.
type Asker interface {
	// Ask sends request number n and waits for its whole answer; ok says that
	// it was a 200. An error ends the run.
	Ask(ctx context.Context, n int64) (ok bool, err error)
	Close() error
}

// Plan is what to do. Workers, Length and Dial are required.
type Plan struct {
	// Workers is how many connections there are.
	Workers int
	// Rate is how many requests a second are due, by a fixed schedule; 0 keeps
	// every connection busy.
	Rate int
	// Length is how long requests are sent; the last answers may come later.
	Length time.Duration
	// Dial makes a connection, before the clock starts.
	Dial func() (Asker, error)
}

// Result is what a run came to.
type Result struct {
	// Times are in microseconds. On a schedule they count from when a request
	// was due, so that a stall is not hidden by the requests that it kept from
	// being sent ("coordinated omission").
	Times *hdrhistogram.Histogram
	// Failed counts the answers that were not 200.
	Failed int64
	Took   time.Duration
}

// PerSecond is the throughput.
func (r *Result) PerSecond() float64 { return float64(r.Times.TotalCount()) / r.Took.Seconds() }

// Quantile is in milliseconds; q is 0 to 100.
func (r *Result) Quantile(q float64) float64 { return float64(r.Times.ValueAtQuantile(q)) / 1000 }

const longest = 60_000_000 // a minute, in microseconds

func newTimes() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest, 3) }

// Run does what the plan says, until ctx ends at the latest. Beside an error
// it has what was measured until then.
func Run(ctx context.Context, p Plan) (_ *Result, err error) {
	askers := make([]Asker, 0, p.Workers)
	defer func() {
		for _, a := range askers {
			err = errors.Join(err, a.Close())
		}
	}()
	for range p.Workers {
		a, err := p.Dial()
		if err != nil {
			return nil, fmt.Errorf("connecting: %w", err)
		}
		askers = append(askers, a)
	}
	r := &run{plan: p, start: time.Now(), total: newTimes()}
	var wg sync.WaitGroup
	for _, a := range askers {
		wg.Go(func() { r.work(ctx, a) })
	}
	wg.Wait()
	return &Result{Times: r.total, Failed: r.failed.Load(), Took: time.Since(r.start)}, r.err
}

type run struct {
	plan         Plan
	start        time.Time
	next, failed atomic.Int64

	mu    sync.Mutex
	total *hdrhistogram.Histogram
	err   error
}

func (r *run) work(ctx context.Context, a Asker) {
	times := newTimes()
	var err error
	for ctx.Err() == nil && err == nil {
		n := r.next.Add(1) - 1
		due := r.due(n)
		if due.Sub(r.start) >= r.plan.Length {
			break
		}
		if !waitUntil(ctx, due) {
			break
		}
		var ok bool
		ok, err = a.Ask(ctx, n)
		_ = times.RecordValue(min(time.Since(due).Microseconds(), longest))
		if !ok {
			r.failed.Add(1)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total.Merge(times)
	if r.err == nil {
		r.err = err
	}
}

// due is when request n is to be sent: on a schedule n/rate after the start,
// whatever became of those before it.
func (r *run) due(n int64) time.Time {
	if r.plan.Rate == 0 {
		return time.Now()
	}
	return r.start.Add(time.Duration(float64(n) / float64(r.plan.Rate) * float64(time.Second)))
}

func waitUntil(ctx context.Context, due time.Time) bool {
	d := time.Until(due)
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
