package tokenendpoint

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/claviger/claviger/internal/providers/outbound"
)

// Class says whose fault a failure is, and so what to do next.
type Class string

// The classes of failure.
const (
	// Terminal condemns the grant: the code or refresh token is used up,
	// expired or revoked (invalid_grant).
	Terminal Class = "terminal"
	// ClientFault is wrong about the integration, not about the connection:
	// client id, secret, the right to use this grant, the endpoint itself.
	ClientFault Class = "client_fault"
	// Transient passes by itself: the request was not sent, or the provider
	// is busy (429) or down (5xx).
	Transient Class = "transient"
	// Uncertain means that the request may have been taken and its answer lost.
	Uncertain Class = "uncertain"
	// Broken is a success (2xx) that cannot be used.
	Broken Class = "broken"
	// Rejected is any other no: invalid_scope, invalid_request, a redirect.
	Rejected Class = "rejected"
)

// Error is a failed exchange or revocation. Its text holds the class, the
// error code and the status: nothing that was sent, and nothing of the
// answer's body besides the code.
type Error struct {
	Class Class
	// Code is the provider's error code (RFC 6749, 5.2), empty if there is
	// none or it is longer than 64 characters or not of the charset of codes.
	Code string
	// Description is error_description, with everything unprintable gone, cut
	// to 200 characters. The provider wrote it: it is for an admin's eyes, and
	// neither for logs nor for end users.
	Description string
	// Status is the answer's HTTP status, 0 if none came.
	Status int
	// RetryAfter is when the provider wants to be asked again; 0 if not said.
	RetryAfter time.Duration
	// Err is the cause, if there is one besides the provider's word.
	Err error
}

// Error is the text for the log.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "token endpoint: %s", e.Class)
	if e.Code != "" {
		fmt.Fprintf(&b, " %q", e.Code)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Spent reports whether a one-time token sent with the request may be used up
// although no answer tells: after a lost answer, an unusable success, or a
// server that failed (5xx) at a point nobody knows.
func (e *Error) Spent() bool {
	switch e.Class {
	case Uncertain, Broken:
		return true
	case Transient:
		return e.Status >= http.StatusInternalServerError
	case Terminal, ClientFault, Rejected:
	}
	return false
}

// transportError makes an [Error] of what outbound returned.
func transportError(err error) *Error {
	oe, ok := errors.AsType[*outbound.Error](err)
	if !ok {
		return &Error{Class: Uncertain, Err: err}
	}
	e := &Error{Class: Uncertain, Status: oe.Status, Err: err}
	switch {
	case oe.Kind == outbound.BadURL, oe.Kind == outbound.BadRequest, oe.Kind == outbound.Forbidden:
		e.Class = ClientFault
	case oe.Delivery == outbound.NotSent:
		e.Class = Transient
	case oe.Delivery == outbound.Answered: // a redirect, or too large
		e.Class = classOf(oe.Status, "", Shape{})
		if oe.Status/100 == 2 {
			e.Class = Broken
		}
	}
	return e
}

// classOf judges a refusal by its status and code.
func classOf(status int, code string, s Shape) Class {
	switch status {
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusTooEarly:
		return Transient
	}
	switch {
	case status >= http.StatusInternalServerError:
		return Transient // a server in trouble is no judge of grants
	case code == "invalid_grant", slices.Contains(s.TerminalCodes, code) && code != "":
		return Terminal
	case code == "invalid_client",
		// RFC 6749, 5.2: the client "is not authorized to use this authorization
		// grant type", which is said of the client and of no grant. Keycloak
		// says it to a wrong client secret. One change at the provider would
		// condemn every connection; a provider that means the grant by it has
		// it among its terminal codes.
		code == "unauthorized_client",
		slices.Contains(s.ClientFaultCodes, code) && code != "":
		return ClientFault
	case code == "temporarily_unavailable", code == "server_error", code == "slow_down":
		return Transient
	case code == "" && status == http.StatusUnauthorized:
		return ClientFault // 401 is about client authentication (RFC 6749, 5.2)
	}
	return Rejected
}

const (
	maxCode        = 64
	maxDescription = 200
)

// cleanCode returns s if it is an error code of RFC 6749, 5.2, and not a
// sentence: the RFC's charset has the space, no code of any provider does.
func cleanCode(s string) string {
	if len(s) > maxCode {
		return ""
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return ""
		}
	}
	return s
}

// cleanDescription makes somebody else's sentence fit to show.
func cleanDescription(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, " "), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if r := []rune(s); len(r) > maxDescription {
		s = string(r[:maxDescription])
	}
	return s
}

// retryAfter reads the header in both of its forms (RFC 9110, 10.2.3). What
// is in the past, or more than a day away, is not an answer to "when".
func retryAfter(h http.Header, now time.Time) time.Duration {
	const day = 24 * time.Hour
	v := h.Get("Retry-After")
	var d time.Duration
	if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(now)
	} else if n := seconds(v); n.Known() {
		d = time.Duration(n)
	}
	return min(max(d, 0), day)
}
