package providers_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

func TestTogglByToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// As it comes from a clipboard.
	g, err := w.Submit(t.Context(), w.toggl(), "api_token", form("api_token", " \t"+sandbox.TogglAdaToken+"\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	// echo -n 'ada0ada0ada0ada0ada0ada0ada0ada0:api_token' | base64
	want := map[string]string{"Authorization": "Basic YWRhMGFkYTBhZGEwYWRhMGFkYTBhZGEwYWRhMGFkYTA6YXBpX3Rva2Vu"}
	if diff := cmp.Diff(want, headers(g)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"api_token"}, g.Credential.Names()); diff != "" {
		t.Error(diff)
	}
	if g.BaseURL != w.sandbox.Toggl().URL() || g.Account.Label != sandbox.AdaEmail || g.Account.ID == "" {
		t.Errorf("base URL %q, account %+v", g.BaseURL, g.Account)
	}
	if g.Renewable || !g.ExpiresAt.IsZero() {
		t.Errorf("renewable %v, expires %v", g.Renewable, g.ExpiresAt)
	}
	in := w.toggl()
	account, err := w.Verify(t.Context(), in, connection(in, "api_token", g), g.Credential)
	if err != nil || account != g.Account {
		t.Errorf("Verify: %+v, %v", account, err)
	}
	if out := w.Revoke(t.Context(), in, connection(in, "api_token", g), g.Credential); out.Outcome != vault.OutcomeUnsupported || !strings.Contains(out.Detail, "track.toggl.com/profile") {
		t.Errorf("Revoke: %+v", out)
	}
	if _, err := w.sandbox.Toggl().Accounts().ResetToken(sandbox.AdaEmail); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Verify(t.Context(), in, connection(in, "api_token", g), g.Credential); !errors.Is(err, providers.ErrRefused) {
		t.Errorf("Verify of a dead token: %v", err)
	}
}

func TestTogglByPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const password = "päss: wörd "
	w.sandbox.Toggl().Accounts().Put(sandbox.Account{ID: "77", Email: "umlaut@example.com", Password: password, Token: strings.Repeat("7", 32), Name: "U"})
	g, err := w.Submit(t.Context(), w.toggl(), "password", form("email", "umlaut@example.com", "password", password))
	if err != nil {
		t.Fatal(err)
	}
	r := http.Request{Header: http.Header{"Authorization": {headers(g)["Authorization"]}}}
	if user, pass, _ := r.BasicAuth(); user != "umlaut@example.com" || pass != password {
		t.Errorf("%q, %q", user, pass)
	}
}

func TestTogglFormFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	t.Cleanup(func() {
		if n := w.sandbox.Toggl().Count(sandbox.Any); n != 0 {
			t.Errorf("the provider was asked %d times", n)
		}
	})
	for _, tt := range []struct {
		name, method string
		form         vault.Credential
		pointers     []string
	}{
		{"nothing filled in", "password", form(), []string{"email", "password"}},
		{"colon in the e-mail", "password", form("email", "a:b@example.com", "password", "x"), []string{"email"}},
		{"CR LF in the e-mail", "password", form("email", "a@example.com\r\nX: 1", "password", "x"), []string{"email"}},
		{"NUL in the password", "password", form("email", "a@example.com", "password", "x\x00"), []string{"password"}},
		{"not UTF-8", "password", form("email", "a@example.com", "password", "\xff"), []string{"password"}},
		{"no e-mail", "password", form("email", "ada", "password", "x"), []string{"email"}},
		{"the token form by the back door", "password", form("email", sandbox.TogglAdaToken+"@x", "password", "api_token"), []string{"password"}},
		{"too long", "api_token", form("api_token", strings.Repeat("a", 257)), []string{"api_token"}},
		{"only white space", "api_token", form("api_token", " \n"), []string{"api_token"}},
		{"a field too many", "api_token", form("api_token", "a", "csrf", "b"), []string{"csrf"}},
		{"no such checkbox", "session", form("email", "a@example.com", "password", "x", "keep_password", "maybe"), []string{"keep_password"}},
		{"no such method", "oauth", form(), []string{"method"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := w.Submit(t.Context(), w.toggl(), tt.method, tt.form)
			wantFields(t, err, tt.pointers...)
			for _, v := range tt.form {
				if s := v.Reveal(); len(s) > 3 && strings.Contains(err.Error(), s) {
					t.Errorf("the error repeats a value: %v", err)
				}
			}
		})
	}
}

// Wrong, unknown and locked read the same.
func TestTogglRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sandbox.Toggl().Accounts().Put(sandbox.Account{ID: "78", Email: "locked@example.com", Password: "right", Disabled: true})
	var texts []string
	for _, c := range []vault.Credential{
		form("email", sandbox.AdaEmail, "password", "wrong"),
		form("email", "nobody@example.com", "password", "wrong"),
		form("email", "locked@example.com", "password", "right"),
	} {
		for _, method := range []string{"password", "session"} {
			_, err := w.Submit(t.Context(), w.toggl(), method, c)
			wantFields(t, err, "password")
			if !errors.Is(err, providers.ErrRefused) {
				t.Errorf("%s: %v is not ErrRefused", method, err)
			}
			f, _ := fault.As(err)
			texts = append(texts, f.Message+f.Fields[0].Detail)
		}
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("%q and %q tell two cases apart", texts[0], text)
		}
	}
}

func TestTogglProviderTrouble(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault sandbox.Fault
		kind  fault.Kind
		after time.Duration
	}{
		{"down", sandbox.Status(http.StatusBadGateway), fault.ProviderUnavailable, 0},
		{"busy", sandbox.TooManyRequests(30 * time.Second), fault.ProviderUnavailable, 30 * time.Second},
		{"gone", sandbox.Drop(), fault.ProviderUnavailable, 0},
		{"elsewhere", sandbox.Redirect(http.StatusTemporaryRedirect, "http://127.0.0.1:9/"), fault.ProviderRejected, 0},
		{"a page", sandbox.NotJSON(), fault.ProviderRejected, 0},
		{"no such path", sandbox.Status(http.StatusNotFound), fault.ProviderRejected, 0},
		{"nobody", sandbox.Respond(http.StatusOK, nil, `{"id":""}`), fault.ProviderRejected, 0},
		{"a name to break a page", sandbox.Respond(http.StatusOK, nil, `{"id":"a\nb"}`), fault.ProviderRejected, 0},
		{"far too much", sandbox.Oversized(2 << 20), fault.ProviderRejected, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.sandbox.Toggl().Faults().Always(sandbox.TogglMe, tt.fault)
			_, err := w.Submit(t.Context(), w.toggl(), "api_token", form("api_token", sandbox.TogglAdaToken))
			f := wantKind(t, err, tt.kind)
			if f.RetryAfter != tt.after {
				t.Errorf("retry after %v, want %v", f.RetryAfter, tt.after)
			}
			if errors.Is(err, providers.ErrRefused) {
				t.Error("taken for a refused credential")
			}
		})
	}
}

func TestTogglSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.toggl()
	g, err := w.Submit(t.Context(), in, "session", form("email", sandbox.AdaEmail, "password", sandbox.TogglAdaPassword))
	if err != nil {
		t.Fatal(err)
	}
	if got := headers(g)["Cookie"]; !strings.HasPrefix(got, sandbox.TogglCookie+"=ey") || len(g.Headers) != 1 {
		t.Errorf("headers %v", headers(g))
	}
	if diff := cmp.Diff([]string{"cookie"}, g.Credential.Names()); diff != "" {
		t.Errorf("kept more than the session: %s", diff)
	}
	life := w.sandbox.Toggl().Settings().SessionLife
	if want := w.clock.Now().Add(life); !g.ExpiresAt.Equal(want) {
		t.Errorf("expires %v, want %v, as the JWT says", g.ExpiresAt, want)
	}
	conn := connection(in, "session", g)
	if g.Renewable || w.Renewable(in, "session", g.Credential) {
		t.Error("renewable without a password")
	}
	_, err = w.Refresh(t.Context(), in, conn, g.Credential)
	var re *providers.RefreshError
	if !errors.As(err, &re) || re.Class != providers.RefreshIntegration {
		t.Errorf("Refresh: %v", err)
	}
	if out := w.Revoke(t.Context(), in, conn, g.Credential); out.Outcome != vault.OutcomeRevoked {
		t.Errorf("Revoke: %+v", out)
	}
	if _, err := w.Verify(t.Context(), in, conn, g.Credential); !errors.Is(err, providers.ErrRefused) {
		t.Errorf("the session lives on: %v", err)
	}
	if out := w.Revoke(t.Context(), in, conn, g.Credential); out.Outcome != vault.OutcomeRevoked {
		t.Errorf("Revoke again: %+v", out)
	}
	w.sandbox.Toggl().Faults().Always(sandbox.TogglLogout, sandbox.Status(http.StatusServiceUnavailable))
	if out := w.Revoke(t.Context(), in, conn, g.Credential); out.Outcome != vault.OutcomeFailed || !strings.Contains(out.Detail, "Toggl") {
		t.Errorf("Revoke when it is down: %+v", out)
	}
}

func TestTogglSessionIsRenewedWithAKeptPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.toggl()
	g, err := w.Submit(t.Context(), in, "session", form("email", sandbox.AdaEmail, "password", sandbox.TogglAdaPassword, "keep_password", "on"))
	if err != nil {
		t.Fatal(err)
	}
	if !g.Renewable || !w.Renewable(in, "session", g.Credential) {
		t.Fatal("not renewable")
	}
	w.clock.advance(13 * 24 * time.Hour)
	conn := connection(in, "session", g)
	next := w.refresh(t.Context(), t, in, conn, g.Credential)
	if headers(next)["Cookie"] == headers(g)["Cookie"] || !next.ExpiresAt.After(g.ExpiresAt) {
		t.Error("the session is the old one")
	}
	if diff := cmp.Diff(g.Credential.Names(), next.Credential.Names()); diff != "" || !next.Renewable || next.Account != g.Account || next.BaseURL != g.BaseURL {
		t.Errorf("the renewal lost something: %s%+v", diff, next)
	}
	for _, tt := range []struct {
		name  string
		fault sandbox.Fault
		class providers.RefreshClass
	}{
		{"password changed", sandbox.Status(http.StatusForbidden), providers.RefreshTerminal},
		{"down", sandbox.Status(http.StatusServiceUnavailable), providers.RefreshTransient},
		{"no cookie", sandbox.Respond(http.StatusOK, nil, "{}"), providers.RefreshBroken},
	} {
		w.sandbox.Toggl().Faults().Next(sandbox.TogglLogin, 1, tt.fault)
		_, err := w.Refresh(t.Context(), in, conn, next.Credential)
		var re *providers.RefreshError
		if !errors.As(err, &re) || re.Class != tt.class || re.Spent {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestTogglOlderCookieName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sandbox.Toggl().Set(func(s *sandbox.TogglSettings) { s.CookieName = "__Host-timer-session" })
	g, err := w.Submit(t.Context(), w.toggl(), "session", form("email", sandbox.AdaEmail, "password", sandbox.TogglAdaPassword))
	if err != nil {
		t.Fatal(err)
	}
	if got := headers(g)["Cookie"]; !strings.HasPrefix(got, "__Host-timer-session=ey") {
		t.Errorf("Cookie: %.40s", got)
	}
}

func TestTogglImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		name, method string
		cred         vault.Credential
		verify       bool
		calls        int
		user, pass   string
	}{
		{"token", "api_token", form("api_token", sandbox.TogglAdaToken), true, 1, sandbox.TogglAdaToken, "api_token"},
		{"user name and password, verbatim", "api_token", form("username", sandbox.TogglAdaToken, "password", "api_token"), true, 1, sandbox.TogglAdaToken, "api_token"},
		{"the same by the other method", "password", form("username", sandbox.TogglAdaToken, "password", "api_token"), true, 1, sandbox.TogglAdaToken, "api_token"},
		{"an account, verbatim", "password", form("username", sandbox.AdaEmail, "password", sandbox.TogglAdaPassword), true, 1, sandbox.AdaEmail, sandbox.TogglAdaPassword},
		{"unverified", "api_token", form("api_token", "0123"), false, 0, "0123", "api_token"},
	} {
		before := w.sandbox.Toggl().Count(sandbox.Any)
		g, err := w.Import(t.Context(), w.toggl(), tt.method, tt.cred, tt.verify)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		r := http.Request{Header: http.Header{"Authorization": {headers(g)["Authorization"]}}}
		if user, pass, _ := r.BasicAuth(); user != tt.user || pass != tt.pass {
			t.Errorf("%s: %q, %q", tt.name, user, pass)
		}
		if n := w.sandbox.Toggl().Count(sandbox.Any) - before; n != tt.calls {
			t.Errorf("%s: %d calls, want %d", tt.name, n, tt.calls)
		}
		// And again, from what was stored.
		if _, err := w.Verify(t.Context(), w.toggl(), connection(w.toggl(), tt.method, g), g.Credential); tt.verify && err != nil {
			t.Errorf("%s: Verify: %v", tt.name, err)
		}
	}
}

func TestTogglImportFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		name, method string
		cred         vault.Credential
		pointers     []string
	}{
		{"refused", "api_token", form("api_token", "wrong"), []string{"/credential/api_token"}},
		{"refused, verbatim", "password", form("username", "a", "password", "b"), []string{"/credential/password"}},
		{"unknown and missing", "api_token", form("tok/en", "x"), []string{"/credential/api_token", "/credential/tok~1en"}},
		{"colon, verbatim", "password", form("username", "a:b", "password", "c"), []string{"/credential/username"}},
		{"user name alone", "password", form("username", "a"), []string{"/credential/password"}},
		{"nothing", "api_token", nil, []string{"/credential/api_token"}},
		{"another cookie", "session", form("cookie", "sid=1"), []string{"/credential/cookie"}},
		{"two cookies", "session", form("cookie", sandbox.TogglCookie+"=1; admin=1"), []string{"/credential/cookie"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := w.Import(t.Context(), w.toggl(), tt.method, tt.cred, true)
			wantFields(t, err, tt.pointers...)
		})
	}
	// What makes no header is refused with nobody asked.
	_, err := w.Import(t.Context(), w.toggl(), "session", form("cookie", sandbox.TogglCookie+"=1; admin=1"), false)
	wantFields(t, err, "/credential/cookie")
}

func TestTogglSessionThatIsOverAlready(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sandbox.Toggl().Set(func(s *sandbox.TogglSettings) { s.SessionLife = -time.Minute })
	_, err := w.Submit(t.Context(), w.toggl(), "session", form("email", sandbox.AdaEmail, "password", sandbox.TogglAdaPassword))
	_ = wantKind(t, err, fault.ProviderRejected)
}
