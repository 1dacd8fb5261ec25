package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"
)

// aged is n connections, by name: each runs out, was read and has failed as its
// place says, and some in the same moment.
func (w *world) aged(n int) (ids []string) {
	w.t.Helper()
	now, raw := w.clock.Now(), w.db.Raw(w.t)
	for i := range n {
		id := w.imported(togglImport(object{"verify": false, "end_user": object{"id": fmt.Sprintf("user-%d", i)}}))
		ends, read := now.Add(time.Duration(10-i/2)*24*time.Hour+time.Hour), now.Add(-time.Duration(40+i/3)*24*time.Hour)
		if i%2 == 1 {
			read = now.Add(-time.Duration(i) * time.Hour)
		}
		if _, err := raw.ExecContext(w.t.Context(), `UPDATE connections SET expires_at = $1, last_read_at = $2, failures = $3 WHERE id = $4`,
			ends.UnixMicro(), read.UnixMicro(), i/6, id); err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// TestListByTime: the filters of the console, each list in its own order, no
// connection lost or there twice however it is paged through.
func TestListByTime(t *testing.T) {
	each(t, func(w *world) {
		const n = 8
		w.clock.pass(time.Duration(44-w.clock.Now().Hour()) % 24 * time.Hour) // some hours ago it is the same day
		ids := w.aged(n)
		never := w.toggl()
		pick := func(at ...int) (out []string) {
			for _, i := range at {
				out = append(out, ids[i])
			}
			return out
		}
		for _, tt := range []struct {
			query string
			want  []string
		}{
			{"expires=within_30d", pick(6, 7, 4, 5, 2, 3, 0, 1)},
			{"expires=within_7d", nil},
			{"expires=expired", nil},
			{"expires=never", []string{never}},
			{"expires=within_30d&failing=true", pick(6, 7)},
			{"failing=true", pick(7, 6)},
			{"failing=false&status=active", append([]string{never}, pick(7, 6, 5, 4, 3, 2, 1, 0)...)},
			{"failing=true&status=reconnect_required", nil},
			{"last_read=over_30d", pick(6, 4, 0, 2)},
			{"last_read=over_90d", nil},
			{"last_read=within_24h", pick(7, 5, 3, 1)},
			{"last_read=never", []string{never}},
			{"last_read=over_7d&expires=within_30d", pick(6, 4, 2, 0)},
			{"last_read=over_7d&q=user-4", pick(4)},
			{"last_read=over_7d&end_user_id=user-2&integration=toggl", pick(2)},
		} {
			w.t.Run(tt.query, func(t *testing.T) {
				w := w.in(t)
				for limit := 1; limit <= 5; limit++ {
					var got []string
					path := fmt.Sprintf("/v1/connections?%s&limit=%d", tt.query, limit)
					for next, pages := "", 0; ; pages++ {
						a := w.get(path + next).want(http.StatusOK)
						got = append(got, idsOf(a)...)
						cursor, more := a.at("next_cursor").(string)
						if !more {
							break
						}
						if next = "&cursor=" + url.QueryEscape(cursor); pages > n {
							t.Fatalf("%d pages", pages)
						}
					}
					if !slices.Equal(got, tt.want) {
						t.Errorf("%d at a time: %q, want %q", limit, got, tt.want)
					}
				}
			})
		}

		cursors := map[string]string{}
		orders := []string{"status=active", "expires=within_30d", "last_read=over_30d", "last_read=within_24h"}
		for _, query := range orders {
			cursors[query] = w.get("/v1/connections?limit=1&" + query).want(http.StatusOK).text("next_cursor")
		}
		for _, query := range orders {
			for of, cursor := range cursors {
				a := w.get("/v1/connections?" + query + "&cursor=" + cursor)
				if of == query {
					a.want(http.StatusOK)
				} else {
					a.want(http.StatusBadRequest).code("invalid_request", "cursor")
				}
			}
			for _, cursor := range []string{"e1.x", "e.con_00000000000000000000000000", "ex.con_00000000000000000000000000", ".", "r1.con_00000000000000000000000000'"} {
				w.get("/v1/connections?"+query+"&cursor="+cursor).want(http.StatusBadRequest).code("invalid_request", "cursor")
			}
		}
		for query, pointer := range map[string]string{
			"last_read=over_1d": "last_read", "last_read=": "last_read", "last_read=never&last_read=over_7d": "last_read",
			"expires=soon": "expires", "expires=": "expires", "expires=Never": "expires",
			"failing=1": "failing", "failing=": "failing", "status=failing": "status",
		} {
			w.get("/v1/connections?"+query).want(http.StatusBadRequest).code("invalid_request", pointer)
		}
	})
}

// TestRevocationsByTime: what a list finds can be counted, and revoked.
func TestRevocationsByTime(t *testing.T) {
	each(t, func(w *world) {
		ids := w.aged(8)
		w.toggl()
		for _, tt := range []struct {
			filter object
			total  float64
		}{
			{object{"last_read": "over_30d"}, 4},
			{object{"last_read": "over_30d", "expires": "within_30d", "failing": true}, 1},
			{object{"failing": true}, 2},
			{object{"last_read": "never"}, 1},
			{object{"expires": "never", "failing": nil, "last_read": nil, "status": "active"}, 1},
			{object{"expires": "expired"}, 0},
		} {
			w.post("/v1/revocations", object{"filter": tt.filter, "dry_run": true}).want(http.StatusOK).is("total", tt.total)
		}
		for pointer, filter := range map[string]object{
			"/filter/last_read": {"last_read": "over_1d"}, "/filter/expires": {"expires": "soon"}, "/filter/status": {"status": "failing"},
		} {
			w.post("/v1/revocations", object{"filter": filter, "all": true}).want(http.StatusUnprocessableEntity).code("invalid_request", pointer)
		}
		w.post("/v1/revocations", object{"filter": object{"failing": false}}).want(http.StatusUnprocessableEntity).code("invalid_request", "/filter")

		r := w.post("/v1/revocations", object{"filter": object{"last_read": "over_30d", "failing": true}, "expect": 1}).want(http.StatusAccepted).text("id")
		w.must(w.vault.Tidy(w.t.Context()))
		w.get("/v1/revocations/"+r).want(http.StatusOK).is("status", "completed").is("revoked", 1.0)
		if got := idsOf(w.get("/v1/connections?status=revoked").want(http.StatusOK)); !slices.Equal(got, ids[6:7]) {
			w.t.Errorf("revoked %q", got)
		}
	})
}
