package e2e

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

// TestManage is a person without JavaScript who looks at what they have linked:
// one account has to be linked again, which they do on the spot, and one they
// disconnect. From then on the application gets no headers for it.
func TestManage(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		hybridWorld(w)
		w.integrateToggl()
		back := &returns{}
		settings := httptest.NewServer(back)
		t.Cleanup(settings.Close)
		manage := func(endUser string) link {
			return w.link(endUser, nil, map[string]any{"kind": "manage", "return_url": settings.URL + "/settings?tab=2"})
		}

		p := visit(t, look{NoScript: true})
		l := manage("nobody-yet")
		p.open(l.URL)
		p.arrive("Your linked accounts")
		p.inspect("manage-landing")
		p.press("Continue")
		p.arrive("Your linked accounts")
		p.reads("Nothing is linked", "To link one, go back there and start from there.")
		p.inspect("manage-empty")

		v := newVisitor(t)
		v.deliver(w, v.toTimeLog(w.link("ada-1815", []string{"timelog"}, nil))).want(http.StatusOK, "TimeLog is linked")
		timelog := w.linked("ada-1815")
		var toggl connection
		w.api.post("/v1/connections", map[string]any{
			"integration": "toggl", "method": "session", "end_user": map[string]any{"id": "ada-1815"},
			"credential": map[string]any{"email": sandbox.AdaEmail, "password": sandbox.TogglAdaPassword},
		}).want(http.StatusCreated).into(&toggl)
		w.sandbox.Toggl().EndSessions()
		w.api.post("/v1/connections/"+toggl.ID+"/rejected", map[string]any{"generation": toggl.Generation}).problem(http.StatusConflict, "reconnect_required")
		importToggl(w, "grace-1906")
		h := w.api.headers(timelog.ID)
		h.accepted("/api/v1/user", sandbox.AdaEmail)

		l = manage("ada-1815")
		p.open(l.URL)
		p.arrive("Your linked accounts")
		p.reads("Acme Reports", "Ada Lovelace", "Go on only if you asked for this yourself")
		if status := sessionOf(w, l).Status; status != "open" {
			t.Errorf("looking at the link made the session %s", status)
		}
		p.press("Continue")
		p.arrive("Your linked accounts")
		p.reads("TimeLog", timelog.Account.Label, "Works", "Toggl Track", "Has to be linked again", "does not accept what was linked any more")
		p.inspect("manage")
		p.until("the read in the books", func(context.Context) bool { // it is gathered with others first
			return !w.api.connection(timelog.ID).ReadAt.IsZero()
		})
		p.open(p.url())
		p.press("When else? TimeLog, " + timelog.Account.Label)
		p.arrive("When TimeLog was used")
		p.reads("Last used by Acme Reports", time.Now().UTC().Format("2 January 2006"), "Days are in UTC")
		p.inspect("manage-use")
		p.press("Back to your linked accounts")
		p.arrive("Your linked accounts")

		// Linked again, in place and in this browser.
		p.press("Reconnect Toggl Track, " + sandbox.AdaEmail)
		p.arrive("How do you want to link Toggl Track?")
		p.press("API token")
		p.arrive("Link Toggl Track")
		p.reads("You link " + sandbox.AdaEmail + " again")
		p.enter("API token", sandbox.TogglAdaToken)
		p.press("Link account")
		p.arrive("Toggl Track is linked")
		p.inspect("manage-reconnected")
		p.press("Back to your linked accounts")
		p.arrive("Your linked accounts")
		if c := w.api.connection(toggl.ID); c.Status != "active" || c.Generation != toggl.Generation+1 {
			t.Errorf("after the reconnect it is %+v", c)
		}

		// Begun and given up: what was linked stays.
		p.press("Reconnect TimeLog, " + timelog.Account.Label)
		p.press("Cancel")
		p.arrive("Your linked accounts")
		h.accepted("/api/v1/user", sandbox.AdaEmail)

		p.press("Disconnect… TimeLog, " + timelog.Account.Label)
		p.arrive("Disconnect TimeLog?")
		p.reads("From that moment Acme Reports gets no access to this account any more.", "TimeLog is told that the access is over")
		p.inspect("manage-disconnect")
		if got := w.api.connection(timelog.ID).Status; got != "active" {
			t.Errorf("asking made the connection %s", got)
		}
		p.press("Keep it")
		p.arrive("Your linked accounts")
		p.press("Disconnect… TimeLog, " + timelog.Account.Label)
		p.press("Disconnect TimeLog")
		p.arrive("TimeLog is disconnected")
		p.reads("Acme Reports has no access any more", "TimeLog was told, and confirmed that the access is over.")
		p.inspect("manage-disconnected")
		for _, b := range w.brokers { // on every replica, at once
			w.at(b).get("/v1/connections/"+timelog.ID+"/headers").problem(http.StatusGone, "revoked")
		}
		h.refused("/api/v1/user")
		if c := w.api.connection(timelog.ID); c.StatusReason != "revoked_by_end_user" {
			t.Errorf("the connection is %+v", c)
		}
		for _, e := range w.api.trail("action=connection.revoked&connection_id=" + timelog.ID) {
			if e.ActorKind != "end_user" || e.ConnectionID != timelog.ID {
				t.Errorf("the trail says %+v", e)
			}
		}
		p.press("Back to your linked accounts")
		p.arrive("Your linked accounts")
		p.reads("Disconnected")
		p.inspect("manage-after")

		// Not told, but said what to do.
		p.press("Disconnect… Toggl Track, " + sandbox.AdaEmail)
		p.arrive("Disconnect Toggl Track?")
		p.reads("At Toggl Track what you linked goes on working until it is changed there. Toggl Track cannot be told.")
		p.inspect("manage-disconnect-by-hand")
		p.press("Disconnect Toggl Track")
		p.arrive("Toggl Track is disconnected")
		p.inspect("manage-disconnected-by-hand")
		p.press("Back to your linked accounts")

		p.press("Back to Acme Reports")
		p.arrive("Your settings")
		q := back.last()
		if q.Get("tab") != "2" || q.Get("session_id") != l.ID || q.Get("status") != "completed" || len(q) != 3 {
			t.Errorf("the browser came back with %v", q)
		}
		if s := sessionOf(w, l); s.Status != "completed" || s.ConnectionID != "" {
			t.Errorf("session %+v", s)
		}
		p.open(w.front.url + "/connect/m/" + l.ID)
		p.arrive("You are done")
		p.inspect("manage-done")
		p.wantCleanHistory(w.secrets(), w.front.url)
		w.linked("grace-1906")
	})
}

// returns is the page of an application that browsers come back to.
type returns struct {
	mu    sync.Mutex
	query url.Values
}

func (r *returns) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/settings" {
		http.NotFound(rw, req)
		return
	}
	r.mu.Lock()
	r.query = req.URL.Query()
	r.mu.Unlock()
	_, _ = rw.Write([]byte(`<!doctype html><html lang="en"><title>Settings</title><link rel="icon" href="data:,"><h1>Your settings</h1>`))
}

// last is what the latest browser came back with.
func (r *returns) last() url.Values {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.query
}
