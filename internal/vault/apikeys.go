package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// MinAPIKeyLength is how long a key of the operator's own making has to be.
const MinAPIKeyLength = 32

// prefixShown is how much of a key may be shown and stored: too little to
// help anybody guess, enough to recognise it.
const prefixShown = len(prefixAPIKey) + 4

const unauthenticated = "A valid API key is required."

// Authenticate answers who presents the key. Unknown, expired and revoked keys
// get one answer in one time: the lookup happens for every one of them.
func (v *Vault) Authenticate(ctx context.Context, key Secret) (Caller, error) {
	if key.IsZero() {
		return Caller{}, fault.New(fault.Unauthenticated, "%s", unauthenticated)
	}
	hash := HashToken(key)
	k, err := v.store.APIKeyByHash(ctx, hash)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Caller{}, fmt.Errorf("looking up API key: %w", err)
	}
	caller, err := v.callerOf(k, hash)
	if err != nil {
		return Caller{}, err
	}
	v.reads.add(caller, "", "", v.now(), false)
	return caller, nil
}

func (v *Vault) callerOf(k *APIKey, hash []byte) (Caller, error) {
	if k == nil || !sameHash(k.Hash, hash) || !k.live(v.now()) {
		return Caller{}, fault.New(fault.Unauthenticated, "%s", unauthenticated)
	}
	return Caller{Kind: CallerAPIKey, ID: k.ID, EnvironmentID: k.EnvironmentID, Scopes: k.Scopes}, nil
}

func (k *APIKey) live(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// CreateAPIKey makes a key in the caller's environment. The key itself is in
// the answer and never again. Nobody hands out a scope they lack.
func (v *Vault) CreateAPIKey(ctx context.Context, caller Caller, n NewAPIKey) (APIKey, Secret, error) {
	if err := v.allow(ctx, caller, ScopeAPIKeysWrite, ""); err != nil {
		return APIKey{}, Secret{}, err
	}
	fields := checkAPIKey(caller, n)
	if !n.ExpiresAt.IsZero() && !n.ExpiresAt.After(v.now()) {
		fields = append(fields, expiryPast())
	}
	if fields != nil {
		return APIKey{}, Secret{}, fault.InvalidFields(fields...)
	}
	key := mint(prefixAPIKey)
	k, err := v.insertAPIKey(ctx, caller, n, key)
	return k, key, err
}

// checkAPIKey says what is wrong with name and scopes.
func checkAPIKey(caller Caller, n NewAPIKey) []fault.Field {
	var fields []fault.Field
	if f := checkText("/name", n.Name, 1, 100); f != nil {
		fields = append(fields, *f)
	}
	if len(n.Scopes) == 0 {
		fields = append(fields, fault.Field{Pointer: "/scopes", Detail: "Name at least one scope."})
	}
	for i, s := range n.Scopes {
		pointer := fmt.Sprintf("/scopes/%d", i)
		switch {
		case !slices.Contains(AllScopes(), s):
			fields = append(fields, fault.Field{Pointer: pointer, Detail: "There is no such scope."})
		case !caller.May(s):
			fields = append(fields, fault.Field{Pointer: pointer, Detail: "Your own key lacks this scope."})
		}
	}
	return fields
}

func expiryPast() fault.Field {
	return fault.Field{Pointer: "/expires_at", Detail: "Must be in the future."}
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
	case err == nil && !k.live(v.now()):
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

func (v *Vault) insertAPIKey(ctx context.Context, caller Caller, n NewAPIKey, key Secret) (APIKey, error) {
	k := APIKey{
		ID:            newID("key"),
		EnvironmentID: caller.EnvironmentID,
		Name:          n.Name,
		Hash:          HashToken(key),
		Scopes:        n.Scopes,
		ExpiresAt:     n.expiry(),
		CreatedAt:     v.now(),
	}
	if LooksLikeToken(key) { // of a key of somebody's own making nothing is shown
		k.Prefix = key.Reveal()[:prefixShown]
	}
	err := v.store.Update(ctx, func(tx Tx) error {
		if err := tx.InsertAPIKey(ctx, k); err != nil {
			return err
		}
		e := v.entry(caller, ActionAPIKeyCreated)
		e.Reason = k.ID
		return tx.InsertAudit(ctx, e)
	})
	if err != nil {
		return APIKey{}, fmt.Errorf("creating API key: %w", err)
	}
	return k, nil
}

// expiry is as the databases keep it.
func (n NewAPIKey) expiry() time.Time {
	if n.ExpiresAt.IsZero() {
		return time.Time{}
	}
	return n.ExpiresAt.UTC().Truncate(time.Microsecond)
}

// APIKeys lists the environment's keys, revoked ones too.
func (v *Vault) APIKeys(ctx context.Context, caller Caller, page Page) ([]APIKey, error) {
	if err := v.allow(ctx, caller, ScopeAPIKeysWrite, ""); err != nil {
		return nil, err
	}
	return v.store.APIKeys(ctx, caller.EnvironmentID, page)
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
		e := v.entry(caller, ActionAPIKeyRevoked)
		e.Reason = id
		return tx.InsertAudit(ctx, e)
	})
}
