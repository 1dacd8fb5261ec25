package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

// linkExpired links Ada's TimeLog account with an access token whose life is
// over when it returns, here and at the service. Nobody refreshes it unasked.
func linkExpired(w *world, endUser string) connection {
	w.t.Helper()
	v := newVisitor(w.t)
	v.deliver(w, v.toTimeLog(w.link(endUser, []string{"timelog"}, nil))).want(http.StatusOK, "TimeLog is linked")
	c := w.linked(endUser)
	w.sandbox.TimeLog().ExpireAccessTokens()
	if n := w.exec("UPDATE connections SET expires_at = 1, due_at = NULL"); n != 1 {
		w.t.Fatalf("%d connections have expired, want 1", n)
	}
	return c
}

// waitUntil waits for a moment by the clock, which is what ends a token.
func waitUntil(t *testing.T, at time.Time) {
	t.Helper()
	if left := time.Until(at); left > 11*time.Second {
		t.Fatalf("it would take %s", left)
	}
	select {
	case <-time.After(time.Until(at) + 10*time.Millisecond):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// TestOneRefreshForAll sends 50 backends at once after headers that have
// expired, to two processes on one database (and to the only one on SQLite).
// The one-time refresh token is spent once.
func TestOneRefreshForAll(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		hybridWorld(w)
		timeLog := w.sandbox.TimeLog()
		c := linkExpired(w, "crowd")
		exchanged := timeLog.TokenCalls()
		// Long enough for everybody to arrive while it is under way.
		timeLog.Faults().Always(sandbox.TimeLogRefresh, sandbox.Slow(500*time.Millisecond))

		for round, ask := range []func(b backend) (answer, error){
			func(b backend) (answer, error) {
				return b.try(http.MethodGet, "/v1/connections/"+c.ID+"/headers", nil, "application/json")
			},
			// The same crowd is told by the service that the headers do not work.
			func(b backend) (answer, error) {
				return b.try(http.MethodPost, "/v1/connections/"+c.ID+"/rejected", map[string]any{"generation": c.Generation}, "application/json")
			},
		} {
			c = w.api.connection(c.ID)
			if round > 0 { // seconds after a refresh nobody is believed
				waitUntil(t, c.RefreshedAt.Add(10*time.Second))
			}
			answers := crowd(w, 50, ask)
			first := ""
			for i, a := range answers {
				a.want(http.StatusOK)
				if round == 0 {
					h := a.headers()
					if first == "" {
						first = h.Headers["Authorization"]
						h.accepted("/api/v1/user", sandbox.AdaEmail)
					}
					if h.Headers["Authorization"] != first || h.Generation <= c.Generation {
						t.Errorf("answer %d is of generation %d, and the same as the first: %t", i, h.Generation, h.Headers["Authorization"] == first)
					}
				}
			}
			if got := timeLog.TokenCalls() - exchanged; got != round+1 {
				t.Errorf("%d calls to the token endpoint, want %d", got, round+1)
			}
			if got := timeLog.Reuses(); got != 0 {
				t.Errorf("%d spent tokens were presented", got)
			}
			w.api.headers(c.ID).accepted("/api/v1/user", sandbox.AdaEmail)
		}
		for _, f := range timeLog.Families() {
			if f.MaxInFlight != 1 || f.Revoked {
				t.Errorf("%d refreshes at once, revoked: %t", f.MaxInFlight, f.Revoked)
			}
		}
	})
}

// crowd asks n times at once, each process in turn.
func crowd(w *world, n int, ask func(b backend) (answer, error)) []answer {
	w.t.Helper()
	answers, errs := make([]answer, n), make([]error, n)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		b := w.at(w.brokers[i%len(w.brokers)])
		group.Go(func() {
			<-start
			answers[i], errs[i] = ask(b)
		})
	}
	close(start)
	group.Wait()
	for i, err := range errs {
		if err != nil {
			w.t.Fatalf("request %d: %v", i, err)
		}
	}
	return answers
}

// TestReplicasAgree changes something through one process and asks the other.
func TestReplicasAgree(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "postgres")
		w.integrateToggl()
		one, other := w.at(w.brokers[0]), w.at(w.brokers[1])
		for i := range 3 {
			id := importToggl(w, fmt.Sprintf("user-%d", i))
			one.headers(id).accepted("/api/v9/me", sandbox.GraceEmail)
			other.headers(id).accepted("/api/v9/me", sandbox.GraceEmail)
			one.post("/v1/connections/"+id+"/revoke", nil).want(http.StatusOK)
			other.get("/v1/connections/"+id+"/headers").problem(http.StatusGone, "revoked")
			one, other = other, one
		}
		key := makeKey(w, "short-lived", "connections:read")
		as := other
		as.key = key
		as.get("/v1/connections").want(http.StatusOK)
		for _, k := range keysOf(w) {
			if k.Name == "short-lived" {
				one.call(http.MethodDelete, "/v1/api-keys/"+k.ID, nil).want(http.StatusNoContent)
			}
		}
		as.get("/v1/connections").problem(http.StatusUnauthorized, "unauthenticated")
	})
}

type keyRow struct{ ID, Name string }

func keysOf(w *world) []keyRow {
	w.t.Helper()
	var list struct{ Data []keyRow }
	w.api.get("/v1/api-keys").want(http.StatusOK).into(&list)
	return list.Data
}
