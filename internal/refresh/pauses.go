package refresh

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// How long a connection rests after failures that pass: full jitter below a
// ceiling that doubles.
const (
	firstPause  = time.Second
	longestRest = time.Minute
	// maxPauses bounds the memory; beyond it what is over is forgotten first.
	maxPauses = 100_000
)

// pauses remembers, for this process only, which connections are not worth
// asking about right now, and whose tokens live shorter than callers wish.
type pauses struct {
	mu sync.Mutex
	by map[string]*pause
}

type pause struct {
	until    time.Time
	failures int
	err      *fault.Error
	life     time.Duration
}

func newPauses() *pauses { return &pauses{by: map[string]*pause{}} }

func (p *pauses) of(id string, now time.Time) *pause {
	x := p.by[id]
	if x == nil {
		if len(p.by) >= maxPauses {
			for old, y := range p.by {
				if now.After(y.until) {
					delete(p.by, old)
				}
			}
		}
		x = &pause{}
		p.by[id] = x
	}
	return x
}

// failed notes a failure that passes. err is what readers get meanwhile.
func (p *pauses) failed(id string, now time.Time, err *fault.Error) *fault.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.of(id, now)
	ceiling := min(longestRest, firstPause<<min(x.failures, 10))
	rest := max(err.RetryAfter, time.Duration(rand.Int64N(int64(ceiling))))
	x.failures++
	x.until = now.Add(rest)
	x.err = err
	return err.After(max(rest, time.Second))
}

// paused answers what the last try came to while it is too soon for another.
func (p *pauses) paused(id string, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.by[id]
	if x == nil || x.err == nil || !now.Before(x.until) {
		return nil
	}
	again := *x.err
	return again.After(max(x.until.Sub(now), time.Second))
}

// over forgets failures.
func (p *pauses) over(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.by[id]; x != nil && x.life == 0 {
		delete(p.by, id)
	} else if x != nil {
		x.failures, x.err, x.until = 0, nil, time.Time{}
	}
}

// shortLived notes the life of a fresh credential that is shorter than asked.
func (p *pauses) shortLived(id string, life time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of(id, time.Time{}).life = max(life, 1)
}

func (p *pauses) life(id string) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.by[id]
	if x == nil || x.life == 0 {
		return 0, false
	}
	return x.life, true
}
