package admin

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// triesPerMinute is how often one address, and one account, may try to sign
	// in; logoutsPerMinute how often one address may say that somebody logged out.
	triesPerMinute   = 10
	logoutsPerMinute = 120
	// maxRemembered bounds each of the two maps.
	maxRemembered = 10_000
)

// limiter counts the tries of each address and account, in this process. Links
// are too long to be guessed and the OpenID provider has limits of its own; this
// is for whoever tries all the same, and for the log.
//
// It remembers those of late in two maps. When the newer one is full it becomes
// the older one, which is forgotten: no list to keep sorted, and never more than
// twice maxRemembered. Whoever has that many addresses to be forgotten with has
// as many tries anyway.
type limiter struct {
	now       func() time.Time
	perMinute int

	mu           sync.Mutex
	newer, older map[string]*rate.Limiter
}

func newLimiter(now func() time.Time, perMinute int) *limiter {
	return &limiter{now: now, perMinute: perMinute, newer: map[string]*rate.Limiter{}}
}

// takeAddress uses up one try of an address. Where it has none left, wait is how
// long until the next.
func (l *limiter) takeAddress(remote string) (wait time.Duration) {
	return l.take("address " + network(remote).String())
}

// takeAccount uses up one try of an account: an admin's id, or who they are at
// the OpenID provider.
func (l *limiter) takeAccount(name string) (wait time.Duration) {
	return l.take("account " + name)
}

func (l *limiter) take(key string) (wait time.Duration) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.of(key).ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now) // a refused try does not put the next one off
	}
	return wait
}

func (l *limiter) of(key string) *rate.Limiter {
	if r := l.newer[key]; r != nil {
		return r
	}
	r := l.older[key]
	if r == nil {
		r = rate.NewLimiter(rate.Every(time.Minute/time.Duration(l.perMinute)), l.perMinute)
	}
	if len(l.newer) >= maxRemembered {
		l.newer, l.older = map[string]*rate.Limiter{}, l.newer
	}
	l.newer[key] = r
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
