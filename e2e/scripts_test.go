package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/claviger/claviger/internal/sandbox"
)

// TestLinkWithScripts looks at what scripts add to the pages: secrets that can
// be shown, and a word while the service is asked.
func TestLinkWithScripts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.integrateToggl()
		l := w.link("with-scripts", []string{"toggl"}, nil)
		p := visit(t, look{})
		p.open(l.URL)
		p.inspect("landing-one")
		p.press("Continue")
		p.arrive("How do you want to link Toggl Track?")
		p.inspect("choose-method")
		p.press("E-mail and password")
		p.arrive("Link Toggl Track")
		p.inspect("form-password")
		p.enter("E-mail", sandbox.GraceEmail)
		p.enter("Password", sandbox.TogglGracePassword)
		const kind = "document.querySelector('[data-reveal]').type"
		if got := ask(p, chromedp.Evaluate[string](kind)); got != "password" {
			t.Errorf("the password's field is of type %q", got)
		}
		p.touch("Show Password")
		if got := ask(p, chromedp.Evaluate[string](kind)); got != "text" {
			t.Errorf("shown, the password's field is of type %q", got)
		}

		// Sent, but not away: while a page is on its way to the next one, nobody
		// can look at it.
		ask(p, chromedp.Evaluate[bool](`(document.forms[0].addEventListener("submit", e => {
			window.sent = (window.sent ?? 0) + !e.defaultPrevented;
			e.preventDefault();
		}), true)`))
		p.touch("Link account")
		p.until("a word about the wait", func(ctx context.Context) bool {
			said, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector("form [role=status]")?.innerText ?? ""`))
			return err == nil && strings.Contains(said, "Asking Toggl Track…")
		})
		if got := ask(p, chromedp.Evaluate[string](kind)); got != "password" {
			t.Errorf("once sent, the password's field is of type %q", got)
		}
		p.inspect("form-asking")
		p.touch("Link account") // once more, out of impatience
		if sent := ask(p, chromedp.Evaluate[int](`window.sent`)); sent != 1 {
			t.Errorf("the form was sent %d times", sent)
		}

		p.open(p.url())
		p.arrive("Link Toggl Track")
		p.enter("E-mail", sandbox.GraceEmail)
		p.enter("Password", sandbox.TogglGracePassword)
		p.press("Link account")
		p.arrive("Toggl Track is linked")
		p.inspect("done")
		w.api.headers(w.linked("with-scripts").ID).accepted("/api/v9/me", sandbox.GraceEmail)
	})
}
