package vault_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// crowd is connections of n end users, with the refresh tokens rt-0, rt-1, ….
func (b *bench) crowd(t *testing.T, n int) []vault.Connection {
	t.Helper()
	all := make([]vault.Connection, n)
	for i := range all {
		user := fmt.Sprintf("user-%d", i)
		all[i] = b.of(t, vault.EndUser{ID: user}, "account-"+user, fmt.Sprintf("rt-%d", i))
	}
	return all
}

func (b *bench) start(t *testing.T, n vault.NewBulkRevocation) vault.BulkRevocation {
	t.Helper()
	r, err := b.StartBulkRevocation(t.Context(), b.caller, n)
	must(t, err)
	return r
}

func (b *bench) bulk(t *testing.T, id string) vault.BulkRevocation {
	t.Helper()
	r, err := b.BulkRevocation(t.Context(), b.caller, id)
	must(t, err)
	return r
}

// revokedEntries counts the entries connection.revoked by connection.
func (b *bench) revokedEntries(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	f := vault.AuditFilter{Action: vault.ActionConnectionRevoked, Page: vault.Page{Limit: 200}}
	for {
		entries, err := b.Audit(t.Context(), b.caller, f)
		must(t, err)
		for _, e := range entries {
			if e.ActorKind != b.caller.Kind || e.ActorID != b.caller.ID || e.Reason != vault.ReasonRevokedByCaller {
				t.Errorf("revoked by %+v", e)
			}
			counts[e.ConnectionID]++
			f.Page.Cursor = e.ID
		}
		if len(entries) < 200 {
			return counts
		}
	}
}

// wantOnce says which credentials a provider was not told of exactly once.
func wantOnce(t *testing.T, told []string, n int) {
	t.Helper()
	counts := map[string]int{}
	for _, token := range told {
		counts[token]++
	}
	for token, times := range counts {
		if times != 1 {
			t.Errorf("the provider was told of %s %d times", token, times)
		}
	}
	if len(counts) != n {
		t.Errorf("the provider was told of %d credentials, want %d", len(counts), n)
	}
}

var everything = vault.NewBulkRevocation{BulkTarget: vault.BulkTarget{All: true}}

func TestBulkRevocation(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		all := b.crowd(t, 40)
		keep := b.of(t, vault.EndUser{ID: "keep"}, "account-keep", "rt-keep")
		must(t, b.Vault.Tidy(t.Context()))
		_, err := b.PatchConnection(t.Context(), b.caller, keep.ID, vault.ConnectionPatch{Tags: &map[string]string{"team": "red"}})
		must(t, err)
		tags := map[string]string{"team": "blue"}
		for _, c := range all {
			_, err := b.PatchConnection(t.Context(), b.caller, c.ID, vault.ConnectionPatch{Tags: &tags})
			must(t, err)
		}
		_, err = b.Revoke(t.Context(), b.caller, all[0].ID)
		must(t, err)

		target := vault.BulkTarget{Filter: vault.ConnectionFilter{Tags: tags}}
		p, err := b.PreviewBulkRevocation(t.Context(), b.caller, target)
		must(t, err)
		if p.Total != 39 || p.More || !slices.Equal(p.Groups, []vault.BulkGroup{{Integration: "timelog", Method: "oidc", Count: 39}}) {
			t.Errorf("preview %+v", p)
		}
		wrong, right := int64(40), int64(39)
		_, err = b.StartBulkRevocation(t.Context(), b.caller, vault.NewBulkRevocation{BulkTarget: target, Expect: &wrong})
		wantKind(t, err, fault.Conflict)
		r := b.start(t, vault.NewBulkRevocation{BulkTarget: target, Expect: &right})
		if r.Status != vault.BulkGathering || r.Ended() || !r.Unrevoked() {
			t.Errorf("at first %+v", r)
		}
		later := b.of(t, vault.EndUser{ID: "later"}, "account-later", "rt-later")
		_, err = b.PatchConnection(t.Context(), b.caller, later.ID, vault.ConnectionPatch{Tags: &tags})
		must(t, err)

		must(t, b.Tidy(t.Context()))
		got := b.bulk(t, r.ID)
		if got.Status != vault.BulkCompleted || got.BulkCounts != (vault.BulkCounts{Total: 39, Revoked: 39, ToldRevoked: 39}) || got.StartedAt.IsZero() || got.FinishedAt.IsZero() {
			t.Errorf("in the end %+v", got)
		}
		for _, c := range all {
			if got := b.connection(t, c.ID); got.Status != vault.StatusRevoked || got.StatusReason != vault.ReasonRevokedByCaller {
				t.Errorf("%s is %s (%s)", c.ID, got.Status, got.StatusReason)
			}
		}
		for _, c := range []vault.Connection{keep, later} {
			if got := b.connection(t, c.ID); got.Status != vault.StatusActive {
				t.Errorf("%s of %s is %s", c.ID, c.EndUser.ID, got.Status)
			}
		}
		wantOnce(t, b.heard(), 40)
		for id, n := range b.revokedEntries(t) {
			if n != 1 {
				t.Errorf("%s was revoked %d times", id, n)
			}
		}
		for action, reason := range map[vault.Action]string{vault.ActionBulkCreated: b.caller.ID, vault.ActionBulkCompleted: "revoke"} {
			entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{Action: action, Page: vault.Page{Limit: 10}})
			if err != nil || len(entries) != 1 || entries[0].Reason != r.ID || entries[0].ActorID != reason {
				t.Errorf("%s: %+v, %v", action, entries, err)
			}
		}
		id, err := b.BulkRevocationOf(t.Context(), b.caller, all[7].ID)
		if err != nil || id != r.ID {
			t.Errorf("revoked in %q, %v", id, err)
		}
		if id, err = b.BulkRevocationOf(t.Context(), b.caller, all[0].ID); err != nil || id != "" {
			t.Errorf("revoked by itself, and in %q, %v", id, err)
		}
	})
}

// TestBulkRevocationByID: what cannot be revoked any more is in the report.
func TestBulkRevocationByID(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		all := b.crowd(t, 4)
		_, err := b.Revoke(t.Context(), b.caller, all[0].ID)
		must(t, err)
		_, err = b.DeleteConnection(t.Context(), b.caller, all[1].ID)
		must(t, err)
		env, err := b.EnsureEnvironment(t.Context(), "elsewhere")
		must(t, err)
		foreign := b.key(t, env.ID)

		ids := []string{all[0].ID, all[1].ID, all[2].ID, all[2].ID}
		p, err := b.PreviewBulkRevocation(t.Context(), b.caller, vault.BulkTarget{IDs: ids})
		if err != nil || p.Total != 1 {
			t.Errorf("preview %+v, %v", p, err)
		}
		theirs, err := b.StartBulkRevocation(t.Context(), foreign, vault.NewBulkRevocation{BulkTarget: vault.BulkTarget{IDs: ids}})
		must(t, err)
		mine := b.start(t, vault.NewBulkRevocation{BulkTarget: vault.BulkTarget{IDs: ids}})
		must(t, b.Tidy(t.Context()))

		items, err := b.BulkItems(t.Context(), foreign, theirs.ID, vault.BulkItemFilter{Page: vault.Page{Limit: 1}})
		if want := []vault.BulkItem{{ConnectionID: all[2].ID, Outcome: vault.BulkMissing, DoneAt: b.clock()}}; err != nil || !slices.Equal(items, want) {
			t.Errorf("their report has %+v, %v", items, err)
		}
		if got, err := b.BulkRevocation(t.Context(), foreign, theirs.ID); err != nil || got.BulkCounts != (vault.BulkCounts{Total: 3, Missing: 3}) {
			t.Errorf("from another environment %+v, %v", got, err)
		}
		if got := b.bulk(t, mine.ID); got.Status != vault.BulkCompleted || got.BulkCounts != (vault.BulkCounts{Total: 3, Revoked: 1, AlreadyRevoked: 1, Missing: 1, ToldRevoked: 1}) {
			t.Errorf("in the end %+v", got)
		}
		items, err = b.BulkItems(t.Context(), b.caller, mine.ID, vault.BulkItemFilter{Page: vault.Page{Limit: 10}})
		must(t, err)
		want := []vault.BulkItem{
			{
				ConnectionID: all[2].ID, Outcome: vault.BulkRevoked, Told: vault.OutcomeRevoked, DoneAt: b.clock(),
				EndUser: all[2].EndUser, Account: all[2].Account, Integration: "timelog",
			},
			{ConnectionID: all[1].ID, Outcome: vault.BulkMissing, DoneAt: b.clock()},
			{
				ConnectionID: all[0].ID, Outcome: vault.BulkAlreadyRevoked, DoneAt: b.clock(),
				EndUser: all[0].EndUser, Account: all[0].Account, Integration: "timelog",
			},
		}
		if !slices.Equal(items, want) {
			t.Errorf("the report is %+v, want %+v", items, want)
		}
		for _, ask := range []func() error{
			func() error { _, err := b.BulkRevocation(t.Context(), foreign, mine.ID); return err },
			func() error { _, err := b.BulkItems(t.Context(), foreign, mine.ID, vault.BulkItemFilter{}); return err },
			func() error { _, err := b.StopBulkRevocation(t.Context(), foreign, mine.ID); return err },
			func() error { _, err := b.ResumeBulkRevocation(t.Context(), foreign, mine.ID); return err },
		} {
			wantKind(t, ask(), fault.NotFound)
		}
		if list, err := b.BulkRevocations(t.Context(), foreign, vault.Page{Limit: 10}); err != nil || len(list) != 1 || list[0].ID != theirs.ID {
			t.Errorf("theirs are %+v, %v", list, err)
		}
		if c := b.connection(t, all[3].ID); c.Status != vault.StatusActive {
			t.Errorf("one that nobody named is %s", c.Status)
		}
	})
}

func TestBulkRevocationIsAskedFor(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "rt")
		reader := b.caller
		reader.Scopes = []vault.Scope{vault.ScopeConnectionsRead}
		stale := vault.Caller{Kind: vault.CallerAdmin, ID: "adm", EnvironmentID: b.caller.EnvironmentID, Scopes: vault.RoleOperator.Scopes(), AuthenticatedAt: b.clock().Add(-vault.FreshFor)}
		fresh := stale
		fresh.AuthenticatedAt = b.clock()
		revoker := b.caller
		revoker.Scopes = []vault.Scope{vault.ScopeConnectionsRevoke}

		many := make([]string, vault.MaxBulkIDs+1)
		for i := range many {
			many[i] = "con_x"
		}
		for name, tt := range map[string]struct {
			target  vault.BulkTarget
			pointer string
		}{
			"nothing that narrows":       {vault.BulkTarget{}, "/filter"},
			"no tag at all":              {vault.BulkTarget{Filter: vault.ConnectionFilter{Tags: map[string]string{}}}, "/filter"},
			"more words than are used":   {vault.BulkTarget{Filter: vault.ConnectionFilter{Query: "user " + strings.Repeat("u ", 7) + "tag:a=b nobody"}}, "/filter/q"},
			"a word that is cut short":   {vault.BulkTarget{Filter: vault.ConnectionFilter{Query: strings.Repeat("u", 128) + "x"}}, "/filter/q"},
			"a page narrows nothing":     {vault.BulkTarget{Filter: vault.ConnectionFilter{Page: vault.Page{Cursor: c.ID}}}, "/filter"},
			"too many":                   {vault.BulkTarget{IDs: many}, "/connection_ids"},
			"an id that no row can have": {vault.BulkTarget{IDs: []string{string(make([]byte, 65))}}, "/connection_ids"},
			"an empty id":                {vault.BulkTarget{IDs: []string{c.ID, ""}}, "/connection_ids"},
			// None of these narrows.
			"a span that there is not":     {vault.BulkTarget{Filter: vault.ConnectionFilter{LastRead: "over_1d"}}, "/filter/last_read"},
			"an end that there is not":     {vault.BulkTarget{Filter: vault.ConnectionFilter{Expires: "soon"}, All: true}, "/filter/expires"},
			"a status that there is not":   {vault.BulkTarget{Filter: vault.ConnectionFilter{Status: "failing"}}, "/filter/status"},
			"an end user that is too long": {vault.BulkTarget{Filter: vault.ConnectionFilter{EndUserID: strings.Repeat("u", 257)}}, "/filter/end_user_id"},
		} {
			_, err := b.StartBulkRevocation(t.Context(), b.caller, vault.NewBulkRevocation{BulkTarget: tt.target})
			wantKind(t, err, fault.Invalid)
			if e, _ := fault.As(err); len(e.Fields) != 1 || e.Fields[0].Pointer != tt.pointer {
				t.Errorf("%s: %+v", name, e.Fields)
			}
			_, err = b.PreviewBulkRevocation(t.Context(), b.caller, tt.target)
			wantKind(t, err, fault.Invalid)
		}
		_, err := b.StartBulkRevocation(t.Context(), reader, everything)
		wantKind(t, err, fault.InsufficientScope)
		_, err = b.PreviewBulkRevocation(t.Context(), reader, everything.BulkTarget)
		wantKind(t, err, fault.InsufficientScope)
		if _, err = b.StartBulkRevocation(t.Context(), stale, everything); !errors.Is(err, vault.ErrSignInAgain) {
			t.Errorf("signed in long ago: %v", err)
		}
		must(t, b.Tidy(t.Context()))
		if got := b.connection(t, c.ID); got.Status != vault.StatusActive {
			t.Fatalf("the connection is %s", got.Status)
		}

		r, err := b.StartBulkRevocation(t.Context(), fresh, everything)
		must(t, err)
		_, err = b.BulkRevocation(t.Context(), revoker, r.ID)
		wantKind(t, err, fault.InsufficientScope)
		for _, turn := range []func(context.Context, vault.Caller, string) (vault.BulkRevocation, error){b.StopBulkRevocation, b.ResumeBulkRevocation} {
			_, err = turn(t.Context(), reader, r.ID)
			wantKind(t, err, fault.InsufficientScope)
		}
		if got, err := b.StopBulkRevocation(t.Context(), stale, r.ID); err != nil || got.Status != vault.BulkStopped {
			t.Errorf("stopping takes no fresh sign-in: %+v, %v", got, err)
		}
		if _, err = b.ResumeBulkRevocation(t.Context(), stale, r.ID); !errors.Is(err, vault.ErrSignInAgain) {
			t.Errorf("resumed with an old sign-in: %v", err)
		}
		_, err = b.ResumeBulkRevocation(t.Context(), revoker, r.ID)
		must(t, err)
		must(t, b.Tidy(t.Context()))
		entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{ConnectionID: c.ID, Action: vault.ActionConnectionRevoked, Page: vault.Page{Limit: 9}})
		if err != nil || len(entries) != 1 || entries[0].ActorKind != vault.CallerAdmin || entries[0].ActorID != "adm" {
			t.Errorf("revoked in the name of %+v, %v", entries, err)
		}
	})
}

// restless is a store that looks at one connection at a time, and in which
// something happens after each.
type restless struct {
	vault.Store
	between func()
}

func (r restless) GatherRevocable(ctx context.Context, environmentID string, f vault.ConnectionFilter, below string, _ int) ([]string, string, error) {
	ids, next, err := r.Store.GatherRevocable(ctx, environmentID, f, below, 1)
	r.between()
	return ids, next, err
}

// TestBulkRevocationWhileTimesMove: what matches all the while is revoked, though
// it is read, or renewed, while others are looked at, and between two parts.
func TestBulkRevocationWhileTimesMove(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const n, day = 18, 24 * time.Hour
		all := b.crowd(t, n)
		must(t, b.Tidy(t.Context()))
		raw, now := b.db.Raw(t), b.clock()
		move := func(i int, ends, read time.Duration) {
			_, err := raw.ExecContext(t.Context(), `UPDATE connections SET refresh_expires_at = $1, last_read_at = $2 WHERE id = $3`,
				now.Add(ends).UnixMicro(), now.Add(read).UnixMicro(), all[i].ID)
			must(t, err)
		}
		last := n - 1
		for i := range all {
			move(i, 10*day, -40*day)
		}
		move(last, 60*day, -40*day) // does not match
		steps := 0
		v := vault.New(vault.Config{
			Store: restless{b.db.Open(t), func() {
				for i := range last {
					switch (i + steps) % 3 {
					case 0:
						move(i, time.Hour, -90*day)
					case 1:
						move(i, 6*day, -31*day)
					default:
						move(i, 5*day, -60*day)
					}
				}
				steps++
			}},
			Keyset: b.keyset, Now: b.clock, CheckIntegration: func(vault.Integration) error { return nil }, TellProvider: b.tell,
		})
		r := b.start(t, vault.NewBulkRevocation{BulkTarget: vault.BulkTarget{Filter: vault.ConnectionFilter{LastRead: vault.LastReadOver30, Expires: vault.Expires30d}}})
		later := b.of(t, vault.EndUser{ID: "later"}, "account-later", "rt-later")
		must(t, v.Tidy(t.Context()))
		if got := b.bulk(t, r.ID); got.Status != vault.BulkCompleted || got.Total != n-1 || got.Revoked != n-1 {
			t.Errorf("in the end %+v", got)
		}
		for _, c := range []vault.Connection{all[last], later} {
			if got := b.connection(t, c.ID); got.Status != vault.StatusActive {
				t.Errorf("%s is %s", got.EndUser.ID, got.Status)
			}
		}
		if steps < n {
			t.Errorf("gathered in %d looks", steps)
		}
	})
}

// TestBulkRevocationStops: when stopping returns, nothing more is revoked; what
// is left can be left, or be gone on with.
func TestBulkRevocationStops(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const n = 150
		all := b.crowd(t, n)
		r := b.start(t, everything)
		ctx, cancel := context.WithCancel(t.Context())
		var replicas sync.WaitGroup
		for _, v := range []*vault.Vault{b.Vault, b.replica(t)} {
			replicas.Go(func() { must(t, v.Run(ctx)) })
		}
		for b.bulk(t, r.ID).Revoked == 0 { // another goroutine is at it
		}
		stopped, err := b.StopBulkRevocation(t.Context(), b.caller, r.ID)
		if fault.Is(err, fault.Conflict) { // it was too fast for us
			stopped = b.bulk(t, r.ID)
		} else {
			must(t, err)
			if stopped.Status != vault.BulkStopped || !stopped.Ended() {
				t.Errorf("stopped %+v", stopped)
			}
			again, err := b.StopBulkRevocation(t.Context(), b.caller, r.ID)
			if err != nil || again.Done() != stopped.Done() {
				t.Errorf("stopped again %+v, %v", again, err)
			}
		}
		revoked := func() (n int64) {
			for _, c := range all {
				if b.connection(t, c.ID).Status == vault.StatusRevoked {
					n++
				}
			}
			return n
		}
		if got := revoked(); got != stopped.Done() {
			t.Errorf("%d are revoked, and %d were when it stopped", got, stopped.Done())
		}
		_, err = b.ResumeBulkRevocation(t.Context(), b.caller, r.ID)
		must(t, err)
		done, err := b.WaitBulkRevocation(t.Context(), b.caller, r.ID, 5*time.Minute)
		if err != nil || done.Status != vault.BulkCompleted {
			t.Fatalf("%+v, %v", done, err)
		}
		cancel()
		replicas.Wait()
		if got := b.bulk(t, r.ID); got.BulkCounts != (vault.BulkCounts{Total: n, Revoked: n, ToldRevoked: n}) {
			t.Errorf("in the end %+v", got)
		}
		wantOnce(t, b.heard(), n)
		if got := b.revokedEntries(t); len(got) != n {
			t.Errorf("%d are in the trail", len(got))
		}
		_, err = b.StopBulkRevocation(t.Context(), b.caller, r.ID)
		wantKind(t, err, fault.Conflict)
	})
}

// TestBulkRevocationByManyAtOnce: replicas take turns, and what somebody revokes
// by itself meanwhile is theirs.
func TestBulkRevocationByManyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const n = 120
		all := b.crowd(t, n)
		first, second := b.start(t, everything), b.start(t, everything)
		var at sync.WaitGroup
		for _, v := range []*vault.Vault{b.Vault, b.replica(t), b.replica(t)} {
			at.Go(func() { must(t, v.Tidy(t.Context())) })
		}
		at.Go(func() {
			for _, c := range slices.Backward(all) {
				if _, err := b.Revoke(t.Context(), b.caller, c.ID); err != nil && !fault.Is(err, fault.Revoked) {
					t.Error(err)
				}
			}
		})
		at.Wait()
		must(t, b.Tidy(t.Context()))
		wantOnce(t, b.heard(), n)
		trail := b.revokedEntries(t)
		for _, c := range all {
			if trail[c.ID] != 1 {
				t.Errorf("%s was revoked %d times", c.ID, trail[c.ID])
			}
		}
		for _, id := range []string{first.ID, second.ID} {
			got := b.bulk(t, id)
			if got.Status != vault.BulkCompleted || got.Done() != got.Total || got.Failed != 0 || got.Untold() != 0 {
				t.Errorf("%+v", got)
			}
		}
	})
}

// TestBulkRevocationSurvives a process that hangs in its calls to the provider
// and is never heard of again: all but those calls is done by the next one, at
// once, and those are made again when their time is over.
func TestBulkRevocationSurvives(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const n = 60
		all := b.crowd(t, n)
		r := b.start(t, everything)
		calls := make(chan string, n)
		never := make(chan struct{})
		doomed := vault.New(vault.Config{
			Store: b.db.Open(t), Keyset: b.keyset, Now: b.clock, CheckIntegration: func(vault.Integration) error { return nil },
			TellProvider: func(_ context.Context, _ vault.Integration, _ vault.Connection, c vault.Credential) vault.ProviderOutcome {
				calls <- c.Get(vault.ValueRefreshToken)
				<-never
				return vault.ProviderOutcome{Outcome: vault.OutcomeFailed}
			},
		})
		var ended sync.WaitGroup
		t.Cleanup(ended.Wait)
		ctx, cancel := context.WithCancel(t.Context())
		ended.Go(func() { must(t, doomed.Run(ctx)) })
		inFlight := []string{<-calls, <-calls}
		defer func() { close(never); cancel() }()
		for b.bulk(t, r.ID).Done() < n { // it goes on revoking all the same
		}
		for len(inFlight) < 8 {
			inFlight = append(inFlight, <-calls)
		}

		must(t, b.Tidy(t.Context()))
		told := b.heard()
		wantOnce(t, told, n-len(inFlight))
		for _, token := range inFlight {
			if slices.Contains(told, token) {
				t.Errorf("%s was told twice", token)
			}
		}
		if got := b.bulk(t, r.ID); got.Status != vault.BulkRunning || got.Untold() != int64(len(inFlight)) {
			t.Errorf("before their time is over %+v", got)
		}
		b.pass(6 * time.Minute)
		must(t, b.Tidy(t.Context()))
		wantOnce(t, b.heard(), n)
		if got := b.bulk(t, r.ID); got.Status != vault.BulkCompleted || got.ToldRevoked != n {
			t.Errorf("in the end %+v", got)
		}
		if got := b.revokedEntries(t); len(got) != len(all) {
			t.Errorf("%d are in the trail", len(got))
		}
	})
}

// TestBulkRevocationFollows what a provider says later.
func TestBulkRevocationFollows(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.crowd(t, 3)
		b.provider(vault.OutcomeFailed)
		r := b.start(t, everything)
		must(t, b.Tidy(t.Context()))
		if got := b.bulk(t, r.ID); got.Status != vault.BulkCompleted || got.ToldFailed != 3 {
			t.Errorf("after the first time %+v", got)
		}
		b.provider(vault.OutcomeRevoked)
		b.pass(6 * time.Minute)
		must(t, b.Tidy(t.Context()))
		if got := b.bulk(t, r.ID); got.ToldFailed != 0 || got.ToldRevoked != 3 {
			t.Errorf("after the second time %+v", got)
		}
	})
}

// TestBulkRevocationPassesOver what the database does not take.
func TestBulkRevocationPassesOver(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		all := b.crowd(t, 40)
		unreadable, broken := all[3], all[5]
		statements := []string{
			`CREATE TRIGGER no BEFORE UPDATE ON connections WHEN NEW.id = '` + broken.ID + `' BEGIN SELECT RAISE(ABORT, 'no'); END`,
		}
		if b.db.Kind == "postgres" {
			statements = []string{
				`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$`,
				// Said at the commit, when all of a part are revoked.
				`CREATE CONSTRAINT TRIGGER no AFTER UPDATE ON connections DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.id = '` + broken.ID + `') EXECUTE FUNCTION no()`,
			}
		}
		statements = append(statements, `UPDATE connections SET credential = answer WHERE id = '`+unreadable.ID+`'`)
		raw := b.db.Raw(t)
		for _, s := range statements {
			if _, err := raw.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		r := b.start(t, everything)
		must(t, b.Tidy(t.Context()))
		if got := b.bulk(t, r.ID); got.Status != vault.BulkCompleted || got.BulkCounts != (vault.BulkCounts{Total: 40, Revoked: 39, Failed: 1, ToldRevoked: 38, ToldFailed: 1}) {
			t.Errorf("in the end %+v", got)
		}
		for f, want := range map[vault.BulkItemFilter]string{
			{Outcome: vault.BulkFailed, Page: vault.Page{Limit: 9}}: broken.ID,
			{Told: vault.OutcomeFailed, Page: vault.Page{Limit: 9}}: unreadable.ID,
		} {
			items, err := b.BulkItems(t.Context(), b.caller, r.ID, f)
			if err != nil || len(items) != 1 || items[0].ConnectionID != want {
				t.Errorf("%+v: %+v, %v", f, items, err)
			}
		}
		wantOnce(t, b.heard(), 38)
	})
}

// TestBulkRevocationsTakeTurns even where one of them cannot go on.
func TestBulkRevocationsTakeTurns(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.crowd(t, 3)
		stuck := b.start(t, vault.NewBulkRevocation{BulkTarget: vault.BulkTarget{Filter: vault.ConnectionFilter{EndUserID: "user-0"}}})
		statements := []string{`CREATE TRIGGER no BEFORE INSERT ON bulk_revocation_items WHEN NEW.bulk_revocation_id = '` + stuck.ID + `' BEGIN SELECT RAISE(ABORT, 'no'); END`}
		if b.db.Kind == "postgres" {
			statements = []string{
				`CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$`,
				`CREATE TRIGGER no BEFORE INSERT ON bulk_revocation_items FOR EACH ROW WHEN (NEW.bulk_revocation_id = '` + stuck.ID + `') EXECUTE FUNCTION no()`,
			}
		}
		raw := b.db.Raw(t)
		for _, s := range statements {
			if _, err := raw.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		b.pass(time.Second)
		other := b.start(t, vault.NewBulkRevocation{BulkTarget: vault.BulkTarget{Filter: vault.ConnectionFilter{EndUserID: "user-1"}}})
		for range 6 { // a round ends where one cannot go on
			b.pass(time.Second)
			if err := b.Tidy(t.Context()); err == nil {
				t.Error("nothing is wrong")
			}
		}
		if got := b.bulk(t, other.ID); got.Status != vault.BulkCompleted || got.Revoked != 1 {
			t.Errorf("the other one: %+v", got)
		}
		if got := b.bulk(t, stuck.ID); got.Status != vault.BulkGathering {
			t.Errorf("the stuck one: %+v", got)
		}
	})
}

// TestBulkWithClocksApart: what another process has made a moment ago is among what
// is there, though its clock is ahead.
func TestBulkWithClocksApart(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.linked(t, "rt-own")
		if _, err := b.db.Raw(t).ExecContext(t.Context(), `
			INSERT INTO connections (id, environment_id, integration_id, method, status, status_reason, generation, end_user_id, end_user_email, end_user_name,
				account_id, account_label, base_url, scopes, tags, metadata, renewable, created_at, updated_at, credential, answer)
			SELECT 'con_vvvvvvvvvvvvvvvvvvvvvvvvvv', environment_id, integration_id, method, status, status_reason, generation, end_user_id, end_user_email, end_user_name,
				account_id, account_label, base_url, scopes, tags, metadata, renewable, created_at, updated_at, credential, answer FROM connections`); err != nil {
			t.Fatal(err)
		}
		r := b.start(t, everything)
		must(t, b.Tidy(t.Context()))
		if got := b.bulk(t, r.ID); got.Total != 2 || got.Revoked != 2 {
			t.Errorf("of two %+v", got.BulkCounts)
		}
	})
}
