package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// What a lease is worth, as docs/refresh.md has it. They are written down here a
// second time on purpose.
const (
	modelLease    = 25 * time.Second
	modelBeat     = 5 * time.Second
	modelDeadline = 50 * time.Second
	// modelLost is how long a process has to be away to lose a lease that it
	// keeps by heartbeat.
	modelLost = modelLease - modelBeat
	// modelHealed is how soon after the last fault a connection has to work
	// again: a lease with the grace after it, and the longest back-off.
	modelHealed = modelLease + modelBeat + time.Minute
)

// modelClaim is a lease, in the judge's own books.
type modelClaim struct {
	by        *modelProcess
	epoch     int64
	from      time.Time
	until     time.Time
	noted     bool
	uncertain bool // found what the one before was about to send
	ended     modelEnding
	endedAt   time.Time
	// void: somebody came back after all and saved what the holder is about to
	// ask for. The holder finds out in its own time.
	void bool
}

type modelEnding string

const (
	leaseHeld     modelEnding = ""
	leaseReleased modelEnding = "released"
	leaseSaved    modelEnding = "saved"
)

func (c *modelClaim) end(how modelEnding) { c.ended, c.endedAt = how, time.Now() }

func (w *modelWorld) violate(rule, format string, args ...any) {
	v := rule + ": " + fmt.Sprintf(format, args...)
	w.note("judge", v)
	if !slices.Contains(w.violations, v) {
		w.violations = append(w.violations, v)
	}
}

// The rules, as they are called where one is broken.
const (
	ruleReuse     = "a spent token is sent again only where its outcome was lost"
	ruleLost      = "a token that a living process has received is never lost"
	ruleServed    = "what is served works"
	ruleCondemned = "nobody condemns what the provider honours"
	ruleHolders   = "one holder at a time"
	ruleNoted     = "what is sent was noted before, under a lease that lives"
	ruleOnce      = "a save applies once, and moves on"
	ruleHealed    = "what can be mended is mended soon"
)

// lapsed reports whether there is a reason that a claim ended by itself: the
// holder was killed, stopped or cut off. w.mu is held.
func (w *modelWorld) lapsed(c *modelClaim) bool {
	return c.by.away(c.from) >= modelLost || w.downUntil.After(c.from) && (w.downFor == nil || w.downFor == c.by) || c.by.hadTrouble(refuseOnce, loseAnswer, hanging)
}

func (p *modelProcess) hadTrouble(kinds ...modelTroubleKind) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trouble.at > 0 && len(p.steps) >= p.trouble.at && slices.Contains(kinds, p.trouble.kind)
}

func (w *modelWorld) claimed(p *modelProcess, l vault.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, c := range w.claims {
		switch {
		case c.ended != leaseHeld, c.void:
		case c.by == p:
			c.end(leaseReleased) // it has given up on it
		case c.until.After(now):
			w.violate(ruleHolders, "%s claims while the lease of %s lives", p.name, c.by.name)
		case !w.lapsed(c):
			w.violate(ruleHolders, "%s was running all the time and let its lease go", c.by.name)
		}
	}
	w.claims = append(w.claims, &modelClaim{by: p, epoch: l.Epoch, from: now, until: l.Until, uncertain: l.Spending != nil})
}

// claimOf is what a process claimed last. w.mu is held.
func (w *modelWorld) claimOf(p *modelProcess) *modelClaim {
	for _, c := range slices.Backward(w.claims) {
		if c.by == p {
			return c
		}
	}
	return nil
}

func (w *modelWorld) extended(p *modelProcess, l vault.Lease, noted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.claimOf(p); c != nil && c.epoch == l.Epoch {
		c.until = l.Until
		c.noted = c.noted || noted
	}
}

func (w *modelWorld) released(p *modelProcess, epoch int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.claimOf(p); c != nil && c.epoch == epoch {
		c.end(leaseReleased)
	}
}

// sent judges a refresh when it arrives.
func (w *modelWorld) sent(call *modelCall) {
	w.provider.mu.Lock()
	calls := slices.Clone(w.provider.calls)
	w.provider.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	call.claim = w.claimOf(call.by)
	w.note("provider", fmt.Sprintf("has r%d from %s", call.token, call.by.name))
	c := call.claim
	switch {
	case c == nil || !c.noted || c.ended != leaseHeld:
		w.violate(ruleNoted, "%s sends r%d", call.by.name, call.token)
	case !c.until.After(time.Now()) && !call.by.onTheWire():
		w.violate(ruleNoted, "%s sends r%d after its lease had ended", call.by.name, call.token)
	}
	for _, other := range calls {
		if c != nil && w.lapsed(c) {
			break // it was away, and does not know yet that it has lost the lease
		}
		if other.by != call.by && other.claim != nil && !other.over.Load() && other.claim.ended == leaseHeld && !other.claim.void && !w.lapsed(other.claim) {
			w.violate(ruleHolders, "%s sends while %s waits for its answer", call.by.name, other.by.name)
		}
	}
}

// reused judges a spent token that came again. Whoever of the two held the
// lease first has to have a reason for not having told the other.
func (w *modelWorld) reused(again, before *modelCall) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first, second := before, again
	if again.claim != nil && before.claim != nil && again.claim.from.Before(before.claim.from) {
		first, second = again, before
	}
	w.note("provider", fmt.Sprintf("r%d is spent and comes again, from %s", again.token, again.by.name))
	why := w.outcomeLost(first, second.claim)
	if why == "" {
		w.violate(ruleReuse, "r%d of %s, by %s", again.token, before.by.name, again.by.name)
	}
	w.windows[why]++
	if again.claim != nil && again.claim.uncertain && w.base.kind.reuse == reuseRevokes && again.token == 0 && time.Now().Before(w.base.ends) {
		w.violate(ruleServed, "%s sends r0 once more while a0, which that ends, still works", again.by.name)
	}
}

// modelWindow says why the outcome of a call could not be known to the next one.
type modelWindow string

const (
	windowKilled     modelWindow = "killed"
	windowStopped    modelWindow = "stopped for longer than its lease"
	windowUnanswered modelWindow = "left without an answer"
	// windowCutOff is where the token was received, and nothing could be heard of
	// it: the database was away for this process alone.
	windowCutOff modelWindow = "cut off for longer than its lease"
)

// outcomeLost says why what came of a call could not be known when next was
// claimed, "" where it could. w.mu is held.
func (w *modelWorld) outcomeLost(call *modelCall, next *modelClaim) modelWindow {
	c := call.claim
	if c == nil || c.ended == leaseSaved && (next == nil || next.from.After(c.endedAt)) {
		return ""
	}
	switch {
	case c.by.killed():
		return windowKilled
	case c.by.away(c.from) >= modelLost:
		return windowStopped
	case w.unanswered(call):
		return windowUnanswered
	case c.by.hadTrouble(cutOff):
		return windowCutOff
	}
	return ""
}

// unanswered reports whether the provider kept the outcome of a call to itself.
func (w *modelWorld) unanswered(call *modelCall) bool {
	return call.answer.how != fateAnswered || call.answer.before+call.answer.after >= modelDeadline
}

// saved judges a save when it has happened. d.mu is held.
func (w *modelWorld) saved(p *modelProcess, old, row *vault.ConnectionRow, ch vault.CredentialChange, version int) {
	before, after := w.base.refreshToken(w.t, old), w.base.refreshToken(w.t, row)
	w.provider.mu.Lock()
	if !ch.KeepLease && after >= 0 && after < len(w.provider.tokens) && w.provider.tokens[after].version == 0 {
		w.provider.tokens[after].version = version
	}
	w.provider.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("database", fmt.Sprintf("has r%d after r%d", after, before))
	if row.Generation != old.Generation+1 {
		w.violate(ruleOnce, "generation %d after %d", row.Generation, old.Generation)
	}
	if after < before || after == before && !w.blobs[string(old.Credential)] { // the same one only after its rescue
		w.violate(ruleOnce, "%s saves r%d over r%d", p.name, after, before)
	}
	if w.blobs[string(ch.Credential)] {
		w.violate(ruleOnce, "%s saves r%d again", p.name, after)
	}
	w.blobs[string(ch.Credential)] = true
	if ch.KeepLease {
		return
	}
	for _, c := range w.claims {
		switch {
		case c.ended != leaseHeld:
		case c.by == p:
			c.end(leaseSaved)
		default:
			c.void = true
		}
	}
}

// condemned judges the end of a connection when it has happened. d.mu is held.
func (w *modelWorld) condemned(p *modelProcess, row *vault.ConnectionRow) {
	token := w.base.refreshToken(w.t, row)
	honoured := w.provider.honours(token)
	newest, made := w.provider.newest()
	newestHonoured := w.provider.honours(newest)
	w.mu.Lock()
	defer w.mu.Unlock()
	if honoured {
		w.violate(ruleCondemned, "%s condemns r%d", p.name, token)
	}
	if newestHonoured && made.maker != nil && !made.maker.reused && w.outcomeLost(made.maker, w.claimOf(p)) == "" {
		w.violate(ruleCondemned, "%s condemns r%d, and %s has r%d", p.name, token, made.maker.by.name, newest)
	}
}

// checkReading judges an answer by what was true at a time.
func (w *modelWorld) checkReading(p *modelProcess, r *modelReading, at time.Time, version int) {
	w.note(p.name, "answers "+r.String())
	if r.err != nil {
		if _, ok := fault.As(r.err); !ok && !errors.Is(r.err, errModelRefused) && p.away(w.began) < aMoment {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.violate(ruleServed, "%s answers what is for nobody's eyes: %v", p.name, r.err)
		}
		return
	}
	n := tokenNumber(r.token())
	t, ok := w.provider.book(n)
	known := w.knownEnded(n, version)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !ok:
		w.violate(ruleServed, "%s serves %q, which nobody made", p.name, r.token())
	case !t.ends.After(at):
		w.violate(ruleServed, "%s serves a%d, which has expired", p.name, n)
	case !t.ended.IsZero() && known:
		w.violate(ruleServed, "%s serves a%d, which the provider has ended", p.name, n)
	}
}

// knownEnded reports whether a version of the row had something newer than an
// access token: then there was no reason to serve it any more.
func (w *modelWorld) knownEnded(n, version int) bool {
	newest, _ := w.provider.newest()
	for i := n + 1; i <= newest; i++ {
		if t, _ := w.provider.book(i); t.version != 0 && t.version <= version {
			return true
		}
	}
	return false
}

// finish judges the run as a whole, once a fresh process has found out what
// there is to be had. last is what it got in the end.
func (w *modelWorld) finish(last *modelReading) {
	w.db.mu.Lock()
	row := *w.db.row
	w.db.mu.Unlock()
	stored := w.base.refreshToken(w.t, &row)
	newest, made := w.provider.newest()
	honoured, revoked := w.provider.honours(newest), w.provider.isRevoked()
	w.mu.Lock()
	defer w.mu.Unlock()
	if row.Status == vault.StatusActive {
		if last.err != nil {
			w.violate(ruleHealed, "active, and yet: %v", last.err)
		} else if n := tokenNumber(last.token()); n != newest || stored != newest || !honoured {
			w.violate(ruleLost, "served is a%d, stored r%d, newest %d, honoured %t", n, stored, newest, honoured)
		}
		return
	}
	switch {
	case revoked: // each reuse has been judged
	case made.maker == nil:
		w.violate(ruleLost, "%s, %s, and nothing was ever spent", row.Status, row.StatusReason)
	case made.maker.reused: // and this one too: the provider gave a token in the place of one that was in use
	case w.base.kind.reuse == reuseHasGrace:
		w.violate(ruleLost, "%s, %s, at a provider with grace", row.Status, row.StatusReason)
	case !made.maker.received.Load() && (made.maker.by.away(made.maker.claim.from) >= modelLost || w.unanswered(made.maker)):
	case made.maker.received.Load() && made.maker.by.killed() && made.maker.claim.ended != leaseSaved && !(made.maker.by.left() && w.restarted): // it was in its memory and nowhere else
	default:
		w.violate(ruleLost, "%s, %s; r%d went to %s", row.Status, row.StatusReason, newest, made.maker.by.name)
	}
}

// refreshToken is the number of the refresh token in a row.
func (b *modelBase) refreshToken(t interface{ Errorf(string, ...any) }, row *vault.ConnectionRow) int {
	db := &modelDatabase{environment: b.filled.environment}
	look := *row
	look.Status = vault.StatusActive
	db.row = &look
	v := vault.New(vault.Config{Store: &modelLink{db: db}, Keyset: b.keyset})
	_, c, err := v.OpenCredential(context.Background(), b.caller, b.connection, true)
	if err != nil {
		t.Errorf("what was saved does not open: %v", err)
		return -1
	}
	return tokenNumber(c.Get(vault.ValueRefreshToken))
}

// sum says what the run came to.
func (w *modelWorld) sum(r *modelRun) {
	r.calls, r.revoked = w.provider.counted(), w.provider.isRevoked()
	w.db.mu.Lock()
	r.status = w.db.row.Status
	w.db.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	r.windows = maps.Clone(w.windows)
	r.verdict = strings.Join(w.violations, "\n")
}
