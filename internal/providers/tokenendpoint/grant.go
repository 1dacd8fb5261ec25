package tokenendpoint

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/claviger/claviger/internal/vault"
)

// Grant is what is traded for tokens. The zero Grant is refused.
type Grant struct{ params []param }

type param struct {
	name  string
	value vault.Secret // some are; treating all alike leaks none
}

// AuthorizationCode trades a code (RFC 6749, 4.1.3). The redirect URI is the
// one of the authorization request. The verifier is PKCE's (RFC 7636, 4.5),
// zero where none was used.
func AuthorizationCode(code vault.Secret, redirectURI string, verifier vault.Secret) Grant {
	return grant("authorization_code").
		with("code", code).
		with("redirect_uri", vault.NewSecret(redirectURI)).
		with("code_verifier", verifier)
}

// RefreshToken trades a refresh token (RFC 6749, 6). The redirect URI is for
// providers that want it here too, against the RFC; empty leaves it out. No
// scopes means those granted before.
func RefreshToken(token vault.Secret, redirectURI string, scopes ...string) Grant {
	return grant("refresh_token").
		with("refresh_token", token).
		with("redirect_uri", vault.NewSecret(redirectURI)).
		with("scope", vault.NewSecret(strings.Join(scopes, " ")))
}

// ClientCredentials asks for tokens of the client itself (RFC 6749, 4.4).
// Extra are the provider's own parameters ("audience"); they do not replace
// those of the protocol.
func ClientCredentials(scopes []string, extra url.Values) Grant {
	g := grant("client_credentials").with("scope", vault.NewSecret(strings.Join(scopes, " ")))
	for name, values := range extra {
		switch name {
		case "grant_type", "scope", "client_id", "client_secret":
			continue
		}
		for _, v := range values { // "resource" may come several times (RFC 8707, 2)
			g = g.with(name, vault.NewSecret(v))
		}
	}
	return g
}

func grant(typ string) Grant { return Grant{}.with("grant_type", vault.NewSecret(typ)) }

// with adds a parameter that has a value. RFC 6749, 3.2: parameters without a
// value are treated as if left out, and none comes twice from the protocol.
func (g Grant) with(name string, value vault.Secret) Grant {
	if value.IsZero() {
		return g
	}
	g.params = append(slices.Clip(g.params), param{name, value})
	return g
}

// AuthStyle is how the client authenticates, by the names of the OAuth
// registry (RFC 7591, 2). The empty AuthStyle is refused: guessing means
// sending twice.
type AuthStyle string

// The styles of client authentication.
const (
	// AuthBasic puts id and secret into the Authorization header
	// (RFC 6749, 2.3.1).
	AuthBasic AuthStyle = "client_secret_basic"
	// AuthPost puts id and secret into the body.
	AuthPost AuthStyle = "client_secret_post"
	// AuthNone puts the id into the body and sends no secret: a public client.
	AuthNone AuthStyle = "none"
)

// Credentials are those of a client.
type Credentials struct {
	ClientID     string
	ClientSecret vault.Secret
	// PreviousSecret is tried where the provider refuses ClientSecret; zero where
	// there is none. See [Client.Exchange].
	PreviousSecret vault.Secret
	Auth           AuthStyle
}

// apply puts the credentials where their style wants them.
func (c *Credentials) apply(form url.Values, header http.Header) error {
	switch {
	case c.ClientID == "":
		return errors.New("there is no client id")
	case c.ClientSecret.IsZero() && c.Auth != AuthNone:
		return errors.New("there is no client secret")
	}
	switch c.Auth {
	case AuthBasic:
		r := http.Request{Header: header}
		// Both are form-encoded first; most clients and many servers forget.
		r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret.Reveal()))
	case AuthPost:
		form.Set("client_id", c.ClientID)
		form.Set("client_secret", c.ClientSecret.Reveal())
	case AuthNone:
		form.Set("client_id", c.ClientID)
	default:
		return fmt.Errorf("unknown client authentication %q", string(c.Auth))
	}
	return nil
}
