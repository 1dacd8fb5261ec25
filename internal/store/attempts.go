package store

import (
	"context"

	"github.com/claviger/claviger/internal/vault"
)

const attemptColumns = `id, environment_id, session_id, integration_id, method, state_hash, binding_hash, sealed, reply, created_at, expires_at`

func scanAttempt(row scanner) (a vault.AttemptRow, err error) {
	err = row.Scan(&a.ID, &a.EnvironmentID, &a.SessionID, &a.IntegrationID, &a.Method,
		&a.StateHash, &a.BindingHash, &a.Sealed, &a.Reply, timeColumn{&a.CreatedAt}, timeColumn{&a.ExpiresAt})
	return a, err
}

// AttemptByState finds an attempt without using it up.
func (r reader) AttemptByState(ctx context.Context, stateHash []byte) (*vault.AttemptRow, error) {
	return one(ctx, r.conn, "reading attempt", scanAttempt,
		`SELECT `+attemptColumns+` FROM attempts WHERE state_hash = $1`, stateHash)
}

func (t tx) InsertAttempt(ctx context.Context, a vault.AttemptRow) error {
	return t.insert(ctx, "inserting attempt",
		`INSERT INTO attempts (`+attemptColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		a.ID, a.EnvironmentID, a.SessionID, a.IntegrationID, a.Method,
		blob(a.StateHash), blob(a.BindingHash), blob(a.Sealed), blob(a.Reply), micros(a.CreatedAt), micros(a.ExpiresAt))
}

func (t tx) SetAttemptReply(ctx context.Context, id string, reply []byte) (bool, error) {
	return t.swap(ctx, "keeping reply",
		`UPDATE attempts SET reply = $2 WHERE id = $1 AND reply IS NULL`, id, reply)
}

func (t tx) TakeAttempt(ctx context.Context, id string) (*vault.AttemptRow, error) {
	return one(ctx, t.conn, "taking attempt", scanAttempt,
		`DELETE FROM attempts WHERE id = $1 RETURNING `+attemptColumns, id)
}
