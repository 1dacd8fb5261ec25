package vault

import (
	"context"
	"sync"
	"time"
)

// sessionPoll is how often a waiting reader looks: another replica may have
// moved the session. Moves in this process wake it at once.
const sessionPoll = time.Second

// WaitSession is Session, answered when the end user is through or when wait
// is over, whichever is first.
func (v *Vault) WaitSession(ctx context.Context, caller Caller, id string, wait time.Duration) (ConnectSession, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	poll := time.NewTicker(sessionPoll)
	defer poll.Stop()
	for {
		moved := v.sessionUp.wait() // before the read, so that no move is missed
		s, err := v.Session(ctx, caller, id)
		if err != nil || (s.Status != SessionOpen && s.Status != SessionBound) {
			return s, err
		}
		select {
		case <-moved:
		case <-poll.C:
		case <-deadline.C:
			return s, nil
		case <-v.sessionUp.over:
			return s, nil
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

// StopWaiting answers everybody in WaitSession with what there is, and whoever
// comes later at once: a process that stops should not wait for those who wait.
func (v *Vault) StopWaiting() { v.sessionUp.end() }

// Stopping is closed by [Vault.StopWaiting], for others who wait.
func (v *Vault) Stopping() <-chan struct{} { return v.sessionUp.over }

// signal wakes everybody who waits.
type signal struct {
	mu   sync.Mutex
	ch   chan struct{}
	over chan struct{}
	end  func()
}

func newSignal() *signal {
	s := &signal{ch: make(chan struct{}), over: make(chan struct{})}
	s.end = sync.OnceFunc(func() { close(s.over) })
	return s
}

func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch
}

func (s *signal) broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ch)
	s.ch = make(chan struct{})
}
