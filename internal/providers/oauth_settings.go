package providers

import "time"

// OAuth is the settings of the schemes that talk to a token endpoint.
type OAuth struct {
	// Issuer is where OpenID Connect discovery starts. With one, the document
	// found there counts, and the endpoints below stand in for it where there is
	// none or it cannot be reached.
	Issuer           string `yaml:"issuer"`
	AuthorizationURL string `yaml:"authorization_url"`
	TokenURL         string `yaml:"token_url"`
	RevocationURL    string `yaml:"revocation_url"`
	JWKSURL          string `yaml:"jwks_url"`
	// EndpointHosts are the hosts, beside the issuer's, that a discovery
	// document may name. "*" is any.
	EndpointHosts []string `yaml:"endpoint_hosts"`
	// SigningAlgorithms pins what id_tokens may be signed with; without it, the
	// discovery document's list counts.
	SigningAlgorithms []string `yaml:"signing_algorithms"`

	Scopes         []string `yaml:"scopes"`
	ScopeParameter string   `yaml:"scope_parameter"` // "scope" where the file says nothing
	ScopeSeparator string   `yaml:"scope_separator"` // a space where the file says nothing
	// GrantedSeparator stands between the scopes of a token answer, where it is
	// not that of the request.
	GrantedSeparator string `yaml:"granted_separator"`
	// ResponseMode is sent as it is; without it, form_post is asked for in the
	// hybrid flow where discovery lists it, else nothing.
	ResponseMode    ResponseMode      `yaml:"response_mode"`
	AuthorizeParams map[string]string `yaml:"authorize_params"`
	PKCE            PKCE              `yaml:"pkce"`

	ClientAuth ClientAuth `yaml:"client_auth"`
	// PublicClient lets an integration have no client secret.
	PublicClient bool `yaml:"public_client"`
	// RefreshWithRedirectURI sends redirect_uri with a refresh, as IdentityServer
	// of TimeLog wants.
	RefreshWithRedirectURI bool `yaml:"refresh_with_redirect_uri"`
	// DefaultExpiresIn is the life of an access token in seconds, where neither
	// the answer nor the token says; 0 means not known.
	DefaultExpiresIn int `yaml:"default_expires_in"`
	// Reuse is what a spent refresh token does at the provider.
	Reuse Reuse `yaml:"reuse"`
	// TokenObject is the member of the answer to a code that holds the tokens,
	// where they are not at the top. Answers to refreshes have them at the top.
	TokenObject string `yaml:"token_object"`
	// TokenTypes are token types that mean bearer and do not say so.
	TokenTypes []string `yaml:"token_types"`
	// TerminalCodes are the provider's own words for invalid_grant, ClientCodes
	// for invalid_client.
	TerminalCodes []string `yaml:"terminal_codes"`
	ClientCodes   []string `yaml:"client_codes"`
	// RevocationAuth is client authentication at the revocation endpoint, where
	// it is not that of the token endpoint; "none" sends the client id alone.
	RevocationAuth ClientAuth `yaml:"revocation_auth"`
	// Revocation is how the provider is told, where it is not RFC 7009.
	Revocation *Revocation `yaml:"revocation"`
}

// ResponseMode is how the provider's reply travels through the browser.
type ResponseMode string

// The response modes: OAuth 2.0 Multiple Response Type Encoding Practices
// section 2.1, and OAuth 2.0 Form Post Response Mode.
const (
	ModeQuery    ResponseMode = "query"
	ModeFragment ResponseMode = "fragment"
	ModeFormPost ResponseMode = "form_post"
)

// PKCE is RFC 7636 or its absence.
type PKCE string

// PKCE is S256 where the file says nothing.
const (
	PKCES256 PKCE = "S256"
	PKCENone PKCE = "none"
)

// ClientAuth is how a client authenticates at the token endpoint.
type ClientAuth string

// The ways of RFC 6749 section 2.3.1. Where the file says nothing, the
// discovery document decides, and without one it is basic.
const (
	ClientAuthBasic ClientAuth = "basic"
	ClientAuthPost  ClientAuth = "post"
	// ClientAuthNone is for revocation only.
	ClientAuthNone ClientAuth = "none"
)

// Reuse is what happens at the provider when a refresh token is sent a second
// time. It decides when to try again after an answer was lost.
type Reuse string

// The policies. Where the file says nothing it is [ReuseRevoke], the worst.
const (
	ReuseAllowed Reuse = "allowed" // refresh tokens do not change: trying again costs nothing
	ReuseGrace   Reuse = "grace"   // a spent one is answered again for a while
	ReuseReject  Reuse = "reject"  // a spent one is refused, nothing else happens
	ReuseRevoke  Reuse = "revoke"  // a spent one ends the live access token too
)

// Revocation is a provider's own way to end an access token.
type Revocation struct {
	Method string              `yaml:"method"`
	URL    string              `yaml:"url"`
	Auth   RevocationBy        `yaml:"auth"`
	JSON   map[string]Template `yaml:"json"`
	// Gone are the statuses that mean that the token did not work any more; 401
	// where the file says nothing.
	Gone    []int    `yaml:"gone"`
	Success *Success `yaml:"success"` // for services that answer 200 to everything
}

// RevocationBy says who ends the token.
type RevocationBy string

// The client does, with Basic authentication, or the token ends itself.
const (
	ByClient RevocationBy = "client"
	ByToken  RevocationBy = "token"
)

// defaultExpiry is DefaultExpiresIn as a duration.
func (o *OAuth) defaultExpiry() time.Duration {
	return time.Duration(o.DefaultExpiresIn) * time.Second
}

// reuse is the policy with its default.
func (o *OAuth) reuse() Reuse {
	if o.Reuse == "" {
		return ReuseRevoke
	}
	return o.Reuse
}
