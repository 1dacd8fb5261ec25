package sandbox

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// Endpoint names one thing that a service does. A name covers the names below
// it: "token" is "token.refresh" too, and [Any] is everything.
type Endpoint string

// Any is every endpoint of a service.
const Any Endpoint = "*"

// Unknown is a path or method that the service does not have.
const Unknown Endpoint = "unknown"

func (e Endpoint) covers(o Endpoint) bool {
	return e == Any || e == o || strings.HasPrefix(string(o), string(e)+".")
}

// AuthKind says how a request authenticated itself, or tried to.
type AuthKind string

// The kinds of authentication that occur.
const (
	AuthNone         AuthKind = "none"
	AuthBasic        AuthKind = "basic"           // a user name and a password
	AuthBasicToken   AuthKind = "basic_api_token" // Toggl's token:api_token
	AuthToken        AuthKind = "token"           // Authorization: Token …
	AuthBearer       AuthKind = "bearer"
	AuthCookie       AuthKind = "cookie"
	AuthClientSecret AuthKind = "client_secret_post"
	AuthOther        AuthKind = "other"
)

// Call is one request as the service saw it. It holds no secret.
type Call struct {
	At       time.Time
	Endpoint Endpoint
	Method   string
	// Path is without the query.
	Path        string
	Auth        AuthKind
	ContentType string
	// Params are the names, not the values, of query and form parameters, sorted.
	Params []string
	// Status is what was answered; 0 while under way, and where the
	// connection was cut before a status line.
	Status int
	// Fault is what [Named] calls the fault that struck.
	Fault string
}

// maxCalls bounds the request log; counters go on beyond it.
const maxCalls = 10_000

// callLog counts requests and lets tests wait for them.
type callLog struct {
	mu     sync.Mutex
	counts map[Endpoint]int
	calls  []*Call
	active int
	change chan struct{} // closed and replaced when a request comes or is done
}

func newCallLog() *callLog {
	return &callLog{counts: make(map[Endpoint]int), change: make(chan struct{})}
}

// begin notes a request on its arrival; the result is given to answered.
func (l *callLog) begin(c Call) *Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[c.Endpoint]++
	if len(l.calls) == maxCalls {
		l.calls = slices.Delete(l.calls, 0, maxCalls/10)
	}
	l.calls = append(l.calls, &c)
	l.active++
	l.signal()
	return &c
}

// done notes that a request is over, one way or another.
func (l *callLog) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active--
	l.signal()
}

// signal wakes whoever waits. l.mu is held.
func (l *callLog) signal() {
	close(l.change)
	l.change = make(chan struct{})
}

func (l *callLog) answered(c *Call, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Status = status
}

// struck notes which fault a request met.
func (l *callLog) struck(c *Call, fault string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Fault = fault
}

func (l *callLog) faultOf(c *Call) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return c.Fault
}

func (l *callLog) count(e Endpoint) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.countLocked(e)
}

func (l *callLog) countLocked(e Endpoint) int {
	n := 0
	for name, c := range l.counts {
		if e.covers(name) {
			n += c
		}
	}
	return n
}

func (l *callLog) list(e Endpoint) []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Call
	for _, c := range l.calls {
		if e.covers(c.Endpoint) {
			out = append(out, *c)
		}
	}
	return out
}

func (l *callLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.counts)
	l.calls = nil
}

// wait returns when enough, which is asked under the lock, says so, or with
// ctx's error.
func (l *callLog) wait(ctx context.Context, enough func() bool) error {
	for {
		l.mu.Lock()
		ok, change := enough(), l.change
		l.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
