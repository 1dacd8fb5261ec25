package outbound_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/providers/outbound"
)

const secret = "s3cr3t-value" // in every place where none may get out

// serve starts an https server on loopback and a client that may call it.
func serve(t *testing.T, h http.HandlerFunc, change ...func(*outbound.Config)) (*outbound.Client, *httptest.Server) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	cfg := outbound.Config{Allow: allow("127.0.0.0/8"), RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AddCert(srv.Certificate())
	for _, f := range change {
		f(&cfg)
	}
	c := outbound.New(cfg)
	t.Cleanup(c.Close)
	return c, srv
}

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url+"/"+secret+"?token="+secret, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	return req
}

// wantError checks an error's kind and delivery, and that it tells nothing.
func wantError(t *testing.T, err error, kind outbound.Kind, delivery outbound.Delivery) {
	t.Helper()
	e, ok := errors.AsType[*outbound.Error](err)
	if !ok {
		t.Fatalf("error %v, want an *outbound.Error", err)
	}
	if e.Kind != kind || e.Delivery != delivery || outbound.DeliveryOf(err) != delivery {
		t.Errorf("error is %s, %s (%v); want %s, %s", e.Kind, e.Delivery, err, kind, delivery)
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("error tells a secret: %v", err)
	}
}

func TestDoReadsAnAnswerWhole(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		c, srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Seen", strings.Join([]string{
				r.Method, r.Header.Get("User-Agent"), r.Header.Get("Accept-Encoding"), r.Header.Get("Authorization"),
			}, "|"))
			w.Header().Set("Set-Cookie", "a=b; Path=/")
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "echo "+string(body)+r.Header.Get("Cookie"))
		})
		sent := ""
		if method == http.MethodPost {
			sent = "x=1"
		}
		for range 2 { // the second call would bring the cookie back
			req := request(t, method, srv.URL, sent)
			resp, err := c.Do(t.Context(), req, 0)
			if err != nil {
				t.Fatal(err)
			}
			if resp.Status != http.StatusTeapot || string(resp.Body) != "echo "+sent {
				t.Errorf("%s: got %d %q", method, resp.Status, resp.Body)
			}
			if got, want := resp.Header.Get("X-Seen"), method+"|claviger|identity|Bearer "+secret; got != want {
				t.Errorf("%s: the server saw %q, want %q", method, got, want)
			}
			if len(req.Header) != 1 {
				t.Errorf("%s: the caller's header became %v", method, req.Header)
			}
		}
	}
}

func TestDoFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	var followed atomic.Int32
	c, srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed.Add(1)
			return
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(int(r.ContentLength)) // the body's length is the status to answer
	})
	for _, status := range []int{300, 301, 302, 303, 305, 307, 308} {
		resp, err := c.Do(t.Context(), request(t, http.MethodPost, srv.URL, strings.Repeat("x", status)), 0)
		wantError(t, err, outbound.Redirected, outbound.Answered)
		if e, _ := errors.AsType[*outbound.Error](err); e.Status != status {
			t.Errorf("status in the error is %d, want %d", e.Status, status)
		}
		if resp == nil || resp.Status != status || resp.Header.Get("Location") != "/elsewhere" {
			t.Errorf("%d: response %+v, want status and header beside the error", status, resp)
		}
	}
	resp, err := c.Do(t.Context(), request(t, http.MethodPost, srv.URL, strings.Repeat("x", 304)), 0)
	if err != nil || resp.Status != http.StatusNotModified {
		t.Errorf("304: %v, %v; want it as an answer", resp, err)
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

func TestDoLimitsTheBody(t *testing.T) {
	t.Parallel()
	const limit = 1000
	for name, declared := range map[string]bool{"with a Content-Length": true, "without": false} {
		c, srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if !declared {
				_ = http.NewResponseController(w).Flush()
			}
			_, _ = w.Write(bytes.Repeat([]byte("x"), int(r.ContentLength)))
		})
		resp, err := c.Do(t.Context(), request(t, http.MethodPost, srv.URL, strings.Repeat("x", limit)), limit)
		if err != nil || len(resp.Body) != limit {
			t.Errorf("%s: %d bytes, %v; want all that the limit allows", name, limit, err)
		}
		resp, err = c.Do(t.Context(), request(t, http.MethodPost, srv.URL, strings.Repeat("x", limit+1)), limit)
		wantError(t, err, outbound.TooLarge, outbound.Answered)
		if resp == nil || resp.Status != http.StatusOK || resp.Body != nil {
			t.Errorf("%s: response %+v, want the status and no body", name, resp)
		}
	}
}

func TestDoExpandsNothing(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	zw := gzip.NewWriter(&bomb)
	_, _ = zw.Write(make([]byte, 2*outbound.DefaultLimit))
	_ = zw.Close()
	c, srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})
	resp, err := c.Do(t.Context(), request(t, http.MethodGet, srv.URL, ""), 0)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(resp.Body, bomb.Bytes()) {
		t.Errorf("got %d bytes, want the %d that were sent", len(resp.Body), bomb.Len())
	}
}

func TestDoObeysItsCaller(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	c, srv := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := c.Do(ctx, request(t, http.MethodPost, srv.URL, "x"), 0)
	wantError(t, err, outbound.Canceled, outbound.Uncertain)

	_, err = c.Do(ctx, request(t, http.MethodPost, srv.URL, "x"), 0)
	wantError(t, err, outbound.Canceled, outbound.NotSent)
}

func TestDoRefusesBeforeSending(t *testing.T) {
	t.Parallel()
	c, srv := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the request arrived") })
	_, err := c.Do(t.Context(), request(t, http.MethodPost, "http://api.example.com", "x"), 0)
	wantError(t, err, outbound.BadURL, outbound.NotSent)

	req := request(t, http.MethodPost, srv.URL, "x")
	req.Header.Set("Authorization", "Bearer "+secret+"\r\nX-Other: 1")
	_, err = c.Do(t.Context(), req, 0)
	wantError(t, err, outbound.BadRequest, outbound.NotSent)
}

func TestDoTrustsOnlyWhatVerifies(t *testing.T) {
	t.Parallel()
	c, srv := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the request arrived") },
		func(cfg *outbound.Config) { cfg.RootCAs = x509.NewCertPool() })
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		_, err := c.Do(t.Context(), request(t, method, srv.URL, ""), 0)
		wantError(t, err, outbound.Untrusted, outbound.NotSent)
	}
}

func TestDoWantsTLS12(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the request arrived") }))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	srv.StartTLS()
	defer srv.Close()
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	c := outbound.New(outbound.Config{Allow: allow("127.0.0.0/8"), RootCAs: pool})
	_, err := c.Do(t.Context(), request(t, http.MethodPost, srv.URL, "x"), 0)
	wantError(t, err, outbound.Unreachable, outbound.NotSent)
}

func TestDoKnowsWhenNothingWasSent(t *testing.T) {
	t.Parallel()
	ln := listen(t)
	closed := "https://" + ln.Addr().String()
	_ = ln.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the request arrived") }))
	defer plain.Close()
	c := outbound.New(outbound.Config{
		Allow:    allow("127.0.0.0/8"),
		Resolver: resolver(t, func(string) string { return "" }),
	})
	for name, url := range map[string]string{
		"nobody listens": closed,
		"no TLS there":   strings.Replace(plain.URL, "http", "https", 1),
		"no such name":   "https://nothing.example.com",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			resp, err := c.Do(t.Context(), request(t, method, url, ""), 0)
			wantError(t, err, outbound.Unreachable, outbound.NotSent)
			if resp != nil {
				t.Errorf("%s: a response out of nowhere: %+v", name, resp)
			}
		}
	}
}

func TestDoLogsNoMoreThanItShould(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	clock := time.Unix(0, 0)
	c, srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusFound)
		}
		w.Header().Set("X-Token", secret)
		_, _ = io.WriteString(w, secret)
	}, func(cfg *outbound.Config) {
		cfg.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		cfg.Now = func() time.Time { clock = clock.Add(time.Second); return clock }
	})
	record := func() map[string]any {
		t.Helper()
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log tells a secret: %s", log.String())
		}
		var m map[string]any
		if err := json.Unmarshal(log.Bytes(), &m); err != nil {
			t.Fatalf("want one record, got %q", log.String())
		}
		log.Reset()
		delete(m, "time")
		return m
	}
	host := strings.TrimPrefix(srv.URL, "https://")

	_, _ = c.Do(t.Context(), request(t, http.MethodGet, srv.URL, ""), 0, outbound.Route("verify"))
	want := map[string]any{
		"level": "DEBUG", "msg": "provider call", "method": "GET", "host": host, "route": "verify",
		"status": 200.0, "duration": float64(time.Second),
	}
	if d := cmp.Diff(want, record()); d != "" {
		t.Errorf("record of an answer (-want +got):\n%s", d)
	}
	_, _ = c.Do(t.Context(), request(t, http.MethodPut, srv.URL, ""), 0)
	want = map[string]any{
		"level": "DEBUG", "msg": "provider call", "method": "PUT", "host": host,
		"status": 302.0, "duration": float64(time.Second), "fault": "redirected",
	}
	if d := cmp.Diff(want, record()); d != "" {
		t.Errorf("record of a fault (-want +got):\n%s", d)
	}
}

func TestDoUsesNoProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("HTTP_PROXY", proxy.URL)
	c, srv := serve(t, func(http.ResponseWriter, *http.Request) {}, func(cfg *outbound.Config) {
		cfg.Resolver = resolver(t, func(string) string { return "127.0.0.1" })
	})
	// By name: net/http never uses a proxy for loopback literals.
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	if _, err := c.Do(t.Context(), request(t, http.MethodGet, "https://example.com:"+port, ""), 0); err != nil {
		t.Error(err)
	}
}

func TestDoServesManyAtOnce(t *testing.T) {
	t.Parallel()
	c, srv := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			body := strings.Repeat("x", i)
			method := []string{http.MethodPost, http.MethodPut}[i%2]
			resp, err := c.Do(t.Context(), request(t, method, srv.URL, body), 0)
			if err != nil || string(resp.Body) != body {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func TestDeliveryOfSomethingElseIsUncertain(t *testing.T) {
	t.Parallel()
	if d := outbound.DeliveryOf(io.EOF); d != outbound.Uncertain {
		t.Errorf("DeliveryOf(io.EOF) = %s", d)
	}
	if d := outbound.DeliveryOf(nil); d != outbound.Answered {
		t.Errorf("DeliveryOf(nil) = %s", d)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// A client without sockets of the system reaches no more than one with them.
func TestDialIsJudgedLikeASocket(t *testing.T) {
	t.Parallel()
	var dialled []string
	client := outbound.New(outbound.Config{
		Allow: allow("127.0.0.1/32"),
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				if _, err := http.ReadRequest(bufio.NewReader(far)); err == nil {
					_, _ = io.WriteString(far, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
				}
			}()
			return near, nil
		},
	})
	t.Cleanup(client.Close)
	call := func(url string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Do(t.Context(), req, 0)
		return err
	}
	if err := call("http://127.0.0.1:7/"); err != nil {
		t.Errorf("an address that is allowed: %v", err)
	}
	for _, url := range []string{"https://10.0.0.1/", "https://127.0.0.2/", "https://provider.example/"} {
		if err := call(url); err == nil {
			t.Errorf("%s was called", url)
		}
	}
	if want := []string{"127.0.0.1:7"}; !cmp.Equal(dialled, want) {
		t.Errorf("dialled %v, want %v", dialled, want)
	}
}
