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
	if r.Uncertain {
		e.log.Warn("the outcome of an earlier refresh was lost; trying its token once more", "connection", r.Connection.ID)
		if err := e.vault.NoteUncertain(ctx, caller, r); err != nil {
			host.answered(true, 0)
			return landing{}, e.abandon(ctx, caller, r, vault.Setback{Unasked: true}, err)
		}
	}
	called, cancel := context.WithTimeout(outbound.WithSendBy(ctx, sendBy), callTime)
	defer cancel()
	renewal, err := e.providers.Refresh(called, r.Integration, r.Connection, r.Credential)
	answered := time.Now()
	re := asRefreshError(err)
	host.answered(re == nil || answers(re.Class), retryAfterOf(re))
	if re != nil {
		return landing{}, e.failed(ctx, caller, r, re)
	}
	if renewal.Rescue != nil {
		u, err := e.vault.PrepareRescue(ctx, r, *renewal.Rescue)
		if err != nil {
			return landing{}, err
		}
		switch e.keep(ctx, caller, u, answered) {
		case kept:
			r.Rescued(u)
		case keptAside: // the final one takes its place there
		case void:
			return landing{}, nil
		}
	}
	grant, err := renewal.Finish(called)
	if err != nil {
		return landing{}, e.failed(ctx, caller, r, asRefreshError(err))
	}
	if renewal.Rescue != nil {
		answered = time.Now() // what could be lost is safe since
	}
	u, err := e.vault.PrepareSave(ctx, r, grant)
	if err != nil {
		return landing{}, err
	}
	e.pauses.over(r.Connection.ID)
	if e.keep(ctx, caller, u, answered) == keptAside {
		return landing{u}, nil
	}
	return landing{}, nil // saved, or void: the caller reads what is there
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
func answers(c providers.RefreshClass) bool {
	switch c {
	case providers.RefreshTransient, providers.RefreshUncertain, providers.RefreshBroken:
		return false
	case providers.RefreshTerminal, providers.RefreshIntegration, providers.RefreshIdentityChanged:
	}
	return true
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
	f := fault.Wrap(re, fault.ProviderUnavailable, "The provider cannot refresh this connection right now.")
	if re.Class == providers.RefreshIntegration || re.Class == providers.RefreshBroken {
		f = fault.Wrap(re, fault.ProviderRejected, "The provider refuses to refresh this connection, for a reason that is not its credential. Check the integration.")
	}
	f.RetryAfter = max(re.RetryAfter, backOff(r.Connection.Failures))
	return e.abandon(ctx, caller, r, vault.Setback{
		Reason:    string(re.Class),
		Uncertain: re.Spent || re.Class == providers.RefreshUncertain,
		Pause:     f.RetryAfter,
	}, f)
}

// How long a connection rests after failures that pass: full jitter below a
// ceiling that doubles.
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

func backOff(failures int) time.Duration {
	return rand.N(min(longestPause, firstPause<<min(failures, 10)))
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
	return e.pauses.failed(r.Connection.ID, e.now(), s.Pause, f)
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
	condemned, err := e.vault.CondemnRenewal(ctx, caller, r, reason)
	if err != nil {
		return err
	}
	if !condemned {
		return nil // the generation moved: the caller reads it
	}
	return vault.ReconnectFault(reason)
}
