package connect

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// methodPage is the form of a method, or the way to the provider.
// connect/form.html, connect/redirect.html
type methodPage struct {
	Service string
	Method  string
	Lead    string
	Asking  party
	Action  string
	Busy    string
	Inputs  []input
	Guide   *web.Guide
	Notices []web.Notice
	// Problem says that one of the notices is one.
	Problem bool
	// Other leads to another method or service, "" where there is none.
	Other  string
	Cancel string
}

// stop is a page of a session at one method.
type stop struct {
	visit
	offer  offer
	method *providers.Method
}

func (h *Handler) stop(c echo.Context, v visit) (stop, error) {
	o, err := h.chosen(c, &v)
	if err != nil {
		return stop{}, err
	}
	m, err := o.method(c.Param("method"))
	if err != nil {
		return stop{}, err
	}
	return stop{visit: v, offer: o, method: m}, nil
}

// show handles GET /connect/s/{session}/{integration}/{method}.
func (h *Handler) show(c echo.Context, v visit) error {
	s, err := h.stop(c, v)
	if err != nil {
		return err
	}
	return h.render(c, &s, http.StatusOK, inputs(s.method, nil, nil), nil)
}

// render draws the page of a method.
func (h *Handler) render(c echo.Context, s *stop, status int, in []input, notice *web.Notice) error {
	page := methodPage{
		Service: s.offer.title,
		Method:  s.method.Title,
		Lead:    s.method.Description,
		Asking:  h.party(&s.session),
		Action:  s.path(s.offer.in.Key, s.method.Name),
		Busy:    "Asking " + s.offer.title + "…",
		Inputs:  in,
		Guide:   guide(s.method),
		Other:   s.other(&s.offer),
		Cancel:  s.path("cancel"),
	}
	if notice != nil {
		page.Notices, page.Problem = append(page.Notices, *notice), true
	} else if label := h.former(c, &s.session); label != "" {
		page.Notices = append(page.Notices, web.Notice{
			Kind: web.Info, Title: "You link " + label + " again",
			Text: "Use the same account as before.",
		})
	}
	name := "connect/form"
	if s.method.Redirects() {
		name, page.Busy = "connect/redirect", "Opening "+s.offer.title+"…"
	}
	return httpd.Render(c, status, name, page)
}

// former is the account that a reconnect is about, "" where it is not one or
// not known.
func (h *Handler) former(c echo.Context, s *vault.ConnectSession) string {
	if !s.Reconnect {
		return ""
	}
	conn, err := h.vault.Connection(c.Request().Context(), reader(s), s.ConnectionID)
	if err != nil {
		return "" // no reason to keep anybody from linking
	}
	return conn.Account.Label
}
