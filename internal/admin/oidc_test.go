package admin_test

import (
	"crypto/rand"
	"crypto/rsa"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/claviger/claviger/internal/admin"
	"github.com/claviger/claviger/internal/providers/login"
	"github.com/claviger/claviger/internal/providers/login/logintest"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// withProvider serves the pages anew, with an OpenID provider for admins.
func (w *world) withProvider(rules string) *logintest.OP {
	w.t.Helper()
	op := logintest.New(w.t, w.clock.Now)
	roles, err := admin.ParseRoles(rules)
	if err != nil {
		w.t.Fatal(err)
	}
	w.secrets = append(w.secrets, logintest.ClientSecret)
	w.provider = &admin.Provider{Roles: roles, Login: login.New(login.Config{
		HTTP: w.outbound(), Issuer: op.URL, ClientID: logintest.ClientID, ClientSecret: vault.NewSecret(logintest.ClientSecret),
		Scopes: []string{"openid", "profile"}, RedirectURI: w.public.String() + admin.CallbackPath, Now: w.clock.Now,
	})}
	w.url = w.serve(w.keyset)
	return op
}

const rules = "groups=owners:owner,groups=support:operator,email=ann@example.com:viewer"

// leave sends the browser to the provider and answers where.
func (b *browser) leave(path string) string {
	b.t.Helper()
	a := b.get(path)
	if a.status != http.StatusSeeOther || !strings.Contains(a.location, "/authorize?") {
		b.t.Fatalf("GET %s: %d to %q\n%s", path, a.status, a.location, a.body)
	}
	return a.location
}

// comeBack is the provider's redirect: from another site.
func (b *browser) comeBack(reply url.Values) answer {
	b.t.Helper()
	b.site = "cross-site"
	defer func() { b.site = "same-origin" }()
	return b.get("/admin/callback?" + reply.Encode())
}

// signInAt goes to the provider and back.
func (b *browser) signInAt(op *logintest.OP, path string) answer {
	b.t.Helper()
	return b.comeBack(op.Reply(b.leave(path)))
}

func TestSignInByProvider(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		op := w.withProvider(rules)
		op.Claims["groups"] = []string{"staff", "support"}
		b := w.browser()
		w.wantOn(b.page("/admin/sign-in?next=/admin/audit"), []string{"Sign in at 127.0.0.1", `href="/admin/sign-in/provider?next=%2Fadmin%2Faudit"`})
		to, err := url.Parse(b.leave("/admin/sign-in/provider?next=/admin/audit"))
		if err != nil {
			t.Fatal(err)
		}
		q := to.Query()
		for name, want := range map[string]string{
			"response_type": "code", "client_id": logintest.ClientID, "redirect_uri": "http://broker.example/admin/callback",
			"scope": "openid profile", "code_challenge_method": "S256", "max_age": "28800", "prompt": "",
		} {
			if q.Get(name) != want {
				t.Errorf("%s = %q, want %q", name, q.Get(name), want)
			}
		}
		for _, name := range []string{"state", "nonce", "code_challenge"} {
			if len(q.Get(name)) < 43 {
				t.Errorf("%s = %q", name, q.Get(name))
			}
		}
		a := b.comeBack(op.Reply(to.String()))
		if a.status != http.StatusOK || a.header.Get("Refresh") != "0; url=/admin/audit" {
			t.Fatalf("callback: %d, Refresh %q\n%s", a.status, a.header.Get("Refresh"), a.body)
		}
		w.wantOn(b.page("/admin/audit"), []string{"Ada Lovelace", "operator", "Admin signed in"})
		e := w.trail()[0]
		if e.Action != vault.ActionAdminSignedIn || e.Reason != "oidc" {
			t.Errorf("newest entry = %+v", e)
		}

		// The next time the role is another, and the admin the same.
		op.Set(func(op *logintest.OP) { op.Claims["groups"] = "owners" })
		other := w.browser()
		other.signInAt(op, "/admin/sign-in/provider")
		w.wantOn(other.page("/admin/connections"), []string{"owner"})
		w.wantOn(b.page("/admin/connections"), []string{"owner"}) // everywhere, at once
		admins, err := w.vault.Admins(t.Context(), w.system(), vault.Page{})
		if err != nil || len(admins) != 1 || admins[0].Issuer != op.URL || admins[0].Subject != "ada-1815" {
			t.Errorf("admins = %+v, %v", admins, err)
		}
	})
}

func TestTripCookie(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t), "https")
	w.withProvider(rules)
	a := w.browser().get("/admin/sign-in/provider")
	if len(a.cookies) != 1 {
		t.Fatalf("cookies = %v", a.cookies)
	}
	c := a.cookies[0]
	if c.Name != "__Host-clv_admin_trip" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.MaxAge != 600 {
		t.Errorf("cookie = %+v", c)
	}
}

// TestRolesFromClaims: what the provider says, in the token or at userinfo,
// comes to the highest role that the rules give.
func TestRolesFromClaims(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		claims, userinfo map[string]any
		want             vault.Role
	}{
		"string":                      {map[string]any{"groups": "support"}, nil, vault.RoleOperator},
		"array, the highest":          {map[string]any{"groups": []string{"support", "owners"}}, nil, vault.RoleOwner},
		"verified email":              {map[string]any{"email": "ann@example.com", "email_verified": true}, nil, vault.RoleViewer},
		"email of nobody's word":      {map[string]any{"email": "ann@example.com"}, nil, ""},
		"unverified email":            {map[string]any{"email": "ann@example.com", "email_verified": false}, nil, ""},
		"verified in words":           {map[string]any{"email": "ann@example.com", "email_verified": "true"}, nil, ""},
		"another group":               {map[string]any{"groups": []string{"staff"}}, nil, ""},
		"a part of the name":          {map[string]any{"groups": "owners-of-cats"}, nil, ""},
		"not text":                    {map[string]any{"groups": map[string]any{"owners": true}}, nil, ""},
		"in other case":               {map[string]any{"Groups": "owners"}, nil, ""},
		"at userinfo":                 {nil, map[string]any{"groups": []string{"owners"}}, vault.RoleOwner},
		"the token has the last word": {map[string]any{"groups": "support"}, map[string]any{"groups": "owners"}, vault.RoleOperator},
		"verified at userinfo":        {map[string]any{"email": "ann@example.com"}, map[string]any{"email": "ann@example.com", "email_verified": true}, vault.RoleViewer},
		"another email is verified":   {map[string]any{"email": "ann@example.com"}, map[string]any{"email": "mallory@example.com", "email_verified": true}, ""},
		"verified, and no email":      {map[string]any{"email_verified": true}, map[string]any{"email": "ann@example.com"}, ""},
		"userinfo of somebody else":   {nil, map[string]any{"groups": []string{"owners"}, "sub": "mallory"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := one(t)
			op := w.withProvider(rules)
			maps.Copy(op.Claims, tt.claims)
			op.Userinfo = tt.userinfo
			b := w.browser()
			a := b.signInAt(op, "/admin/sign-in/provider")
			if tt.want == "" {
				if a.status == http.StatusOK || b.cookie() != "" {
					t.Fatalf("let in: %d", a.status)
				}
				e := w.trail()[0]
				if e.Action != vault.ActionAdminRefused || e.Allowed {
					t.Errorf("newest entry = %+v", e)
				}
				if name != "userinfo of somebody else" {
					w.wantOn(a.body, []string{"Your account has no role here"})
					if e.ActorID != vault.SubjectID(op.URL, "ada-1815") || e.Reason != vault.ReasonNoRole {
						t.Errorf("newest entry = %+v", e)
					}
				}
				return
			}
			w.wantOn(b.page("/admin/connections"), []string{`class="badge">` + string(tt.want)})
		})
	}
}

// TestFlawedReplies: no session, and before the exchange no call either.
func TestFlawedReplies(t *testing.T) {
	t.Parallel()
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	change := func(name string, value any) func(*logintest.OP) {
		return func(op *logintest.OP) { op.Change = func(c map[string]any) { c[name] = value } }
	}
	drop := func(name string) func(*logintest.OP) {
		return func(op *logintest.OP) { op.Change = func(c map[string]any) { delete(c, name) } }
	}
	for name, tt := range map[string]struct {
		op     func(*logintest.OP)
		reply  func(w *world, q url.Values)
		reason string // in the trail; "" where it is nobody's trip
		calls  int
	}{
		"wrong nonce":        {op: change("nonce", "another"), reason: "nonce", calls: 1},
		"no nonce":           {op: drop("nonce"), reason: "nonce", calls: 1},
		"wrong aud":          {op: change("aud", "another"), reason: "aud", calls: 1},
		"two audiences":      {op: change("aud", []string{logintest.ClientID, "another"}), reason: "aud", calls: 1},
		"wrong azp":          {op: change("azp", "another"), reason: "azp", calls: 1},
		"wrong iss":          {op: change("iss", "https://evil.example"), reason: "iss", calls: 1},
		"expired":            {op: change("exp", 1), reason: "exp", calls: 1},
		"no sub":             {op: drop("sub"), reason: "sub", calls: 1},
		"wrong at_hash":      {op: change("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), reason: "at_hash", calls: 1},
		"sub twice":          {op: change("SUB", "mallory"), reason: "duplicate_member", calls: 1},
		"signed in long ago": {op: change("auth_time", time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC).Unix()), reason: "auth_time", calls: 1},
		"alg none": {op: func(op *logintest.OP) {
			op.Sign = func(c map[string]any) string { return logintest.Unsigned(t, c) }
		}, reason: "token_exchange", calls: 1},
		"signed by its own client secret": {op: func(op *logintest.OP) {
			op.Sign = func(c map[string]any) string {
				return logintest.SignWith(t, jose.HS256, []byte(logintest.ClientSecret+"-of-32-bytes"), "JWT", c)
			}
		}, reason: "alg", calls: 1},
		"signed by a stranger": {op: func(op *logintest.OP) {
			op.Sign = func(c map[string]any) string { return logintest.SignWith(t, jose.RS256, stranger, "JWT", c) }
		}, reason: "signature", calls: 1},
		"access token": {op: func(op *logintest.OP) {
			op.Sign = func(c map[string]any) string { return op.Token("at+jwt", c) }
		}, reason: "typ", calls: 1},
		"another state":   {reply: func(_ *world, q url.Values) { q.Set("state", strings.Repeat("x", 43)) }},
		"no state":        {reply: func(_ *world, q url.Values) { q.Del("state") }},
		"state twice":     {reply: func(_ *world, q url.Values) { q.Add("state", q.Get("state")) }},
		"code twice":      {reply: func(_ *world, q url.Values) { q.Add("code", "x") }, reason: "reply_shape"},
		"no code":         {reply: func(_ *world, q url.Values) { q.Del("code") }, reason: "reply_shape"},
		"another code":    {reply: func(_ *world, q url.Values) { q.Set("code", "x") }, reason: "token_exchange", calls: 1},
		"another issuer":  {reply: func(_ *world, q url.Values) { q.Set("iss", "https://evil.example") }, reason: "iss"},
		"another's error": {reply: func(_ *world, q url.Values) { q.Set("error", "access_denied"); q.Set("iss", "https://evil.example") }, reason: "iss"},
		"denied":          {reply: func(_ *world, q url.Values) { q.Set("error", "access_denied") }, reason: "access_denied"},
		"error made up":   {reply: func(_ *world, q url.Values) { q.Set("error", "hello_from_mallory") }, reason: "provider_error"},
		"error in words":  {reply: func(_ *world, q url.Values) { q.Set("error", "<b>no</b> canary") }, reason: "provider_error"},
		"too late":        {reply: func(w *world, _ url.Values) { w.clock.advance(10 * time.Minute) }, reason: "trip_expired"},
		"iss is missing where it is promised": {op: func(op *logintest.OP) {
			op.Metadata = map[string]any{"authorization_response_iss_parameter_supported": true}
		}, reason: "iss"},
	} {
		t.Run(name, func(t *testing.T) {
			w := one(t)
			op := w.withProvider(rules)
			op.Claims["groups"] = "owners"
			if tt.op != nil {
				tt.op(op)
			}
			b := w.browser()
			reply := op.Reply(b.leave("/admin/sign-in/provider"))
			if tt.reply != nil {
				tt.reply(w, reply)
			}
			a := b.comeBack(reply)
			if a.status != http.StatusBadRequest || b.cookie() != "" || !strings.Contains(a.body, "The sign-in did not work") {
				t.Fatalf("callback: %d, cookie %q\n%s", a.status, b.cookie(), a.body)
			}
			if op.Exchanges != tt.calls {
				t.Errorf("%d calls of the token endpoint, want %d", op.Exchanges, tt.calls)
			}
			if admins, err := w.vault.Admins(t.Context(), w.system(), vault.Page{}); err != nil || len(admins) > 0 {
				t.Errorf("admins = %v, %v", admins, err)
			}
			e := w.trail()[0]
			if refused := e.Action == vault.ActionAdminRefused; refused != (tt.reason != "") || refused && e.Reason != tt.reason {
				t.Errorf("newest entry = %+v, want the reason %q", e, tt.reason)
			}
			w.wantNoLeak()
		})
	}
}

// TestTripIsUsedOnce: the cookie goes with the first reply; whoever keeps it
// begins nothing with it.
func TestTripIsUsedOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		op := w.withProvider(rules)
		op.Claims["groups"] = "owners"
		b := w.browser()
		to := b.leave("/admin/sign-in/provider")
		kept := b.named("clv_admin_trip")
		first, second := op.Reply(to), op.Reply(to)
		if a := b.comeBack(first); a.status != http.StatusOK {
			t.Fatalf("callback: %d", a.status)
		}
		if b.named("clv_admin_trip") != "" {
			t.Error("the browser still has the trip")
		}
		if a := b.comeBack(first); a.status != http.StatusBadRequest {
			t.Errorf("the reply again: %d", a.status)
		}
		thief := w.browser()
		thief.plantNamed("clv_admin_trip", kept)
		if a := thief.comeBack(second); a.status != http.StatusForbidden || thief.cookie() != "" || !strings.Contains(a.body, "used already") {
			t.Errorf("the trip again, with a code of its own: %d\n%s", a.status, a.body)
		}
		if e := w.trail()[0]; e.Action != vault.ActionAdminRefused || e.Reason != vault.ReasonTripUsed {
			t.Errorf("newest entry = %+v", e)
		}
		// Nor is another browser signed in by a reply that it was handed.
		victim := w.browser()
		if a := victim.comeBack(op.Reply(b.leave("/admin/sign-in/provider?again=1"))); a.status != http.StatusBadRequest || victim.cookie() != "" {
			t.Errorf("another browser: %d", a.status)
		}
	})
}

func TestSignInAgainAtProvider(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		op := w.withProvider(rules)
		op.Claims["groups"] = "owners"
		env, err := w.vault.EnsureEnvironment(t.Context(), "staging")
		if err != nil {
			t.Fatal(err)
		}
		b := w.browser()
		b.signInAt(op, "/admin/sign-in/provider")
		b.switchTo(env.ID)
		stale := b.cookie()
		w.clock.advance(11 * time.Minute)

		a := b.get("/admin/admins/new")
		if a.status != http.StatusForbidden || !strings.Contains(a.body, "Sign in again") {
			t.Fatalf("a page for a fresh sign-in: %d\n%s", a.status, a.body)
		}
		again := "/admin/sign-in/provider?again=1&next=%2Fadmin%2Fadmins%2Fnew"
		w.wantOn(a.body, []string{`href="` + strings.ReplaceAll(again, "&", "&amp;") + `"`}, "claviger admin invite")
		to := b.leave(again)
		if q, _ := url.Parse(to); q.Query().Get("prompt") != "login" || q.Query().Get("max_age") != "0" {
			t.Errorf("sent to %s", to)
		}
		for name, change := range map[string]struct {
			change func(c map[string]any)
			status int
			reason string
		}{
			"no auth_time":     {func(c map[string]any) { delete(c, "auth_time") }, http.StatusBadRequest, "auth_time"},
			"signed in before": {func(c map[string]any) { c["auth_time"] = w.clock.Now().Add(-2 * time.Minute).Unix() }, http.StatusBadRequest, "auth_time"},
			"somebody else":    {func(c map[string]any) { c["sub"] = "grace-1906" }, http.StatusForbidden, vault.ReasonOtherAccount},
		} {
			op.Set(func(op *logintest.OP) { op.Change = change.change })
			b.from = w.newAddress()
			if a := b.signInAt(op, again); a.status != change.status || b.cookie() != stale {
				t.Errorf("%s: %d\n%s", name, a.status, a.body)
			}
			if e := w.trail()[0]; e.Action != vault.ActionAdminRefused || e.Reason != change.reason {
				t.Errorf("%s: newest entry = %+v", name, e)
			}
		}
		op.Set(func(op *logintest.OP) { op.Change = nil })
		if a := b.signInAt(op, again); a.status != http.StatusOK || a.header.Get("Refresh") != "0; url=/admin/admins/new" {
			t.Fatalf("signed in again: %d, Refresh %q", a.status, a.header.Get("Refresh"))
		}
		w.wantOn(b.page("/admin/admins/new"), []string{"Environment staging"})
		b.plant(stale) // the session from before is over
		if a := b.get("/admin"); !strings.HasPrefix(a.location, "/admin/sign-in") {
			t.Errorf("the old session: %d to %q", a.status, a.location)
		}
	})
}

// TestRemovedAtProvider: the provider's word does not bring back whom an owner
// has removed.
func TestRemovedAtProvider(t *testing.T) {
	w := one(t)
	op := w.withProvider(rules)
	op.Claims["groups"] = "owners"
	b := w.browser()
	b.signInAt(op, "/admin/sign-in/provider")
	admins, err := w.vault.Admins(t.Context(), w.system(), vault.Page{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.vault.RemoveAdmin(t.Context(), w.system(), admins[0].ID); err != nil {
		t.Fatal(err)
	}
	if a := b.get("/admin"); a.status != http.StatusSeeOther {
		t.Errorf("after the removal: %d", a.status)
	}
	a := b.signInAt(op, "/admin/sign-in/provider")
	if a.status != http.StatusForbidden || !strings.Contains(a.body, "You were removed") {
		t.Errorf("signing in after the removal: %d\n%s", a.status, a.body)
	}
	if err := w.vault.RestoreAdmin(t.Context(), w.system(), admins[0].ID); err != nil {
		t.Fatal(err)
	}
	if a := b.signInAt(op, "/admin/sign-in/provider"); a.status != http.StatusOK {
		t.Errorf("let in again: %d", a.status)
	}
}

// TestNoRoleAnyMore: whom the provider gives no role any more does not go on with
// the one from before in another browser.
func TestNoRoleAnyMore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		op := w.withProvider(rules)
		op.Claims["groups"] = "owners"
		ada, grace := w.browser(), w.browser()
		ada.signInAt(op, "/admin/sign-in/provider")
		op.Set(func(op *logintest.OP) { op.Change = func(c map[string]any) { c["sub"] = "grace-1906" } })
		grace.signInAt(op, "/admin/sign-in/provider")
		op.Set(func(op *logintest.OP) { op.Change, op.Claims["groups"] = nil, "staff" })
		if a := w.browser().signInAt(op, "/admin/sign-in/provider"); a.status != http.StatusForbidden {
			t.Fatalf("without a role: %d", a.status)
		}
		if a := ada.get("/admin/admins"); !strings.HasPrefix(a.location, "/admin/sign-in") {
			t.Errorf("the session with the role from before: %d", a.status)
		}
		if e := w.trail()[1]; e.Action != vault.ActionAdminSessionEnded || e.Reason != vault.ReasonNoRole {
			t.Errorf("entry = %+v", e)
		}
		grace.page("/admin/admins") // somebody else
	})
}

// TestOtherSitesUseUpNoTry: any site can make a browser load the page that
// replies come to.
func TestOtherSitesUseUpNoTry(t *testing.T) {
	w := one(t)
	op := w.withProvider(rules)
	op.Claims["groups"] = "owners"
	b := w.browser()
	for range 20 {
		if a := b.comeBack(url.Values{"code": {"x"}, "state": {"x"}}); a.status != http.StatusBadRequest {
			t.Fatalf("without a trip: %d", a.status)
		}
	}
	if a := b.signInAt(op, "/admin/sign-in/provider"); a.status != http.StatusOK {
		t.Errorf("signing in: %d", a.status)
	}
}

// TestRepliesDoNotFillTheTrail: nobody has to be known to bring an error back.
func TestRepliesDoNotFillTheTrail(t *testing.T) {
	w := one(t)
	op := w.withProvider(rules)
	const replies = 30
	for range replies {
		b := w.browser()
		b.from = w.newAddress()
		reply := op.Reply(b.leave("/admin/sign-in/provider"))
		reply.Set("error", "access_denied")
		b.comeBack(reply)
	}
	w.clock.advance(time.Minute)
	if err := w.vault.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries, total := 0, int64(0)
	for _, e := range w.trail() {
		if e.Action == vault.ActionAdminRefused {
			entries, total = entries+1, total+e.Count
		}
	}
	if entries > 21 || total != replies {
		t.Errorf("%d entries for %d of %d replies", entries, total, replies)
	}
}

// TestLongWayBack: a page whose address does not fit into the cookie of a trip is
// not gone back to.
func TestLongWayBack(t *testing.T) {
	w := one(t)
	op := w.withProvider(rules)
	op.Claims["groups"] = "owners"
	b := w.browser()
	next := "/admin/audit?" + strings.Repeat("&", 1900)
	if a := b.signInAt(op, "/admin/sign-in/provider?next="+url.QueryEscape(next)); a.header.Get("Refresh") != "0; url=/admin" {
		t.Errorf("%d, Refresh %q", a.status, a.header.Get("Refresh"))
	}
}

// TestProviderDown: the pages are there, and so is the other way in.
func TestProviderDown(t *testing.T) {
	w := one(t)
	op := w.withProvider(rules)
	op.Down = true
	b := w.browser()
	w.wantOn(b.page("/admin/sign-in"), []string{"Sign in at 127.0.0.1"})
	a := b.get("/admin/sign-in/provider")
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Fatalf("while it is down: %d", a.status)
	}
	w.wantOn(a.body, []string{"does not answer", "claviger admin invite"})
	w.admin() // by a link
	op.Set(func(op *logintest.OP) { op.Down, op.Claims["groups"] = false, "owners" })
	w.clock.advance(time.Minute)
	if a := b.signInAt(op, "/admin/sign-in/provider"); a.status != http.StatusOK {
		t.Errorf("once it is up: %d\n%s", a.status, a.body)
	}
}

func TestBackChannelLogout(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		op := w.withProvider(rules)
		op.Claims["groups"], op.Claims["sid"] = "owners", "sid-1"
		logout := func(change func(c map[string]any)) int {
			claims := map[string]any{
				"iss": op.URL, "aud": logintest.ClientID, "iat": w.clock.Now().Unix(), "exp": w.clock.Now().Add(2 * time.Minute).Unix(),
				"jti": rand.Text(), "sub": "ada-1815", "sid": "sid-1",
				"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
			}
			change(claims)
			typ := "logout+jwt"
			if claims["typ"] != nil {
				typ = claims["typ"].(string)
			}
			b := w.browser()
			b.site = "" // it is no browser
			a := b.post("/admin/backchannel-logout", url.Values{"logout_token": {op.Token(typ, claims)}})
			if a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control = %q", a.header.Get("Cache-Control"))
			}
			return a.status
		}
		in := func() *browser {
			b := w.browser()
			b.from = w.newAddress()
			if a := b.signInAt(op, "/admin/sign-in/provider"); a.status != http.StatusOK {
				t.Fatalf("sign-in: %d", a.status)
			}
			return b
		}
		b := in()
		for name, change := range map[string]func(c map[string]any){
			"wrong iss":     func(c map[string]any) { c["iss"] = "https://evil.example" },
			"wrong aud":     func(c map[string]any) { c["aud"] = "another" },
			"old":           func(c map[string]any) { c["iat"] = w.clock.Now().Add(-10 * time.Minute).Unix() },
			"from later":    func(c map[string]any) { c["iat"] = w.clock.Now().Add(2 * time.Minute).Unix() },
			"no iat":        func(c map[string]any) { delete(c, "iat") },
			"expired":       func(c map[string]any) { c["exp"] = w.clock.Now().Add(-2 * time.Minute).Unix() },
			"no exp":        func(c map[string]any) { delete(c, "exp") },
			"no jti":        func(c map[string]any) { delete(c, "jti") },
			"no events":     func(c map[string]any) { delete(c, "events") },
			"another event": func(c map[string]any) { c["events"] = map[string]any{"https://event.example": map[string]any{}} },
			"event in words": func(c map[string]any) {
				c["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": "yes"}
			},
			"nonce":            func(c map[string]any) { c["nonce"] = "n" },
			"about nobody":     func(c map[string]any) { delete(c, "sub"); delete(c, "sid") },
			"an access token":  func(c map[string]any) { c["typ"] = "at+jwt" },
			"an empty session": func(c map[string]any) { c["sid"] = "" },
		} {
			if got := logout(change); got != http.StatusBadRequest {
				t.Errorf("%s: %d", name, got)
			}
		}
		for _, form := range []url.Values{nil, {"logout_token": {"x"}}, {"logout_token": {"x", "y"}}} {
			other := w.browser()
			if a := other.post("/admin/backchannel-logout", form); a.status != http.StatusBadRequest {
				t.Errorf("%v: %d", form, a.status)
			}
		}
		// Somebody else's, and another session of the same person.
		for _, change := range []func(c map[string]any){
			func(c map[string]any) { c["sub"] = "grace-1906"; delete(c, "sid") },
			func(c map[string]any) { c["sid"] = "sid-2" },
			func(c map[string]any) { c["sid"] = "sid-2"; delete(c, "sub") },
		} {
			if got := logout(change); got != http.StatusOK {
				t.Errorf("about others: %d", got)
			}
		}
		b.page("/admin/connections") // still there

		for name, change := range map[string]func(c map[string]any){
			"subject":          func(c map[string]any) { delete(c, "sid") },
			"session":          func(c map[string]any) { delete(c, "sub") },
			"both":             func(map[string]any) {},
			"typ of old times": func(c map[string]any) { c["typ"] = "JWT" },
		} {
			b := in()
			if got := logout(change); got != http.StatusOK {
				t.Errorf("%s: %d", name, got)
			}
			if a := b.get("/admin/connections"); a.status != http.StatusSeeOther {
				t.Errorf("%s: the session goes on", name)
			}
			if e := w.trail()[0]; e.Action != vault.ActionAdminSessionEnded || e.Reason != vault.ReasonAtProvider {
				t.Errorf("%s: newest entry = %+v", name, e)
			}
		}
		// The same token once more ends nothing that began since.
		issued := w.clock.Now()
		w.clock.advance(2 * time.Minute)
		b = in()
		if got := logout(func(c map[string]any) { c["iat"] = issued.Unix() }); got != http.StatusOK {
			t.Errorf("again: %d", got)
		}
		b.page("/admin/connections")
	})
}

func TestParseRoles(t *testing.T) {
	t.Parallel()
	got, err := admin.ParseRoles(" groups=a:b:owner , email=ann@example.com:viewer,https://acme.example/roles=x y:operator")
	if err != nil {
		t.Fatal(err)
	}
	want := []admin.RoleRule{
		{Claim: "groups", Value: "a:b", Role: vault.RoleOwner},
		{Claim: "email", Value: "ann@example.com", Role: vault.RoleViewer},
		{Claim: "https://acme.example/roles", Value: "x y", Role: vault.RoleOperator},
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Errorf("rules = %+v, want %+v", got, want)
			break
		}
	}
	_, err = admin.ParseRoles("groups:owner,groups=x:root,=x:owner,groups=:owner,groups=a:owner,groups=a:viewer,")
	for _, part := range []string{"groups:owner", "groups=x:root", "=x:owner", "groups=:owner", "groups=a:viewer", `""`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the faults do not name %q: %v", part, err)
		}
	}
}
