package connect

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// endedPage says why there is nothing to go on with here. connect/ended.html
type endedPage struct {
	Title string
	Text  string // what happened
	Next  string // what to do now
	Link  web.Link
}

// unknownLink is the one answer for every id and token that is not there.
func unknownLink() error {
	return fault.New(fault.NotFound, "There is no such connect link, or it is long over.")
}

// explain says in the words of these pages what the rooms below refuse. Faults
// of ours, and of the form as such, keep the words of the error exit.
func (h *Handler) explain(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		if errors.Is(err, errNothingOffered) {
			return answer(c, http.StatusGone, err, endedPage{
				Title: "This cannot be linked any more",
				Text:  "What this link was for has been taken away since.",
				Next:  "Go back to the application that you came from, and ask there.",
			})
		}
		f, ok := fault.As(err)
		if !ok {
			return err
		}
		page := endedPage{Text: f.Message}
		status := 0
		switch f.Kind {
		case fault.NotFound:
			status, page.Title = http.StatusNotFound, "This link does not work"
			page.Next = "Check that the address is complete. If it is, go back to the application that you came from and start again: each link works for a short time only."
		case fault.Forbidden:
			status, page.Title = http.StatusForbidden, "This belongs to another browser"
			page.Next = "A connect link works in the browser that opened it first. If that was not you, do not go on: somebody else may have your link."
		case fault.Conflict:
			status, page.Title = http.StatusConflict, "This step is over"
			if page.Link = h.again(c); page.Link.Href == "" {
				page.Next = "Go back to the application that you came from and start again."
			}
		case fault.Malformed:
			status, page.Title = http.StatusBadRequest, "This reply cannot be used"
			page.Link = h.again(c)
			page.Next = "Nothing was linked."
		default:
			return err
		}
		return answer(c, status, err, page)
	}
}

// again leads back into the session that this browser holds, if that is clear.
func (h *Handler) again(c echo.Context) web.Link {
	id := c.Param("session")
	if !isID(id) || h.presented(c, id).IsZero() {
		id = h.onlySession(c)
	}
	if id == "" {
		return web.Link{}
	}
	return web.Link{Href: sessionPath(id), Text: "Start again"}
}

// answer renders an ended page and tells the log what the page does not.
func answer(c echo.Context, status int, cause error, page endedPage) error {
	note(c, cause)
	return httpd.Render(c, status, "connect/ended", page)
}

// note puts an error that has its own page into the request's record.
func note(c echo.Context, err error) {
	rec := httpd.RecordOf(c.Request().Context())
	rec.SetOutcome(reasonOf(err))
	rec.Add(slog.String("error", err.Error()))
}

// reasonOf is the stable word of an error, for the trail and the log.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*providers.LinkError](err); ok {
		return e.Reason
	}
	switch {
	case errors.Is(err, providers.ErrRefused):
		return "credential_refused"
	case errors.Is(err, vault.ErrOtherAccount):
		return "other_account"
	case errors.Is(err, errNothingOffered):
		return "nothing_offered"
	}
	return fault.KindOf(err).Code()
}

// failedPage says why a try came to nothing; the session goes on.
// connect/failed.html
type failedPage struct {
	Service string
	Text    string // what happened
	Next    string // what to do now, "" where Text says it
	Retry   string // the same method once more
	Other   string // another method or service, "" where there is none
	Cancel  string
}

// failed puts a try that came to nothing into the trail and says so.
func (h *Handler) failed(c echo.Context, v *visit, o *offer, method string, err error) error {
	page := failedPage{
		Service: o.title,
		Retry:   v.path(o.in.Key, method),
		Other:   v.other(o),
		Cancel:  v.path("cancel"),
	}
	status := http.StatusInternalServerError
	if e, ok := errors.AsType[*providers.LinkError](err); ok {
		status, page.Text = linkStatus(e.Reason), e.Message
	} else if f, ok := fault.As(err); ok {
		status, page.Next = troubleOf(f.Kind)
		page.Text = f.Message
	}
	if status == http.StatusInternalServerError {
		return err
	}
	ctx := c.Request().Context()
	if err := h.vault.FailLink(ctx, v.caller, o.in.ID, reasonOf(err)); err != nil {
		return h.overtaken(c, v, err)
	}
	note(c, err)
	return httpd.Render(c, status, "connect/failed", page)
}

// troubleOf is the status of a fault that a try ended with, and what is to be
// said after its message.
func troubleOf(k fault.Kind) (status int, next string) {
	switch k {
	case fault.ProviderUnavailable:
		return http.StatusServiceUnavailable, "Nothing was saved, and nothing is lost."
	case fault.ProviderRejected:
		return http.StatusBadGateway, "Nothing was saved. If it happens again, tell the application that you came from: it may not be set up right."
	case fault.Invalid:
		return http.StatusUnprocessableEntity, "Nothing was saved. You can try again."
	case fault.Conflict, fault.Revoked, fault.NotFound:
		return http.StatusConflict, "Nothing was changed. You can try again, or go back to the application that you came from."
	}
	return http.StatusInternalServerError, ""
}

// linkStatus is the status for the reason of a [providers.LinkError].
func linkStatus(reason string) int {
	switch reason {
	case providers.ReasonUnavailable, "temporarily_unavailable":
		return http.StatusServiceUnavailable
	case providers.ReasonProvider, providers.ReasonExchange, providers.ReasonClient, providers.ReasonResolveURL,
		providers.ReasonSettings, "server_error", "unauthorized_client", "invalid_scope", "invalid_request",
		"unsupported_response_type":
		return http.StatusBadGateway
	case "access_denied":
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// overtaken handles an error of a step that found the session ended meanwhile:
// its own page says how. Any other error stays what it is.
func (h *Handler) overtaken(c echo.Context, v *visit, err error) error {
	if !fault.Is(err, fault.Conflict) {
		return err
	}
	note(c, err)
	return c.Redirect(http.StatusSeeOther, v.path())
}
