package httpd

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
)

// answer is an error as people outside may see it.
type answer struct {
	status     int
	code       string
	title      string // of the page
	detail     string
	next       string // what the person at the page can do now
	fields     []fault.Field
	retryAfter time.Duration
}

const tryAgain = "Please try again in a moment. Nothing was changed."

// answers is the table of design: each kind has one status. Indexed by kind.
var answers = [...]answer{
	fault.Internal: {
		status: http.StatusInternalServerError, title: "Something went wrong",
		detail: "Something went wrong.",
		next:   "Please try again. If it happens again, tell whoever runs this service, and give them the reference below.",
	},
	fault.Malformed: {
		status: http.StatusBadRequest, title: "That could not be read",
		next: "Go back and try again.",
	},
	fault.Invalid: {
		status: http.StatusUnprocessableEntity, title: "Something is not right yet",
		next: "Go back, put it right and send it again.",
	},
	fault.TooLarge: {
		status: http.StatusRequestEntityTooLarge, title: "That is too much at once",
		next: "Go back and send less.",
	},
	fault.Unauthenticated: {
		status: http.StatusUnauthorized, title: "Please sign in",
		next: "Sign in and try again.",
	},
	fault.InsufficientScope: {
		status: http.StatusForbidden, title: "You may not do this",
		next: "Ask an administrator for access.",
	},
	fault.Forbidden: {
		status: http.StatusForbidden, title: "This was not sent from our page",
		next: "Open the page anew and send it from there. If that does not help, update your browser.",
	},
	fault.NotFound: {
		status: http.StatusNotFound, title: "There is nothing here",
		next: "Check the address, or go back to where you came from and start again.",
	},
	fault.ReconnectRequired: {
		status: http.StatusConflict, title: "Please link the account again",
		next: "Go back to where you came from and link the account again.",
	},
	fault.Conflict: {
		status: http.StatusConflict, title: "That does not fit what is there now",
		next: "Load the page again and see what has changed.",
	},
	fault.Revoked: {
		status: http.StatusGone, title: "This connection was revoked",
		next: "Go back to where you came from and link the account again.",
	},
	fault.RateLimited: {
		status: http.StatusTooManyRequests, title: "Too many tries",
		next: "Wait a little and try again.",
	},
	fault.ProviderRejected: {
		status: http.StatusBadGateway, title: "The other service said no",
		next: "Tell whoever runs this service; it may not be set up right.",
	},
	fault.ProviderUnavailable: {
		status: http.StatusServiceUnavailable, title: "The other service does not answer",
		next: tryAgain,
	},
	fault.Unavailable: {
		status: http.StatusServiceUnavailable, title: "We are not ready for this just now",
		next: tryAgain,
	},
}

// answerFor decides what is shown of err: the words of a fault, a fixed
// sentence for echo's own refusals, and for anything else nothing but the fact.
func answerFor(err error) answer {
	if f, ok := fault.As(err); ok {
		return answerForFault(f)
	}
	if se, ok := errors.AsType[*statusError](err); ok {
		a := answers[fault.Malformed]
		a.status, a.code, a.detail = se.status, se.code, se.detail
		return a
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return answerForFault(tooLarge(err))
	}
	if he, ok := errors.AsType[*echo.HTTPError](err); ok {
		return answerForStatus(he.Code)
	}
	return answerForFault(&fault.Error{Kind: fault.Internal})
}

func answerForFault(f *fault.Error) answer {
	kind := f.Kind
	if kind < 0 || int(kind) >= len(answers) {
		kind = fault.Internal
	}
	a := answers[kind]
	a.code = kind.Code()
	a.retryAfter = f.RetryAfter
	if kind != fault.Internal {
		a.detail, a.fields = f.Message, f.Fields
	}
	return a
}

// answerForStatus is for statuses that echo decides on. Its messages may quote
// the request, so they stay inside.
func answerForStatus(status int) answer {
	with := func(kind fault.Kind, code, detail string) answer {
		a := answerForFault(&fault.Error{Kind: kind, Message: detail})
		a.status = status
		if code != "" {
			a.code = code
		}
		return a
	}
	switch {
	case status == http.StatusNotFound:
		return with(fault.NotFound, "", "There is nothing at this address.")
	case status == http.StatusMethodNotAllowed:
		return with(fault.Malformed, "method_not_allowed", "This address does not take this method.")
	case status == http.StatusRequestEntityTooLarge:
		return answerForFault(tooLarge(nil))
	case status == http.StatusUnsupportedMediaType:
		return with(fault.Malformed, "unsupported_media_type", "This address does not take this content type.")
	case status == http.StatusUnauthorized:
		return with(fault.Unauthenticated, "", "Authentication is required.")
	case status == http.StatusForbidden:
		return with(fault.Forbidden, "", "This is not allowed.")
	case status == http.StatusTooManyRequests:
		return with(fault.RateLimited, "", "Too many requests.")
	case status == http.StatusServiceUnavailable:
		return with(fault.Unavailable, "", "Not available just now.")
	case status >= 400 && status < 500:
		return with(fault.Malformed, "", "The request could not be understood.")
	}
	return answerForFault(&fault.Error{Kind: fault.Internal})
}

func tooLarge(err error) *fault.Error {
	return fault.Wrap(err, fault.TooLarge, "The request body is too large.")
}

// statusError is a refusal whose status no fault kind has.
type statusError struct {
	status       int
	code, detail string
}

func (e *statusError) Error() string { return e.detail }

func unsupportedMediaType(want string) error {
	return &statusError{http.StatusUnsupportedMediaType, "unsupported_media_type", "The content type must be " + want + "."}
}
