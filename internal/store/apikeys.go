package store

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

const apiKeyColumns = `id, environment_id, name, prefix, hash, scopes, integrations, addresses, replaces_id,
	expires_at, revoked_at, created_at, last_used_at`

func scanAPIKey(row scanner) (k vault.APIKey, err error) {
	err = row.Scan(&k.ID, &k.EnvironmentID, &k.Name, &k.Prefix, &k.Hash, scopesColumn{&k.Scopes},
		wordsColumn{&k.Integrations}, addressesColumn{&k.Addresses}, textColumn{&k.ReplacesID},
		timeColumn{&k.ExpiresAt}, timeColumn{&k.RevokedAt}, timeColumn{&k.CreatedAt}, timeColumn{&k.LastUsedAt})
	return k, err
}

// APIKeyByHash finds a key in any environment.
func (r reader) APIKeyByHash(ctx context.Context, hash []byte) (*vault.APIKey, error) {
	return one(ctx, r.conn, "reading API key", scanAPIKey,
		`SELECT `+apiKeyColumns+` FROM api_keys WHERE hash = $1`, hash)
}

// APIKey finds a key by id.
func (r reader) APIKey(ctx context.Context, environmentID, id string) (*vault.APIKey, error) {
	return one(ctx, r.conn, "reading API key", scanAPIKey,
		`SELECT `+apiKeyColumns+` FROM api_keys WHERE environment_id = $1 AND id = $2`, environmentID, id)
}

// APIKeys lists the keys of an environment, newest first.
func (r reader) APIKeys(ctx context.Context, environmentID string, page vault.Page) ([]vault.APIKey, error) {
	var w where
	w.and("environment_id = ?", environmentID)
	tail, args := w.page("id", page)
	return many(ctx, r.conn, "listing API keys", scanAPIKey, `SELECT `+apiKeyColumns+` FROM api_keys`+tail, args...)
}

// APIKeySuccessor finds the newest live key that was made to take over from one.
func (r reader) APIKeySuccessor(ctx context.Context, environmentID, id string) (*vault.APIKey, error) {
	return oneIf(ctx, r.conn, "reading successor of API key", scanAPIKey,
		`SELECT `+apiKeyColumns+` FROM api_keys WHERE environment_id = $1 AND replaces_id = $2 AND revoked_at IS NULL ORDER BY id DESC LIMIT 1`,
		environmentID, id)
}

func (t tx) LockAPIKey(ctx context.Context, environmentID, id string) (*vault.APIKey, error) {
	return one(ctx, t.conn, "locking API key", scanAPIKey,
		`SELECT `+apiKeyColumns+` FROM api_keys WHERE environment_id = $1 AND id = $2`+t.d.forUpdate, environmentID, id)
}

func (t tx) InsertAPIKey(ctx context.Context, k vault.APIKey) error {
	return t.insert(ctx, "inserting API key", `
		INSERT INTO api_keys (id, environment_id, name, prefix, hash, scopes, integrations, addresses, replaces_id,
			expires_at, revoked_at, created_at, last_used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		k.ID, k.EnvironmentID, k.Name, k.Prefix, blob(k.Hash), joinScopes(k.Scopes),
		strings.Join(k.Integrations, " "), joinWords(k.Addresses, netip.Prefix.String), optional(k.ReplacesID),
		micros(k.ExpiresAt), micros(k.RevokedAt), micros(k.CreatedAt), micros(k.LastUsedAt))
}

func (t tx) UpdateAPIKey(ctx context.Context, k vault.APIKey) (bool, error) {
	return t.swap(ctx, "updating API key", `
		UPDATE api_keys SET name = $3, scopes = $4, integrations = $5, addresses = $6, expires_at = $7
		WHERE environment_id = $1 AND id = $2 AND revoked_at IS NULL`,
		k.EnvironmentID, k.ID, k.Name, joinScopes(k.Scopes), strings.Join(k.Integrations, " "), joinWords(k.Addresses, netip.Prefix.String),
		micros(k.ExpiresAt))
}

func (t tx) RevokeAPIKey(ctx context.Context, environmentID, id string, at time.Time) (bool, error) {
	return t.swap(ctx, "revoking API key",
		`UPDATE api_keys SET revoked_at = $3 WHERE environment_id = $1 AND id = $2 AND revoked_at IS NULL`,
		environmentID, id, micros(at))
}
