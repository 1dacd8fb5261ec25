package sandbox_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

// A request that only a broken client sends goes nowhere: it gets a page.
func TestAuthorizeRefusesOnAPage(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	f.tl.Register(sandbox.Client{ID: "strict", Secret: "strict-client-secret-of-32-characters", RedirectURIs: []string{"https://app.example.com/cb"}, Scopes: []string{"openid"}})
	set := func(name, value string) func(url.Values) { return func(p url.Values) { p.Set(name, value) } }
	tests := []struct {
		name   string
		change func(url.Values)
		want   string
	}{
		{"unknown client", set("client_id", "nobody"), "unauthorized_client"},
		{"no redirect_uri", set("redirect_uri", ""), "Invalid redirect_uri"},
		{"redirect_uri elsewhere", set("redirect_uri", "https://evil.example.com/cb"), "Invalid redirect_uri"},
		{"redirect_uri with loopback as user", set("redirect_uri", "http://127.0.0.1@evil.example.com/cb"), "Invalid redirect_uri"},
		{"redirect_uri with user", set("redirect_uri", "http://ada@127.0.0.1/cb"), "Invalid redirect_uri"},
		{"redirect_uri with fragment", set("redirect_uri", "http://127.0.0.1/cb#x"), "Invalid redirect_uri"},
		{"redirect_uri almost registered", func(p url.Values) {
			p.Set("client_id", "strict")
			p.Set("redirect_uri", "https://app.example.com/cb/")
		}, "Invalid redirect_uri"},
		{"response_type code", set("response_type", "code"), "unsupported_response_type"},
		{"response_type with token", set("response_type", "code id_token token"), "unsupported_response_type"},
		{"response_mode query", set("response_mode", "query"), "Invalid response_mode"},
		{"response_mode unknown", set("response_mode", "web_message"), "Invalid response_mode"},
		{"no openid", set("scope", "tlp"), "openid scope is missing"},
		{"openid as a part of a word", set("scope", "openid2 tlp"), "openid scope is missing"},
		{"unknown scope", set("scope", "openid everything"), "invalid_scope"},
		{"no nonce", set("nonce", ""), "Invalid nonce"},
		{"plain PKCE", set("code_challenge_method", "plain"), "Transform algorithm"},
		{"PKCE without method", set("code_challenge_method", ""), "Transform algorithm"},
		{"state twice", func(p url.Values) { p.Add("state", "another") }, "Duplicate parameter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := authorizeParams()
			tt.change(p)
			a := send(t, f.c, http.MethodGet, f.tl.URL()+"/connect/authorize?"+p.Encode(), "")
			wantStatus(t, a, http.StatusBadRequest)
			if !strings.Contains(a.body, tt.want) || a.Header.Get("Location") != "" {
				t.Errorf("page does not say %q: %s", tt.want, a.body)
			}
		})
	}
}

func TestAuthorizeTakesWhatIsInOrder(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	f.tl.Register(sandbox.Client{ID: "strict", Secret: "strict-client-secret-of-32-characters", RedirectURIs: []string{"https://app.example.com/cb"}})
	for name, change := range map[string]func(url.Values){
		"response_type the other way round": func(p url.Values) { p.Set("response_type", "id_token code") },
		"no PKCE":                           func(p url.Values) { p.Del("code_challenge"); p.Del("code_challenge_method") },
		"no state":                          func(p url.Values) { p.Del("state") },
		"registered redirect_uri": func(p url.Values) {
			p.Set("client_id", "strict")
			p.Set("redirect_uri", "https://app.example.com/cb")
		},
		"localhost": func(p url.Values) { p.Set("redirect_uri", "http://localhost:1234/") },
		"IPv6":      func(p url.Values) { p.Set("redirect_uri", "http://[::1]:1234/cb") },
	} {
		p := authorizeParams()
		change(p)
		if reply := f.authorize(p); reply.Get("code") == "" {
			t.Errorf("%s: reply %v", name, reply)
		}
	}
	f.tl.Set(func(s *sandbox.TimeLogSettings) { s.RequirePKCE = true })
	p := authorizeParams()
	p.Del("code_challenge")
	wantStatus(t, send(t, f.c, http.MethodGet, f.tl.URL()+"/connect/authorize?"+p.Encode(), ""), http.StatusBadRequest)
}

// The same reply arrives by each response mode, an error too.
func TestAuthorizeResponseModes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, asked string
		set         func(*sandbox.TimeLogSettings)
		want        string
	}{
		{"default", "", func(*sandbox.TimeLogSettings) {}, "fragment"},
		{"fragment", "fragment", func(*sandbox.TimeLogSettings) {}, "fragment"},
		{"form_post", "form_post", func(*sandbox.TimeLogSettings) {}, "form_post"},
		{"query by permission", "query", func(s *sandbox.TimeLogSettings) { s.AllowQuery = true }, "query"},
		{"query by default", "", func(s *sandbox.TimeLogSettings) { s.DefaultMode = "query" }, "query"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, sandbox.Config{})
			f := newFlow(t, s.TimeLog())
			f.tl.Set(tt.set)
			p := authorizeParams()
			p.Set("response_mode", tt.asked)

			mode, reply := f.reply(p)
			if mode != tt.want || reply.Get("code") == "" || reply.Get("id_token") == "" || reply.Get("state") != p.Get("state") {
				t.Errorf("by %s: %v", mode, reply)
			}
			f.tl.DenyNext("temporarily_unavailable", "Later & then")
			mode, reply = f.reply(p)
			if mode != tt.want || reply.Get("error") != "temporarily_unavailable" || reply.Get("error_description") != "Later & then" ||
				reply.Get("state") != p.Get("state") || reply.Has("code") {
				t.Errorf("error by %s: %v", mode, reply)
			}
			if _, reply = f.reply(p); reply.Has("error") {
				t.Errorf("DenyNext lasts: %v", reply)
			}
			p.Set("prompt", "none")
			if mode, reply = f.reply(p); mode != tt.want || reply.Get("error") != "login_required" {
				t.Errorf("prompt=none by %s: %v", mode, reply)
			}
		})
	}
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// reply gives the mode by which the reply came, and its parameters.
func (f *flow) reply(p url.Values) (string, url.Values) {
	f.t.Helper()
	a := send(f.t, f.c, http.MethodGet, f.tl.URL()+"/connect/authorize?"+p.Encode(), "")
	return replyOf(f.t, a)
}

func replyOf(t *testing.T, a answer) (string, url.Values) {
	t.Helper()
	if a.StatusCode == http.StatusOK {
		if !strings.Contains(a.body, `action="`+redirectURI+`"`) || !strings.Contains(a.body, "<noscript><button") {
			t.Fatalf("not a form_post page: %s", a.body)
		}
		return "form_post", hidden(a.body)
	}
	u, err := url.Parse(a.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(u.String(), redirectURI) {
		t.Fatalf("status %d, Location %q, %v", a.StatusCode, a.Header.Get("Location"), err)
	}
	mode, raw := "fragment", u.EscapedFragment()
	if u.RawQuery != "" {
		mode, raw = "query", u.RawQuery
	}
	q, err := url.ParseQuery(raw)
	if err != nil {
		t.Fatal(err)
	}
	return mode, q
}

func hidden(page string) url.Values {
	v := url.Values{}
	for _, m := range hiddenInput.FindAllStringSubmatch(page, -1) {
		v.Add(m[1], html.UnescapeString(m[2]))
	}
	return v
}

// The page works with two buttons and no script.
func TestSignInPage(t *testing.T) {
	t.Parallel()
	clk := newClock()
	s := start(t, sandbox.Config{Now: clk.Now})
	tl, c := s.TimeLog(), client(t)
	open := func() url.Values {
		a := send(t, c, http.MethodGet, tl.URL()+"/connect/authorize?"+authorizeParams().Encode(), "")
		wantStatus(t, a, http.StatusOK)
		for _, want := range []string{`<label for="email">`, `<label for="password">`, `autocomplete="current-password"`, "<code>offline_access</code>", sandbox.DemoClientID} {
			if !strings.Contains(a.body, want) {
				t.Errorf("page has no %s", want)
			}
		}
		if strings.Contains(a.body, sandbox.TimeLogAdaPassword) || strings.Contains(a.body, "<script") {
			t.Errorf("page has a password or a script: %s", a.body)
		}
		return hidden(a.body)
	}
	press := func(form url.Values, email, password, action string) answer {
		form.Set("email", email)
		form.Set("password", password)
		form.Set("action", action)
		return post(t, c, tl.URL()+"/account/login", form)
	}

	form := open()
	a := press(form, sandbox.AdaEmail, "nope", "allow")
	wantStatus(t, a, http.StatusOK)
	if !strings.Contains(a.body, "Invalid user name or password") || !strings.Contains(a.body, `value="ada@example.com"`) {
		t.Errorf("page after a wrong password: %s", a.body)
	}
	a = press(form, sandbox.AdaEmail, sandbox.TimeLogAdaPassword, "allow")
	wantStatus(t, a, http.StatusSeeOther)
	if mode, reply := replyOf(t, a); mode != "fragment" || reply.Get("code") == "" || reply.Get("state") != "state-of-the-attempt" {
		t.Errorf("reply by %s: %v", mode, reply)
	}
	wantStatus(t, press(form, sandbox.AdaEmail, sandbox.TimeLogAdaPassword, "allow"), http.StatusBadRequest)

	a = press(open(), "", "", "cancel")
	wantStatus(t, a, http.StatusSeeOther)
	if _, reply := replyOf(t, a); reply.Get("error") != "access_denied" || reply.Get("state") != "state-of-the-attempt" {
		t.Errorf("reply to Cancel: %v", reply)
	}

	form = open()
	clk.advance(10 * time.Minute)
	wantStatus(t, press(form, sandbox.AdaEmail, sandbox.TimeLogAdaPassword, "allow"), http.StatusBadRequest)

	tl.Set(func(s *sandbox.TimeLogSettings) { s.ShowHints = true })
	a = send(t, c, http.MethodGet, tl.URL()+"/connect/authorize?"+authorizeParams().Encode(), "")
	if !strings.Contains(a.body, sandbox.TimeLogAdaPassword) {
		t.Error("ShowHints shows no hints")
	}
}

// IdentityServer closes an error reply by query with a fragment of its own.
func TestErrorByQueryCarriesAnEmptyFragment(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	s.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.AllowQuery = true })
	s.TimeLog().DenyNext("access_denied", "")
	p := authorizeParams()
	p.Set("response_mode", "query")
	p.Set("redirect_uri", redirectURI+"?fixed=1")
	a := send(t, client(t), http.MethodGet, s.TimeLog().URL()+"/connect/authorize?"+p.Encode(), "")
	want := redirectURI + "?fixed=1&error=access_denied&state=state-of-the-attempt#_=_"
	if got := a.Header.Get("Location"); got != want {
		t.Errorf("Location %q, want %q", got, want)
	}
}
