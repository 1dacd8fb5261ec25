package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// TestCertifiedProvider links at an OpenID provider that is certified and not
// ours, refreshes five times and revokes; each step is looked at there.
func TestCertifiedProvider(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		op := startOpenIDProvider(t, opSettings{})
		id := w.integrateOpenID("timelog", op.issuer, op.clientID, op.clientSecret, "")
		op.change(t, opSettings{RedirectURIs: []string{w.front.url + "/connect/callback/" + id}})
		l := w.link("berta", []string{"timelog"}, nil)
		p := visit(t, look{NoScript: true})
		p.open(l.URL)
		p.press("Continue")
		p.press("Sign in at TimeLog")
		p.arrive("Link TimeLog")
		p.press("Continue to TimeLog")
		p.arrive("Sign in")
		p.enter("Account", "berta")
		p.press("Sign in and allow")
		p.sendForm()
		p.arrive("TimeLog is linked")
		p.wantCleanHistory(w.secrets(), w.front.url)

		c := w.linked("berta")
		h := w.api.headers(c.ID)
		if want := op.issuer + "/soxdemo"; h.BaseURL != want || c.Account.ID != op.issuer+"#berta" {
			t.Errorf("base_url %q, want %q; account %q", h.BaseURL, want, c.Account.ID)
		}
		h.accepted("/api/whoami", `"berta"`)
		if i := slices.IndexFunc(op.events(t), func(e opEvent) bool { return e.Event == "authorization.success" }); i < 0 || op.events(t)[i].ResponseMode != "form_post" {
			t.Error("the provider was not asked for form_post, which it has")
		}

		seen := map[string]bool{h.Headers["Authorization"]: true}
		for i := range 5 {
			var fresh connection
			w.api.post("/v1/connections/"+c.ID+"/refresh", nil).want(http.StatusOK).into(&fresh)
			if fresh.Generation <= c.Generation || fresh.Status != "active" {
				t.Fatalf("refresh %d: %+v", i+1, fresh)
			}
			c = fresh
			h = w.api.headers(c.ID)
			h.accepted("/api/whoami", `"berta"`)
			w.hide(fmt.Sprintf("access token %d", i), h.Headers["Authorization"][len("Bearer "):])
			if got := op.tokenCalls(t, "refresh_token"); got != i+1 {
				t.Fatalf("%d refreshes at the provider, want %d", got, i+1)
			}
			if seen[h.Headers["Authorization"]] {
				t.Fatal("the headers are those of before")
			}
			seen[h.Headers["Authorization"]] = true
		}
		if n := count(op.events(t), "refresh_token.consumed"); n != 5 {
			t.Errorf("%d refresh tokens were spent, want 5: each works once", n)
		}

		if got := revoke(w, c.ID); got != "revoked" {
			t.Errorf("the provider was told: %s", got)
		}
		if n := count(op.events(t), "grant.revoked"); n == 0 {
			t.Error("the provider knows of no revocation")
		}
		h.refused("/api/whoami")
		w.api.get("/v1/connections/"+c.ID+"/headers").problem(http.StatusGone, "revoked")
		if got := op.tokenCalls(t, "refresh_token"); got != 5 {
			t.Errorf("%d refreshes at the end, want 5", got)
		}
	})
}

// TestCertifiedProviderDenies is a person who says no there.
func TestCertifiedProviderDenies(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		op := startOpenIDProvider(t, opSettings{})
		id := w.integrateOpenID("timelog", op.issuer, op.clientID, op.clientSecret, "fragment")
		op.change(t, opSettings{RedirectURIs: []string{w.front.url + "/connect/callback/" + id}})
		l := w.link("carla", []string{"timelog"}, nil)
		p := visit(t, look{})
		p.open(l.URL)
		p.press("Continue")
		p.press("Sign in at TimeLog")
		p.arrive("Link TimeLog")
		p.press("Continue to TimeLog")
		p.arrive("Sign in")
		p.press("Deny")
		p.arrive("TimeLog was not linked")
		p.reads("You did not give access at TimeLog")
		wantRefusal(w, l, "carla", "access_denied")
		if got := op.tokenCalls(t, "authorization_code"); got != 0 {
			t.Errorf("%d codes were exchanged", got)
		}
	})
}

func count(events []opEvent, name string) int {
	n := 0
	for _, e := range events {
		if e.Event == name {
			n++
		}
	}
	return n
}
