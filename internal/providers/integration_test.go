package providers_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
)

func TestCheckIntegration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := vault.NewSecret("s")
	for name, tt := range map[string]struct {
		in       vault.Integration
		pointers []string // nil: nothing wrong
	}{
		"toggl":                     {vault.Integration{Provider: "toggl"}, nil},
		"toggl, elsewhere":          {w.toggl(), nil},
		"no such provider":          {vault.Integration{Provider: "togl"}, []string{"/provider"}},
		"no such method":            {vault.Integration{Provider: "toggl", Methods: []string{"password", "oauth"}}, []string{"/methods/1"}},
		"a method twice":            {vault.Integration{Provider: "toggl", Methods: []string{"password", "password"}}, []string{"/methods/1"}},
		"timelog":                   {vault.Integration{Provider: "timelog", ClientID: "c", ClientSecret: secret}, nil},
		"timelog, secret on record": {vault.Integration{Provider: "timelog", ClientID: "c", HasClientSecret: true}, nil},
		"timelog, no client":        {vault.Integration{Provider: "timelog"}, []string{"/client_id", "/client_secret"}},
		"timelog, by token only":    {vault.Integration{Provider: "timelog", Methods: []string{"personal_access_token"}}, nil},
		"timelog, scopes":           {vault.Integration{Provider: "timelog", ClientID: "c", ClientSecret: secret, Scopes: []string{"openid", "tlp"}}, nil},
		"timelog, no openid":        {vault.Integration{Provider: "timelog", ClientID: "c", ClientSecret: secret, Scopes: []string{"tlp"}}, []string{"/scopes"}},
		"scope with a space":        {vault.Integration{Provider: "github", ClientID: "c", ClientSecret: secret, Scopes: []string{"repo", "a b"}}, []string{"/scopes/1"}},
		"control characters":        {vault.Integration{Provider: "github", ClientID: "c\r\n", ClientSecret: vault.NewSecret("s\x00")}, []string{"/client_id", "/client_secret"}},
		"oidc, no issuer":           {vault.Integration{Provider: "oidc", ClientID: "c"}, []string{"/overrides/token_url", "/overrides/authorization_url", "/overrides/token_url", "/overrides/authorization_url"}},
		"oidc, public client":       {vault.Integration{Provider: "oidc", ClientID: "c", Overrides: vault.Overrides{Issuer: "https://op.example.com"}}, nil},
		"client credentials":        {vault.Integration{Provider: "oauth2_client", Methods: []string{"own_client"}, Overrides: vault.Overrides{TokenURL: "https://op.example.com/token"}}, nil},
		"overrides": {
			vault.Integration{Provider: "timelog", ClientID: "c", ClientSecret: secret, Overrides: vault.Overrides{
				BaseURL: "http://api.example.com", Issuer: "https://user@op.example.com", AuthorizationURL: "ftp://x", TokenURL: "https://10.0.0.1/",
				RevocationURL: "https://2130706433/", JWKSURL: "not a URL", SessionURL: "https://x.example/#f", ResolveURL: "//x",
				ResponseMode: "web_message", AllowedHosts: []string{"ok.example", "*.ok.example", "*.com", "a b", "https://x", "*"},
			}},
			[]string{
				"/overrides/base_url", "/overrides/issuer", "/overrides/authorization_url", "/overrides/token_url", "/overrides/revocation_url",
				"/overrides/jwks_url", "/overrides/session_url", "/overrides/resolve_url", "/overrides/response_mode",
				"/overrides/allowed_hosts/2", "/overrides/allowed_hosts/3", "/overrides/allowed_hosts/4", "/overrides/allowed_hosts/5",
			},
		},
		"an issuer with a query": {vault.Integration{Provider: "oidc", ClientID: "c", Overrides: vault.Overrides{Issuer: "https://op.example.com/?tenant=1"}}, []string{"/overrides/issuer"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := w.CheckIntegration(tt.in)
			if tt.pointers == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantFields(t, err, tt.pointers...)
		})
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := func(in vault.Integration) []string {
		methods, err := w.Methods(in)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range methods {
			names = append(names, m.Name)
		}
		return names
	}
	if diff := cmp.Diff([]string{"api_token", "password", "session"}, names(vault.Integration{Provider: "toggl"})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"session", "api_token"}, names(vault.Integration{Provider: "toggl", Methods: []string{"session", "api_token", "gone"}})); diff != "" {
		t.Error(diff)
	}
	_, err := w.Methods(vault.Integration{Provider: "gone"})
	_ = wantKind(t, err, fault.ProviderRejected)
}

func TestRedirectURI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got, want := w.RedirectURI("int_1"), "https://claviger.example/sub/connect/callback/int_1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWrongKindOfMethod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.Submit(t.Context(), w.timeLog(), "oidc", form())
	wantFields(t, err, "method")
	_, _, err = w.Begin(t.Context(), w.toggl(), "password", vault.NewSecret("s"))
	wantFields(t, err, "method")
	if _, err := w.Complete(t.Context(), w.toggl(), vault.Attempt{Method: "password"}, providers.Reply{}); err == nil {
		t.Error("completed a form")
	}
}
