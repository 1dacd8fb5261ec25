package vault_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// TestToldByWhoeverRevokes: while one process tells a provider, whoever looks
// into the outbox leaves it alone, for as long as it may take.
func TestToldByWhoeverRevokes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "rt")
		called, answer := make(chan struct{}), make(chan struct{})
		slow := vault.New(vault.Config{
			Store: b.db.Open(t), Keyset: b.keyset, Now: b.clock, CheckIntegration: func(vault.Integration) error { return nil },
			TellProvider: func(context.Context, vault.Integration, vault.Connection, vault.Credential) vault.ProviderOutcome {
				close(called)
				<-answer
				return vault.ProviderOutcome{Outcome: vault.OutcomeRevoked, Detail: "told"}
			},
		})
		var revoking sync.WaitGroup
		revoking.Go(func() {
			if r, err := slow.Revoke(t.Context(), b.caller, c.ID); err != nil || r.Provider.Outcome != vault.OutcomeRevoked {
				t.Errorf("receipt %+v, %v", r, err)
			}
		})
		<-called
		must(t, b.Tidy(t.Context()))
		b.pass(4 * time.Minute)
		must(t, b.Tidy(t.Context()))
		if told := b.heard(); len(told) != 0 {
			t.Errorf("somebody else told the provider as well: %q", told)
		}
		close(answer)
		revoking.Wait()
		b.pass(time.Hour)
		must(t, b.Tidy(t.Context()))
		if told := b.heard(); len(told) != 0 {
			t.Errorf("told again: %q", told)
		}
	})
}

// TestToldSideBySide: an integration whose provider hangs keeps no other waiting,
// and a call that has begun is finished when the process is to end.
func TestToldSideBySide(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		other, err := b.CreateIntegration(t.Context(), b.caller, vault.Integration{Key: "other", Provider: "timelog", ClientID: "id", ClientSecret: vault.NewSecret("planted-client-secret")})
		must(t, err)
		for _, in := range []vault.Integration{b.in, other} {
			g := grant("rt", b.clock().Add(time.Hour))
			g.Account.ID += in.Key
			_, err := b.ImportConnection(t.Context(), b.caller, vault.NewImport{Integration: in, Method: "oidc", Grant: g, EndUser: ada})
			must(t, err)
		}
		b.start(t, everything)
		hanging, told, answer := make(chan struct{}), make(chan string, 2), make(chan struct{})
		v := vault.New(vault.Config{
			Store: b.db.Open(t), Keyset: b.keyset, Now: b.clock, CheckIntegration: func(vault.Integration) error { return nil },
			TellProvider: func(ctx context.Context, in vault.Integration, _ vault.Connection, _ vault.Credential) vault.ProviderOutcome {
				if in.Key == "timelog" {
					close(hanging)
					<-answer
					if ctx.Err() != nil {
						t.Error("the call was cut off")
					}
				}
				told <- in.Key
				return vault.ProviderOutcome{Outcome: vault.OutcomeRevoked}
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- v.Run(ctx) }()
		<-hanging
		if first := <-told; first != "other" {
			t.Errorf("told first: %s", first)
		}
		stop()
		close(answer)
		must(t, <-ended)
		if last := <-told; last != "timelog" {
			t.Errorf("told last: %s", last)
		}
		due, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{Action: vault.ActionProviderTold, Page: vault.Page{Limit: 9}})
		if err != nil || len(due) != 2 {
			t.Errorf("the trail has %d, %v", len(due), err)
		}
	})
}

// TestRecordingHasAnEnd: a database that neither takes what came of a call nor
// refuses it holds nobody up for ever, and no longer than the call is this
// process's alone to make.
func TestRecordingHasAnEnd(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "rt")
		store := &stuckStore{Store: b.db.Open(t)}
		v := vault.New(vault.Config{
			Store: store, Keyset: b.keyset, Now: b.clock, CheckIntegration: func(vault.Integration) error { return nil }, Log: slog.New(slog.DiscardHandler),
			TellProvider: func(context.Context, vault.Integration, vault.Connection, vault.Credential) vault.ProviderOutcome {
				store.stuck.Store(true)
				return vault.ProviderOutcome{Outcome: vault.OutcomeRevoked, Detail: "told"}
			},
		})
		called := time.Now()
		r, err := v.Revoke(t.Context(), b.caller, c.ID)
		if err != nil || r.Provider.Outcome != vault.OutcomeRevoked {
			t.Errorf("receipt %+v, %v", r, err)
		}
		if store.until.Before(called.Add(time.Minute)) || store.until.After(called.Add(4*time.Minute)) {
			t.Errorf("it is to be recorded until %v, %v after the call", store.until, store.until.Sub(called))
		}
		b.pass(6 * time.Minute)
		must(t, b.Tidy(t.Context()))
		if told := b.heard(); len(told) != 1 { // what is not on record is told again
			t.Errorf("told by the next process: %q", told)
		}
	})
}

// stuckStore writes nothing any more once it is stuck, and keeps until when it
// would have been tried.
type stuckStore struct {
	vault.Store
	stuck atomic.Bool
	until time.Time
}

func (s *stuckStore) Update(ctx context.Context, fn func(vault.Tx) error) error {
	if !s.stuck.Load() {
		return s.Store.Update(ctx, fn)
	}
	s.until, _ = ctx.Deadline()
	return context.DeadlineExceeded
}
