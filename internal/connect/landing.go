package connect

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// landingPage says who asks for access to what, for whom. connect/landing.html
type landingPage struct {
	Asking    party
	EndUser   vault.EndUser
	Services  []string
	Reconnect bool
	ExpiresAt time.Time
}

// Title is the question that the page puts.
func (p landingPage) Title() string {
	switch {
	case p.Reconnect:
		return p.Asking.Name + " asks you to link " + p.Services[0] + " again"
	case len(p.Services) == 1:
		return p.Asking.Name + " asks for access to your " + p.Services[0] + " account"
	}
	return p.Asking.Name + " asks for access to one of your accounts"
}

// From and To are the two letters of the picture.
func (p landingPage) From() string { return initial(p.Asking.Name) }

// To is the service's.
func (p landingPage) To() string {
	if len(p.Services) == 1 {
		return initial(p.Services[0])
	}
	return "…"
}

// Notice is for somebody who got a link that was made for another: what they
// link would be at the service of whoever sent it.
func (p landingPage) Notice() web.Notice {
	who := cmp.Or(p.EndUser.Name, p.EndUser.Email, "this user")
	return web.Notice{
		Kind:  web.Warning,
		Title: "Go on only if you asked for this yourself",
		Text: "Whoever sent you this link gets access to the account that you link. If you did not expect it, or if you are not " +
			who + ", close this page.",
	}
}

// party is the application that asks.
type party struct {
	Name string
	// Host is where the browser goes afterwards, "" where it stays.
	Host string
}

// party is who asks in a session.
func (h *Handler) party(s *vault.ConnectSession) party {
	p := party{Name: h.appName}
	if u, err := url.Parse(s.ReturnURL); err == nil {
		p.Host = u.Host
	}
	p.Name = cmp.Or(p.Name, p.Host, "The application that sent you")
	return p
}

// initial is a letter to stand for a name.
func initial(s string) string {
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return strings.ToUpper(string(r))
		}
	}
	return "?"
}

// landing handles GET /connect/{token}. It changes nothing: scanners of mails
// and chats fetch links.
func (h *Handler) landing(c echo.Context) error {
	ctx := c.Request().Context()
	s, err := h.vault.LandingSession(ctx, vault.NewSecret(c.Param("token")))
	if err != nil {
		return err
	}
	httpd.RecordOf(ctx).SetActor(s.ID)
	switch s.Status {
	case vault.SessionOpen:
	case vault.SessionBound:
		// The same browser may press the button again; another one may not.
		if _, _, err := h.vault.BoundSession(ctx, s.ID, h.presented(c, s.ID)); err != nil {
			return err
		}
	default:
		return h.over(c, &s)
	}
	if s.Kind == vault.SessionManage {
		return h.manageLanding(c, &s)
	}
	offers, err := h.offers(c, &s)
	if err != nil {
		return err
	}
	page := landingPage{
		Asking: h.party(&s), EndUser: s.EndUser, Reconnect: s.Reconnect, ExpiresAt: s.ExpiresAt,
	}
	for _, o := range offers {
		page.Services = append(page.Services, o.title)
	}
	return httpd.Render(c, http.StatusOK, "connect/landing", page)
}

// bind handles POST /connect/{token}: from here on the session belongs to this
// browser, and no URL has the token any more.
func (h *Handler) bind(c echo.Context) error {
	ctx := c.Request().Context()
	token := vault.NewSecret(c.Param("token"))
	s, err := h.vault.LandingSession(ctx, token)
	if err != nil {
		return err
	}
	httpd.RecordOf(ctx).SetActor(s.ID)
	if s.Status != vault.SessionOpen && s.Status != vault.SessionBound {
		return h.over(c, &s)
	}
	s, binding, err := h.vault.BindSession(ctx, token, h.presented(c, s.ID))
	if err != nil {
		return err
	}
	if s.Status != vault.SessionBound { // since a moment ago
		return h.over(c, &s)
	}
	h.binding(s.ID).Set(c, binding.Reveal())
	v := visit{session: s}
	return c.Redirect(http.StatusSeeOther, v.path())
}

// over is for a link whose time is over, in a browser that need not be the one
// that used it: it says no more than that.
func (h *Handler) over(c echo.Context, s *vault.ConnectSession) error {
	page := endedPage{
		Title: "This link was used",
		Text:  "A connect link works once.",
		Next:  "Go back to the application that you came from. If the account is not there, start again.",
	}
	if s.Status == vault.SessionExpired {
		page.Title, page.Text = "This link has expired", "A connect link works for a short time only."
		page.Next = "Go back to the application that you came from and start again."
	}
	if s.Kind == vault.SessionManage {
		page.Next = "Go back to the application that you came from and open your linked accounts from there again."
	}
	return answer(c, http.StatusGone, fault.New(fault.Conflict, "connect session is %s", s.Status), page)
}
