package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/claviger/claviger/internal/fault"
)

const canaryPlain = "claviger canary"

func canaryPlace() place { return place{"canary", "", "", purposeCanary, 0} }

// ErrWrongKeyset says that the database was sealed with another master keyset.
var ErrWrongKeyset = errors.New("the database was sealed with another keyset")

// CheckKeyset finds a wrong keyset before anything is served: a canary row,
// made at the first start, has to open. Otherwise [ErrWrongKeyset].
func (v *Vault) CheckKeyset(ctx context.Context) error {
	sealed, err := v.master.seal(canaryPlace(), []byte(canaryPlain))
	if err != nil {
		return err
	}
	ours, err := v.store.InsertCanary(ctx, sealed)
	if err != nil {
		return fmt.Errorf("writing canary: %w", err)
	}
	if !ours {
		if err := v.openCanary(ctx); err != nil {
			return err
		}
	}
	return v.WarmKeysets(ctx)
}

func (v *Vault) openCanary(ctx context.Context) error {
	blob, err := v.store.Canary(ctx)
	if err != nil {
		return fmt.Errorf("reading canary: %w", err)
	}
	if _, err := v.master.open(canaryPlace(), blob); err != nil {
		return ErrWrongKeyset
	}
	return nil
}

// EnsureEnvironment answers the environment of that name and makes it, with a
// keyset of its own, where there is none.
func (v *Vault) EnsureEnvironment(ctx context.Context, name string) (*Environment, error) {
	env, err := v.store.EnvironmentByName(ctx, name)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return env, err
	}
	if err := CheckEnvironmentName(name); err != nil {
		return nil, err
	}
	env, err = v.insertEnvironment(ctx, System("environments", ""), name)
	if errors.Is(err, ErrDuplicate) { // another replica was first
		return v.store.EnvironmentByName(ctx, name)
	}
	return env, err
}

func (v *Vault) insertEnvironment(ctx context.Context, caller Caller, name string) (*Environment, error) {
	inner, err := NewKeyset()
	if err != nil {
		return nil, err
	}
	env := &Environment{ID: newID("env"), Name: name, CreatedAt: v.now()}
	if env.Keyset, err = v.master.wrap(env.ID, inner); err != nil {
		return nil, err
	}
	err = v.store.Update(ctx, func(tx Tx) error {
		if err := tx.InsertEnvironment(ctx, *env); err != nil {
			return err
		}
		e := v.entry(caller, ActionEnvironmentCreated)
		e.EnvironmentID = env.ID
		return tx.InsertAudit(ctx, e)
	})
	if err != nil {
		return nil, fmt.Errorf("creating environment %s: %w", name, err)
	}
	return env, v.ring.keep(env)
}

// CheckEnvironmentName answers nil or a [*fault.Error] that says what a name
// looks like.
func CheckEnvironmentName(name string) error {
	if f := checkName("/environment", name); f != nil {
		return fault.InvalidFields(*f)
	}
	return nil
}

// Environments lists them all. It is for commands of the operator and for the
// work in the background; no request reaches it.
func (v *Vault) Environments(ctx context.Context) ([]Environment, error) {
	return v.store.Environments(ctx)
}

// SetReadAudit decides what a read of headers leaves in the trail of the
// caller's environment: where strict, an entry of its own before it is answered,
// else one entry a minute for all that a key has read of a connection.
func (v *Vault) SetReadAudit(ctx context.Context, caller Caller, strict bool) error {
	if err := v.allow(ctx, caller, ScopeEnvironmentsWrite, ""); err != nil {
		return err
	}
	e := v.entry(caller, ActionReadAuditChanged)
	e.Reason = "minute"
	if strict {
		e.Reason = "strict"
	}
	err := v.store.Update(ctx, func(tx Tx) error {
		changed, err := tx.SetStrictReads(ctx, caller.EnvironmentID, strict)
		if err != nil || !changed {
			return err
		}
		return tx.InsertAudit(ctx, e)
	})
	if err != nil {
		return fmt.Errorf("setting read audit: %w", err)
	}
	return nil
}

// CreateEnvironment makes one, with a keyset of its own; a name that is taken
// is a [fault.Conflict].
func (v *Vault) CreateEnvironment(ctx context.Context, caller Caller, name string) (Environment, error) {
	if err := v.allow(ctx, caller, ScopeEnvironmentsWrite, ""); err != nil {
		return Environment{}, err
	}
	if f := checkName("/name", name); f != nil {
		return Environment{}, fault.InvalidFields(*f)
	}
	env, err := v.insertEnvironment(ctx, caller, name)
	if errors.Is(err, ErrDuplicate) {
		return Environment{}, nameTaken()
	}
	if err != nil {
		return Environment{}, err
	}
	return *env, nil
}

// RenameEnvironment gives one another name. from is the name that the change was
// made from: where it has another one by now, it is [ErrChangedSince]. The
// environment default keeps its name, which settings and the first start refer to.
func (v *Vault) RenameEnvironment(ctx context.Context, caller Caller, id, from, to string) error {
	if err := v.allow(ctx, caller, ScopeEnvironmentsWrite, ""); err != nil {
		return err
	}
	if f := checkName("/name", to); f != nil {
		return fault.InvalidFields(*f)
	}
	err := v.store.Update(ctx, func(tx Tx) error {
		env, err := tx.Environment(ctx, id)
		switch {
		case err != nil:
			return missing(err, "environment")
		case env.Name == to:
			return nil
		case env.Name == DefaultEnvironment:
			return fault.New(fault.Conflict, "The environment default keeps its name: settings refer to it.")
		}
		if err := tx.RenameEnvironment(ctx, id, from, to); err != nil {
			if errors.Is(err, ErrNotFound) {
				return ErrChangedSince
			}
			return err
		}
		e := v.entry(caller, ActionEnvironmentRenamed)
		e.EnvironmentID = id
		return tx.InsertAudit(ctx, e)
	})
	if errors.Is(err, ErrDuplicate) {
		return nameTaken()
	}
	return err
}

func nameTaken() error {
	return fault.InvalidFields(fault.Field{Pointer: "/name", Detail: "There is an environment of that name already."})
}
