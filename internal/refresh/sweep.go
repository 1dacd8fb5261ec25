package refresh

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

const (
	// sweepEvery is how often this process looks for what is due.
	sweepEvery = time.Second
	// sweepBatch is how many it takes at once, and maxLanes how many it tends at a
	// time: many hosts may be slow.
	sweepBatch = 50
	maxLanes   = 256
	// holdTime is longer than all that can happen to one that was taken; should
	// this process die, others take it after that.
	holdTime = waitTime + callTime + saveTime
	// maxSkipped bounds a statement.
	maxSkipped = 500
	// crowded is about how long what finds its host busy is put back for.
	crowded = 2 * time.Second
)

// sweep refreshes and verifies ahead of time, so that no caller waits for a
// provider. Replicas take what is due between them; each keeps to its pace, so
// that a backlog, such as after a long stop, is worked off and not stormed.
func (e *Engine) sweep(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-e.ahead:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		select {
		case <-time.After(rand.N(2 * sweepEvery)): // replicas started together drift apart
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			n, err := e.sweepOnce(ctx)
			if err != nil && ctx.Err() == nil {
				e.log.Error("looking for what is due", "error", err)
			}
			if n < sweepBatch {
				break
			}
		}
	}
}

// sweepOnce takes what is due, most urgent first, and tends it at the pace. It
// answers how many those were.
func (e *Engine) sweepOnce(ctx context.Context) (int, error) {
	due, err := e.vault.ClaimDue(ctx, sweepBatch, holdTime, e.hosts.busy())
	if err != nil {
		return 0, err
	}
	for i, c := range due {
		if !e.turn(ctx) {
			e.putBack(ctx, due[i:])
			return i, nil
		}
		if !e.begin() {
			<-e.lanes
			e.putBack(ctx, due[i:])
			return i, nil
		}
		go func() {
			defer e.running.Done()
			defer func() { <-e.lanes }()
			e.tend(context.WithoutCancel(ctx), c)
		}()
	}
	return len(due), nil
}

// turn waits until the pace and a free lane allow one more, and takes the lane;
// false means that the process is stopping.
func (e *Engine) turn(ctx context.Context) bool {
	if e.pace.Wait(ctx) != nil {
		return false
	}
	select {
	case e.lanes <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// putBack makes due again what a stopping process took and did not tend.
func (e *Engine) putBack(ctx context.Context, due []vault.Connection) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTime)
	defer cancel()
	for _, c := range due {
		e.postpone(ctx, c, 0)
	}
}

func (e *Engine) postpone(ctx context.Context, c vault.Connection, pause time.Duration) {
	if err := e.vault.Postpone(ctx, c, pause); err != nil {
		e.log.Warn("putting off a connection that is due", "connection", c.ID, "error", err)
	}
}

// tend does what is due for one connection. Whatever it does ends with another
// time at which the connection is due.
func (e *Engine) tend(ctx context.Context, c vault.Connection) {
	name, err := e.hostNameOf(ctx, e.system(c.EnvironmentID), c)
	if err != nil {
		e.log.Error("reading the integration of a connection that is due", "connection", c.ID, "error", err)
		e.postpone(ctx, c, longestPause/2+rand.N(longestPause))
		return
	}
	host := e.hosts.of(name)
	if wait := host.resting(); wait > 0 {
		e.postpone(ctx, c, wait+rand.N(wait/2+1)) // not all at once when it is over
		return
	}
	if !host.take() {
		e.postpone(ctx, c, crowded/2+rand.N(crowded))
		return
	}
	defer host.give()
	left := e.left(c.ExpiresAt)
	switch {
	case left == forever && (!c.Renewable || c.RefreshExpiresAt.IsZero()):
		err = e.reverify(ctx, c)
	case c.Renewable:
		_, err = e.renew(ctx, c)
	case left > 0:
		e.postpone(ctx, c, left)
	default:
		_, err = e.vault.Condemn(ctx, e.system(c.EnvironmentID), c, vault.ReasonExpired)
	}
	switch {
	case err == nil:
	case fault.KindOf(err) == fault.Internal:
		// Not the provider's doing: nobody has said when to look again.
		e.log.Error("tending a connection that is due", "connection", c.ID, "error", err)
		e.postpone(ctx, c, longestPause/2+rand.N(longestPause))
	case e.stopped():
		e.postpone(ctx, c, 0)
	default:
		e.log.Debug("a connection that is due was not refreshed", "connection", c.ID, "error", err)
	}
}

// reverify asks the provider about what has no end, on a slow schedule.
func (e *Engine) reverify(ctx context.Context, c vault.Connection) error {
	answer, err := e.ask(ctx, c)
	switch {
	case err != nil:
		e.postpone(ctx, c, max(retryAfter(err), longestPause)+rand.N(longestPause))
		return err
	case answer == unverifiable:
		e.postpone(ctx, c, -1)
	case answer == refused && c.Renewable:
		_, err := e.renewRefused(ctx, c)
		return err
	case answer == refused:
		_, err := e.vault.Condemn(ctx, e.system(c.EnvironmentID), c, vault.ReasonRejected)
		return err
	}
	return nil
}
