package vault

import (
	"context"
	"time"
)

// apiKeyReader is the part of [Reader] about API keys.
type apiKeyReader interface {
	// APIKeyByHash finds the key in any environment, revoked and expired ones too.
	APIKeyByHash(ctx context.Context, hash []byte) (*APIKey, error)
	// APIKey finds a key by id, revoked and expired ones too.
	APIKey(ctx context.Context, environmentID, id string) (*APIKey, error)
	// APIKeys lists the keys of an environment, newest first.
	APIKeys(ctx context.Context, environmentID string, page Page) ([]APIKey, error)
	// APIKeySuccessor finds the newest key that replaces the one with this id and
	// is not revoked; nil where there is none.
	APIKeySuccessor(ctx context.Context, environmentID, id string) (*APIKey, error)
}

// apiKeyTx is the part of [Tx] about API keys.
type apiKeyTx interface {
	InsertAPIKey(ctx context.Context, k APIKey) error
	// LockAPIKey reads the row and keeps others from changing it until the end of
	// the transaction.
	LockAPIKey(ctx context.Context, environmentID, id string) (*APIKey, error)
	// UpdateAPIKey writes name, scopes, limits and expiry and reports whether there
	// is such a key that is not revoked.
	UpdateAPIKey(ctx context.Context, k APIKey) (bool, error)
	// RevokeAPIKey reports whether there was one that was not revoked.
	RevokeAPIKey(ctx context.Context, environmentID, id string, at time.Time) (bool, error)
}
