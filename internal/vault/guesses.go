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
		row, err := tx.LockSession(ctx, caller.ID)
		if err != nil {
			return missing(err, "connect session")
		}
		if err := row.usable(v.now()); err != nil {
			return err
		}
		if row.Wrong >= MaxWrongCredentials { // judged or under way
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
		row.Wrong++
		return tx.UpdateSession(ctx, *row)
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
		row, err := tx.LockSession(ctx, caller.ID)
		if err != nil {
			return missing(err, "connect session")
		}
		if !wrong {
			row.Wrong--
			if err := tx.RefundGuess(ctx, row.EnvironmentID, row.EndUser.ID); err != nil {
				return err
			}
			return tx.UpdateSession(ctx, *row)
		}
		e := v.entry(caller, ActionLinkFailed)
		e.Allowed, e.SessionID, e.IntegrationID, e.Reason = false, row.ID, integrationID, "credential_refused"
		if err := tx.InsertAudit(ctx, e); err != nil {
			return err
		}
		ended = row.Wrong >= MaxWrongCredentials && row.usable(v.now()) == nil
		if !ended {
			return nil
		}
		row.Status, row.Error = SessionFailed, "too_many_attempts"
		e = v.entry(caller, ActionSessionFailed)
		e.Allowed, e.SessionID, e.Reason = false, row.ID, row.Error
		if err := tx.UpdateSession(ctx, *row); err != nil {
			return err
		}
		return tx.InsertAudit(ctx, e)
	})
	if ended {
		v.sessionUp.broadcast()
	}
	return ended, err
}
