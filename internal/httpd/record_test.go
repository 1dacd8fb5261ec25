package httpd_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
)

func TestRecord(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e, log := newShell(t, httpd.Config{Now: func() time.Time { now = now.Add(1500 * time.Microsecond); return now }})
	e.GET("/v1/connections/:id/headers", func(c echo.Context) error {
		rec := httpd.RecordOf(c.Request().Context())
		rec.SetActor("key_1")
		rec.SetEnvironment("production")
		rec.SetConnection("con_1")
		rec.SetOutcome("refreshed")
		rec.Add(slog.Int("generation", 7))
		return c.String(200, "12345")
	})
	w := do(e, "GET", "/v1/connections/"+planted+"/headers?min_ttl="+planted, "", "Authorization: Bearer "+planted, "User-Agent: "+planted)

	var got map[string]any
	if err := json.Unmarshal([]byte(log.String()), &got); err != nil {
		t.Fatalf("%v: %s", err, log)
	}
	delete(got, "time")
	want := map[string]any{
		"level": "INFO", "msg": "request", "method": "GET", "route": "/v1/connections/:id/headers", "status": 200.0,
		"bytes": 5.0, "ms": 1.5, "request_id": w.Header().Get("X-Request-Id"), "remote_ip": "192.0.2.1",
		"actor": "key_1", "environment": "production", "connection_id": "con_1", "outcome": "refreshed", "generation": 7.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRequestIDsDiffer(t *testing.T) {
	t.Parallel()
	e, _ := newShell(t, httpd.Config{})
	seen := make(map[string]bool)
	for range 100 {
		seen[do(e, "GET", "/healthz", "", "X-Request-Id: mine").Header().Get("X-Request-Id")] = true
	}
	if len(seen) != 100 || seen["mine"] || seen[""] {
		t.Errorf("%d different ids in 100 requests", len(seen))
	}
}

// Outside of a request there is no record, and nobody has to ask.
func TestNoRecord(t *testing.T) {
	t.Parallel()
	rec := httpd.RecordOf(t.Context())
	rec.SetActor("x")
	rec.SetEnvironment("x")
	rec.SetConnection("x")
	rec.SetOutcome("x")
	rec.Add(slog.Int("x", 1))
	if rec != nil || httpd.RequestID(t.Context()) != "" {
		t.Error("a record out of nowhere")
	}
}

// The record must not hide what the request's context already carries.
func TestRecordKeepsTheContext(t *testing.T) {
	t.Parallel()
	e, _ := newShell(t, httpd.Config{})
	canceled := make(chan struct{})
	e.GET("/x", func(c echo.Context) error {
		<-c.Request().Context().Done()
		close(canceled)
		return c.Request().Context().Err()
	})
	r := newRequest("GET", "/x")
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	serve(e, r.WithContext(ctx))
	<-canceled
}

// nowhere is a log that is written, but to nobody; io.Discard would not even be
// formatted for.
type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

// nopWriter is the cheapest http.ResponseWriter, so that what is measured is
// the shell.
type nopWriter http.Header

func (w nopWriter) Header() http.Header         { return http.Header(w) }
func (w nopWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w nopWriter) WriteHeader(int)             {}

func BenchmarkShell(b *testing.B) {
	e, err := httpd.New(httpd.Config{
		Log:       slog.New(slog.NewJSONHandler(nowhere{}, nil)),
		PublicURL: &url.URL{Scheme: "https", Host: "auth.example.com"},
	})
	if err != nil {
		b.Fatal(err)
	}
	e.GET("/v1/connections/:id/headers", func(c echo.Context) error {
		httpd.RecordOf(c.Request().Context()).SetActor("key_1")
		return c.NoContent(204)
	})
	r := newRequest("GET", "/v1/connections/con_1/headers")
	w := nopWriter{}
	b.ReportAllocs()
	for b.Loop() {
		clear(w)
		e.ServeHTTP(w, r)
	}
}
