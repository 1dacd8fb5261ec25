package admin_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/admin"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// everyPage is every page that needs a sign-in.
func everyPage(connectionID, keyID string) []string {
	return []string{
		"/admin", "/admin/connections", "/admin/connections/" + connectionID, "/admin/connections/" + connectionID + "/revoke",
		"/admin/integrations", "/admin/api-keys", "/admin/api-keys/" + keyID + "/revoke", "/admin/audit",
	}
}

func TestSignInByLink(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		i := w.invite("Ada <b>", vault.RoleOperator)
		link := "/admin/link/" + i.Token.Reveal()
		b := w.browser()
		b.site = "none" // typed, or from a mail program

		// Scanners of mail open links: any number of times, and nothing happens.
		for range 3 {
			a := w.browser().get(link)
			if a.status != http.StatusOK || len(a.cookies) > 0 {
				t.Fatalf("opening the link: %d, cookies %v", a.status, a.cookies)
			}
			w.wantOn(a.body, []string{"Sign in as Ada &lt;b&gt; (operator)", `method="post"`}, "Sign out", i.Token.Reveal())
		}
		b.site = "same-origin"
		a := b.post(link, nil)
		if a.status != http.StatusSeeOther || a.location != "/admin" || len(a.cookies) != 1 {
			t.Fatalf("sign-in: %d to %q, cookies %v", a.status, a.location, a.cookies)
		}
		c := a.cookies[0]
		if c.Name != "clv_admin" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 0 {
			t.Errorf("cookie = %+v", c)
		}
		if strings.Contains(c.Value, i.Admin.ID) {
			t.Error("the cookie shows the admin's id")
		}
		w.wantOn(b.page("/admin/connections"), []string{"Sign out", "Environment default", "Ada &lt;b&gt;", "operator"})
		if a = b.get("/admin/sign-in"); a.status != http.StatusSeeOther || a.location != "/admin" {
			t.Errorf("the sign-in page when signed in: %d to %q", a.status, a.location)
		}
		e := w.trail()[0]
		if e.Action != vault.ActionAdminSignedIn || e.ActorKind != vault.CallerAdmin || e.ActorID != i.Admin.ID || e.SessionID == "" || e.Reason != "link" {
			t.Errorf("newest entry = %+v", e)
		}

		// Nobody gets in by it a second time.
		thief := w.browser()
		if a := thief.post(link, nil); a.status != http.StatusGone || len(a.cookies) > 0 {
			t.Errorf("used again: %d, cookies %v", a.status, a.cookies)
		}
		w.wantOn(thief.get(link).body, []string{"This link does not sign you in", "claviger admin invite"}, "Ada")
	})
}

func TestSignInByDeadLink(t *testing.T) {
	w := one(t)
	expired, replaced, removed := w.invite("A", vault.RoleViewer), w.invite("B", vault.RoleViewer), w.invite("C", vault.RoleViewer)
	w.clock.advance(time.Hour)
	if err := w.vault.RemoveAdmin(t.Context(), w.system(), removed.Admin.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.vault.InviteAgain(t.Context(), w.system(), replaced.Admin.ID, vault.InviteLife); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"expired": expired.Token.Reveal(), "replaced": replaced.Token.Reveal(), "of a removed admin": removed.Token.Reveal(),
		"cut short": expired.Token.Reveal()[:40], "unknown": "clv_adm_x",
	} {
		b := w.browser()
		b.from = w.newAddress()
		for _, a := range []answer{b.get("/admin/link/" + token), b.post("/admin/link/"+token, nil)} {
			if a.status != http.StatusGone || len(a.cookies) > 0 || !strings.Contains(a.body, "This link does not sign you in") {
				t.Errorf("%s: %d, cookies %v", name, a.status, a.cookies)
			}
		}
	}
}

// TestOneLinkOneSession: however many use a link at once, one gets in.
func TestOneLinkOneSession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		i := w.invite("Ada", vault.RoleOwner)
		in := make(chan bool, 8)
		for range cap(in) {
			go func() {
				_, err := w.vault.SignInByLink(t.Context(), i.Token, vault.Browser{})
				in <- err == nil
			}()
		}
		n := 0
		for range cap(in) {
			if <-in {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d sessions by one link", n)
		}
	})
}

func TestSignInOnHTTPS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t), "https")
	a := w.browser().signIn(w.invite("Ada", vault.RoleOwner).Token)
	if len(a.cookies) != 1 || a.cookies[0].Name != "__Host-clv_admin" || !a.cookies[0].Secure {
		t.Errorf("cookies = %v", a.cookies)
	}
}

// TestSignInLeadsInside: nobody is sent elsewhere after signing in.
func TestSignInLeadsInside(t *testing.T) {
	w := one(t)
	b := w.admin()
	for _, tt := range []struct{ next, want string }{
		{"", "/admin"},
		{"/admin/connections?q=ada&status=active", "/admin/connections?q=ada&status=active"},
		{"https://evil.example/admin/audit", "/admin"},
		{"//evil.example/admin/audit", "/admin"},
		{`/\evil.example/admin`, "/admin"},
		{`/admin/\..\evil`, "/admin"},
		{"/admin/../connect/x", "/admin"},
		{"/administrator", "/admin"},
		{"/admin/sign-out", "/admin"},
		{"/admin/sign-in?next=/admin", "/admin"},
		{"/admin/link/clv_adm_x", "/admin"},
		{"javascript:alert(1)", "/admin"},
		{"/admin/connections\r\nX-Evil: 1", "/admin"},
		{"/admin/connections/con_x", "/admin/connections/con_x"},
		{"/admin/connections/con_x/refresh", "/admin"}, // which is a form's
		{"/admin/nothing", "/admin"},
		{"/admin/overview/stream", "/admin"},
		{"/admin/revocations/rev_x/progress", "/admin"},
		{"/admin/audit/export?format=ndjson", "/admin"},
	} {
		a := b.get("/admin/sign-in?" + url.Values{"next": {tt.next}}.Encode())
		if a.status != http.StatusSeeOther || a.location != tt.want || a.header.Get("X-Evil") != "" {
			t.Errorf("next %.60q leads to %q (%d), want %q", tt.next, a.location, a.status, tt.want)
		}
	}
	for path, want := range map[string]string{
		"/admin/audit?actor=x":              "/admin/sign-in?next=%2Fadmin%2Faudit%3Factor%3Dx",
		"/admin/audit/export?format=ndjson": "/admin/sign-in?next=%2Fadmin%2Faudit",
		"/admin/revocations/rev_x/progress": "/admin/sign-in?next=%2Fadmin%2Frevocations%2Frev_x",
	} {
		if a := w.browser().get(path); a.status != http.StatusSeeOther || a.location != want {
			t.Errorf("%s without a session: %d to %q", path, a.status, a.location)
		}
	}
}

// TestLinkLeadsBack: whoever had to get a link on the way somewhere gets there.
func TestLinkLeadsBack(t *testing.T) {
	w := one(t)
	b := w.browser()
	b.self = w.invite("Ada", vault.RoleOwner).Admin
	lands := func(want string) {
		t.Helper()
		i, err := w.vault.InviteAgain(t.Context(), w.system(), b.self.ID, vault.InviteLife)
		if err != nil {
			t.Fatal(err)
		}
		b.from = w.newAddress()
		if a := b.signIn(i.Token); a.status != http.StatusSeeOther || a.location != want {
			t.Errorf("%d to %q, want %q", a.status, a.location, want)
		}
	}
	b.page(b.get("/admin/audit?actor=x").location)
	w.wantOn(b.signIn(vault.NewSecret("dead")).body, []string{"This link does not sign you in"})
	lands("/admin/audit?actor=x")
	lands("/admin") // once

	// The page that asked for a fresh sign-in, or that a form was on.
	w.clock.advance(vault.FreshFor)
	page := "/admin/admins/" + b.self.ID
	w.wantOn(b.get("/admin/api-keys/new?for=read").body, []string{"Sign in again", "open it in this browser"})
	lands("/admin/api-keys/new?for=read")
	w.clock.advance(vault.FreshFor)
	b.post(page+"/link", url.Values{"token": {b.token(b.page(page))}})
	lands(page)

	// What was asked for before signing out, or long ago, is over.
	w.clock.advance(vault.FreshFor)
	b.get("/admin/admins/new")
	b.post("/admin/sign-out", url.Values{"token": {b.token(b.page("/admin"))}})
	lands("/admin")
	w.clock.advance(vault.FreshFor)
	b.get("/admin/admins/new")
	w.clock.advance(time.Hour)
	lands("/admin")

	for _, forged := range []string{"/admin/audit", "x", b.cookie()} {
		b.plantNamed("clv_next", forged)
		lands("/admin")
	}
}

// TestFormAfterTheSession: whose session is over when they send a form comes back
// to the page that it was on.
func TestFormAfterTheSession(t *testing.T) {
	w := one(t)
	for path, want := range map[string]string{
		"/admin/connections/con_06h03dkgndq6vfdsu9o8c2iihs/refresh": "/admin/connections/con_06h03dkgndq6vfdsu9o8c2iihs",
		"/admin/api-keys/new": "/admin/api-keys/new",
		"/admin/environment":  "",
	} {
		a := w.browser().post(path, nil)
		to, err := url.Parse(a.location)
		if err != nil || to.Path != "/admin/sign-in" || to.Query().Get("next") != want {
			t.Errorf("%s: %d to %q", path, a.status, a.location)
		}
	}
}

func TestSignInIsLimitedByAddress(t *testing.T) {
	w := one(t)
	try := func(from string) answer {
		b := w.browser()
		b.from = from
		return b.signIn(vault.NewSecret("wrong"))
	}
	for i := range 10 {
		if a := try("203.0.113.7"); a.status != http.StatusGone {
			t.Fatalf("try %d: %d", i, a.status)
		}
	}
	a := try("203.0.113.7")
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "6" {
		t.Fatalf("try 11: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	w.wantOn(a.body, []string{"Too many tries", "Wait 6 seconds"})
	if a := try("203.0.113.8"); a.status != http.StatusGone {
		t.Errorf("another address: %d", a.status)
	}

	good, link := w.browser(), w.invite("Ada", vault.RoleOwner).Token
	good.from = "203.0.113.7"
	if a := good.signIn(link); a.status != http.StatusTooManyRequests {
		t.Errorf("the right link, too: %d", a.status)
	}
	w.clock.advance(6 * time.Second)
	if a := good.signIn(link); a.status != http.StatusSeeOther {
		t.Errorf("after waiting as told: %d", a.status)
	}

	// Of IPv6 one subscriber has a whole /64.
	for i := range 10 {
		try(fmt.Sprintf("2001:db8:1:1::%d", i))
	}
	if a := try("2001:db8:1:1:ffff::1"); a.status != http.StatusTooManyRequests {
		t.Errorf("another address of the same /64: %d", a.status)
	}
	if a := try("2001:db8:1:2::1"); a.status != http.StatusGone {
		t.Errorf("another /64: %d", a.status)
	}
}

// TestSignInIsLimitedByAccount: from however many addresses.
func TestSignInIsLimitedByAccount(t *testing.T) {
	w := one(t)
	who := w.invite("Ada", vault.RoleOwner).Admin
	try := func() answer {
		i, err := w.vault.InviteAgain(t.Context(), w.system(), who.ID, vault.InviteLife)
		if err != nil {
			t.Fatal(err)
		}
		b := w.browser()
		b.from = w.newAddress()
		return b.signIn(i.Token)
	}
	for i := range 10 {
		if a := try(); a.status != http.StatusSeeOther {
			t.Fatalf("try %d: %d", i, a.status)
		}
	}
	if a := try(); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "6" {
		t.Errorf("try 11: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	w.admin() // somebody else gets in
}

// TestSignInForgetsAddresses: the memory for addresses is bounded.
func TestSignInForgetsAddresses(t *testing.T) {
	t.Parallel()
	size, most := admin.LimiterSize(50_000, func(i int) string {
		return fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)
	})
	if size > most || size < most/2 {
		t.Errorf("%d addresses remembered, want at most %d", size, most)
	}
	if size, _ := admin.LimiterSize(10, func(int) string { return "no address" }); size != 1 {
		t.Errorf("%d entries for what is no address, want 1", size)
	}
}

// TestSignInFromElsewhere: a strict cookie is not sent with a link from a mail,
// so the page asks once more.
func TestSignInFromElsewhere(t *testing.T) {
	w := one(t)
	b := w.browser()
	b.site = "cross-site"
	if got := b.get("/admin/sign-in?next=/admin/audit").header.Get("Refresh"); got != "0" {
		t.Errorf("Refresh = %q", got)
	}
	b.site = "same-origin" // the second time
	if got := b.get("/admin/sign-in?next=/admin/audit").header.Get("Refresh"); got != "" {
		t.Errorf("Refresh the second time = %q", got)
	}
}

func TestSignOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.admin()
		stolen := b.cookie()
		other := w.browser()
		other.plant(stolen)
		other.page("/admin/connections") // it works, for now

		a := b.post("/admin/sign-out", url.Values{"token": {b.token(b.page("/admin/connections"))}})
		if a.status != http.StatusSeeOther || a.location != "/admin/sign-in?after=sign-out" {
			t.Fatalf("sign-out: %d to %q", a.status, a.location)
		}
		if got := a.header.Get("Clear-Site-Data"); got != `"cache", "storage"` {
			t.Errorf("Clear-Site-Data = %q", got)
		}
		if b.cookie() != "" {
			t.Error("the browser still has its cookie")
		}
		w.wantOn(b.page(a.location), []string{"You are signed out"})

		// A replay of the cookie, here and on a replica that was not asked.
		replica := *w
		replica.url = replica.serve(w.keyset)
		for _, on := range []*world{w, &replica} {
			thief := on.browser()
			thief.plant(stolen)
			if a := thief.get("/admin/connections"); a.status != http.StatusSeeOther || !strings.Contains(a.location, "after=session") {
				t.Errorf("replay: %d to %q", a.status, a.location)
			}
		}
		entries := w.trail()
		if entries[0].Action != vault.ActionAdminSignedOut || entries[0].SessionID != entries[1].SessionID {
			t.Errorf("trail = %+v, %+v", entries[0], entries[1])
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, tt := range []struct {
			name string
			end  func(b *browser)
		}{
			{"its admin is removed", func(b *browser) {
				if err := w.vault.RemoveAdmin(t.Context(), w.system(), b.self.ID); err != nil {
					t.Fatal(err)
				}
			}},
			{"the same browser signed in anew", func(b *browser) {
				before := b.cookie()
				b.signInAgain()
				b.page("/admin/connections")
				b.plant(before)
			}},
			{"nobody used it", func(*browser) { w.clock.advance(30 * time.Minute) }},
			{"it has lasted a day's work, however busy", func(b *browser) {
				for range 23 {
					w.clock.advance(20 * time.Minute)
					b.page("/admin/connections")
				}
				w.clock.advance(20 * time.Minute)
			}},
			{"a cookie of another keyset", func(b *browser) {
				other, err := vault.NewKeyset()
				if err != nil {
					t.Fatal(err)
				}
				b.url = b.serve(other)
				b.plant(b.cookieOf(w.url))
			}},
			{"a changed cookie", func(b *browser) {
				c := []byte(b.cookie())
				c[len(c)/2] ^= 1
				b.plant(string(c))
			}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				sub := *w
				sub.t = t
				b := sub.admin()
				b.page("/admin/connections")
				tt.end(b)
				for _, path := range everyPage("con_06h03dkgndq6vfdsu9o8c2iihs", "key_06h03dkgndq6vfdsu9o8c2iihs") {
					if a := b.get(path); a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/admin/sign-in") {
						t.Errorf("GET %s: %d to %q", path, a.status, a.location)
					}
				}
			})
		}
	})
}

// cookieOf is the cookie that the browser holds for another server.
func (b *browser) cookieOf(server string) string {
	at := b.url
	defer func() { b.url = at }()
	b.url = server
	return b.cookie()
}

// TestSessionSurvivesKeyRotation: a rotation does not sign everybody out, a
// retired key does.
func TestSessionSurvivesKeyRotation(t *testing.T) {
	w := one(t)
	b := w.admin()
	rotated, err := w.keyset.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	retired, err := rotated.Retire(w.keyset.PrimaryID())
	if err != nil {
		t.Fatal(err)
	}
	cookie := b.cookie()
	at := func(keyset *vault.Keyset, cookie string) (int, string) {
		replica := *w
		replica.url = replica.serve(keyset)
		other := replica.browser()
		other.plant(cookie)
		a := other.get("/admin/connections")
		return a.status, other.cookie()
	}
	status, fresh := at(rotated, cookie)
	if status != http.StatusOK || fresh == cookie {
		t.Fatalf("after a rotation: %d, fresh cookie: %v", status, fresh != cookie)
	}
	if status, _ := at(retired, fresh); status != http.StatusOK {
		t.Errorf("a cookie of the new key: %d", status)
	}
	if status, _ := at(retired, cookie); status != http.StatusSeeOther {
		t.Errorf("a cookie of a retired key: %d", status)
	}
}

func TestForgedForms(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		conn := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
		victimKey, _ := w.key("victim")
		b := w.admin()
		other := w.admin()
		own, theirs := b.token(b.page("/admin/connections")), other.token(other.page("/admin/connections"))
		if own == theirs {
			t.Fatal("two sessions with one token")
		}
		forms := []string{
			"/admin/connections/" + conn.ID + "/revoke",
			"/admin/api-keys/" + victimKey.ID + "/revoke",
			"/admin/environment",
			"/admin/sign-out",
		}
		for _, path := range forms {
			for _, tt := range []struct {
				name, site, path string
				form             url.Values
			}{
				{"no token", "same-origin", path, nil},
				{"an empty token", "same-origin", path, url.Values{"token": {""}}},
				{"another session's token", "same-origin", path, url.Values{"token": {theirs}}},
				{"the token in the URL", "same-origin", path + "?token=" + own, nil},
				{"another site, with the right token", "cross-site", path, url.Values{"token": {own}}},
				{"a sibling host, with the right token", "same-site", path, url.Values{"token": {own}}},
			} {
				b.site = tt.site
				a := b.post(tt.path, tt.form)
				b.site = "same-origin"
				if a.status != http.StatusForbidden || !strings.Contains(a.body, "nothing was done") {
					t.Errorf("%s, %s: %d to %q\n%s", path, tt.name, a.status, a.location, a.body)
				}
			}
		}
		// A client without Sec-Fetch-Site says where it comes from by Origin.
		b.site = ""
		r := b.request(http.MethodPost, forms[0], strings.NewReader(url.Values{"token": {own}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://evil.example")
		if a := b.do(r); a.status != http.StatusForbidden {
			t.Errorf("another origin: %d", a.status)
		}
		b.site = "same-origin"
		// Nor is anybody signed in from elsewhere.
		stranger := w.browser()
		stranger.site = "cross-site"
		if a := stranger.signIn(w.invite("Attacker", vault.RoleOwner).Token); a.status != http.StatusForbidden || len(a.cookies) > 0 {
			t.Errorf("sign-in from another site: %d, %v", a.status, a.cookies)
		}
		// A form without a session is not done either.
		if a := w.browser().post(forms[0], url.Values{"token": {own}}); a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/admin/sign-in?") {
			t.Errorf("without a session: %d to %q", a.status, a.location)
		}

		if got, err := w.vault.Connection(t.Context(), w.system(), conn.ID); err != nil || got.Status != vault.StatusActive {
			t.Errorf("connection = %v, %v; want it active", got.Status, err)
		}
		if k, err := w.vault.APIKey(t.Context(), w.system(), victimKey.ID); err != nil || !k.RevokedAt.IsZero() {
			t.Errorf("key revoked at %v, %v", k.RevokedAt, err)
		}
		for _, path := range everyPage(conn.ID, victimKey.ID)[1:] {
			b.page(path)
		}
	})
}

// TestWrongFormType: only what a form of ours sends is read.
func TestWrongFormType(t *testing.T) {
	w := one(t)
	b := w.admin()
	r := b.request(http.MethodPost, "/admin/sign-out", strings.NewReader(`{"token":"`+b.token(b.page("/admin/connections"))+`"}`))
	r.Header.Set("Content-Type", "application/json")
	if a := b.do(r); a.status != http.StatusUnsupportedMediaType {
		t.Errorf("JSON: %d", a.status)
	}
	if a := b.post("/admin/sign-out", url.Values{"token": {strings.Repeat("k", 32<<10)}}); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large form: %d", a.status)
	}
}

// TestPageHeaders: what a page of a signed-in admin carries.
func TestPageHeaders(t *testing.T) {
	w := one(t)
	b := w.admin()
	a := b.get("/admin/connections")
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got := a.header.Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self'") || !strings.Contains(got, "frame-ancestors 'none'") {
		t.Errorf("Content-Security-Policy = %q", got)
	}
	for _, bad := range []string{" style=", "onclick=", "<script>"} {
		if strings.Contains(a.body, bad) {
			t.Errorf("the page has %q, which the policy blocks", bad)
		}
	}
	if slices.ContainsFunc(a.cookies, func(c *http.Cookie) bool { return c.Name == "clv_admin" }) {
		t.Error("a fresh cookie without need")
	}
}

// TestStreamAfterTheSession: a page that is still open is nobody on the way
// somewhere.
func TestStreamAfterTheSession(t *testing.T) {
	w := one(t)
	b := w.browser()
	b.self = w.invite("Ada", vault.RoleOwner).Admin
	b.signInAgain()
	w.clock.advance(vault.AdminLife)
	for _, path := range []string{"/admin/overview/stream", "/admin/revocations/rev_06h03dkgndq6vfdsu9o8c2iihs/progress"} {
		r := b.request(http.MethodGet, path, nil)
		r.Header.Set("Accept", "text/event-stream")
		if a := b.do(r); a.status != http.StatusNoContent || len(a.cookies) > 0 {
			t.Errorf("%s: %d to %q, with %d cookies", path, a.status, a.location, len(a.cookies))
		}
	}
	if a := b.get("/admin/audit"); a.location != "/admin/sign-in?after=session&next=%2Fadmin%2Faudit" {
		t.Errorf("then to %q", a.location)
	}
}
