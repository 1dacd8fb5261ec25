package e2e

import (
	stdcmp "cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What the nemesis does. Faults of the provider come with the name under which
// they stand in its books.
const (
	killBroker = "kill broker"
	stopBroker = "stop broker"

	crashPostgres     = "crash PostgreSQL"
	cutDatabase       = "cut off from the database" // at once, and then it may connect again
	partDatabase      = "part from the database"    // no packet either way, for less than a lease
	partLong          = "part for long from the database"
	terminateBackends = "terminate backends"
	lockDatabase      = "lock the database" // SQLite's whole file, for writing

	status500Before = "500 before the work"
	status500After  = "500 after the work"
	status429       = "429"
	hangBefore      = "hang before the work"
	hangAfter       = "hang after the work"
	cutBefore       = "cut before the work"
	cutHalfWay      = "cut in the middle of the answer"
	slowBefore      = "slow before the work"
	slowAfter       = "slow after the work"
	notJSON         = "not JSON"
)

// What the schedule has to know about the broker.
const (
	tortureLease    = 30 * time.Second // of a refresh
	tortureDeadline = 50 * time.Second // of the call to the provider
)

// action is one thing that the nemesis does.
type action struct {
	at     time.Duration // after the start
	what   string
	broker int           // from 1; 0 where it is about none
	calls  int           // how many refreshes a fault of the provider strikes
	lasts  time.Duration // 0 where it has no length
}

func (a action) String() string {
	s := fmt.Sprintf("%8.3fs  %s", a.at.Seconds(), a.what)
	if a.broker > 0 {
		s += fmt.Sprintf(" %d", a.broker)
	}
	if a.calls > 0 {
		s += fmt.Sprintf(", %d calls", a.calls)
	}
	if a.lasts > 0 {
		s += fmt.Sprintf(", for %.1fs", a.lasts.Seconds())
	}
	return s
}

// schedule is what happens when, in order.
type schedule []action

func (s schedule) String() string {
	lines := make([]string, len(s))
	for i, a := range s {
		lines[i] = a.String()
	}
	return strings.Join(lines, "\n")
}

// newSchedule makes the schedule that follows from a seed. It has every fault
// that suits the database, if the length allows.
func newSchedule(seed uint64, kind string, length time.Duration) schedule {
	p := &planner{Rand: rand.New(rand.NewPCG(seed, 0)), length: length, brokers: brokersOn(kind)}
	p.provider()
	p.processes()
	if kind == "postgres" {
		p.database(crashPostgres, cutDatabase, partDatabase, terminateBackends)
	} else {
		p.database(lockDatabase)
	}
	p.plan = slices.DeleteFunc(p.plan, func(a action) bool { return a.at >= length })
	slices.SortStableFunc(p.plan, func(a, b action) int { return stdcmp.Compare(a.at, b.at) })
	return p.plan
}

func brokersOn(kind string) int {
	if kind == "postgres" {
		return 3
	}
	return 1
}

type planner struct {
	*rand.Rand

	length  time.Duration
	brokers int
	plan    schedule
}

func (p *planner) add(a action) { p.plan = append(p.plan, a) }

// between is a random time from one to the other.
func (p *planner) between(from, to time.Duration) time.Duration {
	return from + time.Duration(p.Int64N(int64(to-from)/int64(time.Millisecond)))*time.Millisecond
}

func (p *planner) anyBroker() int { return 1 + p.IntN(p.brokers) }

// provider has the next few refreshes go wrong, every second or two. What costs
// connections strikes few, so that there are some left to be tried.
func (p *planner) provider() {
	deck := &deck{p: p, cards: []action{
		{what: status500Before, calls: 8},
		{what: status500After, calls: 2},
		{what: status429, calls: 4},
		{what: hangBefore, calls: 3},
		{what: hangAfter, calls: 2},
		{what: cutBefore, calls: 6},
		{what: cutHalfWay, calls: 2},
		{what: slowBefore, calls: 8},
		{what: slowAfter, calls: 8},
		{what: notJSON, calls: 4},
	}}
	for at := time.Second; at < p.length; at += p.between(time.Second, 2500*time.Millisecond) {
		a := deck.draw()
		a.at = at
		a.calls = 1 + p.IntN(a.calls)
		switch a.what {
		case slowBefore, slowAfter: // longer than a lease that nobody prolongs
			a.lasts = p.between(tortureLease+2*time.Second, tortureDeadline-10*time.Second)
		case status429: // asks for that much patience
			a.lasts = time.Duration(1+p.IntN(4)) * time.Second
		}
		p.add(a)
	}
}

// processes kills one broker after the other. About every minute one stands
// still for longer than a lease, and another one is away from the database for as
// long. Nobody is killed who stands still.
func (p *planner) processes() {
	var stops []action
	for at := p.between(3*time.Second, 15*time.Second); at < p.length; at += p.between(60*time.Second, 90*time.Second) {
		stops = append(stops, action{
			at: at, what: stopBroker, broker: p.anyBroker(),
			lasts: p.between(tortureLease+4*time.Second, tortureLease+8*time.Second),
		})
	}
	p.plan = append(p.plan, stops...)
	for _, stop := range stops {
		if p.brokers > 1 { // meanwhile, so that one is left
			p.add(action{
				at: stop.at + p.between(5*time.Second, 25*time.Second), what: partLong,
				broker: 1 + (stop.broker-1+1+p.IntN(p.brokers-1))%p.brokers,
				lasts:  p.between(tortureLease+4*time.Second, tortureLease+8*time.Second),
			})
		}
	}
	pause := 9 * time.Second / time.Duration(p.brokers)
	for at := p.between(2*time.Second, 6*time.Second); at < p.length; at += p.between(pause, 2*pause) {
		kill := action{at: at, what: killBroker, broker: p.anyBroker(), lasts: p.between(200*time.Millisecond, 3*time.Second)}
		if !slices.ContainsFunc(stops, func(stop action) bool {
			return stop.broker == kill.broker && kill.at > stop.at-5*time.Second && kill.at < stop.at+stop.lasts+time.Second
		}) {
			p.add(kill)
		}
	}
}

// database has the database fail, for less time than a lease lasts: that is no
// excuse for anything.
func (p *planner) database(faults ...string) {
	var cards []action
	for _, what := range faults {
		cards = append(cards, action{what: what})
	}
	deck := &deck{p: p, cards: cards}
	for at := p.between(5*time.Second, 10*time.Second); at < p.length; at += p.between(9*time.Second, 15*time.Second) {
		a := deck.draw()
		a.at = at
		switch a.what {
		case crashPostgres:
			a.lasts = p.between(500*time.Millisecond, 5*time.Second)
		case cutDatabase:
			a.broker = p.anyBroker()
		case partDatabase:
			a.broker = p.anyBroker()
			a.lasts = p.between(3*time.Second, 9*time.Second)
		case lockDatabase:
			a.lasts = p.between(2*time.Second, 9*time.Second)
		}
		p.add(a)
	}
}

// deck draws each card once before any comes again.
type deck struct {
	p     *planner
	cards []action
	left  []int
}

func (d *deck) draw() action {
	if len(d.left) == 0 {
		d.left = d.p.Perm(len(d.cards))
	}
	card := d.cards[d.left[0]]
	d.left = d.left[1:]
	return card
}

func TestSameSeedSameSchedule(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			const length = 10 * time.Minute
			one, again := newSchedule(7, kind, length), newSchedule(7, kind, length)
			if one.String() != again.String() {
				t.Errorf("one seed, two schedules:\n%s\n\n%s", one, again)
			}
			if newSchedule(8, kind, length).String() == one.String() {
				t.Error("two seeds, one schedule")
			}
			want := map[string]bool{killBroker: true, stopBroker: true, status500Before: true, status500After: true, status429: true, hangBefore: true, hangAfter: true, cutBefore: true, cutHalfWay: true, slowBefore: true, slowAfter: true, notJSON: true}
			if kind == "postgres" {
				want[crashPostgres], want[cutDatabase], want[partDatabase], want[terminateBackends] = true, true, true, true
				want[partLong] = true
			} else {
				want[lockDatabase] = true
			}
			got := map[string]bool{}
			for i, a := range one {
				got[a.what] = true
				if a.at >= length || i > 0 && a.at < one[i-1].at || a.broker > brokersOn(kind) {
					t.Errorf("out of order: %v", a)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}
