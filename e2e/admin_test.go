package e2e

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/sandbox"
)

// TestAdminRevokes is an admin who finds a connection, reads what revoking it
// will do, does it, and sees it in the trail. From then on there are no headers.
func TestAdminRevokes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		hybridWorld(w)
		w.integrateToggl()
		w.sandbox.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.OpaqueAccessTokens = true })
		v := newVisitor(t)
		v.deliver(w, v.toTimeLog(w.link("ada-1815", []string{"timelog"}, nil))).want(http.StatusOK, "TimeLog is linked")
		c := w.linked("ada-1815")
		importToggl(w, "grace-1906")
		h := w.api.headers(c.ID)
		h.accepted("/api/v1/user", sandbox.AdaEmail)

		p := visit(t, look{NoScript: true})
		p.open(w.front.url + "/admin/connections/" + c.ID) // as from a bookmark
		p.arrive("Sign in")
		p.inspect("admin-sign-in")
		link := w.adminLink("owner")
		p.open(link)
		p.reads("This link signs you in as Grace")
		p.inspect("admin-link")
		p.press("Sign in as Grace (owner)")
		p.arrive("Ada Lovelace at TimeLog") // where they were going
		p.open(link)
		p.reads("This link does not sign you in")
		p.inspect("admin-link-used")
		p.open(w.front.url + "/admin/connections/" + c.ID)
		p.arrive("Ada Lovelace at TimeLog")
		p.inspect("admin-connection")

		p.press("Connections")
		p.arrive("Connections")
		p.reads("Ada Lovelace", "grace-1906", "Active")
		p.inspect("admin-connections")
		p.enter("Search", "ada-1815")
		p.press("Search")
		p.arrive("Connections")
		if strings.Contains(p.text("main"), "grace-1906") {
			t.Error("the search found what it was not asked for")
		}
		p.enter("Search", "nobody-at-all")
		p.press("Search")
		p.reads("No connection matches")
		p.inspect("admin-no-match")
		p.press("Show all connections")
		for _, name := range []string{"Integrations", "API keys", "Audit trail"} {
			p.press(name)
			p.arrive(name)
			p.inspect("admin-" + strings.ToLower(strings.ReplaceAll(name, " ", "-")))
		}

		p.press("Connections")
		p.press("Ada Lovelace")
		p.arrive("Ada Lovelace at TimeLog")
		p.press("Revoke…")
		p.arrive("Revoke this connection?")
		p.reads("nobody gets headers for it any more, on any replica", "TimeLog is told that the credential is not to work any more",
			"The encrypted credential is erased", "This cannot be undone")
		p.inspect("admin-revoke")
		if got := w.api.connection(c.ID).Status; got != "active" {
			t.Errorf("asking made the connection %s", got)
		}
		p.press("Keep it")
		p.arrive("Ada Lovelace at TimeLog")
		h.accepted("/api/v1/user", sandbox.AdaEmail)

		p.press("Revoke…")
		p.enter("Type the end user's id, ada-1815, to confirm", "ada-1815")
		p.press("Revoke connection")
		p.arrive("Ada Lovelace at TimeLog")
		p.reads("Revoked")
		p.inspect("admin-revoked")
		for _, b := range w.brokers { // on every replica, at once
			w.at(b).get("/v1/connections/"+c.ID+"/headers").problem(http.StatusGone, "revoked")
		}
		h.refused("/api/v1/user")
		if families := w.sandbox.TimeLog().Families(); len(families) != 1 || families[0].RevokedBy != "client" {
			t.Errorf("TimeLog's books: %+v", len(families))
		}
		for _, e := range w.api.trail("action=connection.revoked") {
			if e.ConnectionID != c.ID || e.ActorKind != "admin" {
				t.Errorf("the trail says %+v", e)
			}
		}

		p.press("Sign out")
		p.arrive("Sign in")
		p.open(w.front.url + "/admin/audit")
		p.arrive("Sign in")
	})
}

// TestAdminWithScripts looks at the pages as most admins see them, and as one
// who may not do all.
func TestAdminWithScripts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		hybridWorld(w)
		w.integrateToggl()
		id := importToggl(w, "grace-1906")
		long := strings.Repeat("a-key-of-64-", 5) + "long"
		w.integrate(map[string]any{"provider": "clicktime", "key": long, "title": strings.Repeat("Unbroken", 12)})
		p := visit(t, look{})
		p.open(w.front.url + "/admin")
		p.arrive("Sign in")
		p.inspect("admin-sign-in")
		w.signIn(p, "viewer")
		p.inspect("admin-overview")
		p.press("Connections")
		p.arrive("Connections")
		p.inspect("admin-connections")
		p.open(w.front.url + "/admin/connections/" + id)
		p.arrive("grace-1906 at Toggl Track")
		p.inspect("admin-connection-reader")
		p.open(w.front.url + "/admin/connections/" + id + "/revoke")
		p.inspect("admin-forbidden")
		p.open(w.front.url + "/admin/connections/con_00000000000000000000000000")
		p.inspect("admin-not-found")
		if got := w.api.connection(id).Status; got != "active" {
			t.Errorf("the connection is %s", got)
		}

		p = visit(t, look{})
		w.signIn(p, "owner")
		p.press("Integrations")
		p.arrive("Integrations")
		p.inspect("admin-integrations")
		p.press("API keys")
		p.arrive("API keys")
		p.inspect("admin-api-keys")
		p.press("Audit trail")
		p.arrive("Audit trail")
		p.reads("Integration " + long)
		p.inspect("admin-audit-long")
		p.open(w.front.url + "/admin/revocations/new?status=active")
		p.arrive("Revoke 1 connection?")
		p.inspect("admin-revoke-all")
	})
}

// TestAdminsAndEnvironments is an owner who lets somebody in, makes an
// environment, looks at it, and puts an end to a session.
func TestAdminsAndEnvironments(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		p := visit(t, look{NoScript: true})
		w.signIn(p, "owner")
		p.press("Admins")
		p.arrive("Admins")
		p.reads("Grace", "You", "owner", "By links")
		p.inspect("admin-admins")
		p.press("Invite an admin")
		p.arrive("Invite an admin")
		p.inspect("admin-invite")
		p.press("Make the link") // without a name
		p.reads("Is required.")
		p.inspect("admin-invite-wrong")
		p.enter("Name", "Ada Lovelace")
		p.press("Make the link")
		p.arrive("A link for Ada Lovelace")
		link := regexp.MustCompile(`http\S+/admin/link/\S+`).FindString(p.text("main"))

		ada := visit(t, look{Width: 360})
		ada.open(link)
		ada.press("Sign in as Ada Lovelace (viewer)")
		ada.arrive("Overview")
		ada.press("Ada Lovelace")
		ada.arrive("Your sessions")
		ada.reads("This one", "By a link, as viewer")
		ada.inspect("admin-sessions")

		p.press("Done")
		p.arrive("Ada Lovelace")
		p.reads("viewer", "Live")
		p.inspect("admin-admin")
		p.press("End all")
		p.arrive("Ada Lovelace")
		p.reads("Ended")
		ada.open(w.front.url + "/admin/connections")
		ada.arrive("Sign in")
		ada.reads("Your session is over")

		p.press("Remove…")
		p.arrive("Remove Ada Lovelace?")
		p.inspect("admin-remove")
		p.press("Remove Ada Lovelace")
		p.arrive("Ada Lovelace")
		p.reads("Removed")

		p.press("Environments")
		p.arrive("Environments")
		p.enter("Name", "staging")
		p.press("Create")
		p.arrive("staging")
		p.inspect("admin-environment")
		p.press("Environments")
		p.arrive("Environments")
		p.inspect("admin-environments")
		p.press("Switch to staging")
		p.arrive("Environments")
		p.reads("Environment staging")
		p.press("Connections")
		p.reads("Nobody has linked an account yet")
	})
}

// importToggl imports a connection for Grace and answers its id.
func importToggl(w *world, endUser string) string {
	w.t.Helper()
	var c connection
	w.api.post("/v1/connections", map[string]any{
		"integration": "toggl", "method": "api_token", "credential": map[string]any{"api_token": sandbox.TogglGraceToken},
		"end_user": map[string]any{"id": endUser},
	}).want(http.StatusCreated).into(&c)
	return c.ID
}

// adminLink makes a sign-in link for a new admin with the role.
func (w *world) adminLink(role string) string {
	w.t.Helper()
	link := regexp.MustCompile(`http\S+/admin/link/\S+`).FindString(w.run("admin", "invite", "-name", "Grace", "-role", role))
	w.hide("a sign-in link for admins", link[strings.LastIndex(link, "/")+1:])
	return link
}

// signIn signs a person in to the console, as a new admin with the role.
func (w *world) signIn(p *page, role string) {
	w.t.Helper()
	p.open(w.adminLink(role))
	p.press("Sign in as Grace (" + role + ")")
	p.arrive("Overview")
}

// makeKey makes an API key over REST.
func makeKey(w *world, name string, scopes ...string) string {
	w.t.Helper()
	var made struct{ Key string }
	w.api.post("/v1/api-keys", map[string]any{"name": name, "scopes": scopes}).want(http.StatusCreated).into(&made)
	w.hide("an API key "+name, made.Key)
	return made.Key
}
