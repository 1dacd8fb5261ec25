package admin_test

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/vault"
)

// filled is the form of a page with values in it.
func (b *browser) filled(path string, values url.Values) url.Values {
	b.t.Helper()
	return b.formOn(path, path, values)
}

var versionInput = regexp.MustCompile(`name="version" value="([^"]*)"`)

// formOn is the form that a page has for an address, with values in it.
func (b *browser) formOn(path, action string, values url.Values) url.Values {
	b.t.Helper()
	page := b.page(path)
	form := url.Values{"token": {b.token(page)}}
	if _, rest, ok := strings.Cut(page, `action="`+action+`"`); ok {
		page, _, _ = strings.Cut(rest, "</form>")
	}
	form["version"] = matches(versionInput, page)
	maps.Copy(form, values)
	return form
}

// newest is the newest integration.
func (w *world) newest() vault.Integration {
	w.t.Helper()
	found, err := w.vault.Integrations(w.t.Context(), w.system(), vault.Page{Limit: 10})
	if err != nil || len(found) == 0 {
		w.t.Fatalf("integrations: %v, %v", found, err)
	}
	return found[0]
}

func TestCatalog(t *testing.T) {
	w := one(t)
	b := w.admin()
	for _, tt := range []struct {
		query     string
		want, not []string
	}{
		{"", []string{"TimeLog", "Toggl Track", "OpenID Connect", `href="/admin/integrations/new/timelog"`, "You say where the service is", "Nothing has to be registered"}, nil},
		{"?q=time+TRACK", []string{"TimeLog", "Toggl Track", "3 providers"}, []string{"ClickTime", "Slack"}},
		{"?q=personal+access+token", []string{"TimeLog", "Harvest"}, []string{"Toggl Track"}},
		{"?q=nothing+like+it", []string{"No provider matches", `value="nothing like it"`}, []string{"TimeLog"}},
		{"?q=", []string{"TimeLog"}, nil},
	} {
		w.wantOn(b.page("/admin/integrations/new"+tt.query), tt.want, tt.not...)
	}
	if a := b.get("/admin/integrations/new/nothing"); a.status != http.StatusNotFound {
		t.Errorf("a provider that is not there: %d", a.status)
	}
	w.wantOn(b.page("/admin/integrations/new/timelog"), []string{
		`value="timelog-2"`, "support@timelog.com", "openid offline_access tlp", "newlogin.timelog.com/documentation", "API root", "Issuer",
		`name="methods" type="checkbox" value="oidc" checked`,
	})
	w.wantOn(b.page("/admin/integrations/new/toggl"), []string{"Sign-in address"}, "Client id", "Issuer")
	w.wantOn(b.page("/admin/integrations/new/basic"), []string{`<details class="more" open>`})
}

func TestSetUpAnIntegration(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.admin()
		const path, secret = "/admin/integrations/new/timelog", "canary-new-secret-51d0"
		w.secrets = append(w.secrets, secret)
		a := b.post(path, b.filled(path, url.Values{
			"title": {"TimeLog for sales"}, "key": {"timelog-sales"}, "client_id": {" sales-client "}, "client_secret": {secret},
			"scopes": {"openid,  tlp"}, "methods": {"oidc"}, "allowed_hosts": {"a.example.com b.example.com"},
		}))
		in := w.newest()
		if a.status != http.StatusSeeOther || a.location != "/admin/integrations/"+in.ID+"?done=created" {
			t.Fatalf("set up: %d to %q\n%s", a.status, a.location, a.body)
		}
		want := vault.Integration{
			Key: "timelog-sales", Provider: "timelog", Title: "TimeLog for sales", ClientID: "sales-client", HasClientSecret: true,
			Scopes: []string{"openid", "tlp"}, Methods: []string{"oidc"},
			Overrides: vault.Overrides{AllowedHosts: []string{"a.example.com", "b.example.com"}},
		}
		if diff := cmp.Diff(want, plain(in)); diff != "" {
			t.Errorf("set up (-want +got)\n%s", diff)
		}
		w.wantOn(b.page(a.location), []string{
			"TimeLog for sales is set up", "http://broker.example/connect/callback/" + in.ID, `/edit"`, `/secret"`, `/delete"`, `/test"`,
		})
		opened, err := w.vault.OpenIntegration(t.Context(), w.system(), in.ID)
		if err != nil || opened.ClientSecret.Reveal() != secret {
			t.Errorf("its secret: %v", err)
		}
		if e := w.trail()[0]; e.Action != vault.ActionIntegrationCreated || e.ActorKind != vault.CallerAdmin || e.ActorID != b.self.ID {
			t.Errorf("newest entry = %+v", e)
		}

		// All ways, in the file's order: those that it gets later, too.
		a = b.post("/admin/integrations/new/toggl", b.filled("/admin/integrations/new/toggl", url.Values{
			"key": {"toggl-2"}, "methods": {"session", "api_token", "password"},
		}))
		if in := w.newest(); a.status != http.StatusSeeOther || in.Methods != nil {
			t.Errorf("all ways: %d, %v", a.status, in.Methods)
		}
	})
}

// plain is an integration without what differs each time.
func plain(in vault.Integration) vault.Integration {
	in.ID, in.EnvironmentID, in.CreatedAt, in.UpdatedAt = "", "", time.Time{}, time.Time{}
	return in
}

// TestSetUpFaults: what is wrong stands beside the field, and nothing that was
// typed is lost but the secret.
func TestSetUpFaults(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.admin()
		const secret = "canary-typed-secret-90ab"
		w.secrets = append(w.secrets, secret)
		full := url.Values{
			"title": {"Kept title"}, "key": {"kept-key"}, "client_id": {"kept-client"}, "client_secret": {secret}, "scopes": {"openid kept:scope"},
			"methods": {"oidc"}, "issuer": {"https://kept.example.com"},
		}
		with := func(name string, values ...string) url.Values {
			v := maps.Clone(full)
			v[name] = values
			return v
		}
		kept := []string{
			`value="Kept title"`, `value="kept-client"`, `value="openid kept:scope"`, `value="https://kept.example.com"`,
			`value="oidc" checked`, "Type the client secret again", `role="alert"`, "<title>Problem: ",
		}
		for _, tt := range []struct {
			name  string
			typed url.Values
			field string
			want  string
		}{
			{"key taken", with("key", "timelog"), "key", "There is an integration with the key &#34;timelog&#34; already."},
			{"no key", with("key", ""), "key", "1 to 64 lower-case letters"},
			{"bad key", with("key", "No Such"), "key", "1 to 64 lower-case letters"},
			{"no client id", with("client_id", ""), "client_id", "needs a client id"},
			{"bad scope", with("scopes", `openid "x"`), "scopes", "This is not a scope."},
			{"scope openid left out", with("scopes", "tlp"), "scopes", "needs the scope openid"},
			{"no way", with("methods"), "methods", "Tick at least one."},
			{"address of another scheme", with("base_url", "ftp://example.com"), "base_url", "This cannot be called"},
			{"response mode", with("response_mode", "smoke"), "response_mode", "one of query, fragment and form_post"},
			{"host", with("allowed_hosts", "good.example.com *"), "allowed_hosts", "This is a host such as"},
		} {
			const path = "/admin/integrations/new/timelog"
			a := b.post(path, b.filled(path, tt.typed))
			if a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s: %d to %q", tt.name, a.status, a.location)
				continue
			}
			beside := `id="f-` + tt.field + `-error">`
			i := strings.Index(a.body, beside)
			if i < 0 || !strings.Contains(a.body[i:min(len(a.body), i+700)], tt.want) {
				t.Errorf("%s: not beside the field %s\n%s", tt.name, tt.field, a.body)
			}
			w.wantOn(a.body, []string{`href="#f-` + tt.field + `"`})
			for _, k := range kept {
				if !strings.Contains(a.body, k) && !strings.Contains(k, tt.field) && tt.typed.Get(tt.field) == full.Get(tt.field) {
					t.Errorf("%s: lost %s", tt.name, k)
				}
			}
			if !strings.Contains(a.body, `value="Kept title"`) || strings.Contains(a.body, secret) {
				t.Errorf("%s: the title is lost, or the secret is not", tt.name)
			}
		}
		if in := w.newest(); in.Key != "toggl" {
			t.Errorf("one of them was set up: %+v", in)
		}
	})
}

func TestChangeAnIntegration(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.admin()
		const path = "/admin/integrations/timelog/edit"
		in, err := w.vault.Integration(t.Context(), w.system(), "timelog")
		if err != nil {
			t.Fatal(err)
		}
		w.wantOn(b.page(path), []string{`value="TimeLog at Acme"`, `value="acme-client"`}, `name="key"`, clientSecret)
		a := b.post(path, b.filled(path, url.Values{
			"title": {"TimeLog"}, "client_id": {"other-client"}, "scopes": {"openid tlp"}, "methods": {"personal_access_token", "oidc"},
		}))
		if a.status != http.StatusSeeOther || a.location != "/admin/integrations/"+in.ID+"?done=changed" {
			t.Fatalf("change: %d to %q\n%s", a.status, a.location, a.body)
		}
		w.wantOn(b.page(a.location), []string{"The changes are saved", "other-client"})
		now, err := w.vault.OpenIntegration(t.Context(), w.system(), in.ID)
		if err != nil {
			t.Fatal(err)
		}
		if now.ClientSecret.Reveal() != clientSecret || now.ClientID != "other-client" || now.Title != "TimeLog" || !slices.Equal(now.Scopes, []string{"openid", "tlp"}) {
			t.Errorf("changed to %+v", now)
		}

		// Whoever moves an endpoint has to know the secret that goes there.
		moved := url.Values{"client_id": {"other-client"}, "methods": {"oidc"}, "token_url": {"https://elsewhere.example.com/token"}}
		a = b.post(path, b.filled(path, moved))
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, `id="f-client_secret-error"`) {
			t.Errorf("moved without the secret: %d\n%s", a.status, a.body)
		}
		w.wantOn(a.body, []string{`value="https://elsewhere.example.com/token"`, `<details class="more" open>`})
		moved.Set("client_secret", clientSecret)
		if a = b.post(path, b.filled(path, moved)); a.status != http.StatusSeeOther {
			t.Errorf("moved with the secret: %d\n%s", a.status, a.body)
		}
		// With live connections nobody does here.
		w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
		moved.Set("token_url", "https://third.example.com/token")
		a = b.post(path, b.filled(path, moved))
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "live connections") {
			t.Errorf("moved under live connections: %d\n%s", a.status, a.body)
		}
	})
}

func TestReplaceAClientSecret(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.admin()
		const path, secret = "/admin/integrations/timelog/secret", "canary-replaced-4477"
		w.secrets = append(w.secrets, secret)
		if a := b.post(path, b.filled(path, nil)); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "Paste the new client secret") {
			t.Errorf("nothing pasted: %d\n%s", a.status, a.body)
		}
		form := b.filled(path, url.Values{"client_secret": {secret}})
		a := b.post(path, form)
		if a.status != http.StatusSeeOther || !strings.HasSuffix(a.location, "?done=secret") {
			t.Fatalf("replace: %d to %q\n%s", a.status, a.location, a.body)
		}
		w.wantOn(b.page(a.location), []string{"The client secret is replaced", "the old one is tried", "The one before is tried as well until"})
		in, err := w.vault.Integration(t.Context(), w.system(), "timelog")
		if err != nil {
			t.Fatal(err)
		}
		if in, err = w.vault.OpenIntegration(t.Context(), w.system(), in.ID); err != nil || in.ClientSecret.Reveal() != secret || in.PreviousClientSecret.Reveal() != clientSecret {
			t.Errorf("the secret: %v", err)
		}

		until := func() time.Duration {
			in, err := w.vault.Integration(t.Context(), w.system(), "timelog")
			if err != nil {
				t.Fatal(err)
			}
			if in.PreviousClientSecretUntil.IsZero() {
				return 0
			}
			return in.PreviousClientSecretUntil.Sub(w.clock.Now())
		}
		if got := until(); got != 24*time.Hour {
			t.Errorf("the old one is tried for %v", got)
		}
		w.wantOn(b.page(path), []string{"Erase the one before now", `name="drop" value="yes"`, "A day", "An hour", "Not at all"})
		a = b.post(path, b.filled(path, url.Values{"drop": {"yes"}, "confirm": {"clicktime"}}))
		if a.status != http.StatusUnprocessableEntity || until() == 0 {
			t.Errorf("dropped with another name typed: %d, tried for %v", a.status, until())
		}
		w.wantOn(a.body, []string{"This is not “timelog”.", "Nothing was changed", `value="clicktime"`})
		a = b.post(path, b.filled(path, url.Values{"drop": {"yes"}, "confirm": {"timelog"}}))
		if a.status != http.StatusSeeOther || until() != 0 {
			t.Errorf("dropped: %d, tried for %v", a.status, until())
		}
		w.wantOn(b.page(a.location), []string{"The old client secret is erased"}, "The one before is tried")
		for overlap, want := range map[string]time.Duration{"hour": time.Hour, "none": 0} {
			again := secret + overlap
			w.secrets = append(w.secrets, again)
			if a := b.post(path, b.filled(path, url.Values{"client_secret": {again}, "overlap": {overlap}})); a.status != http.StatusSeeOther || until() != want {
				t.Errorf("%s: %d, tried for %v", overlap, a.status, until())
			}
		}

		// Ten minutes after signing in, somebody else may sit there.
		w.clock.advance(vault.FreshFor)
		for _, a := range []answer{b.get(path), b.post(path, form)} {
			if a.status == http.StatusOK && !strings.Contains(a.body, "Sign in") || strings.Contains(a.body, `name="client_secret"`) {
				t.Errorf("after ten minutes: %d to %q\n%s", a.status, a.location, a.body)
			}
		}
		w.secrets = append(w.secrets, form.Get("client_secret"))
	})
}

func TestDeleteAnIntegration(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.admin()
		conn := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
		for _, tt := range []struct {
			key, typed string
			revoke     bool
			status     int
			want       string
		}{
			{"timelog", "", true, http.StatusUnprocessableEntity, "This is not “timelog”"},
			{"timelog", "toggl", true, http.StatusUnprocessableEntity, "This is not “timelog”"},
			{"timelog", "timelog", false, http.StatusConflict, "It was not deleted"},
			{"timelog", " timelog\n", true, http.StatusSeeOther, ""},
			{"toggl", "toggl", false, http.StatusSeeOther, ""},
		} {
			path := "/admin/integrations/" + tt.key + "/delete"
			page := b.page(path)
			if asks := strings.Contains(page, `name="revoke" value="yes"`); asks != (tt.key == "timelog") {
				t.Errorf("%s: asks to revoke: %v\n%s", tt.key, asks, page)
			}
			form := url.Values{"token": {b.token(page)}, "confirm": {tt.typed}}
			if tt.revoke {
				form.Set("revoke", "yes")
			}
			a := b.post(path, form)
			if a.status != tt.status || !strings.Contains(a.body, tt.want) {
				t.Errorf("%s, typed %q: %d to %q\n%s", tt.key, tt.typed, a.status, a.location, a.body)
			}
			if tt.status != http.StatusSeeOther {
				continue
			}
			if tt.revoke {
				w.wantOn(b.page(a.location), []string{"The integration timelog is being deleted", "Stop</button>"})
				w.tidy()
				w.wantOn(b.page(a.location), []string{"The integration timelog is deleted", "Completed", conn.ID}, "Stop</button>", `href="/admin/connections/con_`)
			} else {
				w.wantOn(b.page(a.location), []string{"There is no integration “" + tt.key + "” any more"})
			}
		}
		w.wantOn(b.page("/admin/integrations?deleted=%3Cscript%3E"), []string{"“&lt;script&gt;”"}, "<script>")
		if w.heard.times() != 1 {
			t.Errorf("the provider was told %d times", w.heard.times())
		}
		if _, err := w.vault.Connection(t.Context(), w.system(), conn.ID); err == nil {
			t.Error("the connection is still there")
		}
	})
}

// TestDeleteWithConnections: how many, what becomes of them, and what is said while
// it goes on, when it is stopped and in the end.
func TestDeleteWithConnections(t *testing.T) {
	w := one(t)
	w.crowd(3)
	w.connect("timelog", "personal_access_token", vault.NewImport{EndUser: ada})
	owner, operator := w.admin(), w.admin(vault.RoleOperator)
	in, err := w.vault.Integration(t.Context(), w.system(), "timelog")
	if err != nil {
		t.Fatal(err)
	}
	its := "/admin/integrations/" + in.ID
	question := owner.page(its + "/delete")
	w.wantOn(question, []string{
		"5 connections</a>, not revoked", "in the background", "Of 1 linked by “Personal access token”, the credentials go on working", "Revoke its connections and delete it",
	}, "Of 4 linked")
	form := url.Values{"token": {owner.token(question)}, "confirm": {"timelog"}, "revoke": {"yes"}}
	path := owner.post(its+"/delete", form).location
	if again := owner.post(its+"/delete", form).location; !strings.HasPrefix(path, "/admin/revocations/rev_") || again != path {
		t.Fatalf("to %q, and to %q", path, again)
	}
	w.wantOn(owner.page(path), []string{"The integration timelog is being deleted", `href="` + its + `"`, `data-status="gathering"`, "To keep it, stop this"})
	w.wantOn(owner.page(its), []string{"This integration is being deleted", `href="` + path + `"`}, `/delete"`, `/test"`)
	w.wantOn(owner.page("/admin/revocations"), []string{"All of the integration timelog"})

	token := url.Values{"token": {operator.token(operator.page("/admin/connections"))}}
	if a := operator.post(path+"/stop", token); a.status != http.StatusSeeOther {
		t.Fatalf("stop: %d", a.status)
	}
	w.wantOn(operator.page(path), []string{"The integration timelog was not deleted", "Stopped"}, "Go on</button>", "Completed")
	w.wantOn(owner.page(its), []string{`/delete"`, `/test"`}, "being deleted")
	if a := operator.post(path+"/resume", token); a.status != http.StatusForbidden {
		t.Errorf("resumed by an operator: %d", a.status)
	}
	w.wantOn(owner.page(path), []string{"Go on</button>"})
	if a := owner.post(path+"/resume", url.Values{"token": form["token"]}); a.status != http.StatusSeeOther {
		t.Fatalf("resume: %d", a.status)
	}
	w.tidy()
	w.wantOn(owner.page(path), []string{
		"The integration timelog is deleted", "Its settings are erased.", "Completed", "5 connections are revoked",
	}, "being deleted", "still to be told", "connection's page says how")
	if a := owner.get(its); a.status != http.StatusNotFound {
		t.Errorf("the integration: %d", a.status)
	}
	w.wantOn(owner.page("/admin/audit"), []string{"Integration deleted"})
}

// TestDeleteWithReconnectUnderWay: what is in no list is in the way all the same.
func TestDeleteWithReconnectUnderWay(t *testing.T) {
	w := one(t)
	b := w.admin()
	const path = "/admin/integrations/timelog/delete"
	question := b.page(path)
	over, mends := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada}), w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
	if _, err := w.vault.Revoke(t.Context(), w.system(), over.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Raw(t).ExecContext(t.Context(), `UPDATE connections SET replaces_id = '`+over.ID+`', status = 'pending', pending_until = 1 WHERE id = '`+mends.ID+`'`); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"token": {b.token(question)}, "confirm": {"timelog"}}
	a := b.post(path, form)
	w.wantOn(a.body, []string{"It was not deleted", `name="revoke" value="yes"`}, "0 connections")
	form.Set("revoke", "yes")
	if a = b.post(path, form); !strings.HasPrefix(a.location, "/admin/revocations/rev_") {
		t.Errorf("%d to %q", a.status, a.location)
	}
}

// TestDeleteWantsAFreshSignIn: it revokes many at once.
func TestDeleteWantsAFreshSignIn(t *testing.T) {
	w := one(t)
	conn := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
	b, operator := w.admin(), w.admin(vault.RoleOperator)
	const path = "/admin/integrations/timelog/delete"
	form := url.Values{"token": {b.token(b.page(path))}, "confirm": {"timelog"}, "revoke": {"yes"}}
	w.clock.advance(vault.FreshFor)
	for _, a := range []answer{b.get(path), b.post(path, form)} {
		if a.status != http.StatusForbidden || !strings.Contains(a.body, "<h1>Sign in again</h1>") {
			t.Errorf("after ten minutes: %d to %q", a.status, a.location)
		}
	}
	if got, err := w.vault.Connection(t.Context(), w.system(), conn.ID); err != nil || got.Status != vault.StatusActive {
		t.Errorf("%s, %v", got.Status, err)
	}
	if a := operator.get(path); !strings.Contains(a.body, "Your role may not do this") {
		t.Errorf("who may not at all: %d", a.status)
	}
}

// TestIntegrationForViewers: who decides nothing is offered nothing to decide.
func TestIntegrationForViewers(t *testing.T) {
	w := one(t)
	viewer, operator := w.admin(vault.RoleViewer), w.admin(vault.RoleOperator)
	w.wantOn(viewer.page("/admin/integrations/timelog"), []string{"acme-client"}, `/edit"`, `/secret"`, `/delete"`, `/test"`)
	w.wantOn(operator.page("/admin/integrations/timelog"), []string{`/test"`}, `/edit"`, `/secret"`, `/delete"`)
	w.wantOn(viewer.page("/admin/integrations"), nil, "/integrations/new")
}
