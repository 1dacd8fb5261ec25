package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// DefaultTimeout bounds a call from the first look-up to the last byte of
	// the answer, unless [Timeout] or the context's deadline says otherwise.
	DefaultTimeout = 20 * time.Second
	// DefaultLimit is the size of answer body taken where the caller names none.
	DefaultLimit = 1 << 20

	dialTimeout      = 5 * time.Second
	tlsTimeout       = 5 * time.Second
	maxHeaderBytes   = 64 << 10
	idleConnTimeout  = 60 * time.Second
	idleConnsPerHost = 8
	userAgent        = "claviger"
)

// Config is what a [Client] is made of. The zero Config is good for the
// public internet.
type Config struct {
	// Allow lists ranges of addresses that are reachable although they are
	// private, loopback or otherwise special.
	Allow []netip.Prefix
	// Log gets a debug record per call; nil discards them.
	Log *slog.Logger
	// Now measures how long calls take; nil is time.Now.
	Now func() time.Time
	// RootCAs are the authorities to trust; nil is the system's.
	RootCAs *x509.CertPool
	// Resolver looks names up; nil is the system's. What it answers is judged
	// like any other address.
	Resolver *net.Resolver
	// Dial takes the place of the system's sockets, such as by pipes in memory;
	// nil is the sockets. Names are not looked up then: a host has to be an
	// address, and is judged before it is dialled.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client calls providers. It is safe for concurrent use.
type Client struct {
	guard guard
	log   *slog.Logger
	now   func() time.Time
	// keep reuses connections. Requests that may be repeated go here.
	keep *http.Transport
	// once makes a connection for each request and speaks HTTP/1.1. All
	// others go here: on a kept connection that the server is just closing, a
	// POST is lost without anyone being able to tell whether it was taken, and
	// HTTP/2 has its own ideas about sending things again (REFUSED_STREAM,
	// GOAWAY). A handshake is cheap beside a refresh token spent for nothing.
	once *http.Transport
}

// New makes a client. Call [Client.Close] when done.
func New(cfg Config) *Client {
	c := &Client{guard: newGuard(cfg.Allow), log: cfg.Log, now: cfg.Now}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	dial := (&net.Dialer{Timeout: dialTimeout, Resolver: cfg.Resolver, Control: c.guard.control}).DialContext
	if cfg.Dial != nil {
		dial = c.guard.judged(cfg.Dial)
	}
	transport := func() *http.Transport {
		return &http.Transport{
			Proxy:                  nil, // a proxy would dial for us, unjudged
			DialContext:            dial,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
			TLSHandshakeTimeout:    tlsTimeout,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeaderBytes,
			IdleConnTimeout:        idleConnTimeout,
			MaxIdleConnsPerHost:    idleConnsPerHost,
			Protocols:              new(http.Protocols),
		}
	}
	c.keep = transport()
	c.keep.Protocols.SetHTTP1(true)
	c.keep.Protocols.SetHTTP2(true)
	// A dead HTTP/2 connection would otherwise time out call after call.
	c.keep.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second}
	c.once = transport()
	c.once.Protocols.SetHTTP1(true)
	c.once.DisableKeepAlives = true
	c.once.DialContext = gated(dial)
	return c
}

// Close closes kept connections. Calls under way go on.
func (c *Client) Close() {
	c.keep.CloseIdleConnections()
	c.once.CloseIdleConnections()
}

// Response is an answer, read whole.
type Response struct {
	// Status is the HTTP status code.
	Status int
	// Header is the answer's header.
	Header http.Header
	// Body is as it came: no compression is undone.
	Body []byte
}

// Option changes one call.
type Option func(*call)

type call struct {
	timeout time.Duration
	route   string
}

// Timeout replaces [DefaultTimeout] for one call. An earlier deadline of the
// context still counts, and 0 or less changes nothing.
func Timeout(d time.Duration) Option {
	return func(c *call) {
		if d > 0 {
			c.timeout = d
		}
	}
}

// Route names the call in the log ("token", "verify"). Paths are not logged:
// some providers put credentials into theirs.
func Route(label string) Option { return func(c *call) { c.route = label } }

// Do sends req and reads the answer's body up to limit bytes; a limit of 0 or
// less is [DefaultLimit]. The URL has to pass [Client.CheckURL]. ctx replaces
// the context of req, which is not changed apart from its body being read.
//
// Any status but a redirect is an answer without error. Every error is an
// [*Error]. Where an answer had begun before the fault ([Redirected],
// [TooLarge], a body cut short), the Response comes beside the error: with
// status and header, and with the part of the body that arrived if it was cut
// short. Otherwise the Response is nil.
//
// A request whose method is not safe or idempotent (RFC 9110, 9.2) is on the
// wire at most once.
func (c *Client) Do(ctx context.Context, req *http.Request, limit int64, opts ...Option) (*Response, error) {
	o := call{timeout: DefaultTimeout}
	for _, opt := range opts {
		opt(&o)
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	start := c.now()
	resp, err := c.do(ctx, req, limit, o)

	attrs := []slog.Attr{slog.String("method", method(req)), slog.String("host", host(req))}
	if o.route != "" {
		attrs = append(attrs, slog.String("route", o.route))
	}
	if resp != nil {
		attrs = append(attrs, slog.Int("status", resp.Status))
	}
	attrs = append(attrs, slog.Duration("duration", c.now().Sub(start)))
	if err != nil {
		attrs = append(attrs, slog.String("fault", string(err.Kind)))
		c.log.LogAttrs(ctx, slog.LevelDebug, "provider call", attrs...)
		return resp, err
	}
	c.log.LogAttrs(ctx, slog.LevelDebug, "provider call", attrs...)
	return resp, nil
}

func (c *Client) do(ctx context.Context, req *http.Request, limit int64, o call) (*Response, *Error) {
	kind, err := BadURL, c.CheckURL(req.URL)
	if err == nil {
		kind, err = BadRequest, checkHeader(req.Header)
	}
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, &Error{Kind: kind, Delivery: NotSent, Host: host(req), Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()

	repeatable := repeatable(req.Method)
	var gotConn, wroteHeaders atomic.Bool
	var held atomic.Pointer[gate] // where the request has a time to be sent by
	until, timed := sendBy(ctx)
	req = outgoing(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			gotConn.Store(true)
			if g := gateOf(info.Conn); g != nil && timed {
				g.until.Store(&until)
				held.Store(g)
			}
		},
		WroteHeaders: func() { wroteHeaders.Store(true) },
	}), req)
	transport := c.keep
	if !repeatable {
		transport = c.once
		req.GetBody = nil // net/http sends nothing again that it cannot rewind
	}

	resp, err := transport.RoundTrip(req)
	if err != nil {
		// HTTP/1.1 calls WroteHeaders before the end of the header can have
		// left its buffer, and RoundTrip does not return before the writing
		// has ended; HTTP/2 promises neither.
		sent := wroteHeaders.Load() || repeatable && gotConn.Load()
		if g := held.Load(); g != nil && g.late.Load() && !g.begun.Load() {
			sent = false // it stayed in that buffer
			// net/http may have heard of it from the reading side first.
			err = fmt.Errorf("%w: %w", errLate, err)
		}
		return nil, classify(ctx, req, err, gotConn.Load(), sent)
	}
	defer func() { _ = resp.Body.Close() }()
	out := &Response{Status: resp.StatusCode, Header: resp.Header}
	fail := func(kind Kind, d Delivery, err error) (*Response, *Error) {
		return out, &Error{Kind: kind, Delivery: d, Host: host(req), Status: resp.StatusCode, Err: err}
	}
	if isRedirect(resp.StatusCode) {
		return fail(Redirected, Answered, errRedirect)
	}
	if resp.ContentLength > limit && req.Method != http.MethodHead {
		return fail(TooLarge, Answered, errTooLarge)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if int64(len(body)) > limit {
		return fail(TooLarge, Answered, errTooLarge)
	}
	out.Body = body
	if err != nil {
		return fail(kindOnWire(ctx, err), Uncertain, onWire(err))
	}
	return out, nil
}

// checkHeader refuses what net/http would refuse later, so as to be able to
// tell it from a provider that is down: somebody may have pasted a line break.
func checkHeader(h http.Header) error {
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool {
			return !httpguts.ValidHeaderFieldValue(v)
		}) {
			return errors.New("a header has a character that none can carry")
		}
	}
	return nil
}

// outgoing is the request as it goes out. RoundTrip is called without an
// http.Client around it: what that would add, redirects and cookies, is what
// is not wanted here.
func outgoing(ctx context.Context, req *http.Request) *http.Request {
	out := req.WithContext(ctx)
	out.Header = req.Header.Clone()
	if out.Header == nil {
		out.Header = make(http.Header)
	}
	if out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", userAgent)
	}
	// Without the header a server may pick any coding (RFC 9110, 12.5.3).
	out.Header.Set("Accept-Encoding", "identity")
	return out
}

func repeatable(method string) bool {
	return slices.Contains([]string{"", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete}, method)
}

// isRedirect leaves out 304, which sends nobody anywhere.
func isRedirect(status int) bool {
	return status >= 300 && status < 400 && status != http.StatusNotModified
}

func method(req *http.Request) string {
	if req.Method == "" {
		return http.MethodGet
	}
	return req.Method
}

func host(req *http.Request) string {
	if req.URL == nil {
		return ""
	}
	return req.URL.Host
}
