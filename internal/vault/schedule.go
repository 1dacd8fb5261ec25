package vault

import (
	"math/rand/v2"
	"time"
)

// When a connection is looked at next, as parts of what is left to live. What
// was linked or restored together is spread out by the jitter, and does not
// come back together.
const (
	renewAt      = 0.8
	renewJitter  = 0.05
	verifyJitter = 0.25
)

// dueAt is when a connection with this grant is looked at next; zero is never.
//
// What can be renewed is due at 80 % of its life, five percent of it sooner or
// later, and never at a fixed margin: that would renew what lives shorter than
// the margin over and over. Where the refresh token ends first, its life counts.
// What cannot be renewed, any more or at all, is due when it ends. What has no
// end is due to be verified, where the grant says how often.
func dueAt(g *Grant, now time.Time) time.Time {
	if g.ExpiresAt.IsZero() {
		var due time.Time
		if g.VerifyEvery > 0 {
			due = now.Add(part(g.VerifyEvery, 1, verifyJitter))
		}
		if g.Renewable && g.RefreshExpiresAt.After(now) { // a refresh token that nobody uses ends
			if renew := now.Add(part(g.RefreshExpiresAt.Sub(now), renewAt, renewJitter)); due.IsZero() || renew.Before(due) {
				due = renew
			}
		}
		return due
	}
	life := g.ExpiresAt.Sub(now)
	switch {
	case !g.Renewable:
		return g.ExpiresAt
	case life <= 0:
		return now
	case g.RefreshExpiresAt.IsZero():
	case !g.RefreshExpiresAt.After(now):
		return g.ExpiresAt
	default:
		life = min(life, g.RefreshExpiresAt.Sub(now))
	}
	return now.Add(part(life, renewAt, renewJitter))
}

// part is a random time of mean·d, give or take jitter·d.
func part(d time.Duration, mean, jitter float64) time.Duration {
	return time.Duration(float64(d) * (mean + jitter*(2*rand.Float64()-1)))
}
