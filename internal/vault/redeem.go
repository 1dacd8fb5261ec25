package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// Redeem activates the connection that waits for the session's result: the
// host shows the one-time code that the browser brought back, and the end user
// that it sees signed in. For another end user the connection is revoked on the
// spot: somebody opened a link that was not theirs.
func (v *Vault) Redeem(ctx context.Context, caller Caller, sessionID string, result Secret, endUserID string) (Connection, error) {
	if err := v.allow(ctx, caller, ScopeConnectWrite, ""); err != nil {
		return Connection{}, err
	}
	var c Connection
	var victim string // a pending connection to revoke
	err := v.store.Update(ctx, func(tx Tx) error {
		victim = ""
		// In this environment first: LockSession knows none.
		if _, err := v.session(ctx, tx, caller, sessionID); err != nil {
			return err
		}
		row, err := tx.LockSession(ctx, sessionID)
		if err != nil {
			return missing(err, "connect session")
		}
		e := v.entry(caller, ActionSessionRedeemed)
		e.SessionID, e.ConnectionID = row.ID, row.ConnectionID
		switch {
		case row.Kind == SessionTest:
			return fault.New(fault.Conflict, "This session is a test of an integration. Its connection is never active.")
		case row.Status != SessionPending:
			return fault.New(fault.Conflict, "There is nothing to redeem: the session is %s.", row.statusAt(v.now()))
		case !v.now().Before(row.ResultExpiresAt):
			return fault.New(fault.Conflict, "The result has expired: it has to be redeemed within %d minutes.", int(RedeemTTL.Minutes()))
		case !sameHash(row.ResultHash, HashToken(result)):
			return fault.InvalidField("/result", "Is not the result of this session.")
		case row.EndUser.ID != endUserID:
			victim = row.PendingID
			row.Status, row.Error, row.ResultHash = SessionFailed, ReasonWrongEndUser, nil
			e.Allowed, e.Reason = false, ReasonWrongEndUser
		default:
			if c, err = v.activate(ctx, tx, caller, row); err != nil {
				return err
			}
			row.Status, row.ResultHash, row.PendingID = SessionCompleted, nil, ""
			e.ConnectionID, e.Generation = c.ID, c.Generation
		}
		if err := tx.UpdateSession(ctx, *row); err != nil {
			return err
		}
		return tx.InsertAudit(ctx, e)
	})
	if err != nil {
		return Connection{}, err
	}
	v.sessionUp.broadcast()
	if victim == "" {
		return c, nil
	}
	if _, err := v.revoke(ctx, System("redeem", caller.EnvironmentID), victim, ReasonWrongEndUser); err != nil && !fault.Is(err, fault.Revoked) {
		return Connection{}, err
	}
	return Connection{}, fault.New(fault.Conflict, "The account was linked in a session for another end user. The connection was revoked.")
}

// activate makes the pending connection active, or moves a candidate's
// credential into the connection it mends.
func (v *Vault) activate(ctx context.Context, tx Tx, caller Caller, s *SessionRow) (Connection, error) {
	pending, err := tx.LockConnection(ctx, s.EnvironmentID, s.PendingID)
	if err != nil {
		return Connection{}, missing(err, "connection")
	}
	if pending.Status != StatusPending {
		return Connection{}, fault.New(fault.Conflict, "The connection is %s.", pending.Status)
	}
	if pending.ReplacesID != "" {
		return v.promote(ctx, tx, caller, pending)
	}
	ok, err := tx.SetStatus(ctx, pending.ID, pending.Generation, StatusActive, "", v.now())
	if err != nil || !ok {
		return Connection{}, fmt.Errorf("activating %s (moved: %t): %w", pending.ID, !ok, err)
	}
	c := pending.Connection
	c.Status, c.PendingUntil = StatusActive, time.Time{}
	if err := v.emit(ctx, tx, EventCreated, &c, ""); err != nil {
		return Connection{}, err
	}
	return c, tx.InsertAudit(ctx, v.connectionEntry(caller, ActionConnectionActivated, &c))
}

func (v *Vault) promote(ctx context.Context, tx Tx, caller Caller, candidate *ConnectionRow) (Connection, error) {
	target, err := tx.LockConnection(ctx, candidate.EnvironmentID, candidate.ReplacesID)
	if err != nil {
		return Connection{}, missing(err, "connection")
	}
	if target.Status == StatusRevoked {
		return Connection{}, revokedFault()
	}
	g, err := v.grantOf(ctx, candidate)
	if err != nil {
		return Connection{}, err
	}
	ch, err := v.change(ctx, &target.Connection, &g)
	if err != nil {
		return Connection{}, err
	}
	ch.Method = candidate.Method
	ch.DueAt = candidate.DueAt // the grant is gone that knew how often to verify
	c, err := v.saveLocked(ctx, tx, caller, target, ch)
	if err != nil {
		return Connection{}, err
	}
	if err := tx.DeleteConnection(ctx, candidate.ID); err != nil {
		return Connection{}, fmt.Errorf("removing candidate %s: %w", candidate.ID, err)
	}
	return c, tx.InsertAudit(ctx, v.connectionEntry(caller, ActionConnectionActivated, &c))
}

// grantOf opens a connection back into the grant that it was made of.
func (v *Vault) grantOf(ctx context.Context, row *ConnectionRow) (Grant, error) {
	credential, err := v.openCredential(ctx, row)
	if err != nil {
		return Grant{}, err
	}
	answer, err := v.openAnswer(ctx, &row.Connection, row.Answer)
	if err != nil {
		return Grant{}, err
	}
	headers, err := answer.headers()
	if err != nil {
		return Grant{}, err
	}
	return Grant{
		Credential: credential, Headers: headers, BaseURL: row.BaseURL, Account: row.Account, Scopes: row.Scopes,
		ExpiresAt: row.ExpiresAt, RefreshExpiresAt: row.RefreshExpiresAt, Renewable: row.Renewable,
	}, nil
}

// duplicate turns a store's "already exists" into a conflict with this text.
func duplicate(err error, text string) error {
	if errors.Is(err, ErrDuplicate) {
		return fault.New(fault.Conflict, "%s", text)
	}
	return err
}
