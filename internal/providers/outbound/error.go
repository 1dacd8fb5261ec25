package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Kind is the word for what went wrong, fit for a log.
type Kind string

// The kinds of failed calls.
const (
	// BadURL is an address that [Client.CheckURL] refuses.
	BadURL Kind = "bad_url"
	// BadRequest is a header that cannot be sent.
	BadRequest Kind = "bad_request"
	// Forbidden is a name that leads to addresses that may not be reached;
	// the error is [ErrForbiddenAddress] as well.
	Forbidden Kind = "forbidden_address"
	// Unreachable is a failed look-up, connection or handshake.
	Unreachable Kind = "unreachable"
	// Untrusted is a certificate that does not verify.
	Untrusted Kind = "untrusted"
	// TimedOut is a deadline that passed while the provider had the request.
	// A deadline that passed before that is Unreachable.
	TimedOut Kind = "timeout"
	// Late is a request that was not sent in time; see [WithSendBy].
	Late Kind = "late"
	// Canceled is a caller that gave up.
	Canceled Kind = "canceled"
	// Broken is a connection that broke, or an answer that is not HTTP.
	Broken Kind = "broken"
	// Redirected is an answer that points elsewhere.
	Redirected Kind = "redirected"
	// TooLarge is an answer over its limit.
	TooLarge Kind = "too_large"
)

// Delivery says whether a request reached the provider.
type Delivery int

// The zero Delivery is the careful one.
const (
	// Uncertain means that the provider may have acted on the request.
	Uncertain Delivery = iota
	// NotSent means that it certainly has not: no complete header left.
	NotSent
	// Answered means that the provider had the request and answered it.
	Answered
)

// String is the word for logs.
func (d Delivery) String() string {
	switch d {
	case NotSent:
		return "not sent"
	case Answered:
		return "answered"
	case Uncertain:
	}
	return "uncertain"
}

// Error is a failed call. Its text names the host and what happened; it holds
// no path, query, header or body, of either side.
type Error struct {
	Kind     Kind
	Delivery Delivery
	// Host is the URL's host, with the port if it has one.
	Host string
	// Status is the answer's status, 0 if none came.
	Status int
	// Err is the cause.
	Err error
}

// Error is the text for the log.
func (e *Error) Error() string {
	return fmt.Sprintf("calling %s: %s (%s): %v", e.Host, e.Kind, e.Delivery, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrForbiddenAddress is in the tree of every error about an address that may
// not be reached.
var ErrForbiddenAddress = errors.New("the address is in a private or special range")

var (
	errRedirect  = errors.New("the answer is a redirect")
	errTooLarge  = errors.New("the answer is larger than its limit")
	errMalformed = errors.New("the connection broke or the answer is not HTTP")
)

// DeliveryOf is the [Delivery] of the [Error] in err's tree. Without an error
// the call was answered; about any other error nothing is known.
func DeliveryOf(err error) Delivery {
	if err == nil {
		return Answered
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Delivery
	}
	return Uncertain
}

// classify makes an [Error] of what RoundTrip returned.
func classify(ctx context.Context, req *http.Request, err error, connected, sent bool) *Error {
	e := &Error{Host: host(req)}
	late := errors.Is(err, errLate)
	if sent {
		e.Kind, e.Delivery, e.Err = kindOnWire(ctx, err), Uncertain, onWire(err)
		if late {
			e.Kind = Late
		}
		return e
	}
	e.Delivery, e.Err = NotSent, err
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case late:
		e.Kind, e.Err = Late, errLate
	case errors.Is(err, ErrForbiddenAddress):
		e.Kind = Forbidden
	case errors.Is(ctx.Err(), context.Canceled):
		e.Kind = Canceled
	case untrusted:
		e.Kind = Untrusted
	case connected:
		e.Kind, e.Err = Broken, onWire(err)
	default:
		e.Kind = Unreachable
	}
	return e
}

func kindOnWire(ctx context.Context, err error) Kind {
	ne, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return Canceled
	case ctx.Err() != nil, isNet && ne.Timeout():
		return TimedOut
	}
	return Broken
}

// onWire keeps of an error only what cannot quote the answer: net/http puts
// malformed status and header lines into the text of its errors.
func onWire(err error) error {
	for _, known := range []error{errLate, context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, known) {
			return known
		}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op
	}
	return errMalformed
}
