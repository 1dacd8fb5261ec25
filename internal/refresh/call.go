package refresh

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/vault"
)

// call makes the one call to the provider and saves what comes of it. Nothing
// is sent after sendBy: by then the lease may be somebody else's.
func (e *Engine) call(ctx context.Context, caller vault.Caller, r *vault.Renewal, host *host, sendBy time.Time) (landing, error) {
	defer e.beat(ctx, r)()
	called, cancel := context.WithTimeout(outbound.WithSendBy(ctx, sendBy), callTime)
	defer cancel()
	renewal, err := e.providers.Refresh(called, r.Integration, r.Connection, r.Credential)
	answered := time.Now()
	re := asRefreshError(err)
	host.answered(re == nil || answers(re.Class), retryAfterOf(re))
	if re != nil {
		return landing{}, e.failed(ctx, caller, r, re)
	}
	var rescue *vault.Unsaved // where it went aside
	if renewal.Rescue != nil {
		u, err := e.vault.PrepareRescue(ctx, r, *renewal.Rescue)
		if err != nil {
			return landing{}, e.lost(ctx, caller, r, err)
		}
		switch e.keep(ctx, caller, u, answered, true) {
		case kept:
			r.Rescued(u)
		case keptAside:
			rescue = u
		case void:
			return landing{}, e.vault.EndRenewal(ctx, r)
		case unfit:
			return landing{}, e.lost(ctx, caller, r, vault.ErrUnfit)
		}
		answered = time.Now()
	}
	grant, err := renewal.Finish(called)
	if err != nil {
		return landing{}, e.failedAfter(ctx, caller, r, rescue, asRefreshError(err))
	}
	return e.finish(ctx, caller, r, rescue, grant, answered)
}

// finish saves the whole of what came, rescue being the part that had to go
// aside.
func (e *Engine) finish(ctx context.Context, caller vault.Caller, r *vault.Renewal, rescue *vault.Unsaved, grant vault.Grant, answered time.Time) (landing, error) {
	u, err := e.vault.PrepareSave(ctx, r, grant)
	if err != nil {
		return landing{}, e.failedAfter(ctx, caller, r, rescue, asRefreshError(err))
	}
	e.pauses.over(r.Connection.ID)
	switch e.keep(ctx, caller, u, answered, false) {
	case kept:
	case keptAside:
		return landing{unsaved: u}, nil
	case void:
		if rescue != nil && e.arrived(ctx, caller, r, rescue) {
			return e.finish(ctx, caller, r, nil, grant, answered)
		}
		return landing{}, e.vault.EndRenewal(ctx, r)
	case unfit:
		return landing{}, e.lost(ctx, caller, r, vault.ErrUnfit)
	}
	return landing{}, nil // the caller reads what is there
}

// arrived reports whether a rescue that went aside is in the database, now or
// because only the answer to its first save was lost, and moves r on to it.
func (e *Engine) arrived(ctx context.Context, caller vault.Caller, r *vault.Renewal, rescue *vault.Unsaved) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTime)
	defer cancel()
	outcome, err := e.vault.Save(ctx, caller, rescue)
	if err != nil || outcome != vault.SaveDone {
		return false
	}
	e.forget(rescue)
	r.Rescued(rescue)
	return true
}

// failedAfter is failed for what went wrong after a rotated refresh token had
// arrived. While that is not in the database, the lease is left to run out: who
// takes it next has to know that the old token is spent.
func (e *Engine) failedAfter(ctx context.Context, caller vault.Caller, r *vault.Renewal, rescue *vault.Unsaved, re *providers.RefreshError) error {
	if rescue == nil || e.arrived(ctx, caller, r, rescue) {
		return e.failed(ctx, caller, r, re)
	}
	rescue.Orphan()
	e.unsaved.put(rescue)
	if re.Class == providers.RefreshIdentityChanged {
		return e.failed(ctx, caller, r, re)
	}
	e.log.Warn("refresh failed", "connection", r.Connection.ID, "class", re.Class, "code", re.Code, "error", re)
	return e.pauses.failed(r.Connection.ID, e.now(), firstPause, fault.Wrap(re, fault.ProviderUnavailable, "The provider cannot refresh this connection right now."))
}

// lost gives the lease back after an answer of which nothing could be kept.
func (e *Engine) lost(ctx context.Context, caller vault.Caller, r *vault.Renewal, err error) error {
	e.log.Error("a renewed credential could not be kept", "connection", r.Connection.ID, "error", err)
	return e.failed(ctx, caller, r, &providers.RefreshError{Class: providers.RefreshBroken, Spent: true, Err: err})
}

// beat extends the lease as long as the call lasts, and answers how to stop
// that. A lease that is lost stops nothing: what was sent was sent, and the
// answer to it may be the only one there is.
func (e *Engine) beat(ctx context.Context, r *vault.Renewal) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(beatTime)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			beating, cancel := context.WithTimeout(ctx, beatTime)
			held, err := e.vault.ExtendRenewal(beating, r, leaseTime)
			cancel()
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				e.log.Warn("extending a lease", "connection", r.Connection.ID, "error", err)
			case !held:
				e.log.Warn("a lease was lost in the middle of a call", "connection", r.Connection.ID)
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

func asRefreshError(err error) *providers.RefreshError {
	if err == nil {
		return nil
	}
	if re, ok := errors.AsType[*providers.RefreshError](err); ok {
		return re
	}
	return &providers.RefreshError{Class: providers.RefreshTransient, Err: err}
}

// answers reports whether a failure of this class comes from a host that works.
// A useless answer is one, too: it may be about one integration's address.
func answers(c providers.RefreshClass) bool {
	return c != providers.RefreshTransient && c != providers.RefreshUncertain
}

func retryAfterOf(re *providers.RefreshError) time.Duration {
	if re == nil {
		return 0
	}
	return re.RetryAfter
}

// failed decides what a failed refresh means for the connection.
func (e *Engine) failed(ctx context.Context, caller vault.Caller, r *vault.Renewal, re *providers.RefreshError) error {
	e.log.Warn("refresh failed", "connection", r.Connection.ID, "class", re.Class, "code", re.Code, "error", re)
	switch re.Class {
	case providers.RefreshTerminal:
		reason := vault.ReasonInvalidGrant
		if r.Uncertain {
			reason = vault.ReasonOutcomeLost
		}
		return e.condemn(ctx, caller, r, reason)
	case providers.RefreshIdentityChanged:
		return e.condemn(ctx, caller, r, vault.ReasonIdentityChanged)
	case providers.RefreshIntegration, providers.RefreshTransient, providers.RefreshUncertain, providers.RefreshBroken:
	}
	pause := max(re.RetryAfter, backOff(r.Connection.Failures, longestPause))
	setback := vault.Setback{
		Reason: string(re.Class), Uncertain: re.Spent || re.Class == providers.RefreshUncertain, Pause: pause,
	}
	f := fault.Wrap(re, fault.ProviderUnavailable, "The provider cannot refresh this connection right now.")
	if re.Class == providers.RefreshIntegration || re.Class == providers.RefreshBroken {
		f = fault.Wrap(re, fault.ProviderRejected, "The provider refuses to refresh this connection, for a reason that is not its credential. Check the integration.")
		// Somebody has to put it right first. Whoever asks finds out soon after;
		// the sweep has no need to go on asking, for every connection there is.
		setback.Pause = max(pause, backOff(r.Connection.Failures, longestRest))
	}
	return e.abandon(ctx, caller, r, setback, f.After(pause))
}

// How long a connection rests after failures that pass: full jitter below a
// ceiling that doubles.
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

func backOff(failures int, longest time.Duration) time.Duration {
	return rand.N(min(longest, firstPause<<min(failures, 20)))
}

// abandon gives the lease back and answers why, which readers get until the
// pause is over.
func (e *Engine) abandon(ctx context.Context, caller vault.Caller, r *vault.Renewal, s vault.Setback, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	if err := e.vault.AbandonRenewal(ctx, caller, r, s); err != nil {
		e.log.Error("giving a lease back", "connection", r.Connection.ID, "error", err)
	}
	f, ok := fault.As(why)
	if !ok {
		return why
	}
	return e.pauses.failed(r.Connection.ID, e.now(), f.RetryAfter, f)
}

// restUncertain is how long a token that may be spent should not be sent again.
// To send it is the chain's only hope; but a provider that punishes reuse also
// ends the access token that still works, so there it waits for the end of that.
// The row remembers the uncertainty, so that every replica heeds it.
func (e *Engine) restUncertain(r *vault.Renewal, live time.Duration) time.Duration {
	if !r.Uncertain || live == forever || e.providers.ReusePolicy(r.Integration, r.Connection.Method) != providers.ReuseRevoke {
		return 0
	}
	return max(live, 0)
}

// errSpared marks the rest of a token that may be spent, for as long as what
// came with it works.
var errSpared = errors.New("spared")

// spare gives the lease back without a call.
func (e *Engine) spare(ctx context.Context, caller vault.Caller, r *vault.Renewal, rest time.Duration) error {
	f := fault.Wrap(errSpared, fault.ProviderUnavailable, "The outcome of an earlier refresh was lost. It is tried again when the credential that still works has expired.")
	return e.abandon(ctx, caller, r, vault.Setback{Unasked: true, Uncertain: true, Pause: rest}, f.After(rest))
}

func (e *Engine) condemn(ctx context.Context, caller vault.Caller, r *vault.Renewal, reason string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	var condemned bool
	var err error
	for wait := shortestLook; ; wait = min(2*wait, time.Second) {
		// As long as nobody knows that it is spent, somebody will send it again.
		trying, stop := context.WithTimeout(ctx, tryTime)
		condemned, err = e.vault.CondemnRenewal(trying, caller, r, reason)
		stop()
		if err == nil {
			break
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
	if !condemned {
		return nil // the generation moved: the caller reads it
	}
	return vault.ReconnectFault(reason)
}
