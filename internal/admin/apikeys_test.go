package admin_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/vault"
)

var loopback = netip.MustParseAddr("127.0.0.1")

var (
	shownKey   = regexp.MustCompile(`<code id="copy-key">([^<]+)</code>`)
	hiddenID   = regexp.MustCompile(`name="id" value="([^"]+)"`)
	tickedBox  = regexp.MustCompile(`type="checkbox" value="([^"]+)" checked`)
	anyScopeIn = regexp.MustCompile(`name="scopes" type="checkbox" value="([^"]+)"`)
)

// matches are what the first group of an expression matches on a page.
func matches(re *regexp.Regexp, page string) []string {
	var found []string
	for _, m := range re.FindAllStringSubmatch(page, -1) {
		found = append(found, m[1])
	}
	return found
}

// keys lists the environment's keys by name, newest first.
func (w *world) keys() []vault.APIKey {
	w.t.Helper()
	keys, err := w.vault.APIKeys(w.t.Context(), w.system(), vault.Page{Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	return keys
}

// shows is the key on a page that shows one.
func (b *browser) shows(a answer) vault.Secret {
	b.t.Helper()
	found := matches(shownKey, a.body)
	if a.status != http.StatusOK || len(found) != 1 {
		b.t.Fatalf("status %d shows %d keys: %s", a.status, len(found), a.body)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		b.t.Errorf("Cache-Control %q", got)
	}
	return vault.NewSecret(found[0])
}

func TestMakeAPIKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.admin()
		w.wantOn(b.page("/admin/api-keys"), []string{"No API key yet", `href="/admin/api-keys/new"`})
		page := b.page("/admin/api-keys/new")
		if diff := cmp.Diff(len(vault.AllScopes()), len(matches(anyScopeIn, page))); diff != "" {
			t.Errorf("scopes on offer: %s", diff)
		}
		for name, want := range map[string][]string{
			"read": {"credentials:read"},
			"link": {"credentials:read", "connect:write", "connections:read"},
			"none": nil,
		} {
			if diff := cmp.Diff(want, matches(tickedBox, b.page("/admin/api-keys/new?for="+name))); diff != "" {
				t.Errorf("start from %s: %s", name, diff)
			}
		}
		if got := matches(tickedBox, b.page("/admin/api-keys/new?for=all")); len(got) != len(vault.AllScopes()) {
			t.Errorf("start from all: %q", got)
		}

		// What is wrong stands beside its field, and nothing that was typed is lost.
		form := url.Values{
			"token": {b.token(page)}, "id": matches(hiddenID, page), "name": {"  "}, "life": {"date"}, "until": {"soon"},
			"integrations": {"timelog"}, "addresses": {"10.0.0.1/8\nexample.com"}, "scopes": {"audit:read"},
		}
		a := b.post("/admin/api-keys/new", form)
		if a.status != http.StatusUnprocessableEntity {
			t.Fatalf("status %d", a.status)
		}
		w.wantOn(a.body, []string{
			"Nothing was saved yet", "Name: Is required.", "unlike 10.0.0.0/8.", "must be an address or a CIDR", "does not go with a limit to integrations",
			"Choose a day", "10.0.0.1/8\nexample.com", `value="soon"`, `value="timelog" checked`, `value="audit:read" checked`,
		})
		if len(w.keys()) != 0 {
			t.Error("a key was made all the same")
		}

		form.Set("name", "reports")
		form["scopes"] = []string{"connections:read", "credentials:read"}
		form.Set("addresses", "127.0.0.0/8, 2001:db8::7")
		form.Set("until", "2026-12-31")
		made := b.post("/admin/api-keys/new", form)
		key := b.shows(made)
		w.wantOn(made.body, []string{"The key “reports” is made", "shown this once", "Where to put it"})
		caller, err := w.vault.Authenticate(t.Context(), vault.Bearer{Key: key, From: loopback})
		if err != nil {
			t.Fatal(err)
		}
		keys := w.keys()
		if len(keys) != 1 || keys[0].ID != caller.ID {
			t.Fatalf("keys: %+v", keys)
		}
		want := vault.NewAPIKey{
			Name: "reports", Scopes: []vault.Scope{vault.ScopeCredentialsRead, vault.ScopeConnectionsRead}, Integrations: []string{"timelog"},
			Addresses: []string{"127.0.0.0/8", "2001:db8::7/128"}, ExpiresAt: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		}
		if diff := cmp.Diff(want, keys[0].Asked()); diff != "" {
			t.Errorf("made (-want +got)\n%s", diff)
		}

		// A reload shows nothing, and makes nothing.
		again := b.post("/admin/api-keys/new", form)
		if again.status != http.StatusSeeOther || again.location != "/admin/api-keys" || len(w.keys()) != 1 {
			t.Errorf("sent twice: %d to %q, %d keys", again.status, again.location, len(w.keys()))
		}
		w.wantOn(b.page("/admin/api-keys"), []string{
			"No other key was made", "not shown again", "only timelog; from 127.0.0.0/8, 2001:db8::7/128", keys[0].Prefix,
		}, key.Reveal())
		if n := strings.Count(w.pages.String(), key.Reveal()); n != 1 {
			t.Errorf("the key was on %d pages", n)
		}
		if strings.Contains(w.log.String(), key.Reveal()) || strings.Contains(string(w.db.Dump(t)), key.Reveal()) {
			t.Error("the key is in the log or in the database")
		}
	})
}

func TestChangeAPIKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k, key := w.key("reports", vault.ScopeConnectionsRead)
		b := w.admin()
		path := "/admin/api-keys/" + k.ID + "/edit"
		page := b.page(path)
		if diff := cmp.Diff([]string{"connections:read"}, matches(tickedBox, page)); diff != "" {
			t.Error(diff)
		}
		form := url.Values{
			"token": {b.token(page)}, "version": matches(versionInput, page), "name": {"reports of Ada"}, "scopes": {"credentials:read"}, "integrations": {"toggl"}, "life": {"kept"},
		}
		if a := b.post(path, form); a.status != http.StatusSeeOther || a.location != "/admin/api-keys" {
			t.Fatalf("%d to %q: %s", a.status, a.location, a.body)
		}
		w.wantOn(b.page("/admin/api-keys"), []string{"The key “reports of Ada” is changed", "only toggl"})
		caller, err := w.vault.Authenticate(t.Context(), vault.Bearer{Key: key})
		if err != nil || caller.May(vault.ScopeConnectionsRead) || !caller.May(vault.ScopeCredentialsRead) || caller.Reaches("timelog") {
			t.Errorf("%+v, %v", caller, err)
		}
		form.Del("scopes")
		form.Set("addresses", "nowhere")
		form.Del("life")
		a := b.post(path, form)
		w.wantOn(a.body, []string{"Name at least one scope.", "must be an address", "Choose when it ends.", ">nowhere</textarea>"})
		if a.status != http.StatusUnprocessableEntity {
			t.Errorf("status %d", a.status)
		}
		if err := w.vault.RevokeAPIKey(t.Context(), w.system(), k.ID); err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{path, "/admin/api-keys/" + k.ID + "/rotate"} {
			if a := b.get(at); a.location != "/admin/api-keys" {
				t.Errorf("%s of a revoked key: %d to %q", at, a.status, a.location)
			}
		}
	})
}

func TestRotateAPIKeyPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		old, _ := w.key("reports", vault.ScopeCredentialsRead) // which no admin has
		b := w.admin()
		path := "/admin/api-keys/" + old.ID + "/rotate"
		page := b.page(path)
		w.wantOn(page, []string{"Rotate the key “reports”?", `value="86400" selected`})
		form := url.Values{"token": {b.token(page)}, "id": matches(hiddenID, page), "overlap": {"12"}, "life": {"kept"}}
		if a := b.post(path, form); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "Choose one of these.") {
			t.Errorf("an overlap that is not on offer: %d", a.status)
		}
		form.Set("overlap", "3600")
		made := b.post(path, form)
		key := b.shows(made)
		w.wantOn(made.body, []string{"The key before", "works until", "/admin/api-keys/" + old.ID + "/revoke"})
		if a := b.post(path, form); a.location != "/admin/api-keys" || len(w.keys()) != 2 {
			t.Errorf("sent twice: %d to %q, %d keys", a.status, a.location, len(w.keys()))
		}
		caller, err := w.vault.Authenticate(t.Context(), vault.Bearer{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		k, err := w.vault.APIKey(t.Context(), w.system(), caller.ID)
		if err != nil || k.ReplacesID != old.ID {
			t.Errorf("%+v, %v", k, err)
		}
		w.wantOn(b.page("/admin/api-keys"), []string{"takes over from <code>" + old.Prefix, "replaced by <code>" + k.Prefix, "rotated already"}, key.Reveal())
	})
}

// TestAPIKeysNeedAFreshSignIn: before the form, and after it has lain around.
func TestAPIKeysNeedAFreshSignIn(t *testing.T) {
	w := one(t)
	k, _ := w.key("reports", vault.ScopeConnectionsRead)
	b := w.admin()
	page := b.page("/admin/api-keys/new?for=read")
	form := url.Values{"token": {b.token(page)}, "id": matches(hiddenID, page), "name": {"late"}, "scopes": {"credentials:read"}, "life": {"30"}}
	w.clock.advance(vault.FreshFor)
	for _, path := range []string{"/admin/api-keys/new", "/admin/api-keys/" + k.ID + "/edit", "/admin/api-keys/" + k.ID + "/rotate"} {
		if a := b.get(path); strings.Contains(a.body, `name="scopes"`) || strings.Contains(a.body, `name="overlap"`) {
			t.Errorf("%s: %d, and the form", path, a.status)
		}
	}
	if a := b.post("/admin/api-keys/new", form); len(w.keys()) != 1 || strings.Contains(a.body, "clv_key_") {
		t.Errorf("%d: a key was made", a.status)
	}
}

// TestLimitToWhatIsGone: an integration that is deleted while the form is open
// does not come to a key without a limit.
func TestLimitToWhatIsGone(t *testing.T) {
	w := one(t)
	k, _ := w.key("reports", vault.ScopeConnectionsRead)
	b := w.admin()
	page := b.page("/admin/api-keys/new")
	form := url.Values{
		"token": {b.token(page)}, "id": matches(hiddenID, page), "name": {"worker"}, "scopes": {"credentials:read"}, "life": {"30"}, "integrations": {"toggl"},
	}
	if err := w.vault.DeleteIntegration(t.Context(), w.system(), "toggl"); err != nil {
		t.Fatal(err)
	}
	a := b.post("/admin/api-keys/new", form)
	w.wantOn(a.body, []string{"There is no such integration.", `value="toggl" checked`}, "clv_key_")
	if a.status != http.StatusUnprocessableEntity || len(w.keys()) != 1 {
		t.Errorf("%d, %d keys", a.status, len(w.keys()))
	}
	form.Set("life", "kept")
	if a := b.post("/admin/api-keys/"+k.ID+"/edit", form); a.status != http.StatusUnprocessableEntity {
		t.Errorf("changed: %d", a.status)
	}
}

// TestViewersSeeAPIKeys, and nothing to do about them.
func TestViewersSeeAPIKeys(t *testing.T) {
	w := one(t)
	k, _ := w.key("reports", vault.ScopeConnectionsRead)
	b := w.admin(vault.RoleViewer)
	w.wantOn(b.page("/admin/api-keys"), []string{"reports", k.Prefix}, "/admin/api-keys/")
}
