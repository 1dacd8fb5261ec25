package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/claviger/claviger/internal/admin"
	"github.com/claviger/claviger/internal/providers/login"
	"github.com/claviger/claviger/internal/vault"
)

// adminConfig is how admins sign in beside links.
type adminConfig struct {
	Issuer       string // empty: by links only
	ClientID     string
	ClientSecret vault.Secret
	Scopes       []string
	Roles        []admin.RoleRule
}

// adminSettings are the settings of [adminConfig].
func adminSettings() []setting {
	return []setting{
		{name: "ADMIN_OIDC_ISSUER", usage: "OpenID provider that admins sign in at, exactly as it names itself; links only if empty", apply: func(c *config, v string) error {
			c.Admin.Issuer = v
			return login.CheckIssuer(v)
		}},
		{name: "ADMIN_OIDC_CLIENT_ID", usage: "client id of the broker at that provider", apply: func(c *config, v string) error {
			c.Admin.ClientID = v
			return nil
		}},
		{name: "ADMIN_OIDC_CLIENT_SECRET", usage: "its client secret; a public client if empty", secret: true, apply: func(c *config, v string) error {
			c.Admin.ClientSecret = vault.NewSecret(v)
			return nil
		}},
		{name: "ADMIN_OIDC_SCOPES", def: "openid profile email", usage: "scopes to ask for, separated by spaces", apply: func(c *config, v string) error {
			c.Admin.Scopes = strings.Fields(v)
			if !slices.Contains(c.Admin.Scopes, "openid") {
				return errors.New("must have openid among them")
			}
			return nil
		}},
		{name: "ADMIN_ROLES", usage: "who gets which role at that provider: claim=value:role, comma-separated; the highest wins", apply: func(c *config, v string) (err error) {
			c.Admin.Roles, err = admin.ParseRoles(v)
			return err
		}},
	}
}

// checkAdmin answers what is missing beside the settings that are there.
func (c *config) checkAdmin() []error {
	var faults []error
	need := func(name, why string) {
		if !c.isSet(name) && !c.isSet(name+"_FILE") {
			faults = append(faults, fmt.Errorf("%s%s: required with %s%s", envPrefix, name, envPrefix, why))
		}
	}
	if c.isSet("ADMIN_OIDC_ISSUER") {
		need("ADMIN_OIDC_CLIENT_ID", "ADMIN_OIDC_ISSUER")
		need("ADMIN_ROLES", "ADMIN_OIDC_ISSUER")
		return faults
	}
	for _, s := range adminSettings() {
		if c.isSet(s.name) || c.isSet(s.name+"_FILE") {
			need("ADMIN_OIDC_ISSUER", s.name)
			break
		}
	}
	return faults
}

// ownersFromProvider says that the rules can make somebody an owner.
func (a *adminConfig) ownersFromProvider() bool {
	return slices.ContainsFunc(a.Roles, func(r admin.RoleRule) bool { return r.Role == vault.RoleOwner })
}

// adminProvider is the OpenID provider for admins, nil where there is none. No
// call is made.
func (b *broker) adminProvider(log *slog.Logger) *admin.Provider {
	a := b.cfg.Admin
	if a.Issuer == "" {
		return nil
	}
	return &admin.Provider{Roles: a.Roles, Login: login.New(login.Config{
		HTTP: b.outbound, Issuer: a.Issuer, ClientID: a.ClientID, ClientSecret: a.ClientSecret, Scopes: a.Scopes,
		RedirectURI: b.cfg.PublicURL.String() + admin.CallbackPath, Now: b.store.Now, Log: log,
	})}
}
