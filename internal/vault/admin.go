package vault

import (
	"context"
	"time"
)

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
