package connect_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// heldBack brings the reply back up to TimeLog's last answer, which comes when
// release is closed; done then has the page.
func (w *world) heldBack(t *testing.T, tr trip) (release chan struct{}, done chan *page) {
	t.Helper()
	release, done = make(chan struct{}), make(chan *page)
	asked := w.sand.TimeLog().Count(sandbox.TimeLogResolveURI)
	w.sand.TimeLog().Faults().Next(sandbox.TimeLogResolveURI, 1, sandbox.Withhold(release))
	go func() { done <- tr.comeBack() }()
	if err := w.sand.TimeLog().WaitCount(within(t), sandbox.TimeLogResolveURI, asked+1); err != nil {
		t.Fatal(err)
	}
	return release, done
}

// TestTheSessionEndsMeanwhile: what the provider has handed out by then is
// given back.
func TestTheSessionEndsMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "query")
	tr := w.trip(vault.NewSession{ReturnURL: backTo, Completion: vault.CompleteAuto})
	release, done := w.heldBack(t, tr)
	tr.b.post("/connect/s/"+tr.session.ID+"/cancel", nil).want(http.StatusSeeOther)
	close(release)
	(<-done).want(http.StatusOK).has("You have cancelled")
	w.wantNothingLinked()
	if got := w.sand.TimeLog().Count(sandbox.TimeLogRevocation); got == 0 {
		t.Error("TimeLog was not told that its tokens are not wanted")
	}
	if f := w.sand.TimeLog().Families(); len(f) != 1 || !f[0].Revoked {
		t.Errorf("families = %+v, want one, revoked", f)
	}
}

// TestTheIntegrationIsDeletedMeanwhile: it is gone by the time that there is
// something to link, which is given back all the same.
func TestTheIntegrationIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "query")
	tr := w.trip(vault.NewSession{})
	release, done := w.heldBack(t, tr)
	if err := w.vault.DeleteIntegration(t.Context(), w.admin(), "timelog"); err != nil {
		t.Fatal(err)
	}
	close(release)
	(<-done).has("was not linked")
	w.wantNothingLinked()
	if f := w.sand.TimeLog().Families(); len(f) != 1 || !f[0].Revoked {
		t.Errorf("families = %+v, want one, revoked", f)
	}
}

// TestNothingIsLeftToMend: what was to be mended ends meanwhile, and what the
// provider has handed out for it with that.
func TestNothingIsLeftToMend(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world, c vault.Connection) error{
		"revoked": func(w *world, c vault.Connection) error {
			_, err := w.vault.Revoke(w.t.Context(), w.admin(), c.ID)
			return err
		},
		"going with its integration": func(w *world, c vault.Connection) error {
			_, err := w.vault.RevokeAndDeleteIntegration(w.t.Context(), w.admin(), c.Integration, 0)
			return err
		},
	} {
		for _, completion := range []vault.Completion{vault.CompleteAuto, vault.CompleteRedeem} {
			t.Run(name+"/"+string(completion), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.approve(sandbox.AdaEmail, "query")
				w.trip(vault.NewSession{Completion: vault.CompleteAuto}).comeBack().has("TimeLog is linked")
				before := w.linked()
				w.approve(sandbox.AdaEmail, "query")
				tr := w.trip(vault.NewSession{ConnectionID: before.ID, ReturnURL: backTo, Completion: completion})
				release, done := w.heldBack(t, tr)
				if err := end(w, before); err != nil {
					t.Fatal(err)
				}
				close(release)
				(<-done).has("was not linked")
				if err := w.vault.Tidy(t.Context()); err != nil {
					t.Fatal(err)
				}
				families := w.sand.TimeLog().Families()
				if len(families) != 2 {
					t.Errorf("%d families", len(families))
				}
				for _, f := range families {
					if !f.Revoked {
						t.Errorf("not revoked: %+v", f)
					}
				}
			})
		}
	}
}

// TestTheBrowserLeaves: what was sent is finished without it, or a token that
// the provider has handed out would be lost.
func TestTheBrowserLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	s, path := w.at(b, "toggl", "password", vault.NewSession{})
	release := make(chan struct{})
	w.sand.Toggl().Faults().Next(sandbox.Any, 1, sandbox.Withhold(release))
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		resp, err := b.c.Do(b.request(http.MethodPost, path, togglForm(sandbox.TogglAdaPassword), "same-origin").WithContext(ctx))
		if err == nil {
			_ = resp.Body.Close()
		}
		gone <- err
	}()
	if err := w.sand.Toggl().WaitCount(within(t), sandbox.Any, 1); err != nil {
		t.Fatal(err)
	}
	leave()
	if err := <-gone; err == nil {
		t.Fatal("there was an answer")
	}
	close(release)
	if got, err := w.vault.WaitSession(within(t), w.admin(), s.ID, 15*time.Second); err != nil || got.Status != vault.SessionCompleted {
		t.Errorf("session = %+v, %v", got, err)
	}
	w.linked()
}

// TestTheDatabaseFailsAtTheEnd: whether it was stored cannot be known, so what
// may be in use is not taken back.
func TestTheDatabaseFailsAtTheEnd(t *testing.T) {
	t.Parallel()
	var failing atomic.Bool
	w := worldOn(t, storetest.SQLite(t), setting{appName: hostApp, failing: &failing})
	w.approve(sandbox.AdaEmail, "query")
	tr := w.trip(vault.NewSession{})
	release, done := w.heldBack(t, tr)
	failing.Store(true)
	close(release)
	(<-done).want(http.StatusInternalServerError).has("Something went wrong", "Reference").lacks("disk full")
	if got := w.sand.TimeLog().Count(sandbox.TimeLogRevocation); got != 0 {
		t.Error("TimeLog was told to end tokens that may be in use")
	}
	failing.Store(false)
	w.wantNothingLinked()
	w.wantNoLeak()
}

func TestReconnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "query")
	w.trip(vault.NewSession{}).comeBack().has("TimeLog is linked")
	before := w.linked()

	// Somebody else's account is not taken for it, and keeps what it has.
	w.approve(sandbox.GraceEmail, "query")
	tr := w.trip(vault.NewSession{ConnectionID: before.ID})
	tr.b.get(tr.path).has("You link " + before.Account.Label + " again")
	tr.comeBack().want(http.StatusConflict).has("TimeLog was not linked", "This is another account than the one that was linked before")
	w.wantReason("other_account")
	if got := w.linked(); got.Generation != before.Generation || got.Account != before.Account {
		t.Errorf("connection = %+v", got)
	}
	if got := w.sand.TimeLog().Count(sandbox.TimeLogRevocation); got != 0 {
		t.Error("TimeLog was told to end tokens of an account that may be in use elsewhere")
	}

	// The same session, the right account.
	w.approve(sandbox.AdaEmail, "query")
	tr.mode, tr.callback, tr.reply = tr.b.provider(tr.b.post(tr.path, nil))
	tr.comeBack().want(http.StatusOK).has("TimeLog is linked")
	if got := w.linked(); got.ID != before.ID || got.Generation != before.Generation+1 || got.Account != before.Account {
		t.Errorf("connection = %+v", got)
	}

	// Where the host allows it, another account is fine.
	w.approve(sandbox.GraceEmail, "query")
	w.trip(vault.NewSession{ConnectionID: before.ID, AllowAccountChange: true}).comeBack().has("TimeLog is linked")
	if got := w.linked(); got.ID != before.ID || !strings.HasSuffix(got.Account.ID, "#1906") {
		t.Errorf("connection = %+v", got)
	}

	// Revoked meanwhile: there is nothing left to mend.
	tr = w.trip(vault.NewSession{ConnectionID: before.ID, AllowAccountChange: true})
	if _, err := w.vault.Revoke(t.Context(), w.admin(), before.ID); err != nil {
		t.Fatal(err)
	}
	tr.comeBack().want(http.StatusConflict).has("TimeLog was not linked")
	w.wantNoLeak()
}

// TestBackToTheHost: how a session with a return URL ends.
func TestBackToTheHost(t *testing.T) { //nolint:tparallel // the cases take turns at one broker
	t.Parallel()
	w := newWorld(t)
	token := url.Values{"api_token": {sandbox.TogglAdaToken}}
	path := func(s vault.ConnectSession) string { return "/connect/s/" + s.ID + "/toggl-token/api_token" }

	t.Run("auto", func(t *testing.T) {
		w := w.in(t)
		b := w.browser()
		s, _ := w.at(b, "toggl-token", "api_token", vault.NewSession{ReturnURL: backTo, Completion: vault.CompleteAuto})
		want := "https://acme.example/accounts/done?tab=2&session_id=" + s.ID + "&status=completed"
		if got := b.post(path(s), token).want(http.StatusSeeOther).Header.Get("Location"); got != want {
			t.Errorf("leads to %s, want %s", got, want)
		}
		b.get("/connect/s/"+s.ID).want(http.StatusOK).has("Toggl at Acme is linked", "Back to "+hostApp)
	})
	t.Run("without a query, and cancelled", func(t *testing.T) {
		w := w.in(t)
		b := w.browser()
		s, _ := w.at(b, "toggl-token", "api_token", vault.NewSession{ReturnURL: "http://localhost:3000/done", Completion: vault.CompleteAuto})
		want := "http://localhost:3000/done?session_id=" + s.ID + "&status=failed"
		if got := b.post("/connect/s/"+s.ID+"/cancel", nil).want(http.StatusSeeOther).Header.Get("Location"); got != want {
			t.Errorf("leads to %s, want %s", got, want)
		}
		b.get("/connect/s/"+s.ID).want(http.StatusOK).has("You have cancelled", "Back to "+hostApp)
		if got := w.status(s.ID); got.Status != vault.SessionFailed || got.Error != "cancelled" {
			t.Errorf("session = %+v", got)
		}
	})
	t.Run("redeemed by the right one", func(t *testing.T) {
		w := w.in(t)
		b := w.browser()
		s, _ := w.at(b, "toggl-token", "api_token", vault.NewSession{ReturnURL: backTo})
		result := b.result(s, b.post(path(s), token))
		b.get("/connect/s/"+s.ID).want(http.StatusOK).has("is linked", hostApp+" has to confirm it").lacks(result)
		c, err := w.vault.Redeem(t.Context(), w.admin(), s.ID, vault.NewSecret(result), ada.ID)
		if err != nil || c.Status != vault.StatusActive {
			t.Fatalf("Redeem = %+v, %v", c, err)
		}
		b.get("/connect/s/"+s.ID).want(http.StatusOK).has("Toggl at Acme is linked", sandbox.AdaEmail)
		w.wantNoLeak(result)
	})
	t.Run("a link sent to a victim", func(t *testing.T) {
		w := w.in(t)
		b := w.browser() // the victim's
		s, _ := w.at(b, "toggl-token", "api_token", vault.NewSession{ReturnURL: backTo, EndUser: vault.EndUser{ID: "mallory"}})
		result := b.result(s, b.post(path(s), token))
		// The host sees the victim signed in, not the one the link was made for.
		_, err := w.vault.Redeem(t.Context(), w.admin(), s.ID, vault.NewSecret(result), "victim")
		if !fault.Is(err, fault.Conflict) {
			t.Fatalf("Redeem: %v", err)
		}
		w.wantReason(vault.ReasonWrongEndUser)
		i := slices.IndexFunc(w.connections(), func(c vault.Connection) bool { return c.EndUser.ID == "mallory" })
		if i < 0 || w.connections()[i].Status != vault.StatusRevoked {
			t.Errorf("connections = %+v", w.connections())
		}
		b.get("/connect/s/" + s.ID).want(http.StatusGone).has("Nothing was linked")
	})
}

// result is the one-time code that the browser takes to the host.
func (b *browser) result(s vault.ConnectSession, p *page) string {
	b.t.Helper()
	p.want(http.StatusSeeOther).to("https://acme.example/accounts/done?tab=2&session_id=" + s.ID + "&result=clv_res_")
	u, err := url.Parse(p.Header.Get("Location"))
	if err != nil {
		b.t.Fatal(err)
	}
	return u.Query().Get("result")
}
