package admin

import "time"

// LimiterSize is how many addresses a limiter remembers after n tries, each
// from an address of its own, and the most that it may.
func LimiterSize(n int, address func(i int) string) (size, most int) {
	l := newLimiter(time.Now, triesPerMinute)
	for i := range n {
		l.takeAddress(address(i))
	}
	return len(l.newer) + len(l.older), 2 * maxRemembered
}

// StreamEvery makes h's streams look this often for something new.
func StreamEvery(h *Handler, d time.Duration) { h.streams.every = d }
