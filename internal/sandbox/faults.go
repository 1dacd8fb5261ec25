package sandbox

import (
	"net/http"
	"slices"
	"sync"
)

// Fault changes how an endpoint answers. It is a middleware: it may answer
// itself and leave next alone, so that nothing happens at the service, or run
// next first, so that the state has changed when the answer goes wrong.
type Fault func(next http.Handler) http.Handler

// Faults is the switchboard of one service. It is safe for concurrent use.
type Faults struct {
	mu     sync.Mutex
	queue  []queued
	always []queued
}

// Named puts a name into the books of each call that the fault strikes.
func Named(name string, fault Fault) Fault {
	return func(next http.Handler) http.Handler {
		h := fault(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if e, ok := entryOf(r); ok {
				e.log.struck(e.call, name)
			}
			h.ServeHTTP(w, r)
		})
	}
}

type queued struct {
	endpoint Endpoint
	left     int
	fault    Fault
}

func newFaults() *Faults { return &Faults{} }

// Next makes the next n calls of an endpoint go wrong. Several orders queue up.
func (f *Faults) Next(e Endpoint, n int, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n > 0 {
		f.queue = append(f.queue, queued{e, n, fault})
	}
}

// Always makes every call of an endpoint go wrong, until Clear. The newest
// order wins; what is queued by Next goes first.
func (f *Faults) Always(e Endpoint, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.always = append(f.always, queued{endpoint: e, fault: fault})
}

// Clear takes back every order for an endpoint and those below it; Clear(Any)
// takes back all. Calls already under way stay as they are.
func (f *Faults) Clear(e Endpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	covered := func(q queued) bool { return e.covers(q.endpoint) }
	f.queue = slices.DeleteFunc(f.queue, covered)
	f.always = slices.DeleteFunc(f.always, covered)
}

// Pending is how many queued faults for an endpoint were not used yet.
func (f *Faults) Pending(e Endpoint) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, q := range f.queue {
		if e.covers(q.endpoint) {
			n += q.left
		}
	}
	return n
}

// wrap uses up the fault that is due for e, if one is.
func (f *Faults) wrap(e Endpoint, h http.Handler) http.Handler {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.queue {
		q := &f.queue[i]
		if !q.endpoint.covers(e) {
			continue
		}
		fault := q.fault
		if q.left--; q.left == 0 {
			f.queue = slices.Delete(f.queue, i, i+1)
		}
		return fault(h)
	}
	for _, q := range slices.Backward(f.always) {
		if q.endpoint.covers(e) {
			return q.fault(h)
		}
	}
	return h
}
