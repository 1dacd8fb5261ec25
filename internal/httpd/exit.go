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
