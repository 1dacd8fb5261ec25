package providers

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// target is what one call is about: an integration, its provider, and the
// method at hand. Overrides are looked up here and nowhere else.
type target struct {
	in       vault.Integration
	provider *Provider
	method   *Method
}

// target finds provider and method of an integration. A method that the
// integration no longer offers still works for connections made with it.
func (s *Service) target(in vault.Integration, method string) (target, error) {
	p, ok := s.catalog.Get(in.Provider)
	if !ok {
		return target{}, fault.New(fault.ProviderRejected, "The provider %q is not in the catalog any more.", in.Provider)
	}
	m, ok := p.Method(method)
	if !ok {
		return target{}, fault.InvalidField("method", "%s has no method %q.", p.Title, method)
	}
	return target{in: in, provider: p, method: m}, nil
}

// baseURL is the API root that is known without asking; it may be empty.
func (t target) baseURL() string {
	return strings.TrimSuffix(first(t.in.Overrides.BaseURL, t.provider.BaseURL), "/")
}

// issuer is where discovery starts; it may be empty.
func (t target) issuer() string {
	if i := t.in.Overrides.Issuer; i != "" {
		return i
	}
	if t.method.OAuth != nil && t.method.OAuth.Issuer != "" {
		return t.method.OAuth.Issuer
	}
	return t.provider.issuer()
}

// verifyURL is the call that verifies, at the given API root.
func (t target) verifyURL(root string) (string, error) {
	v := t.provider.Verify
	if v.URL != "" {
		return v.URL, nil
	}
	return t.under(root, v.Path)
}

func (t target) resolveURL() (string, error) {
	r := t.provider.Resolve
	switch u := t.in.Overrides.ResolveURL; {
	case u != "":
		return u, nil
	case r.URL != "":
		return r.URL, nil
	}
	return t.under(t.issuer(), r.Path)
}

func (t target) sessionURL() string {
	return first(t.in.Overrides.SessionURL, t.method.SessionCookie.URL)
}

func (t target) under(root, path string) (string, error) {
	if root == "" {
		return "", fault.New(fault.ProviderRejected, "The integration does not say where %s is: it has no base_url.", t.provider.Title)
	}
	return strings.TrimSuffix(root, "/") + path, nil
}

// allowedHosts are those that an API root learnt from the provider may be on.
func (t target) allowedHosts() []string {
	return slices.Concat(t.provider.AllowedHosts, t.in.Overrides.AllowedHosts)
}

// scopes are what is asked for: the integration's, else the file's.
func (t target) scopes() []string {
	if len(t.in.Scopes) > 0 {
		return t.in.Scopes
	}
	return t.method.OAuth.Scopes
}

// isOIDC reports whether the flow is OpenID Connect's, with an id_token in the
// answer to the code.
func (t target) isOIDC() bool {
	return t.method.Scheme == SchemeOIDCHybrid ||
		t.method.Scheme == SchemeOAuth2Code && t.issuer() != "" && slices.Contains(t.scopes(), "openid")
}

// hint is how the end user takes the access back by hand.
func (t target) hint() string {
	if h := first(t.method.DisconnectHint, t.provider.DisconnectHint); h != "" {
		return h
	}
	return fmt.Sprintf("%s cannot be told; the credential works there until it is changed or expires.", t.provider.Title)
}

// secretField is the field to point at when the credential is refused: the
// last secret one of the form.
func (t target) secretField() string {
	for _, f := range slices.Backward(t.method.Fields) {
		if f.IsSecret() {
			return f.Name
		}
	}
	return ""
}

// redirectURI is where the provider sends the browser back to: one for each
// integration, so that a reply cannot be taken for another provider's.
func (s *Service) redirectURI(integrationID string) string {
	return s.publicURL.JoinPath("connect", "callback", url.PathEscape(integrationID)).String()
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
