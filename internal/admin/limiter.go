package admin

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// triesPerMinute is how often one address may try to sign in.
	triesPerMinute = 10
	// maxAddresses bounds each of the two maps.
	maxAddresses = 10_000
)

// limiter counts the tries of each address. API keys are too long to be
// guessed; this is for whoever tries all the same, and for the log.
//
// It remembers the addresses of late in two maps. When the newer one is full it
// becomes the older one, which is forgotten: no list to keep sorted, and never
// more than twice maxAddresses. Whoever has that many addresses to be forgotten
// with has as many tries anyway.
type limiter struct {
	now func() time.Time

	mu           sync.Mutex
	newer, older map[netip.Prefix]*rate.Limiter
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, newer: map[netip.Prefix]*rate.Limiter{}}
}

// take uses up one try of an address. Where it has none left, wait is how long
// until the next.
func (l *limiter) take(remote string) (wait time.Duration) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.of(network(remote)).ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now) // a refused try does not put the next one off
	}
	return wait
}

func (l *limiter) of(p netip.Prefix) *rate.Limiter {
	if r := l.newer[p]; r != nil {
		return r
	}
	r := l.older[p]
	if r == nil {
		r = rate.NewLimiter(rate.Every(time.Minute/triesPerMinute), triesPerMinute)
	}
	if len(l.newer) >= maxAddresses {
		l.newer, l.older = map[netip.Prefix]*rate.Limiter{}, l.newer
	}
	l.newer[p] = r
	return r
}

// network is what counts as one address: of IPv6 the /64, as one subscriber has
// all of it. What is no address is counted together.
func network(remote string) netip.Prefix {
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	return netip.PrefixFrom(addr, bits).Masked()
}
