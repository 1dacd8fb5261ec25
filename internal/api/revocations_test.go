package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestBulkRevocation: looked at, asked for, followed, and reported.
func TestBulkRevocation(t *testing.T) {
	each(t, func(w *world) {
		mine, other := w.toggl(), w.imported(togglImport(object{"tags": object{"team": "red"}}))
		oidc := w.timelog()
		blue := object{"tags": object{"team": "blue"}}
		w.patch("/v1/connections/"+mine, blue).want(http.StatusOK)
		w.patch("/v1/connections/"+oidc, blue).want(http.StatusOK)

		before := string(w.db.Rows(w.t))
		a := w.post("/v1/revocations", object{"filter": blue, "dry_run": true}).want(http.StatusOK).
			is("total", 2.0).is("more", false).
			is("groups/0/integration", "timelog").is("groups/0/count", 1.0).is("groups/0/provider_told", true).
			is("groups/1/integration", "toggl").is("groups/1/method", "api_token").is("groups/1/provider_told", false)
		if !strings.Contains(a.text("groups/1/by_hand"), "reset the API token") {
			t.Errorf("by hand: %s", a.body)
		}
		w.post("/v1/revocations", object{"filter": blue, "expect": 3}).want(http.StatusConflict).code("conflict")
		if after := string(w.db.Rows(w.t)); after != before {
			t.Error("a look, and a number that was wrong, changed something")
		}

		a = w.post("/v1/revocations", object{"filter": blue, "expect": 2}).want(http.StatusAccepted).
			is("status", "gathering").is("created_by/kind", "api_key").is("filter", blue).is("started_at", nil).is("finished_at", nil)
		path := "/v1/revocations/" + a.text("id")
		if got := a.Header.Get("Location"); got != path {
			t.Errorf("Location %q", got)
		}
		w.post(path+"/stop", nil).want(http.StatusOK).is("status", "stopped")
		w.post(path+"/stop", nil).want(http.StatusOK).is("status", "stopped")
		w.must(w.vault.Tidy(w.t.Context()))
		w.get("/v1/connections/"+mine).want(http.StatusOK).is("status", "active")
		w.get(path+"?wait=30").want(http.StatusOK).is("status", "stopped") // that is an end: nobody waits
		w.post(path+"/resume", nil).want(http.StatusOK).is("status", "gathering")
		w.must(w.vault.Tidy(w.t.Context()))

		w.get(path).want(http.StatusOK).is("status", "completed").is("total", 2.0).is("done", 2.0).is("revoked", 2.0).
			is("provider", object{"revoked": 1.0, "unsupported": 1.0, "failed": 0.0, "waiting": 0.0})
		w.get("/v1/connections/"+mine).want(http.StatusOK).is("status", "revoked").is("status_reason", "revoked_by_caller")
		w.get("/v1/connections/"+other).want(http.StatusOK).is("status", "active")
		w.post(path+"/stop", nil).want(http.StatusConflict).code("conflict")

		items := w.get(path+"/items?limit=1").want(http.StatusOK).is("data/0/connection_id", oidc).is("data/0/outcome", "revoked").is("data/0/provider", "revoked")
		w.get(path+"/items?limit=1&cursor="+items.text("next_cursor")).want(http.StatusOK).
			is("data/0/connection_id", mine).is("data/0/provider", "unsupported").is("next_cursor", nil)
		w.get(path+"/items?provider=unsupported").want(http.StatusOK).is("data/0/connection_id", mine)
		w.get(path+"/items?outcome=failed").want(http.StatusOK).is("data", []string{})

		gone := "con_00000000000000000000000000"
		second := w.post("/v1/revocations", object{"connection_ids": []string{mine, other, gone}}).want(http.StatusAccepted).
			is("status", "running").is("filter", nil).is("total", 3.0).text("id")
		w.must(w.vault.Tidy(w.t.Context()))
		w.get("/v1/revocations/"+second).want(http.StatusOK).is("revoked", 1.0).is("already_revoked", 1.0).is("missing", 1.0)
		w.get("/v1/revocations?limit=1").want(http.StatusOK).is("data/0/id", second)
		w.get("/v1/revocations?cursor="+second).want(http.StatusOK).is("data/0/id", a.text("id")).is("next_cursor", nil)
	})
}

func TestBadRevocations(t *testing.T) {
	each(t, func(w *world) {
		id := w.toggl()
		before := string(w.db.Rows(w.t))
		for _, tt := range []struct {
			body     object
			status   int
			pointers []string
		}{
			{object{}, 422, []string{"/connection_ids"}},
			{object{"all": true}, 422, []string{"/connection_ids"}},
			{object{"filter": object{}}, 422, []string{"/filter"}},
			{object{"filter": object{"q": "  ", "tags": object{}}}, 422, []string{"/filter"}},
			{object{"connection_ids": []string{}}, 422, []string{"/connection_ids"}},
			{object{"connection_ids": []string{id}, "filter": object{}}, 422, []string{"/filter"}},
			{object{"connection_ids": []string{id}, "all": true}, 422, []string{"/all"}},
			{object{"connection_ids": []string{id, "me"}}, 422, []string{"/connection_ids/1"}},
			{object{"connection_ids": strings.Split(strings.Repeat(id+",", 1000)+id, ",")}, 422, []string{"/connection_ids"}},
			{object{"filter": object{"status": "revoked"}}, 422, []string{"/filter/status"}},
			{object{"filter": object{"end_user_id": strings.Repeat("u", 257)}}, 422, []string{"/filter/end_user_id"}},
			// A condition that nobody knows would not narrow.
			{object{"filter": object{"integration": "toggl", "older_than": "1d"}}, 400, []string{"/filter/older_than"}},
			{object{"filter": object{"integration": "toggl"}, "dryrun": true}, 400, []string{"/dryrun"}},
			{object{"filter": object{"integration": "toggl"}, "expect": "1"}, 400, []string{"/expect"}},
		} {
			w.post("/v1/revocations", tt.body).want(tt.status).code("invalid_request", tt.pointers...)
		}
		if after := string(w.db.Rows(w.t)); after != before {
			t.Error("something was stored")
		}
		w.post("/v1/revocations", object{"filter": object{}, "all": true, "dry_run": true}).want(http.StatusOK).is("total", 1.0)
		// More tags than any connection has match none, however many they are.
		tags := object{}
		for i := range 1500 {
			tags[strconv.Itoa(i)] = "x"
		}
		w.post("/v1/revocations", object{"filter": object{"tags": tags}, "dry_run": true}).want(http.StatusOK).is("total", 0.0)
		nul := w.post("/v1/revocations", object{"filter": object{"end_user_id": "a\x00"}}).want(http.StatusAccepted).text("id")
		w.must(w.vault.Tidy(w.t.Context()))
		w.get("/v1/revocations/"+nul).want(http.StatusOK).is("total", 0.0)
		w.get("/v1/revocations/rev_x/items?outcome=maybe").want(http.StatusBadRequest).code("invalid_request", "outcome")
	})
}
