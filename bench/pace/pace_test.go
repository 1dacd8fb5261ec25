package pace_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/claviger/bench/pace"
)

// ask is an asker made of a function.
type ask func(n int64) (bool, error)

func (a ask) Ask(_ context.Context, n int64) (bool, error) { return a(n) }
func (ask) Close() error                                   { return nil }

func plan(workers, rate int, length time.Duration, a ask) pace.Plan {
	return pace.Plan{Workers: workers, Rate: rate, Length: length, Dial: func() (pace.Asker, error) { return a, nil }}
}

// A server that stalls is seen by every request that was due meanwhile, also by
// those that it kept from being sent.
func TestStallsAreNotOmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, err := pace.Run(t.Context(), plan(1, 100, time.Second, func(n int64) (bool, error) {
			if n == 50 {
				<-time.After(300 * time.Millisecond)
			}
			return true, nil
		}))
		if err != nil || r.Times.TotalCount() != 100 || r.Failed != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		// 300 ms, 290 ms, … 10 ms: 30 of 100 requests waited.
		if p75, p100 := r.Quantile(75), r.Quantile(100); p75 < 40 || p75 > 60 || p100 < 295 || p100 > 305 {
			t.Errorf("p75 %v ms, p100 %v ms", p75, p100)
		}
		if p50 := r.Quantile(50); p50 > 1 {
			t.Errorf("p50 %v ms", p50)
		}
	})
}

func TestClosedLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, err := pace.Run(t.Context(), plan(4, 0, time.Second, func(n int64) (bool, error) {
			<-time.After(10 * time.Millisecond)
			return n%2 == 0, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		if n := r.Times.TotalCount(); n != 400 || r.Failed != 200 || r.PerSecond() != 400 {
			t.Errorf("%d requests, %d failed, %v a second", n, r.Failed, r.PerSecond())
		}
	})
}

func TestErrorsEndARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		_, err := pace.Run(t.Context(), plan(1, 100, time.Hour, func(n int64) (bool, error) {
			if n == 3 {
				return false, broken
			}
			return true, nil
		}))
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		if _, err := pace.Run(ctx, plan(2, 1, time.Hour, func(int64) (bool, error) { return true, nil })); err != nil || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestWire(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/chunks":
			w.(http.Flusher).Flush()
		case "/no":
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, "an answer")
	}))
	t.Cleanup(server.Close)
	dial := func(path string) pace.Asker {
		a, err := pace.Dial(t.Context(), server.Listener.Addr().String(), func(int64) []byte {
			return []byte("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Close() })
		return a
	}
	for path, want := range map[string]bool{"/": true, "/no": false} {
		a := dial(path)
		for n := range int64(3) {
			if ok, err := a.Ask(t.Context(), n); ok != want || err != nil {
				t.Errorf("%s: %t, %v", path, ok, err)
			}
		}
	}
	if n := asked.Load(); n != 6 {
		t.Errorf("%d requests arrived", n)
	}
	if _, err := dial("/chunks").Ask(t.Context(), 0); err == nil {
		t.Error("an answer of unknown length was taken")
	}
	if _, err := pace.Dial(t.Context(), net.JoinHostPort("127.0.0.1", "1"), nil); err == nil {
		t.Error("connected to nobody")
	}
}
