package refresh

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
)

// DrainTime is how long a stopping process should give [Engine.Close]: what is
// under way may have spent a token already.
const DrainTime = callTime + saveTime

// How long things may take. A holder that lives keeps its lease by heartbeat
// for as long as the call lasts; one that was killed blocks the connection for
// leaseTime. Giving up on a slow provider early would only turn a late success
// into a lost token, so the call's deadline is long.
const (
	leaseTime = 25 * time.Second
	beatTime  = 5 * time.Second
	// graceTime is how long a lease that ran out with a token sent is left alone:
	// longer than a holder takes that could not save, to find the database again.
	graceTime = settleEvery + tryTime + time.Second
	// sendMargin before the end of the lease is the last moment to send.
	sendMargin = 5 * time.Second
	callTime   = 50 * time.Second
	saveTime   = 20 * time.Second
	// waitTime is how long a flight waits for somebody else's lease: longer than
	// a call with its save, and below the deadline that the HTTP server writes by.
	waitTime = callTime + saveTime + 5*time.Second
	// readTime is how long a reader waits in all, below the same deadline.
	readTime = waitTime + 5*time.Second
	// patience is how long a reader waits for fresher headers while what there is
	// still works.
	patience = 1500 * time.Millisecond
	// maxRenewals is how often one reader tries: a holder that was killed after
	// it saved a rotated token leaves a new generation that is no fresher.
	maxRenewals = 3
)

// Config is what an engine needs. Vault and Providers are required.
type Config struct {
	Vault     *vault.Vault
	Providers *providers.Service
	// Owner names this process in leases, for people who look at the table.
	Owner string
	// Spool keeps what the database refuses to take. Where it is nil, memory
	// does, as long as the process lives.
	Spool *Spool
	// Rate is how many connections a second are refreshed ahead of time at
	// most, by this process; 0 is 50.
	Rate float64
	// PerHost is how many of those calls one provider host gets at a time; 0 is 8.
	PerHost int
	Now     func() time.Time // time.Now where nil
	Log     *slog.Logger     // slog.Default() where nil
}

// Engine serves headers and renews what they are made of. It is safe for
// concurrent use. Run works ahead of time, Close waits for what is under way.
type Engine struct {
	vault     *vault.Vault
	providers *providers.Service
	owner     string
	now       func() time.Time
	log       *slog.Logger

	flights singleflight.Group
	pauses  *pauses
	hosts   *hosts
	hints   *hints
	unsaved *unsaved
	pace    *rate.Limiter
	lanes   chan struct{}
	ahead   chan struct{} // closed by StopAhead
	rested  sync.Once

	// closing is closed by Close; gate keeps flights from starting after it.
	gate    sync.Mutex
	closing chan struct{}
	closed  bool
	running sync.WaitGroup
}

// New makes an engine.
func New(cfg Config) *Engine {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Rate <= 0 {
		cfg.Rate = 50
	}
	if cfg.PerHost <= 0 {
		cfg.PerHost = 8
	}
	return &Engine{
		vault: cfg.Vault, providers: cfg.Providers, owner: cfg.Owner, now: cfg.Now, log: cfg.Log,
		pauses: newPauses(), hosts: newHosts(cfg.PerHost, cfg.Now, cfg.Log), hints: newHints(),
		unsaved: &unsaved{spool: cfg.Spool, by: map[string]*vault.Unsaved{}},
		pace:    rate.NewLimiter(rate.Limit(cfg.Rate), 1), lanes: make(chan struct{}, maxLanes),
		ahead: make(chan struct{}), closing: make(chan struct{}),
	}
}

// Run refreshes ahead of time, saves what could not be saved, and hears what
// other replicas have done, until ctx ends. That should be after Close: until
// then there may be something to save.
func (e *Engine) Run(ctx context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { e.sweep(ctx) })
	loops.Go(func() { e.settleAll(ctx) })
	loops.Go(func() { e.announce(ctx) })
	loops.Go(func() {
		if err := e.vault.Listen(ctx, e.hints.heard); err != nil {
			e.log.Error("listening to other replicas", "error", err)
		}
	})
	loops.Wait()
}

// StopAhead begins nothing any more that nobody has asked for.
func (e *Engine) StopAhead() { e.rested.Do(func() { close(e.ahead) }) }

// begin counts something that Close waits for; e.running.Done ends it. It
// answers false after Close.
func (e *Engine) begin() bool {
	e.gate.Lock()
	defer e.gate.Unlock()
	if e.closed {
		return false
	}
	e.running.Add(1)
	return true
}

func (e *Engine) stopped() bool {
	e.gate.Lock()
	defer e.gate.Unlock()
	return e.closed
}

// Close begins no renewal any more and waits until none is under way, or ctx
// ends; then it tries once more to save what could not be saved. A renewal cut
// off between the provider's answer and the save is a token lost.
func (e *Engine) Close(ctx context.Context) error {
	e.StopAhead()
	e.gate.Lock()
	if !e.closed {
		e.closed = true
		close(e.closing)
	}
	e.gate.Unlock()
	done := make(chan struct{})
	go func() {
		e.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		if n := e.settleOnce(ctx); n > 0 {
			e.log.Error("renewed credentials are left to the next start", "count", n, "in_spool", e.unsaved.spool != nil)
		}
		return nil
	case <-ctx.Done():
		return errors.New("refresh: renewals were still under way")
	}
}

func (e *Engine) system(environmentID string) vault.Caller {
	return vault.System("refresh", environmentID)
}
