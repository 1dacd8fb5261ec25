package refresh_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

const minute = time.Minute

func parse(text string) map[string]string {
	headers := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		headers[name] = value
	}
	return headers
}

func TestFreshIsServedWithoutACall(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		calls := b.sandbox.TimeLog().Count(sandbox.Any)
		s, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		must(t, err)
		if n := b.sandbox.TimeLog().Count(sandbox.Any); n != calls || !s.MinTTLMet {
			t.Errorf("%d calls, met %t", n-calls, s.MinTTLMet)
		}
		if !b.accepted(t, b.sandbox.TimeLog().URL()+"/api/ResolveUri", s) {
			t.Error("TimeLog does not take the headers")
		}
	})
}

func TestManyReadersOneCall(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		for round := range 3 {
			b.clock.pass(2 * time.Hour)
			var wg sync.WaitGroup
			for i := range 50 {
				e := b.Engine
				if i%2 == 1 {
					e = b.other.Engine
				}
				wg.Go(func() {
					s, err := e.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
					if err != nil {
						t.Error(err)
						return
					}
					if !b.accepted(t, b.sandbox.TimeLog().URL()+"/api/ResolveUri", s) {
						t.Error("TimeLog does not take the headers")
					}
				})
			}
			wg.Wait()
			if n := b.sandbox.TimeLog().RefreshCalls(); n != round+1 {
				t.Fatalf("round %d: %d refresh calls", round, n)
			}
		}
		if n := b.sandbox.TimeLog().Reuses(); n != 0 {
			t.Errorf("%d reuses", n)
		}
		if got := b.connection(t, c.ID); got.Status != vault.StatusActive || got.LastRefreshedAt.IsZero() {
			t.Errorf("%+v", got)
		}
	})
}

func TestValidIsServedWhileRefreshFails(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		b.sandbox.TimeLog().Faults().Always(sandbox.TimeLogRefresh, sandbox.Status(500))
		b.clock.pass(59*time.Minute + 30*time.Second)
		s, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		must(t, err)
		if s.MinTTLMet {
			t.Error("half a minute is not a minute")
		}
		b.clock.pass(minute)
		_, err = b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, 0)
		wantKind(t, err, fault.ProviderUnavailable)
		if f, _ := fault.As(err); f.RetryAfter < time.Second {
			t.Errorf("says nothing of when to come back: %v", f.RetryAfter)
		}
		b.sandbox.TimeLog().Faults().Clear(sandbox.TimeLogRefresh)
		b.clock.pass(2 * minute)
		s, err = b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		must(t, err)
		if !s.MinTTLMet {
			t.Error("not fresh after the outage")
		}
	})
}

func TestAnOutageIsNotAStorm(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		b.clock.pass(2 * time.Hour)
		b.sandbox.TimeLog().Faults().Always(sandbox.TimeLogRefresh, sandbox.TooManyRequests(30*time.Second))
		for range 20 {
			_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
			wantKind(t, err, fault.ProviderUnavailable)
			if f, _ := fault.As(err); f.RetryAfter < 29*time.Second {
				t.Fatalf("Retry-After %v", f.RetryAfter)
			}
		}
		if n := b.sandbox.TimeLog().RefreshCalls(); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestRefusedRefreshTokenCondemns(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		b.sandbox.TimeLog().RevokeFamilies()
		b.clock.pass(2 * time.Hour)
		_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		wantKind(t, err, fault.ReconnectRequired)
		got := b.connection(t, c.ID)
		if got.Status != vault.StatusReconnectRequired || got.StatusReason != vault.ReasonInvalidGrant {
			t.Errorf("%s, %s", got.Status, got.StatusReason)
		}
	})
}

func TestLostOutcomeIsToldFromARevocation(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		b.clock.pass(2 * time.Hour)
		b.sandbox.TimeLog().Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Cut())
		_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		wantKind(t, err, fault.ProviderUnavailable)
		if got := b.connection(t, c.ID); got.Status != vault.StatusActive {
			t.Fatalf("condemned for a cut answer: %s", got.StatusReason)
		}
		b.clock.pass(2 * minute)
		_, err = b.other.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		wantKind(t, err, fault.ReconnectRequired)
		if got := b.connection(t, c.ID); got.StatusReason != vault.ReasonOutcomeLost {
			t.Errorf("reason %s", got.StatusReason)
		}
	})
}

// TimeLog ends the live access token too when a spent refresh token comes back:
// while the one we have still works, the token is not tried again.
func TestLostOutcomeDoesNotCostTheLiveToken(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		b.clock.pass(10 * minute)
		b.sandbox.TimeLog().Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Cut())
		for range 5 {
			s, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, 55*minute)
			must(t, err)
			if s.MinTTLMet || !b.accepted(t, b.sandbox.TimeLog().URL()+"/api/ResolveUri", s) {
				t.Error("what is served is not the token that still works")
			}
			b.clock.pass(minute)
		}
		// Nor by another replica, which heard nothing of it, nor when asked to.
		s, err := b.other.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, 55*minute)
		must(t, err)
		if s.MinTTLMet {
			t.Error("refreshed after all")
		}
		_, err = b.other.Refresh(t.Context(), b.caller, c.ID)
		wantKind(t, err, fault.ProviderUnavailable)
		if calls, reuses := b.sandbox.TimeLog().RefreshCalls(), b.sandbox.TimeLog().Reuses(); calls != 1 || reuses != 0 {
			t.Errorf("%d calls, %d reuses", calls, reuses)
		}
	})
}

func TestLostOutcomeIsHealedByAGracefulProvider(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.sandbox.TimeLog().Set(func(s *sandbox.TimeLogSettings) { s.ReuseGrace = 10 * minute })
		c := b.linkTimeLog(t)
		b.clock.pass(2 * time.Hour)
		b.sandbox.TimeLog().Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Cut())
		_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		wantKind(t, err, fault.ProviderUnavailable)
		b.clock.pass(2 * minute)
		_, err = b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		must(t, err)
	})
}

func TestWrongClientSecretCondemnsNobody(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		wrong := vault.NewSecret("a-wrong-client-secret")
		_, err := b.vault.PatchIntegration(t.Context(), b.caller, "timelog", vault.IntegrationPatch{ClientSecret: &wrong, ClientSecretOverlap: new(time.Duration)})
		must(t, err)
		b.clock.pass(2 * time.Hour)
		_, err = b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		wantKind(t, err, fault.ProviderRejected)
		if got := b.connection(t, c.ID); got.Status != vault.StatusActive {
			t.Fatalf("condemned: %s", got.StatusReason)
		}
		right := vault.NewSecret(sandbox.DemoClientSecret)
		_, err = b.vault.PatchIntegration(t.Context(), b.caller, "timelog", vault.IntegrationPatch{ClientSecret: &right})
		must(t, err)
		b.clock.pass(2 * minute)
		_, err = b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		must(t, err)
	})
}

// An answer for another account is handed to nobody, and the token that was
// rotated by it is not lost: the provider can still be told.
func TestRefreshForAnotherAccount(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		timelog := b.sandbox.TimeLog()
		for i, c := range sandbox.Cases(sandbox.Refresh) {
			conn := b.linkTimeLog(t)
			b.clock.pass(2 * time.Hour)
			undo := timelog.Tamper(sandbox.Refresh, c.Tamper)
			_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, conn.ID, minute)
			undo()
			if c.Accept {
				if err != nil {
					t.Errorf("%s: %v", c.Name, err)
				}
				continue
			}
			if err == nil {
				t.Errorf("%s: was handed out", c.Name)
			}
			if _, err := b.vault.Revoke(t.Context(), b.caller, conn.ID); err != nil {
				t.Fatal(err)
			}
			if f := timelog.Families()[i]; !f.Revoked && f.Head != "" {
				t.Errorf("%s: the rotated token is lost: the provider could not be told to end it", c.Name)
			}
		}
	})
}

func TestCallerGoingAwayLosesNothing(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		b.clock.pass(2 * time.Hour)
		release := make(chan struct{})
		b.sandbox.TimeLog().Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Withhold(release))
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := b.Headers(ctx, vault.Bearer{Key: b.key}, c.ID, minute)
			gone <- err
		}()
		must(t, b.sandbox.TimeLog().WaitRefresh(t.Context(), 1))
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that went away got %v", err)
		}
		close(release)
		must(t, b.Close(t.Context()))
		if got := b.connection(t, c.ID); got.Generation < 2 {
			t.Error("the rotated token is lost")
		}
	})
}

func TestNothingBeginsAfterClose(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		b.clock.pass(2 * time.Hour)
		must(t, b.Close(t.Context()))
		_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		wantKind(t, err, fault.ProviderUnavailable)
		if n := b.sandbox.TimeLog().RefreshCalls(); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestMinTTLBeyondTheTokensLife(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		for range 5 {
			s, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, 24*time.Hour)
			must(t, err)
			if s.MinTTLMet {
				t.Error("an hour is not a day")
			}
		}
		if n := b.sandbox.TimeLog().RefreshCalls(); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

func TestRevokedIsServedToNobody(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		_, err := b.vault.Revoke(t.Context(), b.caller, c.ID)
		must(t, err)
		for _, e := range []replica{b.replica, b.other} {
			_, err := e.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
			wantKind(t, err, fault.Revoked)
			_, err = e.Refresh(t.Context(), b.caller, c.ID)
			wantKind(t, err, fault.Revoked)
			_, err = e.Rejected(t.Context(), b.caller, c.ID, 1)
			wantKind(t, err, fault.Revoked)
		}
	})
}

func TestRejected(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		b.sandbox.TimeLog().ExpireAccessTokens()
		now, err := b.Rejected(t.Context(), b.caller, c.ID, c.Generation)
		must(t, err)
		if now.Generation <= c.Generation {
			t.Error("was not refreshed")
		}
		again, err := b.Rejected(t.Context(), b.caller, c.ID, c.Generation)
		must(t, err)
		if again.Generation != now.Generation || b.sandbox.TimeLog().RefreshCalls() != 1 {
			t.Error("an old report changed something")
		}
		_, err = b.Rejected(t.Context(), b.caller, c.ID, now.Generation+1)
		wantKind(t, err, fault.Invalid)
		// What was refreshed a moment ago is not worn out by a caller in a loop,
		// on whichever replica.
		_, err = b.other.Rejected(t.Context(), b.caller, c.ID, now.Generation)
		wantKind(t, err, fault.RateLimited)
		b.clock.pass(minute)
		again, err = b.other.Rejected(t.Context(), b.caller, c.ID, now.Generation)
		must(t, err)
		if again.Generation <= now.Generation {
			t.Error("was not refreshed")
		}
	})
}

func TestRejectedToken(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkToggl(t, "api_token", vault.Credential{"api_token": vault.NewSecret(sandbox.TogglAdaToken)})
		now, err := b.Rejected(t.Context(), b.caller, c.ID, 1)
		must(t, err)
		if now.Status != vault.StatusActive {
			t.Errorf("condemned although Toggl honours it: %s", now.StatusReason)
		}
		// Whoever says it again is answered by what Toggl has just said.
		b.sandbox.Toggl().Faults().Next(sandbox.TogglMe, 1, sandbox.Status(502))
		_, err = b.Rejected(t.Context(), b.caller, c.ID, 1)
		must(t, err)
		b.clock.pass(minute)
		_, err = b.Rejected(t.Context(), b.caller, c.ID, 1)
		wantKind(t, err, fault.ProviderUnavailable)
		if _, err := b.sandbox.Toggl().Accounts().ResetToken(sandbox.AdaEmail); err != nil {
			t.Fatal(err)
		}
		_, err = b.Rejected(t.Context(), b.caller, c.ID, 1)
		wantKind(t, err, fault.ReconnectRequired)
		if got := b.connection(t, c.ID); got.StatusReason != vault.ReasonRejected {
			t.Errorf("reason %s", got.StatusReason)
		}
		_, err = b.Refresh(t.Context(), b.caller, c.ID)
		wantKind(t, err, fault.ReconnectRequired)
	})
}

func TestSessionCookieIsRenewedByItsPassword(t *testing.T) {
	form := vault.Credential{"email": vault.NewSecret(sandbox.AdaEmail), "password": vault.NewSecret(sandbox.TogglAdaPassword)}
	each(t, func(t *testing.T, b *bench) {
		short := b.linkToggl(t, "session", form)
		kept := vault.Credential{"keep_password": vault.NewSecret("true")}
		maps.Copy(kept, form)
		long := b.linkToggl(t, "session", kept)
		if short.ExpiresAt.IsZero() || short.Renewable || !long.Renewable {
			t.Fatalf("short %+v\nlong %+v", short, long)
		}
		b.clock.pass(short.ExpiresAt.Sub(b.clock.Now()) + minute)
		_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, short.ID, 0)
		wantKind(t, err, fault.ReconnectRequired)
		s, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, long.ID, minute)
		must(t, err)
		if !b.accepted(t, b.sandbox.Toggl().URL()+"/api/v9/me", s) {
			t.Error("Toggl does not take the renewed cookie")
		}
	})
}
