package providers

import (
	"fmt"
	"slices"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// CheckIntegration says what is wrong with an integration, all of it at once,
// as a [*fault.Error] with pointers into its JSON; or nil. It asks nobody: an
// endpoint that is well-formed may still not be there.
func (s *Service) CheckIntegration(in vault.Integration) error {
	p, ok := s.catalog.Get(in.Provider)
	if !ok {
		return fault.InvalidField("/provider", "There is no provider %q in the catalog.", in.Provider)
	}
	c := &integrationCheck{s: s, in: in, p: p}
	c.methods()
	c.client()
	for i, scope := range in.Scopes {
		if !validScope(scope) {
			c.fault(fmt.Sprintf("/scopes/%d", i), "This is not a scope.")
		}
	}
	c.scopesNeeded()
	c.overrides()
	if len(c.faults) > 0 {
		return fault.InvalidFields(c.faults...)
	}
	return nil
}

type integrationCheck struct {
	s      *Service
	in     vault.Integration
	p      *Provider
	faults []fault.Field
}

func (c *integrationCheck) fault(pointer, format string, args ...any) {
	c.faults = append(c.faults, fault.Field{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

func (c *integrationCheck) methods() {
	for i, name := range c.in.Methods {
		at := fmt.Sprintf("/methods/%d", i)
		if _, ok := c.p.Method(name); !ok {
			c.fault(at, "%s has no method %q.", c.p.Title, name)
		}
		if slices.Index(c.in.Methods, name) < i {
			c.fault(at, "This method is listed already.")
		}
	}
}

// offered are the methods that the integration offers, in the file's order.
func (c *integrationCheck) offered() []*Method {
	var offered []*Method
	for i := range c.p.Methods {
		if m := &c.p.Methods[i]; len(c.in.Methods) == 0 || slices.Contains(c.in.Methods, m.Name) {
			offered = append(offered, m)
		}
	}
	return offered
}

// client asks for the client id and secret that the offered methods need. A
// provider that is linked by forms as well can do without: that method is not
// offered then by listing the others.
func (c *integrationCheck) client() {
	needsID, needsSecret := "", ""
	for _, m := range c.offered() {
		if _, own := m.Field(valueClientID); m.OAuth == nil || own {
			continue
		}
		needsID = first(needsID, m.called())
		if !m.OAuth.PublicClient {
			needsSecret = first(needsSecret, m.called())
		}
	}
	if needsID != "" && c.in.ClientID == "" {
		c.fault("/client_id", "%s needs a client id. Give one, or do not offer that method.", needsID)
	}
	if needsSecret != "" && c.in.ClientSecret.IsZero() && !c.in.HasClientSecret {
		c.fault("/client_secret", "%s needs a client secret. Give one, or do not offer that method.", needsSecret)
	}
	for _, value := range []struct{ pointer, text string }{
		{"/client_id", c.in.ClientID},
		{"/client_secret", c.in.ClientSecret.Reveal()},
	} {
		if detail := unfitText(value.text); detail != "" {
			c.fault(value.pointer, "%s", detail)
		}
	}
}

// called is a method for somebody who may know it by its title or by its name.
func (m *Method) called() string { return fmt.Sprintf("%s (method %q)", m.Title, m.Name) }

func (c *integrationCheck) scopesNeeded() {
	if len(c.in.Scopes) == 0 || slices.Contains(c.in.Scopes, "openid") {
		return
	}
	for _, m := range c.offered() {
		if m.Scheme == SchemeOIDCHybrid {
			c.fault("/scopes", "%s needs the scope openid.", m.called())
			return
		}
	}
}

func (c *integrationCheck) overrides() {
	o := c.in.Overrides
	for _, u := range []struct{ name, value string }{
		{"base_url", o.BaseURL},
		{"issuer", o.Issuer},
		{"authorization_url", o.AuthorizationURL},
		{"token_url", o.TokenURL},
		{"revocation_url", o.RevocationURL},
		{"jwks_url", o.JWKSURL},
		{"session_url", o.SessionURL},
		{"resolve_url", o.ResolveURL},
	} {
		if u.value == "" {
			continue
		}
		if parsed, err := c.s.http.ParseURL(u.value); err != nil {
			c.fault("/overrides/"+u.name, "This cannot be called: %v.", err)
		} else if parsed.RawQuery != "" && (u.name == "base_url" || u.name == "issuer") {
			c.fault("/overrides/"+u.name, "This must not have a query.")
		}
	}
	if !validResponseMode(ResponseMode(o.ResponseMode)) {
		c.fault("/overrides/response_mode", "This is one of query, fragment and form_post.")
	}
	for i, host := range o.AllowedHosts {
		if !validHostPattern(host) {
			c.fault(fmt.Sprintf("/overrides/allowed_hosts/%d", i), "This is a host such as api.example.com, or *.example.com for all below it.")
		}
	}
	c.endpoints()
}

// endpoints finds methods that would not know where to go.
func (c *integrationCheck) endpoints() {
	o := c.in.Overrides
	for _, m := range c.offered() {
		if m.OAuth == nil || first(o.Issuer, m.OAuth.Issuer) != "" {
			continue
		}
		if first(o.TokenURL, m.OAuth.TokenURL) == "" {
			c.fault("/overrides/token_url", "%s needs a token endpoint (token_url), or an issuer that publishes one.", m.called())
		}
		if m.Redirects() && first(o.AuthorizationURL, m.OAuth.AuthorizationURL) == "" {
			c.fault("/overrides/authorization_url", "%s needs an authorization endpoint (authorization_url), or an issuer that publishes one.", m.called())
		}
	}
}
