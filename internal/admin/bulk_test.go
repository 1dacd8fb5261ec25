package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// crowd is n connections of TimeLog and one of Toggl, all of the team blue, and
// one that is not.
func (w *world) crowd(n int) (ids []string, other vault.Connection) {
	w.t.Helper()
	blue := map[string]string{"team": "blue"}
	for i := range n {
		c := w.connect("timelog", "oidc", vault.NewImport{EndUser: vault.EndUser{ID: fmt.Sprintf("user-%d", i)}, Tags: blue})
		ids = append(ids, c.ID)
	}
	c := w.connect("toggl", "api_token", vault.NewImport{EndUser: ada, Tags: blue})
	return append(ids, c.ID), w.connect("timelog", "oidc", vault.NewImport{EndUser: vault.EndUser{ID: "bystander"}})
}

func (w *world) statusOf(id string) vault.Status {
	w.t.Helper()
	c, err := w.vault.Connection(w.t.Context(), w.system(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Status
}

func (w *world) tidy() {
	w.t.Helper()
	if err := w.vault.Tidy(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

var expectInput = regexp.MustCompile(`name="expect" value="(\d+)"`)

// confirmAll sends the form of the question at path with what was typed.
func (b *browser) confirmAll(path, typed string) answer {
	b.t.Helper()
	page := b.page(path)
	action := regexp.MustCompile(`action="(/admin/revocations[^"]*)"`).FindStringSubmatch(page)
	expect := expectInput.FindStringSubmatch(page)
	if action == nil || expect == nil {
		b.t.Fatalf("no form on the page:\n%s", page)
	}
	return b.post(strings.ReplaceAll(action[1], "&amp;", "&"), url.Values{"token": {b.token(page)}, "expect": {expect[1]}, "confirm": {typed}})
}

// TestRevokeMany: from the ticks of a list to the report, without a script.
func TestRevokeMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ids, other := w.crowd(3)
		b := w.admin(vault.RoleOperator)
		list := b.page("/admin/connections?tag.team=blue&status=active")
		token := b.token(list)
		w.wantOn(list, []string{
			`action="/admin/revocations/preview"`, `name="connection_id" value="` + ids[0] + `"`, `name="all" value="matching"`, "Revoke all that match…",
			`<input type="hidden" name="status" value="active">`, `<input type="hidden" name="tag.team" value="blue">`,
		}, other.ID)
		w.wantOn(w.admin(vault.RoleViewer).page("/admin/connections"), []string{ids[0]}, "revocations/preview", `type="checkbox"`)

		a := b.post("/admin/revocations/preview", url.Values{"token": {token}, "all": {"matching"}, "tag.team": {"blue"}, "status": {"active"}, "q": {""}})
		if a.status != http.StatusSeeOther || a.location != "/admin/revocations/new?status=active&tag.team=blue" {
			t.Fatalf("preview: %d to %q", a.status, a.location)
		}
		question := a.location
		w.wantOn(b.page(question), []string{
			"Revoke 4 connections?", "All that match Status: Active, Tag team: blue. What is linked later is not among them", "timelog", "toggl",
			"TimeLog is told that the credentials are not to work any more", "The credentials go on working until their owners change them", "reset the API token at",
			"Type the number of connections, 4, to confirm", "This cannot be undone", `href="/admin/connections?status=active&amp;tag.team=blue"`,
		})
		if a = b.confirmAll(question, "3"); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "This is not “4”.") {
			t.Fatalf("another number: %d\n%s", a.status, a.body)
		}
		w.tidy()
		if got := w.statusOf(ids[0]); got != vault.StatusActive {
			t.Fatalf("the question alone made it %s", got)
		}

		if a = b.confirmAll(question, " 4 "); a.status != http.StatusSeeOther {
			t.Fatalf("confirmed: %d\n%s", a.status, a.body)
		}
		path := a.location
		w.wantOn(b.page(path), []string{"Looking for connections", `data-progress="` + path + `/progress"`, `http-equiv="refresh"`, "Stop</button>"})
		if a = b.get(path); !strings.Contains(a.header.Get("Content-Security-Policy"), "connect-src 'self'") {
			t.Errorf("scripts may not ask: %q", a.header.Get("Content-Security-Policy"))
		}
		w.heard.answer(vault.OutcomeFailed)
		w.tidy()
		page := b.page(path)
		w.wantOn(page, []string{
			"Completed", "4 connections are revoked", "4 providers&#39; answers are still wanted", "All that match Status: Active, Tag team: blue</dd>", "Admin “Grace”", ids[0], ids[3], "it did not confirm",
			`max="4" value="4"`,
		}, "data-progress", `http-equiv="refresh"`, "Stop</button>")
		for _, id := range ids {
			if got := w.statusOf(id); got != vault.StatusRevoked {
				t.Errorf("%s is %s", id, got)
			}
		}
		if got := w.statusOf(other.ID); got != vault.StatusActive {
			t.Errorf("the bystander's is %s", got)
		}
		w.heard.answer(vault.OutcomeRevoked)
		w.clock.advance(6 * time.Minute)
		w.tidy()
		w.wantOn(b.page(path), []string{"The provider confirmed", "it confirmed"}, "still wanted")
		w.wantOn(b.page(path+"?show=missing"), []string{"There is nothing here."})
		w.wantOn(b.page(path+"?show=all"), []string{ids[1]}, other.ID)
		w.wantOn(b.page("/admin/connections/"+ids[0]), []string{`href="` + path + `"`, "The bulk revocation that it was part of", "Grace"})
		w.wantOn(b.page("/admin/revocations"), []string{`href="` + path + `"`, "Completed", "All that match Status: Active, Tag team: blue", "Admin “Grace”"})
		for _, e := range w.trail() {
			if e.Action == vault.ActionConnectionRevoked && (e.ActorKind != vault.CallerAdmin || e.ActorID != b.self.ID) {
				t.Errorf("revoked by %+v", e)
			}
		}

		w.wantOn(b.page("/admin/connections?status=revoked"), []string{ids[0]}, `type="checkbox"`)

		// What was on the page is over: nothing is revoked twice.
		w.wantOn(b.page("/admin/revocations/new?ids="+strings.Join(ids, ".")), []string{"There is nothing to revoke"})
	})
}

// TestRevokeTicked: those that were ticked, and no others.
func TestRevokeTicked(t *testing.T) {
	w := one(t)
	ids, _ := w.crowd(2)
	b := w.admin()
	token := b.token(b.page("/admin/connections"))
	a := b.post("/admin/revocations/preview", url.Values{"token": {token}, "connection_id": ids[:2], "q": {"x"}})
	if want := "/admin/revocations/new?ids=" + ids[0] + "." + ids[1]; a.location != want {
		t.Fatalf("preview: %d to %q, want %q", a.status, a.location, want)
	}
	w.wantOn(b.page(a.location), []string{"Revoke 2 connections?", "They were ticked in the list."}, "toggl")

	// Somebody else was faster: the number is another one.
	question := b.page(a.location)
	if _, err := w.vault.Revoke(t.Context(), w.system(), ids[0]); err != nil {
		t.Fatal(err)
	}
	refused := b.post("/admin/revocations?ids="+ids[0]+"."+ids[1], url.Values{"token": {b.token(question)}, "expect": {"2"}, "confirm": {"2"}})
	if refused.status != http.StatusConflict || !strings.Contains(refused.body, "2 connections were expected, and by now it is 1.") {
		t.Errorf("%d\n%s", refused.status, refused.body)
	}
	a = b.confirmAll(a.location, "1")
	path := a.location
	stop := url.Values{"token": {token}}
	if a = b.post(path+"/stop", stop); a.status != http.StatusSeeOther || a.location != path {
		t.Fatalf("stop: %d to %q", a.status, a.location)
	}
	w.tidy()
	w.wantOn(b.page(path), []string{"Stopped", "2 connections were not revoked", "Go on</button>", "Untouched"}, "data-progress")
	if got := w.statusOf(ids[1]); got != vault.StatusActive {
		t.Errorf("stopped, and it is %s", got)
	}
	b.post(path+"/resume", stop)
	w.tidy()
	w.wantOn(b.page(path), []string{"Completed", "1 connection is revoked", "Had been revoked before"}, "Go on</button>")
	if got := w.statusOf(ids[2]); got != vault.StatusActive {
		t.Errorf("one that was not ticked is %s", got)
	}
}

// TestRevokeNothing: an address that names nothing revokes nothing.
func TestRevokeNothing(t *testing.T) {
	w := one(t)
	ids, _ := w.crowd(1)
	b := w.admin()
	token := b.token(b.page("/admin/connections"))
	for _, query := range []string{"", "?", "?ids=", "?ids=x", "?ids=x&all=yes", "?q=+"} {
		a := b.get("/admin/revocations/new" + query)
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "No connection was chosen") {
			t.Errorf("%q: %d", query, a.status)
		}
		for _, number := range []string{"", "0", "3"} {
			a = b.post("/admin/revocations"+query, url.Values{"token": {token}, "expect": {number}, "confirm": {number}})
			if a.status != http.StatusUnprocessableEntity {
				t.Errorf("sent to %q with %q: %d", query, number, a.status)
			}
		}
	}
	if a := b.get("/admin/revocations/new?older=1d"); a.status != http.StatusBadRequest {
		t.Errorf("a filter that there is not: %d", a.status)
	}
	a := b.post("/admin/revocations/preview", url.Values{"token": {token}, "all": {"matching"}})
	w.wantOn(b.page(a.location), []string{"That is every connection of the environment default", "Revoke 3 connections?"})
	w.tidy()
	if got := w.statusOf(ids[0]); got != vault.StatusActive {
		t.Errorf("it is %s", got)
	}
	w.wantOn(b.page("/admin/revocations"), []string{"Nothing was revoked in bulk yet"})
}

// TestRevokeManyNeedsAFreshSignIn before the question, and again when it is sent.
func TestRevokeManyNeedsAFreshSignIn(t *testing.T) {
	w := one(t)
	w.crowd(1)
	b := w.admin()
	question := b.page("/admin/revocations/new?all=yes")
	w.clock.advance(vault.FreshFor)
	a := b.post("/admin/revocations?all=yes", url.Values{"token": {b.token(question)}, "expect": {"3"}, "confirm": {"3"}})
	w.wantOn(a.body, []string{"Sign in again"})
	w.wantOn(b.get("/admin/revocations/new?all=yes").body, []string{"Sign in again"})
	if list, err := w.vault.BulkRevocations(t.Context(), w.system(), vault.Page{Limit: 9}); err != nil || len(list) != 0 {
		t.Errorf("begun: %+v, %v", list, err)
	}
}

func TestRevocationProgress(t *testing.T) {
	w := one(t)
	w.crowd(1)
	b := w.admin()
	path := b.confirmAll("/admin/revocations/new?all=yes", "3").location
	numbers := func() map[string]any {
		t.Helper()
		a := b.get(path + "/progress")
		if got := a.header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("Content-Type %q", got)
		}
		_, data, _ := strings.Cut(a.body, "event: progress\ndata: ")
		var now map[string]any
		if err := json.Unmarshal([]byte(data), &now); err != nil || !strings.HasSuffix(a.body, "\n\n") {
			t.Fatalf("%v: %q", err, a.body)
		}
		return now
	}
	if now := numbers(); now["status"] != "gathering" || now["done"] != 0.0 {
		t.Errorf("at first %v", now)
	}
	w.tidy()
	if now := numbers(); now["status"] != "completed" || now["state"] != "Completed" || now["done"] != 3.0 || now["total"] != 3.0 || now["told"] != 3.0 || now["failed"] != 0.0 {
		t.Errorf("in the end %v", now)
	}
	// Each name that the page follows is one that is sent.
	now := numbers()
	for _, name := range []string{"state", "done", "total", "told", "revoked", "failed", "unconfirmed"} {
		if _, ok := now[name]; !ok {
			t.Errorf("%s is followed, and not sent", name)
		}
	}
}
