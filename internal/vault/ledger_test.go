package vault

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ledgerBench is a ledger with a caller, at a fixed time.
type ledgerBench struct {
	*readLedger
	t  *testing.T
	at time.Time
}

func newLedgerBench(t *testing.T) *ledgerBench {
	t.Helper()
	return &ledgerBench{newReadLedger(), t, time.Date(2026, 3, 4, 12, 0, 10, 0, time.UTC)}
}

func (l *ledgerBench) read(connection string, after time.Duration) {
	l.add(Caller{ID: "key_1", EnvironmentID: "env_1"}, connection, ActionHeadersRead, l.at.Add(after), false)
}

func (l *ledgerBench) count(connection string, n int64, last time.Duration) ReadCount {
	return ReadCount{
		EnvironmentID: "env_1", ActorID: "key_1", ConnectionID: connection, Action: ActionHeadersRead,
		LastAt: l.at.Add(last), Count: n,
	}
}

func (l *ledgerBench) noted(connection string, n int64, last time.Duration) ReadCount {
	c := l.count(connection, n, last)
	c.Written = true
	return c
}

// soon is what there is to write so long after the start, once first reads have
// waited.
func (l *ledgerBench) soon(after time.Duration) (got []ReadCount) {
	for range flushRounds {
		got = append(got, l.take(l.at.Add(after))...)
	}
	return got
}

func (l *ledgerBench) want(what string, got []ReadCount, want ...ReadCount) {
	l.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		l.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Two entries a minute: that a connection was read, soon, and how often, once
// the minute is over.
func TestReadLedger(t *testing.T) {
	t.Parallel()
	l := newLedgerBench(t)
	l.read("a", 0)
	l.read("a", time.Second)
	l.want("too young", l.take(l.at.Add(time.Second)))
	l.want("the first", l.soon(time.Second), l.count("a", 2, time.Second))
	l.read("a", 2*time.Second)
	l.read("a", 3*time.Second)
	l.read("b", 3*time.Second)
	l.want("what follows waits, another connection does not", l.soon(4*time.Second), l.count("b", 1, 3*time.Second))
	l.read("a", 33*time.Second)
	l.want("the time of use is noted meanwhile", l.take(l.at.Add(33*time.Second)), l.noted("a", 3, 33*time.Second))
	l.read("a", 49*time.Second)
	l.want("still the same minute", l.take(l.at.Add(49*time.Second)))
	l.read("a", 50*time.Second)
	l.want("the minute is over, and another has begun", l.take(l.at.Add(50*time.Second)), l.count("a", 4, 49*time.Second))
	l.want("its first", l.soon(51*time.Second), l.count("a", 1, 50*time.Second))
	l.read("a", 52*time.Second)
	l.want("all", l.takeAny(), l.count("a", 1, 52*time.Second))
	l.want("nothing", l.takeAny())
}

// What the database would not take is tried again soon, together with what
// waited because of it.
func TestReadLedgerTakesBack(t *testing.T) {
	t.Parallel()
	l := newLedgerBench(t)
	l.read("a", 0)
	l.read("c", 0)
	l.want("before", l.soon(0), l.count("a", 1, 0), l.count("c", 1, 0))
	l.read("a", time.Second)
	l.read("b", time.Second)
	l.read("b", 2*time.Second)
	failed := []ReadCount{l.count("a", 1, 0), l.count("d", 5, 0)}
	l.putBack(failed)
	l.read("c", 2*time.Second)
	l.want("again", l.soon(3*time.Second), l.count("d", 5, 0), l.count("a", 2, time.Second), l.count("b", 2, 2*time.Second))
}

// Uses of a key without a connection, and reads that are in the trail already,
// make no entry and do not wait for the end of the minute.
func TestReadLedgerNotesUses(t *testing.T) {
	t.Parallel()
	l := newLedgerBench(t)
	caller := Caller{ID: "key_1", EnvironmentID: "env_1"}
	for i := range 2 {
		at := time.Duration(i) * time.Second
		l.add(caller, "", "", l.at.Add(at), false)
		l.add(caller, "a", ActionHeadersRead, l.at.Add(at), true)
		got := l.soon(at)
		if len(got) != 2 || got[0].ConnectionID != "" || !got[1].Written {
			t.Errorf("round %d: %v", i, got)
		}
	}
}

// However many connections are read, the ledger knows of so many only; and what
// falls due at once is written a part at a time.
func TestReadLedgerIsBounded(t *testing.T) {
	t.Parallel()
	l := newLedgerBench(t)
	l.limit = restsAtOnce + 10
	n := l.limit + 5
	for range 2 {
		for i := range n {
			l.read(fmt.Sprint("con_", i), 0)
		}
		if got := len(l.soon(0)); got != n && got != n-l.limit {
			t.Errorf("%d written soon", got)
		}
	}
	var taken []int
	for range 3 {
		taken = append(taken, len(l.take(l.at.Add(time.Minute))))
	}
	if diff := cmp.Diff([]int{restsAtOnce, 10, 0}, taken); diff != "" {
		t.Errorf("after the minute (-want +got):\n%s", diff)
	}
}

// What has piled up while the database was away is written a part at a time, the
// oldest first: one transaction with all of it would keep everybody waiting.
func TestReadLedgerAfterAnOutage(t *testing.T) {
	t.Parallel()
	l := newLedgerBench(t)
	var failed []ReadCount
	for i := range 2*soonAtOnce + 1 {
		failed = append(failed, l.count(fmt.Sprint("c", i), 1, 0))
	}
	l.putBack(failed)
	l.soon(0)
	l.putBack(failed[:soonAtOnce])
	var got []int
	for _, take := range []func() []ReadCount{
		func() []ReadCount { return l.take(l.at) }, l.takeAny, l.takeAny, l.takeAny,
	} {
		got = append(got, len(take()))
	}
	if diff := cmp.Diff([]int{soonAtOnce, soonAtOnce, 1, 0}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
