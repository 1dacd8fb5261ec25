package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
)

// rejectedEvery is how often reports about one connection make us ask its
// provider: a caller in a loop would burn its tokens and our name there.
const rejectedEvery = 10 * time.Second

// Rejected takes a caller's word that the provider refused the headers of a
// generation: what can be renewed is renewed, the rest is verified, and
// condemned if the provider says no. If the generation has moved, the report is
// old and changes nothing. Reports that come together are one; what was
// refreshed a moment ago is not refreshed again for it ([fault.RateLimited]),
// and what was verified a moment ago is not verified again.
func (e *Engine) Rejected(ctx context.Context, caller vault.Caller, id string, generation int64) (vault.Connection, error) {
	c, err := e.vault.AllowRefresh(ctx, caller, id)
	if err != nil {
		return vault.Connection{}, err
	}
	switch {
	case generation > c.Generation:
		return vault.Connection{}, fault.InvalidField("/generation", "The connection has not come that far; it is at %d.", c.Generation)
	case generation < c.Generation:
		return c, nil
	case c.Renewable:
		err = e.refreshRejected(ctx, c)
	case e.pauses.verifiedSince(id, generation, e.now().Add(-rejectedEvery)):
		return c, nil
	default:
		err = e.verify(ctx, c)
	}
	if err != nil {
		return vault.Connection{}, err
	}
	return e.vault.AllowRefresh(ctx, caller, id)
}

func (e *Engine) refreshRejected(ctx context.Context, c vault.Connection) error {
	if again := rejectedEvery - e.now().Sub(c.LastRefreshedAt); again > 0 {
		return fault.New(fault.RateLimited, "These headers are seconds old. If the provider refuses them too, it is not for their age.").After(again)
	}
	if err := e.pauses.paused(c.ID, e.now()); err != nil && !errors.Is(err, errSpared) { // there is nothing left to spare
		return err
	}
	_, err := e.renewRefused(ctx, c)
	if errors.Is(err, errSpared) { // by a flight that did not know what this caller knows
		_, err = e.renewRefused(ctx, c)
	}
	return err
}

// verify asks the provider about a credential that cannot be renewed, for
// whoever says that it was refused.
func (e *Engine) verify(ctx context.Context, c vault.Connection) error {
	_, err := e.fly(ctx, "verify:"+c.ID, func(ctx context.Context) (landing, error) {
		answer, err := e.ask(ctx, c)
		if err != nil || answer == honoured {
			return landing{}, err
		}
		// Where nothing can be asked, the caller's word is all there is.
		if _, err := e.vault.Condemn(ctx, e.system(c.EnvironmentID), c, vault.ReasonRejected); err != nil {
			return landing{}, err
		}
		return landing{}, vault.ReconnectFault(vault.ReasonRejected)
	})
	return err
}

// verdict is a provider's answer about a credential.
type verdict int

const (
	honoured verdict = iota
	refused
	unverifiable
)

// ask verifies a credential at its provider. What the provider honours is noted
// with the time to ask again. A connection that has moved on counts as honoured.
func (e *Engine) ask(ctx context.Context, c vault.Connection) (verdict, error) {
	caller := e.system(c.EnvironmentID)
	now, in, credential, err := e.vault.OpenForCall(ctx, caller, c.ID)
	if err != nil || now.Generation != c.Generation {
		return honoured, err
	}
	host := e.hosts.of(e.hostName(in, c.Method))
	if wait := host.admit(); wait > 0 {
		return honoured, resting(wait)
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err = e.providers.Verify(ctx, in, now, credential)
	down := fault.Is(err, fault.ProviderUnavailable)
	host.answered(!down, retryAfter(err))
	switch {
	case err == nil:
		e.pauses.verified(c.ID, c.Generation, e.now())
		if now.Renewable || !now.ExpiresAt.IsZero() { // it is due for another reason
			return honoured, e.vault.NoteHonoured(ctx, caller, now)
		}
		return honoured, e.vault.NoteVerified(ctx, caller, now, e.providers.VerifyEvery(in, c.Method))
	case errors.Is(err, providers.ErrRefused):
		return refused, nil
	case errors.Is(err, providers.ErrUnverifiable):
		return unverifiable, nil
	}
	return honoured, err
}

func retryAfter(err error) time.Duration {
	if f, ok := fault.As(err); ok {
		return f.RetryAfter
	}
	return 0
}
