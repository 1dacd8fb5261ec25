package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// How an integration is deleted. Its revoked connections go first, a part in each
// transaction, as requests wait for the writer on SQLite. With live connections
// it is the end of a bulk revocation; from the first moment of that on nothing
// can be linked with it, until it is stopped.

// deletePart is how many revoked connections go in one transaction.
const deletePart = 200

// BulkDeletion is the integration that a bulk revocation deletes.
type BulkDeletion struct {
	IntegrationID string // "" where it deletes none
	Key           string
	// DeletedAt is when it was deleted, or was found to be gone. Zero: not yet; or
	// not at all, where the bulk revocation has stopped.
	DeletedAt time.Time
}

// Undeleted reports whether an integration is still to be deleted.
func (b BulkRevocation) Undeleted() bool {
	return b.Deletion.IntegrationID != "" && b.Deletion.DeletedAt.IsZero()
}

// DeleteIntegration removes an integration with its revoked connections. With
// others it is a conflict. An admin has to have signed in freshly.
func (v *Vault) DeleteIntegration(ctx context.Context, caller Caller, key string) error {
	if err := v.allowFresh(ctx, caller, ScopeIntegrationsWrite); err != nil {
		return err
	}
	row, err := v.integration(ctx, v.store, caller, key)
	if err != nil {
		return err
	}
	return v.deleteUnused(ctx, caller, row.ID)
}

// deleteUnused looks for live connections before it begins. After that the
// database does: it refuses the end, should somebody have linked an account.
func (v *Vault) deleteUnused(ctx context.Context, caller Caller, id string) error {
	inUse := fault.New(fault.Conflict, "The integration has live connections. Revoke them first, or ask with revoke=true.")
	live, err := v.store.ConnectionsOf(ctx, caller.EnvironmentID, id, "", 1)
	switch {
	case err != nil:
		return err
	case len(live) > 0:
		return inUse
	}
	for more := true; more; {
		err := v.store.Update(ctx, func(tx Tx) error {
			n, err := tx.DeleteRevokedConnections(ctx, caller.EnvironmentID, id, deletePart)
			if more = n == deletePart; more || err != nil {
				return err
			}
			return missing(v.deleteEmpty(ctx, tx, caller, id), "integration")
		})
		switch {
		case errors.Is(err, ErrInUse):
			return inUse
		case err != nil:
			return err
		}
	}
	return nil
}

// deleteEmpty deletes an integration that has no connection any more.
func (v *Vault) deleteEmpty(ctx context.Context, tx Tx, caller Caller, id string) error {
	if err := tx.DeleteIntegration(ctx, caller.EnvironmentID, id); err != nil {
		return err
	}
	e := v.entry(caller, ActionIntegrationDeleted)
	e.IntegrationID = id
	return tx.InsertAudit(ctx, e)
}

// RevokeAndDeleteIntegration is [Vault.DeleteIntegration] for an integration
// that may have live connections: a bulk revocation ends them and then deletes
// it. That is waited for as long as wait says. The answer is nil when the
// integration is deleted, else the bulk revocation that is about to: the one
// that somebody else has asked for, where there is one.
func (v *Vault) RevokeAndDeleteIntegration(ctx context.Context, caller Caller, key string, wait time.Duration) (*BulkRevocation, error) {
	if err := v.allowFresh(ctx, caller, ScopeIntegrationsWrite); err != nil {
		return nil, err
	}
	row, err := v.integration(ctx, v.store, caller, key)
	if err != nil {
		return nil, err
	}
	if err := v.allow(ctx, caller, ScopeConnectionsRevoke, ""); err != nil {
		return nil, err
	}
	started, err := v.startDeletion(ctx, caller, row)
	if err != nil {
		return nil, err
	}
	if started == nil {
		return nil, v.deleteUnused(ctx, caller, row.ID)
	}
	wake(v.bulkUp)
	b, err := v.waitBulk(ctx, wait, func() (BulkRevocation, error) {
		now, err := reachedBulk(caller)(v.store.BulkRevocation(ctx, caller.EnvironmentID, started.ID))
		if fault.Is(err, fault.NotFound) {
			return BulkRevocation{}, fault.New(fault.Conflict, "The integration is being deleted already.")
		}
		if err != nil {
			return BulkRevocation{}, err
		}
		return *now, nil
	}, func(b *BulkRevocation) bool { return b.Ended() || !b.Undeleted() })
	switch {
	case err != nil:
		return nil, err
	case !b.Undeleted():
		return nil, nil
	case b.Ended():
		return nil, fault.New(fault.Conflict, "The integration was not deleted: the bulk revocation %s has stopped.", b.ID)
	}
	return &b, nil
}

// startDeletion writes the bulk revocation down that deletes an integration, if
// there is none at work. It is nil where no connection is in the way.
func (v *Vault) startDeletion(ctx context.Context, caller Caller, in *IntegrationRow) (started *BulkRevocation, err error) {
	err = v.store.Update(ctx, func(tx Tx) error {
		started = nil
		// Whoever else wants to delete it has to wait here.
		if _, err := tx.LockIntegration(ctx, in.EnvironmentID, in.Key); err != nil {
			return missing(err, "integration")
		}
		b, err := tx.BulkDeletionOf(ctx, in.EnvironmentID, in.ID)
		if !errors.Is(err, ErrNotFound) {
			started = b
			return err
		}
		live, err := tx.ConnectionsOf(ctx, in.EnvironmentID, in.ID, "", 1)
		if err != nil || len(live) == 0 {
			return err
		}
		b = v.newBulk(caller)
		b.Deletion = BulkDeletion{IntegrationID: in.ID, Key: in.Key}
		if err := tx.InsertBulkRevocation(ctx, *b); err != nil {
			return err
		}
		started = b
		e := v.bulkEntry(caller, ActionBulkCreated, b)
		e.IntegrationID = in.ID
		return tx.InsertAudit(ctx, e)
	})
	if err != nil {
		return nil, fmt.Errorf("deleting integration %s: %w", in.ID, err)
	}
	return started, nil
}

// finishDeletion is the part of a bulk revocation that comes when all of its
// connections are behind it.
func (v *Vault) finishDeletion(ctx context.Context, tx Tx, b *BulkRevocation) error {
	in, err := tx.LockIntegration(ctx, b.EnvironmentID, b.Deletion.Key)
	if errors.Is(err, ErrNotFound) || (err == nil && in.ID != b.Deletion.IntegrationID) {
		b.Deletion.DeletedAt = v.now() // by somebody else
		return nil
	}
	if err != nil {
		return err
	}
	n, err := tx.DeleteRevokedConnections(ctx, b.EnvironmentID, in.ID, deletePart)
	if err != nil || n == deletePart {
		return err
	}
	// With the integration locked nobody is about to add one.
	live, err := tx.ConnectionsOf(ctx, b.EnvironmentID, in.ID, "", gatherPart)
	if err != nil {
		return err
	}
	if len(live) == 0 {
		b.Deletion.DeletedAt = v.now()
		return v.deleteEmpty(ctx, tx, b.asker(), in.ID)
	}
	// Somebody was already adding it when nothing more was to be linked.
	added, err := tx.InsertBulkItems(ctx, b.ID, live)
	if err != nil || added > 0 {
		b.Total += added
		return err
	}
	v.log.Error("an integration cannot be deleted: not all of its connections could be revoked", "integration", in.ID, "bulk_revocation", b.ID)
	b.Status, b.FinishedAt = BulkStopped, v.now()
	return tx.InsertAudit(ctx, v.bulkEntry(System("revoke", b.EnvironmentID), ActionBulkStopped, b))
}

// ErrBeingDeleted says that an integration takes no connection any more.
var ErrBeingDeleted = fault.New(fault.Conflict, "The integration is being deleted: nothing can be linked with it any more.")

// linkable answers nil for an integration that is not being deleted, else
// [ErrBeingDeleted]. It does not keep that from beginning right after it.
func (v *Vault) linkable(ctx context.Context, tx Tx, environmentID, integrationID string) error {
	switch _, err := tx.BulkDeletionOf(ctx, environmentID, integrationID); {
	case err == nil:
		return ErrBeingDeleted
	case !errors.Is(err, ErrNotFound):
		return err
	}
	return nil
}

// insertConnection inserts a connection of an integration that is there and is not
// being deleted.
func (v *Vault) insertConnection(ctx context.Context, tx Tx, row ConnectionRow) error {
	if err := v.linkable(ctx, tx, row.EnvironmentID, row.IntegrationID); err != nil {
		return err
	}
	return missing(tx.InsertConnection(ctx, row), "integration")
}

// DeletionOf answers the id of the bulk revocation that is deleting an
// integration, "" where none is.
func (v *Vault) DeletionOf(ctx context.Context, caller Caller, integrationID string) (string, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRead, ""); err != nil {
		return "", err
	}
	if _, err := v.integrationByID(ctx, caller, integrationID); err != nil {
		return "", err
	}
	b, err := reachedBulk(caller)(v.store.BulkDeletionOf(ctx, caller.EnvironmentID, integrationID))
	switch {
	case fault.Is(err, fault.NotFound):
		return "", nil
	case err != nil:
		return "", err
	}
	return b.ID, nil
}
