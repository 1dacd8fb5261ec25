package connect

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// managePageSize is how many accounts are on one page.
const managePageSize = 20

// mountManage adds the routes of sessions of kind manage.
func (h *Handler) mountManage(g *echo.Group) {
	g.GET("/m/:session", h.managed(h.manage))
	g.POST("/m/:session/done", h.managed(h.finishManaging))
	g.GET("/m/:session/:connection/use", h.managed(h.showUse))
	g.POST("/m/:session/:connection/reconnect", h.managed(h.reconnect))
	g.GET("/m/:session/:connection/disconnect", h.managed(h.askDisconnect))
	g.POST("/m/:session/:connection/disconnect", h.managed(h.disconnect))
}

// managePath is a page of a session of kind manage, below it by the given names.
func managePath(sessionID string, names ...string) string {
	p := "/connect/m/" + sessionID
	for _, n := range names {
		p += "/" + url.PathEscape(n)
	}
	return p
}

// manageLandingPage says what the link is for. connect/manage-landing.html
type manageLandingPage struct {
	Asking    party
	EndUser   vault.EndUser
	ExpiresAt time.Time
}

// Notice is for somebody who got a link that was made for another, and for
// somebody who let theirs get out of their hands.
func (p manageLandingPage) Notice() web.Notice {
	who := cmp.Or(p.EndUser.Name, p.EndUser.Email, "this user")
	return web.Notice{
		Kind:  web.Warning,
		Title: "Go on only if you asked for this yourself",
		Text:  "These are the accounts of " + who + ". If that is not you, or if somebody sent you this link, close this page.",
	}
}

// manageLanding is the landing page of a session of kind manage.
func (h *Handler) manageLanding(c echo.Context, s *vault.ConnectSession) error {
	return httpd.Render(c, http.StatusOK, "connect/manage-landing", manageLandingPage{
		Asking: h.party(s), EndUser: s.EndUser, ExpiresAt: s.ExpiresAt,
	})
}

// managed is bound for sessions of kind manage; for every other there is no such
// page.
func (h *Handler) managed(next step) echo.HandlerFunc {
	return func(c echo.Context) error {
		v, err := h.visit(c)
		switch {
		case err != nil:
			return err
		case v.session.Kind != vault.SessionManage:
			return unknownLink()
		case v.session.Status == vault.SessionBound:
			return next(c, v)
		case c.Request().Method == http.MethodPost:
			return c.Redirect(http.StatusSeeOther, v.path())
		}
		return h.managingOver(c, v)
	}
}

// accountRow is one linked account on a page.
type accountRow struct {
	conn    vault.Connection
	service offer // without methods where it cannot be linked any more
	base    string
	asking  string
}

// managePage is an end user's linked accounts. connect/manage.html
type managePage struct {
	Asking   party
	EndUser  vault.EndUser
	Accounts []accountRow
	Done     string
	Back     string // what Done leads back to, "" where it does not
	Pages    web.Pagination
	// Earlier says that this is not the first page.
	Earlier bool
}

// Lead says what the list is.
func (p managePage) Lead() string {
	return p.Asking.Name + " can work with the accounts that you have linked, until you or they take the access back."
}

// manage handles GET /connect/m/{session}.
func (h *Handler) manage(c echo.Context, v visit) error {
	after := c.QueryParam("after")
	if after != "" && !isID(after) {
		return unknownLink()
	}
	ctx := c.Request().Context()
	list, err := h.vault.ManagedConnections(ctx, v.caller, vault.Page{Cursor: after, Limit: managePageSize + 1})
	if err != nil {
		return h.overtaken(c, &v, err)
	}
	page := managePage{
		Asking: h.party(&v.session), EndUser: v.session.EndUser, Done: v.path("done"), Earlier: after != "",
	}
	if v.session.ReturnURL != "" {
		page.Back = page.Asking.Name
	}
	if len(list) > managePageSize {
		list = list[:managePageSize]
		page.Pages.Next = v.path() + "?after=" + list[managePageSize-1].ID
	}
	if page.Earlier {
		page.Pages.First = v.path()
	}
	services := map[string]offer{}
	for _, conn := range list {
		o, known := services[conn.Integration]
		if !known {
			if o, err = h.serviceOf(ctx, &v.session, &conn); err != nil {
				return err
			}
			services[conn.Integration] = o
		}
		page.Accounts = append(page.Accounts, v.account(o, conn, page.Asking))
	}
	return httpd.Render(c, http.StatusOK, "connect/manage", page)
}

func (v *visit) account(o offer, conn vault.Connection, asking party) accountRow {
	return accountRow{conn: conn, service: o, base: v.path(conn.ID), asking: asking.Name}
}

// serviceOf is what a connection is of. What has left the catalog since is named
// as well as it can be, and offers nothing.
func (h *Handler) serviceOf(ctx context.Context, s *vault.ConnectSession, conn *vault.Connection) (offer, error) {
	in, err := h.vault.Integration(ctx, reader(s), conn.Integration)
	if fault.Is(err, fault.NotFound) {
		return offer{title: conn.Provider}, nil
	}
	if err != nil {
		return offer{}, err
	}
	o, err := h.offer(in)
	if fault.Is(err, fault.ProviderRejected) {
		return offer{in: in, title: cmp.Or(in.Title, conn.Provider)}, nil
	}
	return o, err
}

// ours is the linked account that the path names, if the session shows it.
func (h *Handler) ours(c echo.Context, v *visit) (accountRow, error) {
	id := c.Param("connection")
	if !isID(id) {
		return accountRow{}, unknownLink()
	}
	ctx := c.Request().Context()
	conn, err := h.vault.ManagedConnection(ctx, v.caller, id)
	if fault.Is(err, fault.NotFound) {
		return accountRow{}, unknownLink()
	}
	if err != nil {
		return accountRow{}, err
	}
	httpd.RecordOf(ctx).SetConnection(conn.ID)
	o, err := h.serviceOf(ctx, &v.session, &conn)
	return v.account(o, conn, h.party(&v.session)), err
}

// reconnect handles POST /connect/m/{session}/{connection}/reconnect: from here
// on it is an ordinary reconnect, in a session of its own that this browser
// holds already.
func (h *Handler) reconnect(c echo.Context, v visit) error {
	a, err := h.ours(c, &v)
	if err != nil {
		return err
	}
	if !a.CanReconnect() {
		return c.Redirect(http.StatusSeeOther, v.path())
	}
	s, binding, err := h.vault.BeginReconnect(c.Request().Context(), v.caller, a.conn.ID)
	if f, ok := fault.As(err); ok && f.Kind == fault.RateLimited {
		return answer(c, http.StatusTooManyRequests, err, endedPage{
			Title: "Too many tries",
			Text:  "Nothing was changed.",
			Next:  "Go back to the application that you came from and open your linked accounts from there again.",
			Link:  web.Link{Href: v.path(), Text: "Back to your linked accounts"},
		})
	}
	if err != nil {
		return h.overtaken(c, &v, err)
	}
	h.binding(s.ID).Set(c, binding.Reveal())
	return c.Redirect(http.StatusSeeOther, sessionPath(s.ID))
}

// finishManaging handles POST /connect/m/{session}/done.
func (h *Handler) finishManaging(c echo.Context, v visit) error {
	if err := h.vault.FinishManaging(c.Request().Context(), v.caller); err != nil {
		return h.overtaken(c, &v, err)
	}
	if v.session.ReturnURL != "" {
		return c.Redirect(http.StatusSeeOther, returnTo(&v.session, "status", string(vault.SessionCompleted)))
	}
	return c.Redirect(http.StatusSeeOther, v.path())
}

// managingOver says that a session of kind manage has ended, to the browser that
// holds it.
func (h *Handler) managingOver(c echo.Context, v visit) error {
	s := &v.session
	page := endedPage{
		Title: "This page has expired",
		Text:  "Your linked accounts can be seen for a short time only.",
		Next:  "Go back to the application that you came from and open them from there again.",
	}
	status, word := http.StatusGone, vault.SessionFailed
	switch {
	case s.Status == vault.SessionCompleted:
		status, word = http.StatusOK, vault.SessionCompleted
		page.Title, page.Text, page.Next = "You are done", "What you have changed here is saved.", "You can close this window."
	case s.Error == reasonTooMany:
		page.Title = "Too many wrong tries"
		page.Text = "This page has ended, so that nobody can use it to guess. What was linked before is as it was."
	}
	if s.ReturnURL != "" {
		page.Link = web.Link{Href: returnTo(s, "status", string(word)), Text: "Back to " + h.party(s).Name}
	}
	httpd.RecordOf(c.Request().Context()).SetOutcome("session_" + string(s.Status))
	return httpd.Render(c, status, "connect/ended", page)
}
