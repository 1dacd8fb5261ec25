package vault

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// Admin is somebody who looks after this installation, in every environment.
type Admin struct {
	ID string
	// Issuer and Subject are who they are at the OpenID provider. Both are empty
	// for those who sign in by links only.
	Issuer  string
	Subject string
	Email   string // as the provider said last; may be empty
	Name    string
	Role    Role
	// LastSignedInAt and RemovedAt are zero for never.
	CreatedAt      time.Time
	LastSignedInAt time.Time
	RemovedAt      time.Time
}

// FromProvider says that the OpenID provider vouches for them, and decides on
// their role at each sign-in.
func (a Admin) FromProvider() bool { return a.Subject != "" }

// Removed says that they get in no more, whoever vouches for them.
func (a Admin) Removed() bool { return !a.RemovedAt.IsZero() }

// NewAdmin is somebody who is invited.
type NewAdmin struct {
	Name string // 1 to 100 characters
	Role Role
}

func (n NewAdmin) check() error {
	var fields []fault.Field
	if f := checkText("/name", n.Name, 1, 100); f != nil {
		fields = append(fields, *f)
	}
	if n.Role.Rank() == 0 {
		fields = append(fields, fault.Field{Pointer: "/role", Detail: "There is no such role: it is viewer, operator or owner."})
	}
	if fields != nil {
		return fault.InvalidFields(fields...)
	}
	return nil
}

// Admins lists them, removed ones too, newest first.
func (v *Vault) Admins(ctx context.Context, caller Caller, page Page) ([]Admin, error) {
	if err := v.allow(ctx, caller, ScopeAdminsWrite, ""); err != nil {
		return nil, err
	}
	return v.store.Admins(ctx, page)
}

// Admin answers one of them. Everybody may ask for themselves.
func (v *Vault) Admin(ctx context.Context, caller Caller, id string) (Admin, error) {
	if caller.Kind != CallerAdmin || caller.ID != id {
		if err := v.allow(ctx, caller, ScopeAdminsWrite, ""); err != nil {
			return Admin{}, err
		}
	}
	a, err := v.store.Admin(ctx, id)
	if err != nil {
		return Admin{}, missing(err, "admin")
	}
	return *a, nil
}

// AdminNames answers what to call the admins among the actors of a trail; ids
// of nobody are left out.
func (v *Vault) AdminNames(ctx context.Context, caller Caller, ids []string) (map[string]string, error) {
	if err := v.allow(ctx, caller, ScopeAuditRead, ""); err != nil {
		return nil, err
	}
	names := map[string]string{}
	if len(ids) == 0 {
		return names, nil
	}
	all, err := v.store.Admins(ctx, Page{})
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if slices.Contains(ids, a.ID) {
			names[a.ID] = a.Name
		}
	}
	return names, nil
}

// SetAdminRole takes effect with the admin's next request. from is the role that
// the change was made from: where they have another one by now, it is
// [ErrChangedSince]; "" takes what there is. The role of whom the OpenID provider
// vouches for is the provider's to give, and the last owner stays one: both are a
// [fault.Conflict].
func (v *Vault) SetAdminRole(ctx context.Context, caller Caller, id string, from, to Role) error {
	if err := v.allowFresh(ctx, caller, ScopeAdminsWrite); err != nil {
		return err
	}
	if to.Rank() == 0 {
		return fault.InvalidFields(fault.Field{Pointer: "/role", Detail: "There is no such role."})
	}
	return v.changeAdmin(ctx, caller, id, func(tx Tx, a *Admin) (Action, error) {
		switch {
		case a.Removed():
			return "", fault.New(fault.Conflict, "%s was removed.", a.Name)
		case a.FromProvider():
			return "", fault.New(fault.Conflict, "The role of %s comes from the OpenID provider, at each sign-in.", a.Name)
		case a.Role == to:
			return "", nil
		case from != "" && a.Role != from:
			return "", ErrChangedSince
		case a.Role == RoleOwner:
			if err := v.notTheLast(ctx, tx, caller, a); err != nil {
				return "", err
			}
		}
		a.Role = to
		return ActionAdminRoleChanged, nil
	})
}

// RemoveAdmin ends the sessions of an admin and the links that were not used
// yet, and lets them in no more, the OpenID provider notwithstanding. The last
// owner stays: a [fault.Conflict].
func (v *Vault) RemoveAdmin(ctx context.Context, caller Caller, id string) error {
	if err := v.allowFresh(ctx, caller, ScopeAdminsWrite); err != nil {
		return err
	}
	return v.changeAdmin(ctx, caller, id, func(tx Tx, a *Admin) (Action, error) {
		if a.Removed() {
			return "", nil
		}
		if a.Role == RoleOwner {
			if err := v.notTheLast(ctx, tx, caller, a); err != nil {
				return "", err
			}
		}
		a.RemovedAt = v.now()
		if _, err := v.endSessions(ctx, tx, caller, a.ID, "", ReasonRemoved); err != nil {
			return "", err
		}
		return ActionAdminRemoved, tx.DropAdminLinks(ctx, a.ID)
	})
}

// RestoreAdmin lets a removed one in again, with the role from before.
func (v *Vault) RestoreAdmin(ctx context.Context, caller Caller, id string) error {
	if err := v.allowFresh(ctx, caller, ScopeAdminsWrite); err != nil {
		return err
	}
	return v.changeAdmin(ctx, caller, id, func(_ Tx, a *Admin) (Action, error) {
		if !a.Removed() {
			return "", nil
		}
		a.RemovedAt = time.Time{}
		return ActionAdminRestored, nil
	})
}

// changeAdmin changes one under a lock, with an entry of the action that change
// answers; "" means that there was nothing to change.
func (v *Vault) changeAdmin(ctx context.Context, caller Caller, id string, change func(tx Tx, a *Admin) (Action, error)) error {
	return v.store.Update(ctx, func(tx Tx) error {
		a, err := tx.LockAdmin(ctx, id)
		if err != nil {
			return missing(err, "admin")
		}
		action, err := change(tx, a)
		if err != nil || action == "" {
			return err
		}
		if err := tx.UpdateAdmin(ctx, *a); err != nil {
			return err
		}
		return v.auditHome(ctx, tx, caller, action, a.ID, "")
	})
}

// notTheLast refuses to go on without another owner who has got in before: nobody
// could make one from the pages. Somebody who was invited and never came is none:
// the link may be lost, and is over soon. Where the OpenID provider makes owners,
// or at the command line, there is a way back.
func (v *Vault) notTheLast(ctx context.Context, tx Tx, caller Caller, a *Admin) error {
	if v.ownersFromProvider || caller.Kind == CallerSystem {
		return nil
	}
	owners, err := tx.LockOwners(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(owners, func(id string) bool { return id != a.ID }) {
		return nil
	}
	return fault.New(fault.Conflict, "%s is the only owner who has ever signed in. Make somebody else an owner, and let them sign in first.", a.Name)
}

// allowFresh is allow for what also needs a fresh sign-in.
func (v *Vault) allowFresh(ctx context.Context, caller Caller, scope Scope) error {
	if err := v.allow(ctx, caller, scope, ""); err != nil {
		return err
	}
	return v.RequireFresh(caller)
}

// auditHome writes an entry about the installation. It belongs to no
// environment, and is kept in the one that is always there.
func (v *Vault) auditHome(ctx context.Context, tx Tx, caller Caller, action Action, reason, sessionID string) error {
	home, err := tx.EnvironmentByName(ctx, DefaultEnvironment)
	if err != nil {
		return fmt.Errorf("finding environment %s: %w", DefaultEnvironment, err)
	}
	e := v.entry(caller, action)
	e.EnvironmentID, e.Reason, e.SessionID = home.ID, reason, sessionID
	e.Allowed = action != ActionAdminRefused
	return tx.InsertAudit(ctx, e)
}
