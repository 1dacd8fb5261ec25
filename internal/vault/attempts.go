package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/claviger/claviger/internal/fault"
)

func attemptPlace(environmentID, id string, p purpose) place {
	return place{"attempts", environmentID, id, p, 0}
}

// BeginAttempt keeps one trip of the browser that holds binding: where it goes
// and the secrets of the trip. state is what the provider sends back.
func (v *Vault) BeginAttempt(ctx context.Context, caller Caller, binding Secret, in Integration, method string, state Secret, values Credential) error {
	row := AttemptRow{
		ID:            newID("att"),
		EnvironmentID: caller.EnvironmentID,
		SessionID:     caller.ID,
		IntegrationID: in.ID,
		Method:        method,
		StateHash:     HashToken(state),
		BindingHash:   HashToken(binding),
		CreatedAt:     v.now(),
		ExpiresAt:     v.now().Add(AttemptTTL),
	}
	plain, err := values.encode()
	if err != nil {
		return fmt.Errorf("encoding attempt: %w", err)
	}
	if row.Sealed, err = v.ring.seal(ctx, attemptPlace(row.EnvironmentID, row.ID, purposeAttempt), plain); err != nil {
		return err
	}
	return v.store.Update(ctx, func(tx Tx) error {
		session, err := tx.LockSession(ctx, caller.ID)
		if err != nil {
			return missing(err, "connect session")
		}
		if err := session.usable(v.now()); err != nil {
			return err
		}
		if err := v.linkable(ctx, tx, row.EnvironmentID, in.ID); err != nil {
			return err
		}
		if err := tx.InsertAttempt(ctx, row); err != nil {
			return err
		}
		e := v.entry(caller, ActionLinkStarted)
		e.SessionID, e.IntegrationID = session.ID, in.ID
		return tx.InsertAudit(ctx, e)
	})
}

// The reasons for which a reply is not taken, as the trail has them.
const (
	replyNoState    = "state_missing"
	replyUnknown    = "state"
	replyWrongPlace = "integration_mismatch"
	replyExpired    = "attempt_expired"
	replyAgain      = "reply_repeated"
)

// AttachReply keeps what a provider sent through some browser until the browser
// that began the trip comes for it, and answers the attempt's id. The caller
// is anybody on the internet: state is what they have to know.
//
// An answer other than nil is a [fault.Malformed] that tells the end user to
// start again, with its reason in the trail.
func (v *Vault) AttachReply(ctx context.Context, integrationID string, state, reply Secret) (string, error) {
	in, err := v.store.IntegrationByID(ctx, integrationID)
	if err != nil {
		return "", missing(err, "integration")
	}
	if state.IsZero() { // before anything is compared: empty is not equal to empty
		return "", v.refuseReply(ctx, in, nil, replyNoState)
	}
	row, err := v.store.AttemptByState(ctx, HashToken(state))
	switch {
	case errors.Is(err, ErrNotFound):
		return "", v.refuseReply(ctx, in, nil, replyUnknown)
	case err != nil:
		return "", fmt.Errorf("looking up attempt: %w", err)
	case row.IntegrationID != in.ID:
		return "", v.refuseReply(ctx, in, row, replyWrongPlace)
	case !v.now().Before(row.ExpiresAt):
		return "", v.refuseReply(ctx, in, row, replyExpired)
	}
	sealed, err := v.ring.seal(ctx, attemptPlace(row.EnvironmentID, row.ID, purposeReply), []byte(reply.Reveal()))
	if err != nil {
		return "", err
	}
	var first bool
	err = v.store.Update(ctx, func(tx Tx) error {
		first, err = tx.SetAttemptReply(ctx, row.ID, sealed)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("keeping reply: %w", err)
	}
	if !first {
		return "", v.refuseReply(ctx, in, row, replyAgain)
	}
	return row.ID, nil
}

func (v *Vault) refuseReply(ctx context.Context, in *IntegrationRow, at *AttemptRow, reason string) error {
	e := v.entry(Caller{Kind: CallerEndUser, ID: strangerID, EnvironmentID: in.EnvironmentID}, ActionLinkFailed)
	e.Allowed, e.IntegrationID, e.Reason = false, in.ID, reason
	if at != nil && at.EnvironmentID == in.EnvironmentID {
		e.SessionID = at.SessionID
	}
	// Anybody can call with anything, as often as they like: beyond the first of
	// a minute they are counted and not written one by one.
	if v.strangers.mayWrite(e) {
		if err := v.audit(ctx, e); err != nil {
			return err
		}
	}
	return fault.New(fault.Malformed, "This reply does not belong to a sign-in that is under way here, or it was used before. Start again from the connect link.")
}

// TakeAttempt uses an attempt up for the browser that holds binding: it is
// gone whatever comes of it. Exactly one call ever gets it.
func (v *Vault) TakeAttempt(ctx context.Context, id string, binding Secret) (Caller, Attempt, error) {
	again := fault.New(fault.Conflict, "This sign-in was used before, or took too long. Start again from the connect link.")
	var row *AttemptRow
	var session *SessionRow
	var refused error
	err := v.store.Update(ctx, func(tx Tx) error {
		var err error
		refused = nil
		if row, err = tx.TakeAttempt(ctx, id); err != nil {
			return err
		}
		if session, err = tx.LockSession(ctx, row.SessionID); err != nil {
			return err
		}
		reason := ""
		switch {
		case !sameHash(row.BindingHash, HashToken(binding)) || !sameHash(session.BindingHash, row.BindingHash):
			refused, reason = otherBrowser(), "other_browser"
		case row.Reply == nil || !v.now().Before(row.ExpiresAt):
			refused, reason = again, replyExpired
		default:
			if refused = session.usable(v.now()); refused == nil {
				return nil
			}
			reason = "session_ended"
		}
		e := v.entry(endUser(&session.ConnectSession), ActionLinkFailed)
		e.Allowed, e.SessionID, e.IntegrationID, e.Reason = false, session.ID, row.IntegrationID, reason
		return tx.InsertAudit(ctx, e)
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return Caller{}, Attempt{}, again
	case err != nil:
		return Caller{}, Attempt{}, fmt.Errorf("using up attempt: %w", err)
	case refused != nil:
		return Caller{}, Attempt{}, refused
	}
	at := Attempt{
		ID: row.ID, EnvironmentID: row.EnvironmentID, SessionID: row.SessionID, IntegrationID: row.IntegrationID,
		Method: row.Method, CreatedAt: row.CreatedAt, ExpiresAt: row.ExpiresAt,
	}
	plain, err := v.ring.open(ctx, attemptPlace(row.EnvironmentID, row.ID, purposeAttempt), row.Sealed)
	if err != nil {
		return Caller{}, Attempt{}, err
	}
	if at.Values, err = decodeCredential(plain); err != nil {
		return Caller{}, Attempt{}, err
	}
	if plain, err = v.ring.open(ctx, attemptPlace(row.EnvironmentID, row.ID, purposeReply), row.Reply); err != nil {
		return Caller{}, Attempt{}, err
	}
	at.Reply = NewSecret(string(plain))
	return endUser(&session.ConnectSession), at, nil
}
