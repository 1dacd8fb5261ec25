package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// TestManagedConnections: an end user sees what is theirs, and nothing that
// nobody has confirmed to be.
func TestManagedConnections(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		second := w.newIntegration("timelog")
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertIntegration(ctx, second) })

		active := w.connect()
		ailing := w.connect(func(c *vault.ConnectionRow) { c.Status, c.StatusReason = vault.StatusReconnectRequired, "rejected" })
		elsewhere := w.connect(func(c *vault.ConnectionRow) { c.IntegrationID, c.Integration = second.ID, second.Key })
		revoked := map[string]vault.ConnectionRow{}
		for _, reason := range []string{vault.ReasonRevokedByEndUser, vault.ReasonRevokedByCaller, vault.ReasonWrongEndUser} {
			revoked[reason] = w.connect()
			w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
				return tx.Revoke(ctx, revoked[reason].ID, reason, noon)
			})
		}
		w.connect(pending(noon.Add(time.Hour)))
		w.connect(pending(noon.Add(time.Hour)), func(c *vault.ConnectionRow) { c.ReplacesID = active.ID })
		w.connect(func(c *vault.ConnectionRow) { c.EndUser.ID = "somebody-else" })
		other.connect()

		disconnected := revoked[vault.ReasonRevokedByEndUser]
		mine := vault.ManagedFilter{EndUserID: "user-1", DisconnectedSince: noon}
		with := func(change func(*vault.ManagedFilter)) vault.ManagedFilter {
			f := mine
			change(&f)
			return f
		}
		for _, c := range []struct {
			what string
			f    vault.ManagedFilter
			want []string
		}{
			{"all that is theirs, newest first", mine, []string{disconnected.ID, elsewhere.ID, ailing.ID, active.ID}},
			{"disconnected too long ago", with(func(f *vault.ManagedFilter) { f.DisconnectedSince = noon.Add(1) }), []string{disconnected.ID, elsewhere.ID, ailing.ID, active.ID}},
			{"disconnected before that", with(func(f *vault.ManagedFilter) { f.DisconnectedSince = noon.Add(time.Second) }), []string{elsewhere.ID, ailing.ID, active.ID}},
			{"of one integration", with(func(f *vault.ManagedFilter) { f.Integrations = []string{"timelog", "gone"} }), []string{elsewhere.ID}},
			{"one of them", with(func(f *vault.ManagedFilter) { f.ID = ailing.ID }), []string{ailing.ID}},
			{"one that is not", with(func(f *vault.ManagedFilter) { f.ID = revoked[vault.ReasonWrongEndUser].ID }), nil},
			{"one of another integration", with(func(f *vault.ManagedFilter) { f.ID, f.Integrations = active.ID, []string{"timelog"} }), nil},
			{"a page", with(func(f *vault.ManagedFilter) { f.Page = vault.Page{Cursor: elsewhere.ID, Limit: 1} }), []string{ailing.ID}},
			{"nobody", with(func(f *vault.ManagedFilter) { f.EndUserID = "nobody" }), nil},
		} {
			list, err := w.ManagedConnections(ctx, w.env.ID, c.f)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, x := range list {
				got = append(got, x.ID)
			}
			equal(t, c.what, got, c.want)
		}
		list, err := w.ManagedConnections(ctx, other.env.ID, with(func(f *vault.ManagedFilter) { f.ID = active.ID }))
		if err != nil || list != nil {
			t.Errorf("from another environment: %v, %v", list, err)
		}
	})
}

// TestReconnectsOfASession: they are counted, ended together, and go with the
// session that they were begun in.
func TestReconnectsOfASession(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		over := func(s *vault.SessionRow) { s.ExpiresAt = noon.Add(-time.Hour) }
		parent := w.session(over, func(s *vault.SessionRow) { s.Kind = vault.SessionManage })
		begun := func(status vault.SessionStatus, p vault.SessionRow) vault.SessionRow {
			return w.session(over, func(s *vault.SessionRow) { s.ParentID, s.Status, s.BindingHash = p.ID, status, hash("b") })
		}
		bound, done := begun(vault.SessionBound, parent), begun(vault.SessionCompleted, parent)
		stranger := begun(vault.SessionBound, w.session())

		w.do(func(ctx context.Context, tx vault.Tx) error {
			n, err := tx.CountReconnects(ctx, parent.ID)
			if n != 2 {
				t.Errorf("%d reconnects, want 2", n)
			}
			return err
		})
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.EndReconnects(ctx, parent.ID, "superseded") })
		bound.Status, bound.Error = vault.SessionFailed, "superseded"
		for what, want := range map[string]vault.SessionRow{"ended": bound, "done already": done, "of another session": stranger} {
			got, err := w.SessionByID(ctx, want.ID)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, what, got, &want)
		}

		if err := w.DeleteExpired(ctx, noon, noon); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{parent.ID, bound.ID, done.ID} {
			_, err := w.SessionByID(ctx, id)
			wantErr(t, "after its time", err, vault.ErrNotFound)
		}
	})
}
