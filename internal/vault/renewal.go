package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// Renewal is the right to renew one connection, with all that the call needs.
// Whoever holds one ends it by [Vault.SaveRenewal], [Vault.AbandonRenewal] or
// [Vault.CondemnRenewal].
type Renewal struct {
	Connection  Connection
	Integration Integration
	Credential  Credential
	// Uncertain says that an earlier holder may have spent the very same token:
	// the answer to that call was lost.
	Uncertain bool

	epoch int64
}

// ClaimRenewal takes the lease of a connection at this generation for ttl. It
// answers nil without an error where somebody else holds it, or where the
// connection has moved on: read it again.
func (v *Vault) ClaimRenewal(ctx context.Context, caller Caller, id string, generation int64, owner string, ttl time.Duration) (*Renewal, error) {
	row, ok, err := v.store.ClaimLease(ctx, id, generation, owner, ttl)
	if err != nil {
		return nil, fmt.Errorf("claiming lease of %s: %w", id, err)
	}
	if !ok {
		return nil, nil
	}
	r, err := v.renewal(ctx, caller, row, ttl)
	if err != nil || r == nil {
		if ferr := v.releaseLease(ctx, id, row.Lease.Epoch, Release{KeepSpending: true}); ferr != nil {
			v.log.Error("releasing lease", "connection", id, "error", ferr)
		}
	}
	return r, err
}

func (v *Vault) renewal(ctx context.Context, caller Caller, row *ConnectionRow, ttl time.Duration) (*Renewal, error) {
	if row.EnvironmentID != caller.EnvironmentID {
		return nil, fault.New(fault.NotFound, "There is no such connection.")
	}
	if row.Status != StatusActive {
		return nil, nil // saving would activate what no host has redeemed
	}
	r := &Renewal{Connection: row.Connection, epoch: row.Lease.Epoch}
	var err error
	if r.Integration, err = v.OpenIntegration(ctx, caller, row.IntegrationID); err != nil {
		return nil, err
	}
	if r.Credential, err = v.openCredential(ctx, row); err != nil {
		return nil, err
	}
	// What is about to be spent goes into the row before it is sent. Sealed,
	// because for some methods it is the hash of a guessable password.
	fingerprint := sha256.Sum256([]byte(r.Credential.Get(ValueRefreshToken)))
	at := connectionPlace(&row.Connection, purposeSpending, row.Generation)
	if row.Lease.Spending != nil {
		before, err := v.ring.open(ctx, at, row.Lease.Spending)
		r.Uncertain = err == nil && sameHash(before, fingerprint[:])
	}
	spending, err := v.ring.seal(ctx, at, fingerprint[:])
	if err != nil {
		return nil, err
	}
	held, err := v.store.NoteSpending(ctx, row.ID, r.epoch, spending, ttl)
	if err != nil {
		return nil, fmt.Errorf("noting what %s is about to spend: %w", row.ID, err)
	}
	if !held {
		return nil, nil
	}
	return r, nil
}

// SaveRenewal saves what the provider answered, before anybody sees it.
// It answers false where the row has moved on: then the lease was lost, or the
// connection was revoked meanwhile, in which case the provider is told to end
// the new credential too.
func (v *Vault) SaveRenewal(ctx context.Context, caller Caller, r *Renewal, g Grant) (bool, error) {
	ch, err := v.change(ctx, &r.Connection, &g)
	if err != nil {
		return false, err
	}
	ch.Refreshed = true
	return v.saveRenewal(ctx, caller, r, &g, ch, ActionConnectionRefreshed)
}

// RescueRenewal saves a rotated refresh token before the rest of the answer has
// been checked: what was handed out meanwhile goes on being handed out. The
// lease stays with r, which is of the new generation then. It answers as
// SaveRenewal does.
func (v *Vault) RescueRenewal(ctx context.Context, caller Caller, r *Renewal, g Grant) (bool, error) {
	ch, err := v.change(ctx, &r.Connection, &g)
	if err != nil {
		return false, err
	}
	ch.KeepLease = true
	saved, err := v.saveRenewal(ctx, caller, r, &g, ch, ActionRefreshRescued)
	if saved {
		r.Connection.Generation++
		r.Credential, r.Uncertain = g.Credential, false
	}
	return saved, err
}

func (v *Vault) saveRenewal(ctx context.Context, caller Caller, r *Renewal, g *Grant, ch CredentialChange, action Action) (bool, error) {
	var saved, revoked bool
	err := v.store.Update(ctx, func(tx Tx) error {
		var err error
		revoked = false
		if saved, err = tx.SaveCredential(ctx, r.Connection.ID, r.Connection.Generation, r.epoch, ch); err != nil {
			return err
		}
		c := r.Connection
		if !saved {
			now, err := tx.Connection(ctx, c.EnvironmentID, c.ID)
			gone := errors.Is(err, ErrNotFound)
			if revoked = gone || err == nil && now.Status == StatusRevoked; revoked {
				// Another id than the revocation of what was there before has.
				id := fmt.Sprintf("%s.%d.%d", c.ID, c.Generation, r.epoch)
				return v.enqueueRevocation(ctx, tx, id, c, r.Integration, g.Credential)
			}
			return err
		}
		c.Generation++
		e := v.connectionEntry(caller, action, &c)
		e.Reason = ch.StatusReason
		if err := tx.InsertAudit(ctx, e); err != nil {
			return err
		}
		return v.noteHeldURL(ctx, tx, caller, &c, g)
	})
	if err != nil {
		return false, fmt.Errorf("saving renewed credential of %s: %w", r.Connection.ID, err)
	}
	if revoked {
		v.log.Warn("a connection was revoked while it was refreshed; the provider is told about the new credential too", "connection", r.Connection.ID)
	}
	return saved, nil
}

// AbandonRenewal gives the lease back without a new credential; reason is a
// stable word. uncertain says that the token may have been spent.
func (v *Vault) AbandonRenewal(ctx context.Context, caller Caller, r *Renewal, reason string, uncertain bool) error {
	if err := v.releaseLease(ctx, r.Connection.ID, r.epoch, Release{KeepSpending: uncertain || r.Uncertain}); err != nil {
		return fmt.Errorf("releasing lease of %s: %w", r.Connection.ID, err)
	}
	e := v.connectionEntry(caller, ActionRefreshFailed, &r.Connection)
	e.Allowed, e.Reason = false, reason
	return v.audit(ctx, e)
}

// CondemnRenewal ends the lease and condemns the connection of r.
func (v *Vault) CondemnRenewal(ctx context.Context, caller Caller, r *Renewal, reason string) (bool, error) {
	condemned, err := v.Condemn(ctx, caller, r.Connection, reason)
	if err != nil {
		return false, err
	}
	if err := v.releaseLease(ctx, r.Connection.ID, r.epoch, Release{}); err != nil {
		return condemned, fmt.Errorf("releasing lease of %s: %w", r.Connection.ID, err)
	}
	return condemned, nil
}

func (v *Vault) releaseLease(ctx context.Context, id string, epoch int64, r Release) error {
	return v.store.Update(ctx, func(tx Tx) error {
		_, err := tx.ReleaseLease(ctx, id, epoch, r)
		return err
	})
}

// RenewalState answers a connection and its lease to whoever waits for the
// holder to be done.
func (v *Vault) RenewalState(ctx context.Context, caller Caller, id string) (Connection, Lease, error) {
	row, err := v.store.Connection(ctx, caller.EnvironmentID, id)
	if err != nil {
		return Connection{}, Lease{}, missing(err, "connection")
	}
	return row.Connection, row.Lease, nil
}

// Condemn says that the end user has to link again, if the connection is still
// of this generation, and reports whether it was.
func (v *Vault) Condemn(ctx context.Context, caller Caller, c Connection, reason string) (bool, error) {
	var condemned bool
	err := v.store.Update(ctx, func(tx Tx) error {
		row, err := tx.LockConnection(ctx, caller.EnvironmentID, c.ID)
		if err != nil {
			return missing(err, "connection")
		}
		condemned = row.Status == StatusActive && row.Generation == c.Generation
		if !condemned {
			return nil
		}
		if condemned, err = tx.SetStatus(ctx, c.ID, c.Generation, StatusReconnectRequired, reason, v.now()); err != nil || !condemned {
			return err
		}
		e := v.connectionEntry(caller, ActionConnectionCondemned, &row.Connection)
		e.Allowed, e.Reason = false, reason
		return tx.InsertAudit(ctx, e)
	})
	return condemned, err
}

// OpenForCall answers a connection's integration and credential for a call to
// the provider that spends nothing, such as a verification.
func (v *Vault) OpenForCall(ctx context.Context, caller Caller, id string) (Connection, Integration, Credential, error) {
	row, err := v.store.Connection(ctx, caller.EnvironmentID, id)
	if err != nil {
		return Connection{}, Integration{}, nil, missing(err, "connection")
	}
	if err := servable(&row.Connection); err != nil {
		return Connection{}, Integration{}, nil, err
	}
	in, err := v.OpenIntegration(ctx, caller, row.IntegrationID)
	if err != nil {
		return Connection{}, Integration{}, nil, err
	}
	credential, err := v.openCredential(ctx, row)
	return row.Connection, in, credential, err
}

// NoteVerified puts into the trail that the provider still honours the credential.
func (v *Vault) NoteVerified(ctx context.Context, caller Caller, c Connection) error {
	return v.audit(ctx, v.connectionEntry(caller, ActionConnectionVerified, &c))
}

// AllowRefresh answers the connection to a caller that may have it refreshed.
func (v *Vault) AllowRefresh(ctx context.Context, caller Caller, id string) (Connection, error) {
	if err := v.allow(ctx, caller, ScopeCredentialsRead, id); err != nil {
		return Connection{}, err
	}
	row, err := v.store.Connection(ctx, caller.EnvironmentID, id)
	if err != nil {
		return Connection{}, missing(err, "connection")
	}
	return row.Connection, servable(&row.Connection)
}
