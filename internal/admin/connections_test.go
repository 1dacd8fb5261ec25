package admin_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/vault"
)

// The filters that go by time, and the words of the search, as the address has
// them.
func TestConnectionsByTime(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		now := w.clock.Now()
		soon := w.connect("timelog", "oidc", vault.NewImport{EndUser: user("soon"), Grant: vault.Grant{
			Renewable: true, ExpiresAt: now.Add(time.Hour), RefreshExpiresAt: now.Add(3 * 24 * time.Hour),
		}})
		sooner := w.connect("toggl", "session", vault.NewImport{EndUser: user("sooner"), Grant: vault.Grant{ExpiresAt: now.Add(time.Hour)}})
		never := w.connect("toggl", "api_token", vault.NewImport{EndUser: user("never"), Tags: map[string]string{"team": "blue"}})
		b := w.admin()
		for _, tt := range []struct {
			query string
			want  []vault.Connection
		}{
			{"?expires=within_7d", []vault.Connection{sooner, soon}},
			{"?expires=within_1d", []vault.Connection{sooner}},
			{"?expires=within_7d&integration=timelog", []vault.Connection{soon}},
			{"?expires=never", []vault.Connection{never}},
			{"?expires=expired", nil},
			{"?expires=&last_read=&status=", []vault.Connection{never, sooner, soon}},
			{"?last_read=never", []vault.Connection{never, sooner, soon}},
			{"?last_read=over_30d", nil},
			{"?status=failing", nil},
			{"?q=tag:team%3Dblue", []vault.Connection{never}},
			{"?q=tag:team%3Dblue+never", []vault.Connection{never}},
			{"?q=tag:team%3Dblue+sooner", nil},
		} {
			page := b.page("/admin/connections" + tt.query)
			var want []string
			for _, c := range tt.want {
				want = append(want, c.ID)
			}
			if diff := cmp.Diff(want, listed(page)); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tt.query, diff)
			}
		}
		w.wantOn(b.page("/admin/connections?expires=within_7d"), []string{
			`<option value="within_7d" selected>`, `<details class="more filters-more" open>`, "2 connections, what runs out first comes first",
		})
		w.wantOn(b.page("/admin/connections?status=active"), []string{`<details class="more filters-more">`})
	})
}

// A list that goes by a time goes on by a cursor of its own.
func TestConnectionsByTimePages(t *testing.T) {
	w := one(t)
	const n = 60
	want := make([]string, n)
	for i := range n {
		c := w.connect("toggl", "session", vault.NewImport{EndUser: user("u"), Grant: vault.Grant{
			ExpiresAt: w.clock.Now().Add(time.Duration(n-i) * time.Minute),
		}})
		want[n-1-i] = c.ID
	}
	b := w.admin()
	first := b.page("/admin/connections?expires=within_1d")
	second := b.page("/admin/connections" + link(t, first, "More"))
	if diff := cmp.Diff(want, append(listed(first), listed(second)...)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	w.wantOn(second, []string{">Start</a>"}, ">More</a>")
	elsewhere := strings.Replace(link(t, first, "More"), "expires=within_1d", "last_read=over_7d", 1)
	if a := b.get("/admin/connections" + elsewhere); a.status != http.StatusBadRequest || !strings.Contains(a.body, "The parameter cursor must be a next_cursor of this list") {
		t.Errorf("with the cursor of another order: %d\n%s", a.status, a.body)
	}
}

// link is the query of the link with a text on a page.
func link(t *testing.T, page, text string) string {
	t.Helper()
	before, _, ok := strings.Cut(page, ">"+text+"</a>")
	if !ok {
		t.Fatalf("no link %q on the page:\n%s", text, page)
	}
	_, query, _ := strings.Cut(before[strings.LastIndex(before, "href="):], "?")
	query, _, _ = strings.Cut(query, `"`)
	return "?" + strings.ReplaceAll(query, "&amp;", "&")
}
