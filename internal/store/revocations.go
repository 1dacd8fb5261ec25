package store

import (
	"context"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// revokedConnection is what stays of a connection for those who tell the
// provider. The names are stored: they may be added to and never changed.
type revokedConnection struct {
	ID            string        `json:"id"`
	EnvironmentID string        `json:"environment_id"`
	IntegrationID string        `json:"integration_id"`
	Integration   string        `json:"integration"`
	Provider      string        `json:"provider"`
	Method        string        `json:"method"`
	Generation    int64         `json:"generation"`
	BaseURL       string        `json:"base_url"`
	Account       vault.Account `json:"account"`
	EndUser       vault.EndUser `json:"end_user"`
}

const revocationColumns = `id, bulk_revocation_id, connection, sealed, created_at, due_at, tries`

func scanRevocation(row scanner) (r vault.RevocationRow, err error) {
	var c revokedConnection
	err = row.Scan(&r.ID, textColumn{&r.BulkID}, documentColumn{&c}, &r.Sealed, timeColumn{&r.CreatedAt}, timeColumn{&r.DueAt}, &r.Tries)
	r.Connection = vault.Connection{
		ID: c.ID, EnvironmentID: c.EnvironmentID, IntegrationID: c.IntegrationID, Integration: c.Integration,
		Provider: c.Provider, Method: c.Method, Generation: c.Generation, BaseURL: c.BaseURL, Account: c.Account, EndUser: c.EndUser,
	}
	return r, err
}

func (t tx) InsertRevocation(ctx context.Context, r vault.RevocationRow) error {
	c := r.Connection
	kept, err := document(revokedConnection{
		ID: c.ID, EnvironmentID: c.EnvironmentID, IntegrationID: c.IntegrationID, Integration: c.Integration,
		Provider: c.Provider, Method: c.Method, Generation: c.Generation, BaseURL: c.BaseURL, Account: c.Account, EndUser: c.EndUser,
	})
	if err != nil {
		return err
	}
	return t.insert(ctx, "inserting revocation", `
		INSERT INTO revocations (id, environment_id, integration_id, bulk_revocation_id, connection, sealed, created_at, due_at, tries)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.ID, c.EnvironmentID, c.IntegrationID, optional(r.BulkID), kept, blob(r.Sealed), micros(r.CreatedAt), micros(r.DueAt), r.Tries)
}

func (t tx) DeleteRevocation(ctx context.Context, id string) error {
	_, err := t.exec(ctx, "deleting revocation", `DELETE FROM revocations WHERE id = $1`, id)
	return err
}

func (t tx) ClaimRevocation(ctx context.Context, integrationID string, now, again time.Time) (*vault.RevocationRow, error) {
	return oneIf(ctx, t.conn, "claiming revocation", scanRevocation, `
		UPDATE revocations SET due_at = $3, tries = tries + 1
		WHERE id = (
			SELECT id FROM revocations WHERE integration_id = $1 AND due_at <= $2
			ORDER BY due_at, id LIMIT 1`+t.d.skipLocked+`)
		RETURNING `+revocationColumns,
		integrationID, micros(now), micros(again))
}

// RevocationsDue goes from one integration to the next along the index: of one
// there may be a million, while its provider is down.
func (s *Store) RevocationsDue(ctx context.Context, now time.Time) ([]string, error) {
	scan := func(row scanner) (id string, err error) { return id, row.Scan(&id) }
	return many(ctx, s.conn, "listing integrations with revocations", scan, `
		WITH RECURSIVE listed (id) AS (
			SELECT (SELECT r.integration_id FROM revocations r WHERE r.integration_id > '' ORDER BY r.integration_id LIMIT 1)
			UNION ALL
			SELECT (SELECT r.integration_id FROM revocations r WHERE r.integration_id > l.id ORDER BY r.integration_id LIMIT 1)
			FROM listed l WHERE l.id IS NOT NULL
		)
		SELECT l.id FROM listed l
		WHERE (SELECT r.due_at FROM revocations r WHERE r.integration_id = l.id ORDER BY r.due_at LIMIT 1) <= $1`,
		micros(now))
}
