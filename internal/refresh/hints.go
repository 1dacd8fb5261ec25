package refresh

import (
	"context"
	"sync"
)

// hints wake flights that wait for another process's lease. A hint may get
// lost; then the flight finds out by looking.
type hints struct {
	out chan string // to be announced to other processes

	mu      sync.Mutex
	waiting map[string]map[chan struct{}]struct{}
}

func newHints() *hints {
	return &hints{out: make(chan string, 256), waiting: map[string]map[chan struct{}]struct{}{}}
}

// expect answers a channel that gets something when a connection has changed.
func (h *hints) expect(id string) (_ <-chan struct{}, done func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting[id] == nil {
		h.waiting[id] = map[chan struct{}]struct{}{}
	}
	h.waiting[id][ch] = struct{}{}
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.waiting[id], ch)
		if len(h.waiting[id]) == 0 {
			delete(h.waiting, id)
		}
	}
}

func (h *hints) heard(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.waiting[id] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// tell passes it on to the other processes, if there is room for it.
func (h *hints) tell(id string) {
	select {
	case h.out <- id:
	default:
	}
}

// announce sends out what was told, off the path of whoever waits for it here.
func (e *Engine) announce(ctx context.Context) {
	for {
		select {
		case id := <-e.hints.out:
			if err := e.vault.Announce(ctx, id); err != nil && ctx.Err() == nil {
				e.log.Debug("announcing a change", "connection", id, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
