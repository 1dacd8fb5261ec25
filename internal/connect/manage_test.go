package connect_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// managing opens a session of kind manage in a browser, up to the list.
func (w *world) managing(b *browser, n vault.NewSession) (vault.ConnectSession, *page) {
	w.t.Helper()
	n.Kind = vault.SessionManage
	s, token := w.session(n)
	return s, b.open(token).want(http.StatusOK).has("Your linked accounts")
}

// have imports a connection. Its credential is Ada's token at Toggl Track.
func (w *world) have(integration string, u vault.EndUser, account vault.Account) vault.Connection {
	w.t.Helper()
	in, err := w.vault.Integration(w.t.Context(), w.admin(), integration)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := w.vault.ImportConnection(w.t.Context(), w.admin(), vault.NewImport{
		Integration: in, Method: "api_token", EndUser: u,
		Grant: vault.Grant{
			Credential: vault.Credential{"api_token": vault.NewSecret(sandbox.TogglAdaToken)},
			Headers:    []vault.Header{{Name: "Authorization", Value: vault.NewSecret("Basic x")}},
			BaseURL:    w.sand.Toggl().URL(), Account: account,
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// use reads the headers of a connection, as the application does.
func (w *world) use(id string) {
	w.t.Helper()
	_, key, err := w.vault.CreateAPIKey(w.t.Context(), w.admin(), vault.NewAPIKey{Name: "worker", Scopes: []vault.Scope{vault.ScopeCredentialsRead}})
	if err != nil {
		w.t.Fatal(err)
	}
	stored, err := w.vault.LookupHeaders(w.t.Context(), vault.Bearer{Key: key}, id)
	if err == nil {
		_, err = w.vault.OpenHeaders(w.t.Context(), stored)
	}
	if err == nil {
		err = w.vault.FlushReads(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) connection(id string) vault.Connection {
	w.t.Helper()
	c, err := w.vault.Connection(w.t.Context(), w.admin(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

var grace = vault.EndUser{ID: "user-1906", Name: "Grace Hopper"}

// TestManageLanding: the link says what it is for and changes nothing; its
// button binds it to one browser.
func TestManageLanding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.have("toggl", ada, vault.Account{ID: "1", Label: "engine@acme.example"})
	s, token := w.session(vault.NewSession{Kind: vault.SessionManage, ReturnURL: backTo})
	before := string(w.db.Rows(t))
	b := w.browser()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		p := b.send(b.request(method, "/connect/"+token.Reveal(), nil, "none")).want(http.StatusOK).lacks("engine@acme.example", "Toggl", token.Reveal())
		if len(p.Cookies()) != 0 {
			t.Errorf("%s sets %v", method, p.Cookies())
		}
	}
	b.get("/connect/"+token.Reveal()).has("Your linked accounts", "which accounts Acme Reports can work with", "acme.example",
		"Ada Lovelace", "ada@acme.example", "1 Mar 2026, 12:30 UTC", "Go on only if you asked for this yourself", "the accounts of Ada Lovelace")
	if after := string(w.db.Rows(t)); after != before {
		t.Errorf("the database has changed:\n%s\n%s", before, after)
	}
	p := b.post("/connect/"+token.Reveal(), nil).want(http.StatusSeeOther).to("/connect/m/" + s.ID)
	if strings.Contains(p.Header.Get("Location"), token.Reveal()) {
		t.Error("the token is in the URL")
	}
	b.follow(p).has("engine@acme.example")

	// The same browser may press the button again; another one may not.
	b.post("/connect/"+token.Reveal(), nil).want(http.StatusSeeOther)
	thief := w.browser()
	thief.get("/connect/" + token.Reveal()).want(http.StatusForbidden).has("This belongs to another browser").lacks("engine@")
	thief.post("/connect/"+token.Reveal(), nil).want(http.StatusForbidden)
	thief.get("/connect/m/"+s.ID).want(http.StatusForbidden).lacks("engine@", "Toggl")

	b.post("/connect/m/"+s.ID+"/done", nil).want(http.StatusSeeOther)
	b.get("/connect/"+token.Reveal()).want(http.StatusGone).has("This link was used", "open your linked accounts from there again")
	w.wantNoLeak(token.Reveal())
}

// TestManageShowsTheirOwn: never another's, and never one that nobody has
// confirmed to be theirs.
func TestManageShowsTheirOwn(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *storetest.DB) {
		t.Parallel()
		w := worldOn(t, db, setting{appName: hostApp})
		b := w.browser()
		s, p := w.managing(b, vault.NewSession{})
		p.has("Nothing is linked", "Acme Reports cannot work with any account of yours", "go back there and start from there", "Done")

		works := w.have("toggl", ada, vault.Account{ID: "1", Label: "works@acme.example"})
		broken := w.have("toggl-token", ada, vault.Account{ID: "2", Label: "broken@acme.example"})
		if ok, err := w.vault.Condemn(t.Context(), w.admin(), broken, vault.ReasonRejected); err != nil || !ok {
			t.Fatal(ok, err)
		}
		unnamed := w.have("toggl", ada, vault.Account{})
		theirs := w.have("toggl", grace, vault.Account{ID: "3", Label: "grace@acme.example"})
		revoked := w.have("toggl", ada, vault.Account{ID: "4", Label: "revoked@acme.example"})
		if _, err := w.vault.Revoke(t.Context(), w.admin(), revoked.ID); err != nil {
			t.Fatal(err)
		}
		// Linked by whoever opened the link, and not redeemed.
		opener := w.browser()
		ps, path := w.at(opener, "clicktime", "token", vault.NewSession{ReturnURL: backTo})
		opener.post(path, url.Values{"token": {sandbox.ClickTimeAdaToken}}).want(http.StatusSeeOther)
		pending := w.status(ps.ID).ConnectionID

		home := "/connect/m/" + s.ID
		p = b.get(home).want(http.StatusOK).lacks("grace@acme.example", "revoked@acme.example", theirs.ID, revoked.ID, pending, "ClickTime")
		p.has(
			"Toggl Track Account works@acme.example Status Works Linked 1 Mar 2026, 12:00 UTC Last used by Acme Reports never Reconnect Toggl Track, works@acme.example Disconnect…",
			"Toggl at Acme Account broken@acme.example Status Has to be linked again Toggl at Acme does not accept what was linked any more.",
			"Account not named by the service", "To link this account again, start in Acme Reports.",
		)
		for _, id := range []string{theirs.ID, revoked.ID, pending, "con_00000000000000000000000000", "con_x", "x", s.ID} {
			before := string(w.db.Rows(t))
			b.get(home+"/"+id+"/disconnect").want(http.StatusNotFound).lacks("grace@acme.example", "revoked@acme.example")
			b.get(home + "/" + id + "/use").want(http.StatusNotFound)
			b.post(home+"/"+id+"/disconnect", nil).want(http.StatusNotFound)
			b.post(home+"/"+id+"/reconnect", nil).want(http.StatusNotFound)
			if after := string(w.db.Rows(t)); after != before {
				t.Errorf("%s: the database has changed", id)
			}
		}
		// What cannot be told from another account is linked again by the host.
		b.post(home+"/"+unnamed.ID+"/reconnect", nil).want(http.StatusSeeOther).to(home)
		b.get(home + "?after=x").want(http.StatusNotFound)

		// Narrowed to what the host asks for.
		narrow := w.browser()
		ns, p := w.managing(narrow, vault.NewSession{Integrations: []string{"toggl-token"}})
		p.has("broken@acme.example").lacks("works@acme.example")
		narrow.get("/connect/m/" + ns.ID + "/" + works.ID + "/disconnect").want(http.StatusNotFound)

		// When it was used.
		w.clock.advance(10 * time.Minute)
		w.use(works.ID)
		b.get(home).has("Last used by Acme Reports 1 Mar 2026, 12:10 UTC", "When else?")
		w.clock.advance(24 * time.Hour)
		w.use(works.ID)
		w.use(works.ID)
		b = w.browser() // the session is over by now
		s, _ = w.managing(b, vault.NewSession{})
		home = "/connect/m/" + s.ID
		b.get(home+"/"+works.ID+"/use").want(http.StatusOK).has("works@acme.example", "since 1 Feb 2026",
			"Monday, 2 March 2026 2 times Sunday, 1 March 2026 once")
		b.get(home + "/" + broken.ID + "/use").want(http.StatusOK).has("Acme Reports has not used this account since")
		w.wantNoLeak()
	})
}

func TestManagePages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 23 {
		w.have("toggl", ada, vault.Account{ID: "1", Label: "a@acme.example"})
	}
	b := w.browser()
	s, p := w.managing(b, vault.NewSession{})
	count := func(p *page) int { return strings.Count(p.body, "<section") }
	if n := count(p); n != 20 {
		t.Errorf("%d accounts on the first page", n)
	}
	home := "/connect/m/" + s.ID
	_, next, _ := strings.Cut(p.body, `href="`+home+`?after=`)
	next, _, _ = strings.Cut(next, `"`)
	if p = b.get(home + "?after=" + next).want(http.StatusOK).has("Back to the start"); count(p) != 3 {
		t.Errorf("%d accounts on the second page", count(p))
	}
	p.lacks("Next page")
	all := w.connections()
	b.get(home+"?after="+all[len(all)-1].ID).want(http.StatusOK).has("No more accounts", "Back to the start")
}

// TestManageDisconnect: the question says what will happen and does nothing; the
// receipt says what did, as often as it is looked at.
func TestManageDisconnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "query")
	w.trip(vault.NewSession{}).comeBack().has("TimeLog is linked")
	timelog := w.linked()
	toggl := w.have("toggl", ada, vault.Account{ID: "1", Label: "ada@toggl.example"})
	b := w.browser()
	s, _ := w.managing(b, vault.NewSession{ReturnURL: backTo})
	home := "/connect/m/" + s.ID

	path := home + "/" + timelog.ID + "/disconnect"
	b.get(path).want(http.StatusOK).has("Disconnect TimeLog?", timelog.Account.Label, "What will happen",
		"Acme Reports gets no access to this account any more", "TimeLog is told that the access is over", "is erased here", "Keep it").
		hasMarkup(`data-busy="Telling TimeLog…"`)
	if got := w.connection(timelog.ID); got.Status != vault.StatusActive {
		t.Fatalf("the question made it %s", got.Status)
	}
	b.post(path, nil).want(http.StatusSeeOther).to(path)
	for range 2 {
		b.get(path).want(http.StatusOK).has("TimeLog is disconnected", "Acme Reports has no access any more", "TimeLog was told, and confirmed", "1 Mar 2026, 12:00 UTC")
	}
	b.post(path, nil).want(http.StatusSeeOther).to(path) // a second click
	if f := w.sand.TimeLog().Families(); len(f) != 1 || !f[0].Revoked {
		t.Errorf("families = %+v, want one, revoked", f)
	}
	b.post(home+"/"+timelog.ID+"/reconnect", nil).want(http.StatusSeeOther).to(home)

	path = home + "/" + toggl.ID + "/disconnect"
	b.get(path).want(http.StatusOK).has("At Toggl Track what you linked goes on working", "reset the API token")
	b.post(path, nil).want(http.StatusSeeOther)
	b.get(path).want(http.StatusOK).has("Toggl Track is disconnected", "goes on working until it is changed there", "reset the API token").
		hasMarkup(`notice-warning`)
	b.get(home).has("Status Disconnected", "Disconnected 1 Mar 2026, 12:00 UTC", "What happened").lacks("Reconnect")

	for _, c := range []vault.Connection{timelog, toggl} {
		if got := w.connection(c.ID); got.Status != vault.StatusRevoked || got.StatusReason != vault.ReasonRevokedByEndUser {
			t.Errorf("connection = %+v", got)
		}
		i := slices.IndexFunc(w.trail(), func(e vault.AuditEntry) bool {
			return e.ConnectionID == c.ID && e.Action == vault.ActionConnectionRevoked
		})
		if i < 0 || w.trail()[i].ActorKind != vault.CallerEndUser || w.trail()[i].ActorID != s.ID {
			t.Errorf("the trail has no such entry: %d", i)
		}
	}
	w.wantNoLeak()
}

// TestManageDisconnectUnconfirmed: a provider that does not confirm is said to be
// told again, and the receipt follows what it says later.
func TestManageDisconnectUnconfirmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "query")
	w.trip(vault.NewSession{}).comeBack().has("TimeLog is linked")
	b := w.browser()
	s, _ := w.managing(b, vault.NewSession{})
	path := "/connect/m/" + s.ID + "/" + w.linked().ID + "/disconnect"
	w.sand.TimeLog().Faults().Next(sandbox.TimeLogRevocation, 20, sandbox.Status(http.StatusServiceUnavailable))
	b.post(path, nil).want(http.StatusSeeOther)
	b.get(path).want(http.StatusOK).has("has not confirmed it; it is told again", "connected applications").hasMarkup(`notice-warning`)
	if got := w.linked(); got.Status != vault.StatusRevoked {
		t.Errorf("connection is %s", got.Status)
	}
}

// TestManageReconnect: an ordinary reconnect, in the same browser, and back to
// the list.
func TestManageReconnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.approve(sandbox.AdaEmail, "query")
	w.trip(vault.NewSession{}).comeBack().has("TimeLog is linked")
	before := w.linked()
	b := w.browser()
	s, _ := w.managing(b, vault.NewSession{ReturnURL: backTo})
	home := "/connect/m/" + s.ID

	begin := func() string {
		t.Helper()
		p := b.post(home+"/"+before.ID+"/reconnect", nil).want(http.StatusSeeOther).to("/connect/s/cs_")
		child := p.Header.Get("Location")
		if strings.Contains(child, s.ID) {
			t.Fatalf("the session that manages is the one that links: %s", child)
		}
		w.browser().get(child).want(http.StatusForbidden)
		b.follow(p).want(http.StatusOK).has("How do you want to link TimeLog?")
		return child
	}
	// Given up: what was linked stays.
	child := begin()
	b.post(child+"/cancel", nil).want(http.StatusSeeOther).to(home)
	b.get(child).want(http.StatusSeeOther).to(home)

	// Whoever sent the link has an account there already; it has to be that one.
	w.approve(sandbox.GraceEmail, "query")
	child = begin()
	b.get(child + "/timelog/oidc").has("You link " + before.Account.Label + " again")
	mode, callback, reply := b.provider(b.post(child+"/timelog/oidc", nil))
	b.follow(b.comeBack(mode, callback, reply)).want(http.StatusConflict).has("This is another account than the one that was linked before")
	if got := w.linked(); got.Generation != before.Generation || got.Account != before.Account {
		t.Errorf("connection = %+v", got)
	}

	for _, mode := range []string{"query", "fragment", "form_post"} {
		w.approve(sandbox.AdaEmail, mode)
		child = begin()
		m, callback, reply := b.provider(b.post(child+"/timelog/oidc", nil))
		if m != mode {
			t.Fatalf("mode %s, want %s", m, mode)
		}
		var p *page
		if mode == "fragment" { // what the script of that page does
			p = b.post(callback, reply)
		} else {
			p = b.comeBack(mode, callback, reply)
		}
		p = b.follow(p).want(http.StatusOK).has("TimeLog is linked", "Back to your linked accounts").hasMarkup(`href="` + home + `"`)
		p.lacks("acme.example/accounts")
		// It is used up, and the list is not.
		b.post(child+"/timelog/oidc", nil).want(http.StatusSeeOther)
		b.get(home).want(http.StatusOK).has("Status Works")
	}
	got := w.linked()
	if got.ID != before.ID || got.Generation != before.Generation+3 || got.Account != before.Account || got.Status != vault.StatusActive {
		t.Errorf("connection = %+v", got)
	}
	if st := w.status(s.ID); st.Status != vault.SessionBound || st.ConnectionID != "" {
		t.Errorf("session = %+v", st)
	}
	w.wantNoLeak()
}

// TestManageReconnectByForm: five wrong ones end both, however often the end user
// begins anew.
func TestManageReconnectByForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.browser()
	ls, path := w.at(first, "toggl-token", "api_token", vault.NewSession{})
	first.follow(first.post(path, url.Values{"api_token": {sandbox.TogglAdaToken}})).has("is linked")
	c := w.linked()
	if w.status(ls.ID).ConnectionID != c.ID {
		t.Fatal("not the one")
	}
	b := w.browser()
	s, _ := w.managing(b, vault.NewSession{ReturnURL: backTo})
	home := "/connect/m/" + s.ID
	send := func(token string) *page {
		p := b.post(home+"/"+c.ID+"/reconnect", nil).want(http.StatusSeeOther).to("/connect/s/cs_")
		child := p.Header.Get("Location") + "/toggl-token/api_token"
		b.follow(p).want(http.StatusOK).has("You link " + sandbox.AdaEmail + " again")
		return b.post(child, url.Values{"api_token": {token}})
	}
	b.follow(send(sandbox.TogglAdaToken)).want(http.StatusOK).has("Toggl at Acme is linked", "Back to your linked accounts")
	if got := w.linked(); got.ID != c.ID || got.Generation != 2 {
		t.Errorf("connection = %+v", got)
	}
	const wrong = "00000000000000000000000000000000"
	for range vault.MaxWrongCredentials - 1 {
		send(wrong).want(http.StatusUnprocessableEntity)
	}
	b.follow(send(wrong)).want(http.StatusGone).has("Too many wrong tries", "What was linked before is as it was", "Back to "+hostApp)
	b.post(home+"/"+c.ID+"/reconnect", nil).want(http.StatusSeeOther).to(home)
	if got := w.linked(); got.Generation != 2 || got.Status != vault.StatusActive {
		t.Errorf("connection = %+v", got)
	}
	w.wantNoLeak(wrong)
}

// TestManageEnds: by Done, or by time.
func TestManageEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.have("toggl", ada, vault.Account{ID: "1", Label: "a@acme.example"})

	b := w.browser()
	s, p := w.managing(b, vault.NewSession{ReturnURL: backTo})
	p.has("Back to " + hostApp)
	home := "/connect/m/" + s.ID
	child := b.post(home+"/"+c.ID+"/reconnect", nil).want(http.StatusSeeOther).Header.Get("Location")
	want := "https://acme.example/accounts/done?tab=2&session_id=" + s.ID + "&status=completed"
	if got := b.post(home+"/done", nil).want(http.StatusSeeOther).Header.Get("Location"); got != want {
		t.Errorf("leads to %s, want %s", got, want)
	}
	b.get(home).want(http.StatusOK).has("You are done", "Back to "+hostApp).lacks("a@acme.example")
	// Nothing that was begun goes on.
	b.get(child).want(http.StatusSeeOther).to(home)
	b.post(child+"/toggl/api_token", url.Values{"api_token": {sandbox.TogglAdaToken}}).want(http.StatusSeeOther)
	for _, path := range []string{"/done", "/" + c.ID + "/disconnect", "/" + c.ID + "/reconnect"} {
		b.post(home+path, nil).want(http.StatusSeeOther).to(home)
	}
	b.get(home + "/" + c.ID + "/disconnect").want(http.StatusOK).has("You are done").lacks("a@acme.example")
	if got := w.connection(c.ID); got.Status != vault.StatusActive || got.Generation != 1 {
		t.Errorf("connection = %+v", got)
	}

	s, p = w.managing(b, vault.NewSession{})
	p.has("Done")
	home = "/connect/m/" + s.ID
	b.follow(b.post(home+"/done", nil)).want(http.StatusOK).has("You are done", "You can close this window")

	s, _ = w.managing(b, vault.NewSession{ReturnURL: backTo})
	w.clock.advance(vault.BoundTTL)
	b.get("/connect/m/" + s.ID).want(http.StatusGone).has("This page has expired").lacks("a@acme.example").hasMarkup(`&amp;status=failed"`)
	b.post("/connect/m/"+s.ID+"/"+c.ID+"/disconnect", nil).want(http.StatusSeeOther)
	if got := w.connection(c.ID); got.Status != vault.StatusActive {
		t.Errorf("connection is %s", got.Status)
	}
}

// TestManageIsClosed: another browser, another site and another kind of session
// get nothing.
func TestManageIsClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.have("toggl", ada, vault.Account{ID: "1", Label: "a@acme.example"})
	b := w.browser()
	s, p := w.managing(b, vault.NewSession{ReturnURL: backTo})
	home := "/connect/m/" + s.ID
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
	} {
		if got := p.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://acme.example") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q", csp)
	}
	before := string(w.db.Rows(t))
	plain := w.browser()
	ls, _ := w.at(plain, "toggl", "api_token", vault.NewSession{})
	after := string(w.db.Rows(t))
	for _, path := range []string{"/done", "/" + c.ID + "/disconnect", "/" + c.ID + "/reconnect"} {
		w.browser().post(home+path, nil).want(http.StatusForbidden).lacks("a@acme.example")
		b.send(b.request(http.MethodPost, home+path, url.Values{}, "cross-site")).want(http.StatusForbidden)
		b.send(b.request(http.MethodPost, home+path, url.Values{}, "same-site")).want(http.StatusForbidden)
		plain.post("/connect/m/"+ls.ID+path, nil).want(http.StatusNotFound)
	}
	plain.get("/connect/m/" + ls.ID).want(http.StatusNotFound)
	plain.get("/connect/m/" + ls.ID + "/" + c.ID + "/disconnect").want(http.StatusNotFound)
	// And the pages for linking have nothing for a session that links nothing.
	for _, path := range []string{"", "/toggl", "/toggl/api_token"} {
		b.get("/connect/s/" + s.ID + path).want(http.StatusSeeOther).to(home)
	}
	b.post("/connect/s/"+s.ID+"/toggl/api_token", url.Values{"api_token": {sandbox.TogglAdaToken}}).want(http.StatusSeeOther).to(home)
	b.post("/connect/s/"+s.ID+"/cancel", nil).want(http.StatusSeeOther).to(home)
	if got := string(w.db.Rows(t)); got != after || before == after {
		t.Error("the database has changed")
	}
}
