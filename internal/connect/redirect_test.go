package connect_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

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
	tr.b.send(tr.b.request(http.MethodHead, tr.callback+"?"+tr.reply.Encode(), nil, "cross-site")).want(http.StatusMethodNotAllowed)
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

// TestOneThingWrong goes through everything that TimeLog can be made to send
// with exactly one thing wrong with it, or odd and right.
func TestOneThingWrong(t *testing.T) { //nolint:tparallel // the cases take turns at one broker
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

func TestProviderInTroubleAfterTheSignIn(t *testing.T) { //nolint:tparallel // the cases take turns at one broker
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
