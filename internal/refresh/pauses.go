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
	lifeEnds time.Time
}

func newPauses() *pauses { return &pauses{by: map[string]*pause{}} }

func (p *pauses) of(id string, now time.Time) *pause {
	x := p.by[id]
	if x == nil {
		if len(p.by) >= maxPauses {
			for old, y := range p.by {
				if now.After(y.until) && now.After(y.lifeEnds) {
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
	if x := p.by[id]; x != nil {
		x.failures, x.err, x.until = 0, nil, time.Time{}
	}
}

// shortLived notes the life of a fresh credential that is shorter than asked.
// The note lasts as long as that credential: the next one may live longer.
func (p *pauses) shortLived(id string, now time.Time, life time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.of(id, now)
	x.life, x.lifeEnds = life, now.Add(life)
}

func (p *pauses) life(id string, now time.Time) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.by[id]
	if x == nil || !now.Before(x.lifeEnds) {
		return 0, false
	}
	return x.life, true
}
