package outbound_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/claviger/claviger/internal/providers/outbound"
)

// wire is a server of plain TCP that counts requests and connections, and
// leaves what happens then to its script: it gets the connection and how many
// requests came before, and reports whether to read another one.
type wire struct {
	url             string
	requests, conns atomic.Int32
}

func newWire(t *testing.T, script func(net.Conn, int) bool) *wire {
	t.Helper()
	ln := listen(t)
	w := &wire{url: "http://" + ln.Addr().String()}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			w.conns.Add(1)
			go func() {
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					if !script(conn, int(w.requests.Add(1))-1) {
						return
					}
				}
			}()
		}
	}()
	return w
}

func say(conn net.Conn, s string) { _, _ = io.WriteString(conn, s) }

func loopback(t *testing.T) *outbound.Client {
	t.Helper()
	c := outbound.New(outbound.Config{Allow: allow("127.0.0.0/8")})
	t.Cleanup(c.Close)
	return c
}

func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func TestDoSaysUncertainWhenTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		does func(net.Conn)
		body string // that arrives beside the error
	}{
		{"reset", reset, ""},
		{"closed", func(net.Conn) {}, ""},
		{"cut in the status line", func(c net.Conn) { say(c, "HTTP/1.1 2") }, ""},
		{"cut in the header", func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nContent-") }, ""},
		{"cut in the body", func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin") }, "begin"},
		{"cut in a chunk", func(c net.Conn) {
			say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n5\r\nxx")
		}, "beginxx"},
		{"bad chunk", func(c net.Conn) {
			say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n"+secret+"\r\n")
		}, "begin"},
		{"not HTTP", func(c net.Conn) { say(c, secret+"\r\n\r\n") }, ""},
		{"bad header", func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\n"+secret+"\r\n\r\n") }, ""},
		{"header of 1 MiB", func(c net.Conn) {
			say(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat(secret, 1<<20/len(secret))+"\r\n\r\n")
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, func(c net.Conn, _ int) bool { tt.does(c); return false })
			resp, err := loopback(t).Do(t.Context(), request(t, http.MethodPost, w.url, "x=1"), 0)
			wantError(t, err, outbound.Broken, outbound.Uncertain)
			body := ""
			if resp != nil {
				body = string(resp.Body)
			}
			if body != tt.body {
				t.Errorf("%q arrived, want %q", body, tt.body)
			}
			if n := w.requests.Load(); n != 1 {
				t.Errorf("%d requests on the wire, want 1", n)
			}
		})
	}
}

func TestDoGivesUpOnSlowAnswers(t *testing.T) {
	t.Parallel()
	const wait = 500 * time.Millisecond // long enough to connect, however busy the machine
	tests := []struct {
		name, method, says, body string
		byContext                bool
	}{
		{"no answer", http.MethodPost, "", "", false},
		{"no answer, by the context's deadline", http.MethodPost, "", "", true},
		{"no answer, on a kept connection", http.MethodGet, "", "", false},
		{"half a header", http.MethodPost, "HTTP/1.1 200 OK\r\n", "", false},
		{"half a body", http.MethodPost, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin", "begin", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, func(c net.Conn, _ int) bool { say(c, tt.says); return true })
			ctx, opts := t.Context(), []outbound.Option{outbound.Timeout(wait)}
			if tt.byContext {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, wait)
				defer cancel()
				opts = nil
			}
			resp, err := loopback(t).Do(ctx, request(t, tt.method, w.url, ""), 0, opts...)
			wantError(t, err, outbound.TimedOut, outbound.Uncertain)
			body := ""
			if resp != nil {
				body = string(resp.Body)
			}
			if body != tt.body {
				t.Errorf("%q arrived, want %q", body, tt.body)
			}
			if n := w.requests.Load(); n != 1 {
				t.Errorf("%d requests on the wire, want 1", n)
			}
		})
	}
}

// A kept connection that dies under a request is where net/http sends again.
func TestDoSendsAPostOnce(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, body := range []string{"x=1", ""} {
		for name, die := range map[string]func(net.Conn){"close": func(net.Conn) {}, "reset": reset} {
			w := newWire(t, func(c net.Conn, n int) bool {
				if n == 0 {
					say(c, ok)
					return true
				}
				die(c)
				return false
			})
			c := loopback(t)
			// The first request warms whatever pool there is.
			if _, err := c.Do(t.Context(), request(t, http.MethodGet, w.url, ""), 0); err != nil {
				t.Fatal(err)
			}
			req := request(t, http.MethodPost, w.url, body)
			req.Header.Set("Idempotency-Key", "1") // to net/http an invitation
			_, err := c.Do(t.Context(), req, 0)
			wantError(t, err, outbound.Broken, outbound.Uncertain)
			if n := w.requests.Load(); n != 2 {
				t.Errorf("%s, body %q: %d requests on the wire, want the first and one POST", name, body, n)
			}
		}
	}
}

// The other half of it: no POST is lost because a kept connection was stale.
func TestDoMakesAConnectionForEachPost(t *testing.T) {
	t.Parallel()
	w := newWire(t, func(c net.Conn, _ int) bool {
		say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		return true
	})
	c := loopback(t)
	for range 3 {
		if _, err := c.Do(t.Context(), request(t, http.MethodPost, w.url, "x=1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.conns.Load(); n != 3 {
		t.Errorf("%d connections for 3 POSTs", n)
	}
	for range 3 {
		if _, err := c.Do(t.Context(), request(t, http.MethodGet, w.url, ""), 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.conns.Load(); n != 4 {
		t.Errorf("%d connections for 3 GETs, want 1", n-3)
	}
}

func TestDoJudgesAddressesWhenDialling(t *testing.T) {
	t.Parallel()
	w := newWire(t, func(c net.Conn, _ int) bool { return false })
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(w.url, "http://"))

	c := outbound.New(outbound.Config{Resolver: resolver(t, func(string) string { return "127.0.0.1" })})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		_, err := c.Do(t.Context(), request(t, method, "https://api.example.com:"+port, ""), 0)
		wantError(t, err, outbound.Forbidden, outbound.NotSent)
		if !errors.Is(err, outbound.ErrForbiddenAddress) {
			t.Errorf("error %v, want ErrForbiddenAddress", err)
		}
	}
	if n := w.conns.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

func TestDoIsNotFooledByANameThatMoves(t *testing.T) {
	t.Parallel()
	var moved atomic.Bool
	c, srv := serve(t, func(http.ResponseWriter, *http.Request) {}, func(cfg *outbound.Config) {
		cfg.Allow = allow("127.0.0.1/32")
		cfg.Resolver = resolver(t, func(string) string {
			if moved.Load() {
				return "127.0.0.2"
			}
			return "127.0.0.1"
		})
	})
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	url := "https://example.com:" + port // as the server's certificate says
	if _, err := c.Do(t.Context(), request(t, http.MethodPost, url, "x=1"), 0); err != nil {
		t.Fatal(err)
	}
	moved.Store(true)
	_, err := c.Do(t.Context(), request(t, http.MethodPost, url, "x=1"), 0)
	wantError(t, err, outbound.Forbidden, outbound.NotSent)
}

// resolver asks a DNS server of its own, which knows A records only. A name
// that is looked up as "" does not exist.
func resolver(t *testing.T, lookup func(name string) string) *net.Resolver {
	t.Helper()
	pc, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			q := m.Questions[0]
			switch ip := net.ParseIP(lookup(q.Name.String())).To4(); {
			case ip == nil:
				m.RCode = dnsmessage.RCodeNameError
			case q.Type == dnsmessage.TypeA:
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: [4]byte(ip)},
				}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	}()
	var d net.Dialer
	port := strconv.Itoa(pc.LocalAddr().(*net.UDPAddr).Port)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "udp", "127.0.0.1:"+port)
	}}
}
