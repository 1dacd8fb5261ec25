package httpd_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/httpd"
)

// start serves h until stop is called, which gives what Serve returned.
func start(t *testing.T, h http.HandlerFunc, drain time.Duration) (url string, cancel func(), result <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	srv := httpd.NewServer(h, slog.New(slog.DiscardHandler))
	go func() { done <- httpd.Serve(ctx, srv, ln, drain) }()
	return "http://" + ln.Addr().String(), cancel, done
}

func TestServeDrains(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	url, stop, result := start(t, func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "whole")
	}, time.Minute)

	answer := make(chan string, 1)
	go func() {
		res, err := new(http.Client).Get(url)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	<-entered
	stop()
	for { // until nobody is let in any more
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			break
		}
		_ = c.Close()
	}
	select {
	case err := <-result:
		t.Fatalf("stopped with a request under way: %v", err)
	default:
	}
	close(release)
	if got := <-answer; got != "whole" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-result; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := new(http.Client).Get(url); err == nil {
		t.Error("still serving")
	}
}

func TestServeCutsOffWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	url, stop, result := start(t, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done() // ends when the connection is closed
	}, 10*time.Millisecond)
	go func() {
		if res, err := new(http.Client).Get(url); err == nil {
			res.Body.Close()
		}
	}()
	<-entered
	stop()
	if err := <-result; err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	srv := httpd.NewServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if err := httpd.Serve(t.Context(), srv, ln, time.Second); err == nil || !strings.Contains(err.Error(), "serving on 127.0.0.1") {
		t.Errorf("Serve: %v", err)
	}
}

func TestServerHasDeadlines(t *testing.T) {
	t.Parallel()
	srv := httpd.NewServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	const longestWait = 30 * time.Second // ?wait=30 of a connect session
	if srv.ReadHeaderTimeout <= 0 || srv.IdleTimeout <= 0 || srv.MaxHeaderBytes <= 0 ||
		srv.ReadTimeout <= 0 || srv.WriteTimeout <= longestWait {
		t.Errorf("%+v", srv)
	}
}
