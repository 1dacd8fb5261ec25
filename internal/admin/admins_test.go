package admin_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/providers/login/logintest"
	"github.com/claviger/claviger/internal/vault"
)

// sendTo posts a form of a page, with values, to another address.
func (b *browser) sendTo(path, page string, values url.Values) answer {
	b.t.Helper()
	return b.post(path, b.formOn(page, path, values))
}

var signInLink = regexp.MustCompile(`http://broker\.example(/admin/link/(clv_adm_\w+))`)

// linkOn takes the sign-in link off a page, which shows it on purpose.
func (w *world) linkOn(a answer) string {
	w.t.Helper()
	m := signInLink.FindStringSubmatch(a.body)
	if m == nil || a.status != http.StatusOK {
		w.t.Fatalf("no link: %d to %q\n%s", a.status, a.location, a.body)
	}
	return m[1]
}

func TestInvite(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.admin()
		w.wantOn(b.page("/admin/admins"), []string{"Grace", ">You<", "By links", "Active", "Invite an admin"})
		w.wantOn(b.page("/admin/admins/new"), []string{`name="name"`, `<option value="viewer" selected>`})

		a := b.sendTo("/admin/admins", "/admin/admins/new", url.Values{"name": {""}, "role": {"owner"}})
		if a.status != http.StatusUnprocessableEntity {
			t.Errorf("without a name: %d", a.status)
		}
		w.wantOn(a.body, []string{"Nobody was invited", "Is required.", `<option value="owner" selected>`})

		a = b.sendTo("/admin/admins", "/admin/admins/new", url.Values{"name": {"Ada"}, "role": {"operator"}})
		link := w.linkOn(a)
		w.wantOn(a.body, []string{"as Ada (operator)", "shown this once", "13:00 UTC"})
		id := regexp.MustCompile(`/admin/admins/(adm_\w+)`).FindStringSubmatch(a.body)[1]
		page := b.page("/admin/admins/" + id)
		w.wantOn(page, []string{"Invited", "operator", "None in the last 30 days"}, strings.TrimPrefix(link, "/admin/link/"))

		ada := w.browser()
		ada.from = w.newAddress()
		if a := ada.post(link, nil); a.status != http.StatusSeeOther {
			t.Fatalf("the link: %d", a.status)
		}
		w.wantOn(ada.page("/admin/connections"), []string{"Ada", "operator"}, "/admin/admins", "/admin/environments")
		w.wantOn(b.page("/admin/audit?action=admin.invited"), []string{"Admin invited", "Admin “Ada”", "Admin “Grace”"})

		// Another link takes the place of the first.
		again := w.linkOn(b.sendTo("/admin/admins/"+id+"/link", "/admin/admins/"+id, nil))
		latest := w.linkOn(b.sendTo("/admin/admins/"+id+"/link", "/admin/admins/"+id, nil))
		for path, want := range map[string]int{again: http.StatusGone, latest: http.StatusSeeOther} {
			other := w.browser()
			other.from = w.newAddress()
			if a := other.post(path, nil); a.status != want {
				t.Errorf("link: %d, want %d", a.status, want)
			}
		}
	})
}

func TestChangeAdmins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b, ada := w.admin(), w.admin(vault.RoleViewer)
		page := "/admin/admins/" + ada.self.ID
		if a := b.sendTo(page+"/role", page, url.Values{"role": {"operator"}}); a.status != http.StatusSeeOther || a.location != page {
			t.Fatalf("role: %d to %q", a.status, a.location)
		}
		w.wantOn(ada.page("/admin/connections"), []string{`class="badge">operator`})
		if a := b.sendTo(page+"/role", page, url.Values{"role": {"root"}}); a.status != http.StatusUnprocessableEntity {
			t.Errorf("no such role: %d", a.status)
		}

		// One is out at once, and in again only by a new link.
		w.wantOn(b.page(page+"/remove"), []string{"Remove Grace?", "is signed out everywhere", "cannot"}[:2], "OpenID provider")
		if a := b.send(page + "/remove"); a.status != http.StatusSeeOther || a.location != page {
			t.Fatalf("remove: %d to %q", a.status, a.location)
		}
		if a := ada.get("/admin/connections"); a.status != http.StatusSeeOther {
			t.Errorf("after the removal: %d", a.status)
		}
		w.wantOn(b.page(page), []string{"Removed", "Let in again", "Ended"}, "Change the role", "Remove…")
		if a := b.get(page + "/remove"); a.status != http.StatusSeeOther || a.location != page {
			t.Errorf("the question again: %d to %q", a.status, a.location)
		}
		if a := b.sendTo(page+"/link", page, nil); a.status != http.StatusConflict || !strings.Contains(a.body, "was removed") {
			t.Errorf("a link for somebody removed: %d", a.status)
		}
		if a := b.sendTo(page+"/restore", page, nil); a.status != http.StatusSeeOther {
			t.Errorf("restore: %d", a.status)
		}
		if a := ada.get("/admin/connections"); a.status != http.StatusSeeOther {
			t.Errorf("the old session is back: %d", a.status)
		}

		// The only owner stays.
		own := "/admin/admins/" + b.self.ID
		for _, a := range []answer{b.send(own + "/remove"), b.sendTo(own+"/role", own, url.Values{"role": {"viewer"}})} {
			if a.status != http.StatusConflict || !strings.Contains(a.body, "is the only owner") {
				t.Errorf("the only owner: %d\n%s", a.status, a.body)
			}
		}
		if a := b.get("/admin/admins/adm_06h03dkgndq6vfdsu9o8c2iihs"); a.status != http.StatusNotFound {
			t.Errorf("nobody: %d", a.status)
		}
	})
}

// TestFreshSignIn: what hands out access asks for a fresh sign-in, before a form
// is filled in and when it is sent.
func TestFreshSignIn(t *testing.T) {
	w := one(t)
	b, ada := w.admin(), w.admin(vault.RoleViewer)
	page := "/admin/admins/" + ada.self.ID
	token := b.token(b.page(page))
	w.clock.advance(10 * time.Minute)
	asked := []answer{b.get("/admin/admins/new"), b.get(page + "/remove")}
	for _, path := range []string{"/admin/admins", page + "/link", page + "/role", page + "/remove", page + "/restore"} {
		asked = append(asked, b.post(path, url.Values{"token": {token}, "name": {"X"}, "role": {"owner"}}))
	}
	for i, a := range asked {
		if a.status != http.StatusForbidden || !strings.Contains(a.body, "<h1>Sign in again</h1>") {
			t.Errorf("%d: %d\n%s", i, a.status, a.body)
		}
		w.wantOn(a.body, []string{"claviger admin invite -admin " + b.self.ID})
	}
	b.page("/admin/admins") // looking is fine
	if a := ada.get("/admin/admins/new"); a.status != http.StatusForbidden || !strings.Contains(a.body, "Your role may not do this") {
		t.Errorf("who may not at all is not asked to sign in: %d", a.status)
	}
	b.signInAgain()
	b.page("/admin/admins/new")
}

// TestProviderDecidesOnRoles: of whom the provider vouches for, the role is not
// changed here.
func TestProviderDecidesOnRoles(t *testing.T) {
	w := one(t)
	op := w.withProvider(rules)
	op.Set(func(op *logintest.OP) { op.Claims["groups"] = "support" })
	ada := w.browser()
	ada.signInAt(op, "/admin/sign-in/provider")
	b := w.admin()
	m := regexp.MustCompile(`href="(/admin/admins/adm_\w+)">Ada Lovelace<`).FindStringSubmatch(b.page("/admin/admins"))
	if m == nil {
		t.Fatal("she is not in the list")
	}
	w.wantOn(b.page(m[1]), []string{"from the OpenID provider at each sign-in", "At 127.0.0.1", "ada-1815"}, "Change the role")
	w.wantOn(b.page(m[1]+"/remove"), []string{"whatever the OpenID provider says"})
	if a := b.sendTo(m[1]+"/role", m[1], url.Values{"role": {"owner"}}); a.status != http.StatusConflict {
		t.Errorf("role: %d", a.status)
	}
	// The rules make owners, so the last one here may go.
	if a := b.send("/admin/admins/" + b.self.ID + "/remove"); a.status != http.StatusSeeOther {
		t.Errorf("the only owner: %d", a.status)
	}
}

func TestOwnSessions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.admin(vault.RoleViewer)
		more := func() *browser {
			other := w.browser()
			other.self, other.from = b.self, w.newAddress()
			other.signInAgain()
			return other
		}
		second, third := more(), more()
		page := b.page("/admin/sessions")
		w.wantOn(page, []string{"This one", "By a link, as viewer", b.from, second.from, third.from, "End all others"})
		m := regexp.MustCompile(`action="(/admin/sessions/ads_\w+/end)"`).FindAllStringSubmatch(page, -1)
		if len(m) != 2 {
			t.Fatalf("%d sessions to end", len(m))
		}
		if a := b.sendTo(m[0][1], "/admin/sessions", nil); a.status != http.StatusSeeOther || a.location != "/admin/sessions?ended=1" {
			t.Fatalf("end: %d to %q", a.status, a.location) // the newest is the third
		}
		if a := third.get("/admin"); !strings.HasPrefix(a.location, "/admin/sign-in") {
			t.Errorf("an ended session leads to %q", a.location)
		}
		second.page("/admin/connections")
		a := b.sendTo("/admin/sessions/end", "/admin/sessions", nil)
		w.wantOn(b.page(a.location), []string{"Ended: 1 session"}, "End all others")
		if a := second.get("/admin"); !strings.HasPrefix(a.location, "/admin/sign-in") {
			t.Errorf("an ended session leads to %q", a.location)
		}

		// Those of others are for owners.
		owner := w.admin()
		ended := regexp.MustCompile(`action="(/admin/sessions/ads_\w+/end)"`).FindStringSubmatch(owner.page("/admin/admins/" + b.self.ID))
		fourth := more()
		theirs := regexp.MustCompile(`action="(/admin/sessions/ads_\w+/end)"`).FindStringSubmatch(owner.page("/admin/admins/" + b.self.ID))
		if ended == nil || theirs == nil {
			t.Fatal("nothing to end on the page of the admin")
		}
		stranger := w.admin(vault.RoleViewer)
		if a := stranger.sendTo(theirs[1], "/admin/sessions", nil); a.status != http.StatusNotFound {
			t.Errorf("a viewer ends another's: %d", a.status)
		}
		if a := owner.sendTo(theirs[1], "/admin/admins/"+b.self.ID, url.Values{"next": {"/admin/admins/" + b.self.ID}}); a.location != "/admin/admins/"+b.self.ID {
			t.Errorf("end: %d to %q", a.status, a.location)
		}
		if a := fourth.get("/admin"); !strings.HasPrefix(a.location, "/admin/sign-in") {
			t.Errorf("an ended session leads to %q", a.location)
		}
		if a := owner.sendTo("/admin/admins/"+b.self.ID+"/end-sessions", "/admin/admins/"+b.self.ID, nil); a.status != http.StatusSeeOther {
			t.Errorf("end all: %d", a.status)
		}
		if a := b.get("/admin"); !strings.HasPrefix(a.location, "/admin/sign-in") {
			t.Errorf("an ended session leads to %q", a.location)
		}
		owner.page("/admin/connections")
	})
}

func TestEnvironmentPages(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.admin()
		w.wantOn(b.page("/admin/environments"), []string{"default", "You are here", "One entry a minute"}, `name="environment"`)
		for _, bad := range []string{"", "With Capitals", "default"} {
			a := b.sendTo("/admin/environments", "/admin/environments", url.Values{"name": {bad}})
			if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, `aria-invalid="true"`) {
				t.Errorf("named %q: %d", bad, a.status)
			}
		}
		a := b.sendTo("/admin/environments", "/admin/environments", url.Values{"name": {"staging"}})
		if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/admin/environments/env_") {
			t.Fatalf("create: %d to %q", a.status, a.location)
		}
		page, id := a.location, strings.TrimPrefix(a.location, "/admin/environments/")
		w.wantOn(b.page(page), []string{"<h1>staging</h1>", "claviger apply"})
		w.wantOn(b.page("/admin/connections"), []string{`<option value="` + id + `">staging</option>`, ` selected>default</option>`})

		if a := b.sendTo(page+"/name", page, url.Values{"name": {"default"}}); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "of that name already") {
			t.Errorf("a name that is taken: %d", a.status)
		}
		if a := b.sendTo(page+"/name", page, url.Values{"name": {"staging2"}}); a.status != http.StatusSeeOther {
			t.Errorf("rename: %d", a.status)
		}
		if a := b.sendTo(page+"/reads", page, url.Values{"strict": {"on"}}); a.status != http.StatusSeeOther {
			t.Errorf("reads: %d", a.status)
		}
		w.wantOn(b.page("/admin/environments"), []string{"staging2", "One entry each"}, ">staging<")
		if env, err := w.vault.EnsureEnvironment(t.Context(), "staging2"); err != nil || env.ID != id || !env.StrictReads {
			t.Errorf("environment = %+v, %v", env, err)
		}
		// What was done is in that environment's trail, not in the one looked at.
		var got []vault.Action
		for _, e := range w.trailOf(id) {
			got = append(got, e.Action)
			if e.ActorID != b.self.ID || e.ActorKind != vault.CallerAdmin {
				t.Errorf("entry = %+v", e)
			}
		}
		if len(got) != 3 || got[0] != vault.ActionReadAuditChanged || got[1] != vault.ActionEnvironmentRenamed || got[2] != vault.ActionEnvironmentCreated {
			t.Errorf("its trail = %v", got)
		}

		home := "/admin/environments/" + w.env
		w.wantOn(b.page(home), []string{"keeps its name"}, home+"/name")
		if a := b.sendTo(home+"/name", home, url.Values{"name": {"other"}}); a.status != http.StatusConflict {
			t.Errorf("renaming default: %d", a.status)
		}
		if a := b.get("/admin/environments/env_06h03dkgndq6vfdsu9o8c2iihs"); a.status != http.StatusNotFound {
			t.Errorf("no such environment: %d", a.status)
		}
	})
}
