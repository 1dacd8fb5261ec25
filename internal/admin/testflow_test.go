package admin_test

import (
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/admin"
	"github.com/claviger/claviger/internal/connect"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// flow is a world with the connect pages and a Toggl and a TimeLog.
type flow struct {
	*world
	sand *sandbox.Sandbox
}

func newFlow(t *testing.T) *flow {
	t.Helper()
	t.Parallel()
	w := &world{
		t: t, db: storetest.SQLite(t), log: &lockedBuffer{}, pages: &lockedBuffer{},
		clock: &clock{now: time.Now().UTC().Truncate(time.Second)}, addresses: new(atomic.Int32),
	}
	f := &flow{world: w}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if f.sand, err = sandbox.Start(t.Context(), sandbox.Config{Now: w.clock.Now, Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.sand.Close() })
	f.sand.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.AutoApprove, s.DefaultMode = sandbox.AdaEmail, "form_post" })

	srv := httptest.NewUnstartedServer(nil)
	if w.public, err = url.Parse("http://" + srv.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	catalog, err := providers.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	out := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: log})
	t.Cleanup(out.Close)
	service := providers.New(providers.Config{Catalog: catalog, HTTP: out, PublicURL: w.public, Now: w.clock.Now, Log: log})
	if w.keyset, err = vault.NewKeyset(); err != nil {
		t.Fatal(err)
	}
	w.vault = vault.New(vault.Config{
		Store: w.db.Open(t), Keyset: w.keyset, CheckIntegration: service.CheckIntegration, TellProvider: service.Revoke,
		ReturnURLs: []string{"https://host.example/back"}, Now: w.clock.Now, Log: log,
	})
	env, err := w.vault.EnsureEnvironment(t.Context(), vault.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	w.env = env.ID
	e, err := httpd.New(httpd.Config{Log: log, PublicURL: w.public, Now: w.clock.Now, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := w.keyset.Derive("admin-cookie")
	if err != nil {
		t.Fatal(err)
	}
	connect.New(connect.Config{Vault: w.vault, Providers: service, PublicURL: w.public, AppName: "Acme"}).Mount(e)
	admin.New(admin.Config{Vault: w.vault, Providers: service, PublicURL: w.public, CookieKeys: keys, Now: w.clock.Now}).Mount(e)
	srv.Config = httpd.NewServer(e, log)
	srv.Start()
	t.Cleanup(srv.Close)
	w.url = srv.URL

	timeLog := f.sand.TimeLog()
	f.create(vault.Integration{
		Key: "timelog", Provider: "timelog", Methods: []string{"oidc"},
		ClientID: sandbox.DemoClientID, ClientSecret: vault.NewSecret(sandbox.DemoClientSecret),
		Overrides: vault.Overrides{Issuer: timeLog.URL(), AllowedHosts: []string{strings.TrimPrefix(timeLog.URL(), "http://")}},
	})
	f.create(vault.Integration{Key: "toggl", Provider: "toggl", Overrides: vault.Overrides{
		BaseURL: f.sand.Toggl().URL(), SessionURL: f.sand.Toggl().URL() + "/api/sessions",
	}})
	return f
}

func (f *flow) create(in vault.Integration) {
	f.t.Helper()
	if _, err := f.vault.CreateIntegration(f.t.Context(), f.system(), in); err != nil {
		f.t.Fatal(err)
	}
}

// trip is a test of an integration in a browser: from the button to the first
// page of the connect link's session.
func (b *browser) trip(key string) (session answer) {
	b.t.Helper()
	a := b.send("/admin/integrations/" + key + "/test")
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/connect/") {
		b.t.Fatalf("begin: %d to %q\n%s", a.status, a.location, a.body)
	}
	b.page(a.location)
	return b.followed(b.post(a.location, nil))
}

// followed goes on, by redirects and Refresh, until there is a page that stays,
// or the way leads elsewhere.
func (b *browser) followed(a answer) answer {
	b.t.Helper()
	for range 10 {
		to := a.location
		if to == "" {
			_, to, _ = strings.Cut(a.header.Get("Refresh"), "url=")
		}
		to = strings.TrimPrefix(to, b.url)
		if !strings.HasPrefix(to, "/") {
			return a
		}
		a = b.get(strings.TrimSuffix(to, "#"))
		a.header.Set("X-Path", to)
	}
	b.t.Fatal("redirected in a circle")
	return a
}

// signInThere goes to TimeLog, which approves at once, and brings its form_post
// back.
func (b *browser) signInThere(leaving answer) answer {
	b.t.Helper()
	_, to, _ := strings.Cut(leaving.header.Get("Refresh"), "url=")
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, to, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	res := b.do(r)
	action := regexp.MustCompile(`<form id="reply" method="post" action="([^"]+)"`).FindStringSubmatch(res.body)
	if action == nil {
		b.t.Fatalf("no reply of TimeLog's: %d\n%s", res.status, res.body)
	}
	reply := url.Values{}
	for _, m := range regexp.MustCompile(`name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(res.body, -1) {
		reply.Add(m[1], html.UnescapeString(m[2]))
	}
	return b.followed(b.post(strings.TrimPrefix(html.UnescapeString(action[1]), b.url), reply))
}

var stageItem = regexp.MustCompile(`(?s)<li class="stage is-(\w+)">.*?<span class="stage-title">([^<]*)</span>`)

// stages are the steps on a page, each with its state.
func stages(page string) []string {
	var all []string
	for _, m := range stageItem.FindAllStringSubmatch(page, -1) {
		all = append(all, m[1]+": "+html.UnescapeString(m[2]))
	}
	return all
}

// TestTestByRedirect runs the whole flow at a TimeLog, as an operator.
func TestTestByRedirect(t *testing.T) {
	f := newFlow(t)
	b := f.admin(vault.RoleOperator)
	w := f.world
	page := b.page("/admin/integrations/timelog/test")
	w.wantOn(page, []string{"Begin the test", "Redirect URI", "The discovery document is there", "It agrees with ours"}, "is-failed")

	first := b.trip("timelog")
	at := first.header.Get("X-Path")
	back := b.followed(b.signInThere(b.post(at, nil)))
	report := back.header.Get("X-Path")
	if !regexp.MustCompile(`^/admin/integrations/int_\w+/test/cs_\w+$`).MatchString(report) || back.status != http.StatusOK {
		t.Fatalf("came back to %q: %d\n%s", report, back.status, back.body)
	}
	w.wantOn(back.body, []string{"Linked; now the rest", "data-auto", "auto.js", "Authorization", "/soxdemo"})
	want := []string{
		"done: Connect link made", "done: Link opened in a browser", "done: Sent to TimeLog", "done: Reply of TimeLog checked",
		"done: Code traded for tokens", "done: Account verified", "done: Credential encrypted and saved", "done: Headers rendered",
		"now: Renewed once", "waiting: Erased here", "waiting: TimeLog told that it is over",
	}
	if diff := cmp.Diff(want, stages(back.body)); diff != "" {
		t.Errorf("linked (-want +got)\n%s", diff)
	}
	if a := b.send(report); a.status != http.StatusSeeOther || a.location != report {
		t.Fatalf("finish: %d to %q\n%s", a.status, a.location, a.body)
	}
	page = b.page(report)
	want[8], want[9], want[10] = "done: Renewed once", "done: Erased here", "done: TimeLog told that it is over"
	if diff := cmp.Diff(want, stages(page)); diff != "" {
		t.Errorf("finished (-want +got)\n%s", diff)
	}
	w.wantOn(page, []string{"It works", "Test again"}, "data-auto", "<form class=\"form form-note\"")
	if n := f.sand.TimeLog().RefreshCalls(); n != 1 {
		t.Errorf("TimeLog was asked to refresh %d times", n)
	}
	// At TimeLog nothing of it works any more.
	for _, family := range f.sand.TimeLog().Families() {
		if !family.Revoked {
			t.Errorf("a family of refresh tokens lives on: %+v", family)
		}
	}
	if a := b.post(report, url.Values{"token": {b.token(b.page("/admin/connections"))}}); a.status != http.StatusSeeOther {
		t.Errorf("finished twice: %d", a.status)
	}
	w.wantOn(b.page("/admin/integrations/timelog"), []string{report, "Test of"})
	w.secrets = f.sand.Secrets()
	w.wantNoSecretOn(t, page, back.body)
}

// wantNoSecretOn looks for what the services handed out.
func (w *world) wantNoSecretOn(t *testing.T, pages ...string) {
	t.Helper()
	for _, s := range w.secrets {
		for _, p := range pages {
			if len(s) > 8 && strings.Contains(p, s) {
				t.Errorf("a page has a secret of %d bytes", len(s))
			}
		}
	}
}

// TestTestByForm does the same with a form, at a Toggl.
func TestTestByForm(t *testing.T) {
	f := newFlow(t)
	b := f.admin(vault.RoleOperator)
	first := b.trip("toggl")
	m := regexp.MustCompile(`href="(/connect/s/[^"]+/api_token)"`).FindStringSubmatch(first.body)
	if m == nil {
		t.Fatalf("no choice of a token:\n%s", first.body)
	}
	session := regexp.MustCompile(`cs_[0-9a-v]{26}`).FindString(m[1])
	report := "/admin/integrations/toggl/test/" + session

	// What was typed is wrong, and the report says so.
	b.post(m[1], url.Values{"api_token": {"0123456789abcdef0123456789abcdef"}})
	page := b.page(report)
	f.wantOn(page, []string{"It failed at: Account verified", "Toggl Track did not accept what was typed", "/connect/s/" + session, "End this test"})

	back := b.followed(b.post(m[1], url.Values{"api_token": {sandbox.TogglAdaToken}}))
	want := []string{
		"done: Connect link made", "done: Link opened in a browser", "done: Account verified", "done: Credential encrypted and saved",
		"done: Headers rendered", "skipped: Renewed once", "now: Erased here", "waiting: Toggl Track told that it is over",
	}
	if diff := cmp.Diff(want, stages(back.body)); diff != "" {
		t.Fatalf("linked (-want +got)\n%s\n%s", diff, back.body)
	}
	b.send(back.header.Get("X-Path"))
	page = b.page(report)
	want[6], want[7] = "done: Erased here", "skipped: Toggl Track told that it is over"
	if diff := cmp.Diff(want, stages(page)); diff != "" {
		t.Errorf("finished (-want +got)\n%s", diff)
	}
	f.wantOn(page, []string{"It works", "reset the API token"})
}

// TestTestFailures: a failed step says what to do.
func TestTestFailures(t *testing.T) {
	f := newFlow(t)
	b := f.admin()
	secret := vault.NewSecret("wrong-secret")
	if _, err := f.vault.PatchIntegration(t.Context(), f.system(), "timelog", vault.IntegrationPatch{ClientSecret: &secret}); err != nil {
		t.Fatal(err)
	}
	first := b.trip("timelog")
	at := first.header.Get("X-Path")
	session := regexp.MustCompile(`cs_[0-9a-v]{26}`).FindString(at)
	report := "/admin/integrations/timelog/test/" + session
	leaving := b.post(at, nil)

	// At the provider, or lost there.
	f.wantOn(b.page(report), []string{"is-now", "the client id is wrong, or this redirect URI is not registered there", "/connect/callback/int_"})
	b.signInThere(leaving)
	page := b.page(report)
	f.wantOn(page, []string{"It failed at: Code traded for tokens", "does not accept the client id and secret", "replace the client secret"})

	// The same session, mended, and denied at first.
	secret = vault.NewSecret(sandbox.DemoClientSecret)
	if _, err := f.vault.PatchIntegration(t.Context(), f.system(), "timelog", vault.IntegrationPatch{ClientSecret: &secret}); err != nil {
		t.Fatal(err)
	}
	f.sand.TimeLog().DenyNext("access_denied", "")
	b.signInThere(b.post(at, nil))
	f.wantOn(b.page(report), []string{"It failed at: Reply of TimeLog checked", "was not given the permission"})
	back := b.signInThere(b.post(at, nil))
	f.wantOn(back.body, []string{"Linked; now the rest"}, "is-failed")
	f.sand.TimeLog().Faults().Always(sandbox.TimeLogToken, sandbox.Status(http.StatusBadRequest))
	b.send(back.header.Get("X-Path"))
	f.wantOn(b.page(report), []string{"It failed at: Renewed once", "done\"><span class=\"stage-mark\""})

	// What nobody can look at.
	for _, path := range []string{
		"/admin/integrations/toggl/test/" + session, "/admin/integrations/timelog/test/cs_06h03dkgndq6vfdsu9o8c2iihs", "/admin/integrations/timelog/test/x",
	} {
		if a := b.get(path); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := b.get("/admin/integrations/timelog/test/done?session_id=..%2F..%2Fx&result=y"); a.status != http.StatusSeeOther || !strings.Contains(a.location, "..%2F..%2Fx") {
		t.Errorf("came back with nothing: %d to %q", a.status, a.location)
	}
}

// TestTestGivenUp: an admin ends a test before anything is linked.
func TestTestGivenUp(t *testing.T) {
	f := newFlow(t)
	b := f.admin()
	first := b.trip("timelog")
	session := regexp.MustCompile(`cs_[0-9a-v]{26}`).FindString(first.header.Get("X-Path"))
	report := "/admin/integrations/timelog/test/" + session
	b.send(report)
	f.wantOn(b.page(report), []string{"The test was ended", "Nothing was linked", "Test again"}, "is-now")
}

// TestProbeOnThePage: what is wrong before the trip is said before it.
func TestProbeOnThePage(t *testing.T) {
	f := newFlow(t)
	b := f.admin()
	f.create(vault.Integration{Key: "gone", Provider: "basic", Overrides: vault.Overrides{BaseURL: "http://127.0.0.1:9/"}})
	page := b.page("/admin/integrations/gone/test")
	f.wantOn(page, []string{"Something is not right yet", "Test all the same", "is-failed", "127.0.0.1:9", "It does not answer"})
}
