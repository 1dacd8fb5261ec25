package vault

import (
	"context"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// DisconnectedFor is how long a connection is still shown to the end user who
// has disconnected it.
const DisconnectedFor = 7 * 24 * time.Hour

// ManagedFilter narrows what an end user gets to see of their own: what is
// active, what waits to be linked again, and what they disconnected lately.
type ManagedFilter struct {
	EndUserID string
	// ID asks for one of them.
	ID string
	// Integrations are keys; none is all.
	Integrations []string
	// DisconnectedSince is how far back what they disconnected is still shown.
	DisconnectedSince time.Time
	Page              Page
}

// kindFaults says what of a request does not go with the session's kind.
func (s *ConnectSession) kindFaults() []fault.Field {
	if s.Kind == SessionConnect {
		return nil
	}
	if s.Kind != SessionManage {
		return []fault.Field{{Pointer: "/kind", Detail: "Must be connect or manage."}}
	}
	var fields []fault.Field
	for _, m := range []struct {
		pointer string
		given   bool
	}{
		{"/connection_id", s.ConnectionID != ""},
		{"/allow_account_change", s.AllowAccountChange},
		{"/completion", s.Completion != ""},
		{"/tags", len(s.Tags) > 0},
	} {
		if m.given {
			fields = append(fields, fault.Field{Pointer: m.pointer, Detail: "Does not go with the kind manage: nothing is linked in it."})
		}
	}
	return fields
}

// managed is the filter of what the session shows.
func (v *Vault) managed(s *SessionRow) ManagedFilter {
	return ManagedFilter{EndUserID: s.EndUser.ID, Integrations: s.Integrations, DisconnectedSince: v.now().Add(-DisconnectedFor)}
}

// manageable answers nil while the end user may do things in a session of kind
// manage.
func (r *SessionRow) manageable(now time.Time) error {
	if r.Kind != SessionManage {
		return fault.New(fault.NotFound, "There is no such connect session.")
	}
	return r.alive(now)
}

// managing is the caller's session of kind manage.
func (v *Vault) managing(ctx context.Context, caller Caller) (*SessionRow, error) {
	row, err := v.store.Session(ctx, caller.EnvironmentID, caller.ID)
	if err != nil {
		return nil, missing(err, "connect session")
	}
	return row, row.manageable(v.now())
}

// lockManaging is managing for a transaction that changes the session.
func (v *Vault) lockManaging(ctx context.Context, tx Tx, caller Caller) (*SessionRow, error) {
	// In the caller's environment first: LockSession knows none.
	if _, err := tx.Session(ctx, caller.EnvironmentID, caller.ID); err != nil {
		return nil, missing(err, "connect session")
	}
	row, err := tx.LockSession(ctx, caller.ID)
	if err != nil {
		return nil, missing(err, "connect session")
	}
	return row, row.manageable(v.now())
}

// ManagedConnections lists the connections of the end user whose session of
// kind manage the caller is, newest first.
func (v *Vault) ManagedConnections(ctx context.Context, caller Caller, page Page) ([]Connection, error) {
	row, err := v.managing(ctx, caller)
	if err != nil {
		return nil, err
	}
	f := v.managed(row)
	f.Page = page
	return v.store.ManagedConnections(ctx, row.EnvironmentID, f)
}

// ManagedConnection answers one of [Vault.ManagedConnections]. Every other id is
// a [fault.NotFound].
func (v *Vault) ManagedConnection(ctx context.Context, caller Caller, id string) (Connection, error) {
	row, err := v.managing(ctx, caller)
	if err != nil {
		return Connection{}, err
	}
	return v.managedOne(ctx, v.store, row, id)
}

// ManagedActivity is [Vault.Activity] for one of [Vault.ManagedConnections].
// Every other id is a [fault.NotFound].
func (v *Vault) ManagedActivity(ctx context.Context, caller Caller, id string) (Activity, error) {
	c, err := v.ManagedConnection(ctx, caller, id)
	if err != nil {
		return Activity{}, err
	}
	return v.activity(ctx, c.EnvironmentID, c.ID)
}

// managedOne reads one of what the session shows.
func (v *Vault) managedOne(ctx context.Context, r Reader, s *SessionRow, id string) (Connection, error) {
	f := v.managed(s)
	f.ID, f.Page = id, Page{Limit: 1}
	found, err := r.ManagedConnections(ctx, s.EnvironmentID, f)
	switch {
	case err != nil:
		return Connection{}, fmt.Errorf("reading managed connection: %w", err)
	case id == "" || len(found) == 0:
		return Connection{}, fault.New(fault.NotFound, "There is no such linked account.")
	}
	return found[0], nil
}

// Disconnect revokes one of the end user's own connections, in their session of
// kind manage, with the receipt that a host gets.
func (v *Vault) Disconnect(ctx context.Context, caller Caller, id string) (Receipt, error) {
	// Whose it is and what it belongs to never change, and one that can be seen
	// is never pending again: no lock is needed to decide.
	if _, err := v.ManagedConnection(ctx, caller, id); err != nil {
		return Receipt{}, err
	}
	return v.revoke(ctx, caller, id, ReasonRevokedByEndUser)
}

// ReconnectOf says whether the end user may link a connection again by
// themselves, without a session that the host makes for it.
//
// Such a reconnect is active at once: there is no way to ask the host who is
// signed in there. What a redeem guards against, a link sent to a victim who
// then links their account to the sender's user, is kept away by the account:
// it has to be the one that the connection is of, and whoever sent the link has
// that already. Where the provider names no account, nothing would tell the
// victim's apart, so the host has to make that session, and redeem it.
func ReconnectOf(c *Connection) bool {
	return c.Status != StatusRevoked && c.Account.ID != ""
}

// reasonSuperseded: another reconnect was begun, or the end user was done.
const reasonSuperseded = "superseded"

// BeginReconnect makes the session that mends one of the end user's own
// connections, bound already, and answers its binding for the browser that holds
// the session of kind manage. That one goes on; the new one is good for one
// reconnect, like any other, ends with it, and takes the place of the reconnect
// that was begun before. See [ReconnectOf] for which connections it takes.
func (v *Vault) BeginReconnect(ctx context.Context, caller Caller, id string) (ConnectSession, Secret, error) {
	binding := NewBinding()
	var s ConnectSession
	err := v.store.Update(ctx, func(tx Tx) error {
		parent, err := v.lockManaging(ctx, tx, caller)
		if err != nil {
			return err
		}
		c, err := v.managedOne(ctx, tx, parent, id)
		if err != nil {
			return err
		}
		begun, err := tx.CountReconnects(ctx, parent.ID)
		switch {
		case err != nil:
			return err
		case c.Status == StatusRevoked:
			return revokedFault()
		case !ReconnectOf(&c):
			return fault.New(fault.Conflict, "This account can only be linked again from the application.")
		case begun >= MaxReconnects || parent.Wrong >= MaxWrongCredentials:
			return fault.New(fault.RateLimited, "Too many tries. Ask for a new link.")
		}
		if err := tx.EndReconnects(ctx, parent.ID, reasonSuperseded); err != nil {
			return err
		}
		s = ConnectSession{
			ID:            newID("cs"),
			EnvironmentID: parent.EnvironmentID,
			Kind:          SessionConnect,
			ParentID:      parent.ID,
			EndUser:       parent.EndUser,
			Integrations:  []string{c.Integration},
			ConnectionID:  c.ID,
			Reconnect:     true,
			ReturnURL:     parent.ReturnURL, // to name the host by
			Completion:    CompleteAuto,
			Status:        SessionBound,
			CreatedAt:     v.now(),
			ExpiresAt:     parent.ExpiresAt,
		}
		// Nobody gets the token: it has no link.
		row := SessionRow{ConnectSession: s, TokenHash: HashToken(mint(prefixSession)), BindingHash: HashToken(binding)}
		if err := tx.InsertSession(ctx, row); err != nil {
			return fmt.Errorf("creating reconnect session: %w", err)
		}
		e := v.connectionEntry(caller, ActionSessionCreated, &c)
		e.SessionID, e.Generation = s.ID, 0
		return tx.InsertAudit(ctx, e)
	})
	if err != nil {
		return ConnectSession{}, Secret{}, err
	}
	return s, binding, nil
}

// FinishManaging ends the caller's session of kind manage, and what was begun in
// it: the end user is done.
func (v *Vault) FinishManaging(ctx context.Context, caller Caller) error {
	err := v.store.Update(ctx, func(tx Tx) error {
		row, err := v.lockManaging(ctx, tx, caller)
		if err != nil {
			return err
		}
		if err := tx.EndReconnects(ctx, row.ID, reasonSuperseded); err != nil {
			return err
		}
		row.Status = SessionCompleted
		if err := tx.UpdateSession(ctx, *row); err != nil {
			return err
		}
		e := v.entry(caller, ActionSessionFinished)
		e.SessionID = row.ID
		return tx.InsertAudit(ctx, e)
	})
	if err == nil {
		v.sessionUp.broadcast()
	}
	return err
}
