package vault

import (
	"context"
	"errors"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// The life of a sign-in link.
const (
	// InviteLife is the usual one.
	InviteLife    = time.Hour
	minInviteLife = time.Minute
	maxInviteLife = 7 * 24 * time.Hour
)

// Invite is a link that signs one admin in, once. The token stands for the
// admin until then, so it is shown once and kept as a hash.
type Invite struct {
	Admin     Admin
	Token     Secret
	ExpiresAt time.Time
}

// InviteAdmin adds an admin who signs in by links, and makes the first one.
func (v *Vault) InviteAdmin(ctx context.Context, caller Caller, n NewAdmin, life time.Duration) (Invite, error) {
	if err := v.allowFresh(ctx, caller, ScopeAdminsWrite); err != nil {
		return Invite{}, err
	}
	if err := errors.Join(n.check(), checkInviteLife(life)); err != nil {
		return Invite{}, err
	}
	a := Admin{ID: newID("adm"), Name: n.Name, Role: n.Role, CreatedAt: v.now()}
	invite := v.newInvite(a, life)
	return invite, v.store.Update(ctx, func(tx Tx) error {
		if err := tx.InsertAdmin(ctx, a); err != nil {
			return err
		}
		return v.insertInvite(ctx, tx, caller, invite)
	})
}

// InviteAgain makes another link for an admin, also for one of the OpenID
// provider's: the way in when that is down. Links from before that nobody has
// used work no more.
func (v *Vault) InviteAgain(ctx context.Context, caller Caller, adminID string, life time.Duration) (Invite, error) {
	if err := v.allowFresh(ctx, caller, ScopeAdminsWrite); err != nil {
		return Invite{}, err
	}
	if err := checkInviteLife(life); err != nil {
		return Invite{}, err
	}
	var invite Invite
	return invite, v.store.Update(ctx, func(tx Tx) error {
		a, err := tx.LockAdmin(ctx, adminID)
		if err != nil {
			return missing(err, "admin")
		}
		if a.Removed() {
			return fault.New(fault.Conflict, "%s was removed. Let them in again first.", a.Name)
		}
		if err := tx.DropAdminLinks(ctx, a.ID); err != nil {
			return err
		}
		invite = v.newInvite(*a, life)
		return v.insertInvite(ctx, tx, caller, invite)
	})
}

func checkInviteLife(life time.Duration) error {
	if life < minInviteLife || life > maxInviteLife {
		return fault.InvalidFields(fault.Field{Pointer: "/ttl", Detail: "A link lives from a minute to seven days."})
	}
	return nil
}

func (v *Vault) newInvite(a Admin, life time.Duration) Invite {
	return Invite{Admin: a, Token: mint(prefixAdminLink), ExpiresAt: v.now().Add(life)}
}

func (v *Vault) insertInvite(ctx context.Context, tx Tx, caller Caller, i Invite) error {
	link := AdminLinkRow{ID: newID("adl"), AdminID: i.Admin.ID, TokenHash: HashToken(i.Token), CreatedAt: v.now(), ExpiresAt: i.ExpiresAt}
	if err := tx.InsertAdminLink(ctx, link); err != nil {
		return err
	}
	return v.auditHome(ctx, tx, caller, ActionAdminInvited, i.Admin.ID, "")
}

// AdminOfLink says whom a sign-in link is for, and changes nothing: mail
// scanners open links. One that signs nobody in any more is [ErrDeadLink].
func (v *Vault) AdminOfLink(ctx context.Context, token Secret) (Admin, error) {
	link, err := v.store.AdminLinkByToken(ctx, HashToken(token))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Admin{}, err
	}
	if link == nil || !link.UsedAt.IsZero() || !v.now().Before(link.ExpiresAt) {
		return Admin{}, ErrDeadLink
	}
	a, err := v.store.Admin(ctx, link.AdminID)
	if err != nil {
		return Admin{}, err
	}
	if a.Removed() {
		return Admin{}, ErrDeadLink
	}
	return *a, nil
}

// ErrDeadLink is a sign-in link that was used, is too old, was replaced by
// another, or never was one.
var ErrDeadLink = errors.New("this link signs nobody in")

// SignInByLink uses a link up and begins a session. Exactly one caller ever
// succeeds with a link; for all others it is [ErrDeadLink].
func (v *Vault) SignInByLink(ctx context.Context, token Secret, b Browser) (SignedIn, error) {
	link, err := v.store.AdminLinkByToken(ctx, HashToken(token))
	if errors.Is(err, ErrNotFound) {
		return SignedIn{}, ErrDeadLink
	}
	if err != nil {
		return SignedIn{}, err
	}
	var in SignedIn
	var refused error
	err = v.store.Update(ctx, func(tx Tx) error {
		refused = nil
		a, err := tx.LockAdmin(ctx, link.AdminID)
		if err != nil {
			return err
		}
		used, err := tx.UseAdminLink(ctx, link.ID, v.now())
		if err != nil {
			return err
		}
		if !used || a.Removed() {
			refused = ErrDeadLink
			return v.auditHome(ctx, tx, Caller{Kind: CallerAdmin, ID: a.ID}, ActionAdminRefused, "link", "")
		}
		in, err = v.begin(ctx, tx, a, AdminSessionRow{AdminSession: AdminSession{Method: MethodLink, AuthenticatedAt: v.now()}}, b)
		return err
	})
	if err == nil {
		err = refused
	}
	return in, err
}
