package connect

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
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// submit handles POST /connect/s/{session}/{integration}/{method}.
func (h *Handler) submit(c echo.Context, v visit) error {
	s, err := h.stop(c, v)
	if err != nil {
		return err
	}
	if s.method.Redirects() {
		return h.leave(c, &s)
	}
	form, err := readForm(c, s.method)
	if err != nil {
		return h.amend(c, &s, form, err)
	}
	ctx, cancel := detached(c.Request().Context())
	defer cancel()
	if err := h.vault.ChargeGuess(ctx, s.caller); err != nil {
		return h.tooMany(c, &s, form, err)
	}
	grant, err := h.ask(c, &s, form)
	switch {
	case errors.Is(err, errGuessedOut):
		return c.Redirect(http.StatusSeeOther, s.path())
	case fault.Is(err, fault.Invalid):
		return h.amend(c, &s, form, err)
	case err != nil:
		return h.trouble(c, &s, form, err)
	}
	return h.link(c, &s.visit, &s.offer, s.method.Name, grant)
}

// errGuessedOut: this was the last wrong credential of the session.
var errGuessedOut = errors.New("too many wrong credentials in this session")

// ask has the provider judge what was typed, and settles the guess. Only the
// provider's own no counts as wrong.
func (h *Handler) ask(c echo.Context, s *stop, form url.Values) (vault.Grant, error) {
	ctx, cancel := detached(c.Request().Context())
	defer cancel()
	in, err := h.vault.OpenIntegration(ctx, s.caller, s.offer.in.ID)
	var grant vault.Grant
	if err == nil {
		grant, err = h.providers.Submit(ctx, in, s.method.Name, credential(s.method, form))
	}
	ended, serr := h.vault.SettleGuess(ctx, s.caller, s.offer.in.ID, errors.Is(err, providers.ErrRefused))
	switch {
	case ended:
		note(c, err)
		return vault.Grant{}, errGuessedOut
	case serr != nil && err == nil:
		h.disown(ctx, &s.visit, in, s.method.Name, grant)
		return vault.Grant{}, serr
	case serr != nil:
		return vault.Grant{}, serr
	}
	return grant, err
}

// amend shows the form again, with what is wrong beside each field and the
// cursor in the first of them. Secrets have to be typed anew.
func (h *Handler) amend(c echo.Context, s *stop, form url.Values, err error) error {
	f, ok := fault.As(err)
	if !ok || f.Kind != fault.Invalid {
		return err
	}
	httpd.RecordOf(c.Request().Context()).SetOutcome(reasonOf(err))
	in := inputs(s.method, form, f.Fields)
	notice := summary(in, f)
	return h.render(c, s, http.StatusUnprocessableEntity, in, &notice)
}

// trouble shows the form again after the provider did not judge what was
// typed. Nothing was saved, and no try was used up.
func (h *Handler) trouble(c echo.Context, s *stop, form url.Values, err error) error {
	f, ok := fault.As(err)
	if !ok {
		return err
	}
	status, next := troubleOf(f.Kind)
	if status == http.StatusInternalServerError {
		return err
	}
	ctx := c.Request().Context()
	if err := h.vault.FailLink(ctx, s.caller, s.offer.in.ID, reasonOf(err)); err != nil {
		return h.overtaken(c, &s.visit, err)
	}
	note(c, err)
	setRetryAfter(c, f.RetryAfter)
	if form != nil {
		next += " Passwords and tokens have to be entered again: they are not kept in a page."
	}
	return h.render(c, s, status, inputs(s.method, form, nil), &web.Notice{
		Kind: web.Problem, Title: s.offer.title + " was not linked", Text: f.Message + " " + next,
	})
}

// tooMany answers a try that was not even charged: too many within a minute,
// or the session has ended.
func (h *Handler) tooMany(c echo.Context, s *stop, form url.Values, err error) error {
	f, ok := fault.As(err)
	if !ok || f.Kind != fault.RateLimited {
		return h.overtaken(c, &s.visit, err)
	}
	note(c, err)
	setRetryAfter(c, f.RetryAfter)
	return h.render(c, s, http.StatusTooManyRequests, inputs(s.method, form, nil), &web.Notice{
		Kind: web.Problem, Title: f.Message,
		Text: "The limit keeps anybody from guessing. Nothing was sent to " + s.offer.title + ".",
	})
}

func setRetryAfter(c echo.Context, d time.Duration) {
	if d > 0 {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	}
}
