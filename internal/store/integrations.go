package store

import (
	"context"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

const integrationColumns = `id, environment_id, key, provider, title, client_id, client_secret, scopes, methods, overrides, created_at, updated_at,
	previous_client_secret, previous_client_secret_until`

func scanIntegration(row scanner) (i vault.IntegrationRow, err error) {
	err = row.Scan(&i.ID, &i.EnvironmentID, &i.Key, &i.Provider, &i.Title, &i.ClientID, &i.SealedSecret,
		documentColumn{&i.Scopes}, documentColumn{&i.Methods}, documentColumn{&i.Overrides},
		timeColumn{&i.CreatedAt}, timeColumn{&i.UpdatedAt}, &i.SealedPrevious, timeColumn{&i.PreviousClientSecretUntil})
	i.HasClientSecret = len(i.SealedSecret) > 0
	return i, err
}

func scanMetadata(row scanner) (vault.Integration, error) {
	i, err := scanIntegration(row)
	return i.Integration, err
}

// Integration finds one by id in an environment.
func (r reader) Integration(ctx context.Context, environmentID, id string) (*vault.IntegrationRow, error) {
	return one(ctx, r.conn, "reading integration", scanIntegration,
		`SELECT `+integrationColumns+` FROM integrations WHERE environment_id = $1 AND id = $2`, environmentID, id)
}

// IntegrationByKey finds one by key in an environment.
func (r reader) IntegrationByKey(ctx context.Context, environmentID, key string) (*vault.IntegrationRow, error) {
	return one(ctx, r.conn, "reading integration", scanIntegration,
		`SELECT `+integrationColumns+` FROM integrations WHERE environment_id = $1 AND key = $2`, environmentID, key)
}

func (t tx) LockIntegration(ctx context.Context, environmentID, key string) (*vault.IntegrationRow, error) {
	return one(ctx, t.conn, "locking integration", scanIntegration,
		`SELECT `+integrationColumns+` FROM integrations WHERE environment_id = $1 AND key = $2`+t.d.forUpdate, environmentID, key)
}

// IntegrationByID finds one by id in any environment.
func (r reader) IntegrationByID(ctx context.Context, id string) (*vault.IntegrationRow, error) {
	return one(ctx, r.conn, "reading integration", scanIntegration,
		`SELECT `+integrationColumns+` FROM integrations WHERE id = $1`, id)
}

// Integrations lists those of an environment, newest first.
func (r reader) Integrations(ctx context.Context, environmentID string, keys []string, page vault.Page) ([]vault.Integration, error) {
	var w where
	w.and("environment_id = ?", environmentID)
	w.among("key", keys)
	tail, args := w.page("id", page)
	return many(ctx, r.conn, "listing integrations", scanMetadata, `SELECT `+integrationColumns+` FROM integrations`+tail, args...)
}

// integrationDocuments are the members that are stored as JSON.
func integrationDocuments(i *vault.IntegrationRow) (scopes, methods, overrides string, err error) {
	if scopes, err = document(i.Scopes); err != nil {
		return "", "", "", err
	}
	if methods, err = document(i.Methods); err != nil {
		return "", "", "", err
	}
	overrides, err = document(i.Overrides)
	return scopes, methods, overrides, err
}

func (t tx) InsertIntegration(ctx context.Context, i vault.IntegrationRow) error {
	scopes, methods, overrides, err := integrationDocuments(&i)
	if err != nil {
		return err
	}
	return t.insert(ctx, "inserting integration", `
		INSERT INTO integrations (`+integrationColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		i.ID, i.EnvironmentID, i.Key, i.Provider, i.Title, i.ClientID, blob(i.SealedSecret),
		scopes, methods, overrides, micros(i.CreatedAt), micros(i.UpdatedAt), blob(i.SealedPrevious), micros(i.PreviousClientSecretUntil))
}

func (t tx) UpdateIntegration(ctx context.Context, i vault.IntegrationRow) error {
	scopes, methods, overrides, err := integrationDocuments(&i)
	if err != nil {
		return err
	}
	return t.must(ctx, "updating integration", `
		UPDATE integrations
		SET title = $3, client_id = $4, client_secret = $5, scopes = $6, methods = $7, overrides = $8, updated_at = $9,
		    previous_client_secret = $10, previous_client_secret_until = $11
		WHERE environment_id = $1 AND id = $2`,
		i.EnvironmentID, i.ID, i.Title, i.ClientID, blob(i.SealedSecret), scopes, methods, overrides, micros(i.UpdatedAt),
		blob(i.SealedPrevious), micros(i.PreviousClientSecretUntil))
}

func (t tx) DropPreviousSecret(ctx context.Context, environmentID, id string, now time.Time) (bool, error) {
	return t.swap(ctx, "dropping the client secret before", `
		UPDATE integrations SET previous_client_secret = NULL, previous_client_secret_until = NULL
		WHERE environment_id = $1 AND id = $2 AND previous_client_secret_until <= $3`,
		environmentID, id, micros(now))
}

// PreviousSecretsUntil lists those whose secret before is over, the longest
// overdue first.
func (s *Store) PreviousSecretsUntil(ctx context.Context, now time.Time, limit int) ([]vault.Integration, error) {
	return many(ctx, s.conn, "listing client secrets that are over", scanMetadata,
		`SELECT `+integrationColumns+` FROM integrations WHERE previous_client_secret_until <= $1 ORDER BY previous_client_secret_until LIMIT $2`,
		micros(now), limit)
}

// DeleteRevokedConnections takes the newest first: what was to mend a connection
// refers to that, and is newer. One that is to be mended by what is not revoked
// has to wait for that.
func (t tx) DeleteRevokedConnections(ctx context.Context, environmentID, integrationID string, limit int) (int64, error) {
	return t.exec(ctx, "deleting revoked connections", `
		DELETE FROM connections WHERE id IN (
			SELECT c.id FROM connections c WHERE c.environment_id = $1 AND c.integration_id = $2 AND c.status = 'revoked'
				AND NOT EXISTS (SELECT 1 FROM connections m WHERE m.replaces_id = c.id AND m.status <> 'revoked')
			ORDER BY c.id DESC LIMIT $3)`,
		environmentID, integrationID, limit)
}

// DeleteIntegration leaves it to the foreign keys to find a connection that is
// not revoked: one may be inserted between any two statements of ours.
func (t tx) DeleteIntegration(ctx context.Context, environmentID, id string) error {
	if _, err := t.exec(ctx, "deleting revoked connections",
		`DELETE FROM connections WHERE environment_id = $1 AND integration_id = $2 AND status = 'revoked'`,
		environmentID, id); err != nil {
		return err
	}
	return t.must(ctx, "deleting integration",
		`DELETE FROM integrations WHERE environment_id = $1 AND id = $2`, environmentID, id)
}
