package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/api"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// clock is turned by the tests; broker and sandbox share it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
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

// book is what must not turn up where it does not belong.
type book struct {
	mu      sync.Mutex
	secrets []string
}

func (b *book) add(secrets ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.secrets = append(b.secrets, secrets...)
}

func (b *book) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.secrets)
}

// world is a broker with real rooms and a real database, served over HTTP, and
// the three services behind it.
type world struct {
	t         *testing.T
	db        *storetest.DB
	vault     *vault.Vault
	providers *providers.Service
	sand      *sandbox.Sandbox
	clock     *clock
	log       *lockedBuffer
	planted   *book
	echo      *echo.Echo
	url       string
	contract  *contract
	env       string
	// key has every scope in env; elsewhere in another environment.
	key, elsewhere string
}

// each runs fn on both databases, and then looks for everything that was
// secret, in the log and in the database with its trail.
func each(t *testing.T, fn func(w *world)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *storetest.DB) {
		t.Parallel()
		w := newWorld(t, db)
		fn(w)
		w.wantNoLeak()
	})
}

func newWorld(t *testing.T, db *storetest.DB) *world {
	t.Helper()
	w := &world{
		t: t, db: db, clock: &clock{now: time.Now().UTC().Truncate(time.Second)},
		log: &lockedBuffer{}, planted: &book{},
	}
	log := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	w.sand, err = sandbox.Start(t.Context(), sandbox.Config{Now: w.clock.Now})
	w.must(err)
	t.Cleanup(func() { _ = w.sand.Close() })

	srv := httptest.NewUnstartedServer(nil)
	public, err := url.Parse("http://" + srv.Listener.Addr().String())
	w.must(err)
	w.url = public.String()
	out := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: log})
	t.Cleanup(out.Close)
	catalog, err := providers.Load(nil)
	w.must(err)
	w.providers = providers.New(providers.Config{Catalog: catalog, HTTP: out, PublicURL: public, Now: w.clock.Now, Log: log})
	keyset, err := vault.NewKeyset()
	w.must(err)
	w.vault = vault.New(vault.Config{
		Store: db.Open(t), Keyset: keyset, CheckIntegration: w.providers.CheckIntegration, TellProvider: w.providers.Revoke,
		Now: w.clock.Now, Log: log,
	})
	engine := refresh.New(refresh.Config{Vault: w.vault, Providers: w.providers, Owner: t.Name(), Now: w.clock.Now, Log: log})
	t.Cleanup(func() {
		if err := engine.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	w.echo, err = httpd.New(httpd.Config{Log: log, PublicURL: public, Now: w.clock.Now})
	w.must(err)
	api.New(api.Config{Vault: w.vault, Providers: w.providers, Engine: engine, PublicURL: public}).Mount(w.echo)
	srv.Config = httpd.NewServer(w.echo, log)
	srv.Start()
	t.Cleanup(srv.Close)
	w.contract = newContract(t, w.url)

	w.must(w.vault.CheckKeyset(t.Context()))
	env, err := w.vault.EnsureEnvironment(t.Context(), vault.DefaultEnvironment)
	w.must(err)
	w.env = env.ID
	w.key = w.newKey(vault.AllScopes()...)
	other, err := w.vault.EnsureEnvironment(t.Context(), "elsewhere")
	w.must(err)
	w.elsewhere = w.keyIn(other.ID, vault.AllScopes()...)
	w.planted.add(sandbox.DemoClientSecret)
	w.integrate()
	return w
}

// in is the same world for a subtest.
func (w *world) in(t *testing.T) *world {
	sub := *w
	sub.t = t
	return &sub
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// newKey makes an API key with these scopes.
func (w *world) newKey(scopes ...vault.Scope) string {
	w.t.Helper()
	return w.keyIn(w.env, scopes...)
}

func (w *world) keyIn(env string, scopes ...vault.Scope) string {
	w.t.Helper()
	_, key, err := w.vault.CreateAPIKey(w.t.Context(), vault.System("test", env), vault.NewAPIKey{Name: "test", Scopes: scopes})
	w.must(err)
	w.planted.add(key.Reveal())
	return key.Reveal()
}

// integrate sets the three services up, over the API.
func (w *world) integrate() {
	w.t.Helper()
	toggl, timelog := w.sand.Toggl().URL(), w.sand.TimeLog().URL()
	for _, in := range []object{
		{"provider": "toggl", "key": "toggl", "overrides": object{"base_url": toggl, "session_url": toggl + "/api/sessions"}},
		{"provider": "clicktime", "key": "clicktime", "overrides": object{"base_url": w.sand.ClickTime().URL() + "/v2"}},
		{
			"provider": "timelog", "key": "timelog", "title": "TimeLog at Acme", "client_id": sandbox.DemoClientID, "client_secret": sandbox.DemoClientSecret,
			"overrides": object{"issuer": timelog, "allowed_hosts": []string{strings.TrimPrefix(timelog, "http://")}},
		},
	} {
		w.post("/v1/integrations", in).want(201)
	}
}

// object is a JSON object.
type object = map[string]any

var ada = object{"id": "user-1815", "email": "ada@acme.example", "name": "Ada Lovelace"}

// togglImport imports Ada's API token; change says what is different.
func togglImport(change object) object {
	body := object{
		"integration": "toggl", "method": "api_token",
		"credential": object{"api_token": sandbox.TogglAdaToken}, "end_user": ada,
	}
	maps.Copy(body, change)
	return body
}

// imported makes a connection over the API.
func (w *world) imported(body object) string {
	w.t.Helper()
	return w.post("/v1/connections", body).want(201).text("id")
}

// toggl is a fresh connection with Ada's API token.
func (w *world) toggl() string {
	w.t.Helper()
	return w.imported(togglImport(nil))
}

// timelog is a fresh connection with tokens of TimeLog's, linked in a session
// as the pages would do it.
func (w *world) timelog() string {
	w.t.Helper()
	s := w.post("/v1/connect-sessions", object{"end_user": ada, "integrations": []string{"timelog"}}).shows().want(201)
	return w.link(s, "timelog", "oidc", w.timelogGrant()).Connection.ID
}

// timelogGrant goes through the hybrid flow as a browser would.
func (w *world) timelogGrant() vault.Grant {
	w.t.Helper()
	w.sand.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.AutoApprove = sandbox.AdaEmail })
	in := w.opened("timelog")
	in.Overrides.ResponseMode = "fragment"
	target, values, err := w.providers.Begin(w.t.Context(), in, "oidc", vault.NewState())
	w.must(err)
	params, err := url.ParseQuery(follow(w.t, target).Fragment)
	w.must(err)
	reply, err := providers.ParseReply(providers.ModeFragment, params)
	w.must(err)
	g, err := w.providers.Complete(w.t.Context(), in, vault.Attempt{IntegrationID: in.ID, Method: "oidc", Values: values, CreatedAt: w.clock.Now()}, reply)
	w.must(err)
	return g
}

// opened is an integration with its secret, for calls to the provider.
func (w *world) opened(key string) vault.Integration {
	w.t.Helper()
	caller := vault.System("test", w.env)
	in, err := w.vault.Integration(w.t.Context(), caller, key)
	w.must(err)
	in, err = w.vault.OpenIntegration(w.t.Context(), caller, in.ID)
	w.must(err)
	return in
}

// bind opens the link of a session's answer in a browser.
func (w *world) bind(session *answer) vault.Caller {
	w.t.Helper()
	_, binding, err := w.vault.BindSession(w.t.Context(), vault.NewSecret(session.text("token")), vault.Secret{})
	w.must(err)
	caller, _, err := w.vault.BoundSession(w.t.Context(), session.text("id"), binding)
	w.must(err)
	w.planted.add(binding.Reveal())
	return caller
}

// link does what the pages do at the end of a session.
func (w *world) link(session *answer, integration, method string, g vault.Grant) vault.Linked {
	w.t.Helper()
	linked, err := w.vault.Link(w.t.Context(), w.bind(session), w.opened(integration), method, g)
	w.must(err)
	if !linked.Result.IsZero() {
		w.planted.add(linked.Result.Reveal())
	}
	return linked
}

// grant is what a form brings.
func (w *world) grant(integration, method string, form vault.Credential) vault.Grant {
	w.t.Helper()
	g, err := w.providers.Submit(w.t.Context(), w.opened(integration), method, form)
	w.must(err)
	return g
}

// count is how many connections the environment has.
func (w *world) count() int {
	w.t.Helper()
	list, err := w.vault.Connections(w.t.Context(), vault.System("test", w.env), vault.ConnectionFilter{Page: vault.Page{Limit: 1000}})
	w.must(err)
	return len(list)
}

// trail is the newest entries of the environment.
func (w *world) trail(f vault.AuditFilter) []vault.AuditEntry {
	w.t.Helper()
	f.Page.Limit = 200
	entries, err := w.vault.Audit(w.t.Context(), vault.System("test", w.env), f)
	w.must(err)
	return entries
}

func (w *world) secrets() []string { return append(w.planted.all(), w.sand.Secrets()...) }

// wantNoLeak looks for everything that was secret, in clear, base64 and hex.
func (w *world) wantNoLeak() {
	w.t.Helper()
	w.must(w.vault.FlushReads(w.t.Context()))
	places := map[string]string{"the log": w.log.String(), "the database": string(w.db.Dump(w.t))}
	for _, secret := range w.secrets() {
		raw := []byte(secret)
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw), hex.EncodeToString(raw)} {
			for where, text := range places {
				if i := strings.Index(text, form); i >= 0 {
					w.t.Errorf("a secret of %d bytes is in %s: …%.120s", len(secret), where, text[max(0, i-120):i])
				}
			}
		}
	}
}

// js is v as JSON.
func js(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
