package outbound_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/providers/outbound"
)

// held is a server that finishes no handshake before the gate is open, and
// counts requests.
type held struct {
	*httptest.Server
	gate     chan struct{}
	greeted  chan struct{} // one for each handshake that has begun
	requests atomic.Int32
}

func newHeld(t *testing.T) (*held, *outbound.Client) {
	t.Helper()
	h := &held{gate: make(chan struct{}), greeted: make(chan struct{}, 8)}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.requests.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	h.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	h.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		h.greeted <- struct{}{}
		<-h.gate
		return nil, nil
	}}
	h.StartTLS()
	t.Cleanup(h.Close)
	cfg := outbound.Config{Allow: allow("127.0.0.0/8"), RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AddCert(h.Certificate())
	c := outbound.New(cfg)
	t.Cleanup(c.Close)
	return h, c
}

// sink is a server of plain TCP for one connection.
type sink struct {
	url  string
	done chan struct{}
}

func newSink(t *testing.T, read func(net.Conn)) *sink {
	t.Helper()
	ln := listen(t)
	s := &sink{"http://" + ln.Addr().String(), make(chan struct{})}
	go func() {
		defer close(s.done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		read(conn)
	}()
	return s
}

// until has something when the time is over.
func until(at time.Time) <-chan time.Time { return time.After(time.Until(at) + time.Millisecond) }

func TestSendByHoldsBackWhatIsLate(t *testing.T) {
	t.Parallel()
	h, c := newHeld(t)
	by := time.Now().Add(200 * time.Millisecond)
	go func() {
		<-h.greeted
		<-until(by)
		close(h.gate)
	}()
	_, err := c.Do(outbound.WithSendBy(t.Context(), by), request(t, http.MethodPost, h.URL, "x=1"), 0)
	wantError(t, err, outbound.Late, outbound.NotSent)
	h.Close() // waits for requests under way
	if n := h.requests.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestSendByThatIsOver(t *testing.T) {
	t.Parallel()
	h, c := newHeld(t)
	close(h.gate)
	for _, by := range []time.Time{time.Now(), time.Now().Add(-time.Hour), {}} {
		_, err := c.Do(outbound.WithSendBy(t.Context(), by), request(t, http.MethodPost, h.URL, "x=1"), 0)
		wantError(t, err, outbound.Late, outbound.NotSent)
	}
	// By the wall clock alone, as a database tells it.
	_, err := c.Do(outbound.WithSendBy(t.Context(), time.Now().Round(0).UTC()), request(t, http.MethodPost, h.URL, "x=1"), 0)
	wantError(t, err, outbound.Late, outbound.NotSent)
	// In clear there is no handshake: the request is the first thing on the wire.
	var arrived atomic.Int64
	w := newSink(t, func(conn net.Conn) {
		n, _ := io.Copy(io.Discard, conn)
		arrived.Add(n)
	})
	_, err = c.Do(outbound.WithSendBy(t.Context(), time.Now()), request(t, http.MethodPost, w.url, "x=1"), 0)
	wantError(t, err, outbound.Late, outbound.NotSent)
	<-w.done
	if n := arrived.Load(); n != 0 {
		t.Errorf("%d bytes arrived in clear", n)
	}
	// What may be repeated harms nobody.
	if _, err := c.Do(outbound.WithSendBy(t.Context(), time.Now()), request(t, http.MethodGet, h.URL, ""), 0); err != nil {
		t.Error(err)
	}
	if n := h.requests.Load(); n != 1 {
		t.Errorf("%d requests arrived, want the GET", n)
	}
}

// Only the sending has to be in time; whoever answers may take longer.
func TestSendByDoesNotHurryTheAnswer(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3, 64 << 10} {
		by := time.Now().Add(time.Second)
		c, srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			<-until(by)
			_, _ = io.WriteString(w, strconv.FormatInt(n, 10))
		})
		resp, err := c.Do(outbound.WithSendBy(t.Context(), by), request(t, http.MethodPost, srv.URL, strings.Repeat("x", size)), 0)
		if err != nil || string(resp.Body) != strconv.Itoa(size) {
			t.Errorf("%d bytes: %+v, %v", size, resp, err)
		}
	}
}

// A body that gets stuck half-way: the rest is held back, and it is not known
// what the provider makes of the half.
func TestSendByInTheMiddle(t *testing.T) {
	t.Parallel()
	var whole atomic.Bool
	c, srv := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			whole.Store(true)
		}
	})
	by := time.Now().Add(300 * time.Millisecond)
	req := request(t, http.MethodPost, srv.URL, "")
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", 64<<10)), stuck{by}, strings.NewReader(strings.Repeat("y", 64<<10))))
	req.ContentLength = 128 << 10
	_, err := c.Do(outbound.WithSendBy(t.Context(), by), req, 0)
	wantError(t, err, outbound.Late, outbound.Uncertain)
	srv.Close()
	if whole.Load() {
		t.Error("all of the body arrived")
	}
}

type stuck struct{ by time.Time }

func (s stuck) Read([]byte) (int, error) {
	<-until(s.by)
	return 0, io.EOF
}

// A hang after the request is a lost answer and no late request, however late
// the goodbye.
func TestSendByAndAnAnswerThatNeverComes(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	c, srv := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-gone
	})
	defer close(gone)
	ctx := outbound.WithSendBy(t.Context(), time.Now().Add(400*time.Millisecond))
	_, err := c.Do(ctx, request(t, http.MethodPost, srv.URL, "x=1"), 0, outbound.Timeout(600*time.Millisecond))
	wantError(t, err, outbound.TimedOut, outbound.Uncertain)
}

func TestSendByWhenDiallingTakesLong(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	by := time.Now().Add(200 * time.Millisecond)
	c, srv := serve(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) }, func(cfg *outbound.Config) {
		cfg.Resolver = resolver(t, func(string) string {
			<-until(by)
			return "127.0.0.1"
		})
	})
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	url := "https://example.com:" + port // as the server's certificate says
	_, err := c.Do(outbound.WithSendBy(t.Context(), by), request(t, http.MethodPost, url, "x=1"), 0)
	wantError(t, err, outbound.Late, outbound.NotSent)
	if _, err := c.Do(t.Context(), request(t, http.MethodPost, url, "x=1"), 0); err != nil {
		t.Errorf("without a time to be sent by: %v", err)
	}
	srv.Close()
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests arrived, want the second", n)
	}
}
