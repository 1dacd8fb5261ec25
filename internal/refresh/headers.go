package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// Served is an answer to a request for headers.
type Served struct {
	Caller vault.Caller
	Answer vault.Answer
	// MinTTLMet is false where the headers live shorter than was asked for and
	// nothing longer is to be had.
	MinTTLMet bool
}

// Headers answers the headers of a connection to whoever presents the key,
// with at least minTTL of life left, refreshed first where needed. What is
// still valid is served even where refreshing it fails or takes long; what has
// expired never. Beside an error the caller is there, if it is known.
func (e *Engine) Headers(ctx context.Context, key vault.Bearer, id string, minTTL time.Duration) (Served, error) {
	s, err := e.vault.LookupHeaders(ctx, key, id)
	if err != nil {
		return Served{Caller: s.Caller}, err
	}
	if left := e.left(s.Connection.ExpiresAt); left >= minTTL || left >= e.wanted(id, minTTL) {
		return e.serve(ctx, s, minTTL)
	}
	waiting, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	var renewErr error
	for range maxRenewals {
		var landed landing
		before := s
		landed, renewErr = e.renewForRead(waiting, s)
		if ctx.Err() != nil {
			return Served{Caller: s.Caller}, ctx.Err()
		}
		// Whatever came of it: what the database says now is what counts.
		s, err = e.vault.LookupHeaders(ctx, key, id)
		if served, ok, uerr := e.serveUnsaved(ctx, before, s, err, landed, minTTL); ok {
			return served, uerr
		}
		if err != nil {
			return Served{Caller: s.Caller}, err
		}
		if left := e.left(s.Connection.ExpiresAt); left > 0 {
			if left < minTTL && s.Connection.Generation != before.Connection.Generation {
				e.pauses.shortLived(id, e.now(), left)
			}
			return e.serve(ctx, s, minTTL)
		}
		if waiting.Err() != nil {
			return Served{Caller: s.Caller}, fault.New(fault.ProviderUnavailable, "The credential is being refreshed, and that takes long. Try again.").After(time.Second)
		}
		if renewErr != nil && !errors.Is(renewErr, errSlow) { // else what worked a moment ago has expired: now it waits
			return Served{Caller: s.Caller}, renewErr
		}
	}
	return Served{Caller: s.Caller}, fault.New(fault.ProviderRejected, "The provider hands out credentials that have expired already.")
}

func (e *Engine) serve(ctx context.Context, s vault.Stored, minTTL time.Duration) (Served, error) {
	answer, err := e.vault.OpenHeaders(ctx, s)
	return Served{Caller: s.Caller, Answer: answer, MinTTLMet: e.left(s.Connection.ExpiresAt) >= minTTL}, err
}

// serveUnsaved answers what has been renewed and not been saved, where the
// database says nothing at all or nothing newer than when the caller came. A
// refusal, such as of a connection revoked meanwhile, stands.
func (e *Engine) serveUnsaved(ctx context.Context, before, now vault.Stored, err error, landed landing, minTTL time.Duration) (Served, bool, error) {
	u := landed.unsaved
	if u == nil || !u.Servable() {
		return Served{}, false, nil
	}
	left := e.left(u.ExpiresAt)
	f, refused := fault.As(err)
	refused = refused && f.Kind != fault.Unavailable
	moved := err == nil && now.Connection.Generation != before.Connection.Generation
	if refused || moved || left <= 0 {
		return Served{}, false, nil
	}
	answer, err := e.vault.ServeUnsaved(ctx, before, u)
	return Served{Caller: before.Caller, Answer: answer, MinTTLMet: left >= minTTL}, true, err
}

// forever is the life of what the provider gives no end.
const forever = time.Duration(1<<63 - 1)

func (e *Engine) left(expiresAt time.Time) time.Duration {
	if expiresAt.IsZero() {
		return forever
	}
	return expiresAt.Sub(e.now())
}

// wanted is how much life calls for no refresh. Where the provider's tokens
// never live as long as the caller asks, asking again on every read would
// only burn them: a fifth of their life has to do.
func (e *Engine) wanted(id string, minTTL time.Duration) time.Duration {
	if life, ok := e.pauses.life(id, e.now()); ok && life <= minTTL {
		return life / 5
	}
	return minTTL
}

// renewForRead renews unless that is known to be pointless. A reader whose
// headers still work is not made to wait for a slow provider, or for a holder
// of the lease that may be dead; the flight goes on without it.
func (e *Engine) renewForRead(ctx context.Context, s vault.Stored) (landing, error) {
	c := s.Connection
	left := e.left(c.ExpiresAt)
	if !c.Renewable {
		if left > 0 {
			return landing{}, nil
		}
		if _, err := e.vault.Condemn(ctx, e.system(c.EnvironmentID), c, vault.ReasonExpired); err != nil {
			return landing{}, err
		}
		return landing{}, vault.ReconnectFault(vault.ReasonExpired)
	}
	if err := e.pauses.paused(c.ID, e.now()); err != nil {
		return landing{}, err
	}
	if left <= 0 {
		return e.renew(ctx, c)
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	landed, err := e.renew(waiting, c)
	if errors.Is(err, context.DeadlineExceeded) && waiting.Err() != nil {
		err = errSlow
	}
	return landed, err
}

// errSlow is seen by nobody: it stands for a renewal that goes on.
var errSlow = errors.New("the renewal takes longer than a reader with working headers waits")

// Refresh renews a connection now and answers it as it is then. One that
// cannot be renewed is a conflict.
func (e *Engine) Refresh(ctx context.Context, caller vault.Caller, id string) (vault.Connection, error) {
	c, err := e.vault.AskRefresh(ctx, caller, id, vault.ActionRefreshAsked)
	if err != nil {
		return vault.Connection{}, err
	}
	if !c.Renewable {
		return vault.Connection{}, fault.New(fault.Conflict, "This credential does not expire by a schedule and cannot be refreshed. Report a refusal by the provider with /rejected.")
	}
	if err := e.pauses.paused(id, e.now()); err != nil {
		return vault.Connection{}, err
	}
	landed, err := e.renew(ctx, c)
	switch {
	case err != nil:
		return vault.Connection{}, err
	case landed.unsaved != nil:
		return vault.Connection{}, unsavedYet()
	}
	return e.vault.AllowRefresh(ctx, caller, id)
}
