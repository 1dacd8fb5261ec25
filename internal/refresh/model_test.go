package refresh_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// The lease protocol, explored: the engine itself on a real vault, twice, with a
// database and a provider in memory and the time of a bubble. Every call of the
// database, before it happens and before its answer is heard, and every stage of
// a call to the provider is a step. Before each of them a process is stopped for
// a while, or for good, with all that another can do meanwhile; leases, deadlines
// and back-offs run out in between or do not. At the end of each run a judge who
// has seen everything goes by the rules in model_rules_test.go.
//
// What runs differ in is the plan; the jitter of the engine is the only chance in
// it. A run that breaks a rule prints its plan and its story.

// modelPlan is one run: A asks for headers, and is stopped before one of its
// steps; B comes; then a fresh C finds out what is left.
type modelPlan struct {
	base  *modelBase
	first modelAnswer
	// a is where A is stopped, b where B is.
	a, b modelInterruption
	// gap is how long A stands before B comes.
	gap modelGap
	// trouble is what A suffers from the database.
	trouble modelTrouble
}

type modelInterruption struct {
	step int // 0 for none
	kill bool
}

// modelGap is what lies between A's stop and what comes next.
type modelGap string

const (
	// gapNone: B comes at once, and A goes on a moment later.
	gapNone modelGap = "no gap"
	// gapWait: B comes at once, and A goes on when B is done with it.
	gapWait modelGap = "B waits"
	// gapLease: A's lease ends, then B comes.
	gapLease modelGap = "lease ends"
	// gapAll: everything has ended, A's own deadlines among it.
	gapAll modelGap = "all ends"
)

func (p *modelPlan) String() string {
	return fmt.Sprintf("%s; provider %+v; A %+v, then %q; B %+v; trouble %+v", p.base.kind, p.first, p.a, p.gap, p.b, p.trouble)
}

// modelRun is what there is to know after a run.
type modelRun struct {
	reachedA, reachedB bool // whether they came as far as where they should be stopped
	stepsA, stepsB     []string
	calls              int
	windows            map[modelWindow]int
	revoked            bool
	status             vault.Status
	verdict            string
}

func (p *modelPlan) run(t *testing.T) (r modelRun) {
	t.Helper()
	dir := ""
	if p.trouble.at > 0 {
		dir = t.TempDir()
	}
	synctest.Test(t, func(t *testing.T) {
		w := newModelWorld(t, p.base, p.first, dir)
		r = p.play(w)
		if r.verdict != "" {
			t.Errorf("%s\n%s\n%s", p, r.verdict, w.story())
		}
		w.end()
		<-time.After(longEnough) // time stands still when this returns
	})
	return r
}

const (
	aMoment    = time.Second
	longEnough = 10 * time.Minute // for anything to end by itself
)

// wait waits for either, and not forever. It reports whether it came.
func wait(d time.Duration, a, b <-chan struct{}) bool {
	select {
	case <-a:
	case <-b:
	case <-time.After(d):
		return false
	}
	return true
}

func (p *modelPlan) play(w *modelWorld) (r modelRun) {
	a, b := w.boot("A"), w.boot("B")
	a.stopAt, b.stopAt = p.a.step, p.b.step
	a.trouble, b.insists = p.trouble, p.trouble.at > 0
	readA := a.read()
	wait(longEnough, readA.done, a.stood)
	if p.trouble.at > 0 { // it may have something left to be done in the background
		wait(2*aMoment, a.stood, nil)
	}
	r.reachedA = a.standing()
	held := r.reachedA && !p.a.kill
	if r.reachedA && p.a.kill {
		a.kill()
	}
	switch p.gap {
	case gapNone, gapWait:
	case gapLease:
		<-time.After(modelLease + 2*modelBeat)
	case gapAll:
		<-time.After(modelLease + modelDeadline)
	}
	if a.killed() && p.trouble.at > 0 { // and it may have left something in its spool
		w.boot("A")
		w.restarted = true
	}
	readB := b.read()
	if held && p.gap == gapNone {
		wait(aMoment, readB.done, b.stood)
		a.resume()
		held = false
		wait(aMoment, readA.done, nil)
	}
	wait(longEnough, readB.done, b.stood)
	r.reachedB = b.standing()
	if r.reachedB && p.b.kill {
		b.kill()
	}
	if held {
		a.resume()
	}
	if r.reachedB {
		wait(modelLease+2*modelBeat, readA.done, nil) // long enough for B's lease to end, if A has to wait for that
		if !p.b.kill {
			b.resume()
		}
	}
	if !a.killed() {
		wait(longEnough, readA.done, nil)
	}
	if !b.killed() {
		wait(longEnough, readB.done, nil)
	}
	p.settle(w)
	r.stepsA, r.stepsB = a.taken(), b.taken()
	w.sum(&r)
	return r
}

// settle lets a fresh process find out what the run has left: whether the
// connection comes back by itself, and whether what is stored is good for
// another refresh.
func (p *modelPlan) settle(w *modelWorld) {
	w.mu.Lock()
	faulty := max(time.Until(w.downUntil), 0)
	w.mu.Unlock()
	<-time.After(faulty + modelBeat) // what waits in a memory is saved by then
	w.provider.mend()
	c := w.boot("C")
	last := c.insist()
	if last.err != nil { // what waits for somebody's lease is saved after that
		<-time.After(modelHealed)
		last = c.insist()
	}
	if last.err == nil {
		for _, p := range w.processes {
			p.rest() // there is nothing left to be done but to wait
		}
		first := tokenNumber(last.token())
		t, _ := w.provider.book(first)
		for range 30 {
			<-time.After(max(time.Until(t.ends)-30*time.Second, 10*time.Second))
			if last = c.insist(); last.err != nil || tokenNumber(last.token()) != first {
				break
			}
		}
	}
	w.finish(last)
}

// insist reads until there are headers, or none to be had, or it takes too long
// for a connection that nothing ails any more.
func (p *modelProcess) insist() *modelReading {
	for began := time.Now(); ; {
		r := p.read()
		<-r.done
		after, again := r.retryAfter()
		if !again || time.Since(began) > modelHealed {
			return r
		}
		<-time.After(max(after, time.Second))
	}
}

// -model.all explores what takes minutes: every kind of provider in every test.
// Without it each test has the kinds that it says the most about.
var modelAll = flag.Bool("model.all", false, "explore the lease protocol with every kind of provider, which takes minutes")

func modelKinds(usual ...modelKind) []modelKind {
	if !*modelAll {
		return usual
	}
	var all []modelKind
	for _, reuse := range []modelReuse{reuseRevokes, reuseIsRefused, reuseHasGrace} {
		for _, live := range []bool{false, true} {
			for _, rescues := range []bool{false, true} {
				all = append(all, modelKind{reuse, live, rescues})
			}
		}
	}
	return all
}

func modelGaps(usual ...modelGap) []modelGap {
	if len(usual) > 0 && !*modelAll {
		return usual
	}
	return []modelGap{gapNone, gapWait, gapLease, gapAll}
}

// modelTally counts what runs came to.
type modelTally struct {
	runs, calls, revoked, lost int
	windows                    map[modelWindow]int
	began                      time.Time
}

func newModelTally() *modelTally {
	return &modelTally{windows: map[modelWindow]int{}, began: time.Now()}
}

func (c *modelTally) add(r modelRun) {
	c.runs++
	c.calls += r.calls
	for why, n := range r.windows {
		c.windows[why] += n
	}
	if r.revoked {
		c.revoked++
	}
	if r.status != vault.StatusActive {
		c.lost++
	}
}

func (c *modelTally) report(t *testing.T) {
	t.Helper()
	t.Logf("%d runs in %v: %d refreshes; spent tokens sent again, by why: %v; families revoked by that: %d; connections lost: %d",
		c.runs, time.Since(c.began).Round(time.Millisecond), c.calls, c.windows, c.revoked, c.lost)
	if c.runs < 500 && !t.Failed() {
		t.Errorf("%d runs are no exploration", c.runs)
	}
}

// interrupted runs a plan with A stopped before each of its steps, for a while
// and for good.
func interrupted(t *testing.T, plan modelPlan, gaps []modelGap, each func(modelPlan, modelRun)) {
	t.Helper()
	interruptedFrom(t, plan, 1, gaps, each)
}

func interruptedFrom(t *testing.T, plan modelPlan, first int, gaps []modelGap, each func(modelPlan, modelRun)) {
	t.Helper()
	for plan.a.step = first; ; plan.a.step++ {
		for _, plan.a.kill = range []bool{false, true} {
			for _, plan.gap = range gaps {
				r := plan.run(t)
				if !r.reachedA || t.Failed() {
					return
				}
				if plan.a.kill && strings.HasPrefix(r.stepsA[plan.a.step-1], answerOf) {
					break // the same as to be killed at the next
				}
				each(plan, r)
			}
		}
	}
}

// A is stopped or killed before each of its steps, and B comes.
func TestModelOneInterruption(t *testing.T) {
	t.Parallel()
	tally := newModelTally()
	for _, kind := range modelKinds(
		modelKind{reuse: reuseRevokes},
		modelKind{reuse: reuseRevokes, live: true},
		modelKind{reuse: reuseRevokes, live: true, rescues: true},
		modelKind{reuse: reuseIsRefused},
		modelKind{reuse: reuseIsRefused, rescues: true},
		modelKind{reuse: reuseHasGrace},
		modelKind{reuse: reuseHasGrace, live: true},
	) {
		interrupted(t, modelPlan{base: newModelBase(t, kind)}, modelGaps(), func(_ modelPlan, r modelRun) { tally.add(r) })
	}
	tally.report(t)
}

// The provider takes its time, fails, or says nothing.
func TestModelSlowOrFailingProvider(t *testing.T) {
	t.Parallel()
	tally := newModelTally()
	for _, kind := range modelKinds(modelKind{reuse: reuseRevokes, live: true}, modelKind{reuse: reuseIsRefused}) {
		base := newModelBase(t, kind)
		for _, first := range []modelAnswer{
			{before: 40 * time.Second},
			{after: 40 * time.Second},
			{before: 70 * time.Second},
			{after: 70 * time.Second},
			{how: fateCut},
			{how: fateCutEarly},
			{how: fateFailed},
			{how: fateFailedIn},
			{how: fateBroken},
		} {
			interrupted(t, modelPlan{base: base, first: first}, modelGaps(gapNone, gapLease), func(_ modelPlan, r modelRun) { tally.add(r) })
		}
	}
	tally.report(t)
}

// The database refuses, loses its answer, hangs, or goes away at each step of A;
// then A is stopped, or killed and started again, before each step after that.
func TestModelRefusingDatabase(t *testing.T) {
	t.Parallel()
	tally := newModelTally()
	for _, kind := range modelKinds(modelKind{reuse: reuseIsRefused}) {
		plan := modelPlan{base: newModelBase(t, kind), gap: gapWait}
		for at, step := range plan.run(t).stepsA {
			if strings.HasPrefix(step, answerOf) || slices.Contains([]string{"dial", "send", "receive"}, step) {
				continue // not a call of the database
			}
			for _, trouble := range []modelTroubleKind{refuseOnce, loseAnswer, hanging, shortDown, longDown, cutOff} {
				plan.trouble = modelTrouble{at + 1, trouble}
				for _, plan.gap = range []modelGap{gapWait, gapLease} {
					tally.add(plan.run(t))
				}
				interruptedFrom(t, plan, at+2, modelGaps(gapNone, gapLease), func(_ modelPlan, r modelRun) { tally.add(r) })
				plan.a = modelInterruption{}
			}
		}
	}
	tally.report(t)
}
