package e2e

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/claviger/claviger/internal/sandbox"
)

// host is an application that has its users link accounts: it knows who is
// signed in by a cookie, makes connect links for them, and redeems what their
// browsers bring back for the user that it sees.
type host struct {
	w   *world
	url string

	mu      sync.Mutex
	links   map[string]link   // by user
	results map[string]string // by session
	queries []url.Values      // of all returns
	answers []answer          // of all redemptions
}

func startHost(w *world) *host {
	w.t.Helper()
	h := &host{w: w, links: map[string]link{}, results: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sign-in", func(rw http.ResponseWriter, r *http.Request) {
		http.SetCookie(rw, &http.Cookie{Name: "host_user", Value: r.URL.Query().Get("user"), Path: "/", HttpOnly: true})
		fmt.Fprint(rw, `<!doctype html><title>Host</title><h1>Signed in</h1>`)
	})
	mux.HandleFunc("GET /start", func(rw http.ResponseWriter, r *http.Request) {
		user, err := r.Cookie("host_user")
		if err != nil {
			http.Error(rw, "who are you?", http.StatusUnauthorized)
			return
		}
		l := w.link(user.Value, []string{r.URL.Query().Get("integration")}, map[string]any{"return_url": h.url + "/back?tab=2"})
		h.mu.Lock()
		h.links[user.Value] = l
		h.mu.Unlock()
		http.Redirect(rw, r, l.URL, http.StatusSeeOther)
	})
	mux.HandleFunc("GET /back", h.back)
	srv := httptest.NewServer(mux)
	w.t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

// back redeems the result for the user that is signed in here.
func (h *host) back(rw http.ResponseWriter, r *http.Request) {
	user, err := r.Cookie("host_user")
	if err != nil {
		http.Error(rw, "who are you?", http.StatusUnauthorized)
		return
	}
	q := r.URL.Query()
	a, err := h.w.api.try(http.MethodPost, "/v1/connect-sessions/"+q.Get("session_id")+"/redeem",
		map[string]any{"result": q.Get("result"), "end_user_id": user.Value}, "application/json")
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadGateway)
		return
	}
	h.mu.Lock()
	h.queries, h.answers = append(h.queries, q), append(h.answers, a)
	h.results[q.Get("session_id")] = q.Get("result")
	h.mu.Unlock()
	word := "Not linked"
	if a.status == http.StatusOK {
		word = "Linked"
	}
	fmt.Fprintf(rw, `<!doctype html><title>Host</title><h1>%s</h1><p>You are %s.</p>`, word, html.EscapeString(user.Value))
}

// last is the latest return and what its redemption answered.
func (h *host) last() (url.Values, answer) {
	h.w.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queries) == 0 {
		h.w.t.Fatal("no browser has come back to the host")
	}
	return h.queries[len(h.queries)-1], h.answers[len(h.answers)-1]
}

// TestRedeem is a person who starts in the host application and comes back to
// it: the connection is active once the host has redeemed the result.
func TestRedeem(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		hybridWorld(w)
		w.integrateToggl()
		h := startHost(w)
		for _, l := range []look{{NoScript: true}, {}} {
			user := fmt.Sprintf("user-%t", l.NoScript)
			p := visit(t, l)
			p.open(h.url + "/sign-in?user=" + user)
			p.open(h.url + "/start?integration=toggl")
			p.arrive("Acme Reports asks for access to your Toggl Track account")
			p.inspect("landing-with-host")
			p.press("Continue")
			p.press("API token")
			p.enter("API token", sandbox.TogglAdaToken)
			p.press("Link account")
			p.arrive("Linked") // a form of ours ends at the host: the policy lets it

			q, redeemed := h.last()
			if keys := len(q); keys != 3 || q.Get("tab") != "2" || q.Get("session_id") != h.links[user].ID || q.Get("result") == "" {
				t.Errorf("the host got %d parameters, tab %q, session %q", keys, q.Get("tab"), q.Get("session_id"))
			}
			var c connection
			redeemed.in(t).want(http.StatusOK).into(&c)
			if c.Status != "active" || c.EndUser.ID != user {
				t.Errorf("redeemed: %+v", c)
			}
			w.api.headers(c.ID).accepted("/api/v9/me", sandbox.AdaEmail)
			again := map[string]any{"result": q.Get("result"), "end_user_id": user}
			w.api.post("/v1/connect-sessions/"+q.Get("session_id")+"/redeem", again).problem(http.StatusConflict, "conflict")
			w.api.headers(c.ID) // and goes on working
		}
	})
}

// TestPendingUntilRedeemed looks at the time between the link and its
// redemption, and at hosts that redeem wrongly.
func TestPendingUntilRedeemed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		hybridWorld(w)
		l := w.link("pending", []string{"timelog"}, map[string]any{"return_url": "http://127.0.0.1:9/back"})
		v := newVisitor(t)
		r := v.toTimeLog(l)
		page := v.step(http.MethodPost, r.callback, nil, r.values) // to the page that goes on
		for page.next() != nil && page.next().Port() != "9" {
			page = v.step(http.MethodGet, page.next(), page.url, nil)
		}
		back := page.next().Query()
		c := w.api.connections("pending")[0]
		if s := sessionOf(w, l); s.Status != "pending" || c.Status != "pending" {
			t.Errorf("the session is %s, the connection %s", s.Status, c.Status)
		}
		w.api.get("/v1/connections/"+c.ID+"/headers").problem(http.StatusConflict, "conflict")
		w.api.get("/v1/connections/"+c.ID+"/credential").problem(http.StatusConflict, "conflict")
		w.api.post("/v1/connections/"+c.ID+"/refresh", nil).problem(http.StatusConflict, "conflict")

		redeem := "/v1/connect-sessions/" + l.ID + "/redeem"
		w.api.post(redeem, map[string]any{"result": "clv_res_of-somebody-else", "end_user_id": "pending"}).problem(http.StatusUnprocessableEntity, "invalid_request")
		w.api.post(redeem, map[string]any{"result": back.Get("result")}).problem(http.StatusUnprocessableEntity, "invalid_request")
		w.api.post(redeem, map[string]any{"result": back.Get("result"), "end_user_id": "pending"}).want(http.StatusOK)
		w.api.headers(c.ID).accepted("/api/v1/user", sandbox.AdaEmail)
	})
}

// TestVictim is an attacker who sends their own connect link to somebody who is
// signed in at the host as themselves. The account of the victim must not end
// up with the attacker: nothing gets active, and the provider takes back what
// it has given.
func TestVictim(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.integrateTimeLog("timelog", "")
		h := startHost(w)
		attacker := visit(t, look{NoScript: true})
		attacker.open(h.url + "/sign-in?user=mallory")
		attacker.open(h.url + "/start?integration=timelog")
		attacker.arrive("Acme Reports asks for access to your TimeLog account")
		sent := attacker.url() // and not opened any further

		victim := visit(t, look{NoScript: true})
		victim.open(h.url + "/sign-in?user=ada-1815")
		victim.open(sent)
		victim.arrive("Acme Reports asks for access to your TimeLog account")
		victim.reads("User mallory", "Go on only if you asked for this yourself")
		victim.press("Continue")
		victim.press("Sign in at TimeLog")
		victim.arrive("Link TimeLog")
		victim.press("Continue to TimeLog")
		signIn(victim)
		victim.arrive("Not linked")
		if got := victim.url(); !strings.HasPrefix(got, h.url+"/back") {
			t.Errorf("the victim is on %s", got)
		}

		_, redeemed := h.last()
		redeemed.in(t).problem(http.StatusConflict, "conflict")
		list := w.api.connections("mallory")
		if len(list) != 1 || list[0].Status != "revoked" || list[0].StatusReason != "wrong_end_user" {
			t.Fatalf("the attacker has %+v", list)
		}
		if got := w.api.connections("ada-1815"); len(got) > 0 {
			t.Errorf("the victim has %+v", got)
		}
		w.api.get("/v1/connections/"+list[0].ID+"/headers").problem(http.StatusGone, "revoked")
		if s := sessionOf(w, h.links["mallory"]); s.Status != "failed" || s.Error != "wrong_end_user" {
			t.Errorf("the session is %+v", s)
		}
		// The attacker tries what they have: the result itself, for themselves.
		w.api.post("/v1/connect-sessions/"+h.links["mallory"].ID+"/redeem", map[string]any{
			"result": h.results[h.links["mallory"].ID], "end_user_id": "mallory",
		}).problem(http.StatusConflict, "conflict")
		families := w.sandbox.TimeLog().Families()
		if len(families) != 1 || !families[0].Revoked || families[0].RevokedBy != "client" {
			t.Errorf("TimeLog has %d families, and the first was revoked by %q", len(families), families[0].RevokedBy)
		}
		for _, e := range w.api.trail("connection_id=" + list[0].ID) {
			if e.Action == "connection.activated" || e.Action == "headers.read" {
				t.Errorf("the trail has %s", e.Action)
			}
		}
	})
}

// TestReturnWithoutRedeem is a host that does not ask for a redemption: it gets
// a status and nothing else.
func TestReturnWithoutRedeem(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.integrateToggl()
		back := planted(t, `<!doctype html><html lang="en"><title>Host</title><h1>Back at the host</h1>`)
		for _, cancel := range []bool{false, true} {
			user := fmt.Sprintf("auto-%t", cancel)
			l := w.link(user, []string{"toggl"}, map[string]any{"return_url": back + "/?x=1", "completion": "auto"})
			p := visit(t, look{NoScript: true})
			p.open(l.URL)
			p.press("Continue")
			p.press("API token")
			want := "/?x=1&session_id=" + l.ID + "&status=completed"
			if cancel {
				p.press("Cancel")
				want = "/?x=1&session_id=" + l.ID + "&status=failed"
			} else {
				p.enter("API token", sandbox.TogglAdaToken)
				p.press("Link account")
			}
			p.arrive("Back at the host")
			if got := strings.TrimPrefix(p.url(), back); got != want {
				t.Errorf("the browser came back to %s, want %s", got, want)
			}
			if cancel {
				continue
			}
			w.api.headers(w.linked(user).ID).accepted("/api/v9/me", sandbox.AdaEmail)
			p.open(w.front.url + "/connect/s/" + l.ID)
			p.arrive("Toggl Track is linked")
			p.inspect("done-with-way-back")
			p.until("the way back", func(ctx context.Context) bool {
				to, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector("main a.button").href`))
				return err == nil && to == back+want
			})
		}
	})
}
