package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

// TestIntegrations: set up, changed, removed, and never with its secret.
func TestIntegrations(t *testing.T) {
	each(t, func(w *world) {
		const secret = "client-secret-of-the-staging-instance"
		w.planted.add(secret, "another-client-secret")
		overrides := object{"issuer": w.sand.TimeLog().URL(), "response_mode": "form_post", "allowed_hosts": []string{"*.staging.example"}}
		body := object{
			"provider": "timelog", "key": "staging", "title": "TimeLog (staging)", "client_id": "my-client", "client_secret": secret,
			"scopes": []string{"openid", "tlp"}, "methods": []string{"personal_access_token", "oidc"}, "overrides": overrides,
		}
		a := w.post("/v1/integrations", body).want(http.StatusCreated)
		now := w.clock.Now().Format(time.RFC3339)
		want := object{
			"id": a.text("id"), "key": "staging", "provider": "timelog", "title": "TimeLog (staging)", "client_id": "my-client", "has_client_secret": true,
			"scopes": body["scopes"], "methods": body["methods"], "overrides": overrides,
			"redirect_uri": w.url + "/connect/callback/" + a.text("id"), "previous_client_secret_until": nil, "created_at": now, "updated_at": now,
		}
		path := "/v1/integrations/staging"
		for _, got := range []*answer{a, w.get(path).want(http.StatusOK)} {
			if js(got.object()) != js(want) {
				t.Errorf("got %s\nwant %s", js(got.object()), js(want))
			}
		}
		if in := w.opened("staging"); in.ClientSecret.Reveal() != secret {
			t.Error("the secret is another one")
		}
		w.post("/v1/integrations", body).want(http.StatusConflict).code("conflict").has("staging")

		// A patch changes what it names.
		w.clock.pass(time.Minute)
		w.patch(path, object{"title": "Renamed", "client_secret": nil}).want(http.StatusOK).is("title", "Renamed").is("client_id", "my-client").
			is("has_client_secret", true).is("overrides", overrides).is("updated_at", w.clock.Now().Format(time.RFC3339)).is("created_at", now)
		w.patch(path, object{"client_secret": "another-client-secret"}).want(http.StatusOK).is("has_client_secret", true)
		if in := w.opened("staging"); in.ClientSecret.Reveal() != "another-client-secret" {
			t.Error("the secret is still the old one")
		}
		w.get(path).want(http.StatusOK).is("previous_client_secret_until", w.clock.Now().Add(24*time.Hour).Format(time.RFC3339))
		for _, bad := range []object{{"client_secret": "x", "client_secret_overlap_seconds": -1}, {"client_secret_overlap_seconds": 30*24*3600 + 1}, {"client_secret_overlap_seconds": 60}} {
			w.patch(path, bad).want(http.StatusUnprocessableEntity).code("invalid_request", "/client_secret_overlap_seconds")
		}
		w.patch(path, object{"client_secret_overlap_seconds": 0}).want(http.StatusOK).is("previous_client_secret_until", nil).is("has_client_secret", true)
		w.patch(path, object{"client_secret": ""}).want(http.StatusUnprocessableEntity).code("invalid_request", "/client_secret")
		w.patch(path, object{"client_secret": "", "methods": []string{"personal_access_token"}}).want(http.StatusOK).is("has_client_secret", false)
		w.patch(path, object{"overrides": object{}, "scopes": []string{}, "title": ""}).want(http.StatusOK).is("overrides", object{}).is("scopes", []any{}).is("title", "")
		for name, v := range (object{"key": "other", "provider": "toggl", "id": "int_1", "redirect_uri": "x"}) {
			w.patch(path, object{name: v}).want(http.StatusBadRequest).code("invalid_request", "/"+name)
		}

		w.get("/v1/integrations").want(http.StatusOK).is("data/0/key", "staging").is("next_cursor", nil)
		first := w.get("/v1/integrations?limit=3").want(http.StatusOK)
		w.get("/v1/integrations?limit=3&cursor="+first.text("next_cursor")).want(http.StatusOK).is("data/0/key", "toggl").is("next_cursor", nil)

		w.delete(path).want(http.StatusNoContent)
		w.get(path).want(http.StatusNotFound)
		w.delete(path).want(http.StatusNotFound)
		actions := []vault.Action{}
		for _, e := range w.trail(vault.AuditFilter{}) {
			if e.IntegrationID == a.text("id") {
				actions = append(actions, e.Action)
			}
		}
		slices.Reverse(actions)
		if got := js(actions); got != js([]vault.Action{
			vault.ActionIntegrationCreated, vault.ActionIntegrationUpdated, vault.ActionIntegrationUpdated, vault.ActionIntegrationUpdated,
			vault.ActionIntegrationUpdated, vault.ActionIntegrationUpdated, vault.ActionIntegrationDeleted,
		}) {
			t.Errorf("trail: %s", got)
		}
	})
}

// TestDeleteIntegration: not from under live connections, unless that is meant.
func TestDeleteIntegration(t *testing.T) {
	each(t, func(w *world) {
		ctx, stop := context.WithCancel(w.t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.must(w.vault.Run(ctx)) })
		live, revoked := w.timelog(), w.timelog()
		w.post("/v1/connections/"+revoked+"/revoke", nil).want(http.StatusOK)
		w.delete("/v1/integrations/timelog").want(http.StatusConflict).code("conflict").has("revoke=true")
		w.get("/v1/connections/" + live + "/headers").shows().want(http.StatusOK)
		w.delete("/v1/integrations/timelog?revoke=true").want(http.StatusNoContent)
		w.get("/v1/integrations/timelog").want(http.StatusNotFound)
		w.get("/v1/connections/" + live + "/headers").want(http.StatusNotFound) // rows go with their integration
		id := w.get("/v1/revocations").want(http.StatusOK).is("data/0/deletes_integration/key", "timelog").text("data/0/id")
		w.get("/v1/revocations/"+id+"?wait=30").want(http.StatusOK).is("status", "completed").is("revoked", 1.0)
		stop()
		running.Wait()
		for _, f := range w.sand.TimeLog().Families() {
			if f.RevokedBy == "" {
				t.Errorf("TimeLog was not told: %+v", f)
			}
		}
		w.delete("/v1/integrations/clicktime?revoke=true").want(http.StatusNoContent) // nothing is linked with it, and nobody waited for
		if e := w.trail(vault.AuditFilter{Action: vault.ActionIntegrationDeleted}); len(e) != 2 || e[1].ActorKind != vault.CallerAPIKey {
			t.Errorf("the trail has %+v", e)
		}
	})
}

// TestDeleteIntegrationTakesLonger than anybody waits.
func TestDeleteIntegrationTakesLonger(t *testing.T) {
	each(t, func(w *world) {
		w.vault.StopWaiting()
		live := w.timelog()
		in := w.get("/v1/integrations/timelog").want(http.StatusOK).text("id")
		deletes := object{"id": in, "key": "timelog", "deleted_at": nil}
		a := w.delete("/v1/integrations/timelog?revoke=true").want(http.StatusAccepted).is("status", "gathering").is("deletes_integration", deletes)
		path := "/v1/revocations/" + a.text("id")
		if got := a.Header.Get("Location"); got != path {
			t.Errorf("Location %q", got)
		}
		w.delete("/v1/integrations/timelog?revoke=true").want(http.StatusAccepted).is("id", a.text("id"))
		w.get(path).want(http.StatusOK).is("deletes_integration", deletes)
		w.post(path+"/stop", nil).want(http.StatusOK).is("status", "stopped").is("deletes_integration", deletes)
		w.get("/v1/connections/"+live).want(http.StatusOK).is("status", "active")
		w.post(path+"/resume", nil).want(http.StatusOK)
		w.must(w.vault.Tidy(w.t.Context()))
		now := w.clock.Now().Format(time.RFC3339)
		w.get(path).want(http.StatusOK).is("status", "completed").is("deletes_integration", object{"id": in, "key": "timelog", "deleted_at": now})
		w.get("/v1/integrations/timelog").want(http.StatusNotFound)
		other := w.post("/v1/revocations", object{"connection_ids": []string{w.toggl()}}).want(http.StatusAccepted)
		other.is("deletes_integration", nil)
	})
}

// TestBadIntegrations: all that is wrong is said at once.
func TestBadIntegrations(t *testing.T) {
	each(t, func(w *world) {
		w.planted.add("planted-client-secret")
		before := string(w.db.Rows(w.t))
		for _, tt := range []struct {
			body     object
			status   int
			pointers []string
		}{
			{object{}, 422, []string{"/key", "/provider"}},
			{object{"provider": "nobody", "key": "Nobody!", "client_secret": "planted-client-secret"}, 422, []string{"/key", "/provider"}},
			{object{"provider": "toggl", "key": strings.Repeat("k", 65)}, 422, []string{"/key"}},
			{object{"provider": "toggl", "key": "a\u0000"}, 422, []string{"/key"}},
			{object{"provider": "toggl", "key": "t", "title": strings.Repeat("t", 101), "methods": []string{"telepathy"}}, 422, []string{"/title", "/methods/0"}},
			{object{"provider": "toggl", "key": "t", "overrides": object{"base_url": "http://10.0.0.1", "session_url": "ftp://x"}}, 422, []string{"/overrides/base_url", "/overrides/session_url"}},
			{object{"provider": "toggl", "key": "t", "overrides": object{"base_url": "https://u:planted-client-secret@x.example"}}, 422, []string{"/overrides/base_url"}},
			{object{"provider": "timelog", "key": "t"}, 422, []string{"/client_id", "/client_secret"}},
			{object{"provider": "timelog", "key": "t", "client_id": "a\r\nb", "client_secret": "planted-client-secret"}, 422, []string{"/client_id"}},
			{object{"provider": "toggl", "key": "t", "overrides": object{"base_uri": "https://x.example"}}, 400, []string{"/overrides/base_uri"}},
			{object{"provider": "toggl", "key": "t", "secret": "planted-client-secret"}, 400, []string{"/secret"}},
			{object{"provider": "toggl", "key": "t", "client_secret": 1}, 400, []string{"/client_secret"}},
		} {
			w.post("/v1/integrations", tt.body).want(tt.status).code("invalid_request", tt.pointers...)
		}
		w.patch("/v1/integrations/toggl", object{"title": "a\nb", "methods": []string{"telepathy"}}).want(http.StatusUnprocessableEntity).code("invalid_request", "/title", "/methods/0")
		if after := string(w.db.Rows(w.t)); after != before {
			t.Error("something was stored")
		}
	})
}

// TestAPIKeys: made once, seen without themselves, dead at once.
func TestAPIKeys(t *testing.T) {
	each(t, func(w *world) {
		end := w.clock.Now().Add(time.Hour)
		// Times come in any zone and with any precision, and go out in UTC.
		given := end.In(time.FixedZone("", 2*60*60)).Format("2006-01-02T15:04:05.000Z07:00")
		a := w.post("/v1/api-keys", object{"name": "worker", "scopes": []string{"connections:read", "api_keys:write"}, "expires_at": given}).shows().want(http.StatusCreated).
			is("name", "worker").is("scopes", []string{"connections:read", "api_keys:write"}).is("expires_at", end.Format(time.RFC3339))
		key, id := a.text("key"), a.text("id")
		if !vault.LooksLikeToken(vault.NewSecret(key)) || !strings.HasPrefix(key, a.text("prefix")) || len(a.text("prefix")) > 16 {
			t.Errorf("prefix %q of a key of %d characters", a.text("prefix"), len(key))
		}
		w.get("/v1/connections").as(key).want(http.StatusOK)
		w.must(w.vault.FlushReads(w.t.Context()))
		now := w.clock.Now().Format(time.RFC3339)
		list := w.get("/v1/api-keys").want(http.StatusOK).is("data/0", object{
			"id": id, "name": "worker", "prefix": a.text("prefix"), "scopes": []string{"connections:read", "api_keys:write"},
			"integrations": []any{}, "addresses": []any{}, "replaces_id": nil,
			"expires_at": end.Format(time.RFC3339), "revoked_at": nil, "last_used_at": now, "created_at": now,
		})
		if len(list.at("data").([]any)) != 2 {
			t.Errorf("keys: %s", list.body)
		}
		// Nobody hands out what they do not have, or makes nonsense.
		for _, tt := range []struct {
			body     object
			status   int
			pointers []string
		}{
			{object{"name": "x", "scopes": []string{"connections:read", "audit:read"}}, 422, []string{"/scopes/1"}},
			{object{"name": "", "scopes": []string{}}, 422, []string{"/name", "/scopes"}},
			{object{"name": "a\u0000", "scopes": []string{"all"}, "expires_at": "2001-01-01T00:00:00Z"}, 422, []string{"/name", "/scopes/0", "/expires_at"}},
			{object{"name": "x", "scopes": []string{"connections:read"}, "expires_at": "0001-01-01T00:00:00Z"}, 422, []string{"/expires_at"}},
			{object{"name": "x", "scopes": []string{"connections:read"}, "expires_at": "tomorrow"}, 400, []string{"/expires_at"}},
			{object{"name": "x", "scopes": []string{"connections:read"}, "expires_at": 1900000000}, 400, []string{"/expires_at"}},
			{object{"name": "x", "scopes": "connections:read"}, 400, []string{"/scopes"}},
			{object{"name": "x", "scopes": []string{"connections:read"}, "key": strings.Repeat("k", 40)}, 400, []string{"/key"}},
		} {
			w.post("/v1/api-keys", tt.body).as(key).want(tt.status).code("invalid_request", tt.pointers...)
		}
		w.post("/v1/api-keys", object{"name": "for ever", "scopes": []string{"audit:read"}, "expires_at": nil}).shows().want(http.StatusCreated).is("expires_at", nil)

		w.delete("/v1/api-keys/" + id).want(http.StatusNoContent)
		w.get("/v1/connections").as(key).want(http.StatusUnauthorized)
		w.delete("/v1/api-keys/" + id).want(http.StatusNoContent) // once more changes nothing
		w.get("/v1/api-keys?limit=1").want(http.StatusOK).is("data/0/revoked_at", nil)
		w.get("/v1/api-keys?limit=1&cursor="+w.get("/v1/api-keys?limit=1").want(http.StatusOK).text("next_cursor")).want(http.StatusOK).
			is("data/0/id", id).is("data/0/revoked_at", now)
		revoked := 0
		for _, e := range w.trail(vault.AuditFilter{Action: vault.ActionAPIKeyRevoked}) {
			if e.Reason == id {
				revoked++
			}
		}
		if revoked != 1 {
			t.Errorf("revoked %d times by the trail", revoked)
		}
	})
}

// TestAudit: who did what to which connection, narrowed and paged.
func TestAudit(t *testing.T) {
	each(t, func(w *world) {
		reader := w.newKey(vault.ScopeConnectionsRead)
		id, other := w.toggl(), w.toggl()
		w.patch("/v1/connections/"+id, object{"tags": object{"a": "b"}}).want(http.StatusOK)
		w.get("/v1/connections/" + id + "/credential").as(reader).want(http.StatusForbidden)
		w.get("/v1/connections/" + id + "/credential").shows().want(http.StatusOK)
		w.post("/v1/connections/"+id+"/revoke", nil).want(http.StatusOK)
		caller, err := w.vault.Authenticate(w.t.Context(), vault.Bearer{Key: vault.NewSecret(w.key)})
		w.must(err)
		refused, err := w.vault.Authenticate(w.t.Context(), vault.Bearer{Key: vault.NewSecret(reader)})
		w.must(err)
		all := w.get("/v1/audit?connection_id=" + id).want(http.StatusOK).lacks(other)
		var got []string
		for _, e := range all.at("data").([]any) {
			got = append(got, e.(object)["action"].(string))
		}
		want := []string{"provider.told", "connection.revoked", "credential.read", "refused", "connection.updated", "connection.imported"}
		if !slices.Equal(got, want) {
			t.Errorf("trail %q, want %q", got, want)
		}
		all.is("data/0/actor_kind", "system").is("data/0/actor_id", "revoke").is("data/0/reason", "unsupported").
			is("data/1/actor_kind", "api_key").is("data/1/actor_id", caller.ID).is("data/1/allowed", true).is("data/1/generation", 1).
			is("data/3", object{
				"id": all.text("data/3/id"), "at": w.clock.Now().Format(time.RFC3339), "actor_kind": "api_key", "actor_id": refused.ID, "action": "refused", "allowed": false,
				"connection_id": id, "integration_id": nil, "connect_session_id": nil, "reason": "credentials:read_raw", "generation": nil, "count": 1,
				"environment_id": refused.EnvironmentID, "writer": all.text("data/3/writer"), "seq": all.at("data/3/seq"),
				"hash": all.text("data/3/hash"), "proof": all.text("data/3/proof"),
			})
		w.get("/v1/audit?action=connection.revoked").want(http.StatusOK).is("data/0/connection_id", id)
		w.get("/v1/audit?actor_id="+refused.ID).want(http.StatusOK).is("data/0/action", "refused").is("next_cursor", nil)
		w.get("/v1/audit?actor_id="+refused.ID+"&action=connection.revoked").want(http.StatusOK).is("data", []any{})
		var paged []string
		cursor := ""
		for {
			page := w.get(fmt.Sprintf("/v1/audit?connection_id=%s&limit=4%s", id, cursor)).want(http.StatusOK)
			paged = append(paged, idsOf(page)...)
			next, more := page.at("next_cursor").(string)
			if !more {
				break
			}
			cursor = "&cursor=" + next
		}
		if !slices.Equal(paged, idsOf(all)) {
			t.Errorf("paged %q", paged)
		}
	})
}

// TestAuditExport: what the list has, in lines and the other way round, with the
// same filters.
func TestAuditExport(t *testing.T) {
	each(t, func(w *world) {
		id := w.toggl()
		w.get("/v1/connections/" + id).as(w.newKey(vault.ScopeAuditRead)).want(http.StatusForbidden)
		since := w.clock.Now().Add(-time.Minute).Format(time.RFC3339)
		until := w.clock.Now().Add(time.Minute).Format(time.RFC3339)
		for _, query := range []string{"", "?action=refused", "?refused=true", "?connection_id=" + id, "?since=" + since + "&until=" + until, "?until=" + since, "?integration_id=none"} {
			list := w.get("/v1/audit" + query).want(http.StatusOK).at("data").([]any)
			export := w.get("/v1/audit/export" + query).want(http.StatusOK)
			if got := export.Header.Get("Content-Type"); got != "application/jsonl; charset=utf-8" {
				t.Errorf("%s: content type %q", query, got)
			}
			var lines []any
			for line := range strings.Lines(string(export.body)) {
				var entry any
				if err := json.Unmarshal([]byte(line), &entry); err != nil {
					t.Fatalf("%s: %v: %s", query, err, line)
				}
				lines = append(lines, entry)
			}
			slices.Reverse(lines)
			if diff := cmp.Diff(list, lines, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-list +export):\n%s", query, diff)
			}
			if empty := strings.Contains(query, "until="+since) || strings.Contains(query, "none"); empty != (len(list) == 0) {
				t.Errorf("%s: %d entries", query, len(list))
			}
		}
		for _, bad := range []string{"since=yesterday", "until=2026-13-01", "refused=maybe", "cursor=x"} {
			w.get("/v1/audit/export?" + bad).want(http.StatusBadRequest)
		}
	})
}

// cutWriter is a client that does something when the first part has come.
type cutWriter struct {
	*httptest.ResponseRecorder
	first func()
}

func (c *cutWriter) Write(b []byte) (int, error) {
	if c.Body.Len() == 0 {
		c.first()
	}
	return c.ResponseRecorder.Write(b)
}

// TestAuditExportEnds: a key that is revoked while it exports the trail gets what
// is on its way, and no more.
func TestAuditExportEnds(t *testing.T) {
	each(t, func(w *world) {
		for range 1000 { // two parts, and what there was before
			if err := w.vault.Allow(t.Context(), vault.Caller{Kind: vault.CallerAPIKey, ID: "nobody", EnvironmentID: w.env}, vault.ScopeAuditRead); err == nil {
				t.Fatal("allowed")
			}
		}
		k, key, err := w.vault.CreateAPIKey(t.Context(), vault.System("test", w.env), vault.NewAPIKey{Name: "export", Scopes: []vault.Scope{vault.ScopeAuditRead}})
		w.must(err)
		out := &cutWriter{httptest.NewRecorder(), func() { w.must(w.vault.RevokeAPIKey(t.Context(), vault.System("test", w.env), k.ID)) }}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/audit/export", nil)
		r.Header.Set("Authorization", "Bearer "+key.Reveal())
		func() {
			defer func() {
				if cut := recover(); cut != http.ErrAbortHandler { //nolint:errorlint // what net/http compares with
					t.Errorf("the answer ended with %v", cut)
				}
			}()
			w.echo.ServeHTTP(out, r)
		}()
		if n := strings.Count(out.Body.String(), "\n"); out.Code != http.StatusOK || n != 500 {
			t.Errorf("%d, %d lines", out.Code, n)
		}
	})
}

// TestProviders: the catalog as far as it concerns backends.
func TestProviders(t *testing.T) {
	each(t, func(w *world) {
		all := w.get("/v1/providers").want(http.StatusOK).is("next_cursor", nil)
		var names []string
		for _, p := range all.at("data").([]any) {
			names = append(names, p.(object)["name"].(string))
		}
		for _, name := range []string{"toggl", "clicktime", "timelog", "github", "oidc", "basic"} {
			if !slices.Contains(names, name) {
				t.Errorf("no %s among %q", name, names)
			}
		}
		if !slices.IsSorted(names) {
			t.Errorf("names %q", names)
		}
		// What a form is made of, and nothing of how the provider is called.
		all.lacks("{api_token}", "newlogin.timelog.com/connect", "__Secure-accounts-session", "refused", "token_url", "/api/v9/me")
		toggl := w.get("/v1/providers/toggl").want(http.StatusOK).is("title", "Toggl Track").is("base_url", "https://api.track.toggl.com").
			is("methods/0/name", "api_token").is("methods/0/scheme", "basic").is("methods/0/recommended", true).
			is("methods/0/fields/0/name", "api_token").is("methods/0/fields/0/type", "token").is("methods/0/fields/0/secret", true).is("methods/0/fields/0/required", true).
			is("methods/1/fields/0/secret", false).is("methods/1/fields/1/secret", true).is("methods/1/fields/1/type", "password")
		if n := len(toggl.at("methods").([]any)); n != 3 {
			t.Errorf("%d methods", n)
		}
		w.get("/v1/providers/timelog").want(http.StatusOK).is("base_url", nil).is("methods/0/fields", []any{})
		w.get("/v1/providers/nobody").want(http.StatusNotFound).code("not_found")
		// An import can be made of what the catalog says.
		field := toggl.text("methods/0/fields/0/name")
		w.imported(togglImport(object{"method": toggl.text("methods/0/name"), "credential": object{field: sandbox.TogglAdaToken}}))
	})
}
