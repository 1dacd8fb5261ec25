package providers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

// trip is one browser's way to TimeLog and back.
type trip struct {
	w      *world
	in     vault.Integration
	method string
	state  vault.Secret
	values vault.Credential
	began  time.Time
	asked  url.Values // the authorization request
}

func (w *world) begin(t *testing.T, in vault.Integration, method string) (*trip, *url.URL) {
	t.Helper()
	tr := &trip{w: w, in: in, method: method, state: vault.NewSecret("state-of-this-attempt"), began: w.clock.Now()}
	u, values, err := w.Begin(t.Context(), in, method, tr.state)
	if err != nil {
		t.Fatal(err)
	}
	tr.values, tr.asked = values, u.Query()
	return tr, u
}

// approve signs Ada in and gives what comes back, and how.
func approve(t *testing.T, w *world, u *url.URL) (providers.ResponseMode, url.Values) {
	t.Helper()
	w.sandbox.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.AutoApprove = sandbox.AdaEmail })
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return providers.ModeFormPost, inputs(string(body))
	}
	back := mustURL(t, resp.Header.Get("Location"))
	mode, raw := providers.ModeFragment, back.EscapedFragment()
	if back.RawQuery != "" {
		mode, raw = providers.ModeQuery, back.RawQuery
	}
	values, err := url.ParseQuery(raw)
	if err != nil || len(values) == 0 {
		t.Fatalf("status %d, Location %q: %v", resp.StatusCode, back, err)
	}
	return mode, values
}

// inputs reads the hidden fields of a form_post page.
func inputs(page string) url.Values {
	values := url.Values{}
	for _, tag := range strings.Split(page, "<input")[1:] {
		attribute := func(name string) string {
			_, rest, _ := strings.Cut(tag, name+`="`)
			value, _, _ := strings.Cut(rest, `"`)
			return strings.NewReplacer("&#43;", "+", "&amp;", "&", "&#34;", `"`).Replace(value)
		}
		values.Add(attribute("name"), attribute("value"))
	}
	return values
}

// complete does what connect does: parse, compare the state, complete.
func (tr *trip) complete(t *testing.T, mode providers.ResponseMode, values url.Values) (vault.Grant, error) {
	t.Helper()
	reply, err := providers.ParseReply(mode, values)
	if err != nil {
		return vault.Grant{}, err
	}
	if !reply.State.Equal(tr.state) {
		return vault.Grant{}, errors.New("state: not that of this attempt")
	}
	return tr.w.Complete(t.Context(), tr.in, vault.Attempt{
		ID: "att_1", IntegrationID: tr.in.ID, Method: tr.method, Values: tr.values, CreatedAt: tr.began,
	}, reply)
}

func (w *world) link(t *testing.T, in vault.Integration) vault.Grant {
	t.Helper()
	tr, u := w.begin(t, in, "oidc")
	mode, values := approve(t, w, u)
	g, err := tr.complete(t, mode, values)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestTimeLogInEachResponseMode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		settings func(*sandbox.TimeLogSettings)
		override string
		asked    string
		mode     providers.ResponseMode
	}{
		{"form_post, since discovery lists it", nil, "", "form_post", providers.ModeFormPost},
		{"fragment, where it does not", func(s *sandbox.TimeLogSettings) {
			s.Discovery = func(d map[string]any) { d["response_modes_supported"] = []string{"query", "fragment"} }
		}, "", "", providers.ModeFragment},
		{"query, as documented", func(s *sandbox.TimeLogSettings) {
			s.Discovery = func(d map[string]any) { delete(d, "response_modes_supported") }
			s.DefaultMode = "query"
		}, "", "", providers.ModeQuery},
		{"fragment, pinned", nil, "fragment", "fragment", providers.ModeFragment},
		{"query, pinned", func(s *sandbox.TimeLogSettings) { s.AllowQuery = true }, "query", "query", providers.ModeQuery},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if tt.settings != nil {
				w.sandbox.TimeLog().Set(tt.settings)
			}
			in := w.timeLog()
			in.Overrides.ResponseMode = tt.override
			tr, u := w.begin(t, in, "oidc")
			if got := tr.asked.Get("response_mode"); got != tt.asked {
				t.Errorf("asked for %q, want %q", got, tt.asked)
			}
			mode, values := approve(t, w, u)
			if mode != tt.mode {
				t.Errorf("came back by %s, want %s", mode, tt.mode)
			}
			g, err := tr.complete(t, mode, values)
			if err != nil {
				t.Fatal(err)
			}
			root := w.sandbox.TimeLog().URL() + "/soxdemo"
			if g.BaseURL != root || g.HeldBaseURL != "" {
				t.Errorf("base URL %q, want %q", g.BaseURL, root)
			}
			if !strings.HasPrefix(g.Account.ID, w.sandbox.TimeLog().Issuer()+"#") || g.Account.Label == "" {
				t.Errorf("account %+v", g.Account)
			}
			if want := w.clock.Now().Add(time.Hour); !g.ExpiresAt.Equal(want) || !g.Renewable {
				t.Errorf("expires %v, want %v; renewable %v", g.ExpiresAt, want, g.Renewable)
			}
			wantHeaders(t, g, map[string]string{"Authorization": "Bearer " + g.Credential.Get("access_token")})
			if calls := w.sandbox.TimeLog().TokenCalls(); calls != 1 {
				t.Errorf("%d token calls", calls)
			}
		})
	}
}

func wantHeaders(t *testing.T, g vault.Grant, want map[string]string) {
	t.Helper()
	got := headers(g)
	if len(got) != len(want) || len(g.Headers) != len(want) {
		t.Errorf("%d headers, want %d", len(got), len(want))
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %.30q, want %.30q", name, got[name], value)
		}
	}
}

func TestTimeLogAuthorizationRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, _ := w.begin(t, w.timeLog(), "oidc")
	second, u := w.begin(t, w.timeLog(), "oidc")
	for name, want := range map[string]string{
		"client_id":             sandbox.DemoClientID,
		"response_type":         "code id_token",
		"scope":                 "openid offline_access tlp",
		"redirect_uri":          publicURL + "/connect/callback/int_timelog",
		"state":                 "state-of-this-attempt",
		"code_challenge_method": "S256",
		"nonce":                 second.values.Get("nonce"),
	} {
		if got := second.asked.Get(name); got != want || want == "" {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := u.Scheme + "://" + u.Host + u.Path; got != w.sandbox.TimeLog().URL()+"/connect/authorize" {
		t.Errorf("leads to %s", got)
	}
	for _, name := range []string{"nonce", "code_challenge"} {
		if a, b := first.asked.Get(name), second.asked.Get(name); a == b || len(a) < 43 || len(b) < 43 {
			t.Errorf("%s: %q, then %q", name, a, b)
		}
	}
	if strings.Contains(u.String(), second.values.Get("verifier")) || strings.Contains(u.String(), sandbox.DemoClientSecret) {
		t.Error("the URL holds a secret")
	}
}

// Every single thing that can be wrong in a reply is seen before the code is
// used, and everything odd but right goes through.
func TestTimeLogFrontChannelCases(t *testing.T) { //nolint:tparallel // the cases take turns at one TimeLog
	t.Parallel()
	w := newWorld(t)
	for _, c := range sandbox.Cases(sandbox.Front) {
		t.Run(c.Name, func(t *testing.T) {
			w.sandbox.TimeLog().ResetCalls()
			defer w.sandbox.TimeLog().Tamper(c.On, c.Tamper)()
			tr, u := w.begin(t, w.timeLog(), "oidc")
			mode, values := approve(t, w, u)
			_, err := tr.complete(t, mode, values)
			if c.Accept != (err == nil) {
				t.Fatalf("accepted %v, want %v (%s): %v", err == nil, c.Accept, c.Rule, err)
			}
			if n := w.sandbox.TimeLog().TokenCalls(); err != nil && n != 0 {
				t.Errorf("%d token calls after %v", n, err)
			}
			wantLinkError(t, c.Name, err, values)
		})
	}
}

func TestTimeLogBackChannelCases(t *testing.T) { //nolint:tparallel // the cases take turns at one TimeLog
	t.Parallel()
	w := newWorld(t)
	for _, c := range sandbox.Cases(sandbox.Back) {
		t.Run(c.Name, func(t *testing.T) {
			w.sandbox.TimeLog().ResetCalls()
			defer w.sandbox.TimeLog().Tamper(c.On, c.Tamper)()
			tr, u := w.begin(t, w.timeLog(), "oidc")
			mode, values := approve(t, w, u)
			g, err := tr.complete(t, mode, values)
			if c.Accept != (err == nil) {
				t.Fatalf("accepted %v, want %v (%s): %v", err == nil, c.Accept, c.Rule, err)
			}
			if err != nil && (len(g.Headers) > 0 || g.BaseURL != "" || g.Account.ID != "" || !g.ExpiresAt.IsZero() || g.Renewable) {
				t.Error("of a refused answer more came out than what is to be given back")
			}
			if err != nil && len(g.Credential) > 0 {
				w.Revoke(t.Context(), w.timeLog(), vault.Connection{Method: "oidc"}, g.Credential)
				if f := w.sandbox.TimeLog().Families(); !f[len(f)-1].Revoked {
					t.Error("what TimeLog handed out cannot be given back")
				}
			}
			if n := w.sandbox.TimeLog().Count(sandbox.TimeLogResolveURI); err != nil && n != 0 {
				t.Error("the access token was used before it passed")
			}
			wantLinkError(t, c.Name, err, values)
		})
	}
}

// wantLinkError looks at an error as the trail and the page will.
func wantLinkError(t *testing.T, name string, err error, values url.Values) {
	t.Helper()
	var le *providers.LinkError
	if err == nil || !errors.As(err, &le) {
		return
	}
	if le.Reason == "" || le.Message == "" || strings.ContainsAny(le.Reason, " \t") {
		t.Errorf("reason %q, message %q", le.Reason, le.Message)
	}
	for _, prefix := range []string{"nonce", "c_hash", "at_hash", "s_hash", "signature", "iss", "aud", "azp", "exp", "iat", "sub", "alg", "kid", "typ", "crit", "auth_time"} {
		if strings.HasPrefix(name, prefix+"_") && le.Reason != prefix && !expectedOtherwise(name, le.Reason) {
			t.Errorf("reason %q for case %s", le.Reason, name)
		}
	}
	for _, v := range values {
		if len(v[0]) > 8 && (strings.Contains(le.Message, v[0]) || strings.Contains(err.Error(), v[0])) {
			t.Errorf("the error repeats a part of the reply: %v", err)
		}
	}
}

// expectedOtherwise lists the cases whose fault has another name than the case.
func expectedOtherwise(name, reason string) bool {
	return map[string]string{
		"alg_none":            "format", // its third part is empty
		"sub_in_capitals_too": "duplicate_member",
		"sub_twice":           "duplicate_member",
	}[name] == reason || reason == "token_exchange" && name == "alg_none"
}

func TestTimeLogTripsThatEndOtherwise(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*world, *trip, url.Values) url.Values
		reason string
	}{
		{"access denied", func(_ *world, tr *trip, v url.Values) url.Values {
			return url.Values{"state": v["state"], "error": {"access_denied"}, "error_description": {"<b>no</b>"}}
		}, "access_denied"},
		{"an error of their own", func(_ *world, tr *trip, v url.Values) url.Values {
			return url.Values{"state": v["state"], "error": {"E_1234"}}
		}, "provider_error"},
		{"an error of another issuer", func(_ *world, tr *trip, v url.Values) url.Values {
			return url.Values{"state": v["state"], "error": {"access_denied"}, "iss": {"https://login.example.org"}}
		}, "iss"},
		{"no id_token", func(_ *world, _ *trip, v url.Values) url.Values {
			v.Del("id_token")
			return v
		}, "reply_shape"},
		{"nonce of another attempt", func(_ *world, tr *trip, v url.Values) url.Values {
			tr.values["nonce"] = vault.NewSecret("nonce-of-another-attempt")
			return v
		}, "nonce"},
		{"no nonce on record", func(_ *world, tr *trip, v url.Values) url.Values {
			delete(tr.values, "nonce")
			return v
		}, "nonce"},
		{"verifier of another attempt", func(_ *world, tr *trip, v url.Values) url.Values {
			tr.values["verifier"] = vault.NewSecret(strings.Repeat("v", 43))
			return v
		}, "token_exchange"},
		{"the issuer was changed meanwhile", func(_ *world, tr *trip, v url.Values) url.Values {
			tr.values["issuer"] = vault.NewSecret("https://login.example.org")
			return v
		}, "integration_changed"},
		{"the client was changed meanwhile", func(_ *world, tr *trip, v url.Values) url.Values {
			tr.in.ClientID = "another"
			return v
		}, "integration_changed"},
		{"the client secret is wrong", func(_ *world, tr *trip, v url.Values) url.Values {
			tr.in.ClientSecret = vault.NewSecret("wrong")
			return v
		}, "client_refused"},
		{"the token endpoint is down", func(w *world, _ *trip, v url.Values) url.Values {
			w.sandbox.TimeLog().Faults().Always(sandbox.TimeLogToken, sandbox.Status(http.StatusServiceUnavailable))
			return v
		}, "token_exchange"},
		{"the token endpoint redirects", func(w *world, _ *trip, v url.Values) url.Values {
			w.sandbox.TimeLog().Faults().Always(sandbox.TimeLogToken, sandbox.Redirect(http.StatusTemporaryRedirect, "http://127.0.0.1:9/"))
			return v
		}, "token_exchange"},
		{"the access token is refused", func(w *world, _ *trip, v url.Values) url.Values {
			w.sandbox.TimeLog().Faults().Always(sandbox.TimeLogResolveURI, sandbox.Status(http.StatusUnauthorized))
			return v
		}, "refused"},
		{"ResolveUri is down", func(w *world, _ *trip, v url.Values) url.Values {
			w.sandbox.TimeLog().Faults().Always(sandbox.TimeLogResolveURI, sandbox.Status(http.StatusBadGateway))
			return v
		}, "unavailable"},
		{"ResolveUri answers a page", func(w *world, _ *trip, v url.Values) url.Values {
			w.sandbox.TimeLog().Faults().Always(sandbox.TimeLogResolveURI, sandbox.NotJSON())
			return v
		}, "resolve_url"},
		{"the keys are out of reach", func(w *world, _ *trip, v url.Values) url.Values {
			w.sandbox.TimeLog().Faults().Always(sandbox.TimeLogJWKS, sandbox.Drop())
			return v
		}, "unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tr, u := w.begin(t, w.timeLog(), "oidc")
			mode, values := approve(t, w, u)
			_, err := tr.complete(t, mode, tt.change(w, tr, values))
			var le *providers.LinkError
			if !errors.As(err, &le) || le.Reason != tt.reason {
				t.Fatalf("got %v, want reason %s", err, tt.reason)
			}
			if le.Message == "" || strings.Contains(le.Message, "<") {
				t.Errorf("message %q", le.Message)
			}
			if n := w.sandbox.TimeLog().TokenCalls(); n != 0 && tt.reason != "token_exchange" && tt.reason != "client_refused" && !strings.HasPrefix(tt.name, "ResolveUri") && tt.reason != "refused" {
				t.Errorf("%d token calls", n)
			}
		})
	}
}

// The code works once; the same reply again ends at the token endpoint.
func TestTimeLogReplayedReply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tr, u := w.begin(t, w.timeLog(), "oidc")
	mode, values := approve(t, w, u)
	if _, err := tr.complete(t, mode, values); err != nil {
		t.Fatal(err)
	}
	var le *providers.LinkError
	if _, err := tr.complete(t, mode, values); !errors.As(err, &le) || le.Reason != "token_exchange" {
		t.Errorf("got %v", err)
	}
}

func TestTimeLogAPIRoot(t *testing.T) { //nolint:tparallel // the cases take turns at one TimeLog
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		root string
		ok   bool
	}{
		{"https://app4.timelog.com/soxdemo", true},
		{"https://app4.timelog.com/soxdemo/", true},
		{"https://app4.timelog.com:443/soxdemo", true},
		{"https://APP4.TimeLog.com/soxdemo", true},
		{"http://app4.timelog.com/soxdemo", false},
		{"https://timelog.com/soxdemo", false}, // below it, not it
		{"https://eviltimelog.com/soxdemo", false},
		{"https://app4.timelog.com.evil.example/soxdemo", false},
		{"https://user@app4.timelog.com/", false},
		{"https://app4.timelog.com@evil.example/", false},
		{"https://evil.example#.timelog.com/", false},
		{"https://evil.example\\.timelog.com/", false},
		{"https://app4.timelog.com:8443/soxdemo", false},
		{"https://127.0.0.1/soxdemo", false},
		{"https://app4.timelog.com/../x", false},
		{"https://app4.timelog.com/?x=1", false},
		{"//app4.timelog.com/soxdemo", false},
		{"", false},
	} {
		t.Run(fmt.Sprintf("%q", tt.root), func(t *testing.T) {
			w.sandbox.TimeLog().Faults().Clear(sandbox.TimeLogResolveURI)
			answer, err := json.Marshal(map[string]string{"url": tt.root})
			if err != nil {
				t.Fatal(err)
			}
			w.sandbox.TimeLog().Faults().Always(sandbox.TimeLogResolveURI, sandbox.Respond(http.StatusOK, nil, string(answer)))
			tr, u := w.begin(t, w.timeLog(), "oidc")
			mode, values := approve(t, w, u)
			g, err := tr.complete(t, mode, values)
			if tt.ok {
				if err != nil || g.BaseURL != "https://app4.timelog.com/soxdemo" {
					t.Errorf("base URL %q, %v", g.BaseURL, err)
				}
				return
			}
			var le *providers.LinkError
			if !errors.As(err, &le) || le.Reason != providers.ReasonResolveURL {
				t.Errorf("base URL %q, %v", g.BaseURL, err)
			}
			_, err = w.Submit(t.Context(), w.timeLog(), "personal_access_token", form("token", sandbox.TimeLogAdaToken))
			_ = wantKind(t, err, fault.ProviderRejected)
		})
	}
}

func TestTimeLogWithoutDiscovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sandbox.TimeLog().Faults().Always(sandbox.TimeLogDiscovery, sandbox.Status(http.StatusNotFound))
	in, base := w.timeLog(), w.sandbox.TimeLog().URL()

	// The file's endpoints are those of the file's issuer, and of no other.
	_, _, err := w.Begin(t.Context(), in, "oidc", vault.NewSecret("state"))
	_ = wantKind(t, err, fault.ProviderUnavailable)

	in.Overrides.AuthorizationURL = base + "/connect/authorize"
	in.Overrides.TokenURL = base + "/connect/token"
	in.Overrides.JWKSURL = base + "/.well-known/openid-configuration/jwks"
	tr, u := w.begin(t, in, "oidc")
	if tr.asked.Has("response_mode") {
		t.Errorf("asked for %q of an issuer that lists nothing", tr.asked.Get("response_mode"))
	}
	mode, values := approve(t, w, u)
	if _, err := tr.complete(t, mode, values); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(w.log.String(), "no discovery document") {
		t.Errorf("the log does not say so:\n%s", w.log)
	}
}

func TestTimeLogDiscoveryThatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(map[string]any){
		"another issuer":          func(d map[string]any) { d["issuer"] = "https://login.example.org" },
		"token endpoint astray":   func(d map[string]any) { d["token_endpoint"] = "https://token.example.org/token" },
		"keys astray":             func(d map[string]any) { d["jwks_uri"] = "https://keys.example.org/jwks" },
		"revocation astray":       func(d map[string]any) { d["revocation_endpoint"] = "https://revoke.example.org/" },
		"no authorization at all": func(d map[string]any) { delete(d, "authorization_endpoint") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.sandbox.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.Discovery = change })
			_, _, err := w.Begin(t.Context(), w.timeLog(), "oidc", vault.NewSecret("state"))
			_ = wantKind(t, err, fault.ProviderRejected)
		})
	}
}

func TestTimeLogPersonalAccessToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.timeLog()
	g, err := w.Submit(t.Context(), in, "personal_access_token", form("token", sandbox.TimeLogAdaToken+"\n", "expires_on", "2027-03-31"))
	if err != nil {
		t.Fatal(err)
	}
	wantHeaders(t, g, map[string]string{"Authorization": "Bearer " + sandbox.TimeLogAdaToken})
	if g.BaseURL != w.sandbox.TimeLog().URL()+"/soxdemo" || g.Renewable {
		t.Errorf("base URL %q, renewable %v", g.BaseURL, g.Renewable)
	}
	if want := time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC); !g.ExpiresAt.Equal(want) {
		t.Errorf("expires %v, want %v: the end of its last day", g.ExpiresAt, want)
	}
	conn := connection(in, "personal_access_token", g)
	if out := w.Revoke(t.Context(), in, conn, g.Credential); out.Outcome != vault.OutcomeUnsupported {
		t.Errorf("Revoke: %+v", out)
	}
	g, err = w.Submit(t.Context(), in, "personal_access_token", form("token", sandbox.TimeLogAdaToken))
	if err != nil || !g.ExpiresAt.IsZero() {
		t.Errorf("without a date: expires %v, %v", g.ExpiresAt, err)
	}
	for name, c := range map[string]struct {
		form    vault.Credential
		pointer string
	}{
		"yesterday":   {form("token", sandbox.TimeLogAdaToken, "expires_on", "2026-02-28"), "expires_on"},
		"no date":     {form("token", sandbox.TimeLogAdaToken, "expires_on", "31.3.2027"), "expires_on"},
		"no day":      {form("token", sandbox.TimeLogAdaToken, "expires_on", "2027-02-30"), "expires_on"},
		"far away":    {form("token", sandbox.TimeLogAdaToken, "expires_on", "9999-12-31"), "expires_on"},
		"wrong token": {form("token", "tlpat-wrong"), "token"},
		"the header":  {form("token", "Bearer "+sandbox.TimeLogAdaToken), "token"},
		"two lines":   {form("token", "a\r\nX-Injected: 1"), "token"},
	} {
		_, err := w.Submit(t.Context(), in, "personal_access_token", c.form)
		f, ok := fault.As(err)
		if !ok || f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Pointer != c.pointer {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Today still counts.
	if _, err := w.Submit(t.Context(), in, "personal_access_token", form("token", sandbox.TimeLogAdaToken, "expires_on", "2026-03-01")); err != nil {
		t.Errorf("today: %v", err)
	}
}

// Any OpenID provider, by its issuer alone.
func TestGenericHybrid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := vault.Integration{
		ID: "int_timelog", Provider: "oidc", ClientID: sandbox.DemoClientID, ClientSecret: vault.NewSecret(sandbox.DemoClientSecret),
		Scopes: []string{"openid", "offline_access", "email"}, Overrides: vault.Overrides{Issuer: w.sandbox.TimeLog().Issuer()},
	}
	if err := w.CheckIntegration(in); err != nil {
		t.Fatal(err)
	}
	tr, u := w.begin(t, in, "hybrid")
	mode, values := approve(t, w, u)
	g, err := tr.complete(t, mode, values)
	if err != nil {
		t.Fatal(err)
	}
	if g.Account.Label != sandbox.AdaEmail || !g.Renewable || g.BaseURL != "" {
		t.Errorf("%+v", g)
	}
	conn := connection(in, "hybrid", g)
	if account, err := w.Verify(t.Context(), in, conn, g.Credential); err != nil || account != g.Account {
		t.Errorf("Verify: %+v, %v", account, err)
	}
	w.sandbox.TimeLog().Faults().Next(sandbox.TimeLogUserInfo, 1, sandbox.Respond(http.StatusOK, nil, `{"sub":"1906"}`))
	if _, err := w.Verify(t.Context(), in, conn, g.Credential); err == nil || errors.Is(err, providers.ErrRefused) {
		t.Errorf("Verify of somebody else's userinfo: %v", err)
	}
	if out := w.Revoke(t.Context(), in, conn, g.Credential); out.Outcome != vault.OutcomeRevoked {
		t.Errorf("Revoke: %+v", out)
	}
	if _, err := w.Verify(t.Context(), in, conn, g.Credential); !errors.Is(err, providers.ErrRefused) {
		t.Errorf("Verify of a revoked token: %v", err)
	}
}

// The code is spent; a browser that goes away now does not take the tokens along.
func TestTimeLogExchangeOutlivesTheBrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tr, u := w.begin(t, w.timeLog(), "oidc")
	mode, values := approve(t, w, u)
	reply, err := providers.ParseReply(mode, values)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.sandbox.TimeLog().OnToken(func(*sandbox.TokenAnswer) { cancel() })
	at := vault.Attempt{Method: "oidc", Values: tr.values, CreatedAt: tr.began}
	if _, err := w.Complete(ctx, tr.in, at, reply); err != nil {
		t.Error(err)
	}
}
