package store

import (
	"context"

	"github.com/claviger/claviger/internal/vault"
)

func (t tx) InsertEvent(ctx context.Context, e vault.Event) error {
	return t.insert(ctx, "inserting event", `
		INSERT INTO events (id, environment_id, at, type, connection_id, integration, provider, end_user_id, status, reason, generation)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		e.ID, e.EnvironmentID, micros(e.At), string(e.Type), e.ConnectionID, e.Integration, e.Provider, e.EndUserID,
		string(e.Status), e.Reason, e.Generation)
}
