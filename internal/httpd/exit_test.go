package httpd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
)

// Each scenario is one error on its way out, by both doors: as a problem
// document under /v1 and as a page elsewhere.
func TestErrorExit(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial tcp 10.0.0.7:5432: refused")
	tests := []struct {
		name   string
		err    error
		status int
		code   string
		header map[string]string // of the problem document
		wanted []string          // on both
		never  []string          // on both, besides the planted secret
		logged []string
	}{
		{name: "malformed", err: fault.New(fault.Malformed, "Broken."), status: 400, code: "invalid_request", wanted: []string{"Broken."}},
		{
			name: "invalid fields", err: fault.InvalidField("/end_user/id", "must not be empty"), status: 422, code: "invalid_request",
			wanted: []string{"/end_user/id", "must not be empty"},
		},
		{name: "too large", err: fault.New(fault.TooLarge, "Too big."), status: 413, code: "invalid_request"},
		{
			name: "unauthenticated", err: fault.New(fault.Unauthenticated, "No."), status: 401, code: "unauthenticated",
			header: map[string]string{"WWW-Authenticate": `Bearer realm="claviger"`},
		},
		{
			name: "insufficient scope", err: fault.New(fault.InsufficientScope, "This needs audit:read."), status: 403, code: "insufficient_scope",
			header: map[string]string{"WWW-Authenticate": `Bearer realm="claviger", error="insufficient_scope"`}, wanted: []string{"audit:read"},
		},
		{name: "forbidden", err: fault.New(fault.Forbidden, "No."), status: 403, code: "forbidden", header: map[string]string{"WWW-Authenticate": ""}},
		{name: "not found", err: fault.New(fault.NotFound, "No."), status: 404, code: "not_found"},
		{name: "reconnect", err: fault.New(fault.ReconnectRequired, "No."), status: 409, code: "reconnect_required"},
		{name: "conflict", err: fault.New(fault.Conflict, "No."), status: 409, code: "conflict"},
		{name: "revoked", err: fault.New(fault.Revoked, "No."), status: 410, code: "revoked"},
		{
			name: "rate limited", err: fault.New(fault.RateLimited, "Slow down.").After(1500 * time.Millisecond), status: 429, code: "rate_limited",
			header: map[string]string{"Retry-After": "2"},
		},
		{name: "provider rejected", err: fault.New(fault.ProviderRejected, "No."), status: 502, code: "provider_rejected"},
		{
			name: "provider down", err: fault.New(fault.ProviderUnavailable, "No.").After(30 * time.Second), status: 503, code: "provider_unavailable",
			header: map[string]string{"Retry-After": "30"},
		},
		{
			name: "unavailable keeps its cause inside", err: fault.Wrap(cause, fault.Unavailable, "Not now."), status: 503, code: "unavailable",
			wanted: []string{"Not now."}, never: []string{"10.0.0.7", "refused"}, logged: []string{"10.0.0.7:5432: refused"},
		},
		{
			name: "a wrapped fault is found", err: fmt.Errorf("reading connection: %w", fault.New(fault.NotFound, "Gone.")), status: 404, code: "not_found",
			wanted: []string{"Gone."}, never: []string{"reading connection"},
		},
		{
			name: "an internal fault shows none of its words", err: fault.Wrap(cause, fault.Internal, "row 7 is broken"), status: 500, code: "internal",
			wanted: []string{"Something went wrong"}, never: []string{"row 7", "10.0.0.7"}, logged: []string{"row 7 is broken"},
		},
		{name: "a kind from the future", err: fault.New(fault.Kind(99), "No."), status: 500, code: "internal", never: []string{"No."}},
		{
			name: "any other error", err: cause, status: 500, code: "internal", wanted: []string{"Something went wrong"}, never: []string{"10.0.0.7"},
			logged: []string{`"level":"ERROR"`, "10.0.0.7:5432: refused"},
		},
		{name: "echo's error keeps its message", err: echo.NewHTTPError(500, planted), status: 500, code: "internal"},
		{name: "echo's 404, wrapped", err: fmt.Errorf("routing: %w", echo.ErrNotFound), status: 404, code: "not_found"},
		{name: "echo's 413", err: echo.ErrStatusRequestEntityTooLarge, status: 413, code: "invalid_request"},
		{name: "echo's 415", err: echo.ErrUnsupportedMediaType, status: 415, code: "unsupported_media_type"},
		{name: "echo's 400 with the input in it", err: echo.NewHTTPError(400, "invalid character in "+planted), status: 400, code: "invalid_request"},
		{name: "a body over the limit", err: &http.MaxBytesError{Limit: 1}, status: 413, code: "invalid_request"},
		{
			name: "a URL error in the log has no query", status: 503, code: "provider_unavailable", logged: []string{"https://login.example.com", "timeout"},
			err: fault.Wrap(&url.Error{Op: "Get", URL: "https://login.example.com/cb?code=" + planted, Err: errors.New("timeout")}, fault.ProviderUnavailable, "No answer."),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, log := newShell(t, httpd.Config{})
			fail := func(echo.Context) error { return tt.err }
			e.GET("/v1/things/:id", fail)
			e.GET("/connect/:token", fail)

			api := do(e, "GET", "/v1/things/"+planted+"?token="+planted, "", "Accept: text/html", "X-Request-Id: "+planted)
			var p struct {
				Type      string `json:"type"`
				Title     string `json:"title"`
				Detail    string `json:"detail"`
				Code      string `json:"code"`
				Status    int    `json:"status"`
				RequestID string `json:"request_id"`
			}
			if err := json.Unmarshal(api.Body.Bytes(), &p); err != nil {
				t.Fatalf("%v: %s", err, api.Body)
			}
			if api.Code != tt.status || p.Status != tt.status || p.Code != tt.code {
				t.Errorf("answer %d, document %d %q, want %d %q", api.Code, p.Status, p.Code, tt.status, tt.code)
			}
			if p.Type != "about:blank" || p.Title != http.StatusText(tt.status) || p.Detail == "" {
				t.Errorf("document = %+v", p)
			}
			if got := api.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type = %q", got)
			}
			if p.RequestID == "" || p.RequestID != api.Header().Get("X-Request-Id") {
				t.Errorf("request id %q in the document, %q in the header", p.RequestID, api.Header().Get("X-Request-Id"))
			}
			for name, want := range tt.header {
				if got := api.Header().Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}

			page := do(e, "GET", "/connect/"+planted+"?token="+planted, "", "Accept: text/html,*/*")
			if page.Code != tt.status || !strings.HasPrefix(page.Header().Get("Content-Type"), "text/html") {
				t.Errorf("page: %d %s", page.Code, page.Header().Get("Content-Type"))
			}
			if page.Header().Get("WWW-Authenticate") != "" {
				t.Error("a page makes the browser ask for a password")
			}
			never := append([]string{planted}, tt.never...)
			contains(t, "document", api.Body.String(), tt.wanted, never)
			contains(t, "page", page.Body.String(),
				append([]string{"<h1>", page.Header().Get("X-Request-Id")}, tt.wanted...), never)
			contains(t, "log", log.String(), append([]string{
				`"route":"/v1/things/:id"`, `"route":"/connect/:token"`,
				`"request_id":"` + p.RequestID + `"`, `"outcome":"` + tt.code + `"`, fmt.Sprintf(`"status":%d`, tt.status),
			}, tt.logged...), logUnwanted(tt.err))
			if n := strings.Count(log.String(), "\n"); n != 2 {
				t.Errorf("%d log records for two requests:\n%s", n, log)
			}
		})
	}
}

// logUnwanted is the planted secret, unless the error itself was made of it:
// what a program writes into its own error is logged.
func logUnwanted(err error) []string {
	if _, ok := errors.AsType[*echo.HTTPError](err); ok {
		return nil
	}
	return []string{planted}
}

func TestErrorsOfTheRouter(t *testing.T) {
	t.Parallel()
	e, log := newShell(t, httpd.Config{})
	ok := func(c echo.Context) error { return c.String(200, "ok") }
	g := e.Group("/v1", httpd.BodyLimit(100))
	g.POST("/things", ok)
	e.GET("/connect/:token", ok)

	tests := []struct {
		method, path, accept string
		status               int
		contentType, code    string
	}{
		{"GET", "/v1/" + planted, "", 404, "application/problem+json", "not_found"},
		{"GET", "/v1", "", 404, "application/problem+json", "not_found"},
		{"GET", "/v1/things", "", 405, "application/problem+json", "method_not_allowed"},
		{planted, "/v1/things", "", 405, "application/problem+json", "method_not_allowed"},
		{"GET", "/" + planted, "text/html", 404, "text/html; charset=UTF-8", "There is nothing here"},
		{"GET", "/" + planted, "application/json", 404, "application/problem+json", "not_found"},
		{"POST", "/connect/x", "", 405, "text/html; charset=UTF-8", "<h1>"},
		{"GET", "/v1things", "", 404, "text/html; charset=UTF-8", "<h1>"},
	}
	for _, tt := range tests {
		w := do(e, tt.method, tt.path, "", "Accept: "+tt.accept)
		if w.Code != tt.status || w.Header().Get("Content-Type") != tt.contentType {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, w.Code, w.Header().Get("Content-Type"))
		}
		contains(t, tt.path, w.Body.String(), []string{tt.code}, []string{planted})
		if tt.status == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", tt.method, tt.path)
		}
	}
	contains(t, "log", log.String(), []string{`"method":"other"`}, []string{planted})
}

func TestPanic(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		value  any
		logged string
	}{
		{"a string", "cannot decode " + planted, "panic with a string"},
		{"an error", fmt.Errorf("cannot decode %s", planted), "panic with a *fmt.wrapError"},
		{"a runtime error", nil, "index out of range [3] with length 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, log := newShell(t, httpd.Config{})
			e.POST("/v1/x", func(c echo.Context) error {
				if tt.value != nil {
					panic(tt.value)
				}
				return c.String(200, strings.Split("a", ",")[3])
			})
			w := do(e, "POST", "/v1/x?"+planted, planted)
			if w.Code != 500 {
				t.Errorf("status = %d", w.Code)
			}
			contains(t, "answer", w.Body.String(), []string{`"code":"internal"`}, []string{planted, "panic", "goroutine"})
			want := strings.Replace(tt.logged, "*fmt.wrapError", fmt.Sprintf("%T", tt.value), 1)
			contains(t, "log", log.String(), []string{want, `"level":"ERROR"`, "exit_test.go"}, []string{planted})
		})
	}
}

// A panic in the middle of an answer must not look like the end of one.
func TestPanicAfterTheFirstByteCutsTheConnection(t *testing.T) {
	t.Parallel()
	e, log := newShell(t, httpd.Config{})
	e.GET("/v1/x", func(c echo.Context) error {
		c.Response().WriteHeader(200)
		_, _ = io.WriteString(c.Response(), "half of an ")
		c.Response().Flush()
		panic("too early")
	})
	srv := httptest.NewServer(e)
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL + "/v1/x")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(bufio.NewReader(res.Body)); err == nil {
		t.Errorf("read a whole answer: %q", b)
	} else if string(b) != "half of an " {
		t.Errorf("something was added to the half answer: %q", b)
	}
	contains(t, "log", log.String(), []string{"panic with a string"}, []string{"too early"})
}

func TestErrorAfterTheAnswerAddsNothing(t *testing.T) {
	t.Parallel()
	e, log := newShell(t, httpd.Config{})
	e.GET("/v1/x", func(c echo.Context) error {
		if err := c.String(200, "done"); err != nil {
			return err
		}
		return errors.New("closing cursor")
	})
	w := do(e, "GET", "/v1/x", "")
	if w.Code != 200 || w.Body.String() != "done" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	contains(t, "log", log.String(), []string{"closing cursor", `"status":200`}, nil)
}

func TestClientThatLeavesIsNoError(t *testing.T) {
	t.Parallel()
	e, log := newShell(t, httpd.Config{})
	e.GET("/v1/x", func(c echo.Context) error {
		return fault.Wrap(c.Request().Context().Err(), fault.Unavailable, "No database.")
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := serve(e, newRequest("GET", "/v1/x").WithContext(ctx))
	if w.Body.Len() != 0 {
		t.Errorf("wrote %q to nobody", w.Body)
	}
	contains(t, "log", log.String(), []string{`"status":499`, `"level":"INFO"`, "client_closed"}, []string{"WARN", "ERROR"})
}

// A canceled call of our own while the client still waits is our fault.
func TestCanceledCallOfOurOwnIsAnError(t *testing.T) {
	t.Parallel()
	e, _ := newShell(t, httpd.Config{})
	e.GET("/v1/x", func(echo.Context) error { return context.Canceled })
	if w := do(e, "GET", "/v1/x", ""); w.Code != 500 {
		t.Errorf("status = %d", w.Code)
	}
}

func TestBrokenErrorPageFallsBackToText(t *testing.T) {
	t.Parallel()
	e, log := newShell(t, httpd.Config{Templates: withPages(t, map[string]string{
		"error.html": `{{define "title"}}x{{end}}{{define "content"}}half a page {{.Page.NoSuchField}}{{end}}`,
	})})
	e.GET("/x", func(echo.Context) error { return fault.New(fault.NotFound, "Gone.") })
	w := do(e, "GET", "/x", "")
	want := "There is nothing here\n\nReference: " + w.Header().Get("X-Request-Id") + "\n"
	if diff := cmp.Diff(want, w.Body.String()); diff != "" || w.Code != 404 {
		t.Errorf("status %d (-want +got):\n%s", w.Code, diff)
	}
	contains(t, "log", log.String(), []string{"answer_error", "NoSuchField"}, nil)
}

func TestHeadIsAnsweredAsGet(t *testing.T) {
	t.Parallel()
	e, log := newShell(t, httpd.Config{})
	g := e.Group("/connect", httpd.BodyLimit(10))
	g.GET("/:token", func(c echo.Context) error {
		c.Response().Header().Set("X-Token", c.Param("token"))
		return c.String(200, "page")
	})
	g.POST("/only", func(echo.Context) error { return nil })
	srv := httptest.NewServer(e)
	defer srv.Close()

	res, err := srv.Client().Head(srv.URL + "/connect/abc")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("X-Token") != "abc" || res.Header.Get("Allow") != "" {
		t.Errorf("HEAD: %d %v", res.StatusCode, res.Header)
	}
	contains(t, "log", log.String(), []string{`"method":"HEAD","route":"/connect/:token","status":200`}, nil)
}
