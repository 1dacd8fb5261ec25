package api_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// target is one of everything that an id in a path may name.
type target struct{ connection, session, apiKey, revocation string }

// path fills an operation's path with what is there.
func (x target) path(o operation) string {
	switch {
	case strings.HasPrefix(o.path, "/v1/connections/"):
		return fill(o.path, x.connection)
	case strings.HasPrefix(o.path, "/v1/connect-sessions/"):
		return fill(o.path, x.session)
	case strings.HasPrefix(o.path, "/v1/revocations/"):
		return fill(o.path, x.revocation)
	case strings.HasPrefix(o.path, "/v1/api-keys/"):
		return fill(o.path, x.apiKey)
	}
	return fill(o.path, "toggl") // an integration and a provider
}

func (w *world) target() target {
	w.t.Helper()
	return target{
		connection: w.toggl(),
		session:    w.post("/v1/connect-sessions", object{"end_user": ada}).shows().want(201).text("id"),
		apiKey:     w.post("/v1/api-keys", object{"name": "spare", "scopes": []string{"audit:read"}}).shows().want(201).text("id"),
		revocation: w.post("/v1/revocations", object{"connection_ids": []string{"con_00000000000000000000000000"}}).want(202).text("id"),
	}
}

// nowhere is well-formed, and nothing has these ids.
func nowhere() target {
	const id = "_00000000000000000000000000"
	return target{connection: "con" + id, session: "cs" + id, apiKey: "key" + id, revocation: "rev" + id}
}

// TestKeys: no key, no known key, no live key: one answer, on every route.
func TestKeys(t *testing.T) {
	each(t, func(w *world) {
		expired, _ := w.shortLived(time.Minute)
		revoked, id := w.shortLived(time.Hour)
		w.delete("/v1/api-keys/" + id).want(http.StatusNoContent)
		w.clock.pass(2 * time.Minute)
		unknown := vault.NewState().Reveal()
		w.planted.add(unknown)
		w.planted.add("not-a-key-of-ours-at-all")
		attempts := map[string][]string{
			"none":           nil,
			"empty":          {""},
			"scheme alone":   {"Bearer"},
			"empty key":      {"Bearer "},
			"unknown":        {"Bearer " + unknown},
			"another form":   {"Bearer not-a-key-of-ours-at-all"},
			"expired":        {"Bearer " + expired},
			"revoked":        {"Bearer " + revoked},
			"another scheme": {"Basic " + w.key},
			"no scheme":      {w.key},
			"two of them":    {"Bearer " + w.key, "Bearer " + w.key},
			"with a tail":    {"Bearer " + w.key + ", Bearer x"},
			"long":           {"Bearer " + strings.Repeat("k", 30<<10)},
		}
		x := w.target()
		var want string
		for _, o := range w.contract.operations {
			for name, values := range attempts {
				if name != "unknown" && name != "none" && o.String() != "GET /v1/connections/{id}/headers" && o.String() != "GET /v1/connections" {
					continue // one route of each of the two ways in will do
				}
				c := w.request(o.method, x.path(o), w.contract.example(o))
				c.header["Authorization"] = values
				a := c.want(http.StatusUnauthorized).code("unauthenticated")
				if got := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer ") {
					t.Errorf("%s, %s: WWW-Authenticate %q", o, name, got)
				}
				body := strings.Replace(string(a.body), a.text("request_id"), "", 1)
				if want == "" {
					want = body
				}
				if body != want {
					t.Errorf("%s, %s: %s, want %s", o, name, body, want)
				}
			}
		}
		// A key in the query is no key, and the scheme has no case.
		c := w.get("/v1/connections?access_token=" + w.key)
		c.header.Del("Authorization")
		c.want(http.StatusUnauthorized)
		w.get("/v1/connections").with("Authorization", "bEARER "+w.key).want(http.StatusOK)
		// Cookies are nothing to this API.
		w.get("/v1/connections").with("Cookie", "session=x").want(http.StatusOK)
		for _, name := range []string{"Set-Cookie", "Access-Control-Allow-Origin"} {
			if got := w.get("/v1/connections").with("Origin", "https://evil.example").want(http.StatusOK).Header.Get(name); got != "" {
				t.Errorf("%s: %q", name, got)
			}
		}
	})
}

// shortLived makes a key over the API.
func (w *world) shortLived(life time.Duration) (key, id string) {
	w.t.Helper()
	a := w.post("/v1/api-keys", object{
		"name": "short", "scopes": vault.AllScopes(), "expires_at": w.clock.Now().Add(life).Format(time.RFC3339),
	}).shows().want(http.StatusCreated)
	return a.text("key"), a.text("id")
}

// TestScopes: each route is shut to a key that has every scope but its own, and
// open to one that has that scope alone.
func TestScopes(t *testing.T) {
	each(t, func(w *world) {
		x := w.target()
		without, alone := map[vault.Scope]string{}, map[vault.Scope]string{}
		for _, scope := range vault.AllScopes() {
			without[scope] = w.newKey(slices.DeleteFunc(vault.AllScopes(), func(s vault.Scope) bool { return s == scope })...)
			alone[scope] = w.newKey(scope)
		}
		before := string(w.db.Rows(w.t))
		for _, o := range w.contract.operations {
			scope := vault.Scope(o.scope(w.t))
			a := w.request(o.method, x.path(o), w.contract.example(o)).as(without[scope]).want(http.StatusForbidden)
			a.code("insufficient_scope").has("This needs the scope " + string(scope) + ".")
			if got := a.Header.Get("WWW-Authenticate"); !strings.Contains(got, `error="insufficient_scope"`) {
				t.Errorf("%s: WWW-Authenticate %q", o, got)
			}
			newest := w.trail(vault.AuditFilter{})[0]
			if newest.Action != vault.ActionRefused || newest.Allowed || newest.Reason != string(scope) {
				t.Errorf("%s: the trail ends with %+v", o, newest)
			}
		}
		if after := string(w.db.Rows(w.t)); !onlyMore(before, after, "audit_entries.") {
			t.Error("more than the trail has changed")
		}
		for _, o := range w.contract.operations {
			c := w.request(o.method, nowhere().path(o), w.contract.example(o)).as(alone[vault.Scope(o.scope(w.t))])
			c.wantNot(http.StatusForbidden, http.StatusUnauthorized)
		}
		// To revoke on the way takes the scope for that as well.
		key := w.newKey(vault.ScopeIntegrationsWrite, vault.ScopeIntegrationsRead)
		w.delete("/v1/integrations/clicktime?revoke=true").as(key).want(http.StatusForbidden).has("connections:revoke")
		w.get("/v1/integrations/clicktime").as(key).want(http.StatusOK)
	})
}

// onlyMore reports whether after is before and lines of one table.
func onlyMore(before, after, table string) bool {
	had := map[string]int{}
	for line := range strings.Lines(before) {
		had[line]++
	}
	for line := range strings.Lines(after) {
		if had[line] > 0 {
			had[line]--
		} else if !strings.HasPrefix(line, table) {
			return false
		}
	}
	for line, n := range had {
		if n > 0 && !strings.HasPrefix(line, table) {
			return false
		}
	}
	return true
}

// withoutID are the routes that name nothing in their path: lists, which are of
// the key's environment, and what makes something there.
func withoutID() []string {
	return []string{
		"GET /v1/providers",
		"GET /v1/integrations", "POST /v1/integrations",
		"POST /v1/connect-sessions",
		"GET /v1/connections", "POST /v1/connections",
		"GET /v1/api-keys", "POST /v1/api-keys",
		"GET /v1/audit", "GET /v1/audit/export", "GET /v1/events",
		"GET /v1/revocations", "POST /v1/revocations",
	}
}

// TestElsewhere: to a key of another environment nothing of this one exists,
// whatever the verb.
func TestElsewhere(t *testing.T) {
	each(t, func(w *world) {
		x := w.target()
		w.get("/v1/events").want(http.StatusOK).has(x.connection) // there is one to see, here
		before := string(w.db.Rows(w.t))
		for _, o := range w.contract.operations {
			if !strings.Contains(o.path, "{") {
				// A route without an id in its path is looked at below, or by a test of
				// its own.
				if !slices.Contains(withoutID(), o.String()) {
					t.Errorf("%s: nobody has looked at what it shows of another environment", o)
				}
				continue
			}
			if o.path == "/v1/providers/{name}" {
				continue
			}
			var body any
			if examples := w.contract.examples(o); examples != nil {
				body = w.contract.example(o)
			}
			theirs := w.request(o.method, x.path(o), body).as(w.elsewhere).want(http.StatusNotFound).code("not_found")
			missing := w.request(o.method, nowhere().path(o), body).as(w.elsewhere)
			if o.path == "/v1/integrations/{key}" {
				missing.path = "/v1/integrations/missing"
			}
			none := missing.want(http.StatusNotFound)
			if a, b := theirs.at("detail"), none.at("detail"); a != b {
				t.Errorf("%s: %q for what is elsewhere, %q for what is nowhere", o, a, b)
			}
		}
		w.get("/v1/audit/export").want(http.StatusOK).has(x.connection)
		w.get("/v1/audit/export").as(w.elsewhere).want(http.StatusOK).lacks(x.connection, w.env)
		for _, path := range []string{"/v1/connections", "/v1/integrations", "/v1/revocations", "/v1/connections?end_user_id=user-1815", "/v1/connections?integration=toggl", "/v1/audit?connection_id=" + x.connection} {
			w.get(path).as(w.elsewhere).want(http.StatusOK).is("data", []any{})
		}
		w.get("/v1/api-keys").as(w.elsewhere).want(http.StatusOK).lacks(x.apiKey)
		w.get("/v1/events").as(w.elsewhere).want(http.StatusOK).is("data", []any{}).is("next_cursor", nil)
		w.post("/v1/connect-sessions", object{"end_user": ada, "connection_id": x.connection}).as(w.elsewhere).want(http.StatusNotFound)
		w.post("/v1/connect-sessions", object{"end_user": ada, "integrations": []string{"toggl"}}).as(w.elsewhere).
			want(http.StatusUnprocessableEntity).code("invalid_request", "/integrations/0")
		w.post("/v1/connections", togglImport(nil)).as(w.elsewhere).want(http.StatusUnprocessableEntity).code("invalid_request", "/integration")
		if after := string(w.db.Rows(w.t)); !onlyMore(before, after, "audit_entries.") {
			t.Error("something has changed")
		}
		w.get("/v1/connections/" + x.connection + "/headers").shows().want(http.StatusOK)
	})
}

// TestRecord: the log has who asked, where and about what, and no path.
func TestRecord(t *testing.T) {
	each(t, func(w *world) {
		x := w.target()
		w.get("/v1/connections/" + x.connection + "/headers").shows().want(http.StatusOK)
		w.get("/v1/connections/" + x.connection).want(http.StatusOK)
		caller, err := w.vault.Authenticate(w.t.Context(), vault.Bearer{Key: vault.NewSecret(w.key)})
		w.must(err)
		for _, route := range []string{"/v1/connections/:id/headers", "/v1/connections/:id"} {
			found := false
			for line := range strings.Lines(w.log.String()) {
				found = found || strings.Contains(line, `"route":"`+route+`"`) && strings.Contains(line, `"actor":"`+caller.ID+`"`) &&
					strings.Contains(line, `"environment":"`+w.env+`"`) && strings.Contains(line, `"connection_id":"`+x.connection+`"`)
			}
			if !found {
				t.Errorf("no record of %s with actor, environment and connection", route)
			}
		}
		if strings.Contains(w.log.String(), "/v1/connections/"+x.connection) {
			t.Error("the log has a path")
		}
	})
}

// TestMethods: a path that is there says what it takes; HEAD is GET without a
// body.
func TestMethods(t *testing.T) {
	each(t, func(w *world) {
		w.request(http.MethodPut, "/v1/connections", object{}).want(http.StatusMethodNotAllowed).code("method_not_allowed")
		w.get("/v1/connect-sessions").want(http.StatusMethodNotAllowed)
		w.get("/v1/nothing").want(http.StatusNotFound).code("not_found")
		w.get("/v1/connections/").want(http.StatusNotFound)
		w.get("/v1/connections//headers").want(http.StatusNotFound)
		rec := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(w.t.Context(), http.MethodHead, "/v1/connections", http.NoBody)
		req.Header.Set("Authorization", "Bearer "+w.key)
		w.echo.ServeHTTP(rec, req)
		if rec.Code != http.StatusOK {
			t.Errorf("HEAD: %d", rec.Code)
		}
	})
}
