package vault

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// tellTimeout bounds what a provider may take to be told of a revocation.
const tellTimeout = 20 * time.Second

// seal makes the two blobs of a grant for a connection at a generation.
func (v *Vault) sealGrant(ctx context.Context, c *Connection, generation int64, g *Grant) (credential, answer []byte, err error) {
	plain, err := g.Credential.encode()
	if err != nil {
		return nil, nil, fmt.Errorf("encoding credential: %w", err)
	}
	if credential, err = v.ring.seal(ctx, connectionPlace(c, purposeCredential, generation), plain); err != nil {
		return nil, nil, err
	}
	rendered, err := renderAnswer(g.Headers, g.BaseURL, g.ExpiresAt, generation)
	if err != nil {
		return nil, nil, err
	}
	if answer, err = v.ring.seal(ctx, connectionPlace(c, purposeAnswer, generation), rendered); err != nil {
		return nil, nil, err
	}
	return credential, answer, nil
}

// newConnection is a connection made of a grant, sealed at generation 1.
func (v *Vault) newConnection(ctx context.Context, in Integration, method string, u EndUser, tags map[string]string, s Status, g *Grant) (ConnectionRow, error) {
	row := ConnectionRow{Connection: Connection{
		ID:               newID("con"),
		EnvironmentID:    in.EnvironmentID,
		IntegrationID:    in.ID,
		Integration:      in.Key,
		Provider:         in.Provider,
		Method:           method,
		Status:           s,
		Generation:       1,
		EndUser:          u,
		Account:          g.Account,
		BaseURL:          g.BaseURL,
		Scopes:           fitting(g.Scopes),
		ExpiresAt:        micro(g.ExpiresAt),
		RefreshExpiresAt: micro(g.RefreshExpiresAt),
		Renewable:        g.Renewable,
		DueAt:            micro(dueAt(g, v.now())),
		CreatedAt:        v.now(),
		UpdatedAt:        v.now(),
		Tags:             maps.Clone(tags),
	}}
	var err error
	row.Credential, row.Answer, err = v.sealGrant(ctx, &row.Connection, 1, g)
	return row, err
}

// change is a grant as a change of an existing connection's credential.
func (v *Vault) change(ctx context.Context, c *Connection, g *Grant) (CredentialChange, error) {
	credential, answer, err := v.sealGrant(ctx, c, c.Generation+1, g)
	return CredentialChange{
		Credential:       credential,
		Answer:           answer,
		Status:           StatusActive,
		BaseURL:          g.BaseURL,
		Account:          g.Account,
		Scopes:           fitting(g.Scopes),
		ExpiresAt:        micro(g.ExpiresAt),
		RefreshExpiresAt: micro(g.RefreshExpiresAt),
		Renewable:        g.Renewable,
		DueAt:            micro(dueAt(g, v.now())),
		Relabelled:       g.Account.Label != c.Account.Label,
		At:               v.now(),
	}, err
}

// maxScopes bounds what is kept of the scopes, in bytes: far above what any
// service grants, and below what the schema allows.
const maxScopes = 16 << 10

// fitting drops the scopes of an answer that has absurdly many. They are for
// people to read; a token must not be lost for them.
func fitting(scopes []string) []string {
	size := 0
	for i, s := range scopes {
		if size += len(s) + 3; size > maxScopes {
			return scopes[:i]
		}
	}
	return scopes
}

func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// ErrOtherAccount says that a reconnect came back with another account than
// the connection's, in a session that does not allow it.
var ErrOtherAccount = fault.New(fault.Conflict, "This is another account than the one that was linked before. Sign in to that one, or ask for a new link.")

// Link makes the connection of the caller's session out of a grant that the
// provider has confirmed, or mends the one that the session names. The session
// is used up by it. Where the session wants a redeem, the connection waits as
// pending, and a connection to be mended keeps what it has until then.
func (v *Vault) Link(ctx context.Context, caller Caller, in Integration, method string, g Grant) (Linked, error) {
	result := mint(prefixResult)
	var linked Linked
	err := v.store.Update(ctx, func(tx Tx) error {
		row, err := tx.LockSession(ctx, caller.ID)
		if err != nil {
			return missing(err, "connect session")
		}
		if err := row.usable(v.now()); err != nil {
			return err
		}
		redeem := row.Completion == CompleteRedeem
		var entry AuditEntry
		switch {
		case row.Reconnect && !redeem:
			linked.Connection, entry, err = v.mend(ctx, tx, caller, row, in, method, &g)
		default:
			linked.Connection, entry, err = v.create(ctx, tx, caller, row, in, method, &g)
		}
		if err != nil {
			return err
		}
		row.Error = ""
		if redeem {
			row.Status, row.PendingID = SessionPending, linked.Connection.ID
			row.ResultHash, row.ResultExpiresAt = HashToken(result), linked.Connection.PendingUntil
			linked.Result = result
		} else {
			row.Status = SessionCompleted
		}
		if !row.Reconnect {
			row.ConnectionID = linked.Connection.ID
		}
		if err := tx.UpdateSession(ctx, *row); err != nil {
			return err
		}
		linked.Session = row.ConnectSession
		entry.SessionID = row.ID
		if err := tx.InsertAudit(ctx, entry); err != nil {
			return err
		}
		return v.noteHeldURL(ctx, tx, caller, &linked.Connection, &g)
	})
	if err != nil {
		return Linked{}, err
	}
	v.sessionUp.broadcast()
	return linked, nil
}

// create makes a connection, or the candidate that will mend one.
func (v *Vault) create(ctx context.Context, tx Tx, caller Caller, s *SessionRow, in Integration, method string, g *Grant) (Connection, AuditEntry, error) {
	status, action := StatusActive, ActionConnectionCreated
	if s.Completion == CompleteRedeem {
		status = StatusPending
	}
	row, err := v.newConnection(ctx, in, method, s.EndUser, s.Tags, status, g)
	if err != nil {
		return Connection{}, AuditEntry{}, err
	}
	if status == StatusPending {
		row.PendingUntil = v.now().Add(RedeemTTL)
	}
	if s.Reconnect {
		target, err := tx.LockConnection(ctx, s.EnvironmentID, s.ConnectionID)
		if err != nil {
			return Connection{}, AuditEntry{}, missing(err, "connection")
		}
		if err := mendable(target, s, in, g); err != nil {
			return Connection{}, AuditEntry{}, err
		}
		row.ReplacesID, action = target.ID, ActionConnectionReconnect
	}
	if err := v.insertConnection(ctx, tx, row); err != nil {
		return Connection{}, AuditEntry{}, fmt.Errorf("creating connection: %w", err)
	}
	if status == StatusActive {
		if err := v.emit(ctx, tx, EventCreated, &row.Connection, ""); err != nil {
			return Connection{}, AuditEntry{}, err
		}
	}
	e := v.connectionEntry(caller, action, &row.Connection)
	if status == StatusPending {
		e.Reason = string(StatusPending)
	}
	return row.Connection, e, nil
}

// mend puts the grant in place of the credential that a connection has.
func (v *Vault) mend(ctx context.Context, tx Tx, caller Caller, s *SessionRow, in Integration, method string, g *Grant) (Connection, AuditEntry, error) {
	target, err := tx.LockConnection(ctx, s.EnvironmentID, s.ConnectionID)
	if err != nil {
		return Connection{}, AuditEntry{}, missing(err, "connection")
	}
	if err := mendable(target, s, in, g); err != nil {
		return Connection{}, AuditEntry{}, err
	}
	if err := v.linkable(ctx, tx, target.EnvironmentID, target.IntegrationID); err != nil {
		return Connection{}, AuditEntry{}, err
	}
	ch, err := v.change(ctx, &target.Connection, g)
	if err != nil {
		return Connection{}, AuditEntry{}, err
	}
	ch.Method = method
	c, err := v.saveLocked(ctx, tx, caller, target, ch)
	if err != nil {
		return Connection{}, AuditEntry{}, err
	}
	return c, v.connectionEntry(caller, ActionConnectionReconnect, &c), nil
}

// mendable: validated before anything is overwritten.
func mendable(target *ConnectionRow, s *SessionRow, in Integration, g *Grant) error {
	other := target.Account.ID != g.Account.ID
	if target.Account.ID == "" { // then the API root is all that tells accounts apart
		other = target.BaseURL != "" && target.BaseURL != g.BaseURL
	}
	switch {
	case target.Status == StatusRevoked:
		return revokedFault()
	case s.ParentID != "" && target.Account.ID == "": // see [ReconnectOf]
		return ErrOtherAccount
	case target.IntegrationID != in.ID:
		return fault.New(fault.Conflict, "This link is for another service.")
	case other && !s.AllowAccountChange:
		return ErrOtherAccount
	}
	return nil
}

// saveLocked saves what an end user has just consented to over a row that this
// transaction has locked, and answers the connection as it is then. Another API
// root than before is followed here, and nowhere else; the trail says so.
func (v *Vault) saveLocked(ctx context.Context, tx Tx, caller Caller, row *ConnectionRow, ch CredentialChange) (Connection, error) {
	ok, err := tx.SaveCredential(ctx, row.ID, row.Generation, 0, ch)
	if err != nil {
		return Connection{}, fmt.Errorf("saving credential of %s: %w", row.ID, err)
	}
	if !ok {
		return Connection{}, fmt.Errorf("saving credential of %s: a locked row has moved", row.ID)
	}
	saved, err := tx.Connection(ctx, row.EnvironmentID, row.ID)
	if err != nil {
		return Connection{}, fmt.Errorf("reading saved connection: %w", err)
	}
	if row.BaseURL != "" && saved.BaseURL != row.BaseURL {
		if err := tx.InsertAudit(ctx, v.connectionEntry(caller, ActionBaseURLChanged, &saved.Connection)); err != nil {
			return Connection{}, err
		}
	}
	return saved.Connection, v.emitLinked(ctx, tx, &row.Connection, &saved.Connection)
}

// noteHeldURL puts it in the trail when a provider names another API root than
// the one on record. That is where bearer tokens go, so it is not followed.
func (v *Vault) noteHeldURL(ctx context.Context, tx Tx, caller Caller, c *Connection, g *Grant) error {
	if g.HeldBaseURL == "" {
		return nil
	}
	e := v.connectionEntry(caller, ActionBaseURLHeld, c)
	e.Allowed, e.Reason = false, ReasonBaseURLHeld
	return tx.InsertAudit(ctx, e)
}

// NewImport is a credential that a host brings along from elsewhere.
type NewImport struct {
	Integration Integration
	Method      string
	Grant       Grant
	EndUser     EndUser
	Tags        map[string]string
	ExternalID  string
}

// PrepareImport says what is wrong with an import before the provider is asked,
// and answers the integration with that key, ready for the call.
func (v *Vault) PrepareImport(ctx context.Context, caller Caller, key string, n NewImport) (Integration, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsWrite, ""); err != nil {
		return Integration{}, err
	}
	fields := n.faults()
	row, err := v.integration(ctx, v.store, caller, key)
	if fault.Is(err, fault.NotFound) {
		fields = append(fields, fault.Field{Pointer: "/integration", Detail: noIntegration})
	} else if err != nil {
		return Integration{}, fmt.Errorf("reading integration: %w", err)
	}
	if fields != nil {
		return Integration{}, fault.InvalidFields(fields...)
	}
	return v.openSecret(ctx, row)
}

func (n NewImport) faults() []fault.Field {
	fields := append(checkEndUser(n.EndUser), checkTags(n.Tags)...)
	if f := checkText("/external_id", n.ExternalID, 0, 256); f != nil {
		fields = append(fields, *f)
	}
	return fields
}

// ImportConnection keeps an imported credential as an active connection. One
// with the same external id in the same integration is a conflict.
func (v *Vault) ImportConnection(ctx context.Context, caller Caller, n NewImport) (Connection, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsWrite, ""); err != nil {
		return Connection{}, err
	}
	if fields := n.faults(); fields != nil {
		return Connection{}, fault.InvalidFields(fields...)
	}
	if !caller.Reaches(n.Integration.Key) {
		return Connection{}, fault.New(fault.NotFound, noIntegration)
	}
	row, err := v.newConnection(ctx, n.Integration, n.Method, n.EndUser, n.Tags, StatusActive, &n.Grant)
	if err != nil {
		return Connection{}, err
	}
	row.ExternalID = n.ExternalID
	err = v.store.Update(ctx, func(tx Tx) error {
		if err := v.insertConnection(ctx, tx, row); err != nil {
			return err
		}
		if err := v.emit(ctx, tx, EventCreated, &row.Connection, ""); err != nil {
			return err
		}
		return tx.InsertAudit(ctx, v.connectionEntry(caller, ActionConnectionImported, &row.Connection))
	})
	if err != nil {
		return Connection{}, duplicate(err, "There is a connection with this external_id already.")
	}
	return row.Connection, nil
}
