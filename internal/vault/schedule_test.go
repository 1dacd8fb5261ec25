package vault

import (
	"testing"
	"time"
)

func TestDueAt(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		expires, refreshExpires time.Duration // from now; 0 is not said
		renewable               bool
		verify                  time.Duration
		earliest, latest        time.Duration // from now; -1 is never
	}{
		"an hour":                         {time.Hour, 0, true, 0, 45 * time.Minute, 51 * time.Minute},
		"a minute":                        {time.Minute, 0, true, 0, 45 * time.Second, 51 * time.Second},
		"a second":                        {time.Second, 0, true, 0, 750 * time.Millisecond, 850 * time.Millisecond},
		"a nanosecond":                    {1, 0, true, 0, 0, 1},
		"ten years":                       {3650 * day, 0, true, 0, 2737*day + 11*time.Hour, 3103 * day},
		"over":                            {-time.Hour, 0, true, 0, 0, 0},
		"not verified besides":            {time.Hour, 0, true, time.Minute, 45 * time.Minute, 51 * time.Minute},
		"the refresh token ends later":    {time.Hour, 30 * day, true, 0, 45 * time.Minute, 51 * time.Minute},
		"a little later":                  {time.Hour, 66 * time.Minute, true, 0, 45 * time.Minute, 51 * time.Minute},
		"the refresh token ends first":    {8 * time.Hour, time.Hour, true, 0, 45 * time.Minute, 51 * time.Minute},
		"the refresh token has ended":     {time.Hour, -time.Minute, true, 0, time.Hour, time.Hour},
		"it ends now":                     {time.Hour, 1, true, 0, 0, 1},
		"both have":                       {-time.Hour, -time.Minute, true, 0, 0, 0},
		"an end, and nothing to renew":    {time.Hour, 0, false, 0, time.Hour, time.Hour},
		"a refresh token of no use":       {time.Hour, time.Minute, false, 0, time.Hour, time.Hour},
		"ended, and nothing to renew":     {-time.Hour, 0, false, 0, -time.Hour, -time.Hour},
		"no end":                          {0, 0, false, day, 18 * time.Hour, 30 * time.Hour},
		"no end, verified by the hour":    {0, 0, false, time.Hour, 45 * time.Minute, 75 * time.Minute},
		"no end, but renewable":           {0, 0, true, day, 18 * time.Hour, 30 * time.Hour},
		"no end but the refresh token's":  {0, time.Hour, true, day, 45 * time.Minute, 51 * time.Minute},
		"no end, never verified":          {0, 0, false, 0, -1, -1},
		"no end, refreshed, not verified": {0, time.Hour, true, 0, 45 * time.Minute, 51 * time.Minute},
		"no end, the refresh token over":  {0, -time.Hour, true, 0, -1, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &Grant{Renewable: tt.renewable, VerifyEvery: tt.verify}
			if tt.expires != 0 {
				g.ExpiresAt = now.Add(tt.expires)
			}
			if tt.refreshExpires != 0 {
				g.RefreshExpiresAt = now.Add(tt.refreshExpires)
			}
			first, last := dueAt(g, now), dueAt(g, now)
			for range 2000 {
				due := dueAt(g, now)
				if tt.earliest == -1 {
					if !due.IsZero() {
						t.Fatalf("due after %v, want never", due.Sub(now))
					}
					continue
				}
				if after := due.Sub(now); due.IsZero() || after < tt.earliest || after > tt.latest {
					t.Fatalf("due after %v, want from %v to %v", after, tt.earliest, tt.latest)
				}
				if due.Before(first) {
					first = due
				}
				if due.After(last) {
					last = due
				}
			}
			// 2,000 draws leave a tenth of the range empty at either end about
			// once in 10^90 runs.
			if width := tt.latest - tt.earliest; width > time.Millisecond && last.Sub(first) < width*8/10 {
				t.Errorf("due from %v to %v: not spread over %v to %v", first.Sub(now), last.Sub(now), tt.earliest, tt.latest)
			}
		})
	}
}
