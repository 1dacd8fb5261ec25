package httpd

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"
)

// Record is what the log says about one request. Handlers add what they learn
// on the way; the shell writes it once, at the end. It belongs to the
// request's own goroutine.
//
// A nil Record takes everything and keeps nothing, so that no handler has to
// ask whether there is one.
type Record struct {
	id          string
	start       time.Time
	actor       string
	environment string
	connection  string
	outcome     string
	remote      string
	extra       []slog.Attr
	err         error
	stack       []byte
}

// SetActor says who called: an id such as an API key's, never the key.
func (r *Record) SetActor(id string) {
	if r != nil {
		r.actor = id
	}
}

// SetEnvironment says in which environment.
func (r *Record) SetEnvironment(name string) {
	if r != nil {
		r.environment = name
	}
}

// SetConnection says which connection it was about.
func (r *Record) SetConnection(id string) {
	if r != nil {
		r.connection = id
	}
}

// SetOutcome says in a stable word how it ended, such as "refreshed" or
// "wrong_credential". The error exit sets a fault's code where nothing is set.
func (r *Record) SetOutcome(code string) {
	if r != nil {
		r.outcome = code
	}
}

// Add says anything else. Attributes must hold no secret, and nothing of the
// request that may hold one.
func (r *Record) Add(attrs ...slog.Attr) {
	if r != nil {
		r.extra = append(r.extra, attrs...)
	}
}

// remoteIP is echo's RealIP, looked up once: with proxies it takes a while.
func (r *Record) remoteIP(c echo.Context) string {
	if r == nil {
		return c.RealIP()
	}
	if r.remote == "" {
		r.remote = c.RealIP()
	}
	return r.remote
}

// RemoteAddr is the client's address, as far as the proxies are trusted to tell;
// the zero address where that is none.
func RemoteAddr(c echo.Context) netip.Addr {
	addr, err := netip.ParseAddr(RecordOf(c.Request().Context()).remoteIP(c))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}

// recordContext is a request's context and its record in one allocation; the
// record is made for each request, and there are many.
type recordContext struct {
	context.Context //nolint:containedctx // it is a context
	rec             Record
}

type recordKey struct{}

func (c *recordContext) Value(key any) any {
	if key == (recordKey{}) {
		return &c.rec
	}
	return c.Context.Value(key)
}

// RecordOf is the record of the request that ctx belongs to; nil where there
// is none.
func RecordOf(ctx context.Context) *Record {
	r, _ := ctx.Value(recordKey{}).(*Record)
	return r
}

// RequestID is the id under which the log knows the request; "" where there is
// none. It is random and comes from no header.
func RequestID(ctx context.Context) string {
	if r := RecordOf(ctx); r != nil {
		return r.id
	}
	return ""
}

// RecordMessage is the message of a request's record, of which a busy process
// writes thousands a second.
const RecordMessage = "request"

// write puts the record into the log. Requests that tell nothing new (static
// files, probes) are at debug level while they succeed.
func (s *shell) write(c echo.Context, rec *Record) {
	status := c.Response().Status
	level := slog.LevelInfo
	switch {
	case status >= 500 && status != http.StatusBadGateway && status != http.StatusServiceUnavailable:
		level = slog.LevelError
	case status >= 500:
		level = slog.LevelWarn
	case status < 400 && quiet(c.Path()):
		level = slog.LevelDebug
	}
	ctx := c.Request().Context()
	if !s.log.Enabled(ctx, level) {
		return
	}

	now := s.now()
	var buf [14]slog.Attr
	attrs := append(buf[:0],
		slog.String("method", knownMethod(c.Request().Method)),
		slog.String("route", c.Path()),
		slog.Int("status", status),
		slog.Int64("bytes", c.Response().Size),
		slog.Float64("ms", float64(now.Sub(rec.start).Microseconds())/1000),
		slog.String("request_id", rec.id),
		slog.String("remote_ip", rec.remoteIP(c)),
	)
	for _, a := range [...]struct{ key, value string }{
		{"actor", rec.actor},
		{"environment", rec.environment},
		{"connection_id", rec.connection},
		{"outcome", rec.outcome},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	if rec.err != nil {
		attrs = append(attrs, slog.String("error", logText(rec.err)))
	}
	if rec.stack != nil {
		attrs = append(attrs, slog.String("stack", string(rec.stack)))
	}
	attrs = append(attrs, rec.extra...)
	// Past the logger's own methods, which would look up the line that they are
	// called from: it is always this one.
	record := slog.NewRecord(now, level, RecordMessage, 0)
	record.AddAttrs(attrs...)
	_ = s.log.Handler().Handle(ctx, record) // as the logger does
}

// quiet routes are asked for so often that their success is no news.
func quiet(route string) bool {
	return route == "/healthz" || route == "/readyz" || route == staticRoute
}

// knownMethod keeps made-up methods, which are the caller's free text, out of
// the log.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return m
	}
	return "other"
}
