package connect_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// approve makes TimeLog say yes for an account and reply in a mode. It is the
// mode of its own choice: discovery, which is kept for a while, names none.
func (w *world) approve(email, mode string) {
	w.sand.TimeLog().Set(func(s *sandbox.TimeLogSettings) {
		s.AutoApprove, s.DefaultMode = email, mode
		s.Discovery = func(doc map[string]any) { delete(doc, "response_modes_supported") }
	})
}

// trip is one sign-in at TimeLog up to the callback.
type trip struct {
	b              *browser
	session        vault.ConnectSession
	path           string
	mode, callback string
	reply          url.Values
}

func (w *world) trip(n vault.NewSession) trip {
	w.t.Helper()
	b := w.browser()
	s, path := w.at(b, "timelog", "oidc", n)
	tr := trip{b: b, session: s, path: path}
	tr.mode, tr.callback, tr.reply = b.provider(b.post(path, nil))
	return tr
}

// comeBack brings the reply back and goes on to the end.
func (tr trip) comeBack() *page {
	tr.b.t.Helper()
	return tr.b.follow(tr.b.comeBack(tr.mode, tr.callback, tr.reply))
}

// TestLinkByRedirect: all three response modes, with every hop that a browser sees.
func TestLinkByRedirect(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *storetest.DB) {
		t.Parallel()
		for i, mode := range []string{"query", "fragment", "form_post"} {
			t.Run(mode, func(t *testing.T) {
				if i > 0 && db.Kind == "postgres" {
					return // one mode will do: the rest is the same to a database
				}
				db := db
				if i > 0 {
					db = storetest.SQLite(t)
				}
				linkInMode(t, worldOn(t, db, setting{appName: hostApp}), mode)
			})
		}
	})
}

func linkInMode(t *testing.T, w *world, mode string) {
	t.Helper()
	w.approve(sandbox.AdaEmail, mode)
	if mode == "form_post" { // asked for, where discovery has it
		w.sand.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.DefaultMode, s.Discovery = "fragment", nil })
	}
	b := w.browser()
	s, path := w.at(b, "timelog", "oidc", vault.NewSession{})
	b.get(path).want(http.StatusOK).has("Link TimeLog", "Continue to TimeLog")

	leaving := b.post(path, nil).want(http.StatusOK).has("Opening TimeLog")
	got, callback, reply := b.provider(leaving)
	if got != mode {
		t.Fatalf("the reply comes as %s", got)
	}
	if want := w.url + "/connect/callback/" + w.ids["timelog"]; callback != want {
		t.Fatalf("callback %s, want %s", callback, want)
	}
	back := b.comeBack(mode, callback, reply).want(http.StatusSeeOther).to("/connect/resume/" + s.ID + "/att_")
	to := back.Header.Get("Location")
	if !strings.HasSuffix(to, "#") {
		t.Errorf("%q lets a browser keep the fragment that it has", to)
	}
	for name := range reply {
		if v := reply.Get(name); strings.Contains(to, v) {
			t.Errorf("%s is in the URL", name)
		}
	}
	resume := b.get(strings.TrimSuffix(to, "#")).want(http.StatusOK).has("One moment", "Please keep this page open")
	if got := b.next(resume.Response); !strings.HasPrefix(got, "/connect/finish/"+s.ID+"/att_") {
		t.Errorf("goes on to %q", got)
	}
	finish := b.get(b.next(resume.Response)).want(http.StatusSeeOther).to("/connect/s/" + s.ID)
	b.follow(finish).want(http.StatusOK).has("TimeLog is linked", strings.TrimPrefix(w.sand.TimeLog().URL(), "http://")+"/soxdemo")

	c := w.linked()
	if c.Status != vault.StatusActive || c.EndUser != ada || !strings.HasSuffix(c.Account.ID, "#1815") || c.BaseURL != w.sand.TimeLog().URL()+"/soxdemo" {
		t.Errorf("connection = %+v", c)
	}
	if got := w.tokenCalls(); got != 1 {
		t.Errorf("%d token calls, want 1", got)
	}

	// Everything is used up: the reply, the attempt, the code.
	b.comeBack(mode, callback, reply).want(http.StatusBadRequest).has("This reply cannot be used", "Start again")
	b.get(b.next(resume.Response)).want(http.StatusConflict).has("This step is over")
	if got := w.tokenCalls(); got != 1 {
		t.Errorf("%d token calls after the replays, want 1", got)
	}
	w.linked()
	w.wantNoLeak(reply.Get("code"), reply.Get("id_token"), reply.Get("state"), b.sessionCookies()[0].Value)
}

// TestResumeChangesNothing: it is a page that anybody may fetch.
func TestResumeChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "query")
	tr := w.trip(vault.NewSession{})
	to := strings.TrimSuffix(tr.b.comeBack(tr.mode, tr.callback, tr.reply).want(http.StatusSeeOther).Header.Get("Location"), "#")
	before := string(w.db.Rows(t))
	for _, b := range []*browser{tr.b, w.browser()} {
		b.get(to).want(http.StatusOK)
		b.send(b.request(http.MethodHead, to, nil, "none")).want(http.StatusOK)
	}
	finish := strings.Replace(to, "/resume/", "/finish/", 1)
	tr.b.send(tr.b.request(http.MethodHead, finish, nil, "none")).want(http.StatusMethodNotAllowed)
	if after := string(w.db.Rows(t)); after != before {
		t.Error("the database has changed")
	}
	tr.b.follow(tr.b.get(finish)).has("TimeLog is linked")
}

func TestRepliesThatBelongToNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "query")
	tests := []struct {
		name   string
		change func(w *world, tr *trip)
		status int
		says   string
		reason string
	}{
		{"no state", func(_ *world, tr *trip) { tr.reply.Del("state") }, http.StatusBadRequest, "This reply cannot be used", "state_missing"},
		{"empty state", func(_ *world, tr *trip) { tr.reply.Set("state", "") }, http.StatusBadRequest, "This reply cannot be used", "state_missing"},
		{"two states", func(_ *world, tr *trip) { tr.reply.Add("state", tr.reply.Get("state")) }, http.StatusBadRequest, "This reply cannot be used", "state_missing"},
		{"unknown state", func(_ *world, tr *trip) { tr.reply.Set("state", "clv_st_x") }, http.StatusBadRequest, "This reply cannot be used", "state"},
		{"a state with another session in it", func(_ *world, tr *trip) {
			base, _, _ := strings.Cut(tr.reply.Get("state"), ".")
			tr.reply.Set("state", base+".cs_00000000000000000000000000")
		}, http.StatusBadRequest, "This reply cannot be used", "state"},
		{"another integration's callback", func(w *world, tr *trip) {
			tr.callback = w.url + "/connect/callback/" + w.ids["timelog-two"]
		}, http.StatusBadRequest, "This reply cannot be used", "integration_mismatch"},
		{"an integration that is not there", func(w *world, tr *trip) {
			tr.callback = w.url + "/connect/callback/int_nothing"
		}, http.StatusNotFound, "This link does not work", ""},
		{"too late", func(w *world, _ *trip) { w.clock.advance(vault.AttemptTTL + time.Second) }, http.StatusBadRequest, "This reply cannot be used", "attempt_expired"},
		{"used before", func(_ *world, tr *trip) { tr.b.comeBack(tr.mode, tr.callback, tr.reply) }, http.StatusBadRequest, "This reply cannot be used", "reply_repeated"},
	}
	for _, mode := range []string{"query", "fragment", "form_post"} {
		for _, tt := range tests {
			t.Run(mode+", "+tt.name, func(t *testing.T) {
				w := w.in(t)
				w.approve(sandbox.AdaEmail, mode)
				tr := w.trip(vault.NewSession{})
				if tr.mode != mode {
					t.Fatalf("mode %s", tr.mode)
				}
				tt.change(w, &tr)
				calls := w.tokenCalls()
				tr.b.comeBack(tr.mode, tr.callback, tr.reply).want(tt.status).has(tt.says)
				if got := w.reasons(); tt.reason != "" && (len(got) == 0 || got[0] != tt.reason) {
					t.Errorf("reasons in the trail = %q, want %q first", got, tt.reason)
				}
				if got := w.tokenCalls(); got != calls {
					t.Error("the token endpoint was called")
				}
				w.wantNothingLinked()
			})
		}
	}
	w.wantNoLeak()
}

// TestRepliesOfNoFlow: the state is right and the rest is not one that a
// provider sends.
func TestRepliesOfNoFlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tests := []struct {
		name   string
		change func(tr *trip)
		send   func(tr *trip) *page
	}{
		{"two codes", func(tr *trip) { tr.reply.Add("code", "another") }, nil},
		{"an error and a code", func(tr *trip) { tr.reply.Set("error", "access_denied") }, nil},
		{"a parameter of the provider's own, twice", func(tr *trip) { tr.reply["session_state"] = []string{"a", "b"} }, nil},
		{"no code", func(tr *trip) { tr.reply.Del("code") }, nil},
		{"a control character", func(tr *trip) { tr.reply.Set("code", "a\r\nb") }, nil},
		{"a code too long", func(tr *trip) { tr.reply.Set("code", strings.Repeat("c", 5<<10)) }, nil},
		{"query and form at once", nil, func(tr *trip) *page {
			return tr.b.send(tr.b.request(http.MethodPost, tr.callback+"?code=another", tr.reply, "cross-site"))
		}},
		{"a query that cannot be decoded", nil, func(tr *trip) *page {
			return tr.b.send(tr.b.request(http.MethodGet, tr.callback+"?"+tr.reply.Encode()+"&x=%zz", nil, "cross-site"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			w.approve(sandbox.AdaEmail, "query")
			tr := w.trip(vault.NewSession{})
			if tt.change != nil {
				tt.change(&tr)
			}
			send := tt.send
			if send == nil {
				send = func(tr *trip) *page { return tr.b.comeBack(tr.mode, tr.callback, tr.reply) }
			}
			calls := w.tokenCalls()
			p := tr.b.follow(send(&tr).want(http.StatusSeeOther)).want(http.StatusBadRequest)
			p.has("TimeLog was not linked", "could not be read").hasMarkup(`<a class="button" href="` + tr.path + `">Try again</a>`)
			if got := w.reasons(); len(got) == 0 || got[0] != "reply_shape" {
				t.Errorf("reasons in the trail = %q, want reply_shape first", got)
			}
			if got := w.tokenCalls(); got != calls {
				t.Error("the token endpoint was called")
			}
			w.wantNothingLinked()
		})
	}

	w.approve(sandbox.AdaEmail, "form_post")
	tr := w.trip(vault.NewSession{})
	r := tr.b.request(http.MethodPost, tr.callback, tr.reply, "cross-site")
	r.Header.Set("Content-Type", "text/plain")
	tr.b.send(r).want(http.StatusUnsupportedMediaType)
	r = tr.b.request(http.MethodPost, tr.callback, url.Values{"code": {strings.Repeat("x", 70<<10)}}, "cross-site")
	tr.b.send(r).want(http.StatusRequestEntityTooLarge)
	tr.b.follow(tr.b.comeBack(tr.mode, tr.callback, tr.reply)).has("TimeLog is linked")
	w.wantNoLeak()
}

// TestAnotherBrowserFinishesNothing: a reply in the wrong browser is used up,
// and gives nothing to anybody.
func TestAnotherBrowserFinishesNothing(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"query", "fragment", "form_post"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.approve(sandbox.AdaEmail, mode)
			tr := w.trip(vault.NewSession{})
			thief := w.browser()
			// It even has a session of its own.
			_, token := w.session(vault.NewSession{Integrations: []string{"timelog"}})
			thief.open(token)
			thief.follow(thief.comeBack(tr.mode, tr.callback, tr.reply)).want(http.StatusForbidden).has("This belongs to another browser")
			w.wantReason("other_browser")
			if got := w.tokenCalls(); got != 0 {
				t.Errorf("%d token calls", got)
			}
			tr.comeBack().want(http.StatusBadRequest)
			w.wantNothingLinked()
			// The session itself is where it was.
			tr.mode, tr.callback, tr.reply = tr.b.provider(tr.b.post(tr.path, nil))
			tr.comeBack().want(http.StatusOK).has("TimeLog is linked")
		})
	}
}

func TestErrorsFromTheProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tests := []struct {
		code, says, reason string
		status             int
	}{
		{"access_denied", "You did not give access at TimeLog", "access_denied", http.StatusForbidden},
		{"login_required", "You were not signed in at TimeLog", "login_required", http.StatusBadRequest},
		{"temporarily_unavailable", "has a problem right now", "temporarily_unavailable", http.StatusServiceUnavailable},
		{"server_error", "has a problem right now", "server_error", http.StatusBadGateway},
		{"<b>pwned</b>", "answered with an error", "provider_error", http.StatusBadGateway},
	}
	for _, mode := range []string{"query", "fragment", "form_post"} {
		for _, tt := range tests {
			t.Run(mode+", "+tt.code, func(t *testing.T) {
				w := w.in(t)
				w.approve(sandbox.AdaEmail, mode)
				w.sand.TimeLog().DenyNext(tt.code, "Call +1 555 0100 to get your money back")
				tr := w.trip(vault.NewSession{})
				tr.comeBack().want(tt.status).has("TimeLog was not linked", tt.says, "Try again", "Choose another way").
					lacks("555", "pwned").hasMarkup(`href="` + tr.path + `"`)
				if got := w.reasons(); len(got) == 0 || got[0] != tt.reason {
					t.Errorf("reasons in the trail = %q, want %q first", got, tt.reason)
				}
				if got := w.status(tr.session.ID); got.Status != vault.SessionBound || got.Error != tt.reason {
					t.Errorf("session = %+v", got)
				}
				if got := w.tokenCalls(); got != 0 {
					t.Errorf("%d token calls", got)
				}
			})
		}
	}
	// And with a yes after a no, in the same session, it is linked.
	w.sand.TimeLog().DenyNext("access_denied", "")
	tr := w.trip(vault.NewSession{})
	tr.comeBack().want(http.StatusForbidden)
	tr.mode, tr.callback, tr.reply = tr.b.provider(tr.b.post(tr.path, nil))
	tr.comeBack().want(http.StatusOK).has("TimeLog is linked")
	if got := w.status(tr.session.ID); got.Error != "" {
		t.Errorf("session = %+v", got)
	}
}

// TestOneThingWrong goes through everything that TimeLog can be made to send
// with exactly one thing wrong with it, or odd and right.
func TestOneThingWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "form_post")
	for _, c := range sandbox.Cases(sandbox.Front | sandbox.Back) {
		channel := "front"
		if c.On == sandbox.Back {
			channel = "back"
		}
		t.Run(fmt.Sprintf("%s/%s", channel, c.Name), func(t *testing.T) {
			w := w.in(t)
			defer w.sand.TimeLog().Tamper(c.On, c.Tamper)()
			before, calls := len(w.connections()), w.tokenCalls()
			tr := w.trip(vault.NewSession{})
			mark := w.newestEntry()
			p := tr.comeBack()
			if c.Accept {
				p.want(http.StatusOK).has("TimeLog is linked")
				if got := len(w.connections()); got != before+1 {
					t.Errorf("%d connections, want %d (%s)", got, before+1, c.Rule)
				}
				return
			}
			if p.StatusCode < 400 || p.StatusCode == http.StatusInternalServerError {
				t.Errorf("status %d (%s):\n%s", p.StatusCode, c.Rule, p.text())
			}
			p.hasMarkup("TimeLog was not linked|This reply cannot be used")
			if got := len(w.connections()); got != before {
				t.Errorf("%d connections, want %d (%s)", got, before, c.Rule)
			}
			if got := w.tokenCalls(); c.On == sandbox.Front && got != calls {
				t.Errorf("the token endpoint was called (%s)", c.Rule)
			}
			if got := w.reasonsSince(mark); len(got) != 1 || got[0] == "" {
				t.Errorf("new refusals in the trail = %q, want one with a reason", got)
			}
			if got := w.status(tr.session.ID).Status; got != vault.SessionBound {
				t.Errorf("session is %s", got)
			}
		})
	}
	w.wantNoLeak()
}

func TestProviderInTroubleAfterTheSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "query")
	tests := []struct {
		name     string
		endpoint sandbox.Endpoint
		fault    sandbox.Fault
		status   int
		reason   string
	}{
		{"token endpoint down", sandbox.TimeLogToken, sandbox.Status(http.StatusServiceUnavailable), http.StatusBadGateway, "token_exchange"},
		{"token endpoint drops", sandbox.TimeLogToken, sandbox.Drop(), http.StatusBadGateway, "token_exchange"},
		{"resolve down", sandbox.TimeLogResolveURI, sandbox.Status(http.StatusServiceUnavailable), http.StatusServiceUnavailable, "unavailable"},
		{"resolve names another host", sandbox.TimeLogResolveURI, sandbox.Respond(http.StatusOK, nil, `{"url":"https://evil.example/api"}`), http.StatusBadGateway, "resolve_url"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			tr := w.trip(vault.NewSession{})
			w.sand.TimeLog().Faults().Always(tt.endpoint, tt.fault)
			defer w.sand.TimeLog().Faults().Clear(tt.endpoint)
			tr.comeBack().want(tt.status).has("TimeLog was not linked", "Try again").lacks("evil.example")
			if got := w.reasons(); len(got) == 0 || got[0] != tt.reason {
				t.Errorf("reasons in the trail = %q, want %q first", got, tt.reason)
			}
			w.wantNothingLinked()
		})
	}
	w.wantNoLeak()
}

// TestTheSessionEndsMeanwhile: what the provider has handed out by then is
// given back.
func TestTheSessionEndsMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "query")
	tr := w.trip(vault.NewSession{ReturnURL: backTo, Completion: vault.CompleteAuto})
	release := make(chan struct{})
	w.sand.TimeLog().Faults().Next(sandbox.TimeLogResolveURI, 1, sandbox.Withhold(release))
	done := make(chan *page)
	go func() { done <- tr.comeBack() }()
	if err := w.sand.TimeLog().WaitCount(within(t), sandbox.TimeLogResolveURI, 1); err != nil {
		t.Fatal(err)
	}
	tr.b.post("/connect/s/"+tr.session.ID+"/cancel", nil).want(http.StatusSeeOther)
	close(release)
	(<-done).want(http.StatusOK).has("You have cancelled")
	w.wantNothingLinked()
	if got := w.sand.TimeLog().Count(sandbox.TimeLogRevocation); got == 0 {
		t.Error("TimeLog was not told that its tokens are not wanted")
	}
	if f := w.sand.TimeLog().Families(); len(f) != 1 || !f[0].Revoked {
		t.Errorf("families = %+v, want one, revoked", f)
	}
}

func TestReconnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "query")
	w.trip(vault.NewSession{}).comeBack().has("TimeLog is linked")
	before := w.linked()

	// Somebody else's account is not taken for it, and keeps what it has.
	w.approve(sandbox.GraceEmail, "query")
	tr := w.trip(vault.NewSession{ConnectionID: before.ID})
	tr.b.get(tr.path).has("You link " + before.Account.Label + " again")
	tr.comeBack().want(http.StatusConflict).has("TimeLog was not linked", "This is another account than the one that was linked before")
	w.wantReason("other_account")
	if got := w.linked(); got.Generation != before.Generation || got.Account != before.Account {
		t.Errorf("connection = %+v", got)
	}
	if got := w.sand.TimeLog().Count(sandbox.TimeLogRevocation); got != 0 {
		t.Error("TimeLog was told to end tokens of an account that may be in use elsewhere")
	}

	// The same session, the right account.
	w.approve(sandbox.AdaEmail, "query")
	tr.mode, tr.callback, tr.reply = tr.b.provider(tr.b.post(tr.path, nil))
	tr.comeBack().want(http.StatusOK).has("TimeLog is linked")
	if got := w.linked(); got.ID != before.ID || got.Generation != before.Generation+1 || got.Account != before.Account {
		t.Errorf("connection = %+v", got)
	}

	// Where the host allows it, another account is fine.
	w.approve(sandbox.GraceEmail, "query")
	w.trip(vault.NewSession{ConnectionID: before.ID, AllowAccountChange: true}).comeBack().has("TimeLog is linked")
	if got := w.linked(); got.ID != before.ID || !strings.HasSuffix(got.Account.ID, "#1906") {
		t.Errorf("connection = %+v", got)
	}

	// Revoked meanwhile: there is nothing left to mend.
	tr = w.trip(vault.NewSession{ConnectionID: before.ID, AllowAccountChange: true})
	if _, err := w.vault.Revoke(t.Context(), w.admin(), before.ID); err != nil {
		t.Fatal(err)
	}
	tr.comeBack().want(http.StatusConflict).has("TimeLog was not linked")
	w.wantNoLeak()
}

// TestBackToTheHost: how a session with a return URL ends.
func TestBackToTheHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := url.Values{"api_token": {sandbox.TogglAdaToken}}
	path := func(s vault.ConnectSession) string { return "/connect/s/" + s.ID + "/toggl-token/api_token" }

	t.Run("auto", func(t *testing.T) {
		w := w.in(t)
		b := w.browser()
		s, _ := w.at(b, "toggl-token", "api_token", vault.NewSession{ReturnURL: backTo, Completion: vault.CompleteAuto})
		want := "https://acme.example/accounts/done?tab=2&session_id=" + s.ID + "&status=completed"
		if got := b.post(path(s), token).want(http.StatusSeeOther).Header.Get("Location"); got != want {
			t.Errorf("leads to %s, want %s", got, want)
		}
		b.get("/connect/s/"+s.ID).want(http.StatusOK).has("Toggl at Acme is linked", "Back to "+hostApp)
	})
	t.Run("without a query, and cancelled", func(t *testing.T) {
		w := w.in(t)
		b := w.browser()
		s, _ := w.at(b, "toggl-token", "api_token", vault.NewSession{ReturnURL: "http://localhost:3000/done", Completion: vault.CompleteAuto})
		want := "http://localhost:3000/done?session_id=" + s.ID + "&status=failed"
		if got := b.post("/connect/s/"+s.ID+"/cancel", nil).want(http.StatusSeeOther).Header.Get("Location"); got != want {
			t.Errorf("leads to %s, want %s", got, want)
		}
		b.get("/connect/s/"+s.ID).want(http.StatusOK).has("You have cancelled", "Back to "+hostApp)
		if got := w.status(s.ID); got.Status != vault.SessionFailed || got.Error != "cancelled" {
			t.Errorf("session = %+v", got)
		}
	})
	t.Run("redeemed by the right one", func(t *testing.T) {
		w := w.in(t)
		b := w.browser()
		s, _ := w.at(b, "toggl-token", "api_token", vault.NewSession{ReturnURL: backTo})
		result := b.result(s, b.post(path(s), token))
		b.get("/connect/s/"+s.ID).want(http.StatusOK).has("is linked", hostApp+" has to confirm it").lacks(result)
		c, err := w.vault.Redeem(t.Context(), w.admin(), s.ID, vault.NewSecret(result), ada.ID)
		if err != nil || c.Status != vault.StatusActive {
			t.Fatalf("Redeem = %+v, %v", c, err)
		}
		b.get("/connect/s/"+s.ID).want(http.StatusOK).has("Toggl at Acme is linked", sandbox.AdaEmail)
		w.wantNoLeak(result)
	})
	t.Run("a link sent to a victim", func(t *testing.T) {
		w := w.in(t)
		b := w.browser() // the victim's
		s, _ := w.at(b, "toggl-token", "api_token", vault.NewSession{ReturnURL: backTo, EndUser: vault.EndUser{ID: "mallory"}})
		result := b.result(s, b.post(path(s), token))
		// The host sees the victim signed in, not the one the link was made for.
		_, err := w.vault.Redeem(t.Context(), w.admin(), s.ID, vault.NewSecret(result), "victim")
		if !fault.Is(err, fault.Conflict) {
			t.Fatalf("Redeem: %v", err)
		}
		w.wantReason(vault.ReasonWrongEndUser)
		i := slices.IndexFunc(w.connections(), func(c vault.Connection) bool { return c.EndUser.ID == "mallory" })
		if i < 0 || w.connections()[i].Status != vault.StatusRevoked {
			t.Errorf("connections = %+v", w.connections())
		}
		b.get("/connect/s/" + s.ID).want(http.StatusGone).has("Nothing was linked")
	})
}

// result is the one-time code that the browser takes to the host.
func (b *browser) result(s vault.ConnectSession, p *page) string {
	b.t.Helper()
	p.want(http.StatusSeeOther).to("https://acme.example/accounts/done?tab=2&session_id=" + s.ID + "&result=clv_res_")
	u, err := url.Parse(p.Header.Get("Location"))
	if err != nil {
		b.t.Fatal(err)
	}
	return u.Query().Get("result")
}
