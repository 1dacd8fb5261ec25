package refresh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
)

// How often a waiting flight looks whether the holder of the lease is done.
const (
	shortestLook = 20 * time.Millisecond
	longestLook  = 250 * time.Millisecond
)

// renew moves a connection past c's generation, or says why not. All callers
// of this process share one flight, which goes on when they go away.
func (e *Engine) renew(ctx context.Context, c vault.Connection) error {
	return e.fly(ctx, "renew:"+c.ID, func(ctx context.Context) error { return e.renewOnce(ctx, c, e.left(c)) })
}

// renewRefused is renew for headers that the provider refuses already: there is
// no live token to lose by it.
func (e *Engine) renewRefused(ctx context.Context, c vault.Connection) error {
	return e.fly(ctx, "renew:"+c.ID, func(ctx context.Context) error { return e.renewOnce(ctx, c, 0) })
}

func (e *Engine) fly(ctx context.Context, key string, work func(context.Context) error) error {
	e.gate.Lock()
	if e.closed {
		e.gate.Unlock()
		return stopping()
	}
	e.running.Add(1)
	e.gate.Unlock()
	landed := e.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), waitTime+callTime+saveTime)
		defer cancel()
		return nil, work(ctx)
	})
	out := make(chan error, 1)
	go func() {
		defer e.running.Done()
		out <- (<-landed).Err
	}()
	select {
	case err := <-out:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopping asks the caller to try again: another process, or this one after its
// start, will do it.
func stopping() error {
	return fault.New(fault.ProviderUnavailable, "This process is being stopped. Try again.").After(time.Second)
}

// renewOnce takes the lease, or waits for whoever has it. live is how long what
// we have still works.
func (e *Engine) renewOnce(ctx context.Context, c vault.Connection, live time.Duration) error {
	caller := e.system(c.EnvironmentID)
	patience := time.NewTimer(waitTime)
	defer patience.Stop()
	look := shortestLook
	for {
		r, err := e.vault.ClaimRenewal(ctx, caller, c.ID, c.Generation, e.owner, leaseTime)
		if err != nil {
			return err
		}
		if r != nil {
			if rest := e.restUncertain(r, live); rest > 0 {
				return e.spare(ctx, caller, r, rest)
			}
			return e.call(ctx, caller, r)
		}
		for {
			now, lease, err := e.vault.RenewalState(ctx, caller, c.ID)
			if err != nil {
				return err
			}
			if now.Status != vault.StatusActive {
				return nil // ended: the caller reads it
			}
			if !lease.Held {
				if now.Generation != c.Generation {
					return nil // moved on: the caller reads it
				}
				break // given back without success, or the holder died: our turn
			}
			select {
			case <-time.After(look/2 + rand.N(look)):
				look = min(2*look, longestLook)
			case <-patience.C:
				return fault.New(fault.ProviderUnavailable, "Another process has been refreshing this connection for too long.").After(longestLook)
			case <-e.closing:
				return stopping()
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// call makes the one call to the provider and saves what comes of it.
func (e *Engine) call(ctx context.Context, caller vault.Caller, r *vault.Renewal) error {
	if r.Uncertain {
		e.log.Warn("the outcome of an earlier refresh was lost; trying its token once more", "connection", r.Connection.ID)
	}
	called, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	renewal, err := e.providers.Refresh(called, r.Integration, r.Connection, r.Credential)
	if err != nil {
		return e.failed(ctx, caller, r, err)
	}
	if renewal.Rescue != nil {
		if saved, err := e.save(ctx, func(ctx context.Context) (bool, error) {
			return e.vault.RescueRenewal(ctx, caller, r, *renewal.Rescue)
		}); err != nil || !saved {
			return e.notSaved(r, err)
		}
	}
	grant, err := renewal.Finish(called)
	if err != nil {
		return e.failed(ctx, caller, r, err)
	}
	saved, err := e.save(ctx, func(ctx context.Context) (bool, error) {
		return e.vault.SaveRenewal(ctx, caller, r, grant)
	})
	if err != nil || !saved {
		return e.notSaved(r, err)
	}
	e.pauses.over(r.Connection.ID)
	return nil
}

// save tries until the database has taken it or the lease is about to end:
// what it saves exists nowhere else.
func (e *Engine) save(ctx context.Context, try func(context.Context) (bool, error)) (saved bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	for wait := shortestLook; ; wait = min(2*wait, time.Second) {
		if saved, err = try(ctx); err == nil {
			return saved, nil
		}
		e.log.Error("saving a renewed credential; trying again", "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false, err
		}
	}
}

func (e *Engine) notSaved(r *vault.Renewal, err error) error {
	if err != nil {
		e.log.Error("a renewed credential could not be saved and is lost", "connection", r.Connection.ID, "error", err)
		return fmt.Errorf("saving renewed credential: %w", err)
	}
	e.log.Warn("a connection moved on while it was refreshed", "connection", r.Connection.ID)
	return nil // revoked, or linked anew meanwhile: the caller reads it
}

// failed decides what a failed refresh means for the connection.
func (e *Engine) failed(ctx context.Context, caller vault.Caller, r *vault.Renewal, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	var re *providers.RefreshError
	if !errors.As(err, &re) {
		re = &providers.RefreshError{Class: providers.RefreshTransient, Err: err}
	}
	e.log.Warn("refresh failed", "connection", r.Connection.ID, "class", re.Class, "code", re.Code, "error", err)
	switch re.Class {
	case providers.RefreshTerminal:
		reason := vault.ReasonInvalidGrant
		if r.Uncertain {
			reason = vault.ReasonOutcomeLost
		}
		return e.condemn(ctx, caller, r, reason)
	case providers.RefreshIdentityChanged:
		return e.condemn(ctx, caller, r, vault.ReasonIdentityChanged)
	}
	uncertain := re.Spent || re.Class == providers.RefreshUncertain
	if aerr := e.vault.AbandonRenewal(ctx, caller, r, string(re.Class), uncertain); aerr != nil {
		e.log.Error("giving a lease back", "connection", r.Connection.ID, "error", aerr)
	}
	f := fault.Wrap(err, fault.ProviderUnavailable, "The provider cannot refresh this connection right now.")
	if re.Class == providers.RefreshIntegration || re.Class == providers.RefreshBroken {
		f = fault.Wrap(err, fault.ProviderRejected, "The provider refuses to refresh this connection, for a reason that is not its credential. Check the integration.")
	}
	f.RetryAfter = re.RetryAfter
	return e.pauses.failed(r.Connection.ID, e.now(), f)
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

// spare gives the lease back without a call.
func (e *Engine) spare(ctx context.Context, caller vault.Caller, r *vault.Renewal, rest time.Duration) error {
	if err := e.vault.AbandonRenewal(ctx, caller, r, "spared", true); err != nil {
		return err
	}
	f := fault.New(fault.ProviderUnavailable, "The outcome of an earlier refresh was lost. It is tried again when the credential that still works has expired.")
	return e.pauses.failed(r.Connection.ID, e.now(), f.After(rest))
}

func (e *Engine) condemn(ctx context.Context, caller vault.Caller, r *vault.Renewal, reason string) error {
	condemned, err := e.vault.CondemnRenewal(ctx, caller, r, reason)
	if err != nil {
		return err
	}
	if !condemned {
		return nil // the generation moved: the caller reads it
	}
	return vault.ReconnectFault(reason)
}

// verify asks the provider about a credential that cannot be renewed.
func (e *Engine) verify(ctx context.Context, c vault.Connection) error {
	return e.fly(ctx, "verify:"+c.ID, func(ctx context.Context) error {
		caller := e.system(c.EnvironmentID)
		now, in, credential, err := e.vault.OpenForCall(ctx, caller, c.ID)
		if err != nil || now.Generation != c.Generation {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, callTime)
		defer cancel()
		_, err = e.providers.Verify(ctx, in, now, credential)
		switch {
		case err == nil:
			return e.vault.NoteVerified(ctx, caller, now)
		case errors.Is(err, providers.ErrRefused), errors.Is(err, providers.ErrUnverifiable):
			// Where nothing can be asked, the caller's word is all there is.
			if _, err := e.vault.Condemn(ctx, caller, now, vault.ReasonRejected); err != nil {
				return err
			}
			return vault.ReconnectFault(vault.ReasonRejected)
		}
		return err
	})
}
