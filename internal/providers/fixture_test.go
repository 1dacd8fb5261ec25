package providers_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
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

// logBook is a log that tests can read.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// world is a service and the sandbox that it talks to.
type world struct {
	*providers.Service
	sandbox *sandbox.Sandbox
	clock   *clock
	log     *logBook
}

const publicURL = "https://claviger.example/sub"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clock: newClock(), log: &logBook{}}
	s, err := sandbox.Start(t.Context(), sandbox.Config{
		Now: w.clock.Now,
		Clients: []sandbox.Client{{
			ID: sandbox.DemoClientID, Secret: sandbox.DemoClientSecret,
			RedirectURIs: []string{publicURL + "/connect/callback/int_timelog"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.sandbox = s
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the sandbox: %v", err)
		}
		// Whatever a test did, nothing that opens an account is in the log.
		for _, secret := range s.Secrets() {
			if secret != "" && strings.Contains(w.log.String(), secret) {
				t.Errorf("the log holds the secret %.8s…", secret)
			}
		}
	})
	w.Service = newService(t, w, nil)
	return w
}

func newService(t *testing.T, w *world, change func(*outbound.Config)) *providers.Service {
	t.Helper()
	catalog, err := providers.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg := outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: log}
	if change != nil {
		change(&cfg)
	}
	client := outbound.New(cfg)
	t.Cleanup(client.Close)
	return providers.New(providers.Config{Catalog: catalog, HTTP: client, PublicURL: mustURL(t, publicURL), Now: w.clock.Now, Log: log})
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (w *world) toggl() vault.Integration {
	u := w.sandbox.Toggl().URL()
	return vault.Integration{ID: "int_toggl", Provider: "toggl", Overrides: vault.Overrides{BaseURL: u, SessionURL: u + "/api/sessions"}}
}

func (w *world) clickTime() vault.Integration {
	return vault.Integration{ID: "int_clicktime", Provider: "clicktime", Overrides: vault.Overrides{BaseURL: w.sandbox.ClickTime().URL() + "/v2"}}
}

func (w *world) timeLog() vault.Integration {
	u, _ := url.Parse(w.sandbox.TimeLog().Issuer())
	return vault.Integration{
		ID: "int_timelog", Provider: "timelog",
		ClientID: sandbox.DemoClientID, ClientSecret: vault.NewSecret(sandbox.DemoClientSecret),
		Overrides: vault.Overrides{Issuer: u.String(), AllowedHosts: []string{u.Host}},
	}
}

// form is a credential from names and values in turn.
func form(pairs ...string) vault.Credential {
	c := vault.Credential{}
	for i := 0; i < len(pairs); i += 2 {
		c[pairs[i]] = vault.NewSecret(pairs[i+1])
	}
	return c
}

// headers are those of a grant as plain text.
func headers(g vault.Grant) map[string]string {
	m := map[string]string{}
	for _, h := range g.Headers {
		m[h.Name] = h.Value.Reveal()
	}
	return m
}

// connection is what the vault would make of a grant.
func connection(in vault.Integration, method string, g vault.Grant) vault.Connection {
	return vault.Connection{
		ID: "con_1", IntegrationID: in.ID, Provider: in.Provider, Method: method, Status: vault.StatusActive,
		Generation: 1, Account: g.Account, BaseURL: g.BaseURL, Scopes: g.Scopes,
		ExpiresAt: g.ExpiresAt, RefreshExpiresAt: g.RefreshExpiresAt, Renewable: g.Renewable,
	}
}

// wantFields checks the pointers of an invalid request.
func wantFields(t *testing.T, err error, pointers ...string) {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Kind != fault.Invalid {
		t.Fatalf("got %v, want an invalid request", err)
	}
	var got []string
	for _, field := range f.Fields {
		got = append(got, field.Pointer)
		if field.Detail == "" {
			t.Errorf("%s: no detail", field.Pointer)
		}
	}
	if strings.Join(got, " ") != strings.Join(pointers, " ") {
		t.Fatalf("pointers %q, want %q: %v", got, pointers, err)
	}
}

func wantKind(t *testing.T, err error, kind fault.Kind) *fault.Error {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Kind != kind {
		t.Fatalf("got %v, want kind %s", err, kind.Code())
	}
	return f
}

// refresh does both steps and fails the test if one fails.
func (w *world) refresh(ctx context.Context, t *testing.T, in vault.Integration, conn vault.Connection, cred vault.Credential) vault.Grant {
	t.Helper()
	r, err := w.Refresh(ctx, in, conn, cred)
	if err != nil {
		t.Fatal(err)
	}
	g, err := r.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
