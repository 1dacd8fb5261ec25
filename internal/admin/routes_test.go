package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/vault"
)

// route is what tests have to know of each route of these pages: a new one that
// is not in the table below fails them.
type route struct {
	// least is the role that may, with all above it; "" is for routes that need
	// no sign-in.
	least vault.Role
	// of is what the id in the path is of; "" where there is none.
	of string
}

// What an id in a path is of. A connection and the like are of one environment;
// admins and their sessions are of none.
const (
	ofConnection  = "connection"
	ofAPIKey      = "api key"
	ofIntegration = "integration"
	ofRevocation  = "bulk revocation"
	ofNone        = "installation"
)

func routes() map[string]route {
	return map[string]route{
		"GET /admin/sign-in":      {},
		"GET /admin/link/:token":  {of: ofNone},
		"POST /admin/link/:token": {of: ofNone},

		"GET /admin":                 {least: vault.RoleViewer},
		"GET /admin/overview/stream": {least: vault.RoleViewer},
		"POST /admin/sign-out":       {least: vault.RoleViewer},
		"POST /admin/environment":    {least: vault.RoleViewer},

		"GET /admin/connections":                     {least: vault.RoleViewer},
		"GET /admin/connections/:id":                 {least: vault.RoleViewer, of: ofConnection},
		"GET /admin/connections/:id/revoke":          {least: vault.RoleViewer, of: ofConnection},
		"POST /admin/connections/:id/revoke":         {least: vault.RoleOperator, of: ofConnection},
		"POST /admin/revocations/preview":            {least: vault.RoleViewer}, // does nothing but lead on
		"GET /admin/revocations/new":                 {least: vault.RoleOperator},
		"POST /admin/revocations":                    {least: vault.RoleOperator},
		"GET /admin/revocations":                     {least: vault.RoleViewer},
		"GET /admin/revocations/:id":                 {least: vault.RoleViewer, of: ofRevocation},
		"GET /admin/revocations/:id/progress":        {least: vault.RoleViewer, of: ofRevocation},
		"POST /admin/revocations/:id/stop":           {least: vault.RoleOperator, of: ofRevocation},
		"POST /admin/revocations/:id/resume":         {least: vault.RoleOperator, of: ofRevocation},
		"GET /admin/integrations":                    {least: vault.RoleViewer},
		"GET /admin/integrations/new":                {least: vault.RoleOwner},
		"GET /admin/integrations/new/:provider":      {least: vault.RoleOwner, of: ofNone},
		"POST /admin/integrations/new/:provider":     {least: vault.RoleOwner, of: ofNone},
		"GET /admin/integrations/:id":                {least: vault.RoleViewer, of: ofIntegration},
		"GET /admin/integrations/:id/edit":           {least: vault.RoleOwner, of: ofIntegration},
		"POST /admin/integrations/:id/edit":          {least: vault.RoleOwner, of: ofIntegration},
		"GET /admin/integrations/:id/secret":         {least: vault.RoleOwner, of: ofIntegration},
		"POST /admin/integrations/:id/secret":        {least: vault.RoleOwner, of: ofIntegration},
		"GET /admin/integrations/:id/delete":         {least: vault.RoleOwner, of: ofIntegration},
		"POST /admin/integrations/:id/delete":        {least: vault.RoleOwner, of: ofIntegration},
		"GET /admin/integrations/:id/test":           {least: vault.RoleOperator, of: ofIntegration},
		"POST /admin/integrations/:id/test":          {least: vault.RoleOperator, of: ofIntegration},
		"GET /admin/integrations/:id/test/done":      {least: vault.RoleOperator, of: ofIntegration},
		"GET /admin/integrations/:id/test/:session":  {least: vault.RoleOperator, of: ofIntegration},
		"POST /admin/integrations/:id/test/:session": {least: vault.RoleOperator, of: ofIntegration},
		"GET /admin/api-keys":                        {least: vault.RoleViewer},
		"GET /admin/api-keys/new":                    {least: vault.RoleOwner},
		"POST /admin/api-keys/new":                   {least: vault.RoleOwner},
		"GET /admin/api-keys/:id/edit":               {least: vault.RoleOwner, of: ofAPIKey},
		"POST /admin/api-keys/:id/edit":              {least: vault.RoleOwner, of: ofAPIKey},
		"GET /admin/api-keys/:id/rotate":             {least: vault.RoleOwner, of: ofAPIKey},
		"POST /admin/api-keys/:id/rotate":            {least: vault.RoleOwner, of: ofAPIKey},
		"GET /admin/api-keys/:id/revoke":             {least: vault.RoleOwner, of: ofAPIKey},
		"POST /admin/api-keys/:id/revoke":            {least: vault.RoleOwner, of: ofAPIKey},
		"GET /admin/audit":                           {least: vault.RoleViewer},
		"GET /admin/audit/export":                    {least: vault.RoleViewer},
		"POST /admin/connections/:id/refresh":        {least: vault.RoleOperator, of: ofConnection},
		"POST /admin/connections/:id/verify":         {least: vault.RoleOperator, of: ofConnection},
		"POST /admin/connections/:id/reconnect":      {least: vault.RoleOperator, of: ofConnection},
		"POST /admin/connections/:id/tags":           {least: vault.RoleOperator, of: ofConnection},

		"GET /admin/admins":                   {least: vault.RoleOwner},
		"GET /admin/admins/new":               {least: vault.RoleOwner},
		"POST /admin/admins":                  {least: vault.RoleOwner},
		"GET /admin/admins/:id":               {least: vault.RoleOwner, of: ofNone},
		"POST /admin/admins/:id/link":         {least: vault.RoleOwner, of: ofNone},
		"POST /admin/admins/:id/role":         {least: vault.RoleOwner, of: ofNone},
		"GET /admin/admins/:id/remove":        {least: vault.RoleOwner, of: ofNone},
		"POST /admin/admins/:id/remove":       {least: vault.RoleOwner, of: ofNone},
		"POST /admin/admins/:id/restore":      {least: vault.RoleOwner, of: ofNone},
		"POST /admin/admins/:id/end-sessions": {least: vault.RoleOwner, of: ofNone},

		"GET /admin/sessions":          {least: vault.RoleViewer},
		"POST /admin/sessions/end":     {least: vault.RoleViewer},
		"POST /admin/sessions/:id/end": {least: vault.RoleViewer, of: ofNone},

		"GET /admin/environments":            {least: vault.RoleOwner},
		"POST /admin/environments":           {least: vault.RoleOwner},
		"GET /admin/environments/:id":        {least: vault.RoleOwner, of: ofNone},
		"POST /admin/environments/:id/name":  {least: vault.RoleOwner, of: ofNone},
		"POST /admin/environments/:id/reads": {least: vault.RoleOwner, of: ofNone},

		"GET /admin/sign-in/provider":    {},
		"GET /admin/callback":            {},
		"POST /admin/backchannel-logout": {},
	}
}

// registered are the routes that are served, by method and path.
func (w *world) registered() []string {
	var names []string
	for _, r := range w.routes.Routes() {
		if strings.HasPrefix(r.Path, "/admin") && (r.Method == http.MethodGet || r.Method == http.MethodPost) {
			names = append(names, r.Method+" "+r.Path)
		}
	}
	return names
}

func (w *world) eachRoute(fn func(method, path string, r route)) {
	w.t.Helper()
	known := routes()
	for _, name := range w.registered() {
		r, ok := known[name]
		if !ok {
			w.t.Errorf("%s is not in the table of routes", name)
			continue
		}
		delete(known, name)
		method, path, _ := strings.Cut(name, " ")
		fn(method, path, r)
	}
	for name := range known {
		w.t.Errorf("%s is in the table and not served", name)
	}
}

// TestRoles asks for every route with every role. Ids are of nothing that is
// there, so that what is allowed does nothing.
func TestRoles(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.withProvider(rules)
		for _, role := range vault.Roles() {
			b := w.admin(role)
			token := b.token(b.page("/admin/connections"))
			w.eachRoute(func(method, path string, r route) {
				if r.least == "" || path == "/admin/sign-out" {
					return
				}
				at := strings.Replace(path, ":id", "con_06h03dkgndq6vfdsu9o8c2iihs", 1)
				a := b.get(at)
				if method == http.MethodPost {
					a = b.post(at, url.Values{"token": {token}})
				}
				refused := a.status == http.StatusForbidden && strings.Contains(a.body, "Your role may not do this")
				if want := role.Rank() < r.least.Rank(); refused != want || a.status >= http.StatusInternalServerError {
					t.Errorf("%s %s as %s: %d, refused: %v, want %v", method, path, role, a.status, refused, want)
				}
				if e := w.trail()[0]; refused && (e.Action != vault.ActionRefused || e.ActorKind != vault.CallerAdmin || e.ActorID != b.self.ID) {
					t.Errorf("%s %s as %s: newest entry %+v", method, path, role, e)
				}
			})
			if a := b.post("/admin/sign-out", url.Values{"token": {token}}); a.status != http.StatusSeeOther {
				t.Errorf("sign-out as %s: %d", role, a.status)
			}
		}
	})
}

// TestAnotherEnvironment asks for every route with the ids of another
// environment: to an owner, and with a token that is good, it is not there.
func TestAnotherEnvironment(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.withProvider(rules)
		env, err := w.vault.EnsureEnvironment(t.Context(), "another")
		if err != nil {
			t.Fatal(err)
		}
		in, err := w.vault.CreateIntegration(t.Context(), vault.System("test", env.ID), vault.Integration{Key: "theirs", Provider: "toggl"})
		if err != nil {
			t.Fatal(err)
		}
		conn := w.connectIn(env.ID, "theirs", "api_token", vault.NewImport{EndUser: user("stranger")})
		key, _ := w.keyIn(env.ID, "their-key")
		bulk, err := w.vault.StartBulkRevocation(t.Context(), vault.System("test", env.ID), vault.NewBulkRevocation{BulkTarget: vault.BulkTarget{IDs: []string{conn.ID}}})
		if err != nil {
			t.Fatal(err)
		}
		theirs := map[string]string{ofConnection: conn.ID, ofAPIKey: key.ID, ofIntegration: in.ID, ofRevocation: bulk.ID}

		b := w.admin()
		token := b.token(b.page("/admin/connections"))
		w.eachRoute(func(method, path string, r route) {
			if !strings.Contains(path, ":") || r.of == ofNone {
				return
			}
			id := theirs[r.of]
			if id == "" {
				t.Errorf("%s %s: the table does not say what the id is of", method, path)
				return
			}
			at := strings.Replace(path, ":id", id, 1)
			a := b.get(at)
			if method == http.MethodPost {
				a = b.post(at, url.Values{"token": {token}})
			}
			if a.status != http.StatusNotFound {
				t.Errorf("%s %s: %d to %q", method, at, a.status, a.location)
			}
		})
		for _, path := range []string{"/admin/connections", "/admin/integrations", "/admin/api-keys", "/admin/audit", "/admin/connections?q=stranger", "/admin/audit?connection_id=" + conn.ID} {
			w.wantOn(b.page(path), nil, "theirs", "their-key", "Name of stranger", `/admin/connections/`+conn.ID)
		}
		for _, path := range []string{
			"/admin/connections/con_06h03dkgndq6vfdsu9o8c2iihs", "/admin/connections/x", "/admin/connections/..%2fx", "/admin/connections/%00", "/admin/nothing",
		} {
			if a := b.get(path); a.status != http.StatusNotFound {
				t.Errorf("GET %s: %d", path, a.status)
			}
		}
		if c, err := w.vault.Connection(t.Context(), vault.System("test", env.ID), conn.ID); err != nil || c.Status != vault.StatusActive {
			t.Errorf("their connection: %v, %v", c.Status, err)
		}

		// It is there after a switch, and what was here is not.
		b.switchTo(env.ID)
		w.wantOn(b.page("/admin/connections"), []string{"Name of stranger", "Environment another"})
		if e := w.trailOf(env.ID)[0]; e.Action != vault.ActionEnvironmentSwitched || e.ActorID != b.self.ID {
			t.Errorf("newest entry there = %+v", e)
		}
		// A form from before the switch is refused, and says why.
		a := b.post("/admin/connections/"+conn.ID+"/revoke", url.Values{"token": {token}})
		if a.status != http.StatusForbidden || !strings.Contains(a.body, "opened in the environment default, and you have switched to another since") {
			t.Errorf("a form from before: %d\n%s", a.status, a.body)
		}
		if a := b.post("/admin/environment", url.Values{"token": {token}, "environment": {"env_06h03dkgndq6vfdsu9o8c2iihs"}}); a.status != http.StatusNotFound {
			t.Errorf("a switch to no environment: %d", a.status)
		}
		if a := b.post("/admin/sign-out", url.Values{"token": {token}}); a.status != http.StatusSeeOther {
			t.Errorf("signing out with a form from before: %d", a.status)
		}
	})
}
