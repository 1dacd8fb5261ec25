package api_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/vault"
)

// limitable are the scopes that a key limited to integrations may have.
func limitable() []vault.Scope {
	return slices.DeleteFunc(vault.AllScopes(), vault.Scope.Whole)
}

// limitedKey makes a key over the API that is limited to integrations.
func (w *world) limitedKey(integrations ...string) string {
	w.t.Helper()
	return w.post("/v1/api-keys", object{"name": "limited", "scopes": limitable(), "integrations": integrations}).
		shows().want(http.StatusCreated).is("integrations", integrations).text("key")
}

// TestLimitedToIntegrations walks every operation with a key that is limited to
// another integration than what it asks for. Whoever adds an operation says here
// what such a key gets.
func TestLimitedToIntegrations(t *testing.T) {
	each(t, func(w *world) {
		x := w.target()
		mine := w.timelog()
		key := w.limitedKey("timelog")
		w.get("/v1/events").want(http.StatusOK) // numbers them
		before := string(w.db.Rows(w.t))
		for _, o := range w.contract.operations {
			var body any
			if w.contract.examples(o) != nil {
				body = w.contract.example(o)
			}
			r := w.request(o.method, x.path(o), body).as(key)
			scope := vault.Scope(o.scope(w.t))
			switch {
			case scope.Whole():
				r.want(http.StatusForbidden).code("insufficient_scope")
			case o.path == "/v1/providers", o.path == "/v1/providers/{name}": // the catalog is nobody's
				r.want(http.StatusOK)
			case strings.Contains(o.path, "{"):
				missing := nowhere().path(o)
				if strings.HasPrefix(o.path, "/v1/integrations/") {
					missing = "/v1/integrations/missing"
				}
				theirs := r.want(http.StatusNotFound).code("not_found").at("detail")
				if none := w.request(o.method, missing, body).as(key).want(http.StatusNotFound).at("detail"); theirs != none {
					t.Errorf("%s: %q for what is out of reach, %q for what is nowhere", o, theirs, none)
				}
			case o.path == "/v1/revocations" && o.method == http.MethodGet: // its own
				r.want(http.StatusOK).is("data", []any{})
			case o.method == http.MethodGet:
				a := r.want(http.StatusOK)
				a.lacks(x.connection).lacks("toggl").has("timelog")
			default:
				switch o.String() {
				case "POST /v1/integrations", "POST /v1/connections", "POST /v1/connect-sessions", "POST /v1/revocations": // below
				default:
					t.Errorf("%s: say here what a key gets that is limited to other integrations", o)
				}
			}
		}
		w.post("/v1/integrations", object{"provider": "toggl", "key": "another"}).as(key).want(http.StatusUnprocessableEntity).code("invalid_request", "/key")
		w.post("/v1/connections", togglImport(nil)).as(key).want(http.StatusUnprocessableEntity).code("invalid_request", "/integration")
		w.post("/v1/connect-sessions", object{"end_user": ada, "integrations": []string{"timelog", "toggl"}}).as(key).
			want(http.StatusUnprocessableEntity).code("invalid_request", "/integrations/1")
		w.post("/v1/connect-sessions", object{"end_user": ada, "connection_id": x.connection}).as(key).want(http.StatusNotFound)
		for _, path := range []string{"/v1/connections?integration=toggl", "/v1/connections?q=" + x.connection} {
			w.get(path).as(key).want(http.StatusOK).is("data", []any{})
		}
		both := []string{x.connection, mine}
		w.post("/v1/revocations", object{"connection_ids": both, "dry_run": true}).as(key).want(http.StatusOK).is("total", 1.0)
		w.post("/v1/revocations", object{"filter": object{}, "all": true, "dry_run": true}).as(key).want(http.StatusOK).is("total", 1.0)
		if after := string(w.db.Rows(w.t)); !onlyMore(before, after, "audit_entries.") {
			t.Error("something has changed")
		}

		// What it reaches is there as ever.
		w.get("/v1/connections/" + mine + "/headers").as(key).shows().want(http.StatusOK)
		w.get("/v1/connections/"+mine).as(key).want(http.StatusOK).is("integration", "timelog")
		w.get("/v1/integrations/timelog").as(key).want(http.StatusOK)
		for _, kind := range []string{"connect", "manage"} {
			s := w.post("/v1/connect-sessions", object{"kind": kind, "end_user": ada}).as(key).shows().want(http.StatusCreated)
			w.get("/v1/connect-sessions/" + s.text("id")).as(key).want(http.StatusOK)
			w.get("/v1/connect-sessions/" + s.text("id")).as(w.limitedKey("toggl")).want(http.StatusNotFound)
			row, err := w.db.Open(w.t).Session(w.t.Context(), w.env, s.text("id"))
			w.must(err)
			if !slices.Equal(row.Integrations, []string{"timelog"}) {
				t.Errorf("a session of kind %s offers %q", kind, row.Integrations)
			}
		}
		for _, body := range []object{{"connection_ids": both}, {"filter": object{}, "all": true}} {
			bulk := "/v1/revocations/" + w.post("/v1/revocations", body).as(key).want(http.StatusAccepted).text("id")
			w.must(w.vault.Tidy(w.t.Context()))
			w.get(bulk).as(key).want(http.StatusOK).is("status", "completed")
			w.get(bulk + "/items").as(key).want(http.StatusOK).lacks(x.connection)
		}
		w.get("/v1/connections/"+mine).as(key).want(http.StatusOK).is("status", "revoked")
		w.get("/v1/connections/"+x.connection).want(http.StatusOK).is("status", "active")
	})
}

// TestLimitsOfKeys: what a key may be limited to, and what goes with it.
func TestLimitsOfKeys(t *testing.T) {
	each(t, func(w *world) {
		for _, tt := range []struct {
			members  object
			pointers []string
		}{
			{object{"integrations": []string{"toggl", "nobody", "toggl", "No!"}}, []string{"/integrations/1", "/integrations/2", "/integrations/3"}},
			{object{"integrations": []string{"toggl"}, "scopes": []string{"audit:read", "connections:read", "api_keys:write"}}, []string{"/scopes/0", "/scopes/2"}},
			{
				object{"addresses": []string{"10.0.0.0/8", "10.0.0.1/8", "example.com", "::ffff:10.0.0.0/104", "fe80::1%eth0", "10.0.0.0/33"}},
				[]string{"/addresses/1", "/addresses/2", "/addresses/3", "/addresses/4", "/addresses/5"},
			},
		} {
			body := object{"name": "x", "scopes": []string{"connections:read"}}
			maps.Copy(body, tt.members)
			w.post("/v1/api-keys", body).want(http.StatusUnprocessableEntity).code("invalid_request", tt.pointers...)
		}
		w.post("/v1/api-keys", object{"name": "x", "scopes": []string{"connections:read"}, "addresses": []string{"192.0.2.7", "2001:db8::7", "::ffff:192.0.2.8"}}).
			shows().want(http.StatusCreated).is("addresses", []string{"192.0.2.7/32", "2001:db8::7/128", "192.0.2.8/32"})
	})
}

// TestLimitedToAddresses: from elsewhere a good key is like none, and the trail
// tells of it without growing by each try.
func TestLimitedToAddresses(t *testing.T) {
	each(t, func(w *world) {
		id := w.toggl()
		limited := func(addresses ...string) (key, id string) {
			a := w.post("/v1/api-keys", object{"name": "x", "scopes": limitable(), "addresses": addresses}).shows().want(http.StatusCreated)
			return a.text("key"), a.text("id")
		}
		here, _ := limited("2001:db8::/32", "127.0.0.0/8")
		elsewhere, elsewhereID := limited("192.0.2.0/24", "::1")
		paths := []string{"/v1/connections/" + id + "/headers", "/v1/connections/" + id}
		for _, path := range paths {
			w.get(path).as(here).shows().want(http.StatusOK)
			w.get(path).as(elsewhere).want(http.StatusUnauthorized)
			// Nobody's word is taken for it.
			w.get(path).as(elsewhere).with("X-Forwarded-For", "192.0.2.7").with("X-Real-IP", "192.0.2.7").want(http.StatusUnauthorized)
			a := w.get(path).as(elsewhere).want(http.StatusUnauthorized)
			b := w.get(path).as("clv_key_unknown").want(http.StatusUnauthorized)
			one, other := strings.Replace(string(a.body), a.text("request_id"), "", 1), strings.Replace(string(b.body), b.text("request_id"), "", 1)
			if one != other {
				t.Errorf("%s: %s for a good key, %s for an unknown one", path, one, other)
			}
		}
		w.clock.pass(60e9)
		w.must(w.vault.Tidy(w.t.Context()))
		entries := w.trail(vault.AuditFilter{ActorID: elsewhereID})
		if len(entries) != 1 || entries[0].Action != vault.ActionRefused || entries[0].Reason != "address" || entries[0].Allowed || entries[0].Count != 6 {
			t.Errorf("trail: %+v", entries)
		}
	})
}

// TestPatchAPIKey: what is named changes, and works at once.
func TestPatchAPIKey(t *testing.T) {
	each(t, func(w *world) {
		id := w.toggl()
		a := w.post("/v1/api-keys", object{"name": "x", "scopes": []string{"connections:read", "credentials:read"}}).shows().want(http.StatusCreated)
		key, path := a.text("key"), "/v1/api-keys/"+a.text("id")
		headers := "/v1/connections/" + id + "/headers"
		w.patch(path, object{"integrations": []string{"timelog"}, "name": "y"}).want(http.StatusOK).is("name", "y").is("integrations", []string{"timelog"})
		w.get(headers).as(key).want(http.StatusNotFound)
		w.patch(path, object{"integrations": []string{}, "addresses": []string{"192.0.2.1"}}).want(http.StatusOK).is("integrations", []any{})
		w.get(headers).as(key).want(http.StatusUnauthorized)
		w.patch(path, object{"addresses": []string{}, "scopes": []string{"connections:read"}}).want(http.StatusOK).is("scopes", []string{"connections:read"})
		w.get(headers).as(key).want(http.StatusForbidden)
		w.patch(path, object{"expires_at": w.clock.Now().Add(60e9)}).want(http.StatusOK)
		w.patch(path, object{"expires_at": nil}).want(http.StatusOK)
		w.clock.pass(60e9)
		w.get("/v1/connections").as(key).want(http.StatusUnauthorized)
		w.patch(path, object{"expires_at": "never"}).want(http.StatusOK).is("expires_at", nil)
		w.get("/v1/connections").as(key).want(http.StatusOK)
		w.get(path).want(http.StatusOK).is("name", "y")

		for _, tt := range []struct {
			body     object
			pointers []string
		}{
			{object{"expires_at": "tomorrow"}, []string{"/expires_at"}},
			{object{"expires_at": w.clock.Now()}, []string{"/expires_at"}},
			{object{"name": "", "scopes": []string{}, "integrations": []string{"nobody"}, "addresses": []string{"x"}}, []string{"/name", "/scopes", "/integrations/0", "/addresses/0"}},
		} {
			w.patch(path, tt.body).want(http.StatusUnprocessableEntity).code("invalid_request", tt.pointers...)
		}
		// Nobody leaves a key with what they lack, not even by another name for it.
		writer := w.newKey(vault.ScopeAPIKeysWrite)
		w.patch(path, object{"name": "z"}).as(writer).want(http.StatusUnprocessableEntity).code("invalid_request", "/scopes/0")
		w.delete(path).want(http.StatusNoContent)
		w.patch(path, object{"name": "z"}).want(http.StatusConflict)
	})
}

// TestRotateAPIKey: both work for as long as was asked for, and the old one
// never longer than before.
func TestRotateAPIKey(t *testing.T) {
	each(t, func(w *world) {
		end := w.clock.Now().Add(10 * 24 * 3600e9)
		a := w.post("/v1/api-keys", object{
			"name": "worker", "scopes": []string{"connections:read"}, "integrations": []string{"toggl"}, "addresses": []string{"127.0.0.1"}, "expires_at": end,
		}).shows().want(http.StatusCreated)
		old, oldID := a.text("key"), a.text("id")
		rotate := func(id string, body any) *call { return w.post("/v1/api-keys/"+id+"/rotate", body) }
		for _, bad := range []object{{"overlap_seconds": -1}, {"overlap_seconds": 30*24*3600 + 1}} {
			rotate(oldID, bad).want(http.StatusUnprocessableEntity).code("invalid_request", "/overlap_seconds")
		}
		rotate(oldID, object{"expires_at": w.clock.Now()}).want(http.StatusUnprocessableEntity).code("invalid_request", "/expires_at")
		rotate(oldID, object{}).as(w.newKey(vault.ScopeAPIKeysWrite)).want(http.StatusUnprocessableEntity).code("invalid_request", "/scopes/0")

		b := rotate(oldID, object{"overlap_seconds": 3600}).shows().want(http.StatusCreated).
			is("name", "worker").is("scopes", []string{"connections:read"}).is("integrations", []string{"toggl"}).
			is("addresses", []string{"127.0.0.1/32"}).is("replaces_id", oldID).is("expires_at", a.text("expires_at"))
		young := b.text("key")
		rotate(oldID, object{}).want(http.StatusConflict) // whoever did not get the answer has to revoke it first
		for _, key := range []string{old, young} {
			w.get("/v1/connections").as(key).want(http.StatusOK)
		}
		w.clock.pass(3600e9)
		w.get("/v1/connections").as(old).want(http.StatusUnauthorized)
		w.get("/v1/connections").as(young).want(http.StatusOK)
		rotate(oldID, object{}).want(http.StatusConflict) // it is over

		// Never raised; and with no overlap it is revoked.
		c := rotate(b.text("id"), object{"overlap_seconds": 30 * 24 * 3600, "expires_at": "never"}).shows().want(http.StatusCreated).is("expires_at", nil)
		w.get("/v1/api-keys/"+b.text("id")).want(http.StatusOK).is("expires_at", a.text("expires_at"))
		d := rotate(c.text("id"), object{"overlap_seconds": 0}).shows().want(http.StatusCreated)
		w.get("/v1/connections").as(c.text("key")).want(http.StatusUnauthorized)
		w.get("/v1/api-keys/"+c.text("id")).want(http.StatusOK).is("revoked_at", d.text("created_at"))

		var actions []vault.Action
		for _, e := range w.trail(vault.AuditFilter{Action: vault.ActionAPIKeyRotated}) {
			actions = append(actions, vault.Action(e.Reason))
		}
		if want := []vault.Action{vault.Action(c.text("id")), vault.Action(b.text("id")), vault.Action(oldID)}; !slices.Equal(actions, want) {
			t.Errorf("rotated %q, want %q", actions, want)
		}
	})
}
