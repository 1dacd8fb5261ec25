package vault

import (
	"slices"
	"time"
)

// CallerKind says what stands behind a call.
type CallerKind string

// The kinds of callers.
const (
	CallerAPIKey  CallerKind = "api_key"
	CallerEndUser CallerKind = "end_user"
	CallerAdmin   CallerKind = "admin"
	CallerSystem  CallerKind = "system"
)

// Scope is one thing that a caller may do.
type Scope string

// The scopes of the REST contract.
const (
	ScopeProvidersRead      Scope = "providers:read"
	ScopeIntegrationsRead   Scope = "integrations:read"
	ScopeIntegrationsWrite  Scope = "integrations:write"
	ScopeConnectWrite       Scope = "connect:write"
	ScopeConnectionsRead    Scope = "connections:read"
	ScopeConnectionsWrite   Scope = "connections:write"
	ScopeConnectionsRevoke  Scope = "connections:revoke"
	ScopeCredentialsRead    Scope = "credentials:read"
	ScopeCredentialsReadRaw Scope = "credentials:read_raw"
	ScopeEventsRead         Scope = "events:read"
	ScopeAPIKeysWrite       Scope = "api_keys:write"
	ScopeAuditRead          Scope = "audit:read"
)

// The scopes that only a [Role] has: no API key is given one.
const (
	ScopeConnectionsRefresh Scope = "connections:refresh"
	ScopeAPIKeysRead        Scope = "api_keys:read"
	ScopeAdminsWrite        Scope = "admins:write"
	ScopeEnvironmentsWrite  Scope = "environments:write"
)

// AllScopes lists every scope that an API key can have, in the order in which people read them.
func AllScopes() []Scope {
	return []Scope{
		ScopeProvidersRead, ScopeIntegrationsRead, ScopeIntegrationsWrite, ScopeConnectWrite,
		ScopeConnectionsRead, ScopeConnectionsWrite, ScopeConnectionsRevoke,
		ScopeCredentialsRead, ScopeCredentialsReadRaw, ScopeEventsRead, ScopeAPIKeysWrite, ScopeAuditRead,
	}
}

// Caller is who asks. Every operation of the vault takes one right after ctx,
// decides by it and writes it into the audit trail. A caller belongs to one
// environment and sees nothing of any other.
type Caller struct {
	Kind CallerKind
	// ID names the caller in the trail: an API key's id, a connect session's
	// id, or the part of the system that acts ("refresh", "cli").
	ID            string
	EnvironmentID string
	Scopes        []Scope
	// Integrations are the keys of those that an API key is limited to; empty is
	// no limit. See [Caller.Reaches].
	Integrations []string
	// AuthenticatedAt is when an admin last proved who they are; zero for all
	// other callers.
	AuthenticatedAt time.Time
}

// May reports whether the caller has the scope. The system may do everything
// in its environment; an end user nothing but what their session is for. Who is
// limited to integrations has no scope that reaches past them, see [Scope.Whole].
func (c Caller) May(s Scope) bool {
	if len(c.Integrations) > 0 && s.Whole() {
		return false
	}
	return c.Kind == CallerSystem || slices.Contains(c.Scopes, s)
}

// System is a part of the broker acting by itself in one environment.
func System(name, environmentID string) Caller {
	return Caller{Kind: CallerSystem, ID: name, EnvironmentID: environmentID}
}
