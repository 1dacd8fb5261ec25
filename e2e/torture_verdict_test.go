package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

// A refresh token that works once is lost with the answer that carried the next
// one. That is the window that no client can close, and these are all the ways
// into it:
//
//   - the provider's answer did not arrive: a fault of its own, after it had
//     spent the token;
//   - the process that waited for it was killed or stood still, from when the
//     call arrived until its answer was on disk;
//   - that process was away from the database for longer than a lease: it has the
//     answer, and nobody else can know.
//
// Whatever else costs a connection is the broker's mistake. That the database
// was away for less is no excuse.

// onItsWay is how long an answer may be on its way from the provider's network
// card to our disk, be it in the database or beside it, on a machine that does
// all this at once. The broker gives the database two seconds of it.
const onItsWay = 2500 * time.Millisecond

// trial is all that a verdict is made of.
type trial struct {
	endings   []ending
	families  []sandbox.Family
	refreshes []sandbox.RefreshCall
	journal   []deed
	brokers   []string // their URLs
	wrong     []wrongRead
}

// ending is what became of a line.
type ending struct {
	line   *line
	status string // of the connection
	reason string
	kept   bool          // the refresh token in the database is the one that the provider will take
	well   bool          // headers that were made after the faults have stopped, and work
	after  time.Duration // when that was
	last   error         // what came instead
}

// verdict is what a trial comes to.
type verdict struct {
	reuses   map[string]int // of spent tokens, by why
	hits     []string       // lines that were in the window
	findings []finding
	maxWell  time.Duration
}

// finding is something that must not be.
type finding struct {
	line *line
	what string
}

func (v *verdict) find(l *line, format string, args ...any) {
	v.findings = append(v.findings, finding{l, fmt.Sprintf(format, args...)})
}

const avoidable = "AVOIDABLE"

func (tr *trial) verdict() *verdict {
	v := &verdict{reuses: map[string]int{}}
	calls, families := map[string][]sandbox.RefreshCall{}, map[string]sandbox.Family{}
	for _, c := range tr.refreshes {
		calls[c.Family] = append(calls[c.Family], c)
	}
	for _, f := range tr.families {
		families[f.ID] = f
	}
	excused := map[string]bool{}
	for _, e := range tr.endings {
		f := families[e.line.family]
		excused[f.ID] = tr.judgeCalls(v, e.line, calls[f.ID])
		if f.Revoked && f.RevokedBy != "reuse" {
			v.find(e.line, "its family was revoked by %s", f.RevokedBy)
		}
		tr.judgeEnding(v, e, f)
	}
	tr.judgeReads(v, excused)
	return v
}

// judgeCalls looks at every refresh of one family and reports whether all
// reuses among them could not be avoided.
func (tr *trial) judgeCalls(v *verdict, l *line, calls []sandbox.RefreshCall) (excused bool) {
	excused = true
	for i, c := range calls {
		for _, before := range calls[:i] {
			if before.Token == c.Token && before.Ended.After(c.Arrived) && tr.absent(before) == "" {
				v.find(l, "token %d was sent while it was being refreshed already, by broker %d and then %d", c.Token, tr.broker(before), tr.broker(c))
			}
		}
		if !c.Reused {
			continue
		}
		why, spender := tr.excuse(c, calls)
		v.reuses[why]++
		if why == avoidable {
			excused = false
			v.find(l, "token %d was spent at %s by broker %d and came again %.3fs later from broker %d",
				c.Token, clockTime(spender.Spent), tr.broker(spender), c.Arrived.Sub(spender.Spent).Seconds(), tr.broker(c))
			continue
		}
		if absent := tr.absent(spender); absent != "" {
			why = absent
		}
		v.hits = append(v.hits, fmt.Sprintf("%s, token %d: %s", l.id, c.Token, why))
	}
	return excused
}

// excuse says why a reuse could not be avoided, and who had spent the token.
func (tr *trial) excuse(c sandbox.RefreshCall, calls []sandbox.RefreshCall) (why string, spender sandbox.RefreshCall) {
	for _, other := range calls {
		if other.Token != c.Token {
			continue
		}
		if !other.Spent.IsZero() {
			spender = other
		}
		if other.Reused && other.Arrived.Before(c.Arrived) && tr.lost(other) == "" {
			return avoidable, spender // somebody had been told already
		}
	}
	if spender.Arrived.After(c.Arrived) {
		// It came first and was served last: its process was given up on.
		return orAvoidable(tr.lost(c)), spender
	}
	return orAvoidable(tr.lost(spender)), spender
}

func orAvoidable(why string) string {
	if why == "" {
		return avoidable
	}
	return why
}

// lost says how the answer to a call was lost, "" where it was not.
func (tr *trial) lost(c sandbox.RefreshCall) string {
	switch {
	case !c.Delivered && slices.Contains([]string{status500After, hangAfter, cutHalfWay}, c.Fault):
		return c.Fault
	case c.Fault == status500After && c.Status >= http.StatusInternalServerError: // in place of a refusal, too
		return c.Fault
	case tr.absent(c) != "":
		what, _, _ := strings.Cut(tr.absent(c), ",")
		return what
	}
	return ""
}

// absent says what kept the process that made a call from saving the answer, ""
// where nothing did.
func (tr *trial) absent(c sandbox.RefreshCall) string {
	by := tr.broker(c)
	saved := c.Ended.Add(onItsWay)
	for _, d := range tr.journal {
		if d.broker != by || d.from.After(saved) {
			continue
		}
		switch {
		case d.what == killBroker && d.done.After(c.Arrived):
			return fmt.Sprintf("killed, %.3fs after its answer", d.from.Sub(c.Ended).Seconds())
		case d.what == stopBroker && d.to.After(c.Arrived):
			return fmt.Sprintf("stopped, %.3fs after its answer", d.from.Sub(c.Ended).Seconds())
		case d.what == partLong && d.to.After(c.Arrived):
			return fmt.Sprintf("parted, %.3fs after its answer", d.from.Sub(c.Ended).Seconds())
		}
	}
	return ""
}

// broker is the number of the one that made a call; each has a redirect URI of
// its own.
func (tr *trial) broker(c sandbox.RefreshCall) int {
	return 1 + slices.IndexFunc(tr.brokers, func(url string) bool { return strings.HasPrefix(c.RedirectURI, url+"/") })
}

// judgeEnding looks at what became of a line.
func (tr *trial) judgeEnding(v *verdict, e ending, f sandbox.Family) {
	switch {
	case e.status == "active" && !e.well:
		v.find(e.line, "it did not become well again: %v", e.last)
	case e.status == "active" && !e.kept:
		v.find(e.line, "the refresh token in the database is not the one that the provider will take")
	case e.status == "active":
		v.maxWell = max(v.maxWell, e.after)
	case !f.Revoked:
		v.find(e.line, "it is %s (%s), and the provider honours it", e.status, e.reason)
	case e.reason != "refresh_outcome_lost":
		v.find(e.line, "it is %s, with the reason %q", e.status, e.reason)
	}
}

func (tr *trial) judgeReads(v *verdict, excused map[string]bool) {
	for _, w := range tr.wrong {
		switch {
		case w.family && excused[w.line.family]:
		case w.late && tr.stoodStill(w.broker, w.asked, w.answered):
		case w.stale && tr.databaseTrouble(w.since, w.asked):
			// A token that waits in a spool for its database was handed out by
			// the one who has it; the others cannot know.
		default:
			v.find(w.line, "at %s broker %d served %s", clockTime(w.asked), w.broker, w.what)
		}
	}
}

func (tr *trial) stoodStill(broker int, from, to time.Time) bool {
	return slices.ContainsFunc(tr.journal, func(d deed) bool {
		return d.what == stopBroker && d.broker == broker && d.from.Before(to) && d.to.After(from)
	})
}

func (tr *trial) databaseTrouble(from, to time.Time) bool {
	return slices.ContainsFunc(tr.journal, func(d deed) bool {
		return d.what != killBroker && d.what != stopBroker && d.from.Before(to) && d.to.Add(tortureLease).After(from)
	})
}

func clockTime(at time.Time) string { return at.UTC().Format("15:04:05.000") }
