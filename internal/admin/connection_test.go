package admin_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

// linked is a connection at a sandbox of Toggl, by a session that is renewed by
// the password it keeps.
func (w *world) linked() (vault.Connection, *sandbox.Sandbox) {
	w.t.Helper()
	sand, err := sandbox.Start(w.t.Context(), sandbox.Config{Now: w.clock.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = sand.Close() })
	at := sand.Toggl().URL()
	in, err := w.vault.CreateIntegration(w.t.Context(), w.system(), vault.Integration{
		Key: "sandbox", Provider: "toggl", Overrides: vault.Overrides{BaseURL: at, SessionURL: at + "/api/sessions"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	g, err := w.providers.Submit(w.t.Context(), in, "session", vault.Credential{
		"email": vault.NewSecret(sandbox.AdaEmail), "password": vault.NewSecret(sandbox.TogglAdaPassword), "keep_password": vault.NewSecret("true"),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.secrets = append(w.secrets, sandbox.TogglAdaPassword)
	c, err := w.vault.ImportConnection(w.t.Context(), w.system(), vault.NewImport{Integration: in, Method: "session", Grant: g, EndUser: ada})
	if err != nil {
		w.t.Fatal(err)
	}
	return c, sand
}

// press posts a form of a page as it stands, and answers the page that follows.
func (b *browser) press(on, path string, form url.Values) string {
	b.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	form.Set("token", b.token(b.page(on)))
	a := b.post(path, form)
	if a.status != http.StatusSeeOther {
		b.t.Fatalf("POST %s: %d\n%s", path, a.status, a.body)
	}
	return b.page(a.location)
}

func TestRefreshAndVerify(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c, sand := w.linked()
		at := "/admin/connections/" + c.ID
		b := w.admin(vault.RoleOperator)
		w.wantOn(b.page(at), []string{">Refresh now</button>", ">Verify now</button>", ">Make a reconnect link</button>", ">Revoke…</a>"})
		w.wantOn(w.admin(vault.RoleViewer).page(at), nil, "Refresh now", "Verify now", "reconnect link</button>", "Revoke…", "Change tags")

		w.wantOn(b.press(at, at+"/verify", nil), []string{`role="status"`, "It works"})
		w.wantOn(b.page(at), []string{"Verification asked for", "Credential verified"}, "The provider was asked just now")
		w.wantOn(b.press(at, at+"/refresh", nil), []string{"Refreshed", "Its headers work until "})
		now, err := w.vault.Connection(t.Context(), w.system(), c.ID)
		if err != nil || now.Generation != c.Generation+1 {
			t.Fatalf("generation %d, %v", now.Generation, err)
		}

		w.clock.advance(time.Minute)
		sand.Toggl().Faults().Next(sandbox.TogglLogin, 1, sandbox.Status(502))
		w.wantOn(b.press(at, at+"/refresh", nil), []string{`role="alert"`, "Not refreshed", "Refresh failing", "1 in a row"})
		if got := listed(b.page("/admin/connections?status=failing")); len(got) != 1 || got[0] != c.ID {
			t.Errorf("failing: %q", got)
		}
		w.wantOn(b.page("/admin/connections?status=failing"), []string{"Refresh failing"})

		// What is left for one page is not shown on another, nor later.
		form := url.Values{"token": {b.token(b.page(at))}}
		if a := b.post(at+"/verify", form); a.status != http.StatusSeeOther {
			t.Fatal(a.status)
		}
		other := w.connect("toggl", "api_token", vault.NewImport{EndUser: user("other")})
		w.wantOn(b.page("/admin/connections/"+other.ID), nil, "It works")
		w.clock.advance(2 * time.Minute)
		w.wantOn(b.page(at), nil, "It works")
	})
}

func TestReconnectLink(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
		at := "/admin/connections/" + c.ID
		b := w.admin(vault.RoleOperator)
		a := b.post(at+"/reconnect", url.Values{"token": {b.token(b.page(at))}})
		token := regexp.MustCompile(`<code id="copy-link">http://broker.example/connect/(clv_cs_\w+)</code>`).FindStringSubmatch(a.body)
		if a.status != http.StatusOK || token == nil || a.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %q\n%s", a.status, a.header.Get("Cache-Control"), a.body)
		}
		if strings.Contains(strings.Join(a.header.Values("Set-Cookie"), " "), token[1]) {
			t.Error("the link is in a cookie")
		}
		s, err := w.vault.LandingSession(t.Context(), vault.NewSecret(token[1]))
		if err != nil || !s.Reconnect || s.ConnectionID != c.ID || s.EndUser != ada {
			t.Errorf("%+v, %v", s, err)
		}
		e := w.trail()[0]
		if e.Action != vault.ActionSessionCreated || e.ActorKind != vault.CallerAdmin || e.ConnectionID != c.ID {
			t.Errorf("the trail has %+v", e)
		}
		w.wantOn(b.page(at), []string{"Connect link made"}, token[1])

		if _, err := w.vault.Revoke(t.Context(), w.system(), c.ID); err != nil {
			t.Fatal(err)
		}
		w.wantOn(b.page(at), nil, "reconnect link</button>", "Verify now", "Refresh now")
		w.wantOn(b.press(at, at+"/reconnect", nil), []string{"No link was made", "The connection was revoked."})
		w.wantOn(b.press(at, at+"/verify", nil), []string{"The connection was revoked."})
	})
}

func TestTags(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada, Tags: map[string]string{"team": "blue", "old": ""}})
		at := "/admin/connections/" + c.ID
		b := w.admin(vault.RoleOperator)
		w.wantOn(b.page(at), []string{">old=\nteam=blue\n</textarea>"})
		early := b.formOn(at, at+"/tags", url.Values{"tags": {"team=green"}})
		page := b.press(at, at+"/tags", b.formOn(at, at+"/tags", url.Values{"tags": {"team=red\r\n\r\n plan = pro=x \n"}}))
		w.wantOn(page, []string{"Tags saved", "team: red", "plan: pro=x"}, "old:", "team: blue")
		for _, wrong := range []string{"team", "a=b\na=c", strings.Repeat("k", 65) + "=v", strings.Repeat("&", 5000)} {
			a := b.post(at+"/tags", b.formOn(at, at+"/tags", url.Values{"tags": {wrong}}))
			w.wantOn(a.body, []string{
				"The tags were not saved", "team: red", `<details class="more" open>`, ">" + strings.ReplaceAll(wrong, "&", "&amp;") + "</textarea>",
			})
			if a.status != http.StatusUnprocessableEntity {
				t.Errorf("status %d", a.status)
			}
		}
		// What somebody else has changed meanwhile is not overwritten unseen.
		a := b.post(at+"/tags", early)
		w.wantOn(a.body, []string{"There are now: plan=pro=x, team=red.", ">team=green</textarea>"})
		if a.status != http.StatusConflict {
			t.Errorf("a form from before: %d", a.status)
		}
		early["version"] = matches(versionInput, a.body)
		w.wantOn(b.press(at, at+"/tags", early), []string{"Tags saved", "team: green"}, "plan: pro")
	})
}

// Reads are added up, by whoever read and when.
func TestTimeline(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
		at := "/admin/connections/" + c.ID
		w.wantOn(w.admin().page(at), []string{"Connection imported", "0 reads, 0 refreshes"}, "<rect")

		_, billing := w.key("billing")
		_, sync := w.key("sync")
		read := func(key vault.Secret, n int) {
			for range n {
				s, err := w.vault.LookupHeaders(t.Context(), vault.Bearer{Key: key}, c.ID)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.vault.OpenHeaders(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.vault.FlushReads(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		read(billing, 3)
		w.clock.advance(2 * time.Minute)
		read(billing, 4)
		read(sync, 1)
		w.clock.advance(3 * time.Hour)
		read(billing, 1200)
		w.wantOn(w.admin().page(at), []string{
			"Headers read 1,200 times", "Headers read 7 times", "Headers read 1 time<", "Key “billing” · within the hour", "Key “sync” · within the hour",
			"1,208 reads, 0 refreshes", `<title>1 Mar, 12:00: 8 reads</title>`, `<title>1 March: 1,208 reads</title>`, `<th scope="row">1 Mar, 15:00</th><td>1,200</td>`,
		}, "Headers read 3 times")
		w.clock.advance(72 * time.Hour)
		w.wantOn(w.admin().page(at), []string{"Headers read 1,207 times", `on <time datetime="2026-03-01T00:00:00Z">1 Mar 2026</time>`, "1,208 reads"})
	})
}
