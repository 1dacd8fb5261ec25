package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/claviger/claviger/internal/fault"
)

// MinAPIKeyLength is how long a key of the operator's own making has to be.
const MinAPIKeyLength = 32

// prefixShown is how much of a key may be shown and stored: too little to
// help anybody guess, enough to recognise it.
const prefixShown = len(prefixAPIKey) + 4

// CreateAPIKey makes a key in the caller's environment. The key itself is in
// the answer and never again. Nobody hands out a scope they lack, save an admin
// who decides on admins; an admin has to have signed in freshly.
func (v *Vault) CreateAPIKey(ctx context.Context, caller Caller, n NewAPIKey) (APIKey, Secret, error) {
	if err := v.allow(ctx, caller, ScopeAPIKeysWrite, ""); err != nil {
		return APIKey{}, Secret{}, err
	}
	if err := v.RequireFresh(caller); err != nil {
		return APIKey{}, Secret{}, err
	}
	if err := v.checkNewAPIKey(ctx, caller, n); err != nil {
		return APIKey{}, Secret{}, err
	}
	key := mint(prefixAPIKey)
	k, err := v.insertAPIKey(ctx, caller, n, key)
	if errors.Is(err, ErrDuplicate) && n.ID != "" {
		return APIKey{}, Secret{}, fault.New(fault.Conflict, "This key was made already, and is not shown again.")
	}
	return k, key, err
}

// EnsureAPIKey makes sure that a key of the operator's own making exists, with
// every scope. A revoked one stays revoked: the answer then is a conflict.
func (v *Vault) EnsureAPIKey(ctx context.Context, caller Caller, name string, key Secret) error {
	if len(key.Reveal()) < MinAPIKeyLength {
		return fault.New(fault.Invalid, "An API key has at least %d characters.", MinAPIKeyLength)
	}
	k, err := v.store.APIKeyByHash(ctx, HashToken(key))
	switch {
	case err == nil && k.EnvironmentID != caller.EnvironmentID:
		return fault.New(fault.Conflict, "This API key exists in another environment.")
	case err == nil && !k.Live(v.now()):
		return fault.New(fault.Conflict, "This API key was revoked or has expired; configure another.")
	case err == nil:
		return nil
	case !errors.Is(err, ErrNotFound):
		return fmt.Errorf("looking up API key: %w", err)
	}
	_, err = v.insertAPIKey(ctx, caller, NewAPIKey{Name: name, Scopes: AllScopes()}, key)
	if errors.Is(err, ErrDuplicate) { // another replica was first
		return nil
	}
	return err
}

// row is the row of a key that is asked for; what is asked for has been checked.
func (v *Vault) apiKeyRow(caller Caller, n NewAPIKey, key Secret) (APIKey, error) {
	addresses, err := n.addresses()
	if err != nil {
		return APIKey{}, err
	}
	k := APIKey{
		ID:            n.ID,
		EnvironmentID: caller.EnvironmentID,
		Name:          n.Name,
		Hash:          HashToken(key),
		Scopes:        n.Scopes,
		Integrations:  n.Integrations,
		Addresses:     addresses,
		ExpiresAt:     n.expiry(),
		CreatedAt:     v.now(),
	}
	if k.ID == "" {
		k.ID = NewAPIKeyID()
	}
	if LooksLikeToken(key) { // of a key of somebody's own making nothing is shown
		k.Prefix = key.Reveal()[:prefixShown]
	}
	return k, nil
}

func (v *Vault) insertAPIKey(ctx context.Context, caller Caller, n NewAPIKey, key Secret) (APIKey, error) {
	k, err := v.apiKeyRow(caller, n, key)
	if err != nil {
		return APIKey{}, err
	}
	err = v.store.Update(ctx, func(tx Tx) error {
		if err := tx.InsertAPIKey(ctx, k); err != nil {
			return err
		}
		return tx.InsertAudit(ctx, v.apiKeyEntry(caller, ActionAPIKeyCreated, k.ID))
	})
	if err != nil {
		return APIKey{}, fmt.Errorf("creating API key: %w", err)
	}
	return k, nil
}

func (v *Vault) apiKeyEntry(caller Caller, action Action, id string) AuditEntry {
	e := v.entry(caller, action)
	e.Reason = id
	return e
}

// allowKeys answers nil for a caller that may see API keys.
func (v *Vault) allowKeys(ctx context.Context, caller Caller) error {
	if caller.May(ScopeAPIKeysRead) {
		return nil
	}
	return v.allow(ctx, caller, ScopeAPIKeysWrite, "")
}

// APIKeys lists the environment's keys, revoked ones too.
func (v *Vault) APIKeys(ctx context.Context, caller Caller, page Page) ([]APIKey, error) {
	if err := v.allowKeys(ctx, caller); err != nil {
		return nil, err
	}
	return v.store.APIKeys(ctx, caller.EnvironmentID, page)
}

// APIKey answers one key of the caller's environment, revoked or not.
func (v *Vault) APIKey(ctx context.Context, caller Caller, id string) (APIKey, error) {
	if err := v.allowKeys(ctx, caller); err != nil {
		return APIKey{}, err
	}
	k, err := v.store.APIKey(ctx, caller.EnvironmentID, id)
	if err != nil {
		return APIKey{}, missing(err, "API key")
	}
	return *k, nil
}

// ChangeAPIKey gives a key another name, other scopes and limits or another end;
// who holds it goes on. A revoked one stays as it was: a conflict. One that was
// changed since the patch was made is [ErrChangedSince]. It answers the key as it
// is then.
func (v *Vault) ChangeAPIKey(ctx context.Context, caller Caller, id string, p APIKeyPatch) (APIKey, error) {
	if err := v.allow(ctx, caller, ScopeAPIKeysWrite, ""); err != nil {
		return APIKey{}, err
	}
	if err := v.RequireFresh(caller); err != nil {
		return APIKey{}, err
	}
	var changed APIKey
	err := v.store.Update(ctx, func(tx Tx) error {
		k, err := tx.LockAPIKey(ctx, caller.EnvironmentID, id)
		if err != nil {
			return missing(err, "API key")
		}
		if !k.RevokedAt.IsZero() {
			return fault.New(fault.Conflict, "This API key was revoked.")
		}
		there, before := k.Version(), k.Asked()
		n := before
		p.apply(&n)
		if err := v.checkChangedAPIKey(ctx, tx, caller, before, n); err != nil {
			return err
		}
		if k.Addresses, err = n.addresses(); err != nil {
			return err
		}
		k.Name, k.Scopes, k.Integrations, k.ExpiresAt = n.Name, n.Scopes, n.Integrations, n.expiry()
		if stale(p.Seen, there, k.Version()) {
			return ErrChangedSince
		}
		if _, err := tx.UpdateAPIKey(ctx, *k); err != nil {
			return err
		}
		changed = *k
		return tx.InsertAudit(ctx, v.apiKeyEntry(caller, ActionAPIKeyUpdated, id))
	})
	return changed, err
}

// RevokeAPIKey ends a key at once. Revoking a revoked one changes nothing.
func (v *Vault) RevokeAPIKey(ctx context.Context, caller Caller, id string) error {
	if err := v.allow(ctx, caller, ScopeAPIKeysWrite, ""); err != nil {
		return err
	}
	return v.store.Update(ctx, func(tx Tx) error {
		if _, err := tx.APIKey(ctx, caller.EnvironmentID, id); err != nil {
			return missing(err, "API key")
		}
		revoked, err := tx.RevokeAPIKey(ctx, caller.EnvironmentID, id, v.now())
		if err != nil || !revoked {
			return err
		}
		return tx.InsertAudit(ctx, v.apiKeyEntry(caller, ActionAPIKeyRevoked, id))
	})
}
