package providers

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

// Values of the OAuth schemes, beside the vault's own names.
const (
	valueIdentity  = "identity" // an oidc.Identity as JSON; no secret, but what later id_tokens are held to
	valueExpiresAt = "expires_at"
	// A client of the end user's own, where the method's form asks for one.
	valueClientID     = "client_id"
	valueClientSecret = "client_secret"
)

// endpoints says where the provider's endpoints are. Overrides count first,
// then what the issuer publishes, then the provider file; the file's
// endpoints belong to the file's issuer, and are of no use to another.
func (s *Service) endpoints(ctx context.Context, t target) (oidc.Metadata, error) {
	o, over := t.method.OAuth, t.in.Overrides
	static := oidc.Metadata{
		AuthorizationEndpoint: o.AuthorizationURL,
		TokenEndpoint:         o.TokenURL,
		RevocationEndpoint:    o.RevocationURL,
		JWKSURI:               o.JWKSURL,
		Static:                true,
	}
	issuer := first(over.Issuer, o.Issuer)
	if issuer != o.Issuer {
		static = oidc.Metadata{Static: true}
	}
	override(&static, over)
	if issuer == "" {
		return static, nil
	}
	var fallback *oidc.Metadata
	if static.AuthorizationEndpoint != "" && static.TokenEndpoint != "" && static.JWKSURI != "" {
		fallback = &static
	}
	m, err := s.directory.Metadata(ctx, issuer, fallback)
	if err != nil {
		return oidc.Metadata{}, err
	}
	if !m.Static {
		if err := m.CheckHosts(t.endpointAllowed(issuer)); err != nil {
			return oidc.Metadata{}, err
		}
		m.RevocationEndpoint = first(m.RevocationEndpoint, static.RevocationEndpoint)
	}
	override(&m, over)
	return m, nil
}

func override(m *oidc.Metadata, over vault.Overrides) {
	m.AuthorizationEndpoint = first(over.AuthorizationURL, m.AuthorizationEndpoint)
	m.TokenEndpoint = first(over.TokenURL, m.TokenEndpoint)
	m.RevocationEndpoint = first(over.RevocationURL, m.RevocationEndpoint)
	m.JWKSURI = first(over.JWKSURL, m.JWKSURI)
}

// endpointAllowed says which hosts a discovery document may name: the
// issuer's own, the file's and the integration's.
func (t target) endpointAllowed(issuer string) func(host string) bool {
	patterns := slices.Concat(t.method.OAuth.EndpointHosts, t.in.Overrides.AllowedHosts)
	own := ""
	if u, err := url.Parse(issuer); err == nil {
		own = strings.ToLower(u.Hostname())
	}
	return func(host string) bool {
		return host == own || slices.Contains(patterns, "*") || outbound.HostAllowed(host, withoutPorts(patterns))
	}
}

// withoutPorts is for comparing hosts that come without theirs.
func withoutPorts(patterns []string) []string {
	out := make([]string, 0, len(patterns))
	for _, p := range patterns {
		if i := strings.LastIndexByte(p, ':'); i >= 0 && !strings.HasSuffix(p, "]") {
			p = p[:i]
		}
		out = append(out, p)
	}
	return out
}

// client says who asks at the token endpoint, and how that is proven.
func (t target) client(m oidc.Metadata, c vault.Credential) (tokenendpoint.Credentials, error) {
	creds := tokenendpoint.Credentials{ClientID: t.in.ClientID, ClientSecret: t.in.ClientSecret, PreviousSecret: t.in.PreviousClientSecret}
	if _, own := t.method.Field(valueClientID); own {
		creds = tokenendpoint.Credentials{ClientID: c.Get(valueClientID), ClientSecret: c[valueClientSecret]}
	}
	if creds.ClientID == "" {
		return creds, fault.New(fault.ProviderRejected, "The integration has no client id.")
	}
	creds.Auth = t.authStyle(m, creds.ClientSecret)
	return creds, nil
}

// authStyle is the file's choice, else what the issuer says that it takes,
// else Basic, which every server has to support (RFC 6749 section 2.3.1).
func (t target) authStyle(m oidc.Metadata, secret vault.Secret) tokenendpoint.AuthStyle {
	if secret.IsZero() {
		return tokenendpoint.AuthNone
	}
	switch t.method.OAuth.ClientAuth {
	case ClientAuthBasic:
		return tokenendpoint.AuthBasic
	case ClientAuthPost:
		return tokenendpoint.AuthPost
	case ClientAuthNone: // not for token endpoints, says the catalog
	}
	listed := m.TokenAuthMethods
	if len(listed) > 0 && !slices.Contains(listed, string(tokenendpoint.AuthBasic)) && slices.Contains(listed, string(tokenendpoint.AuthPost)) {
		return tokenendpoint.AuthPost
	}
	return tokenendpoint.AuthBasic
}

// shape tells how the answers depart from the RFC. Only the answer to a code
// has its tokens in an object.
func (o *OAuth) shape(ofCode bool) tokenendpoint.Shape {
	shape := tokenendpoint.Shape{
		TokenTypes:       o.TokenTypes,
		ScopeSeparator:   first(o.GrantedSeparator, o.ScopeSeparator),
		TerminalCodes:    o.TerminalCodes,
		ClientFaultCodes: o.ClientCodes,
	}
	if ofCode {
		shape.Prefix = o.TokenObject
	}
	return shape
}

// take puts the tokens of an answer into a grant. asked is when the request was
// made: that is when a token's life is counted from.
func (o *OAuth) take(g *vault.Grant, a *tokenendpoint.Answer, asked time.Time) {
	g.ExpiresAt = o.accessEnd(a, asked)
	g.RefreshExpiresAt = refreshEnd(a, g.Credential[vault.ValueRefreshToken], g.RefreshExpiresAt, asked)
	g.Credential[vault.ValueAccessToken] = a.AccessToken
	if !a.RefreshToken.IsZero() {
		g.Credential[vault.ValueRefreshToken] = a.RefreshToken
	}
	if a.HasScope {
		g.Scopes = a.Scopes
	}
	g.Renewable = !g.Credential[vault.ValueRefreshToken].IsZero()
}

// bearer renders the access token (RFC 6750 section 2.1).
func bearer(c vault.Credential) ([]vault.Header, error) {
	h, err := renderHeader("Authorization", "Bearer {access_token}", c)
	if err != nil {
		return nil, err
	}
	return []vault.Header{h}, nil
}

// tokenURL is the token endpoint, which some file or integration has to name.
func (t target) tokenURL(m oidc.Metadata) (string, error) {
	if m.TokenEndpoint == "" {
		return "", fault.New(fault.ProviderRejected, "The integration does not say where the token endpoint of %s is.", t.provider.Title)
	}
	return m.TokenEndpoint, nil
}

func settingsChanged() *LinkError {
	return &LinkError{
		Reason:  ReasonSettings,
		Message: "This link was changed while you were away. Start again.",
		Err:     fmt.Errorf("the integration's issuer is another one than when the trip began"),
	}
}
