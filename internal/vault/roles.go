package vault

import (
	"errors"
	"slices"
	"time"
)

// Role is what an admin is trusted with, in every environment.
type Role string

// The roles, each with all that the one before may do.
const (
	// RoleViewer sees everything but secrets.
	RoleViewer Role = "viewer"
	// RoleOperator mends and ends connections and makes connect links.
	RoleOperator Role = "operator"
	// RoleOwner decides on integrations, API keys, admins and environments.
	RoleOwner Role = "owner"
)

// Roles lists every role, from the one that may do least.
func Roles() []Role { return []Role{RoleViewer, RoleOperator, RoleOwner} }

// Scopes is what an admin with the role may do. None of them answers a
// credential: those are for API keys only. A role that this release does not
// know may do nothing.
func (r Role) Scopes() []Scope {
	viewer := []Scope{
		ScopeProvidersRead, ScopeIntegrationsRead, ScopeConnectionsRead, ScopeAPIKeysRead, ScopeEventsRead, ScopeAuditRead,
	}
	operator := append(slices.Clone(viewer), ScopeConnectWrite, ScopeConnectionsWrite, ScopeConnectionsRefresh, ScopeConnectionsRevoke)
	owner := append(slices.Clone(operator), ScopeIntegrationsWrite, ScopeAPIKeysWrite, ScopeAdminsWrite, ScopeEnvironmentsWrite)
	switch r {
	case RoleViewer:
		return viewer
	case RoleOperator:
		return operator
	case RoleOwner:
		return owner
	}
	return nil
}

// Rank orders roles: the higher one may do more. 0 is no role.
func (r Role) Rank() int { return slices.Index(Roles(), r) + 1 }

// FreshFor is how long after signing in an admin may do what asks for a fresh
// sign-in.
const FreshFor = 10 * time.Minute

// ErrSignInAgain says that an admin may do this, and has to sign in once more
// first.
var ErrSignInAgain = errors.New("this needs a fresh sign-in")

// RequireFresh answers [ErrSignInAgain] for an admin who signed in longer than
// [FreshFor] ago, and nil for everybody else.
func (v *Vault) RequireFresh(caller Caller) error {
	if caller.Kind == CallerAdmin && v.now().Sub(caller.AuthenticatedAt) >= FreshFor {
		return ErrSignInAgain
	}
	return nil
}
