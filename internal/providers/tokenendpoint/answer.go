package tokenendpoint

import (
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// Answer is a token endpoint's yes.
type Answer struct {
	// AccessToken is of RFC 6750's b64token charset and no longer than 8 KiB.
	AccessToken vault.Secret
	// RefreshToken is the next one, if the answer has one. Zero means that the
	// one at hand stays good (RFC 6749, 6).
	RefreshToken vault.Secret
	// IDToken looks like a JWS in compact form. It has not been verified.
	IDToken vault.Secret
	// TokenType is "Bearer", or as sent where the [Shape] lets others pass.
	TokenType string
	// ExpiresIn is the life of the access token.
	ExpiresIn Lifetime
	// RefreshExpiresIn is the life of the refresh token.
	RefreshExpiresIn Lifetime
	// RefreshEndless says that the answer has 0 for it, which is how Keycloak
	// says that an offline token has no end.
	RefreshEndless bool
	// Scopes is what was granted. If HasScope is false the answer does not
	// say, which means: as asked for (RFC 6749, 5.1).
	Scopes   []string
	HasScope bool
}

// Lifetime is how long a token lives, counted from the request for it.
//
// Zero is unknown: the provider did not say, or said something that is no
// lifetime (null, "", "soon", 0, a negative number, a century). Unknown is
// not "never expires": whoever keeps the token has to find out in other ways.
type Lifetime time.Duration

// Known reports whether the provider said how long.
func (l Lifetime) Known() bool { return l > 0 }

// From is when a token ends that was asked for at t; ok is false if that is
// unknown.
func (l Lifetime) From(t time.Time) (end time.Time, ok bool) {
	if !l.Known() {
		return time.Time{}, false
	}
	return t.Add(time.Duration(l)), true
}

// Shape tells where a provider's answers depart from RFC 6749. It is data of
// the provider; the zero Shape is the RFC's own.
type Shape struct {
	// Prefix is the dotted path of the object that holds the tokens, such as
	// "authed_user" for Slack's user tokens. Errors are always at the top.
	Prefix string
	// TokenTypes are taken besides "bearer", in any letter case ("bot"). An
	// empty string in the list takes an answer without token_type.
	TokenTypes []string
	// ScopeSeparator stands between scopes; empty is the space of the RFC.
	ScopeSeparator string
	// TerminalCodes are error codes that mean invalid_grant
	// ("bad_refresh_token").
	TerminalCodes []string
	// ClientFaultCodes are error codes that mean invalid_client
	// ("incorrect_client_credentials").
	ClientFaultCodes []string
}
