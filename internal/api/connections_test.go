package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

// TestImport: what a host brings along becomes a connection whose headers work.
func TestImport(t *testing.T) {
	each(t, func(w *world) {
		session := w.grant("toggl", "session", vault.Credential{
			"email": vault.NewSecret(sandbox.AdaEmail), "password": vault.NewSecret(sandbox.TogglAdaPassword),
		}).Credential.Get("cookie")
		tests := []struct {
			name    string
			body    object
			account object
			header  string // its name
		}{
			{"a token", togglImport(nil), object{"id": "9001815", "label": sandbox.AdaEmail}, "Authorization"},
			{
				"e-mail and password", togglImport(object{"method": "password", "credential": object{"email": sandbox.AdaEmail, "password": sandbox.TogglAdaPassword}}),
				object{"id": "9001815", "label": sandbox.AdaEmail},
				"Authorization",
			},
			{
				"user name and password as they are sent", togglImport(object{"method": "password", "credential": object{"username": sandbox.TogglAdaToken, "password": "api_token"}}),
				object{"id": "9001815", "label": sandbox.AdaEmail},
				"Authorization",
			},
			{
				"a session", togglImport(object{"method": "session", "credential": object{"cookie": session}}),
				object{"id": "9001815", "label": sandbox.AdaEmail},
				"Cookie",
			},
			{
				"a password to be traded for a token", object{
					"integration": "clicktime", "method": "password", "end_user": ada,
					"credential": object{"email": sandbox.AdaEmail, "password": sandbox.ClickTimeAdaPassword},
				}, object{"id": "2ADA1815CT", "label": sandbox.AdaEmail}, "Authorization",
			},
			{
				"nulls are what is left out", togglImport(object{"tags": nil, "external_id": nil, "verify": nil, "end_user": object{"id": "u", "email": nil, "name": nil}}),
				object{"id": "9001815", "label": sandbox.AdaEmail},
				"Authorization",
			},
			{
				"not verified: nobody is asked whose it is", togglImport(object{"verify": false, "credential": object{"api_token": strings.Repeat("0", 32)}}),
				object{"id": "", "label": ""},
				"Authorization",
			},
		}
		for _, tt := range tests {
			w.t.Run(tt.name, func(t *testing.T) {
				w := w.in(t)
				calls := w.sand.Toggl().Count(sandbox.Any)
				a := w.post("/v1/connections", tt.body).want(http.StatusCreated).is("account", tt.account).
					is("status", "active").is("generation", 1).is("status_reason", nil).is("method", tt.body["method"])
				if asked := w.sand.Toggl().Count(sandbox.Any) > calls; tt.body["integration"] == "toggl" && asked != (tt.body["verify"] != false) {
					t.Errorf("Toggl was asked: %t", asked)
				}
				w.get("/v1/connections/"+a.text("id")).want(http.StatusOK).is("account", tt.account)
				w.get("/v1/connections/" + a.text("id") + "/headers").shows().want(http.StatusOK).text("headers/" + tt.header)
			})
		}
	})
}

// TestImportMembers: everything that was sent comes back, but for the credential.
func TestImportMembers(t *testing.T) {
	each(t, func(w *world) {
		tags := object{"team": "blue", "ünï": "✓", "empty": ""}
		a := w.post("/v1/connections", togglImport(object{"tags": tags, "external_id": "legacy/42"})).want(http.StatusCreated)
		want := object{
			"id": a.text("id"), "integration": "toggl", "provider": "toggl", "method": "api_token", "status": "active", "status_reason": nil,
			"generation": 1, "end_user": ada, "account": object{"id": "9001815", "label": sandbox.AdaEmail}, "base_url": w.sand.Toggl().URL(),
			"scopes": []any{}, "expires_at": nil, "last_refreshed_at": nil, "last_read_at": nil,
			"created_at": w.clock.Now().Format(time.RFC3339), "updated_at": w.clock.Now().Format(time.RFC3339),
			"tags": tags, "metadata": object{}, "external_id": "legacy/42",
		}
		for _, got := range []*answer{a, w.get("/v1/connections/" + a.text("id")).want(http.StatusOK)} {
			if js(got.object()) != js(want) {
				t.Errorf("got %s\nwant %s", js(got.object()), js(want))
			}
		}
		// The same external id again, in this integration and in another one.
		w.post("/v1/connections", togglImport(object{"external_id": "legacy/42"})).want(http.StatusConflict).code("conflict").has("external_id")
		if n := w.count(); n != 1 {
			t.Errorf("%d connections", n)
		}
		w.post("/v1/connections", object{
			"integration": "clicktime", "method": "token", "end_user": ada, "external_id": "legacy/42",
			"credential": object{"token": sandbox.ClickTimeAdaToken},
		}).want(http.StatusCreated)
	})
}

// TestImportDisowns: a session that was begun for an import that came to
// nothing is ended; one that the host brought along is not.
func TestImportDisowns(t *testing.T) {
	each(t, func(w *world) {
		password := object{"method": "session", "external_id": "x", "credential": object{"email": sandbox.AdaEmail, "password": sandbox.TogglAdaPassword}}
		first := w.imported(togglImport(password))
		w.post("/v1/connections", togglImport(password)).want(http.StatusConflict)
		if n := w.sand.Toggl().Sessions(); n != 1 {
			t.Errorf("%d sessions at Toggl, want 1", n)
		}
		w.get("/v1/connections/" + first + "/headers").shows().want(http.StatusOK)
		cookie := w.grant("toggl", "session", vault.Credential{
			"email": vault.NewSecret(sandbox.AdaEmail), "password": vault.NewSecret(sandbox.TogglAdaPassword),
		}).Credential.Get("cookie")
		w.post("/v1/connections", togglImport(object{"method": "session", "external_id": "x", "credential": object{"cookie": cookie}})).want(http.StatusConflict)
		if n := w.sand.Toggl().Sessions(); n != 2 {
			t.Errorf("%d sessions at Toggl, want 2", n)
		}
	})
}

// TestImportNeedsOneScope: a key that may import need not be able to read
// integrations or connections.
func TestImportNeedsOneScope(t *testing.T) {
	each(t, func(w *world) {
		key := w.newKey(vault.ScopeConnectionsWrite)
		id := w.post("/v1/connections", togglImport(nil)).as(key).want(http.StatusCreated).text("id")
		w.get("/v1/connections/" + id).as(key).want(http.StatusForbidden)
		entries := w.trail(vault.AuditFilter{ConnectionID: id})
		if len(entries) != 2 || entries[1].Action != vault.ActionConnectionImported || entries[1].ActorID != entries[0].ActorID || entries[1].ActorKind != vault.CallerAPIKey {
			t.Errorf("trail = %+v", entries)
		}
	})
}

// TestImportRefused: nothing is kept, the answer says where and why, and does
// not repeat what was sent.
func TestImportRefused(t *testing.T) {
	each(t, func(w *world) {
		const wrong = "ffffffffffffffffffffffffffffffff"
		w.planted.add(wrong, "a wrong password", "pass\u0000word", "two\r\nlines")
		password := func(email, password string) object {
			return object{"method": "password", "credential": object{"email": email, "password": password}}
		}
		tests := []struct {
			name     string
			change   object
			status   int
			pointers []string
		}{
			{"wrong token", object{"credential": object{"api_token": wrong}}, 422, []string{"/credential/api_token"}},
			{"wrong password", password(sandbox.AdaEmail, "a wrong password"), 422, []string{"/credential/password"}},
			{"no credential", object{"credential": object{}}, 422, []string{"/credential/api_token"}},
			{"null credential", object{"credential": nil}, 422, nil},
			{"a field of another method", object{"credential": object{"password": "a wrong password"}}, 422, nil},
			{"colon in the user name", object{"method": "password", "credential": object{"username": "ada:lovelace", "password": "a wrong password"}}, 422, []string{"/credential/username"}},
			{"line break in the user name", object{"method": "password", "credential": object{"username": "ada\r\nX-Evil: 1", "password": "a wrong password"}}, 422, nil},
			{"line break in the e-mail", password("ada@example.com\r\nX: 1", "a wrong password"), 422, []string{"/credential/email"}},
			{"line break in the password", password(sandbox.AdaEmail, "two\r\nlines"), 422, []string{"/credential/password"}},
			{"NUL in the password", password(sandbox.AdaEmail, "pass\u0000word"), 422, []string{"/credential/password"}},
			{"the reserved password", password(sandbox.AdaEmail, "api_token"), 422, []string{"/credential/password"}},
			{"huge token", object{"credential": object{"api_token": strings.Repeat("f", 20<<10)}}, 422, []string{"/credential/api_token"}},
			{"unknown method", object{"method": "telepathy"}, 422, []string{"/method"}},
			{"no method", object{"method": ""}, 422, []string{"/method"}},
			{"unknown integration", object{"integration": "nobody"}, 422, []string{"/integration"}},
			{"an integration that cannot be", object{"integration": "a\u0000b"}, 422, []string{"/integration"}},
			{"no end user, and an external id that is too long", object{"end_user": object{"id": ""}, "external_id": strings.Repeat("x", 257)}, 422, []string{"/end_user/id", "/external_id"}},
			{"NUL in the end user", object{"end_user": object{"id": "a\u0000"}}, 422, []string{"/end_user/id"}},
			{"NUL in a tag", object{"tags": object{"a": "b\u0000"}}, 422, []string{"/tags/a"}},
			{"NUL in the name of a tag", object{"tags": object{"a\u0000": "b"}}, 422, []string{"/tags"}},
			{"a redirecting method without a token", object{"integration": "timelog", "method": "oidc", "credential": object{"refresh_token": wrong}}, 422, []string{"/credential/access_token"}},
			{"a time that is none", object{"integration": "timelog", "method": "oidc", "verify": false, "credential": object{"access_token": wrong, "expires_at": "soon"}}, 422, []string{"/credential/expires_at"}},
			{"a number for a secret", object{"credential": object{"api_token": 1}}, 400, []string{"/credential/api_token"}},
			{"a list of secrets", object{"credential": object{"api_token": []string{wrong}}}, 400, []string{"/credential/api_token"}},
			{"unknown member", object{"verfy": false}, 400, []string{"/verfy"}},
			{"verify as a word", object{"verify": "false"}, 400, []string{"/verify"}},
			{"unknown member of the end user", object{"end_user": object{"id": "u", "admin": true}}, 400, []string{"/end_user/admin"}},
		}
		before := string(w.db.Rows(w.t))
		for _, tt := range tests {
			w.t.Run(tt.name, func(t *testing.T) {
				w.in(t).post("/v1/connections", togglImport(tt.change)).want(tt.status).code("invalid_request", tt.pointers...)
			})
		}
		w.sand.Toggl().Faults().Next(sandbox.Any, 1, sandbox.Status(http.StatusInternalServerError))
		w.post("/v1/connections", togglImport(nil)).want(http.StatusServiceUnavailable).code("provider_unavailable")
		w.sand.Toggl().Faults().Next(sandbox.Any, 1, sandbox.TooManyRequests(17*time.Second))
		if got := w.post("/v1/connections", togglImport(nil)).want(http.StatusServiceUnavailable).Header.Get("Retry-After"); got != "17" {
			t.Errorf("Retry-After %q", got)
		}
		w.sand.Toggl().Faults().Next(sandbox.Any, 1, sandbox.NotJSON())
		w.post("/v1/connections", togglImport(nil)).want(http.StatusBadGateway).code("provider_rejected")
		if after := string(w.db.Rows(w.t)); after != before {
			t.Error("something was stored")
		}
	})
}

// TestList: filters narrow, all of them at once; pages follow one another to
// an end, newest first.
func TestList(t *testing.T) {
	each(t, func(w *world) {
		var ids []string
		for i := range 5 {
			ids = append(ids, w.imported(togglImport(object{
				"verify": false, "external_id": fmt.Sprintf("ext-%d", i), "end_user": object{"id": fmt.Sprintf("user-%d", i%2), "name": "100%_sure"},
				"tags": object{"parity": []string{"even", "odd"}[i%2], "with space & more": "ä=b"},
			})))
		}
		ids = append(ids, w.imported(object{"integration": "clicktime", "method": "token", "end_user": ada, "verify": false, "credential": object{"token": sandbox.ClickTimeAdaToken}}))
		w.post("/v1/connections/"+ids[4]+"/revoke", nil).want(http.StatusOK)
		slices.Reverse(ids) // newest first
		pick := func(at ...int) (out []string) {
			for _, i := range at {
				out = append(out, ids[i])
			}
			return out
		}
		tests := []struct {
			query string
			want  []string
		}{
			{"", ids},
			{"integration=clicktime", pick(0)},
			{"integration=nobody", nil},
			{"end_user_id=user-1", pick(2, 4)},
			{"status=revoked", pick(1)},
			{"status=pending", nil},
			{"status=active&end_user_id=user-0", pick(3, 5)},
			{"tag.parity=odd", pick(2, 4)},
			{"tag.parity=odd&tag." + url.QueryEscape("with space & more") + "=" + url.QueryEscape("ä=b"), pick(2, 4)},
			{"tag.parity=odd&tag.absent=", nil},
			{"q=EXT-3", pick(2)},
			{"q=" + url.QueryEscape("100%_S"), pick(1, 2, 3, 4, 5)},
			{"q=" + url.QueryEscape("0%_S"), nil}, // words are found by their beginnings
			{"q=tag:parity=odd", pick(2, 4)},
			{"q=tag:parity=odd&tag.parity=even", nil},
			{"q=%25%25", nil},
			{"q=Lovelace", pick(0)},
			{"limit=200", ids},
			{"cursor=" + ids[3], pick(4, 5)},
			{"cursor=" + ids[5], nil},
			{"cursor=con_00000000000000000000000000", nil},
			{"integration=&end_user_id=&q=", ids},
		}
		for _, tt := range tests {
			w.t.Run("?"+tt.query, func(t *testing.T) {
				a := w.in(t).get("/v1/connections?"+tt.query).want(http.StatusOK).is("next_cursor", nil)
				if got := idsOf(a); !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		}
		for limit := 1; limit <= 7; limit++ {
			var got []string
			cursor, pages := "", 0
			for {
				a := w.get(fmt.Sprintf("/v1/connections?limit=%d%s", limit, cursor)).want(http.StatusOK)
				page := idsOf(a)
				if len(page) > limit || pages > 10 {
					t.Fatalf("limit %d: page %d has %d", limit, pages, len(page))
				}
				got = append(got, page...)
				pages++
				next, more := a.at("next_cursor").(string)
				if !more {
					break
				}
				cursor = "&cursor=" + next
			}
			if want := (len(ids) + limit - 1) / limit; !slices.Equal(got, ids) || pages != want {
				t.Errorf("limit %d: %d pages, want %d: %q", limit, pages, want, got)
			}
		}
	})
}

func idsOf(a *answer) (ids []string) {
	a.t.Helper()
	for _, c := range a.at("data").([]any) {
		ids = append(ids, c.(object)["id"].(string))
	}
	return ids
}

// TestBadQueries: a parameter that is not understood is refused by name.
func TestBadQueries(t *testing.T) {
	each(t, func(w *world) {
		x := w.target()
		w.planted.add("PLANTED-IN-A-QUERY")
		const lists = "/v1/connections /v1/integrations /v1/api-keys /v1/audit"
		for path := range strings.FieldsSeq(lists) {
			for query, pointer := range map[string]string{
				"limit=0": "limit", "limit=201": "limit", "limit=-1": "limit", "limit=ten": "limit", "limit=1.5": "limit", "limit=": "limit", "limit=1&limit=2": "limit",
				"limit=99999999999999999999": "limit",
				"cursor=x":                   "cursor", "cursor=con_%00": "cursor", "cursor='": "cursor", "cursor=" + strings.Repeat("a", 257): "cursor",
				"page=2": "page", "Limit=1": "Limit",
			} {
				a := w.get(path + "?" + query).want(http.StatusBadRequest).code("invalid_request")
				if !strings.Contains(query, "%00") {
					a.code("invalid_request", pointer)
				}
			}
			w.get(path + "?%zz").want(http.StatusBadRequest)
			w.get(path + "?a=%ff").want(http.StatusBadRequest)
		}
		for query, pointer := range map[string]string{
			"after=x": "after", "after=-1": "after", "after=%2B1": "after", "after=1.5": "after", "after=1&after=2": "after", "after=evt_1": "after",
			"after=9223372036854775808": "after", "after=" + strings.Repeat("1", 257): "after", "cursor=1": "cursor",
			"limit=0": "limit", "limit=201": "limit", "limit=": "limit", "type=connection.revoked": "type",
		} {
			w.get("/v1/events?"+query).want(http.StatusBadRequest).code("invalid_request", pointer)
		}
		for query, pointer := range map[string]string{
			"status=gone": "status", "status=": "status", "tag.a=1&tag.a=2": "tag.a", "tag.=1": "tag.", "tag=1": "tag",
			"end_user_id=" + strings.Repeat("u", 257): "end_user_id", "PLANTED-IN-A-QUERY=1": "",
		} {
			a := w.get("/v1/connections?" + strings.Replace(query, "PLANTED-IN-A-QUERY", "x", 1)).want(http.StatusBadRequest)
			if pointer != "" {
				a.code("invalid_request", pointer)
			}
		}
		w.get("/v1/connections?q=%00").want(http.StatusBadRequest)
		w.get("/v1/audit?connection_id=PLANTED-IN-A-QUERY").want(http.StatusOK).is("data", []any{})
		w.get("/v1/audit?action=%27%20OR%201=1--").want(http.StatusOK).is("data", []any{})
		for _, query := range []string{"min_ttl=-1", "min_ttl=86401", "min_ttl=60s", "min_ttl=", "min_ttl=1e3", "min_ttl=60&min_ttl=60", "minttl=60", "min_ttl=%00"} {
			w.get("/v1/connections/" + x.connection + "/headers?" + query).want(http.StatusBadRequest).code("invalid_request")
		}
		for _, query := range []string{"wait=31", "wait=-1", "wait=x", "timeout=1"} {
			w.get("/v1/connect-sessions/" + x.session + "?" + query).want(http.StatusBadRequest).code("invalid_request")
		}
		for _, query := range []string{"refresh_token=yes", "refresh_token=1", "refreshtoken=true"} {
			w.get("/v1/connections/" + x.connection + "/credential?" + query).want(http.StatusBadRequest).code("invalid_request")
		}
		w.delete("/v1/integrations/toggl?revoke=yes").want(http.StatusBadRequest)
		// Routes without parameters take none, before they do anything.
		for _, o := range w.contract.operations {
			if o.spec["parameters"] == nil {
				w.request(o.method, x.path(o)+"?pretty=1", w.contract.example(o)).want(http.StatusBadRequest).code("invalid_request", "pretty")
			}
		}
		w.get("/v1/connections/"+x.connection).want(http.StatusOK).is("status", "active")
		w.get("/v1/integrations/toggl").want(http.StatusOK)
	})
}

// TestPatchConnection: tags and metadata change, as a whole, and nothing else does.
func TestPatchConnection(t *testing.T) {
	each(t, func(w *world) {
		id := w.imported(togglImport(object{"tags": object{"a": "1", "b": "2"}}))
		path := "/v1/connections/" + id
		w.clock.pass(time.Minute)
		metadata := object{"note": "x & y <z>", "deep": object{"list": []any{1.5, "two", nil, true, object{}}}, "\u0000": "\u0000", "": "é\u2028"}
		steps := []struct {
			body           any
			tags, metadata object
		}{
			{object{"tags": object{"c": "3"}}, object{"c": "3"}, object{}},
			{object{"metadata": metadata}, object{"c": "3"}, metadata},
			{object{}, object{"c": "3"}, metadata},
			{object{"tags": nil, "metadata": nil}, object{"c": "3"}, metadata},
			{object{"tags": object{}, "metadata": object{}}, object{}, object{}},
		}
		for _, step := range steps {
			for _, a := range []*answer{w.patch(path, step.body).want(http.StatusOK), w.get(path).want(http.StatusOK)} {
				a.is("tags", step.tags).is("metadata", step.metadata).is("generation", 1).is("updated_at", w.clock.Now().Format(time.RFC3339))
			}
		}
		for _, tt := range []struct {
			body     object
			status   int
			pointers []string
		}{
			{object{"status": "active"}, 400, []string{"/status"}},
			{object{"end_user": ada}, 400, []string{"/end_user"}},
			{object{"tags": object{"a": 1}}, 400, []string{"/tags/a"}},
			{object{"tags": []string{"a"}}, 400, []string{"/tags"}},
			{object{"metadata": "x"}, 400, []string{"/metadata"}},
			{object{"tags": object{"": "x"}}, 422, []string{"/tags"}},
			{object{"tags": object{"a": strings.Repeat("v", 257)}, "metadata": object{"x": strings.Repeat("y", 9<<10)}}, 422, []string{"/tags/a", "/metadata"}},
		} {
			w.patch(path, tt.body).want(tt.status).code("invalid_request", tt.pointers...)
		}
		w.get(path).want(http.StatusOK).is("tags", object{}).is("metadata", object{})
		w.get("/v1/connections?tag.c=3").want(http.StatusOK).is("data", []any{})
		w.patch(path, object{"tags": object{"c": "4"}}).want(http.StatusOK)
		w.get("/v1/connections?tag.c=4").want(http.StatusOK).is("data/0/id", id)
		if got := w.trail(vault.AuditFilter{ConnectionID: id, Action: vault.ActionConnectionUpdated}); len(got) != len(steps)+1 {
			t.Errorf("%d changes in the trail, want %d", len(got), len(steps)+1)
		}
	})
}
