package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
)

// statusClientClosed is what the log says where the client left before there
// was an answer. Nobody is there to read it; nginx coined the number.
const statusClientClosed = 499

// exit is the one error exit. It answers unless an answer is under way.
func (s *shell) exit(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	r := c.Request()
	rec := RecordOf(r.Context())
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		rec.setDefaultOutcome("client_closed")
		c.Response().WriteHeader(statusClientClosed)
		return
	}

	a := answerFor(err)
	rec.setDefaultOutcome(a.code)
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store") // also where a static file was asked for
	if a.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(a.retryAfter.Seconds()))))
	}
	var werr error
	if wantsProblem(r) {
		werr = writeProblem(c, a)
	} else {
		werr = writeErrorPage(c, a)
	}
	if werr != nil && rec != nil {
		rec.Add(slog.String("answer_error", logText(werr)))
	}
}

func (r *Record) setDefaultOutcome(code string) {
	if r != nil && r.outcome == "" {
		r.outcome = code
	}
}

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

// wantsProblem decides between the two faces of an error. Under /v1 there are
// no pages, whatever Accept says; elsewhere only who asks for JSON and not for
// HTML gets it.
func wantsProblem(r *http.Request) bool {
	if isAPI(r.URL.Path) {
		return true
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "json") && !strings.Contains(accept, "text/html")
}

func isAPI(path string) bool {
	return strings.HasPrefix(path, "/v1/") || path == "/v1" ||
		path == "/openapi.json" || path == "/healthz" || path == "/readyz"
}

// problem is RFC 9457's document. With type about:blank the title is the
// status phrase (section 4.2.1); code, errors and request_id are ours.
type problem struct {
	Type      string        `json:"type"`
	Title     string        `json:"title"`
	Status    int           `json:"status"`
	Detail    string        `json:"detail,omitempty"`
	Code      string        `json:"code"`
	Errors    []fault.Field `json:"errors,omitempty"`
	RequestID string        `json:"request_id,omitempty"`
}

func writeProblem(c echo.Context, a answer) error {
	switch a.status {
	case http.StatusUnauthorized:
		c.Response().Header().Set("WWW-Authenticate", `Bearer realm="claviger"`)
	case http.StatusForbidden:
		if a.code == fault.InsufficientScope.Code() { // RFC 6750 section 3.1
			c.Response().Header().Set("WWW-Authenticate", `Bearer realm="claviger", error="insufficient_scope"`)
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // nosniff and the content type see to that
	err := enc.Encode(problem{
		Type:      "about:blank",
		Title:     http.StatusText(a.status),
		Status:    a.status,
		Detail:    a.detail,
		Code:      a.code,
		Errors:    a.fields,
		RequestID: RequestID(c.Request().Context()),
	})
	if err != nil {
		return fmt.Errorf("encoding problem document: %w", err)
	}
	return c.Blob(a.status, "application/problem+json", buf.Bytes())
}

// errorPage is the data of error.html.
type errorPage struct {
	Status int
	Title  string
	Detail string
	Next   string
	Fields []fault.Field
}

func writeErrorPage(c echo.Context, a answer) error {
	err := c.Render(a.status, "error", errorPage{
		Status: a.status, Title: a.title, Detail: a.detail, Next: a.next, Fields: a.fields,
	})
	if err == nil || c.Response().Committed {
		return err
	}
	// Not even the error page works. Plain text does.
	text := a.title + "\n\nReference: " + RequestID(c.Request().Context()) + "\n"
	return errors.Join(err, c.String(a.status, text))
}

// maxLogText bounds what one error may add to the log, in bytes.
const maxLogText = 2048

// logText is err for the log. A [url.Error] in its tree quotes the whole URL
// it failed on, and tokens live in queries: only scheme and host stay.
func logText(err error) string {
	text := err.Error()
	if ue, ok := errors.AsType[*url.Error](err); ok && ue.URL != "" {
		at := "[url]"
		if u, perr := url.Parse(ue.URL); perr == nil && u.Host != "" {
			at = u.Scheme + "://" + u.Host
		}
		text = strings.ReplaceAll(text, strings.Trim(strconv.Quote(ue.URL), `"`), at)
		text = strings.ReplaceAll(text, ue.URL, at)
	}
	if len(text) > maxLogText {
		text = strings.ToValidUTF8(text[:maxLogText], "") + " [cut]"
	}
	return text
}
