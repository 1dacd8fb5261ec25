package providers_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/vault"
)

// What is known of the life of tokens goes through a refresh into the grant.
func TestRefreshKeepsTheBooksOnExpiry(t *testing.T) {
	t.Parallel()
	f := newFakeOf(t, "acme", acme, "acme.example")
	f.answer("POST /token",
		object{"access_token": "a2", "token_type": "bearer", "expires_in": "600", "refresh_token": "r2", "refresh_token_expires_in": 7200},
		object{"access_token": "a3", "token_type": "bearer"},
		object{"access_token": "a4", "token_type": "bearer", "refresh_token": "r4"},
	)
	at := f.clock.Now()
	g := vault.Grant{Credential: kept("oauth")}
	for _, want := range []struct{ access, refresh time.Time }{
		{at.Add(10 * time.Minute), at.Add(2 * time.Hour)},
		{at.Add(40 * time.Minute), at.Add(2 * time.Hour)}, // by the file; the refresh token is the same, and so is its end
		{at.Add(50 * time.Minute), time.Time{}},           // another one, of which nothing is known
	} {
		g = f.refresh("oauth", g)
		if !g.ExpiresAt.Equal(want.access) || !g.RefreshExpiresAt.Equal(want.refresh) || g.VerifyEvery != 0 {
			t.Errorf("ends %v and %v, verified every %v; want %v and %v", g.ExpiresAt, g.RefreshExpiresAt, g.VerifyEvery, want.access, want.refresh)
		}
		f.clock.advance(10 * time.Minute)
	}
}

// A refresh token in the answer to a client's own credentials is of no use, and
// its end would only hurry things.
func TestClientCredentialsHaveNoRefreshToken(t *testing.T) {
	t.Parallel()
	f := newFakeOf(t, "acme", acme, "acme.example")
	f.answer("POST /token", object{"access_token": "a2", "token_type": "bearer", "expires_in": 600, "refresh_token": "r2", "refresh_expires_in": 60})
	g := f.refresh("client", vault.Grant{Credential: kept("client")})
	if !g.RefreshExpiresAt.IsZero() || g.Credential.Get("refresh_token") != "" || !g.Renewable {
		t.Errorf("%+v", g)
	}
}

// An import that does not say when its token ends lets the token say it, also
// that it is over: then it is renewed before anybody gets it.
func TestImportReadsTheTokensEnd(t *testing.T) {
	t.Parallel()
	f := newFakeOf(t, "acme", acme, "acme.example")
	// {"alg":"none"} and {"exp":1772370000}: 2026-03-01T13:00:00Z
	const jwt = "eyJhbGciOiJub25lIn0.eyJleHAiOjE3NzIzNzAwMDB9.c2ln"
	end := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
	for _, late := range []time.Duration{0, 2 * time.Hour} {
		f.clock.advance(late)
		g, err := f.Import(t.Context(), f.in, "oauth", form("access_token", jwt, "refresh_token", "r"), false)
		if err != nil || !g.ExpiresAt.Equal(end) {
			t.Errorf("ends %v, %v", g.ExpiresAt, err)
		}
	}
	g, err := f.Import(t.Context(), f.in, "oauth", form("access_token", jwt, "expires_at", "2026-03-01T12:30:00Z"), false)
	if err != nil || !g.ExpiresAt.Equal(end.Add(-30*time.Minute)) {
		t.Errorf("said to end at half past: %v, %v", g.ExpiresAt, err)
	}
	g, err = f.Import(t.Context(), f.in, "oauth", form("access_token", "opaque"), false)
	if err != nil || !g.ExpiresAt.IsZero() || g.VerifyEvery != 24*time.Hour {
		t.Errorf("opaque: ends %v, verified every %v, %v", g.ExpiresAt, g.VerifyEvery, err)
	}
}

func TestGrantsWithoutAnEndAreVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		in     vault.Integration
		method string
		form   vault.Credential
		want   time.Duration
	}{
		{w.toggl(), "api_token", form("api_token", "1971800d4d82861d8f2c1651fea4d212"), 24 * time.Hour},
		{w.clickTime(), "token", form("token", "abc"), 24 * time.Hour},
		{w.timeLog(), "personal_access_token", form("token", "abc"), 24 * time.Hour},
		{w.timeLog(), "personal_access_token", form("token", "abc", "expires_on", "2026-03-02"), 0},                                               // it ends
		{vault.Integration{Provider: "token", Overrides: vault.Overrides{BaseURL: "https://api.example.com"}}, "bearer", form("token", "abc"), 0}, // nobody to ask
	} {
		g, err := w.Import(t.Context(), tt.in, tt.method, tt.form, false)
		if err != nil || g.VerifyEvery != tt.want {
			t.Errorf("%s %s: verified every %v, want %v: %v", tt.in.Provider, tt.method, g.VerifyEvery, tt.want, err)
		}
	}
}

func TestVerifyEvery(t *testing.T) {
	t.Parallel()
	catalog, err := providers.Load(fstest.MapFS{
		"off.yaml":    {Data: []byte(strings.Replace(acme, "name: acme\n", "name: off\nverify_every: off\n", 1))},
		"weekly.yaml": {Data: []byte(strings.Replace(acme, "name: acme\n", "name: weekly\nverify_every: 168h\n", 1))},
	})
	if err != nil {
		t.Fatal(err)
	}
	client := outbound.New(outbound.Config{})
	t.Cleanup(client.Close)
	s := providers.New(providers.Config{Catalog: catalog, HTTP: client, PublicURL: mustURL(t, publicURL)})
	const day = 24 * time.Hour
	for _, tt := range []struct {
		in     vault.Integration
		method string
		want   time.Duration
	}{
		{vault.Integration{Provider: "toggl"}, "api_token", day},
		{vault.Integration{Provider: "toggl"}, "session", day},
		{vault.Integration{Provider: "clicktime"}, "token", day},
		{vault.Integration{Provider: "clicktime"}, "password", day},
		{vault.Integration{Provider: "timelog"}, "personal_access_token", day}, // by asking for the API root
		{vault.Integration{Provider: "github"}, "oauth", day},
		{vault.Integration{Provider: "oidc", Overrides: vault.Overrides{Issuer: "https://op.example.com"}}, "code", day}, // at userinfo
		{vault.Integration{Provider: "oidc", Overrides: vault.Overrides{Issuer: "https://op.example.com"}, Scopes: []string{"api"}}, "code", 0},
		{vault.Integration{Provider: "basic"}, "basic", 0},
		{vault.Integration{Provider: "oauth2_client"}, "integration", 0},
		{vault.Integration{Provider: "off"}, "oauth", 0},
		{vault.Integration{Provider: "weekly"}, "oauth", 7 * day},
		{vault.Integration{Provider: "weekly"}, "no such method", 0},
		{vault.Integration{Provider: "gone"}, "oauth", 0},
	} {
		if got := s.VerifyEvery(tt.in, tt.method); got != tt.want {
			t.Errorf("%s %s: every %v, want %v", tt.in.Provider, tt.method, got, tt.want)
		}
	}
}

func TestRefreshHost(t *testing.T) {
	t.Parallel()
	catalog, err := providers.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := outbound.New(outbound.Config{})
	t.Cleanup(client.Close)
	s := providers.New(providers.Config{Catalog: catalog, HTTP: client, PublicURL: mustURL(t, publicURL)})
	for _, tt := range []struct {
		provider, method string
		over             vault.Overrides
		want             string
	}{
		{"github", "oauth", vault.Overrides{}, "github.com"},
		{"google", "oauth", vault.Overrides{}, "oauth2.googleapis.com"},
		{"timelog", "oidc", vault.Overrides{}, "newlogin.timelog.com"},
		{"timelog", "oidc", vault.Overrides{Issuer: "https://Staging.TimeLog.com:443/"}, "staging.timelog.com"},
		{"timelog", "oidc", vault.Overrides{Issuer: "https://newlogin.timelog.com"}, "newlogin.timelog.com"},
		{"timelog", "oidc", vault.Overrides{Issuer: "https://staging.timelog.com", TokenURL: "https://tokens.timelog.com:8443/t"}, "tokens.timelog.com:8443"},
		{"timelog", "personal_access_token", vault.Overrides{}, ""},
		{"oidc", "code", vault.Overrides{Issuer: "https://op.example.com/tenant"}, "op.example.com"},
		{"oidc", "code", vault.Overrides{}, ""},
		{"oauth2_client", "integration", vault.Overrides{TokenURL: "https://op.example.com/token"}, "op.example.com"},
		{"toggl", "session", vault.Overrides{}, "accounts.toggl.com"},
		{"toggl", "session", vault.Overrides{SessionURL: "https://sandbox.example.com:9443/api/sessions"}, "sandbox.example.com:9443"},
		{"toggl", "api_token", vault.Overrides{}, ""},
		{"timelog", "oidc", vault.Overrides{TokenURL: "https://10.0.0.1/token"}, ""}, // may not be called
		{"toggl", "oauth", vault.Overrides{}, ""},
		{"gone", "oauth", vault.Overrides{}, ""},
	} {
		in := vault.Integration{Provider: tt.provider, Overrides: tt.over}
		if got := s.RefreshHost(in, tt.method); got != tt.want {
			t.Errorf("%s %s, %+v: %q, want %q", tt.provider, tt.method, tt.over, got, tt.want)
		}
	}
}
