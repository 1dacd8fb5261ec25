package refresh

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/claviger/claviger/internal/vault"
)

// A host that fails five of ten calls is left alone for breakTime, then tried
// with one call: an outage costs a handful of calls a minute, however many
// connections wait for its end.
const (
	breakAfter = 5
	breakOf    = 10
	breakTime  = 20 * time.Second
	// tryingTime is how long the others are put off while one call tries a host.
	tryingTime = 5 * time.Second
	// longestRest bounds what a Retry-After is believed.
	longestRest = time.Hour
	// nameTime is how long the host of an integration is believed: its settings
	// may change.
	nameTime = time.Minute
)

// hosts are the providers' hosts, as this process knows them.
type hosts struct {
	slots int
	now   func() time.Time
	log   *slog.Logger

	mu    sync.Mutex
	by    map[string]*host
	names map[nameKey]named
}

type nameKey struct{ integrationID, method string }

type named struct {
	host  string
	until time.Time
}

// host is one of them. Whoever is admitted says what came of it.
type host struct {
	breaker circuitbreaker.CircuitBreaker[any]
	slots   chan struct{} // of the sweep
	now     func() time.Time

	mu     sync.Mutex
	until  time.Time // it asked to be left alone
	trying bool      // one call finds out whether it works again
}

func newHosts(slots int, now func() time.Time, log *slog.Logger) *hosts {
	return &hosts{slots: slots, now: now, log: log, by: map[string]*host{}, names: map[nameKey]named{}}
}

func (h *hosts) of(name string) *host {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.by[name]
	if x == nil {
		x = &host{slots: make(chan struct{}, h.slots), now: h.now}
		x.breaker = circuitbreaker.NewBuilder[any]().
			WithFailureThresholdRatio(breakAfter, breakOf).
			WithDelay(breakTime).
			WithSuccessThreshold(1).
			OnStateChanged(func(s circuitbreaker.StateChangedEvent) {
				h.log.Warn("a provider's circuit breaker", "host", name, "from", s.OldState.String(), "to", s.NewState.String())
			}).Build()
		h.by[name] = x
	}
	return x
}

// busy lists the integrations whose host takes no call of the sweep right now.
func (h *hosts) busy() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []string
	for key, n := range h.names {
		if !h.now().Before(n.until) {
			delete(h.names, key)
			continue
		}
		x := h.by[n.host]
		if x != nil && (len(x.slots) == cap(x.slots) || x.resting() > 0) && len(ids) < maxSkipped {
			ids = append(ids, key.integrationID)
		}
	}
	return ids
}

// resting is how long the host should be left alone, 0 where it need not be.
func (x *host) resting() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	if wait := x.until.Sub(x.now()); wait > 0 {
		return wait
	}
	if x.breaker.IsOpen() {
		return x.breaker.RemainingDelay()
	}
	if x.trying {
		return tryingTime
	}
	return 0
}

// admit answers 0 where the host may be called; [host.answered] has to follow.
func (x *host) admit() time.Duration {
	if wait := x.resting(); wait > 0 {
		return wait
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.breaker.TryAcquirePermit() {
		return max(x.breaker.RemainingDelay(), tryingTime)
	}
	x.trying = !x.breaker.IsClosed()
	return 0
}

// answered says whether the host works, and for how long it wants to be left
// alone.
func (x *host) answered(works bool, rest time.Duration) {
	if works {
		x.breaker.RecordSuccess()
	} else {
		x.breaker.RecordFailure()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trying = false
	if rest <= 0 {
		return
	}
	x.until = x.now().Add(min(rest, longestRest))
}

// take takes a slot of the sweep, if there is one; give gives it back.
func (x *host) take() bool {
	select {
	case x.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (x *host) give() { <-x.slots }

// hostName names the host that a credential of this method is renewed at. What
// has none is known by its integration.
func (e *Engine) hostName(in vault.Integration, method string) string {
	name := e.providers.RefreshHost(in, method)
	if name == "" {
		name = in.ID
	}
	e.hosts.mu.Lock()
	defer e.hosts.mu.Unlock()
	e.hosts.names[nameKey{in.ID, method}] = named{name, e.now().Add(nameTime)}
	return name
}

func (e *Engine) hostNameOf(ctx context.Context, caller vault.Caller, c vault.Connection) (string, error) {
	e.hosts.mu.Lock()
	n := e.hosts.names[nameKey{c.IntegrationID, c.Method}]
	e.hosts.mu.Unlock()
	if e.now().Before(n.until) {
		return n.host, nil
	}
	in, err := e.vault.OpenIntegration(ctx, caller, c.IntegrationID)
	if err != nil {
		return "", err
	}
	return e.hostName(in, c.Method), nil
}
