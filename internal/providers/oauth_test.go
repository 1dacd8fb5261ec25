package providers_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
)

func TestGitHubApp(t *testing.T) {
	t.Parallel()
	f := newFake(t, "github", "github.com", "api.github.com")
	f.answer("POST /login/oauth/access_token",
		// Asked for JSON or not, GitHub has been seen to answer with a form.
		"access_token=ghu_1&expires_in=28800&refresh_token=ghr_1&refresh_token_expires_in=15811200&scope=repo%2Cgist&token_type=bearer",
		object{"access_token": "ghu_2", "expires_in": 28800, "refresh_token": "ghr_2", "refresh_token_expires_in": 15811200, "scope": "", "token_type": "bearer"},
		object{"error": "bad_refresh_token", "error_description": "The refresh token passed is incorrect or expired."},
		object{"error": "incorrect_client_credentials"},
	)
	f.answer("GET /user", object{"login": "ada", "id": 583231})
	f.answer("DELETE /applications/{client}/token", http.StatusNoContent, http.StatusNotFound, http.StatusInternalServerError)

	request, at := f.begin("oauth")
	sum := sha256.Sum256([]byte(at.Values.Get("verifier")))
	for name, want := range map[string]string{
		"response_type":         "code",
		"client_id":             fakeClient,
		"redirect_uri":          publicURL + "/connect/callback/int_1",
		"state":                 "state-1",
		"code_challenge":        base64.RawURLEncoding.EncodeToString(sum[:]),
		"code_challenge_method": "S256",
		"nonce":                 "",
		"response_mode":         "",
		"scope":                 "",
	} {
		if got := request.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	g, err := f.Complete(t.Context(), f.in, at, f.reply(url.Values{"state": {"state-1"}, "code": {"code-1"}}))
	if err != nil {
		t.Fatal(err)
	}
	sent := f.calls("POST /login/oauth/access_token")[0].form
	want := url.Values{
		"grant_type": {"authorization_code"}, "code": {"code-1"}, "redirect_uri": {publicURL + "/connect/callback/int_1"},
		"client_id": {fakeClient}, "client_secret": {fakeSecret}, "code_verifier": {at.Values.Get("verifier")},
	}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Errorf("exchange (-want +got):\n%s", diff)
	}
	wantHeaders(t, g, map[string]string{"Authorization": "Bearer ghu_1"})
	if g.Account != (vault.Account{ID: "583231", Label: "ada"}) || !cmp.Equal(g.Scopes, []string{"repo", "gist"}) {
		t.Errorf("account %+v, scopes %v", g.Account, g.Scopes)
	}
	now := f.clock.Now()
	if !g.ExpiresAt.Equal(now.Add(8*time.Hour)) || !g.RefreshExpiresAt.Equal(now.Add(183*24*time.Hour)) || !g.Renewable {
		t.Errorf("expires %v, refresh %v, renewable %v", g.ExpiresAt, g.RefreshExpiresAt, g.Renewable)
	}
	next := f.refresh("oauth", g)
	if next.Credential.Get("refresh_token") != "ghr_2" || next.Account != g.Account {
		t.Errorf("refreshed: %+v", next)
	}
	for _, class := range []providers.RefreshClass{providers.RefreshTerminal, providers.RefreshIntegration} {
		var re *providers.RefreshError
		if _, err := f.Refresh(t.Context(), f.in, connection(f.in, "oauth", next), next.Credential); !errors.As(err, &re) || re.Class != class {
			t.Errorf("got %v, want %s", err, class)
		}
	}
	conn := connection(f.in, "oauth", next)
	for _, outcome := range []vault.Outcome{vault.OutcomeRevoked, vault.OutcomeRevoked, vault.OutcomeFailed} {
		if out := f.Revoke(t.Context(), f.in, conn, next.Credential); out.Outcome != outcome {
			t.Errorf("got %+v, want %s", out, outcome)
		}
	}
	call := f.calls("DELETE /applications/{client}/token")[0]
	if call.auth != "Basic "+base64.StdEncoding.EncodeToString([]byte(fakeClient+":"+fakeSecret)) || strings.TrimSpace(call.body) != `{"access_token":"ghu_2"}` {
		t.Errorf("revocation with %q and %s", call.auth, call.body)
	}
}

// An OAuth app's token has neither end nor refresh token.
func TestGitHubOAuthApp(t *testing.T) {
	t.Parallel()
	f := newFake(t, "github", "github.com", "api.github.com")
	f.answer("POST /login/oauth/access_token", object{"access_token": "gho_1", "scope": "repo", "token_type": "bearer"})
	f.answer("GET /user", object{"login": "ada", "id": 583231})
	g := f.link("oauth")
	if !g.ExpiresAt.IsZero() || g.Renewable {
		t.Errorf("expires %v, renewable %v", g.ExpiresAt, g.Renewable)
	}
	var re *providers.RefreshError
	if _, err := f.Refresh(t.Context(), f.in, connection(f.in, "oauth", g), g.Credential); !errors.As(err, &re) || re.Class != providers.RefreshIntegration {
		t.Errorf("Refresh: %v", err)
	}
}

func TestGoogle(t *testing.T) {
	t.Parallel()
	f := newFake(t, "google", "accounts.google.com", "oauth2.googleapis.com", "www.googleapis.com", "openidconnect.googleapis.com")
	issuer := newIssuer(t)
	base := f.server.URL
	f.answer("GET /.well-known/openid-configuration", object{
		"issuer": base, "authorization_endpoint": base + "/o/oauth2/v2/auth", "token_endpoint": base + "/token",
		"revocation_endpoint": base + "/revoke", "jwks_uri": base + "/oauth2/v3/certs", "userinfo_endpoint": base + "/v1/userinfo",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"},
	})
	f.answer("GET /oauth2/v3/certs", issuer.jwks())
	f.answer("GET /v1/userinfo", object{"sub": "1815", "email": "ada@example.com"})
	nonce := ""
	f.answer("POST /token",
		func() any {
			return object{
				"access_token": "ya29.1", "expires_in": 3599, "refresh_token": "1//r", "scope": "openid email", "token_type": "Bearer",
				"id_token": issuer.token(t, base, nonce, f.clock.Now(), object{"azp": fakeClient, "email": "ada@example.com"}),
			}
		},
		// No refresh token in the answer to a refresh: the one at hand stays good.
		func() any {
			return object{
				"access_token": "ya29.2", "expires_in": 3599, "scope": "openid email", "token_type": "Bearer",
				"id_token": issuer.token(t, base, "", f.clock.Now(), object{"azp": fakeClient}),
			}
		},
	)
	f.answer("POST /revoke", object{}, object{"error": "invalid_token"})

	request, at := f.begin("oauth")
	nonce = request.Get("nonce")
	if request.Get("access_type") != "offline" || request.Get("prompt") != "consent" || request.Get("scope") != "openid email" || nonce == "" {
		t.Errorf("authorization request %v", request)
	}
	g, err := f.Complete(t.Context(), f.in, at, f.reply(url.Values{"state": {"state-1"}, "code": {"4/code"}, "scope": {"email openid"}, "authuser": {"0"}, "prompt": {"consent"}}))
	if err != nil {
		t.Fatal(err)
	}
	if want := (vault.Account{ID: base + "#1815", Label: "ada@example.com"}); g.Account != want {
		t.Errorf("account %+v, want %+v", g.Account, want)
	}
	f.clock.advance(50 * time.Minute)
	r, err := f.Refresh(t.Context(), f.in, connection(f.in, "oauth", g), g.Credential)
	if err != nil {
		t.Fatal(err)
	}
	if r.Rescue != nil {
		t.Error("something to rescue, and nothing was rotated")
	}
	next, err := r.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if next.Credential.Get("refresh_token") != "1//r" || !next.Renewable || next.Credential.Get("access_token") != "ya29.2" || next.Account != g.Account {
		t.Errorf("refreshed: %+v", next)
	}
	if got := f.Service.ReusePolicy(f.in, "oauth"); got != providers.ReuseAllowed {
		t.Errorf("reuse policy %s", got)
	}
	if out := f.Revoke(t.Context(), f.in, connection(f.in, "oauth", next), next.Credential); out.Outcome != vault.OutcomeRevoked {
		t.Errorf("Revoke: %+v", out)
	}
	calls := f.calls("POST /revoke")
	if len(calls) != 2 || calls[0].form.Get("token") != "1//r" || calls[1].form.Get("token") != "ya29.2" || calls[0].form.Has("client_secret") || calls[0].auth != "" {
		t.Errorf("revocations %+v", calls)
	}
}

// In the code flow the one id_token carries all that two do elsewhere.
func TestCodeFlowIDTokenThatDoesNotHold(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct {
		claims object
		nonce  string
		reason string
	}{
		"nonce of another attempt": {nil, "another", "nonce"},
		"no nonce":                 {nil, "-", "nonce"},
		"another client's":         {object{"aud": "client-2"}, "", "aud"},
		"another party's":          {object{"azp": "client-2"}, "", "azp"},
		"another issuer's":         {object{"iss": "https://login.example.org"}, "", "iss"},
		"another access token's":   {object{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "", "at_hash"},
		"none at all":              {object{"-": true}, "", "id_token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, "google", "accounts.google.com", "oauth2.googleapis.com", "www.googleapis.com", "openidconnect.googleapis.com")
			issuer := newIssuer(t)
			f.answer("GET /oauth2/v3/certs", issuer.jwks()) // and no discovery: the file's endpoints
			f.answer("GET /v1/userinfo", object{"sub": "1815"})
			nonce := ""
			f.answer("POST /token", func() any {
				a := object{"access_token": "ya29.1", "token_type": "Bearer", "id_token": issuer.token(t, f.server.URL, nonce, f.clock.Now(), change.claims)}
				if change.claims["-"] != nil {
					delete(a, "id_token")
				}
				return a
			})
			request, at := f.begin("oauth")
			switch nonce = request.Get("nonce"); change.nonce {
			case "":
			case "-":
				nonce = ""
			default:
				nonce = change.nonce
			}
			g, err := f.Complete(t.Context(), f.in, at, f.reply(url.Values{"state": {"state-1"}, "code": {"c"}}))
			var le *providers.LinkError
			if !errors.As(err, &le) || le.Reason != change.reason {
				t.Fatalf("got %v, want %s", err, change.reason)
			}
			if len(g.Headers) > 0 || len(f.calls("GET /v1/userinfo")) > 0 {
				t.Error("the access token was used")
			}
		})
	}
}

func TestIssuerParameter(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		advertised bool
		iss        string
		ok         bool
	}{
		"advertised and right":   {true, "=", true},
		"advertised and missing": {true, "", false},
		"advertised and wrong":   {true, "https://login.example.org", false},
		"not advertised":         {false, "", true},
		"sent all the same":      {false, "=", true},
		"sent and wrong":         {false, "https://login.example.org", false},
		"a slash more":           {true, "=/", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, "google", "accounts.google.com", "oauth2.googleapis.com", "www.googleapis.com", "openidconnect.googleapis.com")
			issuer, base := newIssuer(t), f.server.URL
			f.answer("GET /.well-known/openid-configuration", object{
				"issuer": base, "authorization_endpoint": base + "/auth", "token_endpoint": base + "/token", "jwks_uri": base + "/certs",
				"authorization_response_iss_parameter_supported": tt.advertised,
			})
			f.answer("GET /certs", issuer.jwks())
			f.answer("GET /v1/userinfo", object{"sub": "1815"})
			nonce := ""
			f.answer("POST /token", func() any {
				return object{"access_token": "ya29.1", "token_type": "Bearer", "id_token": issuer.token(t, base, nonce, f.clock.Now(), nil)}
			})
			request, at := f.begin("oauth")
			nonce = request.Get("nonce")
			values := url.Values{"state": {"state-1"}, "code": {"c"}}
			if tt.iss != "" {
				values.Set("iss", strings.Replace(tt.iss, "=", base, 1))
			}
			_, err := f.Complete(t.Context(), f.in, at, f.reply(values))
			var le *providers.LinkError
			if tt.ok != (err == nil) || err != nil && (!errors.As(err, &le) || le.Reason != providers.ReasonIssuer) {
				t.Errorf("got %v", err)
			}
			if n := len(f.calls("POST /token")); !tt.ok && n > 0 {
				t.Errorf("%d token calls", n)
			}
		})
	}
}

func TestSlack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method, parameter string
		answer            object
	}{
		{"bot", "scope", object{
			"ok": true, "access_token": "xoxe.xoxb-1", "token_type": "bot", "expires_in": 43200, "refresh_token": "xoxe-1-1",
			"scope": "chat:write,commands", "bot_user_id": "U0KRQLJ9H", "team": object{"id": "T9TK3CUKW"}, "authed_user": object{"id": "U1234"},
		}},
		{"user", "user_scope", object{
			"ok": true, "team": object{"id": "T9TK3CUKW"},
			"authed_user": object{"id": "U1234", "access_token": "xoxe.xoxb-1", "token_type": "user", "expires_in": 43200, "refresh_token": "xoxe-1-1", "scope": "chat:write,commands"},
		}},
	} {
		t.Run(tt.method, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, "slack", "slack.com")
			f.in.Scopes = []string{"chat:write", "commands"}
			typ := tt.method
			f.answer("POST /api/oauth.v2.access",
				tt.answer,
				object{"ok": true, "access_token": "xoxe.xoxb-2", "token_type": typ, "expires_in": 43200, "refresh_token": "xoxe-1-2"},
				object{"ok": false, "error": "invalid_refresh_token"},
				object{"ok": false, "error": "bad_client_secret"},
				object{"ok": false, "error": "internal_error"},
			)
			f.answer("POST /api/auth.test",
				object{"ok": true, "team": "Engines", "user": "ada", "team_id": "T9TK3CUKW", "user_id": "U1234"},
				object{"ok": false, "error": "token_revoked"},
				object{"ok": false, "error": "internal_error"},
			)
			f.answer("POST /api/auth.revoke", object{"ok": true, "revoked": true}, object{"ok": false, "error": "token_revoked"}, object{"ok": false, "error": "fatal_error"})

			request, at := f.begin(tt.method)
			if request.Get(tt.parameter) != "chat:write,commands" || request.Has("code_challenge") {
				t.Errorf("authorization request %v", request)
			}
			g, err := f.Complete(t.Context(), f.in, at, f.reply(url.Values{"state": {"state-1"}, "code": {"c"}}))
			if err != nil {
				t.Fatal(err)
			}
			wantHeaders(t, g, map[string]string{"Authorization": "Bearer xoxe.xoxb-1"})
			if g.Account != (vault.Account{ID: "T9TK3CUKW:U1234", Label: "Engines:ada"}) || !cmp.Equal(g.Scopes, []string{"chat:write", "commands"}) {
				t.Errorf("account %+v, scopes %v", g.Account, g.Scopes)
			}
			exchange := f.calls("POST /api/oauth.v2.access")[0]
			if exchange.form.Has("client_secret") || !strings.HasPrefix(exchange.auth, "Basic ") || exchange.form.Has("code_verifier") {
				t.Errorf("exchange with %v", exchange.form)
			}
			next := f.refresh(tt.method, g)
			if next.Credential.Get("access_token") != "xoxe.xoxb-2" || next.Credential.Get("refresh_token") != "xoxe-1-2" {
				t.Error("not refreshed")
			}
			conn := connection(f.in, tt.method, next)
			for _, class := range []providers.RefreshClass{providers.RefreshTerminal, providers.RefreshIntegration} {
				var re *providers.RefreshError
				if _, err := f.Refresh(t.Context(), f.in, conn, next.Credential); !errors.As(err, &re) || re.Class != class {
					t.Errorf("got %v, want %s", err, class)
				}
			}
			if _, err := f.Verify(t.Context(), f.in, conn, next.Credential); !errors.Is(err, providers.ErrRefused) {
				t.Errorf("Verify of a revoked token: %v", err)
			}
			if _, err := f.Verify(t.Context(), f.in, conn, next.Credential); err == nil || errors.Is(err, providers.ErrRefused) {
				t.Errorf("Verify on a bad day: %v", err)
			}
			for _, outcome := range []vault.Outcome{vault.OutcomeRevoked, vault.OutcomeRevoked, vault.OutcomeFailed} {
				if out := f.Revoke(t.Context(), f.in, conn, next.Credential); out.Outcome != outcome {
					t.Errorf("Revoke: %+v, want %s", out, outcome)
				}
			}
		})
	}
}

func TestHarvest(t *testing.T) {
	t.Parallel()
	f := newFake(t, "harvest", "id.getharvest.com", "api.harvestapp.com")
	f.answer("POST /api/v2/oauth2/token", object{"access_token": "1234.at", "refresh_token": "1234.rt", "token_type": "bearer", "expires_in": 1209599})
	accounts := object{"user": object{"id": 5, "email": "ada@example.com"}, "accounts": []object{{"id": 1, "product": "forecast"}, {"id": 2, "product": "harvest"}}}
	f.answer("GET /api/v2/accounts", accounts)
	g := f.link("oauth")
	want := map[string]string{"Authorization": "Bearer 1234.at", "Harvest-Account-Id": "2"}
	wantHeaders(t, g, want)
	if g.Account != (vault.Account{ID: "5", Label: "ada@example.com"}) {
		t.Errorf("account %+v", g.Account)
	}
	if f.calls("GET /api/v2/accounts")[0].head.Get("Harvest-Account-Id") != "" {
		t.Error("a header with a value that nobody knows yet")
	}
	// The account stays, though nobody is asked again.
	wantHeaders(t, f.refresh("oauth", g), want)
	if n := len(f.calls("GET /api/v2/accounts")); n != 1 {
		t.Errorf("%d calls", n)
	}
	imported, err := f.Import(t.Context(), f.in, "personal_access_token", form("token", "pat", "account_id", "2"), false)
	if err != nil {
		t.Fatal(err)
	}
	wantHeaders(t, imported, map[string]string{"Authorization": "Bearer pat", "Harvest-Account-Id": "2"})
	_, err = f.Import(t.Context(), f.in, "personal_access_token", form("token", "pat"), false)
	wantFields(t, err, "/credential/account_id")
	if out := f.Revoke(t.Context(), f.in, connection(f.in, "oauth", g), g.Credential); out.Outcome != vault.OutcomeUnsupported || !strings.Contains(out.Detail, "id.getharvest.com") {
		t.Errorf("Revoke: %+v", out)
	}
}

func TestClientCredentials(t *testing.T) {
	t.Parallel()
	f := newFake(t, "basic") // for its server
	f.in.Provider = "oauth2_client"
	f.in.Scopes = []string{"read", "write"}
	f.in.Overrides = vault.Overrides{TokenURL: f.server.URL + "/token", RevocationURL: f.server.URL + "/revoke", BaseURL: f.server.URL + "/api"}
	f.answer("POST /token",
		object{"access_token": "at-1", "token_type": "Bearer", "expires_in": 60},
		object{"access_token": "at-2", "token_type": "Bearer", "expires_in": 60, "refresh_token": "of no use"},
		http.StatusServiceUnavailable,
		http.StatusUnauthorized,
	)
	f.answer("POST /revoke", object{})
	g, err := f.Submit(t.Context(), f.in, "integration", form())
	if err != nil {
		t.Fatal(err)
	}
	if !g.Renewable || g.Account.ID != fakeClient || g.BaseURL != f.server.URL+"/api" || !g.ExpiresAt.Equal(f.clock.Now().Add(time.Minute)) {
		t.Errorf("%+v", g)
	}
	if sent := f.calls("POST /token")[0]; sent.form.Get("grant_type") != "client_credentials" || sent.form.Get("scope") != "read write" {
		t.Errorf("sent %v", sent.form)
	}
	next := f.refresh("integration", g)
	wantHeaders(t, next, map[string]string{"Authorization": "Bearer at-2"})
	if diff := cmp.Diff([]string{"access_token"}, next.Credential.Names()); diff != "" {
		t.Error(diff)
	}
	for _, class := range []providers.RefreshClass{providers.RefreshTransient, providers.RefreshIntegration} {
		var re *providers.RefreshError
		if _, err := f.Refresh(t.Context(), f.in, connection(f.in, "integration", next), next.Credential); !errors.As(err, &re) || re.Class != class {
			t.Errorf("got %v, want %s", err, class)
		}
	}
	if out := f.Revoke(t.Context(), f.in, connection(f.in, "integration", next), next.Credential); out.Outcome != vault.OutcomeRevoked {
		t.Errorf("Revoke: %+v", out)
	}
	// A client of the user's own: its refusal is theirs to put right.
	_, err = f.Submit(t.Context(), f.in, "own_client", form("client_id", "mine", "client_secret", "wrong"))
	wantFields(t, err, "client_secret")
	if !errors.Is(err, providers.ErrRefused) {
		t.Errorf("%v is not ErrRefused", err)
	}
}

func TestGenericProviders(t *testing.T) {
	t.Parallel()
	f := newFake(t, "basic")
	for _, tt := range []struct {
		provider, method string
		form             vault.Credential
		want             map[string]string
	}{
		{"basic", "basic", form("username", "Aladdin", "password", "open sesame"), map[string]string{"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}},
		{"token", "bearer", form("token", "abc"), map[string]string{"Authorization": "Bearer abc"}},
		{"token", "token", form("token", "abc"), map[string]string{"Authorization": "Token abc"}},
		{"token", "api_key", form("token", "a b"), map[string]string{"X-Api-Key": "a b"}},
	} {
		in := vault.Integration{ID: "int_2", Provider: tt.provider, Overrides: vault.Overrides{BaseURL: "https://api.example.com/"}}
		g, err := f.Submit(t.Context(), in, tt.method, tt.form)
		if err != nil {
			t.Errorf("%s: %v", tt.method, err)
			continue
		}
		wantHeaders(t, g, tt.want)
		if tt.provider == "basic" && g.Account != (vault.Account{ID: "Aladdin", Label: "Aladdin"}) {
			t.Errorf("account %+v", g.Account)
		}
		if g.BaseURL != "https://api.example.com" {
			t.Errorf("base URL %q", g.BaseURL)
		}
		if _, err := f.Verify(t.Context(), in, connection(in, tt.method, g), g.Credential); !errors.Is(err, providers.ErrUnverifiable) {
			t.Errorf("%s: Verify: %v", tt.method, err)
		}
	}
}

// What a later id_token is held to is kept with the credential, and is no secret.
func TestIdentityIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.link(t, w.timeLog())
	var id struct{ Iss, Sub, Aud string }
	if err := json.Unmarshal([]byte(g.Credential.Get("identity")), &id); err != nil {
		t.Fatal(err)
	}
	if id.Iss != w.sandbox.TimeLog().Issuer() || id.Sub == "" || g.Account.ID != id.Iss+"#"+id.Sub {
		t.Errorf("identity %+v, account %+v", id, g.Account)
	}
	if diff := cmp.Diff([]string{"access_token", "identity", "refresh_token"}, g.Credential.Names()); diff != "" {
		t.Error(diff)
	}
}
