package api_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

// takes reports whether a provider takes the headers of an answer.
func (w *world) takes(url string, headers any) bool {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, url, http.NoBody)
	w.must(err)
	for name, value := range headers.(object) {
		req.Header.Set(name, value.(string))
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	w.must(err)
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// TestHeaders: the main job, in both forms.
func TestHeaders(t *testing.T) {
	each(t, func(w *world) {
		path := "/v1/connections/" + w.toggl() + "/headers"
		want := "Basic " + base64.StdEncoding.EncodeToString([]byte(sandbox.TogglAdaToken+":api_token"))
		a := w.get(path).shows().want(http.StatusOK)
		if got := js(a.object()); got != js(object{
			"headers": object{"Authorization": want}, "base_url": w.sand.Toggl().URL(), "expires_at": nil, "generation": 1,
		}) {
			t.Errorf("got %s", got)
		}
		if !w.takes(w.sand.Toggl().URL()+"/api/v9/me", a.at("headers")) {
			t.Error("Toggl does not take them")
		}
		for accept, text := range map[string]bool{
			"": false, "*/*": false, "application/json": false, "application/json, text/plain, */*": false, "text/html": false,
			"text/plain": true, "Text/Plain; charset=utf-8": true, "text/plain, */*;q=0.1": true,
		} {
			a := w.get(path).with("Accept", accept).shows().want(http.StatusOK)
			if text {
				if got := string(a.body); got != "Authorization: "+want+"\n" || a.Header.Get("Content-Type") != "text/plain; charset=UTF-8" {
					t.Errorf("Accept %q: %q as %q", accept, got, a.Header.Get("Content-Type"))
				}
			} else if a.Header.Get("Content-Type") != "application/json" {
				t.Errorf("Accept %q: %s", accept, a.Header.Get("Content-Type"))
			}
		}
		// Also in text there are no texts for errors.
		w.get("/v1/connections/con_00000000000000000000000000/headers").with("Accept", "text/plain").want(http.StatusNotFound).code("not_found")

		// ClickTime wants one more header on every request.
		id := w.imported(object{"integration": "clicktime", "method": "token", "end_user": ada, "credential": object{"token": sandbox.ClickTimeAdaToken}})
		a = w.get("/v1/connections/"+id+"/headers").shows().want(http.StatusOK).
			is("headers", object{"Authorization": "Token " + sandbox.ClickTimeAdaToken, "Content-Type": "application/json"})
		if !w.takes(w.sand.ClickTime().URL()+"/v2/Jobs", a.at("headers")) {
			t.Error("ClickTime does not take them")
		}
		// Reads are in the trail, gathered, and on the connection.
		w.must(w.vault.FlushReads(w.t.Context()))
		w.get("/v1/connections/"+id).want(http.StatusOK).is("last_read_at", w.clock.Now().Format(time.RFC3339))
		w.get("/v1/audit?action=headers.read&connection_id="+id).want(http.StatusOK).is("data/0/count", 1).is("data/0/allowed", true)
	})
}

// TestHeadersStayFresh: refreshed before they run out, and only then.
func TestHeadersStayFresh(t *testing.T) {
	each(t, func(w *world) {
		id := w.timelog()
		path := "/v1/connections/" + id + "/headers"
		var generation float64 // of the newest answer
		refreshed := func(query string, n int) *answer {
			t.Helper()
			before := w.sand.TimeLog().RefreshCalls()
			a := w.get(path + query).shows().want(http.StatusOK)
			if got := w.sand.TimeLog().RefreshCalls() - before; got != n {
				t.Errorf("%s: %d refreshes, want %d", query, got, n)
			}
			if got := a.at("generation").(float64); (got > generation) != (n > 0 || generation == 0) {
				t.Errorf("%s: generation %v after %v", query, got, generation)
			} else {
				generation = got
			}
			if !w.takes(w.sand.TimeLog().URL()+"/api/ResolveUri", a.at("headers")) {
				t.Errorf("%s: TimeLog does not take the headers", query)
			}
			return a
		}
		refreshed("", 0).is("expires_at", w.clock.Now().Add(time.Hour).Format(time.RFC3339)).is("base_url", w.sand.TimeLog().URL()+"/soxdemo").lacks("min_ttl_met")
		w.clock.pass(59 * time.Minute)
		refreshed("", 0)
		refreshed("?min_ttl=0", 0)
		refreshed("?min_ttl=61", 1).is("expires_at", w.clock.Now().Add(time.Hour).Format(time.RFC3339))
		w.clock.pass(2 * time.Hour)
		refreshed("", 1)
		refreshed("", 0)
		// Nothing lives as long as that; once is tried, and the answer says so.
		refreshed("?min_ttl=86400", 1).is("min_ttl_met", false)
		refreshed("?min_ttl=86400", 0).is("min_ttl_met", false)
		w.get(path+"?min_ttl=86400").with("Accept", "text/plain").shows().want(http.StatusOK).has("Authorization: Bearer ").lacks("min_ttl_met")
		refreshed("", 0).lacks("min_ttl_met")
		if n := w.sand.TimeLog().Reuses(); n != 0 {
			t.Errorf("%d refresh tokens were sent twice", n)
		}

		// Down, for a while: what is valid is served, what is not never.
		w.sand.TimeLog().Faults().Always(sandbox.TimeLogToken, sandbox.Status(http.StatusServiceUnavailable))
		w.clock.pass(59*time.Minute + 30*time.Second)
		tries := w.sand.TimeLog().Count(sandbox.TimeLogToken)
		w.get(path).shows().want(http.StatusOK).is("generation", generation).is("min_ttl_met", false)
		if n := w.sand.TimeLog().Count(sandbox.TimeLogToken) - tries; n != 1 {
			t.Errorf("%d tries, want 1", n)
		}
		w.clock.pass(time.Hour)
		w.get(path).want(http.StatusServiceUnavailable).code("provider_unavailable")
		w.get("/v1/connections/"+id).want(http.StatusOK).is("status", "active")
		w.sand.TimeLog().Faults().Clear(sandbox.Any)
		w.clock.pass(2 * time.Minute)
		refreshed("", 1)

		// Over, for good: the end user has to link again, and the answer says why.
		w.sand.TimeLog().RevokeFamilies()
		w.clock.pass(2 * time.Hour)
		for range 2 {
			w.get(path).want(http.StatusConflict).code("reconnect_required").has("the provider refused the refresh token")
		}
		w.get("/v1/connections/"+id).want(http.StatusOK).is("status", "reconnect_required").is("status_reason", "invalid_grant")
		w.get("/v1/connections/" + id + "/credential").want(http.StatusConflict).code("reconnect_required")
		w.post("/v1/connections/"+id+"/refresh", nil).want(http.StatusConflict).code("reconnect_required")
	})
}

// TestIntegrationToBlame: a wrong client secret is nobody's credential; once it
// is right, the connection works again.
func TestIntegrationToBlame(t *testing.T) {
	each(t, func(w *world) {
		id := w.timelog()
		w.planted.add("a-wrong-client-secret")
		w.patch("/v1/integrations/timelog", object{"client_secret": "a-wrong-client-secret", "client_secret_overlap_seconds": 0}).want(http.StatusOK)
		w.clock.pass(2 * time.Hour)
		w.get("/v1/connections/" + id + "/headers").want(http.StatusBadGateway).code("provider_rejected")
		w.get("/v1/connections/"+id).want(http.StatusOK).is("status", "active")
		w.patch("/v1/integrations/timelog", object{"client_secret": sandbox.DemoClientSecret}).want(http.StatusOK)
		w.clock.pass(2 * time.Minute)
		w.get("/v1/connections/" + id + "/headers").shows().want(http.StatusOK)
	})
}

// TestRefreshNow: for what can be refreshed.
func TestRefreshNow(t *testing.T) {
	each(t, func(w *world) {
		id := w.timelog()
		generation := 1.0
		for _, body := range []any{nil, object{}, " {\n} "} {
			w.clock.pass(time.Minute)
			a := w.post("/v1/connections/"+id+"/refresh", body).want(http.StatusOK).is("last_refreshed_at", w.clock.Now().Format(time.RFC3339))
			if got := a.at("generation").(float64); got <= generation {
				t.Errorf("generation %v after %v", got, generation)
			} else {
				generation = got
			}
		}
		w.post("/v1/connections/"+w.toggl()+"/refresh", nil).want(http.StatusConflict).code("conflict")
		w.post("/v1/connections/"+id+"/refresh", object{"force": true}).want(http.StatusBadRequest).code("invalid_request", "/force")
		if n := w.sand.TimeLog().RefreshCalls(); n != 3 {
			t.Errorf("%d refreshes, want 3", n)
		}
	})
}

// TestRejected: a caller's word sets off what there is to be done, once.
func TestRejected(t *testing.T) {
	each(t, func(w *world) {
		timelog, toggl := "/v1/connections/"+w.timelog(), "/v1/connections/"+w.toggl()
		for _, body := range []string{`{}`, `{"generation":0}`, `{"generation":-1}`, `{"generation":2}`, `{"generation":null}`} {
			w.post(timelog+"/rejected", body).want(http.StatusUnprocessableEntity).code("invalid_request", "/generation")
		}
		for _, body := range []string{`{"generation":"1"}`, `{"generation":1.5}`, `{"generation":1e30}`, `{"generation":true}`} {
			w.post(timelog+"/rejected", body).want(http.StatusBadRequest).code("invalid_request", "/generation")
		}
		w.sand.TimeLog().ExpireAccessTokens()
		report := object{"generation": 1}
		renewed := w.post(timelog+"/rejected", report).want(http.StatusOK).is("status", "active").at("generation")
		w.post(timelog+"/rejected", report).want(http.StatusOK).is("generation", renewed) // the second to notice
		w.get(timelog+"/headers").shows().want(http.StatusOK).is("generation", renewed)
		w.post(timelog+"/rejected", object{"generation": renewed}).want(http.StatusTooManyRequests).code("rate_limited")
		if n := w.sand.TimeLog().RefreshCalls(); n != 1 {
			t.Errorf("%d refreshes, want 1", n)
		}
		// Toggl's token cannot be renewed: it is verified, and holds, or does not.
		calls := w.sand.Toggl().Count(sandbox.Any)
		w.post(toggl+"/rejected", report).want(http.StatusOK).is("status", "active").is("generation", 1)
		if n := w.sand.Toggl().Count(sandbox.Any) - calls; n != 1 {
			t.Errorf("Toggl was asked %d times", n)
		}
		// Whoever says it again within seconds is answered by what Toggl has just said.
		w.post(toggl+"/rejected", report).want(http.StatusOK).is("status", "active")
		if n := w.sand.Toggl().Count(sandbox.Any) - calls; n != 1 {
			t.Errorf("Toggl was asked %d times", n)
		}
		w.clock.pass(time.Minute)
		w.sand.Toggl().Faults().Next(sandbox.Any, 1, sandbox.Status(http.StatusBadGateway))
		w.post(toggl+"/rejected", report).want(http.StatusServiceUnavailable).code("provider_unavailable")
		w.get(toggl + "/headers").shows().want(http.StatusOK)
		if _, err := w.sand.Toggl().Accounts().ResetToken(sandbox.AdaEmail); err != nil {
			t.Fatal(err)
		}
		w.post(toggl+"/rejected", report).want(http.StatusConflict).code("reconnect_required").has("the provider refuses the credential")
		w.get(toggl).want(http.StatusOK).is("status", "reconnect_required").is("status_reason", "rejected")
		w.get(toggl + "/headers").want(http.StatusConflict).code("reconnect_required")
	})
}

// TestCredential: raw, without the refresh token unless it is asked for, and
// in the trail.
func TestCredential(t *testing.T) {
	each(t, func(w *world) {
		timelog, toggl := w.timelog(), w.toggl()
		w.get("/v1/connections/"+toggl+"/credential").shows().want(http.StatusOK).
			is("credential", object{"api_token": sandbox.TogglAdaToken}).is("method", "api_token").is("generation", 1).is("expires_at", nil)
		a := w.get("/v1/connections/"+timelog+"/credential").shows().want(http.StatusOK).is("method", "oidc").is("expires_at", w.clock.Now().Add(time.Hour).Format(time.RFC3339))
		a.text("credential/access_token")
		a.lacks("refresh_token")
		w.get("/v1/connections/" + timelog + "/credential?refresh_token=false").shows().want(http.StatusOK).lacks("refresh_token")
		w.get("/v1/connections/" + timelog + "/credential?refresh_token=true").shows().want(http.StatusOK).text("credential/refresh_token")
		trail := w.get("/v1/audit?action=credential.read&connection_id="+timelog).want(http.StatusOK).is("data/0/reason", "refresh_token").is("data/1/reason", nil)
		if n := len(trail.at("data").([]any)); n != 3 {
			t.Errorf("%d reads in the trail", n)
		}
		// Neither scope has the other's.
		w.get("/v1/connections/" + toggl + "/credential").as(w.newKey(vault.ScopeCredentialsRead)).want(http.StatusForbidden)
		w.get("/v1/connections/" + toggl + "/headers").as(w.newKey(vault.ScopeCredentialsReadRaw)).want(http.StatusForbidden)
	})
}

// TestRevokeEverywhere: revoked is the end, for every verb, and the receipt
// says what the provider made of it.
func TestRevokeEverywhere(t *testing.T) {
	each(t, func(w *world) {
		session := w.imported(togglImport(object{"method": "session", "credential": object{"email": sandbox.AdaEmail, "password": sandbox.TogglAdaPassword}}))
		down := w.timelog()
		tests := []struct {
			name, id, outcome, detail string
		}{
			{"tokens", w.timelog(), "revoked", "TimeLog ended the access"},
			{"a session", session, "revoked", "Toggl Track ended the session"},
			{"nobody to tell", w.toggl(), "unsupported", "reset the API token"},
			{"down", down, "failed", ""},
		}
		for _, tt := range tests {
			w.t.Run(tt.name, func(t *testing.T) {
				w := w.in(t)
				path := "/v1/connections/" + tt.id
				headers := w.get(path + "/headers").shows().want(http.StatusOK)
				if tt.id == down {
					w.sand.TimeLog().Faults().Always(sandbox.Any, sandbox.Status(http.StatusInternalServerError))
				}
				w.post(path+"/revoke", nil).want(http.StatusOK).is("provider/outcome", tt.outcome).has(tt.detail).
					is("revoked_at", w.clock.Now().Format(time.RFC3339))
				if tt.name == "a session" && w.takes(w.sand.Toggl().URL()+"/api/v9/me", headers.at("headers")) {
					t.Error("Toggl still takes the headers")
				}
				w.get(path).want(http.StatusOK).is("status", "revoked").is("status_reason", "revoked_by_caller")
				for _, c := range []*call{
					w.get(path + "/headers"), w.get(path + "/credential"), w.post(path+"/refresh", nil),
					w.post(path+"/rejected", object{"generation": 1}), w.post(path+"/revoke", object{}),
					w.post("/v1/connect-sessions", object{"end_user": ada, "connection_id": tt.id}),
				} {
					c.want(http.StatusGone).code("revoked")
				}
				w.patch(path, object{"tags": object{"why": "gone"}}).want(http.StatusOK).is("status", "revoked")
				// DELETE removes the row; the trail stays.
				w.delete(path).want(http.StatusOK).is("revoked_at", w.clock.Now().Format(time.RFC3339))
				w.delete(path).want(http.StatusNotFound)
				w.get(path).want(http.StatusNotFound)
				trail := w.get("/v1/audit?connection_id="+tt.id).want(http.StatusOK).has("connection.deleted", "connection.revoked", "provider.told")
				trail.is("data/0/action", "connection.deleted")
			})
		}
		w.sand.TimeLog().Faults().Clear(sandbox.Any)
		// DELETE alone revokes first.
		live := w.timelog()
		w.delete("/v1/connections/"+live).want(http.StatusOK).is("provider/outcome", "revoked")
		w.get("/v1/connections/" + live + "/headers").want(http.StatusNotFound)
		if n := w.count(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		// And nothing of the credentials is, but for the one whose provider is
		// to be told again.
		if rows := string(w.db.Rows(w.t)); strings.Count(rows, "connections.credential=") != 0 {
			t.Error("there is ciphertext left")
		}
	})
}
