package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
)

// Bounds of the streams that keep an overview up to date. A browser opens one
// for each page it shows.
const (
	streamEvery       = 5 * time.Second
	streamLife        = time.Hour // the browser asks for another one
	streamWrite       = 10 * time.Second
	streamsPerSession = 6
	streamsInAll      = 500
)

// eventStream is the media type of a stream. Who asks for it does not count as
// somebody who uses the session, see [Handler.visit].
const eventStream = "text/event-stream"

// streams counts those that are open, by session.
type streams struct {
	every time.Duration
	mu    sync.Mutex
	by    map[string]int
	all   int
}

func newStreams() *streams { return &streams{every: streamEvery, by: map[string]int{}} }

// open counts one more; ok is false where there are enough. leave takes it back.
func (s *streams) open(session string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[session] >= streamsPerSession || s.all >= streamsInAll {
		return nil, false
	}
	s.by[session]++
	s.all++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.by[session]--; s.by[session] == 0 {
			delete(s.by, session)
		}
	}, true
}

// GET /admin/overview/stream
//
// Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html):
// "part" has the overview as HTML in a JSON string whenever it has changed, "end"
// says that nothing more will come. A browser does not ask again after a 204.
// That it need not fetch the page for what is new keeps watching from counting as
// use of the session.
func (h *Handler) streamOverview(c echo.Context, v visit) error {
	if c.Request().Header.Get("Accept") != eventStream { // somebody who looks
		return c.Redirect(http.StatusSeeOther, homePath)
	}
	leave, ok := h.streams.open(v.stay.Session.ID)
	if !ok {
		return c.NoContent(http.StatusNoContent)
	}
	defer leave()
	header := c.Response().Header()
	header.Set("Content-Type", eventStream)
	header.Set("X-Accel-Buffering", "no") // nginx would keep it until there is more
	s := stream{http.NewResponseController(c.Response()), c.Response()}
	// The server's deadlines are for requests that end.
	if err := s.control.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("opening a stream: %w", err)
	}
	life := time.NewTimer(streamLife)
	defer life.Stop()
	tick := time.NewTicker(h.streams.every)
	defer tick.Stop()
	ctx := c.Request().Context()
	var sent string
	for {
		// Signed out, removed or looking elsewhere by now: that ends it.
		now, err := h.visit(c)
		switch {
		case ctx.Err() != nil:
			return nil
		case fault.Is(err, fault.Unauthenticated), err == nil && now.caller.EnvironmentID != v.caller.EnvironmentID:
			return s.end()
		}
		var part string
		if err == nil {
			part, err = h.overviewPart(c, &now)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil: // the database has a bad moment; what is shown stays
			httpd.RecordOf(ctx).SetOutcome("incomplete")
			err = s.send(": nothing new\n\n")
		case part == sent:
			err = s.send(": nothing new\n\n")
		default:
			sent = part
			err = s.send("event: part\ndata: " + part + "\n\n")
		}
		if err != nil {
			return nil // nobody listens any more
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		case <-life.C:
			return nil
		case <-h.vault.Stopping():
			return nil
		}
	}
}

// overviewPart is the part of the overview that changes, as a JSON string.
func (h *Handler) overviewPart(c echo.Context, v *visit) (string, error) {
	o, err := h.vault.Overview(c.Request().Context(), v.caller)
	if err != nil {
		return "", err
	}
	html, err := httpd.Part(c, "admin/overview", "overview", newOverviewPage(v, &o))
	if err != nil {
		return "", err
	}
	part, err := json.Marshal(html)
	return string(part), err
}

// stream writes events to a browser.
type stream struct {
	control *http.ResponseController
	to      *echo.Response
}

func (s stream) send(text string) error {
	err := s.control.SetWriteDeadline(time.Now().Add(streamWrite))
	if err == nil {
		_, err = s.to.Write([]byte(text))
	}
	return errors.Join(err, s.control.Flush())
}

// end says that there is no use in asking again.
func (s stream) end() error {
	_ = s.send("event: end\ndata: {}\n\n")
	return nil
}
