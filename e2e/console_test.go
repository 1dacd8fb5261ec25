package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

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

// TestOverviewIsLive: an overview that lies open shows what happens, in its chart
// too, and whoever reads it keeps their place.
func TestOverviewIsLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite")
	w.integrateTimeLog("timelog", "")
	p := visit(t, look{})
	w.signIn(p, "owner")
	link := func(endUser string, days int) {
		t.Helper()
		w.api.post("/v1/connections", map[string]any{
			"integration": "timelog", "method": "oidc", "verify": false, "end_user": map[string]any{"id": endUser},
			"credential": map[string]any{"access_token": "not-a-secret", "expires_at": time.Now().Add(time.Duration(days)*24*time.Hour - time.Hour)},
		}).want(http.StatusCreated)
	}
	bars := func(n int) {
		t.Helper()
		p.until(fmt.Sprintf("%d bars", n), func(ctx context.Context) bool {
			got, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelectorAll(".chart rect").length`))
			return err == nil && got == n
		})
	}
	p.reads("Nobody has linked an account yet", "Nothing: what is linked works")
	p.do(chromedp.Evaluate[chromedp.Void](`{
		const row = document.querySelector(".overview td.main a");
		row.focus();
		getSelection().selectAllChildren(document.getElementById("standing-title"));
		window.place = row;
	}`))
	link("ada-1815", 20)
	bars(1)
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector(".chart details").open = true`))
	link("grace-1906", 5)
	bars(2)
	p.reads("1 connection runs out within 7 days", "Up to date")
	for what, is := range map[string]string{
		"the page was loaded again, or the focus is lost": `window.place === document.activeElement`,
		"the selection is lost":                           `getSelection().toString() === "By integration"`,
		"what was opened is closed":                       `document.querySelector(".chart details[open] tbody")?.rows.length === 2`,
		"the step that was taken is still the next":       `!document.querySelector(".overview .empty")`,
	} {
		if !ask(p, chromedp.Evaluate[bool](is)) {
			t.Error(what)
		}
	}
}
