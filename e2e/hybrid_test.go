package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/sandbox"
)

// reply is what TimeLog sends back through the browser, held in the hand: to
// where, and what.
type reply struct {
	callback *url.URL
	values   url.Values
}

// toTimeLog takes a visitor through the pages and the sign-in at TimeLog, and
// stops with the reply before it is delivered. TimeLog approves by itself.
func (v *visitor) toTimeLog(l link) reply {
	v.t.Helper()
	page := v.submit(v.open(l.URL), nil)
	page = v.link(page, "Sign in at TimeLog").want(http.StatusOK, "Link TimeLog")
	form := v.submit(page, nil).want(http.StatusOK, "Going back").form() // form_post
	return reply{form.action, form.values}
}

// deliver posts the reply as the provider's page does, and follows.
func (v *visitor) deliver(w *world, r reply) *sheet {
	v.t.Helper()
	provider, err := url.Parse(w.sandbox.TimeLog().URL() + "/connect/authorize/callback")
	if err != nil {
		v.t.Fatal(err)
	}
	return v.follow(v.step(http.MethodPost, r.callback, provider, r.values))
}

// hybridWorld is a world in which TimeLog asks nobody.
func hybridWorld(w *world) {
	w.t.Helper()
	w.sandbox.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.AutoApprove = sandbox.AdaEmail })
	w.integrateTimeLog("timelog", "")
}

// TestHybridValidation breaks one thing at a time in what TimeLog sends, and
// sees the whole broker refuse it: no connection, a page that says so and gives
// nothing away, an entry in the trail, and no call to the token endpoint where
// the front channel alone was reason enough.
func TestHybridValidation(t *testing.T) {
	t.Parallel()
	// The word in the trail for each case. What is not here is tried in the
	// tests of the providers; these are the ones that somebody has shipped.
	front := map[string]string{
		"nonce_missing": "nonce", "nonce_wrong": "nonce",
		"c_hash_missing": "c_hash", "c_hash_wrong": "c_hash", "code_exchanged": "c_hash",
		"signature_broken": "signature", "payload_exchanged": "signature", "kid_unknown": "kid",
		"alg_none": "format", "alg_none_kept_signature": "alg", "alg_hs256_client_secret": "alg", "alg_hs256_public_key": "alg",
		"iss_other": "iss", "aud_other": "aud", "aud_two": "aud", "azp_other": "azp",
		"exp_past": "exp", "iat_missing": "iat", "iat_future": "iat",
		"sub_missing": "sub", "sub_in_capitals_too": "duplicate_member",
		"iss_parameter_wrong": "iss", "reply_without_id_token": "reply_shape", "reply_with_two_codes": "reply_shape",
	}
	back := map[string]string{
		"sub_changed": "sub", "iss_other": "iss", "nonce_wrong": "nonce", "at_hash_wrong": "at_hash",
		"signature_broken": "signature", "alg_none_kept_signature": "alg", "alg_hs256_client_secret": "alg", "exp_past": "exp",
		"id_token_missing": "id_token",
	}
	onBoth(t, func(t *testing.T, w *world) {
		hybridWorld(w)
		for channel, words := range map[sandbox.Channel]map[string]string{sandbox.Front: front, sandbox.Back: back} {
			found := 0
			for _, c := range sandbox.Cases(channel) {
				word, ok := words[c.Name]
				if !ok {
					continue
				}
				found++
				// One after the other: they share the service that is tampered with.
				t.Run(channel.String()+" "+c.Name, func(t *testing.T) {
					refuseTampered(w.in(t), c, word)
				})
			}
			if found != len(words) {
				t.Errorf("%d of %d cases were found", found, len(words))
			}
		}
		// And that nothing of it was refused for another reason:
		l := w.link("nothing-wrong", []string{"timelog"}, nil)
		v := newVisitor(t)
		v.deliver(w, v.toTimeLog(l)).want(http.StatusOK, "TimeLog is linked")
		w.api.headers(w.linked("nothing-wrong").ID).accepted("/api/v1/user", sandbox.AdaEmail)
	})
}

func refuseTampered(w *world, c sandbox.Case, word string) {
	w.t.Helper()
	timeLog := w.sandbox.TimeLog()
	user := c.On.String() + "-" + c.Name
	l := w.link(user, []string{"timelog"}, nil)
	calls := timeLog.TokenCalls()
	undo := timeLog.Tamper(c.On, c.Tamper)
	defer undo()
	v := newVisitor(w.t)
	page := v.deliver(w, v.toTimeLog(l))

	if page.status < 400 || page.status >= 500 || page.heading() != "TimeLog was not linked" {
		w.t.Errorf("%d %q", page.status, page.heading())
	}
	if text := page.text(); !strings.Contains(text, "nothing was linked") || !strings.Contains(text, "Try again") {
		w.t.Errorf("the page says: %s", text)
	}
	want := 0
	if c.On == sandbox.Back {
		want = 1
	}
	if got := timeLog.TokenCalls() - calls; got != want {
		w.t.Errorf("%d calls to the token endpoint, want %d", got, want)
	}
	wantRefusal(w, l, user, word)
	if s := sessionOf(w, l); s.Status != "bound" || s.ConnectionID != "" {
		w.t.Errorf("the session is %+v", s)
	}
}

// TestStateIsUsedOnce is about replies that do not belong where they arrive.
func TestStateIsUsedOnce(t *testing.T) {
	t.Parallel()
	const unusable, start = "This reply cannot be used", "Start again from the connect link"
	onBoth(t, func(t *testing.T, w *world) {
		hybridWorld(w)
		timeLog := w.sandbox.TimeLog()
		// One after the other: the calls of the one service are counted.
		for name, change := range map[string]struct {
			to   func(url.Values)
			word string
		}{
			"missing": {func(v url.Values) { v.Del("state") }, "state_missing"},
			"empty":   {func(v url.Values) { v.Set("state", "") }, "state_missing"},
			"unknown": {func(v url.Values) { v.Set("state", "state-of-somebody-else") }, "state"},
			"two":     {func(v url.Values) { v.Add("state", v.Get("state")) }, "state_missing"},
		} {
			t.Run(name, func(t *testing.T) {
				w := w.in(t)
				calls := timeLog.TokenCalls()
				v := newVisitor(t)
				r := v.toTimeLog(w.link("state-"+name, []string{"timelog"}, nil))
				change.to(r.values)
				page := v.deliver(w, r).want(http.StatusBadRequest, unusable)
				if !strings.Contains(page.text(), start) {
					t.Errorf("the page says: %s", page.text())
				}
				wantNothing(w, "state-"+name, calls)
				if e := w.api.trail("action=link.failed")[0]; e.Reason != change.word || e.Allowed {
					t.Errorf("the trail says %+v, want %s", e, change.word)
				}
			})
		}

		t.Run("replayed", func(t *testing.T) {
			w := w.in(t)
			calls := timeLog.TokenCalls()
			l := w.link("replayed", []string{"timelog"}, nil)
			v := newVisitor(t)
			r := v.toTimeLog(l)
			v.deliver(w, r).want(http.StatusOK, "TimeLog is linked")
			for _, again := range []*visitor{v, newVisitor(t)} {
				again.deliver(w, r).want(http.StatusBadRequest, unusable)
			}
			if got := timeLog.TokenCalls() - calls; got != 1 {
				t.Errorf("%d calls to the token endpoint, want 1", got)
			}
			w.linked("replayed")
		})

		t.Run("replayed while it is being used", func(t *testing.T) {
			w := w.in(t)
			calls := timeLog.TokenCalls()
			v := newVisitor(t)
			r := v.toTimeLog(w.link("twice", []string{"timelog"}, nil))
			first := v.step(http.MethodPost, r.callback, nil, r.values)
			v.step(http.MethodPost, r.callback, nil, r.values)
			v.follow(first).want(http.StatusOK, "TimeLog is linked")
			finish := v.step(http.MethodGet, first.next(), nil, nil).next() // the page goes on to where it was used
			v.step(http.MethodGet, finish, nil, nil).want(http.StatusConflict, "This step is over")
			if got := timeLog.TokenCalls() - calls; got != 1 {
				t.Errorf("%d calls to the token endpoint, want 1", got)
			}
		})

		t.Run("another browser's", func(t *testing.T) {
			w := w.in(t)
			calls := timeLog.TokenCalls()
			attacker, victim := newVisitor(t), newVisitor(t)
			r := attacker.toTimeLog(w.link("attacker", []string{"timelog"}, nil))
			victim.toTimeLog(w.link("victim", []string{"timelog"}, nil)) // has a session of their own, too
			victim.deliver(w, r).want(http.StatusForbidden, "This belongs to another browser")
			// Nor does it work for the attacker any more: it was used up.
			attacker.deliver(w, r).want(http.StatusBadRequest, unusable)
			wantNothing(w, "victim", calls)
			wantNothing(w, "attacker", calls)
			if e := w.api.trail("action=link.failed"); e[1].Reason != "other_browser" {
				t.Errorf("the trail says %+v", e[1])
			}
		})

		t.Run("another integration's", func(t *testing.T) {
			w := w.in(t)
			calls := timeLog.TokenCalls()
			other := w.integrateTimeLog("timelog-two", "")
			v := newVisitor(t)
			r := v.toTimeLog(w.link("mixed-up", []string{"timelog"}, nil))
			r.callback = r.callback.JoinPath("..", other)
			v.deliver(w, r).want(http.StatusBadRequest, unusable)
			wantNothing(w, "mixed-up", calls)
		})
	})
}

// wantNothing checks that a trip left no connection, and that the token
// endpoint was not called since there were as many calls.
func wantNothing(w *world, endUser string, calls int) {
	w.t.Helper()
	if got := w.api.connections(endUser); len(got) > 0 {
		w.t.Errorf("%s has connections: %+v", endUser, got)
	}
	if got := w.sandbox.TimeLog().TokenCalls() - calls; got != 0 {
		w.t.Errorf("%d calls to the token endpoint", got)
	}
}
