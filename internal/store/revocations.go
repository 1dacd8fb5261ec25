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

const revocationColumns = `id, connection, sealed, created_at, claimed_at, tries`

func scanRevocation(row scanner) (r vault.RevocationRow, err error) {
	var c revokedConnection
	err = row.Scan(&r.ID, documentColumn{&c}, &r.Sealed, timeColumn{&r.CreatedAt}, timeColumn{&r.ClaimedAt}, &r.Tries)
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
		INSERT INTO revocations (id, environment_id, connection, sealed, created_at, claimed_at, tries)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		r.ID, c.EnvironmentID, kept, blob(r.Sealed), micros(r.CreatedAt), micros(r.ClaimedAt), r.Tries)
}

func (t tx) DeleteRevocation(ctx context.Context, id string) error {
	_, err := t.exec(ctx, "deleting revocation", `DELETE FROM revocations WHERE id = $1`, id)
	return err
}

// ClaimRevocations takes revocations for this process, oldest first.
func (s *Store) ClaimRevocations(ctx context.Context, before, now time.Time, limit int) ([]vault.RevocationRow, error) {
	return many(ctx, s.w, "claiming revocations", scanRevocation, `
		UPDATE revocations SET claimed_at = $2, tries = tries + 1
		WHERE id IN (
			SELECT id FROM revocations WHERE claimed_at IS NULL OR claimed_at < $1
			ORDER BY id LIMIT $3`+s.d.skipLocked+`)
		RETURNING `+revocationColumns,
		micros(before), micros(now), limit)
}

// ClaimRevocation takes one, whoever had it before.
func (s *Store) ClaimRevocation(ctx context.Context, id string, now time.Time) (*vault.RevocationRow, error) {
	return one(ctx, s.w, "claiming revocation", scanRevocation,
		`UPDATE revocations SET claimed_at = $2, tries = tries + 1 WHERE id = $1 RETURNING `+revocationColumns,
		id, micros(now))
}
