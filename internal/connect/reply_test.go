package connect_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

func TestRepliesThatBelongToNobody(t *testing.T) { //nolint:tparallel // the cases take turns at one broker
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
func TestRepliesOfNoFlow(t *testing.T) { //nolint:tparallel // the cases take turns at one broker
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

func TestErrorsFromTheProvider(t *testing.T) { //nolint:tparallel // the cases take turns at one broker
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
				tr.comeBack().want(tt.status).has("TimeLog was not linked", tt.says, "Try again", "Another way").
					lacks("to get your money", "pwned").hasMarkup(`href="` + tr.path + `"`)
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
