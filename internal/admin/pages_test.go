package admin_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/vault"
)

// user is an end user of whom all is made of the id.
func user(id string) vault.EndUser {
	return vault.EndUser{ID: id, Name: "Name of " + id, Email: id + "@mail.example"}
}

var rowLink = regexp.MustCompile(`<td role="cell" class="main">(?:<label class="tick">.*?</label>)?<a href="/admin/connections/(con_\w+)">`)

// listed is the ids of the connections on a page, in order.
func listed(page string) []string {
	var ids []string
	for _, m := range rowLink.FindAllStringSubmatch(page, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

func TestConnectionsFilters(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		one := w.connect("timelog", "oidc", vault.NewImport{EndUser: user("one"), Tags: map[string]string{"team": "blue", "plan": "pro & more"}})
		two := w.connect("toggl", "api_token", vault.NewImport{EndUser: user("two"), Tags: map[string]string{"team": "blue"}, ExternalID: "ext-77"})
		six := w.connect("toggl", "api_token", vault.NewImport{EndUser: user("six")})
		gone := w.connect("timelog", "oidc", vault.NewImport{EndUser: user("one")})
		if _, err := w.vault.Revoke(t.Context(), w.system(), gone.ID); err != nil {
			t.Fatal(err)
		}
		b := w.admin()
		for _, tt := range []struct {
			query string
			want  []vault.Connection // newest first
		}{
			{"", []vault.Connection{gone, six, two, one}},
			{"?integration=&status=&end_user_id=&q=", []vault.Connection{gone, six, two, one}}, // the form, sent empty
			{"?integration=toggl", []vault.Connection{six, two}},
			{"?integration=nothing", nil},
			{"?status=active", []vault.Connection{six, two, one}},
			{"?status=revoked", []vault.Connection{gone}},
			{"?status=pending", nil},
			{"?end_user_id=one", []vault.Connection{gone, one}},
			{"?end_user_id=ONE", nil},
			{"?end_user_id=one&status=active", []vault.Connection{one}},
			{"?q=NAME+of+s", []vault.Connection{six}},
			{"?q=two%40mail", []vault.Connection{two}},
			{"?q=ext-77", []vault.Connection{two}},
			{"?q=" + one.ID, []vault.Connection{one}},
			{"?q=%25", nil}, // no wildcard
			{"?tag.team=blue", []vault.Connection{two, one}},
			{"?tag.team=blue&tag.plan=pro+%26+more", []vault.Connection{one}},
			{"?tag.team=red", nil},
			{"?cursor=" + six.ID, []vault.Connection{two, one}},
			{"?cursor=" + one.ID, nil},
		} {
			page := b.page("/admin/connections" + tt.query)
			var want []string
			for _, c := range tt.want {
				want = append(want, c.ID)
			}
			if diff := cmp.Diff(want, listed(page)); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tt.query, diff)
			}
			if want == nil && !strings.Contains(page, `class="empty"`) {
				t.Errorf("%s: an empty list without a word", tt.query)
			}
		}
		page := b.page("/admin/connections?integration=toggl&status=active&q=six&end_user_id=six&tag.team=blue")
		w.wantOn(page, []string{
			`<option value="toggl" selected>`, `<option value="active" selected>`, `value="six"`,
			`<input type="hidden" name="tag.team" value="blue">`,
			`href="/admin/connections?end_user_id=six&amp;integration=toggl&amp;q=six&amp;status=active"`, // without the tag
		})
		for _, bad := range []string{"?status=dead", "?colour=red", "?q=" + strings.Repeat("x", 300), "?q=%00", "?q=%ff", "?q=a&q=b", "?status=%"} {
			if a := b.get("/admin/connections" + bad); a.status != http.StatusBadRequest || !strings.Contains(a.body, "Sign out") {
				t.Errorf("%.20s: %d\n%s", bad, a.status, a.body)
			}
		}
	})
}

func TestConnectionsPages(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var all []string
		for i := range 113 {
			c := w.connect("toggl", "api_token", vault.NewImport{EndUser: vault.EndUser{ID: fmt.Sprintf("u%d", i)}, Tags: map[string]string{"n": "1"}})
			all = append([]string{c.ID}, all...)
		}
		w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
		b := w.admin()
		next := regexp.MustCompile(`href="([^"]+)" rel="next">Older`)
		path, seen, pages := "/admin/connections?integration=toggl&tag.n=1", []string(nil), 0
		for path != "" && pages < 10 {
			page := b.page(path)
			seen, pages = append(seen, listed(page)...), pages+1
			if newest := strings.Contains(page, `href="/admin/connections?integration=toggl&amp;tag.n=1">Newest`); newest != (pages > 1) {
				t.Errorf("page %d has a link to the newest: %v", pages, newest)
			}
			path = ""
			if m := next.FindStringSubmatch(page); m != nil {
				path = strings.ReplaceAll(m[1], "&amp;", "&")
			}
		}
		if diff := cmp.Diff(all, seen); diff != "" || pages != 3 {
			t.Errorf("%d pages (-want +got)\n%s", pages, diff)
		}
		w.wantOn(b.page("/admin/connections?integration=toggl"), []string{"The newest 50 connections"})
		w.wantOn(b.page("/admin/connections?integration=toggl&cursor="+all[99]), []string{"The oldest 13 connections"})
		w.wantOn(b.page("/admin/connections?cursor="+all[112]), []string{"That was all", "Back to the newest"})
	})
}

func TestConnectionPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		conn := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada, Tags: map[string]string{"team": "a&b"}, ExternalID: "ext-9"})
		meta := map[string]any{"plan": "gold", "nested": map[string]any{"k": "<v>"}}
		if _, err := w.vault.PatchConnection(t.Context(), w.system(), conn.ID, vault.ConnectionPatch{Metadata: &meta}); err != nil {
			t.Fatal(err)
		}
		key, _ := w.key("reports")
		reader := vault.Caller{Kind: vault.CallerAPIKey, ID: key.ID, EnvironmentID: w.env, Scopes: vault.AllScopes()}
		for range 3 {
			if _, _, err := w.vault.OpenCredential(t.Context(), reader, conn.ID, true); err != nil {
				t.Fatal(err)
			}
		}
		b := w.admin()
		page := b.page("/admin/connections/" + conn.ID)
		w.wantOn(page, []string{
			"Ada Lovelace at TimeLog", "ada@acme.example", "User user-1815", "badge-active", ">Active<", "https://api.example",
			"Id acc-user-1815", "team: a&amp;b", `href="/admin/connections?tag.team=a%26b"`, "ext-9", "gold", "\\u003cv\\u003e",
			conn.ID, "Connection imported", "Tags or metadata changed", "Credential read", "with the refresh token", "Key “reports”",
			`href="/admin/connections/` + conn.ID + `/revoke"`, `<time datetime="2026-03-01T12:00:00Z">`,
		})

		few := w.admin(vault.RoleViewer)
		w.wantOn(few.page("/admin/connections/"+conn.ID), []string{"badge-active"}, "Revoke…", "/admin/api-keys/", "/admin/admins")
		// What a page does not offer is not tried on the quiet either.
		for _, e := range w.trail() {
			if e.Action == vault.ActionRefused {
				t.Errorf("a refusal in the trail: %+v", e)
			}
		}
	})
}

// TestStatusNotices: each status says what to know and what to do.
func TestStatusNotices(t *testing.T) {
	w := one(t)
	in, err := w.vault.PrepareImport(t.Context(), w.system(), "timelog", vault.NewImport{EndUser: ada})
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := w.vault.CreateSession(t.Context(), w.system(), vault.NewSession{
		EndUser: ada, Integrations: []string{"timelog"}, ReturnURL: "https://acme.example/back", Completion: vault.CompleteRedeem,
	})
	if err != nil {
		t.Fatal(err)
	}
	s, binding, err := w.vault.BindSession(t.Context(), token, vault.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	caller, _, err := w.vault.BoundSession(t.Context(), s.ID, binding)
	if err != nil {
		t.Fatal(err)
	}
	linked, err := w.vault.Link(t.Context(), caller, in, "oidc", vault.Grant{
		Credential: vault.Credential{vault.ValueAccessToken: vault.NewSecret("canary-pending-1c")},
		Headers:    []vault.Header{{Name: "Authorization", Value: vault.NewSecret("Bearer canary-pending-1c")}},
		Account:    vault.Account{ID: "a", Label: "A"},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.secrets = append(w.secrets, "canary-pending-1c")
	b := w.admin()
	w.wantOn(b.page("/admin/connections/"+linked.Connection.ID), []string{"badge-pending", "not yet redeemed", "Account linked"})

	conn := w.connect("timelog", "oidc", vault.NewImport{EndUser: user("two")})
	condemn(t, w, conn)
	w.wantOn(b.page("/admin/connections/"+conn.ID), []string{
		"badge-reconnect_required", "Reconnect required", "The provider refuses the credential.", "make a connect session with this connection_id",
	})
	w.wantNoLeak()
}

func TestEmptyPages(t *testing.T) {
	w := one(t)
	env, err := w.vault.EnsureEnvironment(t.Context(), "empty")
	if err != nil {
		t.Fatal(err)
	}
	b := w.admin()
	b.switchTo(env.ID)
	w.wantOn(b.page("/admin/connections"), []string{"Nobody has linked an account yet", "POST /v1/connect-sessions", "Environment empty"})
	w.wantOn(b.page("/admin/integrations"), []string{"Nothing is set up yet", "POST /v1/integrations"})
	w.wantOn(b.page("/admin/connections?q=ada"), []string{"No connection matches", "Show all connections"})
	w.wantOn(b.page("/admin/audit?actor=nobody"), []string{"No entry matches", "Show the whole trail"})
}

// TestForeignText: what end users, hosts and providers call themselves is text
// on every page, whatever it looks like.
func TestForeignText(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const evil = `"><script>alert('x')</script><img src=x onerror=alert(1)>&amp;`
		conn := w.connect("timelog", "oidc", vault.NewImport{
			EndUser: vault.EndUser{ID: "id" + evil, Name: "name" + evil, Email: "evil@mail.example"},
			Tags:    map[string]string{"tag": evil}, ExternalID: "ext" + evil,
			Grant: vault.Grant{Account: vault.Account{ID: "acc" + evil, Label: "label" + evil}, Scopes: []string{"scope" + evil}},
		})
		title := "title" + evil
		if _, err := w.vault.PatchIntegration(t.Context(), w.system(), "timelog", vault.IntegrationPatch{Title: &title}); err != nil {
			t.Fatal(err)
		}
		meta := map[string]any{"m": evil}
		if _, err := w.vault.PatchConnection(t.Context(), w.system(), conn.ID, vault.ConnectionPatch{Metadata: &meta}); err != nil {
			t.Fatal(err)
		}
		evilKey, _ := w.key("key" + evil)
		b := w.admin()
		paths := append(everyPage(conn.ID, evilKey.ID)[1:],
			"/admin/connections?"+url.Values{"q": {evil}}.Encode(),
			"/admin/connections?"+url.Values{"end_user_id": {"id" + evil}}.Encode(),
			"/admin/connections?"+url.Values{"integration": {evil}}.Encode(),
			"/admin/connections?"+url.Values{"tag.tag": {evil}}.Encode(),
			"/admin/connections?"+url.Values{"tag." + evil: {"v"}}.Encode(),
			"/admin/audit?"+url.Values{"actor": {evil}, "connection_id": {evil}}.Encode(),
		)
		for _, path := range paths {
			w.wantOn(b.page(path), nil, "<script>", "<img", "onerror=alert(1)>&amp;\"")
		}
		if a := b.get("/admin/connections?" + url.Values{evil: {"v"}}.Encode()); strings.Contains(a.body, "<script>") {
			t.Error("a parameter's name is not escaped")
		}
		w.wantOn(b.page("/admin/connections/"+conn.ID), []string{"name&#34;&gt;&lt;script&gt;", "label&#34;&gt;&lt;script&gt;"})
	})
}

func TestIntegrationsPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.connect("timelog", "oidc", vault.NewImport{EndUser: user("one")})
		w.connect("timelog", "oidc", vault.NewImport{EndUser: user("two")})
		gone := w.connect("timelog", "oidc", vault.NewImport{EndUser: user("three")})
		if _, err := w.vault.Revoke(t.Context(), w.system(), gone.ID); err != nil {
			t.Fatal(err)
		}
		in, err := w.vault.Integration(t.Context(), w.system(), "timelog")
		if err != nil {
			t.Fatal(err)
		}
		toggl, err := w.vault.Integration(t.Context(), w.system(), "toggl")
		if err != nil {
			t.Fatal(err)
		}
		o := vault.Overrides{BaseURL: "https://toggl.example/api", AllowedHosts: []string{"a.example", "b.example"}}
		if _, err := w.vault.PatchIntegration(t.Context(), w.system(), "toggl", vault.IntegrationPatch{Overrides: &o}); err != nil {
			t.Fatal(err)
		}
		b := w.admin()
		w.wantOn(b.page("/admin/integrations"), []string{
			"TimeLog at Acme", "Toggl Track", `href="/admin/integrations/` + in.ID + `"`, `href="/admin/connections?integration=timelog"`, "2 integrations",
			`href="/admin/integrations/new"`,
		})
		for _, path := range []string{"/admin/integrations/timelog", "/admin/integrations/" + in.ID} {
			w.wantOn(b.page(path), []string{
				"TimeLog at Acme", "acme-client", "set, and never shown",
				`<code id="copy-` + in.ID + `">http://broker.example/connect/callback/` + in.ID + `</code>`,
				`href="/admin/connections?integration=timelog&amp;status=active">2 active<`, ">1 revoked<", ">0 pending<", "support@timelog.com",
			})
		}
		w.wantOn(b.page("/admin/integrations/toggl"), []string{"https://toggl.example/api", "a.example", "b.example"},
			"callback/"+toggl.ID) // no method of Toggl's leads there
	})
}

func TestAPIKeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		victim, secret := w.key("reports", vault.ScopeCredentialsRead)
		alive, _ := w.key("second backend")
		b := w.admin()
		w.wantOn(b.page("/admin/api-keys"), []string{"reports", "clv_key_", "credentials:read", "second backend", "never"}, secret.Reveal())

		path := "/admin/api-keys/" + victim.ID + "/revoke"
		w.wantOn(b.page(path), []string{"Revoke the key “reports”?", "What will happen", "cannot be undone"})
		if k, err := w.vault.APIKey(t.Context(), w.system(), victim.ID); err != nil || !k.RevokedAt.IsZero() {
			t.Fatalf("the question alone revoked it: %v, %v", k.RevokedAt, err)
		}
		if a := b.post(path, url.Values{"token": {b.token(b.page(path))}, "confirm": {"second backend"}}); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "This is not “reports”.") {
			t.Errorf("another name typed: %d", a.status)
		}
		if k, err := w.vault.APIKey(t.Context(), w.system(), victim.ID); err != nil || !k.RevokedAt.IsZero() {
			t.Fatalf("another name revoked it: %v, %v", k.RevokedAt, err)
		}
		a := b.send(path)
		if a.status != http.StatusSeeOther || a.location != "/admin/api-keys?revoked="+victim.ID {
			t.Fatalf("revoke: %d to %q", a.status, a.location)
		}
		w.wantOn(b.page(a.location), []string{"The key “reports” is revoked", "badge-revoked", `role="status"`}, path)
		if _, err := w.vault.Authenticate(t.Context(), vault.Bearer{Key: secret}); err == nil {
			t.Error("the key still works")
		}
		if a := b.get(path); a.status != http.StatusSeeOther || a.location != "/admin/api-keys?revoked="+victim.ID {
			t.Errorf("asked again: %d to %q", a.status, a.location)
		}
		if a := b.post(path, url.Values{"token": {b.token(b.page("/admin/api-keys"))}}); a.status != http.StatusSeeOther {
			t.Errorf("a second click: %d", a.status)
		}
		w.wantOn(b.page("/admin/audit?action=api_key.revoked"), []string{"API key revoked", "Key “reports”", "Admin “Grace”", "1 entry"})
		// What an address claims is not believed.
		for _, claim := range []string{"?revoked=" + alive.ID, "?revoked=x", "?revoked=%3Cscript%3E"} {
			w.wantOn(b.page("/admin/api-keys"+claim), nil, "is revoked")
		}
	})
}

func TestAuditPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		conn := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
		other := w.connect("toggl", "api_token", vault.NewImport{EndUser: user("two")})
		key, _ := w.key("reports")
		reader := vault.Caller{Kind: vault.CallerAPIKey, ID: key.ID, EnvironmentID: w.env, Scopes: []vault.Scope{vault.ScopeCredentialsReadRaw}}
		if _, _, err := w.vault.OpenCredential(t.Context(), reader, conn.ID, false); err != nil {
			t.Fatal(err)
		}
		if _, err := w.vault.Revoke(t.Context(), reader, other.ID); err == nil {
			t.Fatal("revoked without the scope")
		}
		b := w.admin()
		for _, tt := range []struct {
			query string
			want  []string
			not   []string
		}{
			{"", []string{"Credential read", "Key “reports”", "Connection imported", "Integration created", "Integration timelog", "Admin signed in", "The broker (test)", "needs connections:revoke", conn.ID}, nil},
			{"?action=credential.read", []string{"Credential read", `<option value="credential.read" selected>`}, []string{`class="main">Connection imported`}},
			{"?connection_id=" + other.ID, []string{"Connection imported", "needs connections:revoke"}, []string{conn.ID}},
			{"?actor=" + key.ID, []string{"Credential read", "needs connections:revoke"}, []string{`class="main">Connection imported`}},
			{"?actor=" + key.ID + "&action=refused&connection_id=", []string{"1 entry"}, []string{`class="main">Credential read`}},
			{"?action=&actor=&connection_id=&integration_id=&outcome=&since=&until=", []string{"Connection imported", `href="/admin/audit/export">Export</a>`}, nil},
			{"?outcome=refused", []string{"needs connections:revoke", `<details class="more filters-more" open>`, `href="/admin/audit/export?outcome=refused">Export these</a>`}, []string{`class="main">Connection imported`}},
			{"?integration_id=" + conn.IntegrationID, []string{`<option value="` + conn.IntegrationID + `" selected>timelog</option>`, "Connection imported"}, []string{other.ID}},
			{"?since=2000-01-01&until=2000-01-31", []string{"No entry matches", `value="2000-01-01"`, `value="2000-01-31"`, "since=2000-01-01T00%3A00%3A00Z&amp;until=2000-02-01T00%3A00%3A00Z"}, nil},
			{"?since=2000-01-01", []string{"Connection imported"}, nil},
		} {
			w.wantOn(b.page("/admin/audit"+tt.query), tt.want, tt.not...)
		}
		for _, bad := range []string{"?action=nothing.such", "?since=yesterday"} {
			if a := b.get("/admin/audit" + bad); a.status != http.StatusBadRequest {
				t.Errorf("%s: %d", bad, a.status)
			}
		}
	})
}

// The export has what the list has, in the order in which it happened.
func TestAuditExport(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		conn := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
		w.connect("toggl", "api_token", vault.NewImport{EndUser: user("two")})
		b := w.admin()
		a := b.get("/admin/audit/export?connection_id=" + conn.ID)
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Disposition"), `attachment; filename="audit-2`) {
			t.Errorf("%d, %q", a.status, a.header.Get("Content-Disposition"))
		}
		var actions []vault.Action
		for line := range strings.Lines(a.body) {
			var e vault.EntryLine
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			actions = append(actions, e.Action)
		}
		if diff := cmp.Diff([]vault.Action{vault.ActionConnectionImported}, actions); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, bad := range []string{"?action=nothing.such", "?since=yesterday", "?cursor=x"} {
			if a := b.get("/admin/audit/export" + bad); a.status != http.StatusBadRequest {
				t.Errorf("%s: %d", bad, a.status)
			}
		}
	})
}

func TestAuditPages(t *testing.T) {
	w := one(t)
	conn := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
	for range 60 {
		tags := map[string]string{"a": "b"}
		if _, err := w.vault.PatchConnection(t.Context(), w.system(), conn.ID, vault.ConnectionPatch{Tags: &tags}); err != nil {
			t.Fatal(err)
		}
	}
	b := w.admin()
	page := b.page("/admin/connections/" + conn.ID)
	if got := strings.Count(page, `<span class="trail-what">`); got != 25 {
		t.Errorf("%d entries on the connection's page, want 25", got)
	}
	w.wantOn(page, []string{`href="/admin/audit?connection_id=` + conn.ID + `">In the audit trail`, `rel="next">Older</a>`})
	page = b.page("/admin/audit?connection_id=" + conn.ID)
	if got := strings.Count(page, `<td role="cell" class="main">`); got != 50 {
		t.Errorf("%d entries on a page of the trail, want 50", got)
	}
	m := regexp.MustCompile(`href="([^"]+)" rel="next"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("no way to what is older")
	}
	page = b.page(strings.ReplaceAll(m[1], "&amp;", "&"))
	if got := strings.Count(page, `<td role="cell" class="main">`); got != 11 {
		t.Errorf("%d entries on the last page, want 11", got)
	}
}

// TestEveryActionHasWords reads the vault's actions from its source: a new one
// must not stay without words.
func TestEveryActionHasWords(t *testing.T) {
	w := one(t)
	page := w.admin().page("/admin/audit")
	file, err := parser.ParseFile(token.NewFileSet(), "../vault/audit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) == 0 || !strings.HasPrefix(spec.Names[0].Name, "Action") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if !regexp.MustCompile(`<option value="` + regexp.QuoteMeta(value) + `"( selected)?>[A-Z]`).MatchString(page) {
			t.Errorf("the action %s has no words", value)
		}
		return false
	})
	if found < 30 {
		t.Errorf("found %d actions in the source", found)
	}
}

// cutWriter is a browser that does something when the first part has come.
type cutWriter struct {
	*httptest.ResponseRecorder
	first func()
}

func (c *cutWriter) Write(b []byte) (int, error) {
	if c.Body.Len() == 0 {
		c.first()
	}
	return c.ResponseRecorder.Write(b)
}

// TestAuditExportEnds: whose session ends meanwhile gets what is on its way, and no
// more.
func TestAuditExportEnds(t *testing.T) {
	w := one(t)
	for range 1000 { // two parts, and what there was before
		if err := w.vault.Allow(t.Context(), vault.Caller{Kind: vault.CallerAPIKey, ID: "nobody", EnvironmentID: w.env}, vault.ScopeAuditRead); err == nil {
			t.Fatal("allowed")
		}
	}
	b := w.admin()
	out := &cutWriter{httptest.NewRecorder(), func() {
		if n, err := w.vault.EndAdminSessions(t.Context(), w.system(), b.self.ID, ""); n != 1 || err != nil {
			t.Errorf("%d sessions ended, %v", n, err)
		}
	}}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/admin/audit/export", nil)
	r.AddCookie(&http.Cookie{Name: "clv_admin", Value: b.cookie()})
	func() {
		defer func() {
			if cut := recover(); cut != http.ErrAbortHandler { //nolint:errorlint // what net/http compares with
				t.Errorf("the answer ended with %v", cut)
			}
		}()
		w.routes.ServeHTTP(out, r)
	}()
	if n := strings.Count(out.Body.String(), "\n"); out.Code != http.StatusOK || n != 500 {
		t.Errorf("%d, %d lines", out.Code, n)
	}
}
