package e2e

import (
	"context"
	"flag"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

var (
	tortureFor  = flag.Duration("torture.for", 75*time.Second, "for how long TestTorture has things go wrong")
	tortureSeed = flag.Uint64("torture.seed", 3, "the seed of TestTorture's schedule; 0 is another one each time")
)

const (
	tortureLines = 600
	// accessLife is short, so that there are refreshes under way all the time.
	accessLife = 40 * time.Second
	// wellAgain is how long it may take until everything is as before: one
	// back-off, and the lease of whoever was killed last.
	wellAgain = 60*time.Second + tortureLease
	// clockAhead is how wrong the clock of the last of several brokers is.
	clockAhead = 90 * time.Second
)

// tortured is a world in which everything goes wrong that can.
type tortured struct {
	kind     string
	seed     uint64
	length   time.Duration
	plan     schedule
	members  []*member
	provider *sandbox.TimeLog
	nemesis  *nemesis
	readers  *readers
	api      backend // the first broker
	linked   atomic.Int64
}

// TestTorture has brokers killed and stopped, the database crash and the
// provider fail, while 600 connections with refresh tokens that work once are
// refreshed all the time at a provider that ends a connection on reuse. In the
// end the provider's books say what went wrong, and the journal of what was
// done says whether it had to.
//
//nolint:tparallel // Beside other tests it would judge how busy the machine is.
func TestTorture(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newTortured(t, kind)
			t.Logf("seed %d\n%s", w.seed, w.plan)
			tr := w.torture(t)
			w.tell(t, tr, tr.verdict())
		})
	}
}

// torture lets the nemesis loose, waits until all is well again, and gathers
// the evidence.
func (w *tortured) torture(t *testing.T) *trial {
	t.Helper()
	reading, enough := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.readers.run(reading)
	}()
	err := w.nemesis.carryOut(t.Context(), w.plan, w.length)
	if err != nil {
		t.Errorf("the nemesis: %v", err)
	}
	endings := w.recover(t.Context(), time.Now())
	enough()
	<-done
	for _, m := range w.members {
		for _, fault := range m.spontaneous() {
			t.Error(fault)
		}
	}
	w.compare(t, endings)
	tr := &trial{
		endings: endings, families: w.provider.Families(), refreshes: w.provider.Refreshes(),
		journal: w.nemesis.deeds(), wrong: w.readers.wrong,
	}
	for _, m := range w.members {
		tr.brokers = append(tr.brokers, m.url)
	}
	return tr
}
