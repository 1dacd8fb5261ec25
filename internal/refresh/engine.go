package refresh

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
)

// DrainTime is how long a stopping process should give [Engine.Close]: what is
// under way may have spent a token already.
const DrainTime = callTime + saveTime

// How long things may take. The call has to be over well before the lease is.
// Giving up on a slow provider early would only turn a late success into a
// lost token, so the call's deadline is long.
const (
	leaseTime = 75 * time.Second
	callTime  = 50 * time.Second
	saveTime  = 20 * time.Second
	// waitTime is how long a reader waits for somebody else's lease: longer than
	// that lasts, and below the deadline that the HTTP server writes by.
	waitTime = leaseTime + 5*time.Second
	// maxRenewals is how often one reader tries: a holder that was killed after
	// it saved a rotated token leaves a new generation that is no fresher.
	maxRenewals = 3
)

// Config is what an engine needs. Vault and Providers are required.
type Config struct {
	Vault     *vault.Vault
	Providers *providers.Service
	// Owner names this process in leases, for people who look at the table.
	Owner string
	Now   func() time.Time // time.Now where nil
	Log   *slog.Logger     // slog.Default() where nil
}

// Engine serves headers and renews what they are made of. It is safe for
// concurrent use. Close waits for what is under way.
type Engine struct {
	vault     *vault.Vault
	providers *providers.Service
	owner     string
	now       func() time.Time
	log       *slog.Logger

	flights singleflight.Group
	pauses  *pauses

	// closing is closed by Close; gate keeps flights from starting after it.
	gate    sync.Mutex
	closing chan struct{}
	closed  bool
	running sync.WaitGroup
}

// New makes an engine.
func New(cfg Config) *Engine {
	e := &Engine{
		vault: cfg.Vault, providers: cfg.Providers, owner: cfg.Owner,
		now: cfg.Now, log: cfg.Log, pauses: newPauses(), closing: make(chan struct{}),
	}
	if e.now == nil {
		e.now = time.Now
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	return e
}

// Close begins no renewal any more and waits until none is under way, or ctx
// ends. A renewal cut off between the provider's answer and the save is a token
// lost.
func (e *Engine) Close(ctx context.Context) error {
	e.gate.Lock()
	if !e.closed {
		e.closed = true
		close(e.closing)
	}
	e.gate.Unlock()
	done := make(chan struct{})
	go func() {
		e.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("refresh: renewals were still under way")
	}
}

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
// still valid is served even where refreshing it fails; what has expired never.
// Beside an error the caller is there, if it is known.
func (e *Engine) Headers(ctx context.Context, key vault.Secret, id string, minTTL time.Duration) (Served, error) {
	s, err := e.vault.LookupHeaders(ctx, key, id)
	if err != nil {
		return Served{Caller: s.Caller}, err
	}
	if e.left(s.Connection) >= e.wanted(id, minTTL) {
		return e.serve(ctx, s, minTTL)
	}
	var renewErr error
	for range maxRenewals {
		renewErr = e.renewForRead(ctx, s)
		// Whatever came of it: what the database says now is what counts.
		if s, err = e.vault.LookupHeaders(ctx, key, id); err != nil {
			return Served{Caller: s.Caller}, err
		}
		if left := e.left(s.Connection); left > 0 {
			if renewErr == nil && left < minTTL {
				e.pauses.shortLived(id, e.now(), left)
			}
			return e.serve(ctx, s, minTTL)
		}
		if renewErr != nil {
			return Served{Caller: s.Caller}, renewErr
		}
	}
	return Served{Caller: s.Caller}, fault.New(fault.ProviderRejected, "The provider hands out credentials that have expired already.")
}

func (e *Engine) serve(ctx context.Context, s vault.Stored, minTTL time.Duration) (Served, error) {
	answer, err := e.vault.OpenHeaders(ctx, s)
	return Served{Caller: s.Caller, Answer: answer, MinTTLMet: e.left(s.Connection) >= minTTL}, err
}

// forever is the life of what the provider gives no end.
const forever = time.Duration(1<<63 - 1)

func (e *Engine) left(c vault.Connection) time.Duration {
	if c.ExpiresAt.IsZero() {
		return forever
	}
	return c.ExpiresAt.Sub(e.now())
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

// renewForRead renews unless that is known to be pointless.
func (e *Engine) renewForRead(ctx context.Context, s vault.Stored) error {
	c := s.Connection
	if !c.Renewable {
		if e.left(c) > 0 {
			return nil
		}
		if _, err := e.vault.Condemn(ctx, e.system(c.EnvironmentID), c, vault.ReasonExpired); err != nil {
			return err
		}
		return vault.ReconnectFault(vault.ReasonExpired)
	}
	if err := e.pauses.paused(c.ID, e.now()); err != nil {
		return err
	}
	return e.renew(ctx, c)
}

func (e *Engine) system(environmentID string) vault.Caller {
	return vault.System("refresh", environmentID)
}

// Refresh renews a connection now and answers it as it is then. One that
// cannot be renewed is a conflict.
func (e *Engine) Refresh(ctx context.Context, caller vault.Caller, id string) (vault.Connection, error) {
	c, err := e.vault.AllowRefresh(ctx, caller, id)
	if err != nil {
		return vault.Connection{}, err
	}
	if !c.Renewable {
		return vault.Connection{}, fault.New(fault.Conflict, "This credential does not expire by a schedule and cannot be refreshed. Report a refusal by the provider with /rejected.")
	}
	if err := e.renew(ctx, c); err != nil {
		return vault.Connection{}, err
	}
	return e.vault.AllowRefresh(ctx, caller, id)
}

// Rejected takes a caller's word that the provider refused the headers of a
// generation: what can be renewed is renewed, the rest is verified, and
// condemned if the provider says no. If the generation has moved, the report is
// old and changes nothing.
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
		err = e.renewRefused(ctx, c)
	default:
		err = e.verify(ctx, c)
	}
	if err != nil {
		return vault.Connection{}, err
	}
	return e.vault.AllowRefresh(ctx, caller, id)
}
