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
	at, due, err := v.mark(ctx, caller, id, marking{reason: reason, here: true})
	if err != nil {
		return Receipt{}, err
	}
	if due.row == nil {
		return Receipt{RevokedAt: at, Provider: due.instead}, nil
	}
	outcome, _ := v.tellProvider(context.WithoutCancel(ctx), due.row, false)
	return Receipt{RevokedAt: at, Provider: outcome}, nil
}

// notice is what is due to the provider after a connection was marked: what is
// in the outbox, or else what to say instead.
type notice struct {
	row     *RevocationRow
	instead ProviderOutcome
}

// marking is how a connection is marked.
type marking struct {
	reason string
	// here says that this process tells the provider at once; else whoever
	// looks into the outbox next.
	here bool
	// bulkID is the bulk revocation that it is done for.
	bulkID string
}

// mark is the part of a revocation that is ours: from its commit on no header
// leaves. What the provider has to be told is in the outbox by then.
func (v *Vault) mark(ctx context.Context, caller Caller, id string, m marking) (at time.Time, due notice, err error) {
	err = v.store.Update(ctx, func(tx Tx) error {
		row, err := v.lockConnection(ctx, tx, caller, id)
		if err != nil {
			return err
		}
		if row.Status == StatusRevoked {
			return revokedFault()
		}
		in, err := v.integrationOf(ctx, tx, row)
		if err != nil {
			return err
		}
		at = v.now()
		due, err = v.markLocked(ctx, tx, caller, row, in, m)
		return err
	})
	return at, due, err
}

// integrationOf opens the integration of a connection that is being revoked. One
// that does not open must not keep the connection alive here: the provider
// cannot be told then.
func (v *Vault) integrationOf(ctx context.Context, tx Tx, c *ConnectionRow) (Integration, error) {
	row, err := tx.Integration(ctx, c.EnvironmentID, c.IntegrationID)
	if err != nil {
		return Integration{}, err
	}
	in, err := v.openSecret(ctx, row)
	if err != nil {
		v.log.Error("revoking a connection whose integration does not open", "connection", c.ID, "error", err)
		return row.Integration, nil
	}
	return in, nil
}

// markLocked is mark for a row that is locked and not revoked.
func (v *Vault) markLocked(ctx context.Context, tx Tx, caller Caller, row *ConnectionRow, in Integration, m marking) (notice, error) {
	due, err := v.notify(ctx, tx, in, row, m)
	if err != nil {
		return notice{}, err
	}
	if _, err := tx.Revoke(ctx, row.ID, m.reason, v.now()); err != nil {
		return notice{}, err
	}
	if err := v.emitRevoked(ctx, tx, &row.Connection, m.reason); err != nil {
		return notice{}, err
	}
	e := v.connectionEntry(caller, ActionConnectionRevoked, &row.Connection)
	e.Reason = m.reason
	return due, tx.InsertAudit(ctx, e)
}

// notify puts the credential of a connection that is being revoked into the
// outbox, if the provider is to be told of it.
func (v *Vault) notify(ctx context.Context, tx Tx, in Integration, row *ConnectionRow, m marking) (notice, error) {
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
	r := RevocationRow{ID: fmt.Sprintf("%s.%d", row.ID, row.Generation), Connection: row.Connection, BulkID: m.bulkID}
	if m.here {
		r.Tries = 1
	}
	return notice{row: &r}, v.enqueueRevocation(ctx, tx, &r, in, credential)
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
		row, err := v.lockConnection(ctx, tx, caller, id)
		if err != nil {
			return err
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
		if _, _, err := v.mark(ctx, System("reap", c.EnvironmentID), c.ID, marking{reason: ReasonNotRedeemed}); err != nil && !fault.Is(err, fault.Revoked) {
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
