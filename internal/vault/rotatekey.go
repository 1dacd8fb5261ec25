package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// How long a key goes on after it was rotated.
const (
	DefaultKeyOverlap = 24 * time.Hour
	MaxKeyOverlap     = 30 * 24 * time.Hour
)

// KeyRotation says how a key is to be replaced.
type KeyRotation struct {
	// ID is as in [NewAPIKey].
	ID string
	// Overlap is how long the old key still works, 0 to [MaxKeyOverlap]; with 0 it
	// is revoked. A key that ends sooner by itself is given no more time.
	Overlap time.Duration
	// ExpiresAt is the end of the new key, zero for never; nil is the old one's.
	ExpiresAt *time.Time
}

// RotateAPIKey makes a key that takes over from another: with its name, scopes
// and limits. Both work until the overlap is over. The key itself is in the
// answer and never again. Nobody rotates a key with a scope that they may not
// hand out, nor one that has been rotated and whose successor is not revoked.
func (v *Vault) RotateAPIKey(ctx context.Context, caller Caller, id string, r KeyRotation) (APIKey, Secret, error) {
	if err := v.allow(ctx, caller, ScopeAPIKeysWrite, ""); err != nil {
		return APIKey{}, Secret{}, err
	}
	if err := v.RequireFresh(caller); err != nil {
		return APIKey{}, Secret{}, err
	}
	if r.Overlap < 0 || r.Overlap > MaxKeyOverlap {
		return APIKey{}, Secret{}, fault.InvalidField("/overlap_seconds", "Must be 0 to %d.", int64(MaxKeyOverlap/time.Second))
	}
	key := mint(prefixAPIKey)
	var successor APIKey
	err := v.store.Update(ctx, func(tx Tx) error {
		old, err := v.rotatable(ctx, tx, caller, id)
		if err != nil {
			return err
		}
		n := old.Asked()
		n.ID = r.ID
		set(&n.ExpiresAt, r.ExpiresAt)
		// What it was limited to may be gone; that is no reason to lose the limit.
		if err := invalid(append(checkAPIKey(caller, n, nil), v.checkExpiry(n)...)); err != nil {
			return err
		}
		if successor, err = v.apiKeyRow(caller, n, key); err != nil {
			return err
		}
		successor.ReplacesID = old.ID
		if err := tx.InsertAPIKey(ctx, successor); err != nil {
			return err
		}
		if err := v.endRotated(ctx, tx, old, r.Overlap); err != nil {
			return err
		}
		if err := tx.InsertAudit(ctx, v.apiKeyEntry(caller, ActionAPIKeyRotated, old.ID)); err != nil {
			return err
		}
		return tx.InsertAudit(ctx, v.apiKeyEntry(caller, ActionAPIKeyCreated, successor.ID))
	})
	switch {
	case errors.Is(err, ErrDuplicate) && r.ID != "":
		return APIKey{}, Secret{}, alreadyRotated()
	case err != nil:
		if _, known := fault.As(err); known {
			return APIKey{}, Secret{}, err
		}
		return APIKey{}, Secret{}, fmt.Errorf("rotating API key %s: %w", id, err)
	}
	return successor, key, nil
}

func alreadyRotated() error {
	return fault.New(fault.Conflict, "This API key was rotated already, and the new one is not shown again. Where it was lost, revoke it and rotate once more.")
}

// rotatable locks a key that works and has no successor.
func (v *Vault) rotatable(ctx context.Context, tx Tx, caller Caller, id string) (*APIKey, error) {
	old, err := tx.LockAPIKey(ctx, caller.EnvironmentID, id)
	if err != nil {
		return nil, missing(err, "API key")
	}
	if !old.Live(v.now()) {
		return nil, fault.New(fault.Conflict, "This API key was revoked or has expired; make a new one.")
	}
	successor, err := tx.APIKeySuccessor(ctx, caller.EnvironmentID, id)
	if err != nil {
		return nil, err
	}
	if successor != nil {
		return nil, alreadyRotated()
	}
	return old, nil
}

// endRotated lowers the end of a key that was rotated, and never raises it.
func (v *Vault) endRotated(ctx context.Context, tx Tx, old *APIKey, overlap time.Duration) error {
	if overlap == 0 {
		_, err := tx.RevokeAPIKey(ctx, old.EnvironmentID, old.ID, v.now())
		return err
	}
	end := v.now().Add(overlap)
	if !old.ExpiresAt.IsZero() && !end.Before(old.ExpiresAt) {
		return nil
	}
	old.ExpiresAt = end
	_, err := tx.UpdateAPIKey(ctx, *old)
	return err
}
