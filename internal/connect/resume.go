package connect

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
)

// resume handles GET /connect/resume/{session}/{attempt}: it changes nothing
// and goes on to finish, from a page of ours, so that the cookie is with it.
func (h *Handler) resume(c echo.Context) error {
	session, attempt := c.Param("session"), c.Param("attempt")
	if !isID(session) || !isID(attempt) {
		return unknownLink()
	}
	return goOn(c, "connect/resume", onwardPage{Next: "/connect/finish/" + session + "/" + attempt})
}

// finish handles GET /connect/finish/{session}/{attempt}: the attempt is used
// up, whatever comes of it, and only the browser that began it gets anything.
func (h *Handler) finish(c echo.Context) error {
	session, attempt := c.Param("session"), c.Param("attempt")
	if !isID(session) || !isID(attempt) {
		return unknownLink()
	}
	if c.Request().Method != http.MethodGet {
		return echo.ErrMethodNotAllowed // HEAD must not use anything up
	}
	ctx, cancel := detached(c.Request().Context())
	defer cancel()
	// The binding of the path's session fits no attempt of another one.
	caller, at, err := h.vault.TakeAttempt(ctx, attempt, h.presented(c, session))
	if err != nil {
		return err
	}
	v, err := h.visit(c)
	if err != nil {
		return err
	}
	in, err := h.vault.OpenIntegration(ctx, caller, at.IntegrationID)
	if err != nil {
		return err
	}
	if v.session.Kind == vault.SessionTest {
		in = in.WithoutPrevious()
	}
	o, err := h.offer(in)
	if err != nil {
		return err
	}
	r, err := parse(unseal(at.Reply), o.title)
	if err != nil {
		return h.failed(c, &v, &o, at.Method, err)
	}
	grant, err := h.providers.Complete(ctx, in, at, r)
	if err != nil {
		if len(grant.Credential) > 0 && !v.spares() {
			h.disown(ctx, &v, in, at.Method, grant)
		}
		return h.failed(c, &v, &o, at.Method, err)
	}
	return h.link(c, &v, &o, at.Method, grant)
}

// parse reads a reply that has reached the browser it is for.
func parse(r reply, service string) (providers.Reply, error) {
	values, err := url.ParseQuery(r.values)
	if err == nil && r.mode == mixed {
		err = &providers.ReplyError{Problem: "it came in the query and in the body"}
	}
	var parsed providers.Reply
	if err == nil {
		parsed, err = providers.ParseReply(r.mode, values)
	}
	if err == nil {
		return parsed, nil
	}
	var shape *providers.ReplyError
	if !errors.As(err, &shape) {
		// url's own error quotes what it could not read.
		shape = &providers.ReplyError{Problem: "it cannot be decoded"}
	}
	return providers.Reply{}, &providers.LinkError{
		Reason:  providers.ReasonReplyShape,
		Message: "The reply from " + service + " could not be read, so nothing was linked.",
		Err:     shape,
	}
}

// spares reports whether a credential that is not wanted is left as it is: where
// one account has one permission, the connection that was to be mended would lose
// its own with it.
func (v *visit) spares() bool { return v.session.Reconnect }

// link makes the connection, or mends one, and sends the browser where the
// session ends.
func (h *Handler) link(c echo.Context, v *visit, o *offer, method string, grant vault.Grant) error {
	ctx, cancel := detached(c.Request().Context())
	defer cancel()
	linked, err := h.vault.Link(ctx, v.caller, o.in, method, grant)
	if err == nil {
		return h.done(c, &linked)
	}
	if _, refused := fault.As(err); !refused {
		// Whether it was stored is not known, and what may be in use is not
		// taken back.
		return err
	}
	in, gone := h.vault.OpenIntegration(ctx, v.caller, o.in.ID)
	// What was to be mended has nothing to lose.
	doomed := fault.Is(err, fault.Revoked) || errors.Is(err, vault.ErrBeingDeleted)
	if fault.Is(gone, fault.NotFound) { // deleted since: then as it was
		in, gone, doomed = o.in, nil, true
	}
	if gone == nil && (doomed || !v.spares()) {
		h.disown(ctx, v, in, method, grant)
	}
	return h.failed(c, v, o, method, err)
}
