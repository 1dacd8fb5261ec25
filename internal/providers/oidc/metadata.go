package oidc

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Metadata is what an issuer says of itself: OpenID Connect Discovery 1.0
// section 3 and RFC 8414 section 2, as far as a relying party acts on it.
// Copies share their slices; treat them as read-only. A nil slice means that
// the issuer did not say.
type Metadata struct {
	Issuer                string
	AuthorizationEndpoint string
	TokenEndpoint         string
	JWKSURI               string
	RevocationEndpoint    string // RFC 7009; "" means none
	UserinfoEndpoint      string // "" means none
	EndSessionEndpoint    string // "" means none

	ResponseTypes        []string
	ResponseModes        []string // "query", "fragment", "form_post"
	SigningAlgorithms    []string // of id_tokens, JWA names, unfiltered
	TokenAuthMethods     []string // "client_secret_basic", …
	CodeChallengeMethods []string // "S256", …

	// IssuerParameter says that authorization responses carry iss (RFC 9207),
	// so that one without it is to be refused.
	IssuerParameter bool
	// Static says that these are the caller's own endpoints and no document
	// was read.
	Static bool
}

// asymmetric are the algorithms an id_token may be signed with here. HMAC is
// not among them and never will be: whoever can verify could also sign.
func asymmetric() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512,
		jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512,
		jose.EdDSA,
	}
}

func isAsymmetric(alg string) bool {
	return slices.Contains(asymmetric(), jose.SignatureAlgorithm(alg))
}

// algorithms decides which algorithms an id_token of this issuer may use: the
// pinned ones, else what the document lists, else RS256, the one that every
// issuer has to support (Core section 15.1).
func (m Metadata) algorithms(pinned []string) ([]string, error) {
	for _, alg := range pinned {
		if !isAsymmetric(alg) {
			return nil, &MetadataError{m.Issuer, fmt.Sprintf("pinned id_token algorithm %q is not an asymmetric one", alg)}
		}
	}
	if len(pinned) > 0 {
		return slices.Clone(pinned), nil
	}
	if m.SigningAlgorithms == nil {
		return []string{"RS256"}, nil
	}
	listed := slices.DeleteFunc(slices.Clone(m.SigningAlgorithms), func(alg string) bool {
		return !isAsymmetric(alg)
	})
	if len(listed) == 0 {
		return nil, &MetadataError{m.Issuer, "no asymmetric algorithm for id_tokens"}
	}
	return listed, nil
}

// CheckHosts refuses metadata that would send a browser, a code or a client
// secret to a host for which allowed says no. The host comes in lower case
// and without its port.
func (m Metadata) CheckHosts(allowed func(host string) bool) error {
	for _, e := range m.endpoints() {
		u, err := url.Parse(e.url)
		if err != nil || (e.url != "" && !allowed(strings.ToLower(u.Hostname()))) {
			return &MetadataError{m.Issuer, e.name + " is on a host that the provider may not use"}
		}
	}
	return nil
}

type endpoint struct {
	name, url string
	required  bool
}

func (m Metadata) endpoints() []endpoint {
	return []endpoint{
		{"authorization_endpoint", m.AuthorizationEndpoint, true},
		{"token_endpoint", m.TokenEndpoint, true},
		{"jwks_uri", m.JWKSURI, true},
		{"revocation_endpoint", m.RevocationEndpoint, false},
		{"userinfo_endpoint", m.UserinfoEndpoint, false},
		{"end_session_endpoint", m.EndSessionEndpoint, false},
	}
}

// check holds the endpoints to the transport of the issuer: https, or http
// where the operator configured an http issuer and so let a private host in.
func (m Metadata) check() error {
	issuer, err := parseIssuer(m.Issuer)
	if err != nil {
		return err
	}
	for _, e := range m.endpoints() {
		if e.url == "" {
			if e.required {
				return &MetadataError{m.Issuer, e.name + " is missing"}
			}
			continue
		}
		u, err := url.Parse(e.url)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
			return &MetadataError{m.Issuer, e.name + " is not a plain absolute URL"}
		case u.Scheme != "https" && (u.Scheme != "http" || issuer.Scheme != "http"):
			return &MetadataError{m.Issuer, e.name + " is not an https URL"}
		}
	}
	return nil
}

// parseIssuer reads an issuer identifier: a URL without query, fragment or
// userinfo (Core section 1.2).
func parseIssuer(issuer string) (*url.URL, error) {
	u, err := url.Parse(issuer)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil ||
		strings.ContainsAny(issuer, "?#") {
		return nil, &MetadataError{issuer, "the issuer is not an https URL without query and fragment"}
	}
	return u, nil
}

// documentURL is where the discovery document lives (Discovery section 4.1).
func documentURL(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// parseMetadata reads a discovery document and holds it to the configured
// issuer. A body that is no JSON object at all is told apart from a document
// that says the wrong thing: the first is as good as no document.
func parseMetadata(issuer string, body []byte) (Metadata, error) {
	raw, err := members(body)
	if err != nil {
		return Metadata{}, fmt.Errorf("discovery document: %w", err)
	}
	var m Metadata
	for name, into := range map[string]any{
		"issuer":                 &m.Issuer,
		"authorization_endpoint": &m.AuthorizationEndpoint,
		"token_endpoint":         &m.TokenEndpoint,
		"jwks_uri":               &m.JWKSURI,
		"revocation_endpoint":    &m.RevocationEndpoint,
		"userinfo_endpoint":      &m.UserinfoEndpoint,
		"end_session_endpoint":   &m.EndSessionEndpoint,

		"response_types_supported":                       &m.ResponseTypes,
		"response_modes_supported":                       &m.ResponseModes,
		"id_token_signing_alg_values_supported":          &m.SigningAlgorithms,
		"token_endpoint_auth_methods_supported":          &m.TokenAuthMethods,
		"code_challenge_methods_supported":               &m.CodeChallengeMethods,
		"authorization_response_iss_parameter_supported": &m.IssuerParameter,
	} {
		if value, ok := raw[name]; ok && json.Unmarshal(value, into) != nil {
			return Metadata{}, &MetadataError{issuer, name + " is of the wrong type"}
		}
	}
	// Discovery section 4.3: exactly, or the keys of one issuer would vouch
	// for another.
	if m.Issuer != issuer {
		return Metadata{}, &MetadataError{issuer, "the discovery document is another issuer's"}
	}
	return m, m.check()
}
