package admin_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/admin"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// world is a broker with its admin pages on a real database. The provider that
// is told of revocations is a function.
type world struct {
	t      *testing.T
	db     *storetest.DB
	vault  *vault.Vault
	keyset *vault.Keyset
	public *url.URL
	url    string
	clock  *clock
	env    string
	log    *lockedBuffer
	pages  *lockedBuffer // all that browsers were sent, headers too
	heard  *provider
	// providers are those of the last replica.
	providers *providers.Service
	// secrets are those that no page, log or row may show.
	secrets []string
	// provider is the OpenID provider for admins, if any.
	provider *admin.Provider
	// addresses counts those that were given to browsers.
	addresses *atomic.Int32
	// routes is what serves, for tests of every route.
	routes *echo.Echo
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

// provider is told of revocations.
type provider struct {
	mu      sync.Mutex
	outcome vault.Outcome
	tokens  []string
}

func (p *provider) tell(_ context.Context, _ vault.Integration, _ vault.Connection, c vault.Credential) vault.ProviderOutcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens = append(p.tokens, c.Get(vault.ValueRefreshToken))
	return vault.ProviderOutcome{Outcome: p.outcome, Detail: "told"}
}

func (p *provider) answer(o vault.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcome = o
}

func (p *provider) times() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.tokens)
}

// each runs fn on every kind of database, and looks for leaks afterwards.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *storetest.DB) {
		t.Parallel()
		w := newWorld(t, db, "http")
		fn(t, w)
		w.wantNoLeak()
	})
}

// one is each on SQLite alone, for what no database decides.
func one(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	return newWorld(t, storetest.SQLite(t), "http")
}

const clientSecret = "canary-client-secret-7f3a"

func newWorld(t *testing.T, db *storetest.DB, scheme string) *world {
	t.Helper()
	w := &world{
		t: t, db: db, log: &lockedBuffer{}, pages: &lockedBuffer{}, heard: &provider{outcome: vault.OutcomeRevoked},
		clock:   &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		secrets: []string{clientSecret}, addresses: new(atomic.Int32),
	}
	var err error
	if w.keyset, err = vault.NewKeyset(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for line := range strings.Lines(w.log.String()) {
			if strings.Contains(line, "level=ERROR") {
				t.Errorf("the log has %s", line)
			}
		}
	})
	w.public = &url.URL{Scheme: scheme, Host: "broker.example"}
	w.url = w.serve(w.keyset)
	env, err := w.vault.EnsureEnvironment(t.Context(), vault.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	w.env = env.ID
	for _, in := range []vault.Integration{
		{Key: "timelog", Provider: "timelog", Title: "TimeLog at Acme", ClientID: "acme-client", ClientSecret: vault.NewSecret(clientSecret)},
		{Key: "toggl", Provider: "toggl"},
	} {
		if _, err := w.vault.CreateIntegration(t.Context(), w.system(), in); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// serve starts a replica with the keyset and answers its URL; w.vault is its vault.
func (w *world) serve(keyset *vault.Keyset) string {
	t := w.t
	t.Helper()
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	catalog, err := providers.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	out := w.outbound()
	service := providers.New(providers.Config{Catalog: catalog, HTTP: out, PublicURL: w.public, Now: w.clock.Now, Log: log})
	w.vault = vault.New(vault.Config{
		Store: w.db.Open(t), Keyset: keyset, CheckIntegration: service.CheckIntegration, TellProvider: w.heard.tell,
		OwnersFromProvider: w.provider != nil,
		Now:                w.clock.Now, Log: log,
	})
	e, err := httpd.New(httpd.Config{
		Log: log, PublicURL: w.public, Now: w.clock.Now,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	if err != nil {
		t.Fatal(err)
	}
	engine := refresh.New(refresh.Config{Vault: w.vault, Providers: service, Owner: "test", Now: w.clock.Now, Log: log})
	w.providers = service
	keys, err := keyset.Derive("admin-cookie")
	if err != nil {
		t.Fatal(err)
	}
	w.routes = e
	pages := admin.New(admin.Config{Vault: w.vault, Providers: service, Engine: engine, PublicURL: w.public, CookieKeys: keys, Provider: w.provider, Now: w.clock.Now})
	admin.StreamEvery(pages, 10*time.Millisecond)
	pages.Mount(e)
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = httpd.NewServer(e, log)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL
}

// outbound makes calls, to loopback too.
func (w *world) outbound() *outbound.Client {
	out := outbound.New(outbound.Config{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	})
	w.t.Cleanup(out.Close)
	return out
}

func (w *world) system() vault.Caller { return vault.System("test", w.env) }

// key makes an API key; all scopes where none is named.
func (w *world) key(name string, scopes ...vault.Scope) (vault.APIKey, vault.Secret) {
	return w.keyIn(w.env, name, scopes...)
}

func (w *world) keyIn(env, name string, scopes ...vault.Scope) (vault.APIKey, vault.Secret) {
	w.t.Helper()
	if scopes == nil {
		scopes = vault.AllScopes()
	}
	k, key, err := w.vault.CreateAPIKey(w.t.Context(), vault.System("test", env), vault.NewAPIKey{Name: name, Scopes: scopes})
	if err != nil {
		w.t.Fatal(err)
	}
	w.secrets = append(w.secrets, key.Reveal())
	return k, key
}

// connect makes a connection of an integration, with secrets of its own.
func (w *world) connect(integration, method string, n vault.NewImport) vault.Connection {
	w.t.Helper()
	return w.connectIn(w.env, integration, method, n)
}

func (w *world) connectIn(env, integration, method string, n vault.NewImport) vault.Connection {
	w.t.Helper()
	caller := vault.System("test", env)
	n.Method = method
	var err error
	if n.Integration, err = w.vault.PrepareImport(w.t.Context(), caller, integration, n); err != nil {
		w.t.Fatal(err)
	}
	at := len(w.secrets)
	access, refresh := fmt.Sprintf("canary-access-%d-b41c", at), fmt.Sprintf("canary-refresh-%d-9d20", at)
	w.secrets = append(w.secrets, access, refresh)
	if n.Grant.Account.ID == "" {
		n.Grant.Account = vault.Account{ID: "acc-" + n.EndUser.ID, Label: n.EndUser.ID + "@acme.example"}
	}
	n.Grant.Credential = vault.Credential{vault.ValueAccessToken: vault.NewSecret(access), vault.ValueRefreshToken: vault.NewSecret(refresh)}
	n.Grant.Headers = []vault.Header{{Name: "Authorization", Value: vault.NewSecret("Bearer " + access)}}
	n.Grant.BaseURL = "https://api.example"
	conn, err := w.vault.ImportConnection(w.t.Context(), caller, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// trail is the newest part of the trail, newest first.
func (w *world) trail() []vault.AuditEntry {
	w.t.Helper()
	return w.trailOf(w.env)
}

func (w *world) trailOf(env string) []vault.AuditEntry {
	w.t.Helper()
	entries, err := w.vault.Audit(w.t.Context(), vault.System("test", env), vault.AuditFilter{Page: vault.Page{Limit: 200}})
	if err != nil {
		w.t.Fatal(err)
	}
	return entries
}

// wantNoLeak looks for everything that was secret in this run.
func (w *world) wantNoLeak() {
	w.t.Helper()
	places := map[string]string{"a page": w.pages.String(), "the log": w.log.String(), "the database": string(w.db.Dump(w.t))}
	for _, secret := range w.secrets {
		for where, text := range places {
			if i := strings.Index(text, secret); i >= 0 {
				w.t.Errorf("a secret of %d bytes is in %s: …%.80s", len(secret), where, text[max(0, i-80):i])
			}
		}
	}
}

// browser is somebody's browser. It follows no redirect by itself.
type browser struct {
	*world
	client *http.Client
	// site is what it sends as Sec-Fetch-Site; from is its address.
	site, from string
	// self is the admin whom [world.admin] signed in.
	self vault.Admin
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{
		world: w, site: "same-origin", from: "192.0.2.1",
		client: &http.Client{
			Jar:           jar,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// admin is a browser that is signed in as a new admin, an owner where no role is
// named.
func (w *world) admin(role ...vault.Role) *browser {
	w.t.Helper()
	r := vault.RoleOwner
	if len(role) > 0 {
		r = role[0]
	}
	b := w.browser()
	b.self, b.from = w.invite("Grace", r).Admin, w.newAddress()
	b.signInAgain()
	return b
}

// newAddress is one that nobody has tried to sign in from.
func (w *world) newAddress() string {
	n := w.addresses.Add(1)
	return fmt.Sprintf("10.1.%d.%d", n>>8&255, n&255)
}

// invite makes a new admin with a sign-in link.
func (w *world) invite(name string, role vault.Role) vault.Invite {
	w.t.Helper()
	i, err := w.vault.InviteAdmin(w.t.Context(), w.system(), vault.NewAdmin{Name: name, Role: role}, vault.InviteLife)
	if err != nil {
		w.t.Fatal(err)
	}
	w.secrets = append(w.secrets, i.Token.Reveal())
	return i
}

// signInAgain signs the browser's admin in by a new link.
func (b *browser) signInAgain() {
	b.t.Helper()
	i, err := b.vault.InviteAgain(b.t.Context(), b.system(), b.self.ID, vault.InviteLife)
	if err != nil {
		b.t.Fatal(err)
	}
	if a := b.signIn(i.Token); a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/admin") {
		b.t.Fatalf("sign-in: %d to %q\n%s", a.status, a.location, a.body)
	}
}

// answer is what a browser was sent.
type answer struct {
	status   int
	location string
	body     string
	header   http.Header
	cookies  []*http.Cookie
}

func (b *browser) do(r *http.Request) answer {
	b.t.Helper()
	r.Header.Set("Sec-Fetch-Site", b.site)
	r.Header.Set("X-Forwarded-For", b.from)
	res, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	fmt.Fprintf(b.pages, "%v\n%s\n", res.Header, body)
	return answer{res.StatusCode, res.Header.Get("Location"), string(body), res.Header, res.Cookies()}
}

func (b *browser) request(method, path string, body io.Reader) *http.Request {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	return b.do(b.request(http.MethodGet, path, nil))
}

// page is get, of a page that has to be there.
func (b *browser) page(path string) string {
	b.t.Helper()
	a := b.get(path)
	if a.status != http.StatusOK {
		b.t.Fatalf("GET %s: %d to %q\n%s", path, a.status, a.location, a.body)
	}
	return a.body
}

func (b *browser) post(path string, form url.Values) answer {
	b.t.Helper()
	r := b.request(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

// signIn uses a sign-in link.
func (b *browser) signIn(link vault.Secret) answer {
	b.t.Helper()
	return b.post("/admin/link/"+link.Reveal(), nil)
}

// switchTo makes the session look at another environment.
func (b *browser) switchTo(environmentID string) {
	b.t.Helper()
	a := b.post("/admin/environment", url.Values{
		"token": {b.token(b.page("/admin/connections"))}, "environment": {environmentID}, "next": {"/admin/connections"},
	})
	if a.status != http.StatusSeeOther || a.location != "/admin/connections" {
		b.t.Fatalf("switch: %d to %q\n%s", a.status, a.location, a.body)
	}
}

var tokenInput = regexp.MustCompile(`name="token" value="([^"]+)"`)

// token is the token of the forms on a page.
func (b *browser) token(page string) string {
	b.t.Helper()
	m := tokenInput.FindStringSubmatch(page)
	if m == nil {
		b.t.Fatalf("no token on the page:\n%s", page)
	}
	return m[1]
}

// send posts the form of a page to the page's own address, with what it wants to
// be typed.
func (b *browser) send(path string) answer {
	b.t.Helper()
	page := b.page(path)
	form := url.Values{"token": {b.token(page)}}
	if asked := regexp.MustCompile(`Type the [^,<]*, ([^<]+), to confirm`).FindStringSubmatch(page); asked != nil {
		form.Set("confirm", asked[1])
	}
	return b.post(path, form)
}

// cookie is what the browser holds for the admin pages, "" for nothing.
func (b *browser) cookie() string { return b.named("clv_admin") }

func (b *browser) named(name string) string {
	b.t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// plant gives the browser a cookie.
func (b *browser) plant(value string) { b.plantNamed("clv_admin", value) }

func (b *browser) plantNamed(name, value string) {
	b.t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// wantOn looks for texts that have to be on a page, and for some that must not.
func (w *world) wantOn(page string, want []string, not ...string) {
	w.t.Helper()
	for _, s := range want {
		if !strings.Contains(page, s) {
			w.t.Errorf("the page lacks %q:\n%s", s, page)
		}
	}
	for _, s := range not {
		if strings.Contains(page, s) {
			w.t.Errorf("the page has %q:\n%s", s, page)
		}
	}
}

var ada = vault.EndUser{ID: "user-1815", Name: "Ada Lovelace", Email: "ada@acme.example"}
