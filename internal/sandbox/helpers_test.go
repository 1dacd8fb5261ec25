package sandbox_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

// clock is a clock that tests push on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func start(t *testing.T, cfg sandbox.Config) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// client does not follow redirects and keeps no connections.
func client(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("answer %q: %v", a.body, err)
	}
	return m
}

type option func(*http.Request)

func basic(user, pass string) option {
	return func(r *http.Request) { r.SetBasicAuth(user, pass) }
}

func header(name, value string) option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

var (
	asJSON = header("Content-Type", "application/json")
	asForm = header("Content-Type", "application/x-www-form-urlencoded")
)

// try sends a request and reads the answer.
func try(t *testing.T, c *http.Client, method, url, body string, opts ...option) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range opts {
		o(req)
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp, string(b)}, err
}

func send(t *testing.T, c *http.Client, method, url, body string, opts ...option) answer {
	t.Helper()
	a, err := try(t, c, method, url, body, opts...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

func wantStatus(t *testing.T, a answer, status int) {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d; body %q", a.StatusCode, status, a.body)
	}
}

func post(t *testing.T, c *http.Client, url string, form url.Values, opts ...option) answer {
	t.Helper()
	return send(t, c, http.MethodPost, url, form.Encode(), append(opts, asForm)...)
}

const redirectURI = "http://127.0.0.1:8080/connect/callback/int_1"

// verifier and challenge are the pair of RFC 7636 appendix B.
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// authorizeParams is an authorize request in order.
func authorizeParams() url.Values {
	return url.Values{
		"client_id":             {sandbox.DemoClientID},
		"scope":                 {"openid offline_access tlp"},
		"response_type":         {"code id_token"},
		"redirect_uri":          {redirectURI},
		"nonce":                 {"nonce-of-the-attempt"},
		"state":                 {"state-of-the-attempt"},
		"code_challenge":        {challenge},
		"code_challenge_method": {"S256"},
	}
}

// flow drives TimeLog's hybrid flow as a client would.
type flow struct {
	t  *testing.T
	tl *sandbox.TimeLog
	c  *http.Client
}

func newFlow(t *testing.T, tl *sandbox.TimeLog) *flow {
	t.Helper()
	tl.Set(func(s *sandbox.TimeLogSettings) { s.AutoApprove = sandbox.AdaEmail })
	return &flow{t, tl, client(t)}
}

// authorize gives the parameters of the fragment reply.
func (f *flow) authorize(p url.Values) url.Values {
	f.t.Helper()
	a := send(f.t, f.c, http.MethodGet, f.tl.URL()+"/connect/authorize?"+p.Encode(), "")
	wantStatus(f.t, a, http.StatusFound)
	u, err := url.Parse(a.Header.Get("Location"))
	if err != nil {
		f.t.Fatal(err)
	}
	q, err := url.ParseQuery(u.EscapedFragment())
	if err != nil {
		f.t.Fatal(err)
	}
	return q
}

func exchangeForm(code string) url.Values {
	return url.Values{
		"grant_type":    {"authorization_code"},
		"client_id":     {sandbox.DemoClientID},
		"client_secret": {sandbox.DemoClientSecret},
		"code":          {code},
		"redirect_uri":  {redirectURI},
		"code_verifier": {verifier},
	}
}

func refreshForm(token string) url.Values {
	return url.Values{
		"grant_type":    {"refresh_token"},
		"client_id":     {sandbox.DemoClientID},
		"client_secret": {sandbox.DemoClientSecret},
		"refresh_token": {token},
		"redirect_uri":  {redirectURI},
	}
}

func (f *flow) token(form url.Values) answer {
	f.t.Helper()
	return post(f.t, f.c, f.tl.URL()+"/connect/token", form)
}

// link runs the whole flow and gives the token answer's members.
func (f *flow) link() map[string]any {
	f.t.Helper()
	a := f.token(exchangeForm(f.authorize(authorizeParams()).Get("code")))
	wantStatus(f.t, a, http.StatusOK)
	return a.json(f.t)
}

func text(t *testing.T, m map[string]any, name string) string {
	t.Helper()
	s, ok := m[name].(string)
	if !ok || s == "" {
		t.Fatalf("no text in member %q of %v", name, m)
	}
	return s
}

// logBuffer keeps what is logged, by requests at any time.
type logBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// debugLog writes everything that is logged to w.
func debugLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// waitIdle waits for the service's side of connections that were cut.
func waitIdle(t *testing.T, tl *sandbox.TimeLog) {
	t.Helper()
	if err := tl.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
}
