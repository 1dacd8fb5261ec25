package connect

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// donePage says that the account is linked. connect/done.html
type donePage struct {
	Service string // "" where it is not known any more
	Account string
	Asking  party
	// Pending says that the host still has to confirm.
	Pending bool
	// Return leads back to the host, empty where there is no way.
	Return web.Link
}

// Title says what happened.
func (p donePage) Title() string { return cmp.Or(p.Service, "The account") + " is linked" }

// Notice says what that means.
func (p donePage) Notice() web.Notice {
	if p.Pending {
		return web.Notice{
			Kind: web.Info, Title: p.Asking.Name + " has to confirm it",
			Text: "Go back there. If the account does not show up within ten minutes, start again from there.",
		}
	}
	title := "Everything went well"
	if p.Account != "" {
		title = "Linked account: " + p.Account
	}
	return web.Notice{
		Kind: web.Success, Title: title,
		Text: p.Asking.Name + " can work with this account until you or they take the access back.",
	}
}

// done sends the browser back to the host, or to the page that says so.
func (h *Handler) done(c echo.Context, linked *vault.Linked) error {
	s := &linked.Session
	rec := httpd.RecordOf(c.Request().Context())
	rec.SetConnection(linked.Connection.ID)
	rec.SetOutcome("linked")
	switch {
	case s.ReturnURL == "", s.ParentID != "":
		return c.Redirect(http.StatusSeeOther, sessionPath(s.ID))
	case linked.Result.IsZero():
		return c.Redirect(http.StatusSeeOther, returnTo(s, "status", "completed"))
	}
	return c.Redirect(http.StatusSeeOther, returnTo(s, "result", linked.Result.Reveal()))
}

// returnTo is the session's return URL with what it ended with. The query that
// is there stays letter by letter.
func returnTo(s *vault.ConnectSession, name, value string) string {
	u, err := url.Parse(s.ReturnURL)
	if err != nil {
		return s.ReturnURL // cannot be: it was parsed when it was taken
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "session_id=" + url.QueryEscape(s.ID) + "&" + name + "=" + url.QueryEscape(value)
	return u.String()
}

// cancel handles POST /connect/s/{session}/cancel.
func (h *Handler) cancel(c echo.Context, v visit) error {
	if err := h.vault.EndSession(c.Request().Context(), v.caller, reasonCancelled); err != nil {
		return h.overtaken(c, &v, err)
	}
	if v.session.ParentID != "" {
		return c.Redirect(http.StatusSeeOther, managePath(v.session.ParentID))
	}
	if v.session.ReturnURL != "" {
		return c.Redirect(http.StatusSeeOther, returnTo(&v.session, "status", string(vault.SessionFailed)))
	}
	return c.Redirect(http.StatusSeeOther, v.path())
}

// The words for why a session failed.
const (
	reasonCancelled = "cancelled"
	reasonTooMany   = "too_many_attempts"
)

// end says how a session ended, to the browser that holds it.
func (h *Handler) end(c echo.Context, v visit) error {
	s := &v.session
	if s.Status == vault.SessionPending || s.Status == vault.SessionCompleted {
		return h.linked(c, s)
	}
	if s.ParentID != "" { // which goes on, or says why not
		return c.Redirect(http.StatusSeeOther, managePath(s.ParentID))
	}
	page := endedPage{
		Title: "This link has ended",
		Text:  "Nothing was linked.",
		Next:  "Go back to the application that you came from and start again.",
	}
	status := http.StatusGone
	switch {
	case s.Status == vault.SessionExpired:
		page.Title = "This link has expired"
		page.Text = "A connect link works for a short time only. Nothing was linked."
	case s.Error == reasonCancelled:
		page.Title, status = "You have cancelled", http.StatusOK
		page.Text = "Nothing was linked, and nothing that you entered was kept."
	case s.Error == reasonTooMany:
		page.Title = "Too many wrong tries"
		page.Text = "This link has ended, so that nobody can use it to guess. Nothing was linked."
		page.Next = "Make sure that you can sign in at the service itself. Then go back to the application that you came from and ask for a new link."
	}
	if s.ReturnURL != "" {
		page.Link = web.Link{Href: returnTo(s, "status", string(vault.SessionFailed)), Text: "Back to " + h.party(s).Name}
	}
	httpd.RecordOf(c.Request().Context()).SetOutcome("session_" + string(s.Status))
	return httpd.Render(c, status, "connect/ended", page)
}

// linked is the done page, also for somebody who comes back to it.
func (h *Handler) linked(c echo.Context, s *vault.ConnectSession) error {
	page := donePage{Asking: h.party(s), Pending: s.Status == vault.SessionPending}
	ctx := c.Request().Context()
	conn, err := h.vault.Connection(ctx, reader(s), s.ConnectionID)
	switch {
	case err == nil:
		if !page.Pending {
			page.Account = conn.Account.Label
		}
		if in, err := h.vault.Integration(ctx, reader(s), conn.Integration); err == nil {
			if o, err := h.offer(in); err == nil {
				page.Service = o.title
			}
		}
	case !fault.Is(err, fault.NotFound): // deleted since: it was linked all the same
		return err
	}
	switch {
	case s.ParentID != "":
		page.Return = web.Link{Href: managePath(s.ParentID), Text: "Back to your linked accounts"}
	case s.ReturnURL != "" && !page.Pending:
		page.Return = web.Link{Href: returnTo(s, "status", string(vault.SessionCompleted)), Text: "Back to " + page.Asking.Name}
	}
	return httpd.Render(c, http.StatusOK, "connect/done", page)
}

// disown tells the provider that a credential it has just handed out is not
// wanted, where nothing speaks against it, see [visit.spares].
func (h *Handler) disown(ctx context.Context, v *visit, in vault.Integration, method string, grant vault.Grant) {
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	outcome := h.providers.Revoke(ctx, in, vault.Connection{
		EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, Integration: in.Key, Provider: in.Provider,
		Method: method, EndUser: v.session.EndUser, Account: grant.Account, BaseURL: grant.BaseURL,
	}, grant.Credential)
	httpd.RecordOf(ctx).Add(slog.String("disowned", string(outcome.Outcome)))
}
