package e2e

import (
	"context"
	"database/sql"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // both databases, looked at from outside
	_ "modernc.org/sqlite"

	"github.com/claviger/claviger/internal/sandbox"
)

// crashWorld is a world with a linked TimeLog account and one process, which a
// story may kill.
func crashWorld(w *world) connection {
	w.t.Helper()
	hybridWorld(w)
	v := newVisitor(w.t)
	v.deliver(w, v.toTimeLog(w.link("survivor", []string{"timelog"}, nil))).want(http.StatusOK, "TimeLog is linked")
	return w.linked("survivor")
}

// killInRefresh has a process refresh, kills it while the service does what
// fault says, and answers the process that takes over: the other one of the
// two on PostgreSQL, one that is started anew on SQLite.
func killInRefresh(w *world, c connection, fault sandbox.Fault) backend {
	w.t.Helper()
	timeLog := w.sandbox.TimeLog()
	doomed := w.brokers[0]
	timeLog.Faults().Next(sandbox.TimeLogRefresh, 1, fault)
	calls := timeLog.RefreshCalls()
	gone := make(chan error, 1)
	go func() {
		_, err := w.at(doomed).try(http.MethodPost, "/v1/connections/"+c.ID+"/refresh", nil, "application/json")
		gone <- err
	}()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	if err := timeLog.WaitRefresh(ctx, calls+1); err != nil {
		w.t.Fatalf("waiting for the refresh: %v", err)
	}
	doomed.kill()
	if err := <-gone; err == nil {
		w.t.Fatal("the refresh was answered before the process was killed")
	}
	if err := timeLog.WaitIdle(ctx); err != nil {
		w.t.Fatalf("waiting for the service: %v", err)
	}
	if w.kind == "sqlite" {
		return w.at(w.start())
	}
	return w.at(w.brokers[1])
}

// endLeases ends the leases of dead processes now and not when their time is
// over. Nothing else is changed.
func endLeases(w *world) {
	w.t.Helper()
	if n := w.exec("UPDATE connections SET lease_until = 1 WHERE lease_until IS NOT NULL"); n != 1 { // microseconds
		w.t.Fatalf("%d leases were held, want 1", n)
	}
}

// exec changes something in the database behind the broker's back, and answers
// how many rows that was.
func (w *world) exec(statement string) int64 {
	w.t.Helper()
	db := w.open()
	defer func() { _ = db.Close() }()
	res, err := db.ExecContext(w.t.Context(), statement)
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// rows is what a query for one text finds in the database.
func (w *world) rows(query string) []string {
	w.t.Helper()
	db := w.open()
	defer func() { _ = db.Close() }()
	found, err := db.QueryContext(w.t.Context(), query)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	var all []string
	for found.Next() {
		var text string
		if err := found.Scan(&text); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, text)
	}
	if err := found.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// open opens the database beside the broker.
func (w *world) open() *sql.DB {
	w.t.Helper()
	driver, source := "pgx", w.database
	if w.kind == "sqlite" {
		driver, source = "sqlite", "file:"+filepath.Join(w.dataDir, "claviger.db")+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		w.t.Fatal(err)
	}
	return db
}

// TestKilledInRefresh kills a process with SIGKILL in the middle of a refresh.
// What was valid is served at once by whoever is left, for as long as it works.
// Only then is the token tried once more, and never again: if the service
// had spent it and takes a reuse for theft, the end user has to link again and
// is told why.
func TestKilledInRefresh(t *testing.T) {
	t.Parallel()
	for _, story := range []struct {
		name    string
		fault   sandbox.Fault
		service func(*sandbox.TimeLogSettings)
		status  string // of the connection in the end
		reason  string
		reuses  int // spent tokens that come to the service
	}{
		{
			name: "before the service did anything", fault: sandbox.Hang(nil),
			status: "active",
		},
		{
			name: "after it has spent the token", fault: sandbox.Withhold(nil),
			status: "reconnect_required", reason: "refresh_outcome_lost", reuses: 1,
		},
		{
			name: "after it has spent the token, with a time of grace", fault: sandbox.Withhold(nil),
			service: func(s *sandbox.TimeLogSettings) { s.ReuseGrace = time.Hour },
			status:  "active", reuses: 1,
		},
	} {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, w *world) {
				c := crashWorld(w)
				timeLog := w.sandbox.TimeLog()
				if story.service != nil {
					timeLog.Set(story.service)
				}
				before := w.api.headers(c.ID)
				left := killInRefresh(w, c, story.fault)
				calls := timeLog.RefreshCalls()

				// The lease is still the dead process's, and nobody waits for it.
				h := left.headers(c.ID)
				if h.Headers["Authorization"] != before.Headers["Authorization"] || timeLog.RefreshCalls() != calls {
					t.Errorf("not the headers of before, or the service was called %d times", timeLog.RefreshCalls()-calls)
				}
				h.accepted("/api/v1/user", sandbox.AdaEmail)

				// Nor is a token risked that may have been spent, while what came
				// with it still works: a reuse could end that too.
				endLeases(w)
				left.post("/v1/connections/"+c.ID+"/refresh", nil).problem(http.StatusServiceUnavailable, "provider_unavailable")
				left.headers(c.ID).accepted("/api/v1/user", sandbox.AdaEmail)
				if got := timeLog.RefreshCalls() - calls; got != 0 {
					t.Errorf("the service was called %d times", got)
				}

				timeLog.ExpireAccessTokens()
				left.post("/v1/connections/"+c.ID+"/rejected", map[string]any{"generation": c.Generation})
				a := left.get("/v1/connections/" + c.ID + "/headers")
				now := left.connection(c.ID)
				if now.Status != story.status || now.StatusReason != story.reason {
					t.Errorf("the connection is %s (%s), want %s (%s)", now.Status, now.StatusReason, story.status, story.reason)
				}
				if got := timeLog.RefreshCalls() - calls; got != 1 {
					t.Errorf("the service was called %d times, want 1", got)
				}
				if story.status == "active" {
					h := a.headers()
					if h.Headers["Authorization"] == before.Headers["Authorization"] {
						t.Error("the headers are those of before")
					}
					h.accepted("/api/v1/user", sandbox.AdaEmail)
					left.post("/v1/connections/"+c.ID+"/refresh", nil).want(http.StatusOK) // the chain goes on
				} else {
					a.problem(http.StatusConflict, "reconnect_required")
					for range 3 {
						left.get("/v1/connections/"+c.ID+"/headers").problem(http.StatusConflict, "reconnect_required")
						left.post("/v1/connections/"+c.ID+"/refresh", nil).problem(http.StatusConflict, "reconnect_required")
					}
				}
				if got := timeLog.Reuses(); got != story.reuses {
					t.Errorf("%d spent tokens came back, want %d", got, story.reuses)
				}
				for _, f := range timeLog.Families() {
					if f.MaxInFlight > 1 {
						t.Errorf("%d refreshes were under way at once", f.MaxInFlight)
					}
				}
				w.run("audit", "verify") // the dead process's chain is whole, if without an end
			})
		})
	}
}

// TestReconnectAfterLoss is the person who links again after a connection was
// lost: it is mended in place.
func TestReconnectAfterLoss(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		c := crashWorld(w)
		w.sandbox.TimeLog().RevokeFamilies() // the person withdraws the permission there
		w.api.post("/v1/connections/"+c.ID+"/rejected", map[string]any{"generation": c.Generation}).problem(http.StatusConflict, "reconnect_required")

		l := w.link("survivor", nil, map[string]any{"connection_id": c.ID})
		v := newVisitor(t)
		other := w.sandbox.TimeLog().Settings()
		w.sandbox.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.AutoApprove = sandbox.GraceEmail })
		page := v.deliver(w, v.toTimeLog(l)).want(http.StatusConflict, "TimeLog was not linked")
		if got := w.api.connection(c.ID); got.Status != "reconnect_required" || got.Generation != c.Generation {
			t.Errorf("somebody else's account made it %+v", got)
		}
		w.sandbox.TimeLog().Set(func(s *sandbox.TimeLogSettings) { *s = other })
		form := v.submit(v.link(page, "Try again"), nil).want(http.StatusOK, "Going back").form()
		v.deliver(w, reply{form.action, form.values}).want(http.StatusOK, "TimeLog is linked")

		got := w.linked("survivor")
		if got.ID != c.ID || got.Generation <= c.Generation {
			t.Errorf("it is %+v, and was %+v", got, c)
		}
		w.api.headers(c.ID).accepted("/api/v1/user", sandbox.AdaEmail)
	})
}
