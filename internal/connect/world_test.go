package connect_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/connect"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// hostApp is the application in these tests, and backTo where its users return.
const (
	hostApp = "Acme Reports"
	backTo  = "https://acme.example/accounts/done?tab=2"
)

// world is a broker with real rooms, a real database and the three services.
type world struct {
	t     testing.TB
	db    *storetest.DB
	vault *vault.Vault
	sand  *sandbox.Sandbox
	url   string
	shell http.Handler
	clock *clock
	log   *lockedBuffer
	env   string
	// pages is all that browsers were ever sent, headers too.
	pages *lockedBuffer
	ids   map[string]string // of integrations, by key
}

// clock is a clock that tests push on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

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

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// setting changes how a world is built.
type setting struct {
	appName string
	https   bool // the public URL is, as behind a proxy that ends TLS
	// failing, where it is there, makes the database refuse to write.
	failing *atomic.Bool
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return worldOn(t, storetest.SQLite(t), setting{appName: hostApp})
}

// worldOn builds a broker on a database.
func worldOn(t testing.TB, db *storetest.DB, set setting) *world {
	t.Helper()
	w := &world{
		t: t, db: db, ids: map[string]string{},
		clock: &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		log:   &lockedBuffer{}, pages: &lockedBuffer{},
	}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if w.sand, err = sandbox.Start(t.Context(), sandbox.Config{Now: w.clock.Now, Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.sand.Close() })

	srv := httptest.NewUnstartedServer(nil)
	public, err := url.Parse("http://" + srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if set.https {
		public.Scheme = "https"
	}
	out := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: log})
	t.Cleanup(out.Close)
	catalog, err := providers.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	service := providers.New(providers.Config{Catalog: catalog, HTTP: out, PublicURL: public, Now: w.clock.Now, Log: log})
	keyset, err := vault.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	var store vault.Store = db.Open(t)
	if set.failing != nil {
		store = failingStore{store, set.failing}
	}
	w.vault = vault.New(vault.Config{
		Store: store, Keyset: keyset, CheckIntegration: service.CheckIntegration, TellProvider: service.Revoke,
		Now: w.clock.Now, Log: log,
	})
	env, err := w.vault.EnsureEnvironment(t.Context(), vault.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	w.env = env.ID

	e, err := httpd.New(httpd.Config{Log: log, PublicURL: public, Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	connect.New(connect.Config{Vault: w.vault, Providers: service, PublicURL: public, AppName: set.appName}).Mount(e)
	w.shell = e
	srv.Config = httpd.NewServer(e, log)
	srv.Start()
	t.Cleanup(srv.Close)
	w.url = srv.URL
	w.integrate()
	return w
}

// failingStore refuses to write while told so.
type failingStore struct {
	vault.Store
	failing *atomic.Bool
}

func (s failingStore) Update(ctx context.Context, fn func(vault.Tx) error) error {
	if s.failing.Load() {
		return errors.New("disk full in this test")
	}
	return s.Store.Update(ctx, fn)
}

// in is the same world for a subtest.
func (w *world) in(t testing.TB) *world {
	sub := *w
	sub.t = t
	return &sub
}

// integrate sets the three services up, and TimeLog a second time.
func (w *world) integrate() {
	timeLog := vault.Integration{
		Key: "timelog", Provider: "timelog", ClientID: sandbox.DemoClientID, ClientSecret: vault.NewSecret(sandbox.DemoClientSecret),
		Overrides: vault.Overrides{
			Issuer: w.sand.TimeLog().URL(), AuthorizationURL: w.sand.TimeLog().URL() + "/connect/authorize",
			TokenURL: w.sand.TimeLog().URL() + "/connect/token", AllowedHosts: []string{strings.TrimPrefix(w.sand.TimeLog().URL(), "http://")},
		},
	}
	other := timeLog
	other.Key, other.Methods = "timelog-two", []string{"oidc"}
	for _, in := range []vault.Integration{
		{Key: "toggl", Provider: "toggl", Overrides: vault.Overrides{
			BaseURL: w.sand.Toggl().URL(), SessionURL: w.sand.Toggl().URL() + "/api/sessions",
		}},
		{Key: "toggl-token", Provider: "toggl", Title: "Toggl at Acme", Methods: []string{"api_token"}, Overrides: vault.Overrides{
			BaseURL: w.sand.Toggl().URL(),
		}},
		{Key: "clicktime", Provider: "clicktime", Overrides: vault.Overrides{BaseURL: w.sand.ClickTime().URL() + "/v2"}},
		timeLog, other,
	} {
		made, err := w.vault.CreateIntegration(w.t.Context(), w.admin(), in)
		if err != nil {
			w.t.Fatalf("integration %s: %v", in.Key, err)
		}
		w.ids[in.Key] = made.ID
	}
}

func (w *world) admin() vault.Caller { return vault.System("test", w.env) }

var ada = vault.EndUser{ID: "user-1815", Name: "Ada Lovelace", Email: "ada@acme.example"}

// session makes a connect session for Ada.
func (w *world) session(n vault.NewSession) (vault.ConnectSession, vault.Secret) {
	w.t.Helper()
	if n.EndUser.ID == "" {
		n.EndUser = ada
	}
	s, token, err := w.vault.CreateSession(w.t.Context(), w.admin(), n)
	if err != nil {
		w.t.Fatalf("CreateSession: %v", err)
	}
	return s, token
}

// status reads a session the way its host does.
func (w *world) status(id string) vault.ConnectSession {
	w.t.Helper()
	s, err := w.vault.Session(w.t.Context(), w.admin(), id)
	if err != nil {
		w.t.Fatalf("Session: %v", err)
	}
	return s
}

func (w *world) connections() []vault.Connection {
	w.t.Helper()
	list, err := w.vault.Connections(w.t.Context(), w.admin(), vault.ConnectionFilter{Page: vault.Page{Limit: 100}})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// linked is the one connection there is.
func (w *world) linked() vault.Connection {
	w.t.Helper()
	list := w.connections()
	if len(list) != 1 {
		w.t.Fatalf("%d connections, want 1: %+v", len(list), list)
	}
	return list[0]
}

func (w *world) wantNothingLinked() {
	w.t.Helper()
	if list := w.connections(); len(list) != 0 {
		w.t.Errorf("connections = %+v, want none", list)
	}
}

// reasons are the reasons of the refusals in the trail, newest first.
func (w *world) reasons() []string { return w.reasonsSince("") }

// reasonsSince are those newer than an entry.
func (w *world) reasonsSince(id string) []string {
	w.t.Helper()
	var reasons []string
	for _, e := range w.trail() {
		if e.ID == id {
			break
		}
		if !e.Allowed {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons
}

func (w *world) newestEntry() string { return w.trail()[0].ID }

// trail is the newest part of the trail, newest first.
func (w *world) trail() []vault.AuditEntry {
	w.t.Helper()
	entries, err := w.vault.Audit(w.t.Context(), w.admin(), vault.AuditFilter{Page: vault.Page{Limit: 200}})
	if err != nil {
		w.t.Fatal(err)
	}
	return entries
}

func (w *world) wantReason(reason string) {
	w.t.Helper()
	if got := w.reasons(); !slices.Contains(got, reason) {
		w.t.Errorf("reasons in the trail = %q, want %q among them", got, reason)
	}
}

func (w *world) tokenCalls() int { return w.sand.TimeLog().TokenCalls() }

// wantNoLeak looks for everything that was secret in this run: in what was
// sent to browsers, in the log, and in the database.
func (w *world) wantNoLeak(more ...string) {
	w.t.Helper()
	places := map[string]string{"a page": w.pages.String(), "the log": w.log.String(), "the database": string(w.db.Dump(w.t))}
	for _, secret := range append(w.sand.Secrets(), more...) {
		for where, text := range places {
			if i := strings.Index(text, secret); i >= 0 {
				w.t.Errorf("a secret of %d bytes is in %s: …%.80s", len(secret), where, text[max(0, i-80):i])
			}
		}
	}
}

// within is a context for a wait in a test.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
