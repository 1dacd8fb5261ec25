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
	if err := v.RequireFresh(caller); err != nil {
		return APIKey{}, err
	}
	if err := v.checkNewAPIKey(ctx, caller, n); err != nil {
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

// RecogniseAPIKey answers the key, of any environment and revoked or not, whose
// secret somebody has found, with the name of its environment; [fault.NotFound]
// where there is none. It is for whoever has the database anyway.
func (v *Vault) RecogniseAPIKey(ctx context.Context, key Secret) (k APIKey, environment string, err error) {
	found, err := v.store.APIKeyByHash(ctx, HashToken(key))
	if err != nil {
		return APIKey{}, "", missing(err, "API key")
	}
	env, err := v.store.Environment(ctx, found.EnvironmentID)
	if err != nil {
		return APIKey{}, "", fmt.Errorf("reading environment %s: %w", found.EnvironmentID, err)
	}
	return *found, env.Name, nil
}
