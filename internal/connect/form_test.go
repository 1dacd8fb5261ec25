package connect_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// at opens a session for one integration and gives the path of a method.
func (w *world) at(b *browser, integration, method string, n vault.NewSession) (vault.ConnectSession, string) {
	w.t.Helper()
	n.Integrations = []string{integration}
	s, token := w.session(n)
	b.open(token).want(http.StatusOK)
	return s, "/connect/s/" + s.ID + "/" + integration + "/" + method
}

func togglForm(password string) url.Values {
	return url.Values{"email": {sandbox.AdaEmail}, "password": {password}}
}

func TestLinkByForm(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, integration, method string
		form                      url.Values
		page                      string // part of it
		account                   string
	}{
		{
			"a pasted token, with what came from the clipboard", "toggl", "api_token",
			url.Values{"api_token": {" " + sandbox.TogglAdaToken + "\r\n"}},
			"track.toggl.com/profile", sandbox.AdaEmail,
		},
		{"e-mail and password", "toggl", "password", togglForm(sandbox.TogglAdaPassword), "Use the API token instead", sandbox.AdaEmail},
		{
			"a session, and the password kept", "toggl", "session",
			url.Values{"email": {sandbox.AdaEmail}, "password": {sandbox.TogglAdaPassword}, "keep_password": {"true"}},
			"Keep my password", sandbox.AdaEmail,
		},
		{"ClickTime's token", "clicktime", "token", url.Values{"token": {sandbox.ClickTimeAdaToken}}, "My Preferences", sandbox.AdaEmail},
		{
			"a password traded for the token", "clicktime", "password",
			url.Values{"email": {sandbox.AdaEmail}, "password": {sandbox.ClickTimeAdaPassword}},
			"E-mail and password", sandbox.AdaEmail,
		},
		{
			"TimeLog's personal access token", "timelog", "personal_access_token",
			url.Values{"token": {sandbox.TimeLogAdaToken}, "expires_on": {"2026-12-31"}},
			"Valid until", "127.0.0.1",
		},
	}
	storetest.Each(t, func(t *testing.T, db *storetest.DB) {
		t.Parallel()
		w := worldOn(t, db, setting{appName: hostApp})
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				w := w.in(t)
				b := w.browser()
				before := len(w.connections())
				s, path := w.at(b, tt.integration, tt.method, vault.NewSession{})
				b.get(path).want(http.StatusOK).has(tt.page)
				p := b.post(path, tt.form).want(http.StatusSeeOther).to("/connect/s/" + s.ID)
				b.follow(p).want(http.StatusOK).has("is linked", tt.account, "You can close this window")
				list := w.connections()
				if len(list) != before+1 {
					t.Fatalf("%d connections, want %d", len(list), before+1)
				}
				c := list[0]
				if c.Status != vault.StatusActive || c.EndUser != ada || c.Method != tt.method || !strings.HasPrefix(c.Account.Label, tt.account) {
					t.Errorf("connection = %+v", c)
				}
				if got := w.status(s.ID); got.Status != vault.SessionCompleted || got.ConnectionID != c.ID {
					t.Errorf("session = %+v", got)
				}
				// The back button, and the form once more: linked stays linked.
				b.post(path, tt.form).want(http.StatusSeeOther).to("/connect/s/" + s.ID)
				b.get(path).want(http.StatusOK).has("is linked")
				if got := len(w.connections()); got != before+1 {
					t.Errorf("%d connections, want %d", got, before+1)
				}
			})
		}
		w.wantNoLeak()
	})
}

// TestWrongThenRight: wrong, unknown and locked read the same, the secret has
// to be typed again, the rest stays.
func TestWrongThenRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sand.Toggl().Accounts().Put(sandbox.Account{ID: "3", Email: "locked@example.com", Password: "right-but-locked", Disabled: true})
	b := w.browser()
	s, path := w.at(b, "toggl", "password", vault.NewSession{})
	var texts []string
	for _, form := range []url.Values{
		togglForm("wrong-password-1"),
		{"email": {"nobody@example.com"}, "password": {"wrong-password-2"}},
		{"email": {"locked@example.com"}, "password": {"right-but-locked"}},
	} {
		p := b.post(path, form).want(http.StatusUnprocessableEntity)
		p.has("This was not accepted", "Toggl Track did not accept this").
			hasMarkup(
				`<title>Problem: Link Toggl Track`,
				`<div class="notice notice-error" role="alert">`,
				`<a href="#f-password">Password: Toggl Track did not accept this`,
				`<p class="error" id="f-password-error">`,
				`<input id="f-password" name="password" type="password" value="" aria-describedby="f-password-error" aria-invalid="true" autocomplete="current-password" required autofocus`,
			).
			lacks(form.Get("password"))
		if got := p.field("email"); got != form.Get("email") {
			t.Errorf("the e-mail is %q, want %q kept", got, form.Get("email"))
		}
		texts = append(texts, strings.ReplaceAll(p.text(), form.Get("email"), ""))
	}
	if texts[0] != texts[1] || texts[0] != texts[2] {
		t.Errorf("wrong, unknown and locked read differently:\n%s\n%s\n%s", texts[0], texts[1], texts[2])
	}
	w.wantNothingLinked()
	w.wantReason("credential_refused")
	b.follow(b.post(path, togglForm(sandbox.TogglAdaPassword)).want(http.StatusSeeOther)).has("Toggl Track is linked")
	if got := w.status(s.ID); got.Status != vault.SessionCompleted || got.Error != "" {
		t.Errorf("session = %+v", got)
	}
	w.wantNoLeak("wrong-password-1", "wrong-password-2", "right-but-locked")
}

func TestFaultsOfTheForm(t *testing.T) { //nolint:tparallel // the cases take turns at one broker
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	long := strings.Repeat("x", 5000)
	tests := []struct {
		name, integration, method string
		form                      url.Values
		has                       []string
		not                       string
	}{
		{"nothing", "toggl", "password", url.Values{}, []string{"E-mail: Fill this in.", "Password: Fill this in."}, ""},
		{"no e-mail address", "toggl", "password", url.Values{"email": {"ada"}, "password": {"secret-typed-1"}}, []string{"E-mail: This is not an e-mail address."}, "secret-typed-1"},
		{"a colon in a Basic user name", "toggl", "password", url.Values{"email": {"a:da@example.com"}, "password": {"secret-typed-2"}}, []string{"E-mail: "}, "secret-typed-2"},
		{"a line break in a user name", "toggl", "password", url.Values{"email": {"ada@example.com\r\nX: 1"}, "password": {"secret-typed-3"}}, []string{"E-mail: "}, "secret-typed-3"},
		{"a reserved word", "toggl", "password", togglForm("api_token"), []string{"This is not a password."}, ""},
		{"a NUL", "toggl", "password", togglForm("secret\x00typed"), []string{"Password: This holds characters that cannot be used."}, "secret\x00typed"},
		{"no UTF-8", "toggl", "password", togglForm("secret\xfftyped"), []string{"Password: This holds characters that cannot be used."}, "\xff"},
		{"no UTF-8 where it is shown again", "toggl", "password", url.Values{"email": {"ada\xff@example.com"}, "password": {"x"}}, []string{"E-mail: This holds characters"}, "\xff"},
		{"twice", "toggl", "password", url.Values{"email": {"a@example.com", "b@example.com"}, "password": {"x"}}, []string{"E-mail: This is there twice."}, ""},
		{"too long", "toggl", "api_token", url.Values{"api_token": {long}}, []string{"API token: This is too long."}, long},
		{"a date gone by", "timelog", "personal_access_token", url.Values{"token": {"tlpat"}, "expires_on": {"2025-01-01"}}, []string{"Valid until: This date is in the past."}, ""},
		{"a word for a checkbox", "toggl", "session", url.Values{"email": {"a@example.com"}, "password": {"x"}, "keep_password": {"maybe"}}, []string{"Keep my password, so that the session can be renewed: This is either true or false."}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			b := w.browser()
			s, path := w.at(b, tt.integration, tt.method, vault.NewSession{})
			p := b.post(path, tt.form).want(http.StatusUnprocessableEntity).has(tt.has...)
			if tt.not != "" {
				p.lacks(tt.not)
			}
			if tt.name == "a NUL" && p.field("email") != sandbox.AdaEmail {
				t.Errorf("the e-mail is %q, want it kept", p.field("email"))
			}
			if tt.name == "no UTF-8 where it is shown again" && p.field("email") != "" {
				t.Errorf("the e-mail is %q", p.field("email"))
			}
			if got := w.status(s.ID).Status; got != vault.SessionBound {
				t.Errorf("session is %s", got)
			}
			if n := w.sand.Toggl().Count(sandbox.Any) + w.sand.TimeLog().Count(sandbox.Any); n != 0 {
				t.Errorf("the provider was asked %d times", n)
			}
		})
	}

	_, path := w.at(b, "toggl", "password", vault.NewSession{})
	r := b.request(http.MethodPost, path, url.Values{"password": {strings.Repeat("x", 70<<10)}}, "same-origin")
	b.send(r).want(http.StatusRequestEntityTooLarge)
	r = b.request(http.MethodPost, path, url.Values{}, "same-origin")
	r.Header.Set("Content-Type", "application/json")
	b.send(r).want(http.StatusUnsupportedMediaType)
	// What stands in a URL does not count: nothing secret is ever taken from one.
	b.post(path+"?"+togglForm(sandbox.TogglAdaPassword).Encode(), url.Values{}).want(http.StatusUnprocessableEntity).has("Password: Fill this in.")
	w.wantNothingLinked()
	w.wantNoLeak()
}

// TestPasswordsAreTakenByteByByte: white space, quotes, percent signs, accents
// and emoji reach the provider as they were typed.
func TestPasswordsAreTakenByteByByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, password := range []string{" leading and trailing ", `"quo'tes"<&>%41+%2B`, "pässwörd 🔑:with:colons"} {
		w.sand.Toggl().Accounts().Put(sandbox.Account{ID: "77", Email: "odd@example.com", Password: password})
		b := w.browser()
		_, path := w.at(b, "toggl", "password", vault.NewSession{})
		b.post(path, url.Values{"email": {"odd@example.com"}, "password": {password}}).want(http.StatusSeeOther)
	}
	if got := len(w.connections()); got != 3 {
		t.Errorf("%d connections, want 3", got)
	}
	w.wantNoLeak()
}

func TestProviderInTrouble(t *testing.T) { //nolint:tparallel // the cases take turns at one broker
	t.Parallel()
	w := newWorld(t)
	tests := []struct {
		name   string
		fault  sandbox.Fault
		status int
		says   string
	}{
		{"down", sandbox.Status(http.StatusServiceUnavailable), http.StatusServiceUnavailable, "Nothing was saved, and nothing is lost"},
		{"unreachable", sandbox.Drop(), http.StatusServiceUnavailable, "cannot be reached right now"},
		{"asks for a pause", sandbox.TooManyRequests(7 * time.Second), http.StatusServiceUnavailable, "asks for a pause"},
		{"sends us elsewhere", sandbox.Redirect(http.StatusFound, "https://elsewhere.example/"), http.StatusBadGateway, "may not be set up right"},
		{"talks nonsense", sandbox.NotJSON(), http.StatusBadGateway, "may not be set up right"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			b := w.browser()
			s, path := w.at(b, "toggl", "password", vault.NewSession{})
			// More often than a wrong password may be tried: these are no guesses.
			w.sand.Toggl().Faults().Always(sandbox.Any, tt.fault)
			defer w.sand.Toggl().Faults().Clear(sandbox.Any)
			for range vault.MaxWrongCredentials + 2 {
				p := b.post(path, togglForm(sandbox.TogglAdaPassword)).want(tt.status).has(tt.says, "have to be entered again")
				if got := p.field("email"); got != sandbox.AdaEmail {
					t.Errorf("the e-mail is %q", got)
				}
				if got := p.field("password"); got != "" {
					t.Errorf("the password is %q", got)
				}
				if tt.name == "asks for a pause" && p.Header.Get("Retry-After") != "7" {
					t.Errorf("Retry-After %q", p.Header.Get("Retry-After"))
				}
			}
			w.wantNothingLinked()
			if got := w.status(s.ID); got.Status != vault.SessionBound || !strings.HasPrefix(got.Error, "provider_") {
				t.Errorf("session = %+v", got)
			}
		})
	}
	b := w.browser()
	_, path := w.at(b, "toggl", "password", vault.NewSession{})
	b.post(path, togglForm(sandbox.TogglAdaPassword)).want(http.StatusSeeOther)
	w.wantNoLeak()
}

func TestTheFifthWrongOneEndsTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	s, path := w.at(b, "toggl", "password", vault.NewSession{ReturnURL: backTo})
	for range vault.MaxWrongCredentials - 1 {
		b.post(path, togglForm("wrong")).want(http.StatusUnprocessableEntity)
	}
	p := b.post(path, togglForm("wrong")).want(http.StatusSeeOther).to("/connect/s/" + s.ID)
	b.follow(p).want(http.StatusGone).has("Too many wrong tries", "Back to "+hostApp).
		hasMarkup(`href="https://acme.example/accounts/done\?tab=2&amp;session_id=` + s.ID + `&amp;status=failed"`)
	asked := w.sand.Toggl().Count(sandbox.Any)
	b.post(path, togglForm(sandbox.TogglAdaPassword)).want(http.StatusSeeOther)
	if got := w.sand.Toggl().Count(sandbox.Any); got != asked {
		t.Error("the provider was asked in a session that has ended")
	}
	if got := w.status(s.ID); got.Status != vault.SessionFailed || got.Error != "too_many_attempts" {
		t.Errorf("session = %+v", got)
	}
	w.wantNothingLinked()
}

// TestGuessesAtOnceCountAsMany: the limit is not one of turns.
func TestGuessesAtOnceCountAsMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	s, path := w.at(b, "toggl", "password", vault.NewSession{})
	release := make(chan struct{})
	w.sand.Toggl().Faults().Always(sandbox.Any, sandbox.Hang(release))
	var tries sync.WaitGroup
	for range 12 {
		tries.Go(func() { b.post(path, togglForm("wrong")) })
	}
	if err := w.sand.Toggl().WaitCount(within(t), sandbox.Any, vault.MaxWrongCredentials); err != nil {
		t.Fatal(err)
	}
	close(release)
	tries.Wait()
	if got := w.sand.Toggl().Count(sandbox.Any); got != vault.MaxWrongCredentials {
		t.Errorf("the provider judged %d guesses, want %d", got, vault.MaxWrongCredentials)
	}
	if got := w.status(s.ID).Status; got != vault.SessionFailed {
		t.Errorf("session is %s", got)
	}
}

func TestTooManyGuessesAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range vault.MaxGuessesPerMinute / 4 {
		b := w.browser()
		_, path := w.at(b, "toggl", "password", vault.NewSession{})
		for range 4 {
			b.post(path, togglForm("wrong")).want(http.StatusUnprocessableEntity)
		}
	}
	b := w.browser()
	_, path := w.at(b, "toggl", "password", vault.NewSession{})
	asked := w.sand.Toggl().Count(sandbox.Any)
	p := b.post(path, togglForm(sandbox.TogglAdaPassword)).want(http.StatusTooManyRequests).has("Too many tries", "Nothing was sent to Toggl Track")
	if p.Header.Get("Retry-After") != "60" || p.field("email") != sandbox.AdaEmail {
		t.Errorf("Retry-After %q, e-mail %q", p.Header.Get("Retry-After"), p.field("email"))
	}
	if got := w.sand.Toggl().Count(sandbox.Any); got != asked {
		t.Error("the provider was asked")
	}
	w.wantReason("rate_limited")
	w.clock.advance(61 * time.Second)
	b.post(path, togglForm(sandbox.TogglAdaPassword)).want(http.StatusSeeOther)
}

func TestChoices(t *testing.T) { //nolint:tparallel // the cases take turns at one broker
	t.Parallel()
	w := newWorld(t)
	tests := []struct {
		name         string
		integrations []string
		lands        string // below the session
		says         string
	}{
		{"one of one", []string{"toggl-token"}, "/toggl-token/api_token", "Link Toggl at Acme"},
		{"one with several methods", []string{"toggl"}, "/toggl", "How do you want to link Toggl Track?"},
		{"several", []string{"toggl", "timelog-two"}, "", "Which account do you want to link?"},
		{"whatever there is", nil, "", "Which account do you want to link?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			s, token := w.session(vault.NewSession{Integrations: tt.integrations})
			p := w.browser().open(token).want(http.StatusOK).has(tt.says)
			if got, want := p.Request.URL.Path, "/connect/s/"+s.ID+tt.lands; got != want {
				t.Errorf("lands at %s, want %s", got, want)
			}
		})
	}

	b := w.browser()
	s, token := w.session(vault.NewSession{Integrations: []string{"toggl-token", "clicktime"}})
	b.open(token).hasMarkup(`href="/connect/s/`+s.ID+`/toggl-token/api_token"`, `href="/connect/s/`+s.ID+`/clicktime"`)
	for _, path := range []string{"/timelog", "/timelog/oidc", "/toggl-token/password", "/toggl-token/nothing", "/none", "/clicktime/oidc", "/%2e%2e/x", "/toggl-token/api_token/more"} {
		b.get("/connect/s/" + s.ID + path).want(http.StatusNotFound)
	}
	for _, id := range []string{"cs_0", s.ID + "x", "cs_00000000000000000000000000", "x;y=z", strings.ToUpper(s.ID)} {
		b.get("/connect/s/" + id).want(http.StatusNotFound)
	}

	// What was taken away since is not offered; without anything left it says so.
	if err := w.vault.DeleteIntegration(t.Context(), w.admin(), "clicktime"); err != nil {
		t.Fatal(err)
	}
	b.follow(b.get("/connect/s/" + s.ID)).want(http.StatusOK).has("Link Toggl at Acme")
	if err := w.vault.DeleteIntegration(t.Context(), w.admin(), "toggl-token"); err != nil {
		t.Fatal(err)
	}
	b.get("/connect/s/" + s.ID).want(http.StatusGone).has("This cannot be linked any more")
}

// TestLinkingWhatIsBeingDeleted: with a form and at the provider's own page it says
// so, nothing is linked, and what was obtained is given back.
func TestLinkingWhatIsBeingDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "form_post")
	b, underWay := w.browser(), w.trip(vault.NewSession{})
	for _, key := range []string{"timelog", "toggl-token"} {
		w.have(key, vault.EndUser{ID: "somebody"}, vault.Account{ID: "a-" + key})
		if _, err := w.vault.RevokeAndDeleteIntegration(t.Context(), w.admin(), key, 0); err != nil {
			t.Fatal(err)
		}
	}

	says := "The integration is being deleted: nothing can be linked with it any more."
	underWay.comeBack().want(http.StatusConflict).has(says)
	if f := w.sand.TimeLog().Families(); len(f) != 1 || !f[0].Revoked {
		t.Errorf("what was obtained: %+v", f)
	}
	s, path := w.at(b, "timelog", "oidc", vault.NewSession{})
	b.post(path, nil).want(http.StatusConflict).has("was not linked", says)
	_, path = w.at(b, "toggl-token", "api_token", vault.NewSession{})
	b.post(path, url.Values{"api_token": {sandbox.TogglAdaToken}}).want(http.StatusConflict).has(says)
	if got := w.status(s.ID).Status; got != vault.SessionBound {
		t.Errorf("the session is %s", got)
	}
}
