package providers

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/providers/tokenendpoint"
)

// ErrRefused is in the tree of every error that says: the provider does not
// accept this credential. Wrong, locked, expired and unverified are not told
// apart: a form that did would tell a stranger which accounts exist.
var ErrRefused = errors.New("the provider refuses the credential")

// ErrUnverifiable is answered by [Service.Verify] where the provider has
// nothing that could be asked.
var ErrUnverifiable = errors.New("the provider has no call that verifies a credential")

// LinkError is a trip to the provider that did not end with a credential.
type LinkError struct {
	// Reason is a stable word, for the trail: one of the Reason constants, the
	// check of an [oidc.Rejection] ("nonce", "c_hash", "signature"), or the
	// error code of the provider's reply where it is a registered one
	// ("access_denied").
	Reason string
	// Message is a plain sentence for the end user. It leaks nothing.
	Message string
	// Err is the cause, for the log; a [*fault.Error] or [*oidc.Rejection] in it
	// can be found by errors.As.
	Err error
}

// The reasons of our own.
const (
	ReasonReplyShape   = "reply_shape"         // the reply is not one that this flow can have
	ReasonIssuer       = "iss"                 // the reply is from another issuer, or hides it
	ReasonProvider     = "provider_error"      // the provider answers with an error of its own making
	ReasonExchange     = "token_exchange"      // the code was not traded for tokens
	ReasonClient       = "client_refused"      // the token endpoint does not accept client id and secret
	ReasonResolveURL   = "resolve_url"         // the API root is missing or not one that is allowed
	ReasonRefused      = "refused"             // the provider does not accept its own token
	ReasonUnavailable  = "unavailable"         // the provider cannot be asked right now
	ReasonSettings     = "integration_changed" // the integration is not what it was when the trip began
	ReasonMissingToken = "id_token"            // the answer to the code has no id_token
)

// Error is the text for the log.
func (e *LinkError) Error() string {
	if e.Err == nil {
		return "link: " + e.Reason
	}
	return fmt.Sprintf("link: %s: %v", e.Reason, e.Err)
}

// Unwrap gives the cause.
func (e *LinkError) Unwrap() error { return e.Err }

// RefreshClass says what a failed refresh means for the connection.
type RefreshClass string

// The classes.
const (
	// RefreshTerminal condemns the credential: the end user has to link again.
	RefreshTerminal RefreshClass = "terminal"
	// RefreshIntegration is wrong about the integration, such as its client
	// secret. The connection is not to blame and works again once that is put
	// right.
	RefreshIntegration RefreshClass = "integration"
	// RefreshTransient passes by itself; try again after RetryAfter.
	RefreshTransient RefreshClass = "transient"
	// RefreshUncertain was sent, and its answer never arrived.
	RefreshUncertain RefreshClass = "uncertain"
	// RefreshBroken was answered with a yes that cannot be used.
	RefreshBroken RefreshClass = "broken"
	// RefreshIdentityChanged came back for another account, or with an id_token
	// that does not hold. Nothing of it may be handed out.
	RefreshIdentityChanged RefreshClass = "identity_changed"
)

// RefreshError is a refresh that did not end with headers.
type RefreshError struct {
	Class RefreshClass
	// Code is the provider's error code, or the check that failed; it may be empty.
	Code string
	// RetryAfter is when the provider wants to be asked again, an hour at most; 0
	// if not said.
	RetryAfter time.Duration
	// Spent says that a one-time token may be used up although no answer tells.
	Spent bool
	// Err is the cause, for the log.
	Err error
}

// Error is the text for the log.
func (e *RefreshError) Error() string {
	s := "refresh: " + string(e.Class)
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *RefreshError) Unwrap() error { return e.Err }

// longestPause is the longest Retry-After that is heeded. A provider that wants
// more is asked once an hour; it may have changed its mind.
const longestPause = time.Hour

// refreshError classifies what stopped a refresh.
func refreshError(err error) *RefreshError {
	var (
		known     *RefreshError
		token     *tokenendpoint.Error
		rejection *oidc.Rejection
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &token):
		e := &RefreshError{Class: tokenClass(token.Class), Code: token.Code, RetryAfter: min(token.RetryAfter, longestPause), Spent: token.Spent(), Err: err}
		if errors.Is(err, ErrRefused) { // the client is the end user's own
			e.Class = RefreshTerminal
		}
		return e
	case errors.As(err, &rejection):
		return &RefreshError{Class: RefreshIdentityChanged, Code: string(rejection.Check), Err: err}
	case errors.Is(err, ErrRefused):
		return &RefreshError{Class: RefreshTerminal, Code: ReasonRefused, Err: err}
	}
	f := asFault(err)
	e := &RefreshError{Class: RefreshBroken, RetryAfter: min(f.RetryAfter, longestPause), Err: err}
	switch {
	case errors.Is(err, errUnusable):
	case f.Kind == fault.ProviderUnavailable:
		e.Class = RefreshTransient
	case f.Kind == fault.ProviderRejected, f.Kind == fault.Invalid:
		e.Class = RefreshIntegration
	}
	return e
}

func tokenClass(c tokenendpoint.Class) RefreshClass {
	switch c {
	case tokenendpoint.Terminal:
		return RefreshTerminal
	case tokenendpoint.ClientFault, tokenendpoint.Rejected:
		return RefreshIntegration
	case tokenendpoint.Transient:
		return RefreshTransient
	case tokenendpoint.Broken:
		return RefreshBroken
	case tokenendpoint.Uncertain:
	}
	return RefreshUncertain
}

// asFault makes of any error here the one that people see.
func asFault(err error) *fault.Error {
	if f, ok := fault.As(err); ok {
		return f
	}
	if e, ok := errors.AsType[*oidc.Unavailable](err); ok {
		return e.Fault()
	}
	if e, ok := errors.AsType[*oidc.MetadataError](err); ok {
		return e.Fault()
	}
	if e, ok := errors.AsType[*oidc.Rejection](err); ok {
		return e.Fault()
	}
	if e, ok := errors.AsType[*tokenendpoint.Error](err); ok {
		return tokenFault(e)
	}
	if e, ok := errors.AsType[*outbound.Error](err); ok {
		return callFault(e)
	}
	if e, ok := errors.AsType[*rootError](err); ok {
		return e.fault()
	}
	return fault.Wrap(err, fault.Internal, "Something went wrong.")
}

func tokenFault(e *tokenendpoint.Error) *fault.Error {
	switch e.Class {
	case tokenendpoint.Transient, tokenendpoint.Uncertain:
		return unavailable(e).After(e.RetryAfter)
	case tokenendpoint.ClientFault:
		return fault.Wrap(e, fault.ProviderRejected, "The provider does not accept this integration's client id and secret.")
	case tokenendpoint.Terminal, tokenendpoint.Broken, tokenendpoint.Rejected:
	}
	return fault.Wrap(e, fault.ProviderRejected, "The provider refused to hand out a token.")
}

func callFault(e *outbound.Error) *fault.Error {
	switch e.Kind {
	case outbound.BadURL, outbound.Forbidden:
		return fault.Wrap(e, fault.ProviderRejected, "The provider's address is not one that may be called.")
	case outbound.Redirected, outbound.TooLarge:
		return fault.Wrap(e, fault.ProviderRejected, "The provider's answer cannot be used.")
	case outbound.Unreachable, outbound.Untrusted, outbound.TimedOut, outbound.Late, outbound.Canceled, outbound.Broken:
	}
	return unavailable(e)
}

func unavailable(err error) *fault.Error {
	return fault.Wrap(err, fault.ProviderUnavailable, "The provider cannot be reached right now. Try again in a little while.")
}

// statusFault is an answer that is neither a yes nor a refused credential.
func statusFault(status int, after time.Duration) *fault.Error {
	err := fmt.Errorf("the provider answered with status %d", status)
	switch {
	case status == http.StatusTooManyRequests:
		return fault.Wrap(err, fault.ProviderUnavailable, "The provider asks for a pause. Try again in a little while.").After(after)
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		return unavailable(err).After(after)
	}
	return fault.Wrap(err, fault.ProviderRejected, "The provider answered in a way that was not expected.")
}
