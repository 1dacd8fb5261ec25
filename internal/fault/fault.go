package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what went wrong, in the terms that decide what happens next.
type Kind int

// The kinds. Each has one stable code on the wire, see [Kind.Code].
const (
	// Internal is a fault of ours; nothing of it is shown.
	Internal Kind = iota
	// Malformed is input that could not be read at all: broken JSON, an
	// unknown member, a wrong type.
	Malformed
	// Invalid is input that was read and holds values that are not acceptable.
	Invalid
	// TooLarge is input over a size limit.
	TooLarge
	// Unauthenticated is a missing, unknown, expired or revoked key. The
	// message never says which.
	Unauthenticated
	// InsufficientScope is a known caller that may not do this.
	InsufficientScope
	// Forbidden is a request that nobody may make this way, whoever they are:
	// a form sent from another site.
	Forbidden
	// NotFound is something that is not there, or belongs to another
	// environment: the two are not told apart.
	NotFound
	// ReconnectRequired means that the end user has to link the account again.
	ReconnectRequired
	// Conflict is a duplicate, or a change that what is stored now forbids.
	Conflict
	// Revoked is a connection that was revoked for good.
	Revoked
	// RateLimited asks the caller to come back after [Error.RetryAfter].
	RateLimited
	// ProviderRejected is a provider's no for a reason that is not the
	// credential, such as a wrong client secret.
	ProviderRejected
	// ProviderUnavailable is a provider that cannot be reached, or is down.
	ProviderUnavailable
	// Unavailable is a part of ours that is down for now: the database, the keyset.
	Unavailable
)

var codes = [...]string{
	Internal:            "internal",
	Malformed:           "invalid_request",
	Invalid:             "invalid_request",
	TooLarge:            "invalid_request",
	Unauthenticated:     "unauthenticated",
	InsufficientScope:   "insufficient_scope",
	Forbidden:           "forbidden",
	NotFound:            "not_found",
	ReconnectRequired:   "reconnect_required",
	Conflict:            "conflict",
	Revoked:             "revoked",
	RateLimited:         "rate_limited",
	ProviderRejected:    "provider_rejected",
	ProviderUnavailable: "provider_unavailable",
	Unavailable:         "unavailable",
}

// Code is the stable word for the kind in problem documents.
func (k Kind) Code() string {
	if k < 0 || int(k) >= len(codes) {
		return codes[Internal]
	}
	return codes[k]
}

// Field names one member of the input and what is wrong with it.
type Field struct {
	// Pointer is an RFC 6901 JSON pointer into the body ("/end_user/id"), or
	// the name of a query parameter or form field.
	Pointer string `json:"pointer"`
	// Detail is a sentence fit to show. It never repeats a secret value.
	Detail string `json:"detail"`
}

// Error is an error that people outside the process may see.
type Error struct {
	// Kind decides status, code and what a caller does next.
	Kind Kind
	// Message is shown as it is: a plain sentence, no secret, no internals.
	Message string
	// Fields lists what is wrong with the input, all of it at once.
	Fields []Field
	// RetryAfter is when asking again makes sense; 0 means not said.
	RetryAfter time.Duration
	// Err is the cause. It goes to the log and is never shown.
	Err error
}

// Error is the text for the log: message, fields and cause.
func (e *Error) Error() string {
	s := e.Message
	for _, f := range e.Fields {
		s += fmt.Sprintf(" [%s: %s]", f.Pointer, f.Detail)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind with a message fit to show.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an error of a kind around a cause that only the log sees.
func Wrap(err error, kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
}

// InvalidField is an [Invalid] error about one field.
func InvalidField(pointer, format string, args ...any) *Error {
	return InvalidFields(Field{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

// InvalidFields is an [Invalid] error about the given fields.
func InvalidFields(fields ...Field) *Error {
	return &Error{Kind: Invalid, Message: "The request is not valid.", Fields: fields}
}

// After says when asking again makes sense and returns e.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// As finds the [Error] in err's tree; ok is false where there is none.
func As(err error) (e *Error, ok bool) {
	ok = errors.As(err, &e)
	return e, ok
}

// KindOf is the kind of the [Error] in err's tree, or [Internal].
func KindOf(err error) Kind {
	if e, ok := As(err); ok {
		return e.Kind
	}
	return Internal
}

// Is reports whether err's tree holds an [Error] of this kind. A nil error
// is of no kind.
func Is(err error, kind Kind) bool {
	e, ok := As(err)
	return ok && e.Kind == kind
}
