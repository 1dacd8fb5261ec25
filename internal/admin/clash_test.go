package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/vault"
)

// TestStaleAPIKeyForm: what somebody else has changed since a form was opened is
// not overwritten before it has been seen.
func TestStaleAPIKeyForm(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k, _ := w.key("reports", vault.ScopeConnectionsRead)
		path := "/admin/api-keys/" + k.ID + "/edit"
		form := func(b *browser, name string, scopes ...string) url.Values {
			return b.filled(path, url.Values{"name": {name}, "scopes": scopes, "life": {"kept"}})
		}
		ada, bob := w.admin(), w.admin()
		adas, bobs := form(ada, "reports", "connections:read", "audit:read"), form(bob, "reports of Bob", "credentials:read")
		if a := bob.post(path, bobs); a.status != http.StatusSeeOther {
			t.Fatalf("the first: %d\n%s", a.status, a.body)
		}
		a := ada.post(path, adas)
		if a.status != http.StatusConflict {
			t.Fatalf("the second: %d to %q", a.status, a.location)
		}
		w.wantOn(a.body, []string{
			"Nothing was saved yet", "Admin “Grace” changed this on", `href="` + path + `"`,
			`data-label="There now" class="admin-long">reports of Bob<`, `data-label="What you typed" class="admin-long">reports<`,
			`data-label="There now" class="admin-long">credentials:read<`, `data-label="What you typed" class="admin-long">connections:read, audit:read<`,
			"Save all the same",
		}, `data-label="There now" class="admin-long">no limit<`)
		if diff := cmp.Diff([]string{"connections:read", "audit:read"}, matches(tickedBox, a.body)); diff != "" {
			t.Error(diff)
		}
		if now, err := w.vault.APIKey(t.Context(), w.system(), k.ID); err != nil || now.Name != "reports of Bob" {
			t.Errorf("overwritten: %+v, %v", now, err)
		}
		// Another mistake in a form from before does not make it newer.
		late := url.Values{"token": adas["token"], "version": adas["version"], "name": {""}, "scopes": {"audit:read"}, "life": {"kept"}}
		wrong := ada.post(path, late)
		if got := matches(versionInput, wrong.body); wrong.status != http.StatusUnprocessableEntity || got[0] != adas.Get("version") {
			t.Errorf("with a mistake: %d, version %q", wrong.status, got)
		}
		adas["version"] = matches(versionInput, a.body)
		if a := ada.post(path, adas); a.status != http.StatusSeeOther {
			t.Fatalf("knowingly: %d\n%s", a.status, a.body)
		}
		if a := ada.post(path, adas); a.status != http.StatusSeeOther {
			t.Errorf("the same twice: %d", a.status)
		}
		if a := bob.post(path, bobs); a.status != http.StatusConflict || strings.Contains(a.body, "in another window") {
			t.Errorf("the first again: %d", a.status)
		}
		bobs.Del("version")
		if a := bob.post(path, bobs); a.status != http.StatusConflict {
			t.Errorf("of no version: %d", a.status)
		}
	})
}

func TestStaleIntegrationForm(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const path = "/admin/integrations/timelog/edit"
		b := w.admin()
		form := func(title string) url.Values {
			return b.filled(path, url.Values{"title": {title}, "client_id": {"acme-client"}, "methods": {"personal_access_token", "oidc"}})
		}
		first, second := form("TimeLog of Ada"), form("TimeLog of Bob")
		second.Set("client_secret", clientSecret)
		if a := b.post(path, first); a.status != http.StatusSeeOther {
			t.Fatalf("the first: %d\n%s", a.status, a.body)
		}
		a := b.post(path, second)
		if a.status != http.StatusConflict {
			t.Fatalf("the second: %d to %q", a.status, a.location)
		}
		w.wantOn(a.body, []string{
			"You, in another window, changed this on", "Save all the same", "Type the client secret again", `value="TimeLog of Bob"`,
			`data-label="There now" class="admin-long">TimeLog of Ada<`, `data-label="What you typed" class="admin-long">TimeLog of Bob<`,
		}, clientSecret)
		second["version"] = matches(versionInput, a.body)
		if a := b.post(path, second); a.status != http.StatusSeeOther {
			t.Errorf("knowingly: %d\n%s", a.status, a.body)
		}
	})
}

// TestStaleChoices: forms with one choice say beside it what there is by now.
func TestStaleChoices(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b, ada := w.admin(), w.admin(vault.RoleViewer)
		page := "/admin/admins/" + ada.self.ID
		role := func(to string) url.Values { return b.formOn(page, page+"/role", url.Values{"role": {to}}) }
		first, second, none := role("operator"), role("owner"), role("viewer")
		if a := b.post(page+"/role", first); a.status != http.StatusSeeOther {
			t.Fatal(a.status)
		}
		a := b.post(page+"/role", second)
		w.wantOn(a.body, []string{"The role was not changed yet", "has become an operator", `<option value="owner" selected>`, `name="version" value="operator"`})
		if a.status != http.StatusConflict {
			t.Errorf("role: %d", a.status)
		}
		if a := b.post(page+"/role", none); a.status != http.StatusSeeOther {
			t.Errorf("no choice: %d", a.status)
		}
		w.wantOn(b.page(page), []string{`<option value="operator" selected>`})

		env, err := w.vault.CreateEnvironment(t.Context(), w.system(), "staging")
		if err != nil {
			t.Fatal(err)
		}
		page = "/admin/environments/" + env.ID
		name := func(to string) url.Values { return b.formOn(page, page+"/name", url.Values{"name": {to}}) }
		first, second = name("tests"), name("trials")
		unticked := b.formOn(page, page+"/reads", nil)
		if a := b.post(page+"/name", first); a.status != http.StatusSeeOther {
			t.Fatal(a.status)
		}
		a = b.post(page+"/name", second)
		w.wantOn(a.body, []string{"It was renamed to tests", `value="trials"`, `name="version" value="tests"`})
		if a.status != http.StatusConflict {
			t.Errorf("name: %d", a.status)
		}
		// A box that was left as it was decides nothing.
		if a := b.sendTo(page+"/reads", page, url.Values{"strict": {"on"}}); a.status != http.StatusSeeOther {
			t.Fatal(a.status)
		}
		if a := b.post(page+"/reads", unticked); a.status != http.StatusSeeOther {
			t.Fatal(a.status)
		}
		w.wantOn(b.page("/admin/environments"), []string{"One entry each"})
	})
}
