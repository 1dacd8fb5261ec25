package connect

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// onwardPage is a page that goes on by itself. connect/leaving.html,
// connect/resume.html
type onwardPage struct {
	Service string
	Next    string
}

// leave begins an attempt and sends the browser to the provider. The click that
// led here was on a page that says who will get access: a provider with a
// live sign-in may not ask again.
func (h *Handler) leave(c echo.Context, s *stop) error {
	ctx, cancel := detached(c.Request().Context())
	defer cancel()
	in, err := h.vault.OpenIntegration(ctx, s.caller, s.offer.in.ID)
	if err != nil {
		return err
	}
	state := newState(s.session.ID)
	to, values, err := h.providers.Begin(ctx, in, s.method.Name, state)
	if err != nil {
		return h.trouble(c, s, nil, err)
	}
	if err := h.vault.BeginAttempt(ctx, s.caller, s.binding, in, s.method.Name, state, values); errors.Is(err, vault.ErrBeingDeleted) {
		return h.trouble(c, s, nil, err)
	} else if err != nil {
		return h.overtaken(c, &s.visit, err)
	}
	return goOn(c, "connect/leaving", onwardPage{Service: s.offer.title, Next: to.String()})
}

// newState makes a state that says which session it is of: the cookie of that
// session has to be asked for by name when the browser is back. Only the whole
// of it is known to the vault, so the session in a state that is known is the
// one that was put there.
func newState(sessionID string) vault.Secret {
	return vault.NewSecret(vault.NewState().Reveal() + "." + sessionID)
}

// sessionOf is the session in a state that the vault knows.
func sessionOf(state vault.Secret) string {
	_, id, _ := strings.Cut(state.Reveal(), ".")
	return id
}

// goOn answers with a page that leads to page.Next at once, with a link for
// browsers that do not. See the package comment for why it is no redirect.
func goOn(c echo.Context, name string, page onwardPage) error {
	c.Response().Header().Set("Refresh", "0; url="+page.Next)
	return httpd.Render(c, http.StatusOK, name, page)
}
