package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/sandbox"
)

// company is a world whose admins sign in at a certified OpenID provider.
func company(t *testing.T, kind string) (*world, *openIDProvider) {
	t.Helper()
	op := startOpenIDProvider(t, opSettings{Groups: map[string][]string{
		"berta": {"everybody", "claviger-owners"}, "carla": {"everybody", "support"}, "anna": {"everybody"},
	}})
	w := newWorld(t, kind,
		"CLAVIGER_ADMIN_OIDC_ISSUER="+op.issuer, "CLAVIGER_ADMIN_OIDC_CLIENT_ID="+op.adminClientID,
		"CLAVIGER_ADMIN_OIDC_CLIENT_SECRET="+op.adminClientSecret, "CLAVIGER_ADMIN_OIDC_SCOPES=openid profile email groups",
		"CLAVIGER_ADMIN_ROLES=groups=claviger-owners:owner,groups=support:operator")
	w.hide("the admins' client secret", op.adminClientSecret)
	op.change(t, opSettings{
		AdminRedirectURIs: []string{w.front.url + "/admin/callback"}, AdminLogoutURI: w.front.url + "/admin/backchannel-logout",
	})
	return w, op
}

// signInAt is what an admin does at the company's provider.
func (p *page) signInAt(op *openIDProvider, account string) {
	p.t.Helper()
	u, err := url.Parse(op.issuer)
	if err != nil {
		p.t.Fatal(err)
	}
	p.press("Sign in at " + u.Host)
	p.arrive("Sign in")
	p.enter("Account", account)
	p.press("Sign in and allow")
}

// TestConsole is an admin's day, without JavaScript and with it: they sign in at
// their company's provider, set a provider up, an end user links an account
// there, they find it, revoke it and see all of that in the trail.
func TestConsole(t *testing.T) {
	t.Parallel()
	for kind, l := range map[string]look{"sqlite": {}, "postgres": {NoScript: true}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w, op := company(t, kind)
			p := visit(t, l)
			p.open(w.front.url + "/admin/integrations") // as from a bookmark
			p.arrive("Sign in")
			p.inspect("console-sign-in")

			stranger := visit(t, l)
			stranger.open(w.front.url + "/admin")
			stranger.signInAt(op, "anna")
			stranger.arrive("Sign in")
			stranger.reads("Your account has no role here")
			stranger.inspect("console-no-role")
			stranger.open(w.front.url + "/admin/connections")
			stranger.arrive("Sign in")

			p.signInAt(op, "berta")
			p.arrive("Integrations")
			p.reads("Berta", "owner")
			p.inspect("console-integrations-empty")

			p.press("Set up a provider")
			p.arrive("Set up a provider")
			p.enter("Search the catalog", "toggl")
			p.press("Search")
			p.arrive("Set up a provider")
			p.inspect("console-catalog")
			p.press("Toggl Track")
			p.arrive("Set up Toggl Track")
			p.inspect("console-set-up")
			p.touch("Addresses")
			p.enter("API root", w.sandbox.Toggl().URL())
			p.enter("Sign-in address", w.sandbox.Toggl().URL()+"/api/sessions")
			p.press("Set up Toggl Track")
			p.arrive("Toggl Track")
			p.inspect("console-integration")

			end := visit(t, l)
			end.open(w.link("user-1815", []string{"toggl"}, nil).URL)
			end.press("Continue")
			end.press("API token")
			end.arrive("Link Toggl Track")
			end.enter("API token", sandbox.TogglAdaToken)
			end.press("Link account")
			end.arrive("Toggl Track is linked")
			c := w.linked("user-1815")
			w.api.headers(c.ID)
			importToggl(w, "grace-1906")

			p.press("Connections")
			p.arrive("Connections")
			p.reads("Ada Lovelace", "grace-1906")
			p.enter("Search", "user-1815")
			p.press("Search")
			p.arrive("Connections")
			p.press("Ada Lovelace")
			p.arrive("Ada Lovelace at Toggl Track")
			p.inspect("console-connection")
			p.press("Revoke…")
			p.arrive("Revoke this connection?")
			p.enter("Type the end user's id, user-1815, to confirm", "user-1815")
			p.press("Revoke connection")
			p.arrive("Ada Lovelace at Toggl Track")
			p.reads("Revoked")
			w.api.get("/v1/connections/"+c.ID+"/headers").problem(http.StatusGone, "revoked")

			p.press("Audit trail")
			p.arrive("Audit trail")
			p.reads("Connection revoked", "Admin “Berta”", "Account linked", "Integration created", "Admin signed in")
			p.inspect("console-audit")
			for _, e := range w.api.trail("action=connection.revoked") {
				if e.ConnectionID != c.ID || e.ActorKind != "admin" {
					t.Errorf("the trail says %+v", e)
				}
			}
			for _, name := range []string{"Overview", "API keys", "Admins", "Environments"} {
				p.press(name)
				p.arrive(name)
				p.inspect("console-" + strings.ToLower(strings.ReplaceAll(name, " ", "-")))
			}
			p.wantCleanHistory(w.secrets(), w.front.url)

			// Whoever logs out at the provider is out here, on every replica.
			p.open(op.issuer + "/session/end")
			p.press("Sign out")
			if n := count(op.events(t), "backchannel.success"); n != 1 {
				t.Errorf("%d words from the provider that were heard; its events: %+v", n, op.events(t))
			}
			p.open(w.front.url + "/admin")
			p.arrive("Sign in")
			p.reads("Your session is over")
		})
	}
}
