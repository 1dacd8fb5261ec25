package vault

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/claviger/claviger/internal/fault"
)

// maxMetadata bounds what a host may store as metadata, in bytes of JSON.
const maxMetadata = 8 << 10

// Connection answers one connection without its secrets.
func (v *Vault) Connection(ctx context.Context, caller Caller, id string) (Connection, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRead, id); err != nil {
		return Connection{}, err
	}
	row, err := v.connection(ctx, v.store, caller, id)
	if err != nil {
		return Connection{}, err
	}
	return row.Connection, nil
}

// Connections lists connections in the filter's order, see
// [ConnectionFilter.Order]. The cursor of a list in another order is a
// [fault.Malformed] that names the parameter.
func (v *Vault) Connections(ctx context.Context, caller Caller, f ConnectionFilter) ([]Connection, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRead, ""); err != nil {
		return nil, err
	}
	if err := f.checkCursor(); err != nil {
		return nil, err
	}
	return v.store.Connections(ctx, caller.EnvironmentID, v.ResolveFilter(caller, f))
}

// CountConnections counts what a filter matches, up to most; 0 counts to the
// end, which takes as long as there are rows. The page does not matter.
func (v *Vault) CountConnections(ctx context.Context, caller Caller, f ConnectionFilter, most int) (int, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRead, ""); err != nil {
		return 0, err
	}
	return v.store.CountConnections(ctx, caller.EnvironmentID, v.ResolveFilter(caller, f), most)
}

// ResolveFilter says in a filter's own members what its query says of tags, from
// when its spans count, and what the caller is limited to. A store takes none
// but resolved ones.
func (v *Vault) ResolveFilter(caller Caller, f ConnectionFilter) ConnectionFilter {
	f = f.tagged()
	f.Within = caller.Integrations
	if f.At.IsZero() {
		f.At = v.now()
	}
	return f
}

// PatchConnection changes tags and metadata. The credential and its generation
// stay. Where the tags were changed since the patch was made, it is
// [ErrChangedSince].
func (v *Vault) PatchConnection(ctx context.Context, caller Caller, id string, p ConnectionPatch) (Connection, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsWrite, id); err != nil {
		return Connection{}, err
	}
	var fields []fault.Field
	if p.Tags != nil {
		fields = checkTags(*p.Tags)
	}
	if p.Metadata != nil {
		if b, err := json.Marshal(*p.Metadata); err != nil || len(b) > maxMetadata {
			fields = append(fields, fault.Field{Pointer: "/metadata", Detail: fmt.Sprintf("Must be an object of at most %d bytes.", maxMetadata)})
		}
	}
	if fields != nil {
		return Connection{}, fault.InvalidFields(fields...)
	}
	var c Connection
	err := v.store.Update(ctx, func(tx Tx) error {
		row, err := v.lockConnection(ctx, tx, caller, id)
		if err != nil {
			return err
		}
		c = row.Connection
		set(&c.Tags, p.Tags)
		set(&c.Metadata, p.Metadata)
		if stale(p.SeenTags, row.TagsVersion(), c.TagsVersion()) {
			return ErrChangedSince
		}
		if err := tx.UpdateConnection(ctx, row.ID, p, v.now()); err != nil {
			return err
		}
		c.UpdatedAt = v.now()
		return tx.InsertAudit(ctx, v.connectionEntry(caller, ActionConnectionUpdated, &c))
	})
	return c, err
}

// CreateReconnect is [Vault.CreateSession] for linking a connection again, by the
// end user whose it is. It answers the connection too.
func (v *Vault) CreateReconnect(ctx context.Context, caller Caller, id string) (Connection, ConnectSession, Secret, error) {
	if err := v.allow(ctx, caller, ScopeConnectWrite, id); err != nil {
		return Connection{}, ConnectSession{}, Secret{}, err
	}
	row, err := v.connection(ctx, v.store, caller, id)
	if err != nil {
		return Connection{}, ConnectSession{}, Secret{}, err
	}
	s, token, err := v.CreateSession(ctx, caller, NewSession{EndUser: row.EndUser, ConnectionID: id})
	return row.Connection, s, token, err
}
