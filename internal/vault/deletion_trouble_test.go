package vault_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// TestDeletionSurvives processes that are gone in the middle of it: in a part, and
// in a call to the provider. What that has to know does not go with the integration.
func TestDeletionSurvives(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const n = 60
		b.crowd(t, n)
		r := b.deleting(t)
		b.parts(t, r.ID, 32)
		cut, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.BulkPart(cut); err == nil {
			t.Error("a part was done by a process that is gone")
		}

		type call struct{ key, client, secret, token string }
		calls, never := make(chan call, 2*n), make(chan struct{})
		tell := func(wait <-chan struct{}) func(context.Context, vault.Integration, vault.Connection, vault.Credential) vault.ProviderOutcome {
			return func(_ context.Context, in vault.Integration, _ vault.Connection, c vault.Credential) vault.ProviderOutcome {
				calls <- call{in.Key, in.ClientID, in.ClientSecret.Reveal(), c.Get(vault.ValueRefreshToken)}
				<-wait
				return vault.ProviderOutcome{Outcome: vault.OutcomeRevoked}
			}
		}
		process := func(wait <-chan struct{}) *vault.Vault {
			return vault.New(vault.Config{
				Store: b.db.Open(t), Keyset: b.keyset, Now: b.clock, CheckIntegration: func(vault.Integration) error { return nil }, TellProvider: tell(wait),
				Log: slog.New(slog.DiscardHandler),
			})
		}
		var ended sync.WaitGroup
		t.Cleanup(ended.Wait)
		doomed, over := context.WithCancel(t.Context())
		ended.Go(func() { must(t, process(never).Run(doomed)) })
		defer func() { close(never); over() }()
		for b.bulk(t, r.ID).Undeleted() { // the provider answers nothing, and it goes all the same
		}
		b.wantDeleted(t)
		told := map[call]bool{}
		for len(told) < 8 { // that is all that it has under way
			told[<-calls] = true
		}
		if got := b.bulk(t, r.ID); got.Status != vault.BulkRunning || got.Revoked != n {
			t.Errorf("deleted, with its provider still to be told: %+v", got)
		}

		at := make(chan struct{})
		close(at)
		b.pass(6 * time.Minute)
		must(t, process(at).Tidy(t.Context()))
		if got := b.bulk(t, r.ID); got.Status != vault.BulkCompleted || got.ToldRevoked != n {
			t.Errorf("in the end %+v", got)
		}
		for len(calls) > 0 {
			told[<-calls] = true
		}
		for i := range n {
			if c := (call{"timelog", "id", "planted-client-secret", fmt.Sprintf("rt-%d", i)}); !told[c] {
				t.Errorf("not told of %+v", c)
			}
		}
	})
}

// TestDeletionWithItsProviderDown: that keeps nothing alive here, and is told later.
func TestDeletionWithItsProviderDown(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.crowd(t, 3)
		b.provider(vault.OutcomeFailed)
		r := b.deleting(t)
		must(t, b.Tidy(t.Context()))
		b.wantDeleted(t)
		if got := b.bulk(t, r.ID); got.Status != vault.BulkCompleted || got.ToldFailed != 3 {
			t.Errorf("while it is down %+v", got)
		}
		b.provider(vault.OutcomeRevoked)
		b.pass(6 * time.Minute)
		must(t, b.Tidy(t.Context()))
		if got := b.bulk(t, r.ID); got.ToldFailed != 0 || got.ToldRevoked != 3 {
			t.Errorf("later %+v", got)
		}
	})
}

// TestDeletionWhileEverybodyLinks: whoever was told that an account is linked has
// it revoked, and nobody keeps the integration from going.
func TestDeletionWhileEverybodyLinks(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.crowd(t, 40)
		ctx, stop := context.WithCancel(t.Context())
		var replicas, people sync.WaitGroup
		for _, v := range []*vault.Vault{b.Vault, b.replica(t)} {
			replicas.Go(func() { must(t, v.Run(ctx)) })
		}
		begun, counted := make(chan struct{}, 64), sync.Mutex{}
		linked := 40
		for i := range 4 {
			people.Go(func() {
				for j := 0; ; j++ {
					token := fmt.Sprintf("rt-%d-%d", i, j)
					_, err := b.ImportConnection(t.Context(), b.caller, vault.NewImport{Integration: b.in, Method: "oidc", Grant: grant(token, time.Time{}), EndUser: ada})
					switch {
					case err == nil:
						counted.Lock()
						linked++
						counted.Unlock()
						select {
						case begun <- struct{}{}:
						default:
						}
					case fault.Is(err, fault.NotFound):
						return
					case !fault.Is(err, fault.Conflict):
						t.Error(err)
						return
					}
				}
			})
		}
		<-begun
		r, err := b.RevokeAndDeleteIntegration(t.Context(), b.caller, "timelog", time.Minute)
		if err != nil || r != nil {
			t.Errorf("%+v, %v", r, err)
		}
		people.Wait()
		list, err := b.BulkRevocations(t.Context(), b.caller, vault.Page{Limit: 9})
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		got, err := b.WaitBulkRevocation(t.Context(), b.caller, list[0].ID, time.Minute)
		if err != nil || got.Status != vault.BulkCompleted || got.Revoked != int64(linked) || got.Failed != 0 {
			t.Errorf("%d were linked, and in the end %+v, %v", linked, got, err)
		}
		stop()
		replicas.Wait()
		b.wantDeleted(t)
		wantOnce(t, b.heard(), linked)
	})
}

// TestDeletionNeedsAllRevoked: what cannot be revoked keeps its integration.
func TestDeletionNeedsAllRevoked(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		broken := b.crowd(t, 5)[2]
		breaks, mend := `CREATE TRIGGER no BEFORE UPDATE ON connections WHEN NEW.id = '`+broken.ID+`' BEGIN SELECT RAISE(ABORT, 'no'); END`, `DROP TRIGGER no`
		if b.db.Kind == "postgres" {
			breaks = `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
				CREATE TRIGGER no BEFORE UPDATE ON connections FOR EACH ROW WHEN (NEW.id = '` + broken.ID + `') EXECUTE FUNCTION no()`
			mend = `DROP TRIGGER no ON connections`
		}
		raw := b.db.Raw(t)
		for s := range strings.SplitSeq(breaks, ";\n") {
			if _, err := raw.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		r := b.deleting(t)
		must(t, b.Tidy(t.Context()))
		got := b.bulk(t, r.ID)
		if got.Status != vault.BulkStopped || !got.Undeleted() || got.BulkCounts != (vault.BulkCounts{Total: 5, Revoked: 4, Failed: 1, ToldRevoked: 4}) {
			t.Errorf("in the end %+v", got)
		}
		entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{Action: vault.ActionBulkStopped, Page: vault.Page{Limit: 9}})
		if err != nil || len(entries) != 1 || entries[0].ActorKind != vault.CallerSystem || entries[0].Reason != r.ID {
			t.Errorf("the trail has %+v, %v", entries, err)
		}
		if _, err := b.Integration(t.Context(), b.caller, "timelog"); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { must(t, b.Run(ctx)) })
		_, err = b.RevokeAndDeleteIntegration(t.Context(), b.caller, "timelog", time.Minute)
		if wantKind(t, err, fault.Conflict); !strings.Contains(err.Error(), "has stopped") {
			t.Error(err)
		}
		if _, err := raw.ExecContext(t.Context(), mend); err != nil {
			t.Fatal(err)
		}
		if r, err := b.RevokeAndDeleteIntegration(t.Context(), b.caller, "timelog", time.Minute); err != nil || r != nil {
			t.Errorf("mended: %+v, %v", r, err)
		}
		stop()
		running.Wait()
		b.wantDeleted(t)
	})
}
