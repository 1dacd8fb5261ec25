package store

import (
	"context"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

const adminColumns = `id, issuer, subject, email, name, role, created_at, last_signed_in_at, removed_at`

func adminInto(a *vault.Admin) []any {
	return []any{
		&a.ID, &a.Issuer, &a.Subject, &a.Email, &a.Name, &a.Role,
		timeColumn{&a.CreatedAt},
		timeColumn{&a.LastSignedInAt},
		timeColumn{&a.RemovedAt},
	}
}

func scanAdmin(row scanner) (a vault.Admin, err error) {
	err = row.Scan(adminInto(&a)...)
	return a, err
}

// Admin finds one by id.
func (r reader) Admin(ctx context.Context, id string) (*vault.Admin, error) {
	return one(ctx, r.conn, "reading admin", scanAdmin, `SELECT `+adminColumns+` FROM admins WHERE id = $1`, id)
}

// AdminBySubject finds one by who they are at an OpenID provider.
func (r reader) AdminBySubject(ctx context.Context, issuer, subject string) (*vault.Admin, error) {
	return one(ctx, r.conn, "reading admin", scanAdmin,
		`SELECT `+adminColumns+` FROM admins WHERE issuer = $1 AND subject = $2 AND subject <> ''`, issuer, subject)
}

// Admins lists them, newest first.
func (r reader) Admins(ctx context.Context, page vault.Page) ([]vault.Admin, error) {
	var w where
	tail, args := w.page("id", page)
	return many(ctx, r.conn, "listing admins", scanAdmin, `SELECT `+adminColumns+` FROM admins`+tail, args...)
}

func (t tx) LockAdmin(ctx context.Context, id string) (*vault.Admin, error) {
	return one(ctx, t.conn, "locking admin", scanAdmin, `SELECT `+adminColumns+` FROM admins WHERE id = $1`+t.d.forUpdate, id)
}

func (t tx) LockOwners(ctx context.Context) ([]string, error) {
	scan := func(row scanner) (id string, err error) { return id, row.Scan(&id) }
	return many(ctx, t.conn, "locking owners", scan,
		`SELECT id FROM admins WHERE role = 'owner' AND removed_at IS NULL AND last_signed_in_at IS NOT NULL ORDER BY id`+t.d.forUpdate)
}

func (t tx) InsertAdmin(ctx context.Context, a vault.Admin) error {
	return t.insert(ctx, "inserting admin",
		`INSERT INTO admins (`+adminColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		a.ID, a.Issuer, a.Subject, a.Email, a.Name, string(a.Role), micros(a.CreatedAt), micros(a.LastSignedInAt), micros(a.RemovedAt))
}

func (t tx) UpdateAdmin(ctx context.Context, a vault.Admin) error {
	return t.must(ctx, "updating admin",
		`UPDATE admins SET email = $2, name = $3, role = $4, last_signed_in_at = $5, removed_at = $6 WHERE id = $1`,
		a.ID, a.Email, a.Name, string(a.Role), micros(a.LastSignedInAt), micros(a.RemovedAt))
}

// adminSessionColumns are of the table s.
const adminSessionColumns = `s.id, s.admin_id, s.environment_id, s.method, s.role, s.provider_session, s.address, s.agent,
	s.created_at, s.authenticated_at, s.seen_at, s.ended_at`

func adminSessionInto(s *vault.AdminSession) []any {
	return []any{
		&s.ID, &s.AdminID, &s.EnvironmentID, &s.Method, &s.Role, &s.ProviderSession, &s.Address, &s.Agent,
		timeColumn{&s.CreatedAt},
		timeColumn{&s.AuthenticatedAt},
		timeColumn{&s.SeenAt},
		timeColumn{&s.EndedAt},
	}
}

func scanAdminSession(row scanner) (s vault.AdminSession, err error) {
	err = row.Scan(adminSessionInto(&s)...)
	return s, err
}

func scanAdminStay(row scanner) (s vault.AdminStay, err error) {
	into := append(adminSessionInto(&s.AdminSession), &s.TokenHash, &s.TripHash)
	err = row.Scan(append(append(into, adminInto(&s.Admin)...), &s.Environment)...)
	return s, err
}

// AdminStay finds a session with its admin and its environment's name.
func (r reader) AdminStay(ctx context.Context, sessionID string) (*vault.AdminStay, error) {
	return one(ctx, r.conn, "reading admin session", scanAdminStay, `
		SELECT `+adminSessionColumns+`, s.token_hash, s.trip_hash,
			a.id, a.issuer, a.subject, a.email, a.name, a.role, a.created_at, a.last_signed_in_at, a.removed_at, e.name
		FROM admin_sessions s JOIN admins a ON a.id = s.admin_id JOIN environments e ON e.id = s.environment_id
		WHERE s.id = $1`, sessionID)
}

// AdminSessions lists those of an admin, newest first.
func (r reader) AdminSessions(ctx context.Context, adminID string, since time.Time, limit int) ([]vault.AdminSession, error) {
	return many(ctx, r.conn, "listing admin sessions", scanAdminSession, `
		SELECT `+adminSessionColumns+` FROM admin_sessions s
		WHERE s.admin_id = $1 AND s.created_at > $2 ORDER BY s.id DESC LIMIT $3`,
		adminID, since.UnixMicro(), limit)
}

func (t tx) ProviderSessions(ctx context.Context, issuer, subject, sid string, before time.Time) ([]vault.AdminSession, error) {
	query := `SELECT ` + adminSessionColumns + ` FROM admin_sessions s JOIN admins a ON a.id = s.admin_id
		WHERE s.method = 'oidc' AND s.ended_at IS NULL AND a.issuer = $1 AND s.created_at < $2`
	args := []any{issuer, before.UnixMicro()}
	switch {
	case subject != "" && sid != "":
		query, args = query+` AND a.subject = $3 AND a.subject <> '' AND s.provider_session = $4`, append(args, subject, sid)
	case sid != "":
		query, args = query+` AND s.provider_session = $3 AND s.provider_session <> ''`, append(args, sid)
	default:
		query, args = query+` AND a.subject = $3 AND a.subject <> ''`, append(args, subject)
	}
	return many(ctx, t.conn, "listing sessions of a provider", scanAdminSession, query+` ORDER BY s.id`, args...)
}

func (t tx) InsertAdminSession(ctx context.Context, s vault.AdminSessionRow) error {
	return t.insert(ctx, "inserting admin session", `
		INSERT INTO admin_sessions (id, admin_id, environment_id, method, role, provider_session, address, agent,
			created_at, authenticated_at, seen_at, ended_at, token_hash, trip_hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		s.ID, s.AdminID, s.EnvironmentID, string(s.Method), string(s.Role), s.ProviderSession, s.Address, s.Agent,
		micros(s.CreatedAt), micros(s.AuthenticatedAt), micros(s.SeenAt), micros(s.EndedAt), blob(s.TokenHash), blob(s.TripHash))
}

func (t tx) EndAdminSession(ctx context.Context, id string, at time.Time) (bool, error) {
	return t.swap(ctx, "ending admin session",
		`UPDATE admin_sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL`, id, micros(at))
}

func (t tx) SetAdminEnvironment(ctx context.Context, id, environmentID string) (bool, error) {
	changed, err := t.swap(ctx, "switching environment",
		`UPDATE admin_sessions SET environment_id = $2 WHERE id = $1 AND ended_at IS NULL`, id, environmentID)
	return changed, parentMissing("switching environment", err)
}

// TouchAdminSession notes that a session is in use.
func (s *Store) TouchAdminSession(ctx context.Context, id string, at time.Time) error {
	_, err := s.w.exec(ctx, "touching admin session",
		`UPDATE admin_sessions SET seen_at = $2 WHERE id = $1 AND ended_at IS NULL AND seen_at < $2`, id, micros(at))
	return err
}

func scanAdminLink(row scanner) (l vault.AdminLinkRow, err error) {
	err = row.Scan(&l.ID, &l.AdminID, &l.TokenHash, timeColumn{&l.CreatedAt}, timeColumn{&l.ExpiresAt}, timeColumn{&l.UsedAt})
	return l, err
}

// AdminLinkByToken finds a link by the hash of its token, used and expired ones
// too.
func (r reader) AdminLinkByToken(ctx context.Context, tokenHash []byte) (*vault.AdminLinkRow, error) {
	return one(ctx, r.conn, "reading sign-in link", scanAdminLink,
		`SELECT id, admin_id, token_hash, created_at, expires_at, used_at FROM admin_links WHERE token_hash = $1`, tokenHash)
}

func (t tx) InsertAdminLink(ctx context.Context, l vault.AdminLinkRow) error {
	return t.insert(ctx, "inserting sign-in link",
		`INSERT INTO admin_links (id, admin_id, token_hash, created_at, expires_at, used_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		l.ID, l.AdminID, blob(l.TokenHash), micros(l.CreatedAt), micros(l.ExpiresAt), micros(l.UsedAt))
}

func (t tx) UseAdminLink(ctx context.Context, id string, at time.Time) (bool, error) {
	return t.swap(ctx, "using sign-in link",
		`UPDATE admin_links SET used_at = $2 WHERE id = $1 AND used_at IS NULL AND expires_at > $2`, id, micros(at))
}

func (t tx) DropAdminLinks(ctx context.Context, adminID string) error {
	_, err := t.exec(ctx, "deleting sign-in links", `DELETE FROM admin_links WHERE admin_id = $1 AND used_at IS NULL`, adminID)
	return err
}
