package admin_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

func TestOverviewPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.wantOn(w.admin().page("/admin"), []string{
			"Next step", "Nobody has linked an account yet", "Nothing: what is linked works", `data-live="/admin/overview/stream"`,
			`<a href="/admin" aria-current="page">Overview</a>`,
		})
		now := w.clock.Now()
		w.connect("timelog", "oidc", vault.NewImport{EndUser: user("soon"), Grant: vault.Grant{
			Renewable: true, ExpiresAt: now.Add(time.Hour), RefreshExpiresAt: now.Add(50 * time.Hour),
		}})
		condemn(t, w, w.connect("toggl", "api_token", vault.NewImport{EndUser: user("condemned")}))
		w.connect("toggl", "api_token", vault.NewImport{EndUser: user("fine")})
		if _, _, err := w.vault.CreateAPIKey(t.Context(), w.system(), vault.NewAPIKey{
			Name: "nightly", Scopes: vault.AllScopes(), ExpiresAt: now.Add(48 * time.Hour),
		}); err != nil {
			t.Fatal(err)
		}
		w.clock.advance(time.Minute)
		page := w.admin().page("/admin")
		w.wantOn(page, []string{
			`<span class="tile-number">2</span> <span class="tile-text">active`,
			`<a class="tile is-alarm" href="/admin/connections?status=reconnect_required"><span class="tile-number">1</span>`,
			`href="/admin/connections?integration=toggl&amp;status=reconnect_required"`, "1 connection waits for its end user to link again at toggl",
			`href="/admin/connections?integration=timelog&amp;expires=within_7d"`, "1 connection runs out within 7 days at timelog",
			"The API key “nightly” expires on 3 March", `<a href="/admin/connections?integration=timelog">TimeLog at Acme</a>`,
			`<title>3 March: 1 connection</title>`,
		}, "Next step", "Nothing: what is linked works")
		if strings.Index(page, "runs out within 7 days") > strings.Index(page, "waits for its end user") {
			t.Error("what can be prevented does not come before what has happened")
		}
		// Every link leads to as many as it says.
		b := w.admin()
		for _, m := range regexp.MustCompile(`href="(/admin/connections\?[^"]+)">(?:<span class="tile-number">)?(\d+)<`).FindAllStringSubmatch(page, -1) {
			if got := len(listed(b.page(strings.ReplaceAll(m[1], "&amp;", "&")))); m[2] != []string{"0", "1", "2", "3"}[got] {
				t.Errorf("%s has %d and not %s", m[1], got, m[2])
			}
		}
		w.wantOn(w.admin(vault.RoleOperator).page("/admin"), nil, "audit:read")
	})
}

// events opens the stream of the overview.
func (b *browser) events() (res *http.Response, next func() (event, data string)) {
	b.t.Helper()
	r := b.request(http.MethodGet, "/admin/overview/stream", nil)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Sec-Fetch-Site", b.site)
	r.Header.Set("X-Forwarded-For", b.from)
	res, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	return res, func() (event, data string) {
		for lines.Scan() {
			switch text := lines.Text(); {
			case strings.HasPrefix(text, "event: "):
				event = text[len("event: "):]
			case strings.HasPrefix(text, "data: "):
				data = text[len("data: "):]
			case text == "" && event != "":
				return event, data
			}
		}
		return "", ""
	}
}

func TestOverviewStream(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		conn := w.connect("toggl", "api_token", vault.NewImport{EndUser: ada})
		b := w.admin()
		page := b.page("/admin")
		if csp := b.get("/admin").header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "; connect-src 'self'") {
			t.Errorf("policy %q", csp)
		}
		if csp := b.get("/admin/audit").header.Get("Content-Security-Policy"); strings.Contains(csp, "connect-src") {
			t.Errorf("policy of another page %q", csp)
		}
		res, next := b.events()
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("X-Accel-Buffering") != "no" ||
			res.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v", res.StatusCode, res.Header)
		}
		// What is sent is what the page has, chart and all.
		read := func() (part string) {
			t.Helper()
			event, data := next()
			if err := json.Unmarshal([]byte(data), &part); event != "part" || err != nil {
				t.Fatalf("%s %s: %v", event, data, err)
			}
			return part
		}
		first := read()
		w.wantOn(page, []string{first})
		w.wantOn(first, []string{`<span class="tile-number">1</span> <span class="tile-text">active`, "Nothing: what is linked works"}, "<rect", "<html", `name="token"`)
		condemn(t, w, conn)
		w.connect("timelog", "oidc", vault.NewImport{EndUser: user("soon"), Grant: vault.Grant{
			Renewable: true, ExpiresAt: w.clock.Now().Add(time.Hour), RefreshExpiresAt: w.clock.Now().Add(50 * time.Hour),
		}})
		w.clock.advance(time.Minute)
		second := read()
		w.wantOn(second, []string{`data-key="reconnect toggl"`, "1 connection waits", `<title>3 March: 1 connection</title>`, `<th scope="row">3 March</th><td>1</td>`})
		w.wantOn(b.page("/admin"), []string{second})

		// Each session has a few, and no more.
		for range 5 {
			if res, _ := b.events(); res.StatusCode != http.StatusOK {
				t.Fatal(res.StatusCode)
			}
		}
		if res, _ := b.events(); res.StatusCode != http.StatusNoContent {
			t.Errorf("one too many: %d", res.StatusCode)
		}
		if a := b.get("/admin/overview/stream"); a.status != http.StatusSeeOther || a.location != "/admin" {
			t.Errorf("for somebody who looks: %d to %q", a.status, a.location)
		}
		// Whoever signs out sees no more, in whichever window.
		if a := b.post("/admin/sign-out", map[string][]string{"token": {b.token(b.page("/admin"))}}); a.status != http.StatusSeeOther {
			t.Fatal(a.status)
		}
		if event, _ := next(); event != "end" {
			t.Errorf("event %q after signing out", event)
		}
	})
}

// A stream keeps no session alive, and no process.
func TestOverviewStreamEnds(t *testing.T) {
	w := one(t)
	idle := w.admin()
	_, next := idle.events()
	if event, _ := next(); event != "part" {
		t.Fatal(event)
	}
	other := w.admin()
	_, othersNext := other.events()
	if event, _ := othersNext(); event != "part" {
		t.Fatal(event)
	}
	w.clock.advance(29 * time.Minute)
	other.page("/admin")
	w.clock.advance(2 * time.Minute)
	events := []string{}
	for event, _ := next(); event != ""; event, _ = next() {
		events = append(events, event)
	}
	if len(events) == 0 || events[len(events)-1] != "end" || slices.Contains(events[:len(events)-1], "end") {
		t.Errorf("events of an idle session: %q", events)
	}
	w.vault.StopWaiting()
	for event, _ := othersNext(); event != ""; event, _ = othersNext() {
		if event == "end" {
			t.Error("a process that stops says that there is no use in asking again")
		}
	}
}
