package store

import (
	"context"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

const sessionColumns = `id, environment_id, end_user_id, end_user_email, end_user_name, integrations, connection_id, pending_id,
	reconnect, allow_account_change, return_url, completion, tags, status, error, wrong,
	token_hash, binding_hash, result_hash, result_expires_at, created_at, expires_at, kind, parent_id`

func scanSession(row scanner) (s vault.SessionRow, err error) {
	err = row.Scan(&s.ID, &s.EnvironmentID, &s.EndUser.ID, &s.EndUser.Email, &s.EndUser.Name,
		documentColumn{&s.Integrations}, textColumn{&s.ConnectionID}, textColumn{&s.PendingID},
		&s.Reconnect, &s.AllowAccountChange, &s.ReturnURL, &s.Completion, documentColumn{&s.Tags}, &s.Status, &s.Error, &s.Wrong,
		&s.TokenHash, &s.BindingHash, &s.ResultHash, timeColumn{&s.ResultExpiresAt},
		timeColumn{&s.CreatedAt}, timeColumn{&s.ExpiresAt}, &s.Kind, textColumn{&s.ParentID})
	return s, err
}

// Session finds one by id in an environment.
func (r reader) Session(ctx context.Context, environmentID, id string) (*vault.SessionRow, error) {
	return one(ctx, r.conn, "reading connect session", scanSession,
		`SELECT `+sessionColumns+` FROM connect_sessions WHERE environment_id = $1 AND id = $2`, environmentID, id)
}

// SessionByID finds one by id in any environment.
func (r reader) SessionByID(ctx context.Context, id string) (*vault.SessionRow, error) {
	return one(ctx, r.conn, "reading connect session", scanSession,
		`SELECT `+sessionColumns+` FROM connect_sessions WHERE id = $1`, id)
}

// SessionByToken finds one by the hash of its link's token.
func (r reader) SessionByToken(ctx context.Context, tokenHash []byte) (*vault.SessionRow, error) {
	return one(ctx, r.conn, "reading connect session", scanSession,
		`SELECT `+sessionColumns+` FROM connect_sessions WHERE token_hash = $1`, tokenHash)
}

func (t tx) LockSession(ctx context.Context, id string) (*vault.SessionRow, error) {
	return one(ctx, t.conn, "locking connect session", scanSession,
		`SELECT `+sessionColumns+` FROM connect_sessions WHERE id = $1`+t.d.forUpdate, id)
}

func (t tx) InsertSession(ctx context.Context, s vault.SessionRow) error {
	integrations, err := document(s.Integrations)
	if err != nil {
		return err
	}
	tags, err := document(s.Tags)
	if err != nil {
		return err
	}
	return t.insert(ctx, "inserting connect session", `
		INSERT INTO connect_sessions (`+sessionColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)`,
		s.ID, s.EnvironmentID, s.EndUser.ID, s.EndUser.Email, s.EndUser.Name, integrations, optional(s.ConnectionID), optional(s.PendingID),
		s.Reconnect, s.AllowAccountChange, s.ReturnURL, string(s.Completion), tags, string(s.Status), s.Error, s.Wrong,
		blob(s.TokenHash), blob(s.BindingHash), blob(s.ResultHash), micros(s.ResultExpiresAt), micros(s.CreatedAt), micros(s.ExpiresAt),
		string(s.Kind), optional(s.ParentID))
}

func (t tx) UpdateSession(ctx context.Context, s vault.SessionRow) error {
	return parentMissing("updating connect session", t.must(ctx, "updating connect session", `
		UPDATE connect_sessions
		SET connection_id = $2, pending_id = $3, status = $4, error = $5, wrong = $6,
		    binding_hash = $7, result_hash = $8, result_expires_at = $9, expires_at = $10
		WHERE id = $1`,
		s.ID, optional(s.ConnectionID), optional(s.PendingID), string(s.Status), s.Error, s.Wrong,
		blob(s.BindingHash), blob(s.ResultHash), micros(s.ResultExpiresAt), micros(s.ExpiresAt)))
}

func (t tx) CountReconnects(ctx context.Context, parentID string) (int, error) {
	scan := func(row scanner) (n int, err error) { return n, row.Scan(&n) }
	n, err := one(ctx, t.conn, "counting reconnects", scan, `SELECT count(*) FROM connect_sessions WHERE parent_id = $1`, parentID)
	if err != nil {
		return 0, err
	}
	return *n, nil
}

func (t tx) EndReconnects(ctx context.Context, parentID, reason string) error {
	_, err := t.exec(ctx, "ending reconnects",
		`UPDATE connect_sessions SET status = 'failed', error = $2 WHERE parent_id = $1 AND status = 'bound'`, parentID, reason)
	return err
}

func (t tx) ChargeGuess(ctx context.Context, environmentID, endUserID string, now time.Time, window time.Duration) (int, error) {
	scan := func(row scanner) (n int, err error) { return n, row.Scan(&n) }
	n, err := one(ctx, t.conn, "counting guess", scan, `
		INSERT INTO guesses (environment_id, end_user_id, count, ends_at) VALUES ($1, $2, 1, $4)
		ON CONFLICT (environment_id, end_user_id) DO UPDATE
		SET count   = CASE WHEN guesses.ends_at < $3 THEN 1 ELSE guesses.count + 1 END,
		    ends_at = CASE WHEN guesses.ends_at < $3 THEN excluded.ends_at ELSE guesses.ends_at END
		RETURNING count`,
		environmentID, endUserID, micros(now), micros(now.Add(window)))
	if err != nil {
		return 0, parentMissing("counting guess", err)
	}
	return *n, nil
}

func (t tx) RefundGuess(ctx context.Context, environmentID, endUserID string) error {
	_, err := t.exec(ctx, "taking back guess",
		`UPDATE guesses SET count = count - 1 WHERE environment_id = $1 AND end_user_id = $2 AND count > 0`,
		environmentID, endUserID)
	return err
}
