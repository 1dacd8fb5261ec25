package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// newAdmin inserts an admin, changed by each of change.
func (w *world) newAdmin(change ...func(*vault.Admin)) vault.Admin {
	w.t.Helper()
	a := vault.Admin{
		ID: newID("adm"), Issuer: "https://login.example", Subject: newID("sub"), Email: "ada@example.com", Name: "Ada",
		Role: vault.RoleOwner, CreatedAt: noon, LastSignedInAt: noon.Add(time.Second), RemovedAt: noon.Add(time.Hour),
	}
	for _, c := range change {
		c(&a)
	}
	w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAdmin(ctx, a) })
	return a
}

// stay begins a session of an admin.
func (w *world) stay(a vault.Admin, change ...func(*vault.AdminSessionRow)) vault.AdminSessionRow {
	w.t.Helper()
	s := vault.AdminSessionRow{
		AdminSession: vault.AdminSession{
			ID: newID("ads"), AdminID: a.ID, EnvironmentID: w.env.ID, Method: vault.MethodOIDC, Role: vault.RoleViewer,
			ProviderSession: "sid-1", Address: "192.0.2.1", Agent: "a browser",
			CreatedAt: noon, AuthenticatedAt: noon.Add(-time.Minute), SeenAt: noon.Add(time.Minute), EndedAt: time.Time{},
		},
		TokenHash: hash(newID("token")), TripHash: hash(newID("trip")),
	}
	for _, c := range change {
		c(&s)
	}
	w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAdminSession(ctx, s) })
	return s
}

func byLink(a *vault.Admin)     { a.Issuer, a.Subject = "", "" }
func notRemoved(a *vault.Admin) { a.RemovedAt = time.Time{} }

func TestAdmins(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		first, second, third := w.newAdmin(), w.newAdmin(byLink, notRemoved), w.newAdmin(byLink, notRemoved)

		got, err := w.Admin(ctx, first.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "by id", got, &first)
		if got, err = w.AdminBySubject(ctx, first.Issuer, first.Subject); err != nil {
			t.Fatal(err)
		}
		equal(t, "by subject", got, &first)
		for what, pair := range map[string][2]string{
			"another issuer": {"https://other.example", first.Subject}, "another subject": {first.Issuer, "x"}, "nobody": {"", ""},
		} {
			_, err := w.AdminBySubject(ctx, pair[0], pair[1])
			wantErr(t, what, err, vault.ErrNotFound)
		}
		list, err := w.Admins(ctx, vault.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "newest first", list, []vault.Admin{third, second, first})

		changed := second
		changed.Email, changed.Name, changed.Role = "b@example.com", "B", vault.RoleViewer
		changed.LastSignedInAt, changed.RemovedAt = noon.Add(2*time.Hour), noon.Add(3*time.Hour)
		w.do(func(ctx context.Context, tx vault.Tx) error {
			owners, err := tx.LockOwners(ctx)
			equal(t, "owners who are not removed", owners, []string{second.ID, third.ID})
			if err != nil {
				return err
			}
			locked, err := tx.LockAdmin(ctx, second.ID)
			if err != nil {
				return err
			}
			equal(t, "locked", locked, &second)
			return tx.UpdateAdmin(ctx, changed)
		})
		if got, err = w.Admin(ctx, second.ID); err != nil {
			t.Fatal(err)
		}
		equal(t, "changed", got, &changed)

		for what, change := range map[string]func(*vault.Admin){
			"role":                    func(a *vault.Admin) { a.Role = "root" },
			"subject without issuer":  func(a *vault.Admin) { a.Issuer = "" },
			"issuer without subject":  func(a *vault.Admin) { a.Subject = "" },
			"without a name":          func(a *vault.Admin) { a.Name = "" },
			"a subject of great size": func(a *vault.Admin) { a.Subject = longText(256) },
		} {
			bad := vault.Admin{ID: newID("adm"), Issuer: "i", Subject: newID("s"), Name: "x", Role: vault.RoleViewer, CreatedAt: noon}
			change(&bad)
			wantRefused(t, what, w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAdmin(ctx, bad) }))
		}
		twin := first
		twin.ID = newID("adm")
		err = w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAdmin(ctx, twin) })
		wantErr(t, "one subject, two admins", err, vault.ErrDuplicate)
	})
}

func TestAdminSessions(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		a, b := w.newAdmin(), w.newAdmin(byLink)
		first := w.stay(a)
		second := w.stay(a, func(s *vault.AdminSessionRow) { s.CreatedAt, s.ProviderSession = noon.Add(time.Hour), "sid-2" })
		linked := w.stay(b, func(s *vault.AdminSessionRow) { s.Method, s.TripHash, s.ProviderSession = vault.MethodLink, nil, "" })

		got, err := w.AdminStay(ctx, first.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "stay", got, &vault.AdminStay{AdminSessionRow: first, Admin: a, Environment: w.env.Name})
		_, err = w.AdminStay(ctx, "ads_none")
		wantErr(t, "no such session", err, vault.ErrNotFound)
		list, err := w.AdminSessions(ctx, a.ID, noon.Add(-time.Second), 10)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "newest first", list, []vault.AdminSession{second.AdminSession, first.AdminSession})
		if list, err = w.AdminSessions(ctx, a.ID, noon, 10); err != nil || len(list) != 1 {
			t.Errorf("begun since: %+v, %v", list, err)
		}

		sessionsOf := func(subject, sid string, before time.Time) []string {
			var ids []string
			w.do(func(ctx context.Context, tx vault.Tx) error {
				ids = nil
				found, err := tx.ProviderSessions(ctx, a.Issuer, subject, sid, before)
				for _, s := range found {
					ids = append(ids, s.ID)
				}
				return err
			})
			return ids
		}
		later := noon.Add(2 * time.Hour)
		equal(t, "of the subject", sessionsOf(a.Subject, "", later), []string{first.ID, second.ID})
		equal(t, "of the subject, before", sessionsOf(a.Subject, "", noon.Add(time.Minute)), []string{first.ID})
		equal(t, "by sid", sessionsOf("", "sid-2", later), []string{second.ID})
		equal(t, "by both", sessionsOf(a.Subject, "sid-1", later), []string{first.ID})
		equal(t, "by another's sid", sessionsOf(a.Subject, "sid-3", later), []string(nil))
		equal(t, "of nobody", sessionsOf("", "", later), []string(nil))

		swap := func(fn func(ctx context.Context, tx vault.Tx) (bool, error)) bool { return w.swap(fn) }
		if !swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
			return tx.SetAdminEnvironment(ctx, first.ID, other.env.ID)
		}) {
			t.Error("not switched")
		}
		err = w.try(func(ctx context.Context, tx vault.Tx) error {
			_, err := tx.SetAdminEnvironment(ctx, first.ID, "env_none")
			return err
		})
		wantErr(t, "a switch to nowhere", err, vault.ErrNotFound)
		if err := w.TouchAdminSession(ctx, first.ID, noon.Add(5*time.Minute)); err != nil {
			t.Fatal(err)
		}
		if err := w.TouchAdminSession(ctx, first.ID, noon); err != nil { // never back
			t.Fatal(err)
		}
		if got, err = w.AdminStay(ctx, first.ID); err != nil || got.Environment != other.env.Name || !got.SeenAt.Equal(noon.Add(5*time.Minute)) {
			t.Errorf("after switch and use: %+v, %v", got, err)
		}

		end := func() bool {
			return swap(func(ctx context.Context, tx vault.Tx) (bool, error) { return tx.EndAdminSession(ctx, first.ID, later) })
		}
		if !end() || end() {
			t.Error("a session ends once")
		}
		if swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
			return tx.SetAdminEnvironment(ctx, first.ID, w.env.ID)
		}) {
			t.Error("a session that has ended is switched")
		}
		if err := w.TouchAdminSession(ctx, first.ID, later); err != nil {
			t.Fatal(err)
		}
		if got, err = w.AdminStay(ctx, first.ID); err != nil || !got.EndedAt.Equal(later) || got.SeenAt.Equal(later) {
			t.Errorf("after the end: %+v, %v", got, err)
		}
		equal(t, "of the subject, live", sessionsOf(a.Subject, "", later), []string{second.ID})

		err = w.try(func(ctx context.Context, tx vault.Tx) error {
			again := first
			again.ID, again.TokenHash = newID("ads"), hash("another")
			return tx.InsertAdminSession(ctx, again)
		})
		wantErr(t, "one trip, two sessions", err, vault.ErrDuplicate)
		for what, change := range map[string]func(*vault.AdminSessionRow){
			"by a link, with a trip":   func(s *vault.AdminSessionRow) { s.Method = vault.MethodLink },
			"without a trip":           func(s *vault.AdminSessionRow) { s.TripHash = nil },
			"method":                   func(s *vault.AdminSessionRow) { s.Method = "password" },
			"role":                     func(s *vault.AdminSessionRow) { s.Role = "root" },
			"a hash of another length": func(s *vault.AdminSessionRow) { s.TokenHash = []byte("x") },
		} {
			bad := second
			bad.ID, bad.TokenHash, bad.TripHash = newID("ads"), hash(newID("t")), hash(newID("t"))
			change(&bad)
			wantRefused(t, what, w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAdminSession(ctx, bad) }))
		}

		// Those that nobody has used for long go.
		if err := w.DeleteExpired(ctx, later, noon.Add(2*time.Minute)); err != nil {
			t.Fatal(err)
		}
		_, err = w.AdminStay(ctx, linked.ID)
		wantErr(t, "an old session", err, vault.ErrNotFound)
		if _, err = w.AdminStay(ctx, first.ID); err != nil {
			t.Errorf("one that was used since: %v", err)
		}
	})
}

func TestAdminLinks(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		a, b := w.newAdmin(byLink), w.newAdmin(byLink)
		insert := func(admin vault.Admin, token string) vault.AdminLinkRow {
			l := vault.AdminLinkRow{ID: newID("adl"), AdminID: admin.ID, TokenHash: hash(token), CreatedAt: noon, ExpiresAt: noon.Add(time.Hour)}
			w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAdminLink(ctx, l) })
			return l
		}
		used, unused, others := insert(a, "used"), insert(a, "unused"), insert(b, "others")
		got, err := w.AdminLinkByToken(ctx, hash("used"))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "by token", got, &used)
		_, err = w.AdminLinkByToken(ctx, hash("unknown"))
		wantErr(t, "unknown token", err, vault.ErrNotFound)

		use := func(id string, at time.Time) bool {
			return w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) { return tx.UseAdminLink(ctx, id, at) })
		}
		if use(used.ID, noon.Add(time.Hour)) {
			t.Error("an expired link is used")
		}
		if !use(used.ID, noon.Add(time.Hour-time.Microsecond)) || use(used.ID, noon) {
			t.Error("a link is used once")
		}
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.DropAdminLinks(ctx, a.ID) })
		_, err = w.AdminLinkByToken(ctx, unused.TokenHash)
		wantErr(t, "dropped", err, vault.ErrNotFound)
		for _, l := range []vault.AdminLinkRow{used, others} {
			if _, err := w.AdminLinkByToken(ctx, l.TokenHash); err != nil {
				t.Errorf("one that was used, or another's: %v", err)
			}
		}
		if err := w.DeleteExpired(ctx, noon, noon.Add(2*time.Hour)); err != nil {
			t.Fatal(err)
		}
		_, err = w.AdminLinkByToken(ctx, used.TokenHash)
		wantErr(t, "old", err, vault.ErrNotFound)
	})
}

func TestRenameEnvironment(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		rename := func(id, from, to string) error {
			return w.try(func(ctx context.Context, tx vault.Tx) error { return tx.RenameEnvironment(ctx, id, from, to) })
		}
		if err := rename(w.env.ID, w.env.Name, "renamed"); err != nil {
			t.Fatal(err)
		}
		if got, err := w.EnvironmentByName(t.Context(), "renamed"); err != nil || got.ID != w.env.ID {
			t.Errorf("renamed: %+v, %v", got, err)
		}
		wantErr(t, "a name that is taken", rename(other.env.ID, other.env.Name, "renamed"), vault.ErrDuplicate)
		wantErr(t, "another name than it has", rename(w.env.ID, w.env.Name, "x"), vault.ErrNotFound)
		wantErr(t, "no such environment", rename("env_none", w.env.Name, "x"), vault.ErrNotFound)
	})
}
