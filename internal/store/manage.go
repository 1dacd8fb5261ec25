package store

import (
	"context"

	"github.com/claviger/claviger/internal/vault"
)

// ManagedConnections lists what an end user gets to see of their own. Not what
// is pending, nor what ended so: nobody has said yet that the account is theirs.
func (r reader) ManagedConnections(ctx context.Context, environmentID string, f vault.ManagedFilter) ([]vault.Connection, error) {
	var w where
	w.and("environment_id = ?", environmentID)
	w.and("end_user_id = ?", f.EndUserID)
	w.and("replaces_id IS NULL")
	w.and("(status IN ('active', 'reconnect_required') OR (status = 'revoked' AND status_reason = ? AND updated_at >= ?))",
		vault.ReasonRevokedByEndUser, micros(f.DisconnectedSince))
	if f.ID != "" {
		w.and("id = ?", f.ID)
	}
	w.ofIntegrations(environmentID, f.Integrations)
	tail, args := w.page("id", f.Page)
	return many(ctx, r.conn, "listing managed connections", scanConnection, `SELECT `+connectionColumns+` FROM connections`+tail, args...)
}
