package admin_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// condemn makes a connection one that has to be linked again.
func condemn(t *testing.T, w *world, conn vault.Connection) {
	t.Helper()
	if ok, err := w.vault.Condemn(t.Context(), w.system(), conn, vault.ReasonRejected); err != nil || !ok {
		t.Fatal(ok, err)
	}
}

func TestRevoke(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, tt := range []struct {
			name                string
			integration, method string
			outcome             vault.Outcome
			before              []string // on the question
			after               []string // on the receipt
		}{
			{
				"a provider that confirms", "timelog", "oidc", vault.OutcomeRevoked,
				[]string{"TimeLog is told", "the copy for telling TimeLog"},
				[]string{"notice-success", "TimeLog was told and confirmed it."},
			},
			{
				"a provider that cannot be told", "toggl", "api_token", vault.OutcomeUnsupported,
				[]string{"At Toggl Track the credential goes on working", "reset the API token at"},
				[]string{"notice-warning", "At Toggl Track the credential goes on working until it is changed there.", "reset the API token at"},
			},
			{
				"a provider that does not confirm", "timelog", "oidc", vault.OutcomeFailed,
				[]string{"TimeLog is told"},
				[]string{"notice-warning", "has not confirmed it; it is told again", "connected applications"},
			},
		} {
			t.Run(tt.name, func(t *testing.T) {
				w.heard.answer(tt.outcome)
				conn := w.connect(tt.integration, tt.method, vault.NewImport{EndUser: ada})
				b := w.admin()
				told := w.heard.times()
				path := "/admin/connections/" + conn.ID
				w.wantOn(b.page(path), []string{`href="` + path + `/revoke"`})

				w.wantOn(b.page(path+"/revoke"), append(tt.before,
					"Revoke this connection?", "Ada Lovelace", "What will happen", "nobody gets headers for it any more, on any replica",
					"is erased", "cannot be undone", "has to link it again", "Keep it", "data-busy="))
				if c, err := w.vault.Connection(t.Context(), w.system(), conn.ID); err != nil || c.Status != vault.StatusActive || w.heard.times() != told {
					t.Fatalf("the question alone did something: %v, %v", c.Status, err)
				}

				form := url.Values{"token": {b.token(b.page(path + "/revoke"))}, "confirm": {"user-1816"}}
				a := b.post(path+"/revoke", form)
				w.wantOn(a.body, []string{"Type the end user", "user-1815", "This is not “user-1815”.", `value="user-1816"`, "What will happen"})
				if c, err := w.vault.Connection(t.Context(), w.system(), conn.ID); a.status != http.StatusUnprocessableEntity || err != nil || c.Status != vault.StatusActive {
					t.Fatalf("another id typed: %d, %v, %v", a.status, c.Status, err)
				}
				form.Set("confirm", " user-1815 ")
				a = b.post(path+"/revoke", form)
				if a.status != http.StatusSeeOther || a.location != path {
					t.Fatalf("revoke: %d to %q", a.status, a.location)
				}
				receipt := append(tt.after, "badge-revoked", "Revoked on 1 March 2026 at 12:00 UTC", "It was revoked on request.",
					"Connection revoked", "Admin “Grace”", "Provider told")
				w.wantOn(b.page(path), receipt, "Revoke…")

				// A second click, and the back button, end at the same receipt.
				if a := b.post(path+"/revoke", form); a.status != http.StatusSeeOther || a.location != path {
					t.Errorf("a second click: %d to %q", a.status, a.location)
				}
				if a := b.get(path + "/revoke"); a.status != http.StatusSeeOther || a.location != path {
					t.Errorf("the question again: %d to %q", a.status, a.location)
				}
				w.wantOn(b.page(path), receipt)
				if got := w.heard.times() - told; got != 1 {
					t.Errorf("the provider was told %d times", got)
				}
				// Who may not revoke sees the receipt, too.
				w.wantOn(w.admin(vault.RoleViewer).page(path), tt.after)
			})
		}
	})
}

// TestRevokeConfirmedLater: the receipt follows what the provider says later.
func TestRevokeConfirmedLater(t *testing.T) {
	w := one(t)
	w.heard.answer(vault.OutcomeFailed)
	conn := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
	b := w.admin()
	path := "/admin/connections/" + conn.ID
	b.send(path + "/revoke")
	w.wantOn(b.page(path), []string{"has not confirmed it"})
	w.heard.answer(vault.OutcomeRevoked)
	w.clock.advance(10 * time.Minute)
	if err := w.vault.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wantOn(b.page(path), []string{"TimeLog was told and confirmed it.", "Revoked on 1 March 2026 at 12:00 UTC"}, "has not confirmed")
}

// TestRevokeTwiceAtOnce: of many clicks one revokes, and all end at the receipt.
func TestRevokeTwiceAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		conn := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
		b := w.admin()
		path := "/admin/connections/" + conn.ID
		form := url.Values{"token": {b.token(b.page(path + "/revoke"))}, "confirm": {ada.ID}}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if a := b.post(path+"/revoke", form); a.status != http.StatusSeeOther || a.location != path {
					t.Errorf("%d to %q", a.status, a.location)
				}
			})
		}
		wg.Wait()
		if w.heard.times() != 1 {
			t.Errorf("the provider was told %d times", w.heard.times())
		}
		revoked := 0
		for _, e := range w.trail() {
			if e.Action == vault.ActionConnectionRevoked {
				revoked++
			}
		}
		if revoked != 1 {
			t.Errorf("%d entries say that it was revoked", revoked)
		}
	})
}

// TestRevokeStopsHeaders: what the question promises, on another replica.
func TestRevokeStopsHeaders(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		conn := w.connect("timelog", "oidc", vault.NewImport{EndUser: ada})
		b := w.admin()
		replica := *w
		replica.serve(w.keyset)
		_, key := w.key("backend")
		if _, err := replica.vault.LookupHeaders(t.Context(), vault.Bearer{Key: key}, conn.ID); err != nil {
			t.Fatalf("headers before: %v", err)
		}
		b.send("/admin/connections/" + conn.ID + "/revoke")
		if _, err := replica.vault.LookupHeaders(t.Context(), vault.Bearer{Key: key}, conn.ID); !fault.Is(err, fault.Revoked) {
			t.Errorf("headers after: %v", err)
		}
	})
}
