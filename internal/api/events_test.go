package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// TestEvents: what happened to which connection, to be followed without end.
func TestEvents(t *testing.T) {
	each(t, func(w *world) {
		reader := w.newKey(vault.ScopeEventsRead)
		list := func(query string) *answer {
			t.Helper()
			return w.get("/v1/events" + query).as(reader).want(http.StatusOK)
		}
		list("").is("data", []any{}).is("next_cursor", nil)
		id := w.toggl()
		at := w.clock.Now().Format(time.RFC3339)
		first := list("")
		first.is("data", []any{object{
			"id": first.text("data/0/id"), "position": 1, "at": at, "type": "connection.created",
			"connection": object{
				"id": id, "integration": "toggl", "provider": "toggl", "end_user_id": "user-1815",
				"status": "active", "status_reason": nil, "generation": 1,
			},
		}}).is("next_cursor", "1")
		list("?after=1").is("data", []any{}).is("next_cursor", nil)
		list("?after=9223372036854775807").is("data", []any{})

		w.clock.pass(time.Minute)
		w.post("/v1/connections/"+id+"/revoke", nil).want(http.StatusOK)
		list("?after=1").is("data/0/type", "connection.revoked").is("data/0/at", w.clock.Now().Format(time.RFC3339)).
			is("data/0/connection/id", id).is("data/0/connection/status", "revoked").
			is("data/0/connection/status_reason", "revoked_by_caller").is("next_cursor", "2")
		w.delete("/v1/connections/" + id).want(http.StatusOK)
		list("?after=2").is("data", []any{}) // revoked before; and what there was is still there
		list("").is("data/0/connection/id", id).is("next_cursor", "2")
		w.post("/v1/connections/nobody/revoke", nil).want(http.StatusNotFound)
		list("?after=2").is("data", []any{})
	})
}

// TestFollowEvents: page after page, and on with what comes later.
func TestFollowEvents(t *testing.T) {
	each(t, func(w *world) {
		var want, got []string
		cursor := ""
		follow := func(limit int) (pages int) {
			t.Helper()
			for ; ; pages++ {
				a := w.get(fmt.Sprintf("/v1/events?limit=%d%s", limit, cursor)).want(http.StatusOK)
				next, some := a.at("next_cursor").(string)
				data := a.at("data").([]any)
				if some != (len(data) > 0) || len(data) > limit {
					t.Fatalf("%d events and next_cursor %q", len(data), next)
				}
				if !some {
					return pages
				}
				for _, e := range data {
					got = append(got, e.(object)["connection"].(object)["id"].(string))
				}
				cursor = "&after=" + next
			}
		}
		for range 5 {
			want = append(want, w.toggl())
		}
		if n := follow(2); n != 3 {
			t.Errorf("%d pages of 5 events, 2 a page", n)
		}
		if n := follow(2); n != 0 {
			t.Errorf("%d pages of nothing", n)
		}
		for range 2 {
			want = append(want, w.toggl())
		}
		if n := follow(2); n != 1 {
			t.Errorf("%d pages of 2 events, 2 a page", n)
		}
		if !slices.Equal(got, want) {
			t.Errorf("followed %q, want %q", got, want)
		}
	})
}
