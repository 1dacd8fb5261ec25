package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/vault"
)

// modelProcess is one broker. Whatever it does that anybody else could notice
// is a step, and it can be stopped before each of them: for a while, like by
// SIGSTOP, or for good. What it computes between two steps nobody sees, so that
// it makes no difference when it does.
type modelProcess struct {
	name   string
	world  *modelWorld
	engine *refresh.Engine
	vault  *vault.Vault
	spool  string // directory, "" for none
	rest   func() // ends what it does in the background
	// insists: its readers come again and again while the database is away.
	insists bool

	mu      sync.Mutex
	steps   []string      // taken so far
	stopAt  int           // the step to be stopped before, counted from 1; 0 for never
	stood   chan struct{} // closed when it is stopped
	gate    chan struct{} // closed when it may go on; nil unless stopped
	dead    bool          // it never goes on
	refused bool          // the database did not take a save, and the process knows
	wired   bool          // it was stopped when nothing lay between it and the provider any more
	over    bool          // the run is over: let it fall apart
	stops   []modelStop
	trouble modelTrouble
	looked  time.Time // when it last had an answer from the database for a reader
	version int       // which version of the row that was
	polled  string    // what it saw when it last looked at the lease
}

// modelStop is a time in which a process did nothing.
type modelStop struct{ from, to time.Time } // to is zero while it lasts

// modelTrouble is what a process suffers from the database at one of its steps.
type modelTrouble struct {
	at   int // counted like stopAt
	kind modelTroubleKind
}

type modelTroubleKind string

const (
	refuseOnce modelTroubleKind = "refused"       // nothing happens, and the process is told so
	loseAnswer modelTroubleKind = "answer lost"   // it happens, and the process is told that it did not
	shortDown  modelTroubleKind = "down 5 s"      // the database is away for everybody
	longDown   modelTroubleKind = "down 45 s"     // and for longer than a lease
	cutOff     modelTroubleKind = "cut off 45 s"  // for this process alone
	hanging    modelTroubleKind = "hanging 1.5 s" // it takes its time, and does what it was asked
)

var (
	errModelDead    = errors.New("the process is dead")
	errModelRefused = errors.New("the database refuses")
)

// step is passed before anything that others could notice.
func (p *modelProcess) step(what string) error {
	p.mu.Lock()
	p.polled = ""
	p.steps = append(p.steps, what)
	if len(p.steps) == p.stopAt && !p.over {
		p.gate = make(chan struct{})
		p.stops = append(p.stops, modelStop{from: time.Now()})
		close(p.stood)
	}
	gate := p.gate
	p.wired = p.wired || gate != nil && what == "send"
	p.mu.Unlock()
	if gate != nil {
		<-gate
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return errModelDead
	}
	p.world.note(p.name, what)
	return nil
}

// again reports whether the process just looks again at what it saw before, and
// has done nothing else since: only the first look counts as a step.
func (p *modelProcess) again(seen string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.polled == seen && p.gate == nil && !p.over
}

func (p *modelProcess) saw(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.polled = what
}

// taken lists the steps so far.
func (p *modelProcess) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.steps)
}

// standing reports whether the process is stopped. If it is not by now, it is
// not going to be.
func (p *modelProcess) standing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gate == nil {
		p.stopAt = 0
	}
	return p.gate != nil
}

// resume lets a stopped process go on.
func (p *modelProcess) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stops[len(p.stops)-1].to = time.Now()
	close(p.gate)
	p.gate = nil
	p.world.note(p.name, "goes on")
}

// kill says that a stopped process never goes on.
func (p *modelProcess) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
	p.world.note(p.name, "is killed")
}

// end lets what hangs in the process fall apart, when nobody looks any more.
func (p *modelProcess) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.gate != nil {
		close(p.gate)
		p.gate = nil
	}
}

func (p *modelProcess) killed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// left reports whether what the process was about to save has to be in its spool.
func (p *modelProcess) left() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead && p.refused && p.spool != ""
}

func (p *modelProcess) onTheWire() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wired
}

// away is for how long the process was stopped after from, forever if it is dead.
func (p *modelProcess) away(from time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sum time.Duration
	for _, s := range p.stops {
		end := s.to
		if end.IsZero() {
			if p.dead {
				return time.Duration(1<<63 - 1)
			}
			end = time.Now()
		}
		if s.from.Before(from) {
			s.from = from
		}
		sum += max(end.Sub(s.from), 0)
	}
	return sum
}

// reading is one request for headers, until it is answered.
type modelReading struct {
	done   chan struct{}
	served refresh.Served
	err    error
}

// read asks the process for headers with a minute of life.
func (p *modelProcess) read() *modelReading {
	r := &modelReading{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for {
			r.served, r.err = p.engine.Headers(p.world.t.Context(), vault.Bearer{Key: p.world.base.key}, p.world.base.connection, time.Minute)
			if !p.insists || !errors.Is(r.err, errModelRefused) {
				break
			}
			<-time.After(50 * time.Millisecond) // somebody else comes
		}
		p.mu.Lock()
		over, looked, version := p.over, p.looked, p.version
		resumed := len(p.stops) > 0 && p.stops[len(p.stops)-1].to.After(looked)
		p.mu.Unlock()
		if over {
			return
		}
		at := time.Now()
		if resumed { // what it served was right when it looked; then it was stopped
			at = looked
		}
		p.world.checkReading(p, r, at, version)
	}()
	return r
}

// retryAfter is when a refused reader is told to come back; ok is false for what
// no waiting mends.
func (r *modelReading) retryAfter() (time.Duration, bool) {
	switch fault.KindOf(r.err) {
	case fault.ProviderUnavailable, fault.RateLimited:
		f, _ := fault.As(r.err)
		return f.RetryAfter, true
	}
	return 0, errors.Is(r.err, errModelRefused)
}

// token is the access token in an answer.
func (r *modelReading) token() string {
	text, err := r.served.Answer.Text()
	if err != nil {
		return err.Error()
	}
	return strings.TrimPrefix(parse(string(text))["Authorization"], "Bearer ")
}

func (r *modelReading) String() string {
	if r.err != nil {
		return r.err.Error()
	}
	return fmt.Sprintf("%s, min_ttl met %t", r.token(), r.served.MinTTLMet)
}

// troubled says what the database does to the call of the step just taken.
func (p *modelProcess) troubled(ctx context.Context) modelTroubleKind {
	p.mu.Lock()
	kind := modelTroubleKind("")
	if len(p.steps) == p.trouble.at {
		kind = p.trouble.kind
	}
	p.mu.Unlock()
	w := p.world
	switch kind {
	case shortDown:
		w.outage(nil, 4300*time.Millisecond)
	case longDown:
		w.outage(nil, 44300*time.Millisecond)
	case cutOff:
		w.outage(p, 45*time.Second)
	case hanging:
		select {
		case <-time.After(1500 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if kind != "" {
		w.note("database", string(kind))
	}
	if w.down(p) {
		return refuseOnce
	}
	return kind
}
