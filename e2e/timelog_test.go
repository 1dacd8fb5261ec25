package e2e

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/claviger/claviger/internal/sandbox"
)

// TestLinkTimeLog is the hybrid flow with the reply in each of the three ways
// it may come, as a person sees it. Only the fragment needs scripts.
func TestLinkTimeLog(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.sandbox.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.AllowQuery = true })
		for _, trip := range []struct {
			mode, asked string
			look        look
		}{
			{"form_post", "", look{NoScript: true}}, // what the broker asks for by itself
			{"query", "query", look{NoScript: true, Dark: true}},
			{"fragment", "fragment", look{Width: 360, Height: 740}},
		} {
			t.Run(trip.mode, func(t *testing.T) {
				t.Parallel()
				w := w.in(t)
				key := "timelog-" + trip.mode
				w.integrateTimeLog(key, trip.asked)
				p := visit(t, trip.look)
				linkTimeLog(w, p, w.link(key, []string{key}, nil))

				h := w.api.headers(w.linked(key).ID)
				if want := w.sandbox.TimeLog().URL() + "/soxdemo"; h.BaseURL != want || h.ExpiresAt.IsZero() {
					t.Errorf("base_url %q, want %q; expires at %v", h.BaseURL, want, h.ExpiresAt)
				}
				h.accepted("/api/v1/user", sandbox.AdaEmail)
			})
		}
	})
}

// linkTimeLog links Ada's account.
func linkTimeLog(w *world, p *page, l link) {
	w.t.Helper()
	p.open(l.URL)
	p.arrive("Acme Reports asks for access to your TimeLog account")
	p.press("Continue")
	p.arrive("How do you want to link TimeLog?")
	p.press("Sign in at TimeLog")
	p.arrive("Link TimeLog")
	p.reads("Your password stays with TimeLog")
	p.inspect("redirect")
	p.press("Continue to TimeLog")
	signIn(p)
	p.arrive("TimeLog is linked")
	p.reads("Linked account: " + strings.TrimPrefix(w.sandbox.TimeLog().URL(), "http://") + "/soxdemo")
	p.inspect("done")
	p.wantCleanHistory(w.secrets(), w.front.url)
	// What comes after the reply must not be told where it came from.
	if from := ask(p, chromedp.Evaluate[string](`document.referrer`)); strings.ContainsAny(from, "?#") {
		w.t.Error("the done page knows where the browser comes from")
	}
}

// signIn is what a person does at TimeLog, on the way back to the broker too.
func signIn(p *page) {
	p.t.Helper()
	p.arrive("Sign in to TimeLog (sandbox)")
	p.enter("E-mail", sandbox.AdaEmail)
	p.enter("Password", sandbox.TimeLogAdaPassword)
	p.press("Sign in and allow")
	p.sendForm()
}

// sendForm presses the button of a provider's form_post page, where scripts do
// not do it and there is such a page.
func (p *page) sendForm() {
	p.t.Helper()
	if p.look.NoScript && ask(p, chromedp.Evaluate[bool](`Boolean(document.querySelector("form input[type=hidden][name=id_token], form input[type=hidden][name=error]"))`)) {
		p.leaveBy(func() { p.click("the form's button", `document.querySelector("button[type=submit], button")`) })
	}
}

// TestPagesThatGoOn is the trip in a browser that does not go on by itself:
// there is something to read on each page, and a link.
func TestPagesThatGoOn(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.integrateTimeLog("timelog", "")
		l := w.link("going-on", []string{"timelog"}, nil)
		p := visit(t, look{NoScript: true})
		w.front.stay(true)
		p.open(l.URL)
		p.press("Continue")
		p.press("Sign in at TimeLog")
		p.arrive("Link TimeLog")
		p.press("Continue to TimeLog")
		p.arrive("Opening TimeLog…")
		p.inspect("leaving")
		p.press("Continue to TimeLog")
		signIn(p)
		p.arrive("One moment…")
		p.inspect("resume")
		p.press("Go on")
		p.arrive("TimeLog is linked")
		w.api.headers(w.linked("going-on").ID).accepted("/api/v1/user", sandbox.AdaEmail)

		// What is looked for when this is over:
		names := strings.Join(slices.Sorted(maps.Keys(w.secrets())), "\n")
		for _, kind := range []string{
			"the configured API key", "master key", "the client secret", "a connect token", "the cookie clv_connect_", "a state", "a nonce",
		} {
			if !strings.Contains(names, kind) {
				t.Errorf("nobody will look for %s", kind)
			}
		}
		tokens := 0
		for _, s := range w.sandbox.Secrets() {
			if strings.Count(s, ".") == 2 {
				tokens++
			}
		}
		if tokens < 3 { // two id_tokens and an access token
			t.Errorf("the service knows of %d tokens", tokens)
		}
	})
}

// TestFragmentPage is the one page that needs scripts, without them and
// without a reply.
func TestFragmentPage(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		id := w.integrateTimeLog("timelog", "fragment")
		callback := w.front.url + "/connect/callback/" + id
		for _, without := range []bool{true, false} {
			p := visit(t, look{NoScript: without})
			p.open(callback + "#code=of-nobody")
			if without {
				p.arrive("You are back")
				p.reads("This step needs JavaScript")
				if strings.Contains(p.text("main"), "One moment") {
					t.Error("the page promises to go on")
				}
				p.inspect("fragment")
				continue
			}
			p.arrive("This reply cannot be used")
			p.inspect("reply-unknown")
			p.open(callback)
			p.until("a word about the empty address", func(ctx context.Context) bool {
				said, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
				return err == nil && strings.Contains(said, "There is no reply in this address")
			})
			p.inspect("fragment-empty")
		}
	})
}

// TestTimeLogRefuses is a person who does not give access, in each way that the
// refusal may come.
func TestTimeLogRefuses(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.sandbox.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.AllowQuery = true })
		for _, mode := range []string{"form_post", "query", "fragment"} {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				w := w.in(t)
				key := "timelog-" + mode
				w.integrateTimeLog(key, mode)
				l := w.link(key, []string{key}, nil)
				p := visit(t, look{NoScript: mode != "fragment"})
				p.open(l.URL)
				p.press("Continue")
				p.press("Sign in at TimeLog")
				p.arrive("Link TimeLog")
				p.press("Continue to TimeLog")
				p.arrive("Sign in to TimeLog (sandbox)")
				p.press("Cancel")
				p.sendForm()
				p.arrive("TimeLog was not linked")
				p.reads("You did not give access at TimeLog, so nothing was linked.", "Try again")
				p.inspect("failed")
				wantRefusal(w, l, key, "access_denied")
				p.press("Try again")
				p.arrive("Link TimeLog")
				p.press("Another way")
				p.arrive("How do you want to link TimeLog?")
			})
		}
	})
}

// wantRefusal checks that a trip came to nothing and is in the trail.
func wantRefusal(w *world, l link, endUser, reason string) {
	w.t.Helper()
	if got := w.api.connections(endUser); len(got) > 0 {
		w.t.Errorf("there are connections: %+v", got)
	}
	var reasons []string
	for _, e := range w.api.trail("action=link.failed") {
		if e.SessionID == l.ID && !e.Allowed {
			reasons = append(reasons, e.Reason)
		}
	}
	if len(reasons) != 1 || reasons[0] != reason {
		w.t.Errorf("the trail has the refusals %q, want %q", reasons, reason)
	}
}
