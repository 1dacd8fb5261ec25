package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

func meURL(s *sandbox.Sandbox) string { return s.Toggl().URL() + "/api/v9/me" }

var byToken = basic(sandbox.TogglAdaToken, "api_token")

func TestFaultsThatAnswer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		fault      sandbox.Fault
		status     int
		head, want string
		body       string // a part of it
	}{
		{"status", sandbox.Status(503), 503, "", "", "Service Unavailable"},
		{"too many requests", sandbox.TooManyRequests(90 * time.Second), 429, "Retry-After", "90", ""},
		{"redirect", sandbox.Redirect(307, "http://127.0.0.1:1/elsewhere"), 307, "Location", "http://127.0.0.1:1/elsewhere", ""},
		{"not JSON", sandbox.NotJSON(), 200, "Content-Type", "text/html; charset=utf-8", "<!doctype html>"},
		{"own", sandbox.Respond(418, http.Header{"X-Tea": {"1"}}, "short and stout"), 418, "X-Tea", "1", "short and stout"},
		{"slow", sandbox.Slow(time.Millisecond), 200, "", "", "api_token"},
		{"late", sandbox.Late(time.Millisecond), 200, "", "", "api_token"},
		{"trickle", sandbox.Trickle(0), 200, "", "", "api_token"},
		{"rewritten", sandbox.Rewrite(func(a *sandbox.Answer) {
			a.Status, a.Body = 202, []byte(strings.ToUpper(string(a.Body)))
			a.Header.Set("X-Was", "rewritten")
		}), 202, "X-Was", "rewritten", "API_TOKEN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, sandbox.Config{})
			s.Toggl().Faults().Next(sandbox.TogglMe, 1, tt.fault)
			a := send(t, client(t), http.MethodGet, meURL(s), "", byToken)
			wantStatus(t, a, tt.status)
			if !strings.Contains(a.body, tt.body) || (tt.head != "" && a.Header.Get(tt.head) != tt.want) {
				t.Errorf("answer %v %q", a.Header, a.body)
			}
			if n := s.Toggl().Faults().Pending(sandbox.Any); n != 0 {
				t.Errorf("%d faults pending", n)
			}
			wantStatus(t, send(t, client(t), http.MethodGet, meURL(s), "", byToken), http.StatusOK)
		})
	}
}

func TestOversizedIsStillTheAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	s.Toggl().Faults().Next(sandbox.TogglMe, 1, sandbox.Oversized(2<<20))
	a := send(t, client(t), http.MethodGet, meURL(s), "", byToken)
	if len(a.body) < 2<<20 || !json.Valid([]byte(a.body)) {
		t.Errorf("%d bytes, valid JSON %v", len(a.body), json.Valid([]byte(a.body)))
	}
}

func TestFaultsThatCutTheConnection(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault sandbox.Fault
		half  bool // a part of the answer arrives
	}{
		{"drop", sandbox.Drop(), false},
		{"cut", sandbox.Cut(), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, sandbox.Config{})
			s.Toggl().Faults().Next(sandbox.TogglMe, 2, tt.fault) // the GET may be tried twice by net/http
			a, err := try(t, client(t), http.MethodGet, meURL(s), "", byToken)
			if err == nil {
				t.Fatalf("answered %q", a.body)
			}
			if got := strings.Contains(a.body, `"`); got != tt.half {
				t.Errorf("body %q", a.body)
			}
		})
	}
}

func TestDoneFaultStrikesAfterTheWork(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	reset := s.Toggl().URL() + "/api/v9/me/reset_token"
	s.Toggl().Faults().Next(sandbox.TogglResetToken, 1, sandbox.Status(500))
	wantStatus(t, send(t, client(t), http.MethodPost, reset, "", byToken), 500)
	wantStatus(t, send(t, client(t), http.MethodGet, meURL(s), "", byToken), 200)
	s.Toggl().Faults().Next(sandbox.TogglResetToken, 1, sandbox.Done(sandbox.Status(500)))
	wantStatus(t, send(t, client(t), http.MethodPost, reset, "", byToken), 500)
	wantStatus(t, send(t, client(t), http.MethodGet, meURL(s), "", byToken), 403)
}

// A call that hangs is seen, is released, or ends when its client goes away.
func TestHangAndWithhold(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault func(<-chan struct{}) sandbox.Fault
		done  bool // the work is done although the client went away
	}{
		{"hang", sandbox.Hang, false},
		{"withhold", sandbox.Withhold, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, sandbox.Config{})
			reset := s.Toggl().URL() + "/api/v9/me/reset_token"
			release := make(chan struct{})
			s.Toggl().Faults().Next(sandbox.TogglMe, 1, tt.fault(release))
			status := make(chan int)
			go func() { status <- send(t, client(t), http.MethodGet, meURL(s), "", byToken).StatusCode }()
			if err := s.Toggl().WaitCount(t.Context(), sandbox.TogglMe, 1); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-status:
				t.Fatalf("answered %d before the release", got)
			default:
			}
			close(release)
			if got := <-status; got != http.StatusOK {
				t.Errorf("status %d after the release", got)
			}

			s.Toggl().Faults().Next(sandbox.TogglResetToken, 1, tt.fault(nil))
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, reset, nil)
			if err != nil {
				t.Fatal(err)
			}
			byToken(req)
			gone := make(chan error)
			go func() {
				resp, err := client(t).Do(req)
				if err == nil {
					resp.Body.Close()
				}
				gone <- err
			}()
			if err := s.Toggl().WaitCount(t.Context(), sandbox.TogglResetToken, 1); err != nil {
				t.Fatal(err)
			}
			cancel()
			if err := <-gone; !errors.Is(err, context.Canceled) {
				t.Errorf("hanging call ended with %v", err)
			}
			if err := s.Toggl().WaitIdle(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := http.StatusOK
			if tt.done {
				want = http.StatusForbidden // the token was reset
			}
			wantStatus(t, send(t, client(t), http.MethodGet, meURL(s), "", byToken), want)
		})
	}
}

// Close does not wait for a call that hangs for ever.
func TestCloseEndsHangingCalls(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	s.Toggl().Faults().Always(sandbox.Any, sandbox.Hang(nil))
	ended := make(chan error)
	go func() {
		_, err := try(t, client(t), http.MethodGet, meURL(s), "", byToken)
		ended <- err
	}()
	if err := s.Toggl().WaitCount(t.Context(), sandbox.TogglMe, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the hanging call was answered")
	}
}

func TestFaultsAreUsedInOrder(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	c := client(t)
	f := s.TimeLog().Faults()
	resolve := func() int {
		return send(t, c, http.MethodGet, s.TimeLog().URL()+"/api/ResolveUri", "").StatusCode
	}
	token := func(grant string) int {
		return send(t, c, http.MethodPost, s.TimeLog().URL()+"/connect/token", "grant_type="+grant, asForm).StatusCode
	}
	f.Always(sandbox.Any, sandbox.Status(500))
	f.Always(sandbox.TimeLogToken, sandbox.Status(501))
	f.Next(sandbox.TimeLogRefresh, 2, sandbox.Status(502))
	f.Next(sandbox.TimeLogToken, 1, sandbox.Status(503))
	f.Next(sandbox.TimeLogRefresh, 0, sandbox.Status(504))
	if n := f.Pending(sandbox.TimeLogToken); n != 3 {
		t.Errorf("%d pending, want 3", n)
	}
	steps := []struct {
		got  func() int
		want int
	}{
		{func() int { return token("authorization_code") }, 503}, // the first queued one that covers it
		{func() int { return token("refresh_token") }, 502},
		{func() int { return token("refresh_token") }, 502},
		{func() int { return token("refresh_token") }, 501}, // the newest lasting one
		{resolve, 500},
		{func() int { f.Clear(sandbox.TimeLogToken); return token("refresh_token") }, 500},
		{func() int { f.Clear(sandbox.Any); return resolve() }, 401},
	}
	for i, step := range steps {
		if got := step.got(); got != step.want {
			t.Errorf("step %d: status %d, want %d", i, got, step.want)
		}
	}
}
