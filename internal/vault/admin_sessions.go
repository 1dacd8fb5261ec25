package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/claviger/claviger/internal/fault"
)

// How long an admin's session lasts.
const (
	// AdminIdle ends one that nobody uses.
	AdminIdle = 30 * time.Minute
	// AdminLife ends any. Signing in again begins a new one.
	AdminLife = 8 * time.Hour
	// touchEvery is how stale the time of last use may get.
	touchEvery = time.Minute
	// sessionsShown bounds the list of one admin's sessions, sessionsEnded how
	// many end at a time.
	sessionsShown = 100
	sessionsEnded = 10_000
)

// SignInMethod is how somebody proved who they are.
type SignInMethod string

// The ways to sign in.
const (
	MethodOIDC SignInMethod = "oidc"
	MethodLink SignInMethod = "link"
)

// Why a session ended, other than by signing out.
const (
	ReasonReplaced   = "replaced"    // the same browser signed in anew
	ReasonRemoved    = "removed"     // with its admin
	ReasonOnRequest  = "on_request"  // somebody ended it from the list
	ReasonAtProvider = "at_provider" // back-channel logout
)

// AdminSession is one stay of an admin in one browser, from sign-in to its end.
type AdminSession struct {
	ID      string
	AdminID string
	// EnvironmentID is the environment that it looks at.
	EnvironmentID string
	Method        SignInMethod
	// Role is what the admin had at sign-in. What counts is [Admin.Role] now.
	Role Role
	// ProviderSession is the OpenID provider's sid, "" where it gave none.
	ProviderSession string
	// Address and Agent say where from, for people to recognise their own.
	Address   string
	Agent     string
	CreatedAt time.Time
	// AuthenticatedAt is when they proved who they are: at the provider that may
	// be long before.
	AuthenticatedAt time.Time
	SeenAt          time.Time // to the minute
	EndedAt         time.Time // zero: it was not ended
}

// Live reports whether the session lets anybody in at that moment.
func (s *AdminSession) Live(at time.Time) bool {
	return s.EndedAt.IsZero() && at.Sub(s.CreatedAt) < AdminLife && at.Sub(s.SeenAt) < AdminIdle
}

// Browser is where somebody signs in.
type Browser struct {
	Address string
	Agent   string // User-Agent
	// Replaces is the session that the browser had, "" for none. It ends, and the
	// environment that it looked at is kept where it was the same admin's.
	Replaces string
}

// SignedIn is a session that has begun. Whoever has the token is the admin.
type SignedIn struct {
	Session AdminSession
	Admin   Admin
	Token   Secret
}

// begin writes a new session of an admin, who is locked: the row comes with how
// they proved who they are.
func (v *Vault) begin(ctx context.Context, tx Tx, a *Admin, row AdminSessionRow, b Browser) (SignedIn, error) {
	home, err := tx.EnvironmentByName(ctx, DefaultEnvironment)
	if err != nil {
		return SignedIn{}, fmt.Errorf("finding environment %s: %w", DefaultEnvironment, err)
	}
	caller := Caller{Kind: CallerAdmin, ID: a.ID, EnvironmentID: home.ID}
	row.ID, row.AdminID, row.EnvironmentID, row.Role = newID("ads"), a.ID, home.ID, a.Role
	row.Address, row.Agent = printable(b.Address, 64), printable(b.Agent, 256)
	row.CreatedAt, row.SeenAt = v.now(), v.now()
	if b.Replaces != "" {
		before, err := tx.AdminStay(ctx, b.Replaces)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return SignedIn{}, err
		}
		if before != nil && before.AdminID == a.ID {
			row.EnvironmentID = before.EnvironmentID
		}
		if before != nil {
			if err := v.endSession(ctx, tx, caller, before.ID, ReasonReplaced); err != nil {
				return SignedIn{}, err
			}
		}
	}
	token := mint(prefixAdminSession)
	row.TokenHash = HashToken(token)
	a.LastSignedInAt = v.now()
	if err := errors.Join(tx.UpdateAdmin(ctx, *a), tx.InsertAdminSession(ctx, row)); err != nil {
		return SignedIn{}, err
	}
	return SignedIn{row.AdminSession, *a, token}, v.auditHome(ctx, tx, caller, ActionAdminSignedIn, string(row.Method), row.ID)
}

// Stay is an admin's session for the length of one request.
type Stay struct {
	Session     AdminSession
	Admin       Admin
	Environment string // the name of the one it looks at
	// Environments are all that it may look at, oldest first.
	Environments []Environment
}

// Caller is who asks in this session. The role is the admin's of now: a change
// takes effect with the next request.
func (s *Stay) Caller() Caller {
	return Caller{
		Kind: CallerAdmin, ID: s.Admin.ID, EnvironmentID: s.Session.EnvironmentID,
		Scopes: s.Admin.Role.Scopes(), AuthenticatedAt: s.Session.AuthenticatedAt,
	}
}

// ResumeAdmin answers the session with that id to whoever has its token. One
// that was ended on any replica, or lasted too long, or whose admin was removed,
// is [fault.Unauthenticated]. use notes that it is in use, which a page that
// asks by itself does not.
func (v *Vault) ResumeAdmin(ctx context.Context, id string, token Secret, use bool) (Stay, error) {
	row, err := v.store.AdminStay(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Stay{}, fmt.Errorf("looking up admin session: %w", err)
	}
	now := v.now()
	if row == nil || !sameHash(row.TokenHash, HashToken(token)) || !row.Live(now) || row.Admin.Removed() {
		return Stay{}, fault.New(fault.Unauthenticated, "This session is over.")
	}
	if use && now.Sub(row.SeenAt) >= touchEvery {
		if err := v.store.TouchAdminSession(ctx, id, now); err != nil {
			return Stay{}, err
		}
		row.SeenAt = now
	}
	environments, err := v.store.Environments(ctx)
	if err != nil {
		return Stay{}, err
	}
	return Stay{row.AdminSession, row.Admin, row.Environment, environments}, nil
}

// SignOut ends the caller's own session for good, on every replica.
func (v *Vault) SignOut(ctx context.Context, caller Caller, sessionID string) error {
	return v.store.Update(ctx, func(tx Tx) error {
		ended, err := tx.EndAdminSession(ctx, sessionID, v.now())
		if err != nil || !ended {
			return err
		}
		return v.auditHome(ctx, tx, caller, ActionAdminSignedOut, "", sessionID)
	})
}

// AdminSessions lists the sessions of an admin that began in the last month,
// ended ones too, newest first. Everybody may see their own.
func (v *Vault) AdminSessions(ctx context.Context, caller Caller, adminID string) ([]AdminSession, error) {
	if _, err := v.Admin(ctx, caller, adminID); err != nil {
		return nil, err
	}
	return v.store.AdminSessions(ctx, adminID, v.now().Add(-keepPast), sessionsShown)
}

// EndAdminSession ends a session at once, on every replica. Everybody may end
// their own; another's is nothing that is there to whom may not manage admins.
func (v *Vault) EndAdminSession(ctx context.Context, caller Caller, sessionID string) error {
	s, err := v.store.AdminStay(ctx, sessionID)
	if err != nil {
		return missing(err, "session")
	}
	if s.AdminID != caller.ID && !caller.May(ScopeAdminsWrite) {
		return fault.New(fault.NotFound, "There is no such session.")
	}
	return v.store.Update(ctx, func(tx Tx) error {
		return v.endSession(ctx, tx, caller, sessionID, ReasonOnRequest)
	})
}

// EndAdminSessions ends all of an admin's sessions but one, "" for none, and
// answers how many there were. Everybody may end their own.
func (v *Vault) EndAdminSessions(ctx context.Context, caller Caller, adminID, except string) (n int, err error) {
	if _, err := v.Admin(ctx, caller, adminID); err != nil {
		return 0, err
	}
	err = v.store.Update(ctx, func(tx Tx) error {
		n, err = v.endSessions(ctx, tx, caller, adminID, except, ReasonOnRequest)
		return err
	})
	return n, err
}

func (v *Vault) endSessions(ctx context.Context, tx Tx, caller Caller, adminID, except, reason string) (n int, err error) {
	sessions, err := tx.AdminSessions(ctx, adminID, v.now().Add(-AdminLife), sessionsEnded)
	if err != nil {
		return 0, err
	}
	for _, s := range sessions {
		if s.ID == except || !s.Live(v.now()) {
			continue
		}
		if err := v.endSession(ctx, tx, caller, s.ID, reason); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

func (v *Vault) endSession(ctx context.Context, tx Tx, caller Caller, id, reason string) error {
	ended, err := tx.EndAdminSession(ctx, id, v.now())
	if err != nil || !ended {
		return err
	}
	return v.auditHome(ctx, tx, caller, ActionAdminSessionEnded, reason, id)
}

// SwitchEnvironment makes the caller's session look at another environment.
func (v *Vault) SwitchEnvironment(ctx context.Context, caller Caller, sessionID, environmentID string) error {
	return v.store.Update(ctx, func(tx Tx) error {
		if _, err := tx.Environment(ctx, environmentID); err != nil {
			return missing(err, "environment")
		}
		there, err := tx.SetAdminEnvironment(ctx, sessionID, environmentID)
		if err != nil || !there {
			return err
		}
		e := v.entry(caller, ActionEnvironmentSwitched)
		e.EnvironmentID, e.SessionID = environmentID, sessionID
		return tx.InsertAudit(ctx, e)
	})
}

// printable makes text of somebody else's fit to be stored and shown: one line,
// valid, and no longer than n characters.
func printable(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if r := []rune(s); len(r) > n {
		s = string(r[:n])
	}
	return strings.TrimSpace(s)
}
