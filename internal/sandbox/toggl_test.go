package sandbox_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

func TestTogglAuthentication(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	s.Toggl().Accounts().Put(sandbox.Account{ID: "7", Email: "gone@example.com", Password: "pw-of-gone", Token: "0000", Disabled: true})
	s.Toggl().Accounts().Put(sandbox.Account{ID: "8", Email: "colon@example.com", Password: "a:b:c", Token: "0001"})
	c := client(t)
	tests := []struct {
		name string
		opts []option
		want int
	}{
		{"nothing", nil, 403},
		{"token", []option{basic(sandbox.TogglAdaToken, "api_token")}, 200},
		{"token in the wrong place", []option{basic("api_token", sandbox.TogglAdaToken)}, 403},
		{"unknown token", []option{basic("ffffffffffffffffffffffffffffffff", "api_token")}, 403},
		{"empty token", []option{basic("", "api_token")}, 403},
		{"password", []option{basic(sandbox.AdaEmail, sandbox.TogglAdaPassword)}, 200},
		{"e-mail in capitals", []option{basic("ADA@example.com", sandbox.TogglAdaPassword)}, 200},
		{"password with colons", []option{basic("colon@example.com", "a:b:c")}, 200},
		{"wrong password", []option{basic(sandbox.AdaEmail, "nope")}, 403},
		{"empty password", []option{basic(sandbox.AdaEmail, "")}, 403},
		{"somebody else's password", []option{basic(sandbox.AdaEmail, sandbox.TogglGracePassword)}, 403},
		{"disabled account", []option{basic("gone@example.com", "pw-of-gone")}, 403},
		{"disabled account's token", []option{basic("0000", "api_token")}, 403},
		{"bearer", []option{header("Authorization", "Bearer "+sandbox.TogglAdaToken)}, 403},
		{"made-up cookie", []option{header("Cookie", sandbox.TogglCookie+"=x.y.z")}, 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := send(t, c, http.MethodGet, s.Toggl().URL()+"/api/v9/me", "", tt.opts...)
			wantStatus(t, a, tt.want)
			if tt.want == http.StatusForbidden && !strings.HasPrefix(a.body, "Incorrect username") {
				t.Errorf("body %q", a.body)
			}
		})
	}
}

// As at the real service, /me hands the API token to whoever asks properly.
func TestTogglMeCarriesTheToken(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	me := send(t, client(t), http.MethodGet, s.Toggl().URL()+"/api/v9/me", "",
		basic(sandbox.AdaEmail, sandbox.TogglAdaPassword)).json(t)
	if me["api_token"] != sandbox.TogglAdaToken || me["email"] != sandbox.AdaEmail || me["id"] != 9001815.0 ||
		me["fullname"] != "Ada Lovelace" || me["default_workspace_id"] == nil {
		t.Errorf("me: %v", me)
	}
}

func TestTogglResetTokenKillsTheOldOne(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	c, root := client(t), s.Toggl().URL()
	a := send(t, c, http.MethodPost, root+"/api/v9/me/reset_token", "", basic(sandbox.TogglAdaToken, "api_token"))
	wantStatus(t, a, http.StatusOK)
	var token string
	if err := json.Unmarshal([]byte(a.body), &token); err != nil || len(token) != 32 {
		t.Fatalf("new token %q, %v", a.body, err)
	}
	wantStatus(t, send(t, c, http.MethodGet, root+"/api/v9/me", "", basic(sandbox.TogglAdaToken, "api_token")), http.StatusForbidden)
	wantStatus(t, send(t, c, http.MethodGet, root+"/api/v9/me/time_entries", "", basic(token, "api_token")), http.StatusOK)
}

func TestTogglSession(t *testing.T) {
	t.Parallel()
	clk := newClock()
	s := start(t, sandbox.Config{Now: clk.Now})
	c, root := client(t), s.Toggl().URL()
	login := func(email, password string) answer {
		body, err := json.Marshal(map[string]string{"email": email, "password": password})
		if err != nil {
			t.Fatal(err)
		}
		return send(t, c, http.MethodPost, root+"/api/sessions", string(body), asJSON)
	}
	me := func(cookie *http.Cookie) int {
		return send(t, c, http.MethodGet, root+"/api/v9/me", "", header("Cookie", cookie.Name+"="+cookie.Value)).StatusCode
	}
	wantStatus(t, login(sandbox.AdaEmail, "nope"), http.StatusForbidden)
	wantStatus(t, send(t, c, http.MethodPost, root+"/api/sessions", "{", asJSON), http.StatusBadRequest)

	a := login(sandbox.AdaEmail, sandbox.TogglAdaPassword)
	wantStatus(t, a, http.StatusOK)
	line := a.Header.Get("Set-Cookie")
	if !strings.HasPrefix(line, "__Secure-accounts-session=") || !strings.HasSuffix(line, "; Path=/; HttpOnly; Secure; SameSite=Lax") {
		t.Errorf("Set-Cookie: %s", line)
	}
	cookie := a.Cookies()[0]
	head, claims := jwtParts(t, cookie.Value)
	if head["alg"] != "EdDSA" {
		t.Errorf("alg %v", head["alg"])
	}
	iat, exp := float64(clk.Now().Unix()), float64(clk.Now().Add(14*24*time.Hour).Unix())
	if claims["iat"] != iat || claims["exp"] != exp {
		t.Errorf("iat %v, exp %v, want %v, %v", claims["iat"], claims["exp"], iat, exp)
	}
	if got := me(cookie); got != http.StatusOK {
		t.Errorf("me with the cookie: %d", got)
	}

	second := login(sandbox.AdaEmail, sandbox.TogglAdaPassword).Cookies()[0]
	sessions := root + "/api/sessions"
	wantStatus(t, send(t, c, http.MethodDelete, sessions, ""), http.StatusForbidden)
	gone := header("Cookie", cookie.Name+"="+cookie.Value)
	wantStatus(t, send(t, c, http.MethodDelete, sessions, "", gone), http.StatusOK)
	wantStatus(t, send(t, c, http.MethodDelete, sessions, "", gone), http.StatusForbidden)
	if got := me(cookie); got != http.StatusForbidden {
		t.Errorf("me with the deleted session: %d", got)
	}
	if got := me(second); got != http.StatusOK || s.Toggl().Sessions() != 1 {
		t.Errorf("me with the other session: %d; %d alive", got, s.Toggl().Sessions())
	}
	clk.advance(14 * 24 * time.Hour)
	if got := me(second); got != http.StatusForbidden || s.Toggl().Sessions() != 0 {
		t.Errorf("me with an expired session: %d; %d alive", got, s.Toggl().Sessions())
	}
}

func TestTogglCookieNameIsASwitch(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	s.Toggl().Set(func(set *sandbox.TogglSettings) { set.CookieName = "__Host-timer-session" })
	a := send(t, client(t), http.MethodPost, s.Toggl().URL()+"/api/sessions",
		`{"email":"ada@example.com","password":"`+sandbox.TogglAdaPassword+`"}`, asJSON)
	if got := a.Cookies()[0].Name; got != "__Host-timer-session" {
		t.Errorf("cookie %q", got)
	}
}

// jwtParts reads a JWT's header and claims without judging them.
func jwtParts(t *testing.T, raw string) (header, claims map[string]any) {
	t.Helper()
	p := strings.Split(raw, ".")
	if len(p) != 3 {
		t.Fatalf("not a JWT: %q", raw)
	}
	for i, m := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(p[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, m); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}
