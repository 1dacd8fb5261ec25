package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

// TestThousandReaders sends a thousand backends at once after headers that
// have expired: the service is called once, and all of them are answered. How
// long that took beyond the service's own time is printed.
func TestThousandReaders(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		const readers, latency = 1000, 500 * time.Millisecond
		hybridWorld(w)
		timeLog := w.sandbox.TimeLog()
		c := linkExpired(w, "crowd")
		calls := timeLog.TokenCalls()
		timeLog.Faults().Always(sandbox.TimeLogRefresh, sandbox.Slow(latency))
		began := time.Now()
		answers := crowd(w, readers, func(b backend) (answer, error) {
			return b.try(http.MethodGet, "/v1/connections/"+c.ID+"/headers", nil, "application/json")
		})
		took := time.Since(began)
		for _, a := range answers {
			a.want(http.StatusOK)
		}
		if got := timeLog.TokenCalls() - calls; got != 1 {
			t.Errorf("%d calls to the token endpoint", got)
		}
		t.Logf("%d readers of one expired connection: all answered in %v, %v more than the service took (race detector: %t)",
			readers, took.Round(time.Millisecond), (took - latency).Round(time.Millisecond), raceEnabled)
	})
}

// TestHolderOfTheLeaseIsKilled asks for fresher headers right after the process
// that was fetching them has died. While the old ones work they are served at
// once; when they do not, the lease has to end first, and that is all there is
// to wait for.
func TestHolderOfTheLeaseIsKilled(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		c := crashWorld(w)
		before := w.api.headers(c.ID)
		left := killInRefresh(w, c, sandbox.Hang(nil))
		began := time.Now()
		h := left.get("/v1/connections/" + c.ID + "/headers?min_ttl=86400").want(http.StatusOK).headers()
		took := time.Since(began)
		if h.Headers["Authorization"] != before.Headers["Authorization"] || took > 20*time.Second {
			t.Errorf("after %v it has other headers than those that work", took)
		}
		t.Logf("the holder of the lease was killed: what works was served in %v", took.Round(time.Millisecond))

		w.sandbox.TimeLog().ExpireAccessTokens()
		began = time.Now()
		left.post("/v1/connections/"+c.ID+"/rejected", map[string]any{"generation": c.Generation}).want(http.StatusOK)
		left.headers(c.ID).accepted("/api/v1/user", sandbox.AdaEmail)
		t.Logf("without any that work, in %v", time.Since(began).Round(time.Millisecond))
		if got := w.sandbox.TimeLog().Reuses(); got != 0 {
			t.Errorf("%d spent tokens came back", got)
		}
	})
}
