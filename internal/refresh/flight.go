package refresh

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// How often a waiting flight looks whether the holder of the lease is done. A
// hint makes it look at once.
const (
	shortestLook = 20 * time.Millisecond
	longestLook  = 250 * time.Millisecond
)

// landing is what a flight came to beside an error.
type landing struct {
	// unsaved is the renewed credential where the database would not take it.
	unsaved *vault.Unsaved
	// verdict is the provider's, where it was asked.
	verdict verdict
}

// renew moves a connection past c's generation, or says why not. All callers
// of this process share one flight, which goes on when they go away.
func (e *Engine) renew(ctx context.Context, c vault.Connection) (landing, error) {
	return e.fly(ctx, "renew:"+c.ID, func(ctx context.Context) (landing, error) {
		return e.renewOnce(ctx, c, e.left(c.ExpiresAt))
	})
}

// renewRefused is renew for headers that the provider refuses already: there is
// no live token to lose by it.
func (e *Engine) renewRefused(ctx context.Context, c vault.Connection) (landing, error) {
	return e.fly(ctx, "renew:"+c.ID, func(ctx context.Context) (landing, error) { return e.renewOnce(ctx, c, 0) })
}

func (e *Engine) fly(ctx context.Context, key string, work func(context.Context) (landing, error)) (landing, error) {
	if !e.begin() {
		return landing{}, stopping()
	}
	landed := e.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), waitTime+callTime+saveTime)
		defer cancel()
		return work(ctx)
	})
	type result struct {
		landing

		err error
	}
	out := make(chan result, 1)
	go func() {
		defer e.running.Done()
		r := <-landed
		l, _ := r.Val.(landing)
		out <- result{l, r.Err}
	}()
	select {
	case r := <-out:
		return r.landing, r.err
	case <-ctx.Done():
		return landing{}, ctx.Err()
	}
}

// stopping asks the caller to try again: another process, or this one after its
// start, will do it.
func stopping() error {
	return fault.New(fault.ProviderUnavailable, "This process is being stopped. Try again.").After(time.Second)
}

// resting asks the caller to leave a provider alone for a while.
func resting(wait time.Duration) *fault.Error {
	return fault.New(fault.ProviderUnavailable, "The provider has been failing, or asked for a pause. It is tried again in a little while.").After(max(wait, time.Second))
}

// renewOnce takes the lease, or waits for whoever has it. live is how long what
// we have still works.
func (e *Engine) renewOnce(ctx context.Context, c vault.Connection, live time.Duration) (landing, error) {
	caller := e.system(c.EnvironmentID)
	hint, done := e.hints.expect(c.ID)
	defer done()
	deadline := time.NewTimer(waitTime)
	defer deadline.Stop()
	var since time.Time // the lease has run out
	for look := shortestLook; ; look = min(2*look, longestLook) {
		if u := e.unsaved.of(c.ID); u != nil && e.settle(ctx, u, tryTime) == refusal {
			if !u.Servable() || e.left(u.ExpiresAt) <= 0 {
				return landing{}, unsavedYet()
			}
			return landing{unsaved: u}, nil
		}
		now, lease, err := e.vault.RenewalState(ctx, caller, c.ID)
		if err != nil {
			return landing{}, err
		}
		if now.Status != vault.StatusActive || now.Generation != c.Generation && !lease.Held {
			return landing{}, nil // ended, or moved on: the caller reads it
		}
		if !lease.Held && !ranOut(lease, &since) {
			landed, mine, err := e.lead(ctx, caller, now, live)
			if mine || err != nil {
				return landed, err
			}
			continue // somebody was faster
		}
		select {
		case <-hint:
			look = shortestLook
		case <-time.After(look/2 + rand.N(look)):
		case <-deadline.C:
			return landing{}, fault.New(fault.ProviderUnavailable, "Another process has been refreshing this connection for too long.").After(time.Second)
		case <-e.closing:
			return landing{}, stopping()
		case <-ctx.Done():
			return landing{}, ctx.Err()
		}
	}
}

// ranOut reports whether a lease ended by itself, with a token sent, so short a
// while ago that its holder may be about to save what came of it: the database
// may have been away for both of us. To claim would be to send that token again.
func ranOut(lease vault.Lease, since *time.Time) bool {
	if lease.Until.IsZero() || lease.Spending == nil {
		return false // given back, or nothing was sent
	}
	if since.IsZero() {
		*since = time.Now()
	}
	return time.Since(*since) < graceTime
}

// unsavedYet asks the caller to wait for the database.
func unsavedYet() error {
	return fault.New(fault.Unavailable, "The credential was renewed, and the database does not take it yet.").After(time.Second)
}

// lead takes the lease and does the work; mine is false where it was taken.
func (e *Engine) lead(ctx context.Context, caller vault.Caller, c vault.Connection, live time.Duration) (_ landing, mine bool, _ error) {
	name, err := e.hostNameOf(ctx, caller, c)
	if err != nil {
		return landing{}, true, err
	}
	host := e.hosts.of(name)
	if wait := host.resting(); wait > 0 {
		return landing{}, true, resting(wait)
	}
	claimed := time.Now()
	r, err := e.vault.ClaimRenewal(ctx, caller, c.ID, c.Generation, e.owner, leaseTime)
	if err != nil || r == nil {
		return landing{}, false, err
	}
	defer e.hints.tell(c.ID)
	if rest := e.restUncertain(r, live); rest > 0 {
		return landing{}, true, e.spare(ctx, caller, r, rest)
	}
	if r.Uncertain {
		e.log.Warn("the outcome of an earlier refresh was lost; trying its token once more", "connection", c.ID)
		if err := e.vault.NoteUncertain(ctx, caller, r); err != nil {
			return landing{}, true, e.abandon(ctx, caller, r, vault.Setback{Unasked: true, Uncertain: true}, err)
		}
	}
	if wait := host.admit(); wait > 0 {
		f := resting(wait)
		return landing{}, true, e.abandon(ctx, caller, r, vault.Setback{Unasked: true, Pause: f.RetryAfter}, f)
	}
	landed, err := e.call(ctx, caller, r, host, claimed.Add(leaseTime-sendMargin))
	return landed, true, err
}
