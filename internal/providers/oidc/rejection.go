package oidc

import (
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// Check is the stable word for one rule an id_token has to obey. The words go
// into audit entries and logs; they are never renamed.
type Check string

// The checks, in about the order they are made.
const (
	CheckFormat          Check = "format"           // compact serialization, size, base64url, JSON
	CheckDuplicateMember Check = "duplicate_member" // a name twice, or twice but for its case
	CheckKeyHeader       Check = "key_header"       // the token brings its own key (jwk, jku, x5u, x5c)
	CheckCritical        Check = "crit"             // an extension that must be understood and is not
	CheckType            Check = "typ"              // some other kind of JWT
	CheckAlgorithm       Check = "alg"              // none, HMAC, or not one this issuer uses
	CheckKeyID           Check = "kid"              // no key of the issuer's goes with the token
	CheckSignature       Check = "signature"
	CheckIssuer          Check = "iss"
	CheckAudience        Check = "aud"
	CheckAuthorizedParty Check = "azp"
	CheckSubject         Check = "sub"
	CheckExpiry          Check = "exp"
	CheckIssuedAt        Check = "iat"
	CheckNotBefore       Check = "nbf"
	CheckNonce           Check = "nonce"
	CheckCodeHash        Check = "c_hash"
	CheckAccessTokenHash Check = "at_hash"
	CheckStateHash       Check = "s_hash"
	CheckAuthTime        Check = "auth_time"
	CheckSessionID       Check = "sid"
	CheckContextClass    Check = "acr"
	CheckEvents          Check = "events" // not a logout token
	CheckTokenID         Check = "jti"
	CheckSecondOpinion   Check = "second_opinion" // go-oidc refuses what passed here
)

// Position is where an id_token was found.
type Position string

// The positions.
const (
	FrontChannel  Position = "front_channel"  // the browser brought it
	TokenEndpoint Position = "token_endpoint" // in the answer to the code
	RefreshAnswer Position = "refresh"        // in the answer to a refresh token
	BackChannel   Position = "back_channel"   // the provider sent it by itself
)

// Rejection is an id_token that was refused. It is final: asking again with
// the same token gives the same answer. No part of the token is in it, so it
// may be logged and audited as it is.
type Rejection struct { //nolint:errname // the trail and the pages speak of a rejection
	Position Position
	Check    Check
	// Detail says more in our own words: never a claim's text.
	Detail string
}

// Error is the text for the log.
func (r *Rejection) Error() string {
	return fmt.Sprintf("id_token (%s) refused: %s: %s", r.Position, r.Check, r.Detail)
}

// Fault is what people see: that the reply did not hold, not why.
func (r *Rejection) Fault() *fault.Error {
	return fault.Wrap(r, fault.ProviderRejected, "The provider's reply could not be verified.")
}

// refuse makes a rejection; the position is filled in on the way out.
func refuse(check Check, format string, args ...any) error {
	return &Rejection{Check: check, Detail: fmt.Sprintf(format, args...)}
}

// Unavailable is a provider that could not be asked for its discovery
// document or its keys. Nothing was learnt about any token; asking again
// later makes sense.
type Unavailable struct { //nolint:errname // says what the provider is
	// What could not be had: "discovery document" or "signing keys".
	What string
	// RetryAfter is when the provider will be asked again at the earliest; 0
	// means at once.
	RetryAfter time.Duration
	// Err is the cause. It names the host at most: no body, no key.
	Err error
}

// Error is the text for the log.
func (u *Unavailable) Error() string {
	return fmt.Sprintf("%s of the provider not to be had: %v", u.What, u.Err)
}

// Unwrap gives the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// Fault is what people see.
func (u *Unavailable) Fault() *fault.Error {
	return fault.Wrap(u, fault.ProviderUnavailable,
		"The provider cannot be reached right now. Please try again in a minute.").After(u.RetryAfter)
}

// MetadataError is an issuer whose endpoints cannot be used: a discovery
// document for somebody else, an endpoint without TLS, a provider file with a
// hole. Trying again does not help, and falling back on static endpoints
// would paper over it.
type MetadataError struct {
	Issuer  string // as configured
	Problem string
}

// Error is the text for the log and for admins.
func (e *MetadataError) Error() string {
	return fmt.Sprintf("metadata of issuer %s: %s", e.Issuer, e.Problem)
}

// Fault is what people see.
func (e *MetadataError) Fault() *fault.Error {
	return fault.Wrap(e, fault.ProviderRejected, "The provider's published configuration cannot be used.")
}
