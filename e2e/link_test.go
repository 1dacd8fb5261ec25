package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/claviger/claviger/internal/sandbox"
)

// TestLink is the main job with a form: a person without JavaScript opens a
// link, proves whose account it is, and a backend gets headers that the service
// accepts.
func TestLink(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.integrateToggl()
		w.integrateClickTime()
		w.integrateTimeLog("timelog", "")
		for name, story := range map[string]func(*world){
			"toggl by API token":          togglByToken,
			"toggl by password":           togglByPassword,
			"toggl by session":            togglBySession,
			"clicktime by password":       clickTimeByPassword,
			"timelog by personal token":   timeLogByToken,
			"given up, and what is left":  givenUp,
			"guessing ends the link":      guessing,
			"nobody else's, and not here": nobodyElses,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				story(w.in(t))
			})
		}
	})
}

func togglByToken(w *world) {
	l := w.link("by-token", []string{"toggl", "clicktime", "timelog"}, nil)
	p := visit(w.t, look{NoScript: true})
	p.open(l.URL)
	p.arrive("Acme Reports asks for access to one of your accounts")
	p.reads("Ada Lovelace", "ada@acme.example", "Toggl Track, ClickTime, TimeLog", "Go on only if you asked for this yourself")
	p.inspect("landing")
	if status := sessionOf(w, l).Status; status != "open" {
		w.t.Errorf("looking at the link made the session %s", status)
	}

	p.press("Continue")
	p.arrive("Which account do you want to link?")
	if strings.Contains(p.url(), "clv_") {
		w.t.Error("the token is still in the address")
	}
	p.inspect("choose-service")
	p.press("Toggl Track")
	p.arrive("How do you want to link Toggl Track?")
	p.inspect("choose-method")
	p.press("API token")
	p.arrive("Link Toggl Track")
	p.reads("Where to find it", "track.toggl.com/profile")
	p.inspect("form-token")

	p.press("Link account") // with nothing in it
	p.arrive("Link Toggl Track")
	p.reads("This was not accepted")
	p.inspect("form-empty")
	p.enter("API token", sandbox.TogglAdaToken)
	p.press("Link account")
	p.arrive("Toggl Track is linked")
	p.reads("Linked account: "+sandbox.AdaEmail, "Acme Reports can work with this account", "You can close this window.")
	p.inspect("done")
	p.wantCleanHistory(w.secrets(), w.front.url)

	c := w.linked("by-token")
	if s := sessionOf(w, l); s.Status != "completed" || s.ConnectionID != c.ID || c.Account.Label != sandbox.AdaEmail {
		w.t.Errorf("session %+v, connection %+v", s, c)
	}
	h := w.api.headers(c.ID)
	h.accepted("/api/v9/me/time_entries", "Notes on the engine")
	text, err := w.api.try(http.MethodGet, "/v1/connections/"+c.ID+"/headers", nil, "text/plain")
	if want := "Authorization: " + h.Headers["Authorization"] + "\n"; err != nil || string(text.body) != want {
		w.t.Errorf("as text the headers are %d bytes, want %d (%v)", len(text.body), len(want), err)
	}

	p.open(l.URL) // once more
	p.arrive("This link was used")
	p.inspect("link-used")
}

func togglByPassword(w *world) {
	l := w.link("by-password", []string{"toggl"}, nil)
	p := visit(w.t, look{NoScript: true})
	p.open(l.URL)
	p.arrive("Acme Reports asks for access to your Toggl Track account")
	p.inspect("landing-one")
	p.press("Continue")
	p.arrive("How do you want to link Toggl Track?")
	p.press("E-mail and password")
	p.arrive("Link Toggl Track")
	p.inspect("form-password")

	w.hide("a wrong password", "not-the-password-of-anybody")
	p.enter("E-mail", sandbox.AdaEmail)
	p.enter("Password", "not-the-password-of-anybody")
	p.press("Link account")
	p.arrive("Link Toggl Track")
	p.inspect("form-wrong-password")
	described := ask(p, chromedp.Evaluate[string](`(document.activeElement.getAttribute("aria-describedby") ?? "").split(" ")
		.map(id => document.getElementById(id)?.innerText ?? "").join(" ")`))
	if focus := ask(p, chromedp.Evaluate[string](`document.activeElement.name ?? ""`)); focus == "" || !strings.Contains(described, "not accept") {
		w.t.Errorf("the focus is in the field %q, whose description is %q", focus, described)
	}
	if got := ask(p, chromedp.Evaluate[string](`document.activeElement.getAttribute("aria-invalid")`)); got != "true" {
		w.t.Errorf("aria-invalid is %q", got)
	}
	if p.value("E-mail") != sandbox.AdaEmail || p.value("Password") != "" {
		w.t.Errorf("the e-mail is %q, and the password has %d characters", p.value("E-mail"), len(p.value("Password")))
	}
	if got := w.api.connections("by-password"); len(got) > 0 {
		w.t.Errorf("a wrong password made %+v", got)
	}

	p.enter("Password", sandbox.TogglAdaPassword)
	p.press("Link account")
	p.arrive("Toggl Track is linked")
	p.inspect("done")
	w.api.headers(w.linked("by-password").ID).accepted("/api/v9/me", sandbox.AdaEmail)
}

func togglBySession(w *world) {
	l := w.link("by-session", []string{"toggl"}, nil)
	p := visit(w.t, look{NoScript: true, Width: 360, Height: 740})
	p.open(l.URL)
	p.press("Continue")
	p.arrive("How do you want to link Toggl Track?")
	p.press("Session")
	p.arrive("Link Toggl Track")
	p.inspect("form-session")
	p.enter("E-mail", sandbox.GraceEmail)
	p.enter("Password", sandbox.TogglGracePassword)
	p.press("Link account")
	p.arrive("Toggl Track is linked")

	c := w.linked("by-session")
	h := w.api.headers(c.ID)
	h.accepted("/api/v9/me", sandbox.GraceEmail)
	if h.Headers["Cookie"] == "" || h.ExpiresAt.IsZero() {
		w.t.Errorf("the headers have %d members and end at %v", len(h.Headers), h.ExpiresAt)
	}
	if got := revoke(w, c.ID); got != "revoked" {
		w.t.Errorf("Toggl was told: %s", got)
	}
	h.refused("/api/v9/me")
}

func clickTimeByPassword(w *world) {
	l := w.link("clicktime", []string{"clicktime"}, nil)
	p := visit(w.t, look{NoScript: true, Dark: true})
	p.open(l.URL)
	p.press("Continue")
	p.arrive("How do you want to link ClickTime?")
	p.press("E-mail and password")
	p.arrive("Link ClickTime")
	p.inspect("form-clicktime")
	p.enter("E-mail", sandbox.AdaEmail)
	p.enter("Password", sandbox.ClickTimeAdaPassword)
	p.press("Link account")
	p.arrive("ClickTime is linked")
	p.inspect("done")

	c := w.linked("clicktime")
	h := w.api.headers(c.ID)
	if want := "Token " + sandbox.ClickTimeAdaToken; h.Headers["Authorization"] != want {
		w.t.Error("the header is not ClickTime's token")
	}
	h.accepted("/Jobs", "Sketch of the engine")
	kept := w.api.get("/v1/connections/" + c.ID + "/credential").want(http.StatusOK)
	if strings.Contains(string(kept.body), sandbox.ClickTimeAdaPassword) {
		w.t.Error("the password was kept")
	}
	if got := revoke(w, c.ID); got != "unsupported" {
		w.t.Errorf("ClickTime was told: %s", got)
	}
	w.api.get("/v1/connections/"+c.ID+"/headers").problem(http.StatusGone, "revoked")
}

func timeLogByToken(w *world) {
	l := w.link("timelog-token", []string{"timelog"}, nil)
	p := visit(w.t, look{NoScript: true})
	p.open(l.URL)
	p.press("Continue")
	p.arrive("How do you want to link TimeLog?")
	p.inspect("choose-method-timelog")
	p.press("Personal access token")
	p.arrive("Link TimeLog")
	p.inspect("form-personal-token")
	p.enter("Personal access token", sandbox.TimeLogAdaToken)
	p.press("Link account")
	p.arrive("TimeLog is linked")

	h := w.api.headers(w.linked("timelog-token").ID)
	if want := w.sandbox.TimeLog().URL() + "/soxdemo"; h.BaseURL != want {
		w.t.Errorf("base_url is %q, want %q", h.BaseURL, want)
	}
	h.accepted("/api/v1/user", sandbox.AdaEmail)
}

func givenUp(w *world) {
	l := w.link("given-up", []string{"toggl"}, nil)
	p := visit(w.t, look{NoScript: true})
	p.open(l.URL)
	p.press("Continue")
	p.press("API token")
	p.arrive("Link Toggl Track")
	w.hide("a token that was typed and not sent", "typed-and-never-sent-0123456789")
	p.enter("API token", "typed-and-never-sent-0123456789")
	p.press("Cancel")
	p.arrive("You have cancelled")
	p.inspect("cancelled")
	if s := sessionOf(w, l); s.Status != "failed" || s.Error != "cancelled" {
		w.t.Errorf("the session is %+v", s)
	}
	if got := w.api.connections("given-up"); len(got) > 0 {
		w.t.Errorf("there are connections: %+v", got)
	}
}

func guessing(w *world) {
	l := w.link("guessing", []string{"toggl"}, nil)
	p := visit(w.t, look{NoScript: true})
	p.open(l.URL)
	p.press("Continue")
	p.press("E-mail and password")
	for _, guess := range []string{"guess-number-one", "guess-number-two", "guess-number-three", "guess-number-four"} {
		w.hide(guess, guess)
		p.enter("E-mail", sandbox.AdaEmail)
		p.enter("Password", guess)
		p.press("Link account")
		p.arrive("Link Toggl Track")
	}
	w.hide("the fifth guess", "guess-number-five")
	p.enter("Password", "guess-number-five")
	p.press("Link account")
	p.arrive("Too many wrong tries")
	p.inspect("too-many-tries")
	if s := sessionOf(w, l); s.Status != "failed" || s.Error != "too_many_attempts" {
		w.t.Errorf("the session is %+v", s)
	}
}

func nobodyElses(w *world) {
	l := w.link("nobody-elses", []string{"toggl"}, nil)
	p := visit(w.t, look{NoScript: true})
	p.open(l.URL)
	p.press("Continue")
	p.arrive("How do you want to link Toggl Track?")

	other := visit(w.t, look{NoScript: true})
	other.open(l.URL)
	other.arrive("This belongs to another browser")
	other.inspect("other-browser")
	other.open(p.url())
	other.arrive("This belongs to another browser")
	other.open(w.front.url + "/connect/clv_cs_" + strings.Repeat("0", 43) + "_000000")
	other.arrive("This link does not work")
	other.inspect("unknown-link")
	other.open(w.front.url + "/connect/nowhere/at/all")
	other.inspect("not-found")
}

// session is where a connect session stands.
type session struct {
	Status       string `json:"status"`
	ConnectionID string `json:"connection_id"`
	Error        string `json:"error"`
}

func sessionOf(w *world, l link) session {
	w.t.Helper()
	var s session
	w.api.get("/v1/connect-sessions/" + l.ID).want(http.StatusOK).into(&s)
	return s
}

// revoke revokes a connection over REST and answers what came of telling the
// provider.
func revoke(w *world, id string) string {
	w.t.Helper()
	var receipt struct {
		Provider struct{ Outcome string }
	}
	w.api.post("/v1/connections/"+id+"/revoke", nil).want(http.StatusOK).into(&receipt)
	return receipt.Provider.Outcome
}
