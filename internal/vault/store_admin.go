package vault

import (
	"context"
	"time"
)

// AdminSessionRow is an admin's session as it is stored. Hashes are SHA-256.
type AdminSessionRow struct {
	AdminSession
	TokenHash []byte
	// TripHash is of the trip to the OpenID provider that began the session; nil
	// where a link did.
	TripHash []byte
}

// AdminLinkRow is a one-time sign-in link as it is stored.
type AdminLinkRow struct {
	ID        string
	AdminID   string
	TokenHash []byte
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero: not yet
}

// AdminStay is a session, who it is of, and what the environment it looks at is
// called.
type AdminStay struct {
	AdminSessionRow
	Admin       Admin
	Environment string
}

// adminReader reads admins and their sessions, which belong to no environment.
type adminReader interface {
	Admin(ctx context.Context, id string) (*Admin, error)
	// AdminBySubject finds who somebody is at an OpenID provider.
	AdminBySubject(ctx context.Context, issuer, subject string) (*Admin, error)
	// Admins lists all, removed ones too, newest first.
	Admins(ctx context.Context, page Page) ([]Admin, error)
	// AdminStay finds a session by id, ended ones too, in one round trip.
	AdminStay(ctx context.Context, sessionID string) (*AdminStay, error)
	// AdminSessions lists those of one admin that began after since, ended ones
	// too, newest first.
	AdminSessions(ctx context.Context, adminID string, since time.Time, limit int) ([]AdminSession, error)
	AdminLinkByToken(ctx context.Context, tokenHash []byte) (*AdminLinkRow, error)
}

// adminTx writes admins and their sessions.
type adminTx interface {
	InsertAdmin(ctx context.Context, a Admin) error
	// UpdateAdmin writes email, name, role and the times of the last sign-in and
	// of the removal.
	UpdateAdmin(ctx context.Context, a Admin) error
	// LockAdmin reads the row and keeps others from changing it until the end of
	// the transaction.
	LockAdmin(ctx context.Context, id string) (*Admin, error)
	// LockOwners lists the ids of the owners who have signed in and are not removed,
	// and keeps others from changing them until the end of the transaction.
	LockOwners(ctx context.Context) ([]string, error)

	InsertAdminSession(ctx context.Context, s AdminSessionRow) error
	// EndAdminSession reports whether the session had not ended before.
	EndAdminSession(ctx context.Context, id string, at time.Time) (bool, error)
	// SetAdminEnvironment makes a session look at another environment and reports
	// whether there is such a session that has not ended.
	SetAdminEnvironment(ctx context.Context, id, environmentID string) (bool, error)
	// ProviderSessions lists the sessions that were begun at the issuer before a
	// moment and have not ended: of the subject, or with that sid, or both. An
	// empty one does not narrow.
	ProviderSessions(ctx context.Context, issuer, subject, sid string, before time.Time) ([]AdminSession, error)

	InsertAdminLink(ctx context.Context, l AdminLinkRow) error
	// UseAdminLink marks a link used, if it is neither used nor expired by then,
	// and reports whether it was so: exactly one caller ever gets true.
	UseAdminLink(ctx context.Context, id string, at time.Time) (bool, error)
	// DropAdminLinks deletes the links of an admin that nobody has used.
	DropAdminLinks(ctx context.Context, adminID string) error
}

// adminStore is what needs no transaction.
type adminStore interface {
	// TouchAdminSession moves the time of last use, if the session has not ended.
	TouchAdminSession(ctx context.Context, id string, at time.Time) error
}
