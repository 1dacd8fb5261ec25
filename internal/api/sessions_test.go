package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

const backTo = "https://acme.example/linked?tab=2"

func token(value string) vault.Credential {
	return vault.Credential{"api_token": vault.NewSecret(value)}
}

// TestSession: from a link to a connection, as the host sees it.
func TestSession(t *testing.T) {
	each(t, func(w *world) {
		a := w.post("/v1/connect-sessions", object{"end_user": ada, "integrations": []string{"toggl"}, "tags": object{"team": "blue"}, "ttl_seconds": 600}).
			shows().want(http.StatusCreated).is("expires_at", w.clock.Now().Add(10*time.Minute).Format(time.RFC3339))
		if got := a.text("connect_url"); got != w.url+"/connect/"+a.text("token") {
			t.Errorf("connect_url %q", got)
		}
		path := "/v1/connect-sessions/" + a.text("id")
		status := func(want object) *answer {
			t.Helper()
			got := w.get(path).want(http.StatusOK)
			want["id"] = a.text("id")
			v := got.object()
			delete(v, "expires_at")
			if js(v) != js(want) {
				t.Errorf("session %s, want %s", js(v), js(want))
			}
			return got
		}
		status(object{"status": "open"})
		linked := w.link(a, "toggl", "api_token", w.grant("toggl", "api_token", token(sandbox.TogglAdaToken)))
		status(object{"status": "completed", "connection_id": linked.Connection.ID})
		w.get("/v1/connections/"+linked.Connection.ID).want(http.StatusOK).is("end_user", ada).is("tags", object{"team": "blue"}).is("status", "active")

		// Defaults, and time that runs out.
		b := w.post("/v1/connect-sessions", object{"end_user": object{"id": "u"}}).shows().want(http.StatusCreated).
			is("expires_at", w.clock.Now().Add(30*time.Minute).Format(time.RFC3339))
		w.clock.pass(31 * time.Minute)
		w.get("/v1/connect-sessions/"+b.text("id")+"?wait=30").want(http.StatusOK).is("status", "expired")
	})
}

// TestWait: whoever waits hears at once, and no later than asked.
func TestWait(t *testing.T) {
	each(t, func(w *world) {
		a := w.post("/v1/connect-sessions", object{"end_user": ada, "integrations": []string{"toggl"}}).shows().want(http.StatusCreated)
		path := "/v1/connect-sessions/" + a.text("id")
		w.get(path+"?wait=0").want(http.StatusOK).is("status", "open")
		w.get(path+"?wait=1").want(http.StatusOK).is("status", "open")
		g := w.grant("toggl", "api_token", token(sandbox.TogglAdaToken))
		waiting := make(chan *answer, 1)
		begun := time.Now()
		go func() { waiting <- w.get(path + "?wait=30").send() }()
		linked := w.link(a, "toggl", "api_token", g)
		got := <-waiting
		got.is("status", "completed").is("connection_id", linked.Connection.ID)
		if d := time.Since(begun); d > 15*time.Second {
			t.Errorf("heard after %s", d)
		}
	})
}

// TestRedeem: the connection is pending until the host redeems the result for
// the user that it sees signed in.
func TestRedeem(t *testing.T) {
	each(t, func(w *world) {
		start := func() (*answer, vault.Linked) {
			t.Helper()
			a := w.post("/v1/connect-sessions", object{"end_user": ada, "integrations": []string{"toggl"}, "return_url": backTo}).shows().want(http.StatusCreated)
			return a, w.link(a, "toggl", "api_token", w.grant("toggl", "api_token", token(sandbox.TogglAdaToken)))
		}
		a, linked := start()
		session, connection := "/v1/connect-sessions/"+a.text("id"), "/v1/connections/"+linked.Connection.ID
		w.get(session).want(http.StatusOK).is("status", "pending").is("connection_id", linked.Connection.ID)
		for _, c := range []*call{w.get(connection + "/headers"), w.get(connection + "/credential"), w.post(connection+"/refresh", nil)} {
			c.want(http.StatusConflict).code("conflict").has("pending")
		}
		redeem := func(result, user any) *call {
			return w.post(session+"/redeem", object{"result": result, "end_user_id": user})
		}
		// What costs nothing: a wrong code, and a host that knows no user.
		wrong := vault.NewState().Reveal()
		w.planted.add(wrong)
		redeem(wrong, "user-1815").want(http.StatusUnprocessableEntity).code("invalid_request", "/result")
		redeem("", "user-1815").want(http.StatusUnprocessableEntity).code("invalid_request", "/result")
		redeem(nil, "user-1815").want(http.StatusUnprocessableEntity).code("invalid_request", "/result")
		redeem(linked.Result.Reveal(), "").want(http.StatusUnprocessableEntity).code("invalid_request", "/end_user_id")
		redeem(linked.Result.Reveal(), nil).want(http.StatusUnprocessableEntity).code("invalid_request", "/end_user_id")
		redeem(linked.Result.Reveal(), 1815).want(http.StatusBadRequest).code("invalid_request", "/end_user_id")
		w.get(session).want(http.StatusOK).is("status", "pending")

		redeem(linked.Result.Reveal(), "user-1815").want(http.StatusOK).is("id", linked.Connection.ID).is("status", "active")
		w.get(session).want(http.StatusOK).is("status", "completed")
		w.get(connection + "/headers").shows().want(http.StatusOK)
		redeem(linked.Result.Reveal(), "user-1815").want(http.StatusConflict).code("conflict")
		w.get(connection + "/headers").shows().want(http.StatusOK)

		// For another user: revoked on the spot, and the result is spent.
		a, linked = start()
		session, connection = "/v1/connect-sessions/"+a.text("id"), "/v1/connections/"+linked.Connection.ID
		redeem(linked.Result.Reveal(), "mallory").want(http.StatusConflict).code("conflict").has("another end user")
		w.get(session).want(http.StatusOK).is("status", "failed").is("error", "wrong_end_user")
		w.get(connection).want(http.StatusOK).is("status", "revoked").is("status_reason", "wrong_end_user")
		redeem(linked.Result.Reveal(), "user-1815").want(http.StatusConflict)
		w.get(connection + "/headers").want(http.StatusGone)

		// Too late.
		a, linked = start()
		session, connection = "/v1/connect-sessions/"+a.text("id"), "/v1/connections/"+linked.Connection.ID
		w.clock.pass(11 * time.Minute)
		redeem(linked.Result.Reveal(), "user-1815").want(http.StatusConflict)
		w.get(session).want(http.StatusOK).is("status", "expired")
		w.must(w.vault.Tidy(w.t.Context()))
		w.get(connection).want(http.StatusOK).is("status", "revoked").is("status_reason", "not_redeemed")

		// Nothing to redeem yet.
		a = w.post("/v1/connect-sessions", object{"end_user": ada, "return_url": backTo}).shows().want(http.StatusCreated)
		session = "/v1/connect-sessions/" + a.text("id")
		redeem(wrong, "user-1815").want(http.StatusConflict).code("conflict")
	})
}

// TestReconnect: the connection keeps its id; another account is refused unless
// the session allows it.
func TestReconnect(t *testing.T) {
	each(t, func(w *world) {
		id := w.toggl()
		mend := object{"end_user": ada, "connection_id": id}
		w.post("/v1/connect-sessions", object{"end_user": object{"id": "mallory"}, "connection_id": id}).want(http.StatusUnprocessableEntity).code("invalid_request", "/end_user/id")
		w.post("/v1/connect-sessions", object{"end_user": ada, "connection_id": id, "integrations": []string{"clicktime"}}).want(http.StatusUnprocessableEntity).code("invalid_request", "/integrations")
		for _, missing := range []string{"con_00000000000000000000000000", "con_x", "a\u0000", strings.Repeat("c", 300)} {
			w.post("/v1/connect-sessions", object{"end_user": ada, "connection_id": missing}).want(http.StatusNotFound).code("not_found")
		}

		a := w.post("/v1/connect-sessions", mend).shows().want(http.StatusCreated)
		w.get("/v1/connect-sessions/"+a.text("id")).want(http.StatusOK).is("connection_id", id)
		caller := w.bind(a)
		grace := w.grant("toggl", "api_token", token(sandbox.TogglGraceToken))
		if _, err := w.vault.Link(w.t.Context(), caller, w.opened("toggl"), "api_token", grace); err == nil {
			t.Fatal("another account was taken")
		}
		w.get("/v1/connections/"+id).want(http.StatusOK).is("generation", 1).is("account/label", sandbox.AdaEmail)
		_, err := w.vault.Link(w.t.Context(), caller, w.opened("toggl"), "password", w.grant("toggl", "password", vault.Credential{
			"email": vault.NewSecret(sandbox.AdaEmail), "password": vault.NewSecret(sandbox.TogglAdaPassword),
		}))
		w.must(err)
		w.get("/v1/connections/"+id).want(http.StatusOK).is("generation", 2).is("method", "password").is("account/label", sandbox.AdaEmail)

		mend["allow_account_change"] = true
		w.link(w.post("/v1/connect-sessions", mend).shows().want(http.StatusCreated), "toggl", "api_token", grace)
		w.get("/v1/connections/"+id).want(http.StatusOK).is("generation", 3).is("account/label", sandbox.GraceEmail).is("status", "active")
		if n := w.count(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestBadSessions: what is wrong is said, all of it at once, and no session is made.
func TestBadSessions(t *testing.T) {
	each(t, func(w *world) {
		before := string(w.db.Rows(w.t))
		for _, tt := range []struct {
			body     object
			status   int
			pointers []string
		}{
			{object{}, 422, []string{"/end_user/id"}},
			{object{"end_user": nil}, 422, []string{"/end_user/id"}},
			{object{"end_user": object{"id": "", "email": strings.Repeat("e", 321), "name": "a\nb"}}, 422, []string{"/end_user/id", "/end_user/email", "/end_user/name"}},
			{object{"end_user": ada, "ttl_seconds": 0}, 422, []string{"/ttl_seconds"}},
			{object{"end_user": ada, "ttl_seconds": 59}, 422, []string{"/ttl_seconds"}},
			{object{"end_user": ada, "ttl_seconds": 86401}, 422, []string{"/ttl_seconds"}},
			{object{"end_user": ada, "ttl_seconds": -1 << 62}, 422, []string{"/ttl_seconds"}},
			{object{"end_user": ada, "ttl_seconds": 1 << 62}, 422, []string{"/ttl_seconds"}},
			{object{"end_user": object{"id": ""}, "ttl_seconds": 1, "integrations": []string{"nobody", "toggl", "toggl"}}, 422, []string{"/end_user/id", "/ttl_seconds", "/integrations/0", "/integrations/2"}},
			{object{"end_user": ada, "integrations": []string{"a\u0000"}}, 422, []string{"/integrations/0"}},
			{object{"end_user": ada, "integrations": []any{nil}}, 422, []string{"/integrations/0"}},
			{object{"end_user": ada, "completion": "redeem"}, 422, []string{"/completion"}},
			{object{"end_user": ada, "completion": "never"}, 422, []string{"/completion"}},
			{object{"end_user": ada, "return_url": "http://acme.example/"}, 422, []string{"/return_url"}},
			{object{"end_user": ada, "return_url": "https://u:p@acme.example/"}, 422, []string{"/return_url"}},
			{object{"end_user": ada, "return_url": "https://acme.example/#x"}, 422, []string{"/return_url"}},
			{object{"end_user": ada, "return_url": "javascript:alert(1)"}, 422, []string{"/return_url"}},
			{object{"end_user": ada, "return_url": "https://acme.example/?result=x"}, 422, []string{"/return_url"}},
			{object{"end_user": ada, "return_url": "https://acme.example/\u0000"}, 422, []string{"/return_url"}},
			{object{"end_user": ada, "kind": "look"}, 422, []string{"/kind"}},
			{object{"end_user": ada, "kind": true}, 400, []string{"/kind"}},
			{
				object{"end_user": ada, "kind": "manage", "connection_id": "con_x", "allow_account_change": true, "completion": "auto", "tags": object{"a": "b"}},
				422,
				[]string{"/connection_id", "/allow_account_change", "/completion", "/tags"},
			},
			{object{"end_user": object{}, "kind": "manage", "integrations": []string{"nobody"}, "return_url": "http://acme.example/"}, 422, []string{"/end_user/id", "/return_url", "/integrations/0"}},
			{object{"end_user": ada, "ttl_seconds": 60.5}, 400, []string{"/ttl_seconds"}},
			{object{"end_user": ada, "integrations": "toggl"}, 400, []string{"/integrations"}},
			{object{"end_user": ada, "allow_account_change": "yes"}, 400, []string{"/allow_account_change"}},
			{object{"end_user": ada, "returnUrl": backTo}, 400, []string{"/returnUrl"}},
			{object{"end_user": "user-1815"}, 400, []string{"/end_user"}},
		} {
			w.post("/v1/connect-sessions", tt.body).want(tt.status).code("invalid_request", tt.pointers...)
		}
		if after := string(w.db.Rows(w.t)); after != before {
			t.Error("something was stored")
		}
		w.post("/v1/connect-sessions", object{"end_user": ada, "return_url": "http://127.0.0.1:3000/" + url.PathEscape("ä"), "completion": "auto", "allow_account_change": nil, "ttl_seconds": nil}).shows().want(http.StatusCreated)
	})
}

// TestManage: a session in which the end user sees what they have linked. The
// host learns that they are done, and what they did from the connections.
func TestManage(t *testing.T) {
	each(t, func(w *world) {
		id := w.toggl()
		a := w.post("/v1/connect-sessions", object{
			"kind": "manage", "end_user": ada, "integrations": []string{"toggl"}, "return_url": backTo, "ttl_seconds": 600, "tags": nil, "completion": nil,
		}).shows().want(http.StatusCreated).is("expires_at", w.clock.Now().Add(10*time.Minute).Format(time.RFC3339))
		if got := a.text("connect_url"); got != w.url+"/connect/"+a.text("token") {
			t.Errorf("connect_url %q", got)
		}
		path := "/v1/connect-sessions/" + a.text("id")
		w.get(path).want(http.StatusOK).is("status", "open")
		caller := w.bind(a)
		w.get(path).want(http.StatusOK).is("status", "bound")
		w.post(path+"/redeem", object{"result": vault.NewState().Reveal(), "end_user_id": "user-1815"}).want(http.StatusConflict).code("conflict")

		r, err := w.vault.Disconnect(t.Context(), caller, id)
		w.must(err)
		w.get("/v1/connections/"+id).want(http.StatusOK).is("status", "revoked").is("status_reason", "revoked_by_end_user")
		w.get("/v1/connections/" + id + "/headers").want(http.StatusGone).code("revoked")
		if r.Provider.Outcome != vault.OutcomeUnsupported {
			t.Errorf("receipt %+v", r)
		}
		w.must(w.vault.FinishManaging(t.Context(), caller))
		got := w.get(path+"?wait=30").want(http.StatusOK).is("status", "completed").object()
		if _, there := got["connection_id"]; there {
			t.Errorf("session %s", js(got))
		}
	})
}
