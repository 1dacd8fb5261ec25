package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// Revoke ends a connection. First, in one transaction with its audit entry, it
// is marked and its ciphertext erased: from then on no header leaves, on any
// replica. Then the provider is told. An end user's browser going away does not
// stop that.
func (v *Vault) Revoke(ctx context.Context, caller Caller, id string) (Receipt, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRevoke, id); err != nil {
		return Receipt{}, err
	}
	return v.revoke(ctx, caller, id, ReasonRevokedByCaller)
}

func (v *Vault) revoke(ctx context.Context, caller Caller, id, reason string) (Receipt, error) {
	at, notice, err := v.mark(ctx, caller, id, reason)
	if err != nil {
		return Receipt{}, err
	}
	if notice.id == "" {
		return Receipt{RevokedAt: at, Provider: notice.instead}, nil
	}
	pending, err := v.store.ClaimRevocation(ctx, notice.id, v.now())
	if err != nil {
		return Receipt{}, fmt.Errorf("reading revocation: %w", err)
	}
	return Receipt{RevokedAt: at, Provider: v.tellProvider(context.WithoutCancel(ctx), pending)}, nil
}

// notice is what is due to the provider after a connection was marked: the
// revocation with this id, or else what to say instead.
type notice struct {
	id      string
	instead ProviderOutcome
}

// mark is the part of a revocation that is ours: from its commit on no header
// leaves. What the provider has to be told is in the outbox by then.
func (v *Vault) mark(ctx context.Context, caller Caller, id, reason string) (time.Time, notice, error) {
	// The integration is opened before the transaction: a call to the provider
	// needs it even if it is deleted meanwhile.
	before, err := v.store.Connection(ctx, caller.EnvironmentID, id)
	if err != nil {
		return time.Time{}, notice{}, missing(err, "connection")
	}
	in, err := v.OpenIntegration(ctx, caller, before.IntegrationID)
	if err != nil {
		// Then the provider cannot be told; that must not keep it alive here.
		v.log.Error("revoking a connection whose integration does not open", "connection", id, "error", err)
		in = Integration{ID: before.IntegrationID, Key: before.Integration, Provider: before.Provider}
	}
	var due notice
	at := v.now()
	err = v.store.Update(ctx, func(tx Tx) error {
		row, err := tx.LockConnection(ctx, caller.EnvironmentID, id)
		if err != nil {
			return missing(err, "connection")
		}
		if row.Status == StatusRevoked {
			return revokedFault()
		}
		if due, err = v.notify(ctx, tx, in, row); err != nil {
			return err
		}
		if _, err := tx.Revoke(ctx, id, reason, at); err != nil {
			return err
		}
		if err := v.emitRevoked(ctx, tx, &row.Connection, reason); err != nil {
			return err
		}
		e := v.connectionEntry(caller, ActionConnectionRevoked, &row.Connection)
		e.Reason = reason
		return tx.InsertAudit(ctx, e)
	})
	return at, due, err
}

// notify puts the credential of a connection that is being revoked into the
// outbox, if the provider is to be told of it.
func (v *Vault) notify(ctx context.Context, tx Tx, in Integration, row *ConnectionRow) (notice, error) {
	if row.ReplacesID != "" {
		target, err := tx.Connection(ctx, row.EnvironmentID, row.ReplacesID)
		if err != nil {
			return notice{}, ignoreMissing(err)
		}
		// Many providers have one permission for one account: ending the
		// candidate's would end that of the connection that serves on.
		if target.Status != StatusRevoked && target.Account == row.Account {
			return notice{instead: ProviderOutcome{OutcomeUnsupported, "The provider was not told: the connection that was to be mended goes on with the same account."}}, nil
		}
	}
	credential, err := v.openCredential(ctx, row)
	if err != nil {
		// A credential that does not open cannot be told to anybody. That must
		// not keep it alive here.
		v.log.Error("revoking a connection whose credential does not open", "connection", row.ID, "error", err)
		return notice{instead: ProviderOutcome{OutcomeFailed, "The credential could not be read any more, so the provider was not told."}}, nil
	}
	due := notice{id: fmt.Sprintf("%s.%d", row.ID, row.Generation)}
	return due, v.enqueueRevocation(ctx, tx, due.id, row.Connection, in, credential)
}

// DeleteConnection revokes a connection if that has not happened yet, with any
// candidate that was to mend it, and removes the row. The trail stays. The
// receipt says so where it had been revoked before.
func (v *Vault) DeleteConnection(ctx context.Context, caller Caller, id string) (Receipt, error) {
	receipt, err := v.Revoke(ctx, caller, id)
	if err != nil && !fault.Is(err, fault.Revoked) {
		return Receipt{}, err
	}
	candidates, err := v.store.CandidatesOf(ctx, caller.EnvironmentID, id)
	if err != nil {
		return Receipt{}, fmt.Errorf("listing candidates of %s: %w", id, err)
	}
	for _, candidate := range candidates {
		if _, err := v.revoke(ctx, caller, candidate, ReasonRevokedByCaller); err != nil && !fault.Is(err, fault.Revoked) {
			return Receipt{}, err
		}
	}
	err = v.store.Update(ctx, func(tx Tx) error {
		row, err := tx.LockConnection(ctx, caller.EnvironmentID, id)
		if err != nil {
			return missing(err, "connection")
		}
		if receipt.RevokedAt.IsZero() {
			receipt.RevokedAt = row.UpdatedAt
			receipt.Provider = ProviderOutcome{OutcomeUnsupported, "The connection had been revoked before."}
		}
		for _, candidate := range candidates {
			if err := tx.DeleteConnection(ctx, candidate); err != nil {
				return err
			}
		}
		if err := tx.InsertAudit(ctx, v.connectionEntry(caller, ActionConnectionDeleted, &row.Connection)); err != nil {
			return err
		}
		return tx.DeleteConnection(ctx, id)
	})
	if errors.Is(err, ErrInUse) {
		return Receipt{}, fault.New(fault.Conflict, "The connection is revoked, and is being linked anew at this moment. Delete it again in a little while.")
	}
	return receipt, err
}

// reap marks what no host has redeemed in time; the providers are told by the
// next round of the outbox.
func (v *Vault) reap(ctx context.Context) error {
	late, err := v.store.PendingBefore(ctx, v.now(), 100)
	if err != nil {
		return fmt.Errorf("listing unredeemed connections: %w", err)
	}
	for _, c := range late {
		if _, _, err := v.mark(ctx, System("reap", c.EnvironmentID), c.ID, ReasonNotRedeemed); err != nil && !fault.Is(err, fault.Revoked) {
			return err
		}
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
