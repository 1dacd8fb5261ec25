package vault

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// Renewal is the right to renew one connection, with all that the call needs.
// Whoever holds one ends it by [Vault.Save], [Vault.AbandonRenewal] or
// [Vault.CondemnRenewal].
type Renewal struct {
	Connection  Connection
	Integration Integration
	Credential  Credential
	// Uncertain says that an earlier holder may have spent the very same token:
	// the answer to that call was lost.
	Uncertain bool

	epoch   int64
	rescued bool
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
		ferr := v.store.Update(ctx, func(tx Tx) error {
			_, err := tx.ReleaseLease(ctx, id, row.Lease.Epoch, Release{KeepSpending: row.Lease.Spending != nil})
			return err
		})
		if ferr != nil {
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
	// What is about to be spent goes into the row before it is sent.
	if row.Lease.Spending != nil {
		before, err := v.ring.open(ctx, connectionPlace(&row.Connection, purposeSpending, row.Generation), row.Lease.Spending)
		now := sha256.Sum256([]byte(r.Credential.Get(ValueRefreshToken)))
		r.Uncertain = err != nil || sameHash(before, now[:]) // what does not open is no proof of the contrary
	}
	spending, err := v.fingerprint(ctx, &row.Connection, row.Generation, r.Credential)
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

// fingerprint is the hash of what a renewal spends, for the row. Sealed, because
// for some methods it is that of a guessable password.
func (v *Vault) fingerprint(ctx context.Context, c *Connection, generation int64, credential Credential) ([]byte, error) {
	hash := sha256.Sum256([]byte(credential.Get(ValueRefreshToken)))
	return v.ring.seal(ctx, connectionPlace(c, purposeSpending, generation), hash[:])
}

// Rescued moves r on to what was saved by [Vault.PrepareRescue]. The lease is
// still r's.
func (r *Renewal) Rescued(u *Unsaved) {
	r.Connection.Generation++
	r.Credential, r.Uncertain = u.credential, false
	r.rescued = true
}

// ExtendRenewal makes the lease last ttl from now; false means that it is lost.
func (v *Vault) ExtendRenewal(ctx context.Context, r *Renewal, ttl time.Duration) (bool, error) {
	held, err := v.store.ExtendLease(ctx, r.Connection.ID, r.epoch, ttl)
	if err != nil {
		return false, fmt.Errorf("extending lease of %s: %w", r.Connection.ID, err)
	}
	return held, nil
}

// NoteUncertain puts into the trail that a token is sent once more because the
// outcome of an earlier call was lost.
func (v *Vault) NoteUncertain(ctx context.Context, caller Caller, r *Renewal) error {
	return v.audit(ctx, v.connectionEntry(caller, ActionRefreshUncertain, &r.Connection))
}

// EndRenewal gives the lease back where nothing came of it and nothing failed.
func (v *Vault) EndRenewal(ctx context.Context, r *Renewal) error {
	err := v.store.Update(ctx, func(tx Tx) error {
		_, err := tx.ReleaseLease(ctx, r.Connection.ID, r.epoch, Release{})
		return err
	})
	if err != nil {
		return fmt.Errorf("releasing lease of %s: %w", r.Connection.ID, err)
	}
	return nil
}

// failingAfter is how many refreshes in a row have to fail before it is an event.
const failingAfter = 3

// Setback is a renewal that ended without a new credential.
type Setback struct {
	// Reason is a stable word for the trail.
	Reason string
	// Uncertain: the token may have been spent.
	Uncertain bool
	// Pause is how long the connection rests.
	Pause time.Duration
	// Unasked: the provider was not asked, so that nothing has failed.
	Unasked bool
}

// AbandonRenewal gives the lease back without a new credential.
func (v *Vault) AbandonRenewal(ctx context.Context, caller Caller, r *Renewal, s Setback) error {
	err := v.store.Update(ctx, func(tx Tx) error {
		held, err := tx.ReleaseLease(ctx, r.Connection.ID, r.epoch, Release{
			KeepSpending: s.Uncertain || r.Uncertain, Failed: !s.Unasked, DueAt: v.now().Add(s.Pause),
		})
		if err != nil || s.Unasked {
			return err
		}
		e := v.connectionEntry(caller, ActionRefreshFailed, &r.Connection)
		e.Allowed, e.Reason = false, s.Reason
		if err := tx.InsertAudit(ctx, e); err != nil {
			return err
		}
		if !held || r.Connection.Failures+1 != failingAfter {
			return nil
		}
		return v.emit(ctx, tx, EventRefreshFailing, &r.Connection, s.Reason)
	})
	if err != nil {
		return fmt.Errorf("releasing lease of %s: %w", r.Connection.ID, err)
	}
	return nil
}

// CondemnRenewal ends the lease and condemns the connection of r.
func (v *Vault) CondemnRenewal(ctx context.Context, caller Caller, r *Renewal, reason string) (bool, error) {
	condemned, err := v.condemn(ctx, caller, r.Connection, r.epoch, reason)
	if err != nil {
		return false, err
	}
	err = v.store.Update(ctx, func(tx Tx) error {
		_, err := tx.ReleaseLease(ctx, r.Connection.ID, r.epoch, Release{})
		return err
	})
	if err != nil {
		return condemned, fmt.Errorf("releasing lease of %s: %w", r.Connection.ID, err)
	}
	return condemned, nil
}

// RenewalState answers a connection and its lease to whoever waits for the
// holder to be done.
func (v *Vault) RenewalState(ctx context.Context, caller Caller, id string) (Connection, Lease, error) {
	row, err := v.connection(ctx, v.store, caller, id)
	if err != nil {
		return Connection{}, Lease{}, err
	}
	return row.Connection, row.Lease, nil
}

// Condemn says that the end user has to link again, if the connection is still
// of this generation, and reports whether it was.
func (v *Vault) Condemn(ctx context.Context, caller Caller, c Connection, reason string) (bool, error) {
	return v.condemn(ctx, caller, c, 0, reason)
}

// condemn asks for the lease of that epoch to be the newest, unless it is 0:
// who has lost it was told what is old.
func (v *Vault) condemn(ctx context.Context, caller Caller, c Connection, epoch int64, reason string) (bool, error) {
	var condemned bool
	err := v.store.Update(ctx, func(tx Tx) error {
		row, err := v.lockConnection(ctx, tx, caller, c.ID)
		if err != nil {
			return err
		}
		condemned = row.Status == StatusActive && row.Generation == c.Generation && (epoch == 0 || row.Lease.Epoch == epoch)
		if !condemned {
			return nil
		}
		if condemned, err = tx.SetStatus(ctx, c.ID, c.Generation, StatusReconnectRequired, reason, v.now()); err != nil || !condemned {
			return err
		}
		e := v.connectionEntry(caller, ActionConnectionCondemned, &row.Connection)
		e.Allowed, e.Reason = false, reason
		if err := tx.InsertAudit(ctx, e); err != nil {
			return err
		}
		now := row.Connection
		now.Status, now.StatusReason = StatusReconnectRequired, reason
		return v.emit(ctx, tx, EventReconnectRequired, &now, reason)
	})
	return condemned, err
}

// OpenForCall answers a connection's integration and credential for a call to
// the provider that spends nothing, such as a verification.
func (v *Vault) OpenForCall(ctx context.Context, caller Caller, id string) (Connection, Integration, Credential, error) {
	row, err := v.connection(ctx, v.store, caller, id)
	if err != nil {
		return Connection{}, Integration{}, nil, err
	}
	if err := servable(row.ID, row.Status, row.StatusReason); err != nil {
		return Connection{}, Integration{}, nil, err
	}
	in, err := v.OpenIntegration(ctx, caller, row.IntegrationID)
	if err != nil {
		return Connection{}, Integration{}, nil, err
	}
	credential, err := v.openCredential(ctx, row)
	return row.Connection, in, credential, err
}

// NoteVerified puts into the trail that the provider still honours the
// credential, and when it is asked again: after about every, or never where
// that is 0.
func (v *Vault) NoteVerified(ctx context.Context, caller Caller, c Connection, every time.Duration) error {
	if err := v.audit(ctx, v.connectionEntry(caller, ActionConnectionVerified, &c)); err != nil {
		return err
	}
	var due time.Time
	if every > 0 {
		due = v.now().Add(part(every, 1, verifyJitter))
	}
	return v.store.SetDue(ctx, c.ID, c.Generation, due)
}

// ClaimDue takes up to limit connections that are due, of any environment but
// none of the integrations to be skipped. They are due again after hold, should
// this process die.
func (v *Vault) ClaimDue(ctx context.Context, limit int, hold time.Duration, skip []string) ([]Connection, error) {
	due, err := v.store.ClaimDue(ctx, limit, hold, skip)
	if err != nil {
		return nil, fmt.Errorf("claiming due connections: %w", err)
	}
	return due, nil
}

// Postpone moves the next look at a connection; pause below 0 is never.
func (v *Vault) Postpone(ctx context.Context, c Connection, pause time.Duration) error {
	var due time.Time
	if pause >= 0 {
		due = v.now().Add(pause)
	}
	return v.store.SetDue(ctx, c.ID, c.Generation, due)
}

// Announce tells other replicas that a connection has changed, and Listen hears
// of it. It is a hint that may get lost.
func (v *Vault) Announce(ctx context.Context, id string) error { return v.store.Announce(ctx, id) }

// Listen calls heard for each connection announced, until ctx ends.
func (v *Vault) Listen(ctx context.Context, heard func(id string)) error {
	return v.store.Listen(ctx, heard)
}

// NoteHonoured is [Vault.NoteVerified] for a credential that is due for another
// reason, and stays so.
func (v *Vault) NoteHonoured(ctx context.Context, caller Caller, c Connection) error {
	return v.audit(ctx, v.connectionEntry(caller, ActionConnectionVerified, &c))
}

// AskRefresh is [Vault.AllowRefresh] for what somebody wants done now; that an
// admin did is in the trail, as action. What comes of it is the broker's doing.
func (v *Vault) AskRefresh(ctx context.Context, caller Caller, id string, action Action) (Connection, error) {
	c, err := v.AllowRefresh(ctx, caller, id)
	if err != nil || caller.Kind != CallerAdmin {
		return c, err
	}
	return c, v.audit(ctx, v.connectionEntry(caller, action, &c))
}

// AllowRefresh answers the connection to a caller that may have it refreshed:
// whoever may read the headers, and an admin who may no more than that.
func (v *Vault) AllowRefresh(ctx context.Context, caller Caller, id string) (Connection, error) {
	scope := ScopeCredentialsRead
	if caller.Kind == CallerAdmin && !caller.May(scope) {
		scope = ScopeConnectionsRefresh
	}
	if err := v.allow(ctx, caller, scope, id); err != nil {
		return Connection{}, err
	}
	row, err := v.connection(ctx, v.store, caller, id)
	if err != nil {
		return Connection{}, err
	}
	return row.Connection, servable(row.ID, row.Status, row.StatusReason)
}
