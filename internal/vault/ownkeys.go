package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/claviger/claviger/internal/fault"
)

// CheckOwnKey says what is wrong with an API key of the operator's own making,
// or nil. What it says never repeats the key.
func CheckOwnKey(key Secret) error {
	switch {
	case len(key.Reveal()) < MinAPIKeyLength:
		return fmt.Errorf("must have at least %d characters", MinAPIKeyLength)
	case strings.HasPrefix(key.Reveal(), "clv_") && !LooksLikeToken(key):
		return errors.New("begins like a key of ours and its checksum is wrong: a character was lost or changed")
	}
	return nil
}

// CheckAPIKey says what is wrong with a key that is asked for, all of it at once
// as a [*fault.Error], or nil. An expiry in the past is wrong for a key that is
// to be made, and only history for one that is there.
func (v *Vault) CheckAPIKey(caller Caller, n NewAPIKey, there bool) error {
	fields := checkAPIKey(caller, n)
	if !there && !n.ExpiresAt.IsZero() && !n.ExpiresAt.After(v.now()) {
		fields = append(fields, expiryPast())
	}
	if fields != nil {
		return fault.InvalidFields(fields...)
	}
	return nil
}

// FindAPIKey answers the key of the caller's environment whose secret this is,
// revoked and expired ones too: [fault.NotFound] where there is none, and a
// [fault.Conflict] where another environment has it.
func (v *Vault) FindAPIKey(ctx context.Context, caller Caller, key Secret) (APIKey, error) {
	if err := v.allow(ctx, caller, ScopeAPIKeysWrite, ""); err != nil {
		return APIKey{}, err
	}
	k, err := v.store.APIKeyByHash(ctx, HashToken(key))
	switch {
	case err != nil:
		return APIKey{}, missing(err, "API key")
	case k.EnvironmentID != caller.EnvironmentID:
		return APIKey{}, fault.New(fault.Conflict, "This API key exists in another environment.")
	}
	return *k, nil
}

// AddAPIKey makes a key of the operator's own making in the caller's
// environment. One with that secret, in any environment, is a conflict.
func (v *Vault) AddAPIKey(ctx context.Context, caller Caller, n NewAPIKey, key Secret) (APIKey, error) {
	if err := v.allow(ctx, caller, ScopeAPIKeysWrite, ""); err != nil {
		return APIKey{}, err
	}
	if err := v.CheckAPIKey(caller, n, false); err != nil {
		return APIKey{}, err
	}
	if err := CheckOwnKey(key); err != nil {
		return APIKey{}, fault.New(fault.Invalid, "The API key %s.", err)
	}
	k, err := v.insertAPIKey(ctx, caller, n, key)
	if errors.Is(err, ErrDuplicate) {
		return APIKey{}, fault.New(fault.Conflict, "This API key exists already.")
	}
	return k, err
}

// ChangeAPIKey gives a key another name, other scopes and another end; who holds
// it goes on. A revoked one stays as it was: a conflict.
func (v *Vault) ChangeAPIKey(ctx context.Context, caller Caller, id string, n NewAPIKey) error {
	if err := v.allow(ctx, caller, ScopeAPIKeysWrite, ""); err != nil {
		return err
	}
	if err := v.CheckAPIKey(caller, n, true); err != nil {
		return err
	}
	return v.store.Update(ctx, func(tx Tx) error {
		k, err := tx.APIKey(ctx, caller.EnvironmentID, id)
		if err != nil {
			return missing(err, "API key")
		}
		k.Name, k.Scopes, k.ExpiresAt = n.Name, n.Scopes, n.expiry()
		changed, err := tx.UpdateAPIKey(ctx, *k)
		if err != nil {
			return err
		}
		if !changed {
			return fault.New(fault.Conflict, "This API key was revoked.")
		}
		e := v.entry(caller, ActionAPIKeyUpdated)
		e.Reason = id
		return tx.InsertAudit(ctx, e)
	})
}
