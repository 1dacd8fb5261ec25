package vault

import (
	"context"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// AdminSession is one stay of an admin, from sign-in to sign-out. It is no
// secret and no proof: who keeps one for a browser keeps it under a seal.
type AdminSession struct {
	ID            string
	EnvironmentID string
	// Environment and KeyName are names for people, as they were at sign-in.
	Environment string
	KeyName     string
	KeyID       string
	Since       time.Time
}

// SignIn begins an admin's session with an API key that may see connections.
// Of the errors, [fault.Unauthenticated] is one for every key that is no good.
func (v *Vault) SignIn(ctx context.Context, key Secret) (Caller, AdminSession, error) {
	caller, err := v.Authenticate(ctx, key)
	if err != nil {
		return Caller{}, AdminSession{}, err
	}
	caller.Kind, caller.AuthenticatedAt = CallerAdmin, v.now()
	if err := v.allow(ctx, caller, ScopeConnectionsRead, ""); err != nil {
		return Caller{}, AdminSession{}, err
	}
	env, err := v.store.Environment(ctx, caller.EnvironmentID)
	if err != nil {
		return Caller{}, AdminSession{}, fmt.Errorf("reading environment %s: %w", caller.EnvironmentID, err)
	}
	k, err := v.store.APIKey(ctx, caller.EnvironmentID, caller.ID)
	if err != nil {
		return Caller{}, AdminSession{}, fmt.Errorf("reading API key %s: %w", caller.ID, err)
	}
	s := AdminSession{
		ID: newID("adm"), EnvironmentID: env.ID, Environment: env.Name, KeyID: k.ID, KeyName: k.Name, Since: v.now(),
	}
	e := v.entry(caller, ActionAdminSignedIn)
	e.SessionID = s.ID
	return caller, s, v.audit(ctx, e)
}

// ResumeAdmin answers the caller of a session: as long as its key is good, and
// nobody has signed out of it on any replica. Otherwise it is
// [fault.Unauthenticated]. How long a session may last is the asker's to say.
func (v *Vault) ResumeAdmin(ctx context.Context, s AdminSession) (Caller, error) {
	caller, err := v.AuthenticateID(ctx, s.EnvironmentID, s.KeyID)
	if err != nil {
		return Caller{}, err
	}
	caller.Kind, caller.AuthenticatedAt = CallerAdmin, s.Since
	over, err := v.signedOut(ctx, s)
	if err != nil {
		return Caller{}, err
	}
	if over {
		return Caller{}, fault.New(fault.Unauthenticated, "This session is over.")
	}
	return caller, nil
}

// SignOut ends a session for good, on every replica.
func (v *Vault) SignOut(ctx context.Context, caller Caller, s AdminSession) error {
	e := v.entry(caller, ActionAdminSignedOut)
	e.SessionID = s.ID
	return v.audit(ctx, e)
}

// replicaSkew is how far the clocks of two replicas may be apart.
const replicaSkew = 5 * time.Minute

// signedOut looks for the end of a session in the trail, where every replica
// sees it. Sign-outs have an index and are few, and those from before the
// session began are not looked at.
func (v *Vault) signedOut(ctx context.Context, s AdminSession) (bool, error) {
	const limit = 200
	f := AuditFilter{Action: ActionAdminSignedOut, Page: Page{Limit: limit}}
	for {
		entries, err := v.store.Audit(ctx, s.EnvironmentID, f)
		if err != nil {
			return false, fmt.Errorf("looking for the end of an admin session: %w", err)
		}
		for _, e := range entries {
			if e.SessionID == s.ID {
				return true, nil
			}
			if e.At.Before(s.Since.Add(-replicaSkew)) {
				return false, nil
			}
			f.Page.Cursor = e.ID
		}
		if len(entries) < limit {
			return false, nil
		}
	}
}

// APIKey answers one key of the caller's environment, revoked or not.
func (v *Vault) APIKey(ctx context.Context, caller Caller, id string) (APIKey, error) {
	if err := v.allow(ctx, caller, ScopeAPIKeysWrite, ""); err != nil {
		return APIKey{}, err
	}
	k, err := v.store.APIKey(ctx, caller.EnvironmentID, id)
	if err != nil {
		return APIKey{}, missing(err, "API key")
	}
	return *k, nil
}

// Revocation is how a connection ended, as the trail has it. It is the receipt
// for whoever asks later, and may know more: a provider that did not confirm at
// first is told again.
type Revocation struct {
	At        time.Time
	ActorKind CallerKind
	ActorID   string
	// Outcome is what the provider made of it, the last time it was told. It is
	// empty where the trail has nothing: not told yet, or there was nothing left
	// to tell it with.
	Outcome Outcome
	ToldAt  time.Time
}

// Revocation answers how a connection ended; it is zero for one that has not,
// and for one that is not there.
func (v *Vault) Revocation(ctx context.Context, caller Caller, connectionID string) (Revocation, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRead, connectionID); err != nil {
		return Revocation{}, err
	}
	ended, err := v.last(ctx, caller, connectionID, ActionConnectionRevoked)
	if err != nil || ended == nil {
		return Revocation{}, err
	}
	r := Revocation{At: ended.At, ActorKind: ended.ActorKind, ActorID: ended.ActorID}
	told, err := v.last(ctx, caller, connectionID, ActionProviderTold)
	// A credential that was replaced earlier was told of as well; that says
	// nothing about this one.
	if err != nil || told == nil || told.Generation != ended.Generation {
		return r, err
	}
	r.Outcome, r.ToldAt = Outcome(told.Reason), told.At
	return r, nil
}

// last is the newest entry of an action on a connection, nil where there is none.
func (v *Vault) last(ctx context.Context, caller Caller, connectionID string, action Action) (*AuditEntry, error) {
	entries, err := v.store.Audit(ctx, caller.EnvironmentID, AuditFilter{ConnectionID: connectionID, Action: action, Page: Page{Limit: 1}})
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	return &entries[0], nil
}
