package vault_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// invited is a new admin with a link.
func (b *bench) invited(t *testing.T, name string, role vault.Role) vault.Invite {
	t.Helper()
	i, err := b.InviteAdmin(t.Context(), b.system(), vault.NewAdmin{Name: name, Role: role}, vault.InviteLife)
	must(t, err)
	return i
}

// admin is a new admin who has signed in.
func (b *bench) admin(t *testing.T, name string, role vault.Role) (vault.Caller, vault.SignedIn) {
	t.Helper()
	in, err := b.SignInByLink(t.Context(), b.invited(t, name, role).Token, vault.Browser{Address: "192.0.2.1", Agent: "test"})
	must(t, err)
	return b.resume(t, in), in
}

// resume is the caller of a session.
func (b *bench) resume(t *testing.T, in vault.SignedIn) vault.Caller {
	t.Helper()
	stay, err := b.ResumeAdmin(t.Context(), in.Session.ID, in.Token, true)
	must(t, err)
	return stay.Caller()
}

func (b *bench) wantOver(t *testing.T, in vault.SignedIn) {
	t.Helper()
	_, err := b.replica(t).ResumeAdmin(t.Context(), in.Session.ID, in.Token, true)
	wantKind(t, err, fault.Unauthenticated)
}

// adminTrail is the newest entries of the environment default, newest first.
func (b *bench) adminTrail(t *testing.T, n int) []vault.AuditEntry {
	t.Helper()
	entries, err := b.Audit(t.Context(), b.system(), vault.AuditFilter{Page: vault.Page{Limit: n}})
	must(t, err)
	return entries
}

func TestAdminSession(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		caller, in := b.admin(t, "Ada", vault.RoleOperator)
		if caller.Kind != vault.CallerAdmin || caller.ID != in.Admin.ID || caller.EnvironmentID != b.caller.EnvironmentID || !caller.AuthenticatedAt.Equal(b.clock()) {
			t.Errorf("caller = %+v", caller)
		}
		if !caller.May(vault.ScopeConnectionsRevoke) || caller.May(vault.ScopeAdminsWrite) {
			t.Errorf("scopes of an operator = %v", caller.Scopes)
		}
		// Knowing the id is not enough.
		for _, token := range []vault.Secret{{}, vault.NewSecret("x"), b.invited(t, "x", vault.RoleViewer).Token} {
			_, err := b.ResumeAdmin(t.Context(), in.Session.ID, token, true)
			wantKind(t, err, fault.Unauthenticated)
		}
		// A role counts from the next request on.
		must(t, b.SetAdminRole(t.Context(), b.system(), in.Admin.ID, vault.RoleOperator, vault.RoleViewer))
		if b.resume(t, in).May(vault.ScopeConnectionsRevoke) {
			t.Error("a viewer may revoke")
		}
		must(t, b.SignOut(t.Context(), caller, in.Session.ID))
		b.wantOver(t, in)
		must(t, b.SignOut(t.Context(), caller, in.Session.ID)) // once is enough

		var got []vault.Action
		for _, e := range b.adminTrail(t, 5) {
			got = append(got, e.Action)
		}
		want := []vault.Action{vault.ActionAdminSignedOut, vault.ActionAdminRoleChanged, vault.ActionAdminInvited, vault.ActionAdminSignedIn, vault.ActionAdminInvited}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("trail (-want +got):\n%s", diff)
		}
	})
}

// TestAdminSessionLimits: half an hour without use, eight hours in any case.
func TestAdminSessionLimits(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		_, idle := b.admin(t, "Idle", vault.RoleViewer)
		_, watched := b.admin(t, "Watched", vault.RoleViewer)
		_, busy := b.admin(t, "Busy", vault.RoleViewer)
		b.pass(vault.AdminIdle - time.Second)
		b.resume(t, busy)
		_, err := b.ResumeAdmin(t.Context(), watched.Session.ID, watched.Token, false) // by itself
		must(t, err)
		b.pass(time.Second)
		b.wantOver(t, idle)
		b.wantOver(t, watched)
		for range 22 {
			b.resume(t, busy)
			b.pass(20 * time.Minute)
		}
		b.resume(t, busy)
		b.pass(10*time.Minute - time.Second)
		b.resume(t, busy)
		b.pass(time.Second)
		b.wantOver(t, busy)
	})
}

// TestSignInAnewRotates: a new session in the place of the old one, which keeps
// the environment for the same admin and for nobody else.
func TestSignInAnewRotates(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		env, err := b.EnsureEnvironment(t.Context(), "another")
		must(t, err)
		caller, first := b.admin(t, "Ada", vault.RoleOwner)
		must(t, b.SwitchEnvironment(t.Context(), caller, first.Session.ID, env.ID))
		if got := b.resume(t, first).EnvironmentID; got != env.ID {
			t.Errorf("environment after the switch = %s", got)
		}
		again, err := b.InviteAgain(t.Context(), b.system(), first.Admin.ID, vault.InviteLife)
		must(t, err)
		second, err := b.SignInByLink(t.Context(), again.Token, vault.Browser{Replaces: first.Session.ID})
		must(t, err)
		b.wantOver(t, first)
		if second.Session.ID == first.Session.ID || b.resume(t, second).EnvironmentID != env.ID {
			t.Errorf("second session = %+v", second.Session)
		}
		third, err := b.SignInByLink(t.Context(), b.invited(t, "Grace", vault.RoleViewer).Token, vault.Browser{Replaces: second.Session.ID})
		must(t, err)
		b.wantOver(t, second)
		if got := b.resume(t, third).EnvironmentID; got != b.caller.EnvironmentID {
			t.Errorf("somebody else's session begins in %s", got)
		}
	})
}

func TestEndAdminSessions(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		owner, ownerIn := b.admin(t, "Owner", vault.RoleOwner)
		viewer, one := b.admin(t, "Viewer", vault.RoleViewer)
		more := func() vault.SignedIn {
			again, err := b.InviteAgain(t.Context(), b.system(), viewer.ID, vault.InviteLife)
			must(t, err)
			in, err := b.SignInByLink(t.Context(), again.Token, vault.Browser{})
			must(t, err)
			return in
		}
		two, three := more(), more()

		list, err := b.AdminSessions(t.Context(), viewer, viewer.ID)
		must(t, err)
		if len(list) != 3 || list[0].ID != three.Session.ID || list[2].Address != "192.0.2.1" || list[2].Agent != "test" {
			t.Errorf("own sessions = %+v", list)
		}
		_, err = b.AdminSessions(t.Context(), viewer, owner.ID)
		wantKind(t, err, fault.InsufficientScope)
		wantKind(t, b.EndAdminSession(t.Context(), viewer, ownerIn.Session.ID), fault.NotFound)
		wantKind(t, b.EndAdminSession(t.Context(), viewer, "ads_none"), fault.NotFound)

		n, err := b.EndAdminSessions(t.Context(), viewer, viewer.ID, one.Session.ID)
		must(t, err)
		if n != 2 {
			t.Errorf("%d sessions ended", n)
		}
		b.wantOver(t, two)
		b.wantOver(t, three)
		b.resume(t, one)
		must(t, b.EndAdminSession(t.Context(), owner, one.Session.ID))
		b.wantOver(t, one)
		e := b.adminTrail(t, 1)[0]
		if e.Action != vault.ActionAdminSessionEnded || e.ActorID != owner.ID || e.SessionID != one.Session.ID || e.Reason != vault.ReasonOnRequest {
			t.Errorf("newest entry = %+v", e)
		}
		b.resume(t, ownerIn)
	})
}

func TestAdminsAreManagedByOwners(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		owner, _ := b.admin(t, "Owner", vault.RoleOwner)
		operator, operatorIn := b.admin(t, "Operator", vault.RoleOperator)
		ctx := t.Context()
		_, err := b.InviteAdmin(ctx, operator, vault.NewAdmin{Name: "x", Role: vault.RoleViewer}, vault.InviteLife)
		wantKind(t, err, fault.InsufficientScope)
		_, err = b.InviteAgain(ctx, operator, owner.ID, vault.InviteLife)
		wantKind(t, err, fault.InsufficientScope)
		wantKind(t, b.SetAdminRole(ctx, operator, operator.ID, vault.RoleOperator, vault.RoleOwner), fault.InsufficientScope)
		wantKind(t, b.RemoveAdmin(ctx, operator, owner.ID), fault.InsufficientScope)
		wantKind(t, b.RestoreAdmin(ctx, operator, owner.ID), fault.InsufficientScope)
		_, err = b.Admins(ctx, operator, vault.Page{})
		wantKind(t, err, fault.InsufficientScope)
		_, err = b.Admin(ctx, operator, owner.ID)
		wantKind(t, err, fault.InsufficientScope)
		_, err = b.Admin(ctx, operator, operator.ID)
		must(t, err)

		for _, bad := range []vault.NewAdmin{{Role: vault.RoleViewer}, {Name: "x", Role: "root"}, {Name: "a\nb", Role: vault.RoleOwner}} {
			_, err = b.InviteAdmin(ctx, owner, bad, vault.InviteLife)
			wantKind(t, err, fault.Invalid)
		}
		for _, life := range []time.Duration{0, time.Second, 8 * 24 * time.Hour} {
			_, err = b.InviteAdmin(ctx, owner, vault.NewAdmin{Name: "x", Role: vault.RoleViewer}, life)
			wantKind(t, err, fault.Invalid)
		}

		// The last owner stays one: somebody who was invited and never came is none.
		b.invited(t, "Pending", vault.RoleOwner)
		wantKind(t, b.SetAdminRole(ctx, owner, owner.ID, vault.RoleOwner, vault.RoleViewer), fault.Conflict)
		wantKind(t, b.RemoveAdmin(ctx, owner, owner.ID), fault.Conflict)
		must(t, b.SetAdminRole(ctx, owner, operator.ID, vault.RoleOperator, vault.RoleOwner))
		must(t, b.SetAdminRole(ctx, owner, owner.ID, vault.RoleOwner, vault.RoleViewer))
		wantKind(t, b.RemoveAdmin(ctx, b.resume(t, operatorIn), operator.ID), fault.Conflict)
		must(t, b.RemoveAdmin(ctx, b.system(), operator.ID)) // the command line may

		b.wantOver(t, operatorIn)
		_, err = b.InviteAgain(ctx, b.system(), operator.ID, vault.InviteLife)
		wantKind(t, err, fault.Conflict)
		must(t, b.RestoreAdmin(ctx, b.system(), operator.ID))
		b.wantOver(t, operatorIn) // its sessions do not come back
		_, err = b.InviteAgain(ctx, b.system(), operator.ID, vault.InviteLife)
		must(t, err)
	})
}

// TestAdminsNeedFreshSignIn: what hands out access asks for a sign-in of the
// last ten minutes.
func TestAdminsNeedFreshSignIn(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		_, in := b.admin(t, "Owner", vault.RoleOwner)
		_, other := b.admin(t, "Other", vault.RoleViewer)
		b.pass(vault.FreshFor)
		owner, ctx := b.resume(t, in), t.Context()
		_, invite := b.InviteAdmin(ctx, owner, vault.NewAdmin{Name: "x", Role: vault.RoleViewer}, vault.InviteLife)
		_, again := b.InviteAgain(ctx, owner, other.Admin.ID, vault.InviteLife)
		for what, err := range map[string]error{
			"invite": invite, "invite again": again,
			"role":    b.SetAdminRole(ctx, owner, other.Admin.ID, vault.RoleViewer, vault.RoleOwner),
			"remove":  b.RemoveAdmin(ctx, owner, other.Admin.ID),
			"restore": b.RestoreAdmin(ctx, owner, other.Admin.ID),
		} {
			if !errors.Is(err, vault.ErrSignInAgain) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if got, err := b.Admin(ctx, owner, other.Admin.ID); err != nil || got.Role != vault.RoleViewer || got.Removed() {
			t.Errorf("the other admin = %+v, %v", got, err)
		}
	})
}
