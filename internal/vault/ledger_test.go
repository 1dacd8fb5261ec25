package vault

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadLedger(t *testing.T) {
	t.Parallel()
	l := newReadLedger()
	caller := Caller{ID: "key_1", EnvironmentID: "env_1"}
	at := time.Date(2026, 3, 4, 12, 0, 10, 0, time.UTC)
	add := func(id string, after time.Duration) {
		l.add(caller, id, ActionHeadersRead, at.Add(after), false)
	}
	count := func(id string, n int64, last time.Duration) ReadCount {
		return ReadCount{
			EnvironmentID: "env_1", ActorID: "key_1", ConnectionID: id, Action: ActionHeadersRead,
			Minute: at.Add(last).Truncate(time.Minute), LastAt: at.Add(last), Count: n,
		}
	}
	took := func(what string, rounds int, want ...ReadCount) []ReadCount {
		t.Helper()
		got := l.take(rounds)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		return got
	}
	add("a", 0)
	took("too young", 2)
	add("a", time.Second)
	add("b", time.Second)
	failed := took("the oldest", 2, count("a", 2, time.Second))
	l.putBack(failed)
	add("a", 2*time.Second)
	add("a", time.Minute)
	took("what came back is first, and counts on", 2, count("a", 3, 2*time.Second), count("b", 1, time.Second))
	took("all", 0, count("a", 1, time.Minute))
	took("nothing", 0)
}
