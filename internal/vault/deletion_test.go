package vault_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// deleting begins to delete the integration with its connections.
func (b *bench) deleting(t *testing.T) vault.BulkRevocation {
	t.Helper()
	r, err := b.RevokeAndDeleteIntegration(t.Context(), b.caller, "timelog", 0)
	must(t, err)
	if r == nil || r.Ended() || !r.Undeleted() {
		t.Fatalf("begun with %+v", r)
	}
	return *r
}

// removeIntegration deletes the integration with its connections.
func (b *bench) removeIntegration(t *testing.T) {
	t.Helper()
	b.deleting(t)
	must(t, b.Tidy(t.Context()))
	b.wantDeleted(t)
}

// wantDeleted says what is still there of the integration, and whether its end is
// in the trail, once and in the caller's name.
func (b *bench) wantDeleted(t *testing.T) {
	t.Helper()
	_, err := b.IntegrationByID(t.Context(), b.caller, b.in.ID)
	wantKind(t, err, fault.NotFound)
	entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{Action: vault.ActionIntegrationDeleted, IntegrationID: b.in.ID, Page: vault.Page{Limit: 9}})
	if err != nil || len(entries) != 1 || entries[0].ActorKind != b.caller.Kind || entries[0].ActorID != b.caller.ID {
		t.Errorf("the trail of it has %+v, %v", entries, err)
	}
	var rows int
	if err := b.db.Raw(t).QueryRowContext(t.Context(), `SELECT count(*) FROM connections WHERE integration_id = '`+b.in.ID+`'`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d connections are left, %v", rows, err)
	}
}

// parts works in bulk until as many are done of a bulk revocation.
func (b *bench) parts(t *testing.T, id string, done int64) vault.BulkRevocation {
	t.Helper()
	for {
		r := b.bulk(t, id)
		if r.Gathered && r.Done() >= done {
			return r
		}
		if worked, err := b.BulkPart(t.Context()); err != nil || !worked {
			t.Fatalf("at %+v: worked %v, %v", r, worked, err)
		}
	}
}

// TestDeleteIntegration with what is linked with it: more than goes in one part of
// anything, and what no list has.
func TestDeleteIntegration(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const n = 250
		all := b.crowd(t, n)
		candidate(t, b, b.linked(t, "rt-own").ID)
		waiting(t, b)
		_, err := b.Revoke(t.Context(), b.caller, all[0].ID)
		must(t, err)
		other, err := b.CreateIntegration(t.Context(), b.caller, vault.Integration{Key: "other", Provider: "timelog", ClientID: "id", ClientSecret: vault.NewSecret("planted-client-secret")})
		must(t, err)
		bystander, err := b.ImportConnection(t.Context(), b.caller, vault.NewImport{Integration: other, Method: "oidc", Grant: grant("rt-other", time.Time{}), EndUser: ada})
		must(t, err)
		wantKind(t, b.DeleteIntegration(t.Context(), b.caller, "timelog"), fault.Conflict)
		if id, err := b.DeletionOf(t.Context(), b.caller, b.in.ID); err != nil || id != "" {
			t.Errorf("before: %q, %v", id, err)
		}

		r := b.deleting(t)
		if want := (vault.BulkDeletion{IntegrationID: b.in.ID, Key: "timelog"}); r.Deletion != want || r.Status != vault.BulkGathering {
			t.Errorf("at first %+v", r)
		}
		if id, err := b.DeletionOf(t.Context(), b.caller, b.in.ID); err != nil || id != r.ID {
			t.Errorf("meanwhile: %q, %v, want %s", id, err, r.ID)
		}
		must(t, b.Tidy(t.Context()))
		b.wantDeleted(t)
		got := b.bulk(t, r.ID)
		// One was revoked before; one more was linked, and two wait for a host.
		if want := (vault.BulkCounts{Total: n + 2, Revoked: n + 2, ToldRevoked: n + 2}); got.Status != vault.BulkCompleted || got.BulkCounts != want || !got.Deletion.DeletedAt.Equal(b.clock()) {
			t.Errorf("in the end %+v", got)
		}
		for id, n := range b.revokedEntries(t) {
			if n != 1 {
				t.Errorf("%s was revoked %d times", id, n)
			}
		}
		if c := b.connection(t, bystander.ID); c.Status != vault.StatusActive {
			t.Errorf("the one of another integration is %s", c.Status)
		}
		if told := b.heard(); slices.Contains(told, "rt-other") {
			t.Error("the provider was told of another integration's")
		}
		for action, integration := range map[vault.Action]string{vault.ActionBulkCreated: b.in.ID, vault.ActionBulkCompleted: ""} {
			entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{Action: action, Page: vault.Page{Limit: 9}})
			if err != nil || len(entries) != 1 || entries[0].Reason != r.ID || entries[0].IntegrationID != integration {
				t.Errorf("%s: %+v, %v", action, entries, err)
			}
		}
		_, err = b.RevokeAndDeleteIntegration(t.Context(), b.caller, "timelog", 0)
		wantKind(t, err, fault.NotFound)

		must(t, b.ignore(b.RevokeAndDeleteIntegration(t.Context(), b.caller, "other", 0)))
		must(t, b.Tidy(t.Context()))
		_, err = b.Integration(t.Context(), b.caller, "other")
		wantKind(t, err, fault.NotFound)
	})
}

func (b *bench) ignore(_ *vault.BulkRevocation, err error) error { return err }

// TestDeletionKnowsHowMany before it revokes the first.
func TestDeletionKnowsHowMany(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const n = 1010 // more than it looks at in one part
		b.crowd(t, n)
		if got := b.parts(t, b.deleting(t).ID, 0); got.Total != n || got.Done() != 0 {
			t.Errorf("%d of %d", got.Done(), got.Total)
		}
	})
}

// TestDeleteUnusedIntegration: what is revoked is in nobody's way, however much it
// is, and however it is asked for.
func TestDeleteUnusedIntegration(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.crowd(t, 210)
		b.start(t, everything)
		must(t, b.Tidy(t.Context()))
		must(t, b.DeleteIntegration(t.Context(), b.caller, "timelog"))
		b.wantDeleted(t)
		wantKind(t, b.DeleteIntegration(t.Context(), b.caller, "timelog"), fault.NotFound)

		_, err := b.CreateIntegration(t.Context(), b.caller, vault.Integration{Key: "unused", Provider: "timelog", ClientID: "id", ClientSecret: vault.NewSecret("planted-client-secret")})
		must(t, err)
		if r, err := b.RevokeAndDeleteIntegration(t.Context(), b.caller, "unused", time.Minute); err != nil || r != nil {
			t.Errorf("%+v, %v", r, err)
		}
		_, err = b.Integration(t.Context(), b.caller, "unused")
		wantKind(t, err, fault.NotFound)
	})
}

// TestNothingIsLinkedMeanwhile: from the moment that somebody wants an integration
// to go until they think better of it.
func TestNothingIsLinkedMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		old := b.linked(t, "rt-old")
		caller, _, binding := b.bound(t, vault.NewSession{})
		mending, _, _ := b.bound(t, vault.NewSession{ConnectionID: old.ID, ReturnURL: "https://app.example.com/linked"})
		inPlace, _, _ := b.bound(t, vault.NewSession{ConnectionID: old.ID, Completion: vault.CompleteAuto})
		r := b.deleting(t)
		link := map[string]func() error{
			"mending in place": func() error {
				_, err := b.Link(t.Context(), inPlace, b.in, "oidc", grant("rt-in-place", time.Time{}))
				return err
			},
			"linking": func() error {
				_, err := b.Link(t.Context(), caller, b.in, "oidc", grant("rt-new", time.Time{}))
				return err
			},
			"mending": func() error {
				_, err := b.Link(t.Context(), mending, b.in, "oidc", grant("rt-mend", time.Time{}))
				return err
			},
			"setting out": func() error {
				return b.BeginAttempt(t.Context(), caller, binding, b.in, "oidc", vault.NewState(), vault.Credential{"nonce": vault.NewSecret("n")})
			},
			"importing": func() error {
				_, err := b.ImportConnection(t.Context(), b.caller, vault.NewImport{Integration: b.in, Method: "oidc", Grant: grant("rt-import", time.Time{}), EndUser: ada})
				return err
			},
		}
		for what, try := range link {
			if err := try(); !errors.Is(err, vault.ErrBeingDeleted) {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err := b.StopBulkRevocation(t.Context(), b.caller, r.ID)
		must(t, err)
		if id, err := b.DeletionOf(t.Context(), b.caller, b.in.ID); err != nil || id != "" {
			t.Errorf("stopped: %q, %v", id, err)
		}
		for what, try := range link {
			if what == "setting out" { // the session is used up by linking, whichever is first
				continue
			}
			if err := try(); err != nil {
				t.Errorf("stopped, and %s: %v", what, err)
			}
		}
		_, err = b.ResumeBulkRevocation(t.Context(), b.caller, r.ID)
		must(t, err)
		must(t, b.Tidy(t.Context()))
		b.wantDeleted(t)
		wantOnce(t, b.heard(), 4)
	})
}

// TestDeletionStops where it is, and goes on from there; with what was linked in
// between, and only for who may delete.
func TestDeletionStops(t *testing.T) {
	t.Parallel()
	const n = 210
	for name, tt := range map[string]struct {
		done  int64
		parts int // after that
		rows  int
	}{
		"at first":              {rows: n},
		"among the connections": {done: 40, rows: n},
		"before the rows go":    {done: n, rows: n},
		"among the rows":        {done: n, parts: 1, rows: n - 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Each(t, func(t *testing.T, db *storetest.DB) {
				t.Parallel()
				b := newBench(t, db)
				all := b.crowd(t, n)
				r := b.deleting(t)
				before := r
				if tt.done > 0 {
					before = b.parts(t, r.ID, tt.done)
				}
				for range tt.parts {
					_, err := b.BulkPart(t.Context())
					must(t, err)
				}
				stopped, err := b.StopBulkRevocation(t.Context(), b.caller, r.ID)
				if err != nil || stopped.Status != vault.BulkStopped || stopped.Done() != before.Done() || !stopped.Undeleted() {
					t.Fatalf("%+v, %v, before %+v", stopped, err, before)
				}
				must(t, b.Tidy(t.Context()))
				left := 0
				for i, c := range all {
					if got, err := b.Connection(t.Context(), b.caller, c.ID); err == nil {
						left++
						if revoked := got.Status == vault.StatusRevoked; revoked != (i < int(before.Done())) {
							t.Errorf("%s is %s", c.ID, got.Status)
						}
					}
				}
				if left != tt.rows {
					t.Errorf("%d rows are left, want %d", left, tt.rows)
				}
				b.goOn(t, r.ID, n)
			})
		})
	}
}

// goOn resumes a deletion of n connections that was stopped, with one more.
func (b *bench) goOn(t *testing.T, id string, n int) {
	t.Helper()
	later := b.linked(t, "rt-later")
	operator := b.caller
	operator.Scopes = vault.RoleOperator.Scopes()
	_, err := b.ResumeBulkRevocation(t.Context(), operator, id)
	wantKind(t, err, fault.InsufficientScope)
	_, err = b.ResumeBulkRevocation(t.Context(), b.caller, id)
	must(t, err)
	must(t, b.Tidy(t.Context()))
	b.wantDeleted(t)
	all := int64(n + 1)
	if got := b.bulk(t, id); got.Status != vault.BulkCompleted || got.BulkCounts != (vault.BulkCounts{Total: all, Revoked: all, ToldRevoked: all}) {
		t.Errorf("in the end %+v", got)
	}
	if got := b.actions(t, later.ID); !slices.Contains(got, vault.ActionConnectionRevoked) {
		t.Errorf("what was linked later: %v", got)
	}
	wantOnce(t, b.heard(), n+1)
	_, err = b.StopBulkRevocation(t.Context(), b.caller, id)
	wantKind(t, err, fault.Conflict)
}

// TestDeletionsOfTheSame: whoever comes second is led to the first, and one that
// was stopped does not come between, nor to somebody else's integration.
func TestDeletionsOfTheSame(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.crowd(t, 3)
		ids := make(chan string, 6)
		var all sync.WaitGroup
		for range cap(ids) {
			all.Go(func() {
				r, err := b.RevokeAndDeleteIntegration(t.Context(), b.caller, "timelog", 0)
				if err != nil || r == nil {
					t.Errorf("%+v, %v", r, err)
					return
				}
				ids <- r.ID
			})
		}
		all.Wait()
		close(ids)
		first := <-ids
		for id := range ids {
			if id != first {
				t.Errorf("two delete it: %s and %s", first, id)
			}
		}
		limited := b.caller
		limited.ID, limited.Integrations = "key_limited", []string{"timelog"}
		_, err := b.RevokeAndDeleteIntegration(t.Context(), limited, "timelog", 0)
		wantKind(t, err, fault.Conflict)
		if id, err := b.DeletionOf(t.Context(), limited, b.in.ID); err != nil || id != "" {
			t.Errorf("somebody else's: %q, %v", id, err)
		}

		_, err = b.StopBulkRevocation(t.Context(), b.caller, first)
		must(t, err)
		second := b.deleting(t)
		if second.ID == first {
			t.Fatal("the one that was stopped is at it again")
		}
		_, err = b.ResumeBulkRevocation(t.Context(), b.caller, first)
		wantKind(t, err, fault.Conflict)
		must(t, b.Tidy(t.Context()))
		b.wantDeleted(t)

		again, err := b.CreateIntegration(t.Context(), b.caller, vault.Integration{Key: "timelog", Provider: "timelog", ClientID: "id", ClientSecret: vault.NewSecret("planted-client-secret")})
		must(t, err)
		c, err := b.ImportConnection(t.Context(), b.caller, vault.NewImport{Integration: again, Method: "oidc", Grant: grant("rt-again", time.Time{}), EndUser: ada})
		must(t, err)
		_, err = b.ResumeBulkRevocation(t.Context(), b.caller, first)
		must(t, err)
		must(t, b.Tidy(t.Context()))
		if got := b.bulk(t, first); got.Status != vault.BulkCompleted || got.Undeleted() || got.Total != 0 {
			t.Errorf("with nothing left to delete %+v", got)
		}
		if got := b.connection(t, c.ID); got.Status != vault.StatusActive {
			t.Errorf("one of an integration with the same key is %s", got.Status)
		}
		b.wantDeleted(t)
	})
}

// TestDeletionIsAskedFor by who may do all of it, and has signed in freshly.
func TestDeletionIsAskedFor(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "rt")
		for _, missing := range []vault.Scope{vault.ScopeIntegrationsWrite, vault.ScopeConnectionsRevoke} {
			without := b.caller
			without.Scopes = slices.DeleteFunc(vault.AllScopes(), func(s vault.Scope) bool { return s == missing })
			_, err := b.RevokeAndDeleteIntegration(t.Context(), without, "timelog", 0)
			wantKind(t, err, fault.InsufficientScope)
			if diff := cmp.Diff(string(missing), b.reasons(t)[0]); diff != "" {
				t.Error(diff)
			}
		}
		stale := vault.Caller{Kind: vault.CallerAdmin, ID: "adm", EnvironmentID: b.caller.EnvironmentID, Scopes: vault.RoleOwner.Scopes(), AuthenticatedAt: b.clock().Add(-vault.FreshFor)}
		if _, err := b.RevokeAndDeleteIntegration(t.Context(), stale, "timelog", 0); err == nil {
			t.Error("begun by who signed in long ago")
		}
		outside := b.caller
		outside.Integrations = []string{"other"}
		_, err := b.RevokeAndDeleteIntegration(t.Context(), outside, "timelog", 0)
		wantKind(t, err, fault.NotFound)
		env, err := b.EnsureEnvironment(t.Context(), "elsewhere")
		must(t, err)
		foreign := b.key(t, env.ID)
		_, err = b.RevokeAndDeleteIntegration(t.Context(), foreign, "timelog", 0)
		wantKind(t, err, fault.NotFound)
		_, err = b.DeletionOf(t.Context(), foreign, b.in.ID)
		wantKind(t, err, fault.NotFound)
		must(t, b.Tidy(t.Context()))
		if got := b.connection(t, c.ID); got.Status != vault.StatusActive {
			t.Errorf("it is %s", got.Status)
		}
	})
}

// TestDeletionFindsWhoWasAdding: somebody's account is mended while everything is
// looked for, and what waits for the host then refers to what is revoked.
func TestDeletionFindsWhoWasAdding(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "rt-own")
		candidate(t, b, c.ID)
		r := b.deleting(t)
		b.parts(t, r.ID, 0)
		// As if it had not been there yet.
		raw := b.db.Raw(t)
		for _, s := range []string{
			`DELETE FROM bulk_revocation_items WHERE connection_id <> '` + c.ID + `'`,
			`UPDATE bulk_revocations SET total = 1`,
		} {
			if _, err := raw.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		must(t, b.Tidy(t.Context()))
		b.wantDeleted(t)
		if got := b.bulk(t, r.ID); got.Status != vault.BulkCompleted || got.Total != 2 || got.Revoked != 2 {
			t.Errorf("in the end %+v", got)
		}
	})
}
