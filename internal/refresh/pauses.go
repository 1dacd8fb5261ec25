package refresh

import (
	"sync"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// maxPauses bounds the memory.
const maxPauses = 100_000

// pauses remembers, for this process only, which connections are not worth
// asking about right now, and whose tokens live shorter than callers wish.
type pauses struct {
	mu sync.Mutex
	by map[string]*pause
}

type pause struct {
	until    time.Time
	err      *fault.Error
	life     time.Duration
	lifeEnds time.Time
	// verified is when the provider last honoured a generation.
	verified   time.Time
	generation int64
}

func newPauses() *pauses { return &pauses{by: map[string]*pause{}} }

func (p *pauses) of(id string, now time.Time) *pause {
	x := p.by[id]
	if x == nil {
		if len(p.by) >= maxPauses {
			p.evict(now)
		}
		x = &pause{}
		p.by[id] = x
	}
	return x
}

// evict makes room: of a handful it forgets what is over, or else any. What is
// forgotten too early costs a call.
func (p *pauses) evict(now time.Time) {
	looked, last := 0, ""
	for id, x := range p.by {
		last = id
		if now.After(x.until) && now.After(x.lifeEnds) {
			delete(p.by, id)
		}
		if looked++; looked == 8 {
			break
		}
	}
	delete(p.by, last)
}

// failed notes that a connection rests, and what readers get meanwhile.
func (p *pauses) failed(id string, now time.Time, rest time.Duration, err *fault.Error) *fault.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.of(id, now)
	x.until, x.err = now.Add(rest), err
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
		x.err, x.until = nil, time.Time{}
	}
}

// shortLived notes the life of a fresh credential that is shorter than asked.
// The note lasts longer than that credential, so that it is there when the next
// one comes, and not for ever: that may live longer.
func (p *pauses) shortLived(id string, now time.Time, life time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.of(id, now)
	x.life, x.lifeEnds = life, now.Add(2*life)
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

// verified notes that the provider honours a generation.
func (p *pauses) verified(id string, generation int64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.of(id, now)
	x.verified, x.generation = now, generation
}

func (p *pauses) verifiedSince(id string, generation int64, since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.by[id]
	return x != nil && x.generation == generation && x.verified.After(since)
}
