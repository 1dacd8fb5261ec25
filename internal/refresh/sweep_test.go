package refresh_test

import (
	"slices"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

// due makes connections due now, by the database's clock, which no test turns.
func (b *bench) due(t *testing.T, all ...vault.Connection) {
	t.Helper()
	s := b.db.Open(t)
	for _, c := range all {
		must(t, s.SetDue(t.Context(), c.ID, b.connection(t, c.ID).Generation, time.Now().Add(-time.Second)))
	}
}

// Replicas share what is due: each connection is refreshed once, and nobody has
// asked for any.
func TestRefreshAheadOfTime(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.clock.pass(-time.Hour) // what is due is due by the database's clock
		all := b.linkMany(t, 12)
		b.clock.pass(50 * minute)
		b.due(t, all...)
		b.replica.run(t)
		b.other.run(t)
		for _, c := range all {
			waitFor(t, "refreshed ahead of time", func() bool {
				now := b.connection(t, c.ID)
				return now.ExpiresAt.After(c.ExpiresAt) && now.DueAt.After(b.clock.Now().Add(40*minute))
			})
		}
		if calls, reuses := b.sandbox.TimeLog().RefreshCalls(), b.sandbox.TimeLog().Reuses(); calls != len(all) || reuses != 0 {
			t.Errorf("%d calls for %d connections, %d reuses", calls, len(all), reuses)
		}
	})
}

func TestWhatIsNotDueIsLeftAlone(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c, other := b.linkTimeLog(t), b.linkTimeLog(t)
		b.due(t, other)
		b.run(t)
		waitFor(t, "the one that is due", func() bool { return b.connection(t, other.ID).Generation > 1 })
		if now := b.connection(t, c.ID); now.Generation != 1 || now.DueAt.Sub(b.clock.Now()) < 45*minute {
			t.Errorf("generation %d, due %v", now.Generation, now.DueAt)
		}
	})
}

func TestMostUrgentFirst(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.clock.pass(-time.Hour)
		var all []vault.Connection
		for range 4 { // each expires later than the one before
			all = append(all, b.linkTimeLog(t))
			b.clock.pass(minute)
		}
		for _, c := range slices.Backward(all) {
			b.due(t, c)
		}
		slow := b.openWith(t, b.db.Open(t), refresh.Config{Rate: 2})
		slow.run(t)
		must(t, b.sandbox.TimeLog().WaitRefresh(t.Context(), len(all)))
		families := b.sandbox.TimeLog().Families() // in the order of the links
		for i, call := range b.sandbox.TimeLog().Refreshes() {
			if call.Family != families[i].ID {
				t.Errorf("number %d was not the %d. to expire", i+1, i+1)
			}
		}
	})
}

// What has piled up is worked off at the pace, and not at once: a restart after a
// long stop is no stampede.
func TestBacklogIsWorkedOffAtThePace(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		b.clock.pass(-time.Hour)
		all := b.linkMany(t, 21)
		b.clock.pass(50 * minute)
		b.due(t, all...)
		began := time.Now()
		b.openWith(t, b.db.Open(t), refresh.Config{Rate: 20}).run(t)
		must(t, b.sandbox.TimeLog().WaitRefresh(t.Context(), len(all)))
		if took := time.Since(began); took < time.Second { // 20 steps of a twentieth
			t.Errorf("%d at 20 a second took %v", len(all), took)
		}
		for _, c := range all {
			waitFor(t, "refreshed", func() bool { return b.connection(t, c.ID).Generation > 1 })
		}
		if n := b.sandbox.TimeLog().Reuses(); n != 0 {
			t.Errorf("%d reuses", n)
		}
	})
}

// A host that takes all its slots does not keep the others waiting.
func TestSlowHostHoldsUpNobodyElse(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		slow := b.linkMany(t, 6)
		toggl := b.linkToggl(t, "api_token", vault.Credential{"api_token": vault.NewSecret(sandbox.TogglAdaToken)})
		release := make(chan struct{})
		b.sandbox.TimeLog().Faults().Always(sandbox.TimeLogRefresh, sandbox.Withhold(release))
		defer close(release)
		b.due(t, append(slow, toggl)...)
		r := b.openWith(t, b.db.Open(t), refresh.Config{PerHost: 2})
		r.run(t)
		waitFor(t, "the other host's connection", func() bool {
			return b.connection(t, toggl.ID).DueAt.After(b.clock.Now().Add(time.Hour))
		})
		if n := b.sandbox.TimeLog().RefreshCalls(); n > 2 {
			t.Errorf("%d calls at a time", n)
		}
	})
}

// What has no end is asked about on a schedule.
func TestVerifiedOnASchedule(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkToggl(t, "api_token", vault.Credential{"api_token": vault.NewSecret(sandbox.TogglAdaToken)})
		if after := c.DueAt.Sub(b.clock.Now()); after < 18*time.Hour || after > 30*time.Hour {
			t.Errorf("a fresh link is verified after %v", after)
		}
		b.due(t, c)
		b.run(t)
		waitFor(t, "verified", func() bool { return b.connection(t, c.ID).DueAt.After(b.clock.Now().Add(18 * time.Hour)) })
		if now := b.connection(t, c.ID); now.Status != vault.StatusActive || now.Generation != 1 {
			t.Errorf("%+v", now)
		}

		b.sandbox.Toggl().Faults().Next(sandbox.TogglMe, 1, sandbox.Status(502))
		b.due(t, c)
		waitFor(t, "put off", func() bool {
			after := time.Until(b.connection(t, c.ID).DueAt)
			return b.sandbox.Toggl().Faults().Pending(sandbox.TogglMe) == 0 && after > 30*time.Second && after < 5*minute
		})

		if _, err := b.sandbox.Toggl().Accounts().ResetToken(sandbox.AdaEmail); err != nil {
			t.Fatal(err)
		}
		b.due(t, c)
		waitFor(t, "condemned", func() bool { return b.connection(t, c.ID).Status == vault.StatusReconnectRequired })
		if now := b.connection(t, c.ID); now.StatusReason != vault.ReasonRejected || !now.DueAt.IsZero() {
			t.Errorf("%+v", now)
		}
	})
}

// What cannot be renewed is condemned when it ends, not when somebody asks.
func TestExpiredOnTime(t *testing.T) {
	form := vault.Credential{"email": vault.NewSecret(sandbox.AdaEmail), "password": vault.NewSecret(sandbox.TogglAdaPassword)}
	each(t, func(t *testing.T, b *bench) {
		c := b.linkToggl(t, "session", form)
		if !c.DueAt.Equal(c.ExpiresAt) {
			t.Errorf("due %v, expires %v", c.DueAt, c.ExpiresAt)
		}
		b.clock.pass(c.ExpiresAt.Sub(b.clock.Now()) + minute)
		b.due(t, c)
		b.run(t)
		waitFor(t, "condemned", func() bool { return b.connection(t, c.ID).StatusReason == vault.ReasonExpired })
	})
}

// Failures in a row are counted, and put off the next look.
func TestFailuresAreCounted(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linkTimeLog(t)
		b.clock.pass(2 * time.Hour)
		b.sandbox.TimeLog().Faults().Next(sandbox.TimeLogRefresh, 3, sandbox.Status(400))
		for i := range 3 {
			_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
			if err == nil {
				t.Fatal("served")
			}
			now := b.connection(t, c.ID)
			if now.Failures != i+1 || now.DueAt.Before(b.clock.Now()) || now.DueAt.After(b.clock.Now().Add(minute)) {
				t.Errorf("after %d: %d failures, due after %v", i+1, now.Failures, now.DueAt.Sub(b.clock.Now()))
			}
			b.clock.pass(2 * minute)
		}
		_, err := b.Headers(t.Context(), vault.Bearer{Key: b.key}, c.ID, minute)
		must(t, err)
		if now := b.connection(t, c.ID); now.Failures != 0 {
			t.Errorf("%d failures after a success", now.Failures)
		}
	})
}
