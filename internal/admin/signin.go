package admin

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// signInPage says how to get in. admin/sign-in.html
type signInPage struct {
	frame   // empty: there is nowhere to go yet
	Notices []web.Notice
	// Provider leads to the OpenID provider, with its host as the text; nil where
	// there is none.
	Provider *web.Link
	// Command makes a link.
	Command web.Copy
}

// Why somebody is asked to sign in, as the address says it.
const (
	afterSession = "session" // theirs is over
	afterSignOut = "sign-out"
)

// inviteCommand makes the first admin, and lets an admin in when all else fails.
const inviteCommand = "claviger admin invite"

func (h *Handler) newSignInPage(next string) signInPage {
	page := signInPage{Command: web.Copy{Name: "command", Label: "Where Claviger runs", Value: inviteCommand}}
	if h.issuer != nil {
		q := url.Values{}
		setSome(q, "next", next)
		page.Provider = &web.Link{Href: withQuery(providerPath, q), Text: h.issuer.Login.Host()}
	}
	return page
}

// GET /admin/sign-in
func (h *Handler) askToSignIn(c echo.Context) error {
	q := httpd.Query(c)
	next, why := inside(c, q.String("next", maxNext)), httpd.OneOf(q, "after", "", afterSession, afterSignOut)
	if err := q.Err(); err != nil {
		return err
	}
	if _, err := h.visit(c); err == nil {
		return c.Redirect(http.StatusSeeOther, orHome(next))
	} else if !fault.Is(err, fault.Unauthenticated) {
		return err
	}
	if c.Request().Header.Get("Sec-Fetch-Site") == "cross-site" {
		// Whoever follows a link from a mail or a chat may well be signed in: a
		// strict cookie is not sent then. It is when the page asks once more.
		c.Response().Header().Set("Refresh", "0")
	}
	h.wishes.keep(c, next)
	page := h.newSignInPage(next)
	switch why {
	case afterSession:
		page.Notices = []web.Notice{{Kind: web.Info, Title: "Your session is over", Text: "Sign in again to go on. If you had just sent a form, it was not acted on."}}
	case afterSignOut:
		page.Notices = []web.Notice{{Kind: web.Success, Title: "You are signed out"}}
	}
	return httpd.Render(c, http.StatusOK, "admin/sign-in", page)
}

// linkPage asks whoever opened a sign-in link whether to go on. admin/link.html
type linkPage struct {
	frame
	Admin vault.Admin
}

// GET /admin/link/{token}
//
// It changes nothing: mail scanners and previews open links, too.
func (h *Handler) showLink(c echo.Context) error {
	a, err := h.vault.AdminOfLink(c.Request().Context(), vault.NewSecret(c.Param("token")))
	if err != nil {
		return h.refuseLink(c, err)
	}
	return httpd.Render(c, http.StatusOK, "admin/link", linkPage{Admin: a})
}

// POST /admin/link/{token}
func (h *Handler) useLink(c echo.Context) error {
	if wait := h.tries.takeAddress(c.RealIP()); wait > 0 {
		return h.refuseForNow(c, h.wishes.see(c), wait)
	}
	ctx := c.Request().Context()
	token := vault.NewSecret(c.Param("token"))
	a, err := h.vault.AdminOfLink(ctx, token)
	if err != nil {
		return h.refuseLink(c, err)
	}
	if wait := h.tries.takeAccount(a.ID); wait > 0 {
		return h.refuseForNow(c, h.wishes.see(c), wait)
	}
	in, err := h.vault.SignInByLink(ctx, token, h.browser(c))
	if err != nil {
		return h.refuseLink(c, err)
	}
	if err := h.welcome(c, in); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, orHome(h.wishes.take(c)))
}

// refuseLink explains a link that signs nobody in: one page for all of them.
func (h *Handler) refuseLink(c echo.Context, err error) error {
	if !errors.Is(err, vault.ErrDeadLink) {
		return err
	}
	page := h.newSignInPage(h.wishes.see(c))
	page.Notices = []web.Notice{{
		Kind: web.Problem, Title: "This link does not sign you in",
		Text: "It was used already, or is too old, or a newer one took its place, or a part of it is missing.",
	}}
	httpd.RecordOf(c.Request().Context()).SetOutcome("dead_link")
	return httpd.Render(c, http.StatusGone, "admin/sign-in", page)
}

// browser is where the request comes from, and the session that it has.
func (h *Handler) browser(c echo.Context) vault.Browser {
	b := vault.Browser{Address: c.RealIP(), Agent: c.Request().UserAgent()}
	if v, err := h.visit(c); err == nil {
		b.Replaces = v.stay.Session.ID
	}
	return b
}

// welcome gives the browser its session.
func (h *Handler) welcome(c echo.Context, in vault.SignedIn) error {
	rec := httpd.RecordOf(c.Request().Context())
	rec.SetActor(in.Admin.ID)
	rec.SetEnvironment(in.Session.EnvironmentID)
	return h.sessions.begin(c, in)
}

// refuseForNow is for whoever tried too often, and wants to go on to next.
func (h *Handler) refuseForNow(c echo.Context, next string, wait time.Duration) error {
	page := h.newSignInPage(next)
	page.Notices = []web.Notice{{
		Kind: web.Problem, Title: "Too many tries",
		Text: "Wait " + retryAfter(wait) + " seconds and try again.",
	}}
	c.Response().Header().Set("Retry-After", retryAfter(wait))
	httpd.RecordOf(c.Request().Context()).SetOutcome(fault.RateLimited.Code())
	return httpd.Render(c, http.StatusTooManyRequests, "admin/sign-in", page)
}

// retryAfter is a wait in whole seconds.
func retryAfter(wait time.Duration) string { return strconv.Itoa(int(math.Ceil(wait.Seconds()))) }

// POST /admin/sign-out
func (h *Handler) signOut(c echo.Context, v visit) error {
	if err := h.vault.SignOut(c.Request().Context(), v.caller, v.stay.Session.ID); err != nil {
		return err
	}
	h.sessions.forget(c)
	h.wishes.take(c)
	// Not "cookies": that would sign the admin out of every sibling host, too.
	c.Response().Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return c.Redirect(http.StatusSeeOther, signInPath+"?after="+afterSignOut)
}

// toSignIn sends a browser without a session to sign in, and back afterwards.
func (h *Handler) toSignIn(c echo.Context) error {
	if c.Request().Header.Get("Accept") == eventStream {
		// A page that is still open asks by itself, and is on the way nowhere.
		return c.NoContent(http.StatusNoContent)
	}
	q := url.Values{}
	if next := pageOfForm(c); next != homePath {
		setSome(q, "next", next)
	}
	if h.sessions.cookie.Get(c) != "" {
		h.sessions.forget(c)
		q.Set("after", afterSession)
	}
	return c.Redirect(http.StatusSeeOther, withQuery(signInPath, q))
}
