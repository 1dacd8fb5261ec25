package sandbox_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

func wantError(t *testing.T, a answer, status int, code string) {
	t.Helper()
	wantStatus(t, a, status)
	if got := a.json(t)["error"]; got != code {
		t.Fatalf("error %v, want %s", got, code)
	}
}

func TestCodeIsBoundAndGoodOnce(t *testing.T) {
	t.Parallel()
	clk := newClock()
	s := start(t, sandbox.Config{Now: clk.Now})
	f := newFlow(t, s.TimeLog())
	f.tl.Register(sandbox.Client{ID: "other", Secret: "other-client-secret-of-32-characters!", AnyLoopback: true})
	set := func(name, value string) func(url.Values) { return func(p url.Values) { p.Set(name, value) } }
	tests := []struct {
		name   string
		change func(url.Values)
		wait   time.Duration
		want   string // "" is success
	}{
		{"in order", func(url.Values) {}, 0, ""},
		{"in time", func(url.Values) {}, 5*time.Minute - time.Second, ""},
		{"too late", func(url.Values) {}, 5 * time.Minute, "invalid_grant"},
		{"unknown code", set("code", "ABCDEF"), 0, "invalid_grant"},
		{"no code", set("code", ""), 0, "invalid_grant"},
		{"other redirect_uri", set("redirect_uri", redirectURI+"/"), 0, "invalid_grant"},
		{"no redirect_uri", set("redirect_uri", ""), 0, "invalid_grant"},
		{"wrong verifier", set("code_verifier", strings.Repeat("a", 43)), 0, "invalid_grant"},
		{"challenge as verifier", set("code_verifier", challenge), 0, "invalid_grant"},
		{"no verifier", set("code_verifier", ""), 0, "invalid_grant"},
		{"other client", func(p url.Values) {
			p.Set("client_id", "other")
			p.Set("client_secret", "other-client-secret-of-32-characters!")
		}, 0, "invalid_grant"},
	}
	for _, tt := range tests {
		form := exchangeForm(f.authorize(authorizeParams()).Get("code"))
		tt.change(form)
		clk.advance(tt.wait)
		a := f.token(form)
		if tt.want == "" {
			if a.StatusCode != http.StatusOK {
				t.Errorf("%s: status %d, %s", tt.name, a.StatusCode, a.body)
			}
		} else if a.StatusCode != http.StatusBadRequest || a.json(t)["error"] != tt.want {
			t.Errorf("%s: status %d, %s, want %s", tt.name, a.StatusCode, a.body, tt.want)
		}
	}

	// A verifier that nobody asked for is refused too.
	p := authorizeParams()
	p.Del("code_challenge")
	wantError(t, f.token(exchangeForm(f.authorize(p).Get("code"))), http.StatusBadRequest, "invalid_grant")
}

func TestCodeSpentTwiceKillsWhatItBought(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	code := f.authorize(authorizeParams()).Get("code")
	tokens := f.token(exchangeForm(code)).json(t)
	wantError(t, f.token(exchangeForm(code)), http.StatusBadRequest, "invalid_grant")
	if fam := f.tl.Families()[0]; !fam.Revoked || fam.RevokedBy != "code_reuse" {
		t.Errorf("family %+v", fam)
	}
	wantError(t, f.token(refreshForm(text(t, tokens, "refresh_token"))), http.StatusBadRequest, "invalid_grant")
}

func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	const odd = "odd:secret+with%and&, 32 characters long"
	f.tl.Register(sandbox.Client{ID: "odd id", Secret: odd, AnyLoopback: true})
	form := func(change func(url.Values)) url.Values {
		p := refreshForm("unknown")
		change(p)
		return p
	}
	noClient := form(func(p url.Values) { p.Del("client_id"); p.Del("client_secret") })
	tests := []struct {
		name string
		form url.Values
		opts []option
		want string
	}{
		{"post", form(func(url.Values) {}), nil, "invalid_grant"},
		{"basic", noClient, []option{basic(sandbox.DemoClientID, sandbox.DemoClientSecret)}, "invalid_grant"},
		{"basic with encoded odd characters", noClient, []option{basic(url.QueryEscape("odd id"), url.QueryEscape(odd))}, "invalid_grant"},
		{"basic without encoding", noClient, []option{basic("odd id", odd)}, "invalid_client"},
		{
			"basic and another client_id", form(func(p url.Values) { p.Set("client_id", "odd id"); p.Del("client_secret") }),
			[]option{basic(sandbox.DemoClientID, sandbox.DemoClientSecret)},
			"invalid_client",
		},
		{"both", form(func(url.Values) {}), []option{basic(sandbox.DemoClientID, sandbox.DemoClientSecret)}, "invalid_request"},
		{"wrong secret", form(func(p url.Values) { p.Set("client_secret", "nope") }), nil, "invalid_client"},
		{"no secret", form(func(p url.Values) { p.Del("client_secret") }), nil, "invalid_client"},
		{"unknown client", form(func(p url.Values) { p.Set("client_id", "nobody") }), nil, "invalid_client"},
		{"nothing", noClient, nil, "invalid_client"},
		{"parameter twice", form(func(p url.Values) { p.Add("client_id", "x") }), nil, "invalid_request"},
		{"other grant", form(func(p url.Values) { p.Set("grant_type", "password") }), nil, "unsupported_grant_type"},
	}
	for _, tt := range tests {
		a := post(t, f.c, f.tl.URL()+"/connect/token", tt.form, tt.opts...)
		if a.StatusCode != http.StatusBadRequest || a.json(t)["error"] != tt.want {
			t.Errorf("%s: status %d, %s, want %s", tt.name, a.StatusCode, a.body, tt.want)
		}
	}
	a := send(t, f.c, http.MethodPost, f.tl.URL()+"/connect/token", "{}", asJSON)
	wantError(t, a, http.StatusBadRequest, "invalid_request")
	f.tl.Set(func(s *sandbox.TimeLogSettings) { s.InvalidClientStatus = http.StatusUnauthorized })
	a = f.token(noClient)
	wantError(t, a, http.StatusUnauthorized, "invalid_client")
	if a.Header.Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
}

// A refresh without its redirect_uri is refused and spends nothing.
func TestRefreshWantsRedirectURI(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	form := refreshForm(text(t, f.link(), "refresh_token"))
	form.Del("redirect_uri")
	wantError(t, f.token(form), http.StatusBadRequest, "invalid_request")
	form.Set("redirect_uri", redirectURI+"2")
	wantError(t, f.token(form), http.StatusBadRequest, "invalid_grant")
	form.Set("redirect_uri", redirectURI)
	wantStatus(t, f.token(form), http.StatusOK)
}

func TestRefreshTokensDie(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		kill func(*flow, *clock)
	}{
		{"by the operator", func(f *flow, _ *clock) { f.tl.RevokeFamilies() }},
		{"by absolute age", func(_ *flow, clk *clock) { clk.advance(30 * 24 * time.Hour) }},
		{"with the account", func(f *flow, _ *clock) { f.tl.Accounts().Remove(sandbox.AdaEmail) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			clk := newClock()
			s := start(t, sandbox.Config{Now: clk.Now})
			f := newFlow(t, s.TimeLog())
			tokens := f.token(refreshForm(text(t, f.link(), "refresh_token"))).json(t)
			tt.kill(f, clk)
			wantError(t, f.token(refreshForm(text(t, tokens, "refresh_token"))), http.StatusBadRequest, "invalid_grant")
			wantStatus(t, f.resolve(text(t, tokens, "access_token")), http.StatusUnauthorized)
		})
	}
}

func (f *flow) resolve(token string) answer {
	f.t.Helper()
	return send(f.t, f.c, http.MethodGet, f.tl.URL()+"/api/ResolveUri", "", header("Authorization", "Bearer "+token))
}

func TestNoRefreshTokenWithoutOfflineAccess(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	p := authorizeParams()
	p.Set("scope", "openid tlp")
	tokens := f.token(exchangeForm(f.authorize(p).Get("code"))).json(t)
	if _, ok := tokens["refresh_token"]; ok || len(f.tl.Families()) != 0 {
		t.Errorf("tokens %v, families %v", tokens, f.tl.Families())
	}
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	f.tl.Register(sandbox.Client{ID: "other", Secret: "other-client-secret-of-32-characters!"})
	revoke := func(token, hint, client, secret string) answer {
		return post(t, f.c, f.tl.URL()+"/connect/revocation",
			url.Values{"token": {token}, "token_type_hint": {hint}, "client_id": {client}, "client_secret": {secret}})
	}
	const id, secret = sandbox.DemoClientID, sandbox.DemoClientSecret
	tokens := f.link()
	access, refresh := text(t, tokens, "access_token"), text(t, tokens, "refresh_token")

	wantError(t, revoke(refresh, "refresh_token", id, "nope"), http.StatusBadRequest, "invalid_client")
	wantError(t, revoke("", "", id, secret), http.StatusBadRequest, "invalid_request")
	wantError(t, revoke(refresh, "cookie", id, secret), http.StatusBadRequest, "unsupported_token_type")
	wantStatus(t, revoke("unknown", "", id, secret), http.StatusOK)
	wantStatus(t, revoke(refresh, "", "other", "other-client-secret-of-32-characters!"), http.StatusOK)
	wantStatus(t, revoke(access, "", "other", "other-client-secret-of-32-characters!"), http.StatusOK)
	wantStatus(t, f.resolve(access), http.StatusOK) // nothing of that did any harm

	wantStatus(t, revoke(access, "access_token", id, secret), http.StatusOK)
	wantStatus(t, f.resolve(access), http.StatusUnauthorized)
	tokens = f.token(refreshForm(refresh)).json(t)
	access, refresh = text(t, tokens, "access_token"), text(t, tokens, "refresh_token")
	wantStatus(t, revoke(refresh, "access_token", id, secret), http.StatusOK) // a wrong hint is only a hint
	wantStatus(t, f.resolve(access), http.StatusUnauthorized)
	wantError(t, f.token(refreshForm(refresh)), http.StatusBadRequest, "invalid_grant")
	if fam := f.tl.Families()[0]; fam.RevokedBy != "client" || fam.Reused != 0 {
		t.Errorf("family %+v", fam)
	}
}

func TestPersonalAccessToken(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	f.tl.Set(func(s *sandbox.TimeLogSettings) { s.TenantRoot = "https://app4.timelog.com/soxdemo" })
	a := f.resolve(sandbox.TimeLogAdaToken)
	wantStatus(t, a, http.StatusOK)
	if got := a.json(t)["url"]; got != "https://app4.timelog.com/soxdemo" {
		t.Errorf("url %v", got)
	}
	pat := header("Authorization", "Bearer "+sandbox.TimeLogGraceToken)
	a = send(t, f.c, http.MethodGet, f.tl.URL()+"/soxdemo/api/v1/user", "", pat)
	wantStatus(t, a, http.StatusOK)
	if p, _ := a.json(t)["Properties"].(map[string]any); p["Email"] != sandbox.GraceEmail || p["Tenant"] != "soxdemo" {
		t.Errorf("user: %s", a.body)
	}
	if _, err := f.tl.Accounts().ResetToken(sandbox.AdaEmail); err != nil {
		t.Fatal(err)
	}
	a = f.resolve(sandbox.TimeLogAdaToken)
	wantStatus(t, a, http.StatusUnauthorized)
	if got := a.Header.Get("WWW-Authenticate"); !strings.Contains(got, "invalid_token") {
		t.Errorf("WWW-Authenticate %q", got)
	}
}

func TestAccessTokenKinds(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	head, claims := jwtParts(t, text(t, f.link(), "access_token"))
	if head["typ"] != "at+jwt" || claims["client_id"] != sandbox.DemoClientID {
		t.Errorf("access token %v %v", head, claims)
	}
	f.tl.Set(func(s *sandbox.TimeLogSettings) { s.OpaqueAccessTokens, s.AccessLife = true, 10*time.Minute })
	tokens := f.link()
	access := text(t, tokens, "access_token")
	if strings.Contains(access, ".") || tokens["expires_in"] != 600.0 {
		t.Errorf("tokens %v", tokens)
	}
	wantStatus(t, f.resolve(access), http.StatusOK)
	a := send(t, f.c, http.MethodGet, f.tl.URL()+"/connect/userinfo", "", header("Authorization", "Bearer "+access))
	if a.json(t)["sub"] != "1815" {
		t.Errorf("userinfo: %s", a.body)
	}
	f.tl.ExpireAccessTokens()
	wantStatus(t, f.resolve(access), http.StatusUnauthorized)
	wantStatus(t, f.token(refreshForm(text(t, tokens, "refresh_token"))), http.StatusOK)
}
