package admin

import (
	"math"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// signInPage asks for an API key. admin/sign-in.html
type signInPage struct {
	frame   // empty: there is nowhere to go yet
	Notices []web.Notice
	Key     web.Field
	// Next is where to go afterwards, "" for the start.
	Next string
}

const (
	maxKey  = 512  // bytes; ours have 58, configured ones what people like
	maxNext = 2048 // bytes
)

// Why somebody is asked to sign in, as the address says it.
const (
	afterSession = "session" // theirs is over
	afterSignOut = "sign-out"
)

func newSignInPage(next string) signInPage {
	return signInPage{
		Next: next,
		Key: web.Field{
			Name: "api_key", Label: "API key", Type: "password", Required: true, Autofocus: true, Code: true,
			Autocomplete: "current-password",
			Help:         "It starts with clv_key_, unless you chose one of your own, and needs the scope connections:read.",
		},
	}
}

// GET /admin/sign-in
func (h *Handler) askForKey(c echo.Context) error {
	q := httpd.Query(c)
	next, why := inside(q.String("next", maxNext)), q.OneOf("after", "", afterSession, afterSignOut)
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
	page := newSignInPage(next)
	switch why {
	case afterSession:
		page.Notices = []web.Notice{{Kind: web.Info, Title: "Your session is over", Text: "Sign in again to go on. If you had just sent a form, it was not acted on."}}
	case afterSignOut:
		page.Notices = []web.Notice{{Kind: web.Success, Title: "You are signed out"}}
	}
	return httpd.Render(c, http.StatusOK, "admin/sign-in", page)
}

// POST /admin/sign-in
func (h *Handler) signIn(c echo.Context) error {
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	next := inside(form.Get("next"))
	if wait := h.tries.take(c.RealIP()); wait > 0 {
		return h.refuseForNow(c, newSignInPage(next), wait)
	}
	key := strings.TrimSpace(form.Get("api_key")) // the clipboard adds line ends
	if len(key) > maxKey {
		key = ""
	}
	ctx := c.Request().Context()
	caller, s, err := h.vault.SignIn(ctx, vault.NewSecret(key))
	if f, ok := fault.As(err); ok {
		return refuseKey(c, newSignInPage(next), f)
	}
	if err != nil {
		return err
	}
	rec := httpd.RecordOf(ctx)
	rec.SetActor(caller.ID)
	rec.SetEnvironment(caller.EnvironmentID)
	if err := h.sessions.begin(c, s); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, orHome(next))
}

// refuseKey shows the form again. One sentence for every key that is no good:
// which of them was good once is nobody's business.
func refuseKey(c echo.Context, page signInPage, f *fault.Error) error {
	status := http.StatusUnprocessableEntity
	switch f.Kind {
	case fault.Unauthenticated:
		page.Key.Error = "This API key does not work here. Check that you copied all of it; a key that has expired or was revoked does not work either."
	case fault.InsufficientScope:
		status = http.StatusForbidden
		page.Key.Error = "This API key may not see connections: it lacks the scope connections:read. Sign in with one that has it."
	default:
		return f
	}
	httpd.RecordOf(c.Request().Context()).SetOutcome(f.Kind.Code())
	return httpd.Render(c, status, "admin/sign-in", page)
}

func (h *Handler) refuseForNow(c echo.Context, page signInPage, wait time.Duration) error {
	seconds := int(math.Ceil(wait.Seconds()))
	page.Notices = []web.Notice{{
		Kind: web.Problem, Title: "Too many tries from your address",
		Text: "Wait " + strconv.Itoa(seconds) + " seconds and try again.",
	}}
	c.Response().Header().Set("Retry-After", strconv.Itoa(seconds))
	httpd.RecordOf(c.Request().Context()).SetOutcome(fault.RateLimited.Code())
	return httpd.Render(c, http.StatusTooManyRequests, "admin/sign-in", page)
}

// POST /admin/sign-out
func (h *Handler) signOut(c echo.Context, v visit) error {
	if err := h.vault.SignOut(c.Request().Context(), v.caller, v.session.AdminSession); err != nil {
		return err
	}
	h.sessions.forget(c)
	// Not "cookies": that would sign the admin out of every sibling host, too.
	c.Response().Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return c.Redirect(http.StatusSeeOther, signInPath+"?after="+afterSignOut)
}

// toSignIn sends a browser without a session to sign in, and back afterwards.
func (h *Handler) toSignIn(c echo.Context) error {
	q := url.Values{}
	if next := inside(c.Request().URL.RequestURI()); next != homePath {
		setSome(q, "next", next)
	}
	if h.sessions.cookie.Get(c) != "" {
		h.sessions.forget(c)
		q.Set("after", afterSession)
	}
	return c.Redirect(http.StatusSeeOther, withQuery(signInPath, q))
}

// inside is a reference to one of these pages, or "": nobody is sent elsewhere
// by a link that somebody else made.
func inside(ref string) string {
	u, err := url.Parse(ref)
	if err != nil || len(ref) > maxNext || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" ||
		path.Clean(u.Path) != u.Path || strings.Contains(u.Path, `\`) {
		return ""
	}
	below, ok := strings.CutPrefix(u.Path, homePath)
	if !ok || below != "" && below[0] != '/' || strings.HasPrefix(below, "/sign-") {
		return ""
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

func orHome(next string) string {
	if next == "" {
		return homePath
	}
	return next
}
