package httpd_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/httpd"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var broken atomic.Bool
	calls := 0
	e, log := newShell(t, httpd.Config{
		Now: func() time.Time { return now },
		Checks: []httpd.Check{
			{Name: "keyset", Func: func(context.Context) error { return nil }},
			{Name: "database", Func: func(ctx context.Context) error {
				calls++
				if _, ok := ctx.Deadline(); !ok {
					t.Error("a check without a deadline")
				}
				if broken.Load() {
					return errors.New("dial tcp 10.0.0.7:5432: refused")
				}
				return nil
			}},
		},
	})
	expect := func(path string, status int, body string) {
		t.Helper()
		w := do(e, "GET", path, "")
		if w.Code != status || w.Body.String() != body+"\n" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s %v", path, w.Code, w.Body, w.Header())
		}
	}
	good := `{"status":"ok","checks":[{"name":"keyset","status":"ok"},{"name":"database","status":"ok"}]}`
	bad := `{"status":"unavailable","checks":[{"name":"keyset","status":"ok"},{"name":"database","status":"failing"}]}`

	expect("/readyz", 200, good)
	broken.Store(true)
	expect("/readyz", 200, good) // a second has not passed
	if calls != 1 {
		t.Errorf("%d checks for two probes in one second", calls)
	}
	now = now.Add(time.Second)
	expect("/readyz", 503, bad)
	expect("/healthz", 200, `{"status":"ok"}`)
	broken.Store(false)
	now = now.Add(time.Second)
	expect("/readyz", 200, good)
	contains(t, "log", log.String(), []string{`"check":"database"`, "10.0.0.7"}, nil)
}

// The answer is shared, so one prober hanging up must not make it a bad one.
func TestReadyOutlivesTheProber(t *testing.T) {
	t.Parallel()
	e, _ := newShell(t, httpd.Config{Checks: []httpd.Check{{Name: "database", Func: func(ctx context.Context) error { return ctx.Err() }}}})
	r := newRequest("GET", "/readyz")
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	if w := serve(e, r.WithContext(ctx)); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
