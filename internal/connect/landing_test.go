package connect_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

func TestLandingSaysWhoAsksForWhat(t *testing.T) { //nolint:tparallel // the cases take turns at one broker
	t.Parallel()
	w := newWorld(t)
	tests := map[string]struct {
		n        vault.NewSession
		has, not []string
	}{
		"one service": {
			vault.NewSession{Integrations: []string{"toggl"}},
			[]string{"Acme Reports asks for access to your Toggl Track account", "Ada Lovelace", "ada@acme.example", "User user-1815", "1 Mar 2026, 12:30 UTC"},
			[]string{"acme.example/accounts"},
		},
		"its own title, and where it goes back to": {
			vault.NewSession{Integrations: []string{"toggl-token"}, ReturnURL: backTo},
			[]string{"your Toggl at Acme account", "acme.example"},
			nil,
		},
		"several services": {
			vault.NewSession{Integrations: []string{"toggl", "timelog"}},
			[]string{"access to one of your accounts", "Toggl Track, TimeLog"},
			nil,
		},
		"an id is all there is": {
			vault.NewSession{EndUser: vault.EndUser{ID: "u-7"}, Integrations: []string{"toggl"}},
			[]string{"the user u-7"},
			nil,
		},
		"markup in a name": {
			vault.NewSession{EndUser: vault.EndUser{ID: "u-8", Name: `<script>alert(1)</script>`, Email: `"><b>x`}, Integrations: []string{"toggl"}},
			[]string{`<script>alert(1)</script>`, `"><b>x`},
			[]string{`<script>alert`, `"><b>`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			_, token := w.session(tt.n)
			p := w.browser().get("/connect/" + token.Reveal()).want(http.StatusOK)
			if name == "markup in a name" {
				p.lacks(tt.not...).hasMarkup(`&lt;script&gt;alert\(1\)`)
				return
			}
			p.has(tt.has...).has("Go on only if you asked for this yourself").lacks(tt.not...)
		})
	}
}

func TestLandingWithoutAnApplicationName(t *testing.T) {
	t.Parallel()
	w := worldOn(t, storetest.SQLite(t), setting{})
	_, token := w.session(vault.NewSession{Integrations: []string{"toggl"}, ReturnURL: backTo})
	w.browser().get("/connect/" + token.Reveal()).want(http.StatusOK).has("acme.example asks for access to your Toggl Track account")
	_, token = w.session(vault.NewSession{Integrations: []string{"toggl"}})
	w.browser().get("/connect/" + token.Reveal()).want(http.StatusOK).has("The application that sent you asks for access")
}

// TestLandingChangesNothing: mail scanners fetch links, again and again.
func TestLandingChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, token := w.session(vault.NewSession{Integrations: []string{"toggl"}})
	before := string(w.db.Rows(t))
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodGet} {
		b := w.browser()
		p := b.send(b.request(method, "/connect/"+token.Reveal(), nil, "none")).want(http.StatusOK)
		if len(p.Cookies()) != 0 {
			t.Errorf("%s sets %v", method, p.Cookies())
		}
		if method == http.MethodHead && p.body != "" {
			t.Error("HEAD has a body")
		}
	}
	if after := string(w.db.Rows(t)); after != before {
		t.Errorf("the database has changed:\n%s\n%s", before, after)
	}
	if got := w.status(s.ID).Status; got != vault.SessionOpen {
		t.Errorf("session is %s, want open", got)
	}
}

func TestLandingOfLinksThatDoNotWork(t *testing.T) { //nolint:tparallel // the cases take turns at one broker
	t.Parallel()
	w := newWorld(t)
	s, expired := w.session(vault.NewSession{Integrations: []string{"toggl"}, TTL: time.Minute})
	w.clock.advance(2 * time.Minute)
	_, cancelled := w.session(vault.NewSession{Integrations: []string{"toggl"}})
	b := w.browser()
	b.open(cancelled).want(http.StatusOK)
	b.post("/connect/s/"+w.bound(b)+"/cancel", nil).want(http.StatusSeeOther)

	tests := map[string]struct {
		token  string
		status int
		says   string
	}{
		"unknown":           {"clv_cs_nobody", http.StatusNotFound, "This link does not work"},
		"a word of ours":    {"callback", http.StatusNotFound, "This link does not work"},
		"very long":         {strings.Repeat("x", 4000), http.StatusNotFound, "This link does not work"},
		"a session's id":    {s.ID, http.StatusNotFound, "This link does not work"},
		"a quote, a NUL":    {"%27%00", http.StatusNotFound, "This link does not work"},
		"expired":           {expired.Reveal(), http.StatusGone, "This link has expired"},
		"ended by its user": {cancelled.Reveal(), http.StatusGone, "This link was used"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				b := w.browser()
				p := b.send(b.request(method, "/connect/"+tt.token, url.Values{}, "same-origin")).want(tt.status).has(tt.says)
				p.lacks(ada.Name, ada.Email, tt.token, "Toggl")
				if len(p.Cookies()) != 0 {
					t.Errorf("%s sets %v", method, p.Cookies())
				}
			}
		})
	}
	w.wantNoLeak(expired.Reveal(), cancelled.Reveal())
}

// bound is the session that a browser holds.
func (w *world) bound(b *browser) string {
	w.t.Helper()
	cookies := b.sessionCookies()
	if len(cookies) != 1 {
		w.t.Fatalf("the browser holds %v", cookies)
	}
	return strings.TrimPrefix(cookies[0].Name, "clv_connect_")
}

func TestBindSetsACookieForOneSession(t *testing.T) {
	t.Parallel()
	for _, https := range []bool{false, true} {
		w := worldOn(t, storetest.SQLite(t), setting{appName: hostApp, https: https})
		s, token := w.session(vault.NewSession{Integrations: []string{"toggl"}})
		p := w.browser().post("/connect/"+token.Reveal(), nil).want(http.StatusSeeOther).to("/connect/s/" + s.ID)
		if strings.Contains(p.Header.Get("Location"), token.Reveal()) {
			t.Error("the token is in the URL")
		}
		if len(p.Cookies()) != 1 {
			t.Fatalf("cookies %v", p.Cookies())
		}
		k := p.Cookies()[0]
		name := "clv_connect_" + s.ID
		if https {
			name = "__Host-" + name
		}
		if k.Name != name || !k.HttpOnly || k.Secure != https || k.SameSite != http.SameSiteLaxMode || k.Path != "/" ||
			k.Domain != "" || k.MaxAge != int(vault.BoundTTL.Seconds()) || k.Value == token.Reveal() {
			t.Errorf("https %t: cookie %s", https, k)
		}
		w.wantNoLeak(k.Value, token.Reveal())
	}
}

func TestALinkIsForOneBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, token := w.session(vault.NewSession{Integrations: []string{"toggl-token"}})
	first := w.browser()
	first.open(token).want(http.StatusOK)

	second := w.browser()
	const says = "This belongs to another browser"
	second.get("/connect/" + token.Reveal()).want(http.StatusForbidden).has(says).lacks(ada.Name)
	second.post("/connect/"+token.Reveal(), nil).want(http.StatusForbidden).has(says)
	second.get("/connect/s/" + s.ID).want(http.StatusForbidden).has(says)
	second.get("/connect/s/" + s.ID + "/toggl-token/api_token").want(http.StatusForbidden)
	second.post("/connect/s/"+s.ID+"/toggl-token/api_token", url.Values{"api_token": {"x"}}).want(http.StatusForbidden)
	second.post("/connect/s/"+s.ID+"/cancel", nil).want(http.StatusForbidden)
	w.wantReason("other_browser")

	// The one that has it may open the link again.
	first.get("/connect/" + token.Reveal()).want(http.StatusOK)
	first.post("/connect/"+token.Reveal(), nil).want(http.StatusSeeOther)
	first.get("/connect/s/" + s.ID + "/toggl-token/api_token").want(http.StatusOK)
	if got := w.status(s.ID).Status; got != vault.SessionBound {
		t.Errorf("session is %s", got)
	}
}

func TestSeveralSessionsInOneBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	one, token := w.session(vault.NewSession{Integrations: []string{"toggl-token"}})
	b.open(token)
	two, token := w.session(vault.NewSession{Integrations: []string{"clicktime"}})
	b.open(token)
	b.get("/connect/s/" + one.ID + "/toggl-token/api_token").want(http.StatusOK).has("Toggl at Acme")
	b.get("/connect/s/" + two.ID + "/clicktime").want(http.StatusOK).has("ClickTime")
	b.get("/connect/s/" + two.ID + "/toggl-token").want(http.StatusNotFound)
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, token := w.session(vault.NewSession{Integrations: []string{"toggl-token"}})
	b := w.browser()
	b.send(b.request(http.MethodPost, "/connect/"+token.Reveal(), url.Values{}, "cross-site")).want(http.StatusForbidden).
		has("This was not sent from our page")
	if got := w.status(s.ID).Status; got != vault.SessionOpen {
		t.Errorf("session is %s", got)
	}
	b.open(token)
	for _, path := range []string{"/toggl-token/api_token", "/cancel"} {
		for _, site := range []string{"cross-site", "same-site"} {
			b.send(b.request(http.MethodPost, "/connect/s/"+s.ID+path, url.Values{"api_token": {"x"}}, site)).want(http.StatusForbidden)
		}
	}
	if got := w.status(s.ID).Status; got != vault.SessionBound {
		t.Errorf("session is %s", got)
	}
}

func TestEveryPageIsClosedToOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, token := w.session(vault.NewSession{Integrations: []string{"toggl", "timelog"}, ReturnURL: backTo})
	b := w.browser()
	b.open(token)
	for _, path := range []string{
		"/connect/" + token.Reveal(), "/connect/s/" + s.ID, "/connect/s/" + s.ID + "/toggl", "/connect/s/" + s.ID + "/toggl/password",
		"/connect/s/" + s.ID + "/timelog/oidc", "/connect/callback/" + w.ids["timelog"], "/connect/nothing",
	} {
		h := b.get(path).Header
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s = %q, want %q", path, name, got, want)
			}
		}
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %q", path, csp, want)
			}
		}
		inSession := strings.HasPrefix(path, "/connect/s/")
		if got := strings.Contains(csp, "form-action 'self' https://acme.example;"); got != inSession {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
}
