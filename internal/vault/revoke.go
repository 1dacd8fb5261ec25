package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// How often and how long a provider that could not be told is told again.
const (
	retellAfter = 5 * time.Minute
	maxTells    = 12
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
	var row *ConnectionRow
	at := v.now()
	err := v.store.Update(ctx, func(tx Tx) error {
		var err error
		if row, err = tx.LockConnection(ctx, caller.EnvironmentID, id); err != nil {
			return missing(err, "connection")
		}
		if row.Status == StatusRevoked {
			return revokedFault()
		}
		credential, err := v.openCredential(ctx, row)
		if err != nil {
			// A credential that does not open cannot be told to anybody. That must
			// not keep it alive here.
			v.log.Error("revoking a connection whose credential does not open", "connection", id, "error", err)
		} else if err := v.enqueueRevocation(ctx, tx, row.Connection, credential); err != nil {
			return err
		}
		if _, err := tx.Revoke(ctx, id, reason, at); err != nil {
			return err
		}
		e := v.connectionEntry(caller, ActionConnectionRevoked, &row.Connection)
		e.Reason = reason
		return tx.InsertAudit(ctx, e)
	})
	if err != nil {
		return Receipt{}, err
	}
	pending, err := v.store.ClaimRevocation(ctx, revocationID(&row.Connection), v.now())
	if errors.Is(err, ErrNotFound) {
		return Receipt{RevokedAt: at, Provider: ProviderOutcome{OutcomeFailed, "The credential could not be read any more, so the provider was not told."}}, nil
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("reading revocation: %w", err)
	}
	return Receipt{RevokedAt: at, Provider: v.tellProvider(context.WithoutCancel(ctx), pending)}, nil
}

// revocationID names a revocation after what it ends: one credential.
func revocationID(c *Connection) string { return fmt.Sprintf("%s.%d", c.ID, c.Generation) }

func (v *Vault) enqueueRevocation(ctx context.Context, tx Tx, c Connection, credential Credential) error {
	r := RevocationRow{ID: revocationID(&c), Connection: c, CreatedAt: v.now(), ClaimedAt: v.now()}
	plain, err := credential.encode()
	if err != nil {
		return fmt.Errorf("encoding credential: %w", err)
	}
	if r.Sealed, err = v.ring.seal(ctx, revocationPlace(&r), plain); err != nil {
		return err
	}
	return tx.InsertRevocation(ctx, r)
}

func revocationPlace(r *RevocationRow) place {
	return place{"revocations", r.Connection.EnvironmentID, r.ID, purposeRevocation, 0} // its id has the generation
}

// tellProvider tells the provider about one revocation and erases the last
// copy of the credential, unless it failed in a way that trying again may mend.
func (v *Vault) tellProvider(ctx context.Context, r *RevocationRow) ProviderOutcome {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	outcome := v.tellOnce(ctx, r)
	caller := System("revoke", r.Connection.EnvironmentID)
	err := v.store.Update(context.WithoutCancel(ctx), func(tx Tx) error {
		if outcome.Outcome != OutcomeFailed || r.Tries >= maxTells {
			if err := tx.DeleteRevocation(ctx, r.ID); err != nil {
				return err
			}
		}
		e := v.connectionEntry(caller, ActionProviderTold, &r.Connection)
		e.Allowed, e.Reason = outcome.Outcome != OutcomeFailed, string(outcome.Outcome)
		return tx.InsertAudit(ctx, e)
	})
	if err != nil {
		v.log.Error("recording what the provider made of a revocation", "connection", r.Connection.ID, "error", err)
	}
	return outcome
}

func (v *Vault) tellOnce(ctx context.Context, r *RevocationRow) ProviderOutcome {
	failed := func(err error) ProviderOutcome {
		v.log.Error("telling the provider of a revocation", "connection", r.Connection.ID, "error", err)
		return ProviderOutcome{OutcomeFailed, "The provider could not be told."}
	}
	plain, err := v.ring.open(ctx, revocationPlace(r), r.Sealed)
	if err != nil {
		return failed(err)
	}
	credential, err := decodeCredential(plain)
	if err != nil {
		return failed(err)
	}
	in, err := v.OpenIntegration(ctx, System("revoke", r.Connection.EnvironmentID), r.Connection.IntegrationID)
	if err != nil {
		return failed(err)
	}
	return v.tell(ctx, in, r.Connection, credential)
}

// DeleteConnection revokes a connection if that has not happened yet, and
// removes the row. The trail stays. The receipt is zero for one that had been
// revoked before.
func (v *Vault) DeleteConnection(ctx context.Context, caller Caller, id string) (Receipt, error) {
	receipt, err := v.Revoke(ctx, caller, id)
	if err != nil && !fault.Is(err, fault.Revoked) {
		return Receipt{}, err
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
		if err := tx.InsertAudit(ctx, v.connectionEntry(caller, ActionConnectionDeleted, &row.Connection)); err != nil {
			return err
		}
		return tx.DeleteConnection(ctx, id)
	})
	return receipt, err
}

// Retell tells providers that could not be told before, or whose telling a
// crash cut off.
func (v *Vault) retell(ctx context.Context) error {
	rows, err := v.store.ClaimRevocations(ctx, v.now().Add(-retellAfter), v.now(), 20)
	if err != nil {
		return fmt.Errorf("claiming revocations: %w", err)
	}
	for i := range rows {
		v.tellProvider(ctx, &rows[i])
	}
	return nil
}

// reap revokes what no host has redeemed in time.
func (v *Vault) reap(ctx context.Context) error {
	late, err := v.store.PendingBefore(ctx, v.now(), 100)
	if err != nil {
		return fmt.Errorf("listing unredeemed connections: %w", err)
	}
	for _, c := range late {
		if _, err := v.revoke(ctx, System("reap", c.EnvironmentID), c.ID, ReasonNotRedeemed); err != nil && !fault.Is(err, fault.Revoked) {
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
