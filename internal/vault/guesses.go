package vault

import (
	"context"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// ChargeGuess counts one credential that the end user is about to try, before
// anybody is asked, so that many at once count as many. When there were too
// many it ends the session, or asks to wait, and answers a [fault.RateLimited].
func (v *Vault) ChargeGuess(ctx context.Context, caller Caller) error {
	var refused error
	err := v.store.Update(ctx, func(tx Tx) error {
		refused = nil
		row, counter, err := lockCounted(ctx, tx, caller.ID)
		if err != nil {
			return err
		}
		if err := row.usable(v.now()); err != nil {
			return err
		}
		if counter.Wrong >= MaxWrongCredentials { // judged or under way
			refused = fault.New(fault.RateLimited, "Too many tries at once. Wait a moment, then try again.").After(time.Second)
			e := v.entry(caller, ActionLinkFailed)
			e.Allowed, e.SessionID, e.Reason = false, row.ID, "rate_limited"
			return tx.InsertAudit(ctx, e)
		}
		n, err := tx.ChargeGuess(ctx, row.EnvironmentID, row.EndUser.ID, v.now(), time.Minute)
		if err != nil {
			return err
		}
		if n > MaxGuessesPerMinute {
			refused = fault.New(fault.RateLimited, "Too many tries. Wait a minute, then try again.").After(time.Minute)
			e := v.entry(caller, ActionLinkFailed)
			e.Allowed, e.SessionID, e.Reason = false, row.ID, "rate_limited"
			return tx.InsertAudit(ctx, e)
		}
		counter.Wrong++
		return tx.UpdateSession(ctx, *counter)
	})
	if err == nil {
		err = refused
	}
	return err
}

// SettleGuess says how a charged guess came out. A right one, and one that the
// provider never judged, is taken back; the fifth wrong one ends the session,
// and ended then is true.
func (v *Vault) SettleGuess(ctx context.Context, caller Caller, integrationID string, wrong bool) (ended bool, err error) {
	err = v.store.Update(ctx, func(tx Tx) error {
		row, counter, err := lockCounted(ctx, tx, caller.ID)
		if err != nil {
			return err
		}
		if !wrong {
			counter.Wrong--
			if err := tx.RefundGuess(ctx, row.EnvironmentID, row.EndUser.ID); err != nil {
				return err
			}
			return tx.UpdateSession(ctx, *counter)
		}
		e := v.entry(caller, ActionLinkFailed)
		e.Allowed, e.SessionID, e.IntegrationID, e.Reason = false, row.ID, integrationID, "credential_refused"
		if err := tx.InsertAudit(ctx, e); err != nil {
			return err
		}
		ended = counter.Wrong >= MaxWrongCredentials && row.usable(v.now()) == nil
		if !ended {
			return nil
		}
		if counter != row {
			if err := v.guessedOut(ctx, tx, caller, counter); err != nil {
				return err
			}
		}
		return v.guessedOut(ctx, tx, caller, row)
	})
	if ended {
		v.sessionUp.broadcast()
	}
	return ended, err
}

// guessedOut ends a session in which there were too many wrong credentials.
func (v *Vault) guessedOut(ctx context.Context, tx Tx, caller Caller, row *SessionRow) error {
	row.Status, row.Error = SessionFailed, "too_many_attempts"
	if err := tx.UpdateSession(ctx, *row); err != nil {
		return err
	}
	e := v.entry(caller, ActionSessionFailed)
	e.Allowed, e.SessionID, e.Reason = false, row.ID, row.Error
	return tx.InsertAudit(ctx, e)
}

// lockCounted locks a session and the one that counts its wrong tries: itself,
// or the one that it was begun in. Many reconnects are no more chances to guess
// than one. The order of locks is that of [Vault.BeginReconnect].
func lockCounted(ctx context.Context, tx Tx, id string) (row, counter *SessionRow, err error) {
	if row, err = tx.SessionByID(ctx, id); err != nil {
		return nil, nil, missing(err, "connect session")
	}
	if parent := row.ParentID; parent != "" {
		if counter, err = tx.LockSession(ctx, parent); err != nil {
			return nil, nil, missing(err, "connect session")
		}
	}
	if row, err = tx.LockSession(ctx, id); err != nil {
		return nil, nil, missing(err, "connect session")
	}
	if counter == nil {
		counter = row
	}
	return row, counter, nil
}
