package refresh_test

import (
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
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

// replica is one broker process, as far as refreshing goes.
type replica struct {
	*refresh.Engine
	vault     *vault.Vault
	providers *providers.Service
}

// bench is two replicas on one database, with a TimeLog and a Toggl behind them.
type bench struct {
	replica
	other   replica
	clock   *clock
	sandbox *sandbox.Sandbox
	db      *storetest.DB
	keyset  *vault.Keyset
	caller  vault.Caller
	key     vault.Secret
	timelog vault.Integration
	toggl   vault.Integration
}

func each(t *testing.T, fn func(t *testing.T, b *bench)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *storetest.DB) {
		t.Parallel()
		fn(t, newBench(t, db))
	})
}

func newBench(t *testing.T, db *storetest.DB) *bench {
	t.Helper()
	b := &bench{db: db, clock: &clock{now: time.Now().UTC().Truncate(time.Second)}}
	var err error
	b.sandbox, err = sandbox.Start(t.Context(), sandbox.Config{Now: b.clock.Now})
	must(t, err)
	t.Cleanup(func() { _ = b.sandbox.Close() })
	b.sandbox.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.AutoApprove = sandbox.AdaEmail })
	b.keyset, err = vault.NewKeyset()
	must(t, err)
	b.replica, b.other = b.open(t), b.open(t)
	must(t, b.vault.CheckKeyset(t.Context()))
	env, err := b.vault.EnsureEnvironment(t.Context(), vault.DefaultEnvironment)
	must(t, err)
	_, b.key, err = b.vault.CreateAPIKey(t.Context(), vault.System("test", env.ID), vault.NewAPIKey{Name: "test", Scopes: vault.AllScopes()})
	must(t, err)
	b.caller, err = b.vault.Authenticate(t.Context(), vault.Bearer{Key: b.key})
	must(t, err)
	issuer, err := url.Parse(b.sandbox.TimeLog().Issuer())
	must(t, err)
	b.timelog = b.integration(t, vault.Integration{
		Key: "timelog", Provider: "timelog", ClientID: sandbox.DemoClientID, ClientSecret: vault.NewSecret(sandbox.DemoClientSecret),
		Overrides: vault.Overrides{Issuer: issuer.String(), AllowedHosts: []string{issuer.Host}, ResponseMode: "fragment"},
	})
	toggl := b.sandbox.Toggl().URL()
	b.toggl = b.integration(t, vault.Integration{
		Key: "toggl", Provider: "toggl", Overrides: vault.Overrides{BaseURL: toggl, SessionURL: toggl + "/api/sessions"},
	})
	return b
}

func (b *bench) open(t *testing.T) replica {
	t.Helper()
	return b.openWith(t, b.db.Open(t), refresh.Config{})
}

// openWith is a replica on a store of the test's own, or with other settings.
func (b *bench) openWith(t *testing.T, s vault.Store, cfg refresh.Config) replica {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	catalog, err := providers.Load(nil)
	must(t, err)
	client := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(client.Close)
	service := providers.New(providers.Config{Catalog: catalog, HTTP: client, PublicURL: &url.URL{Scheme: "http", Host: "localhost"}, Now: b.clock.Now})
	v := vault.New(vault.Config{
		Store: s, Keyset: b.keyset, Now: b.clock.Now, Log: cfg.Log,
		CheckIntegration: service.CheckIntegration, TellProvider: service.Revoke,
	})
	cfg.Vault, cfg.Providers, cfg.Owner, cfg.Now = v, service, t.Name(), b.clock.Now
	e := refresh.New(cfg)
	t.Cleanup(func() {
		if err := e.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return replica{e, v, service}
}

func (b *bench) integration(t *testing.T, in vault.Integration) vault.Integration {
	t.Helper()
	made, err := b.vault.CreateIntegration(t.Context(), b.caller, in)
	must(t, err)
	made, err = b.vault.OpenIntegration(t.Context(), b.caller, made.ID)
	must(t, err)
	return made
}

// linkTimeLog goes through the hybrid flow as a browser would and keeps the grant.
func (b *bench) linkTimeLog(t *testing.T) vault.Connection {
	t.Helper()
	state := vault.NewState()
	target, values, err := b.providers.Begin(t.Context(), b.timelog, "oidc", state)
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target.String(), http.NoBody)
	must(t, err)
	answer, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	defer answer.Body.Close()
	back, err := answer.Location()
	must(t, err)
	params, err := url.ParseQuery(back.Fragment)
	must(t, err)
	reply, err := providers.ParseReply(providers.ModeFragment, params)
	must(t, err)
	g, err := b.providers.Complete(t.Context(), b.timelog, vault.Attempt{
		IntegrationID: b.timelog.ID, Method: "oidc", Values: values, CreatedAt: b.clock.Now(),
	}, reply)
	must(t, err)
	return b.keep(t, b.timelog, "oidc", g)
}

func (b *bench) linkToggl(t *testing.T, method string, form vault.Credential) vault.Connection {
	t.Helper()
	g, err := b.providers.Submit(t.Context(), b.toggl, method, form)
	must(t, err)
	return b.keep(t, b.toggl, method, g)
}

func (b *bench) keep(t *testing.T, in vault.Integration, method string, g vault.Grant) vault.Connection {
	t.Helper()
	c, err := b.vault.ImportConnection(t.Context(), b.caller, vault.NewImport{Integration: in, Method: method, Grant: g, EndUser: vault.EndUser{ID: "u"}})
	must(t, err)
	return c
}

func (b *bench) connection(t *testing.T, id string) vault.Connection {
	t.Helper()
	c, err := b.vault.Connection(t.Context(), b.caller, id)
	must(t, err)
	return c
}

// accepted reports whether the provider takes the headers.
func (b *bench) accepted(t *testing.T, url string, s refresh.Served) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	must(t, err)
	text, err := s.Answer.Text()
	must(t, err)
	for name, value := range parse(string(text)) {
		req.Header.Set(name, value)
	}
	answer, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Fatalf("got %v (%s), want kind %s", err, fault.KindOf(err).Code(), kind.Code())
	}
}
