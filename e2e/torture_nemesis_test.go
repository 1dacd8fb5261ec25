package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"modernc.org/sqlite"

	"github.com/claviger/claviger/internal/sandbox"
)

// nemesis carries a schedule out, and keeps a journal of what it really did
// when. All that lasts is over when it is done.
type nemesis struct {
	members  []*member
	provider *sandbox.TimeLog
	cluster  *cluster // nil on SQLite
	database string   // the URL of it, past all wires; on SQLite the file

	pending sync.WaitGroup // what lasts

	mu      sync.Mutex
	journal []deed
	errs    []error
}

// deed is something that was done to a broker or the database. Faults of the
// provider are in the provider's books.
type deed struct {
	what   string
	broker int // 0: all
	from   time.Time
	done   time.Time // of a kill: when the process was dead
	to     time.Time // when all was as before; of a kill: when the next process was ready
}

func (d deed) String() string {
	s := d.what
	if d.broker > 0 {
		s += fmt.Sprintf(" %d", d.broker)
	}
	return fmt.Sprintf("%s for %.1fs", s, d.to.Sub(d.from).Seconds())
}

// carryOut does what the schedule says, from now on, for as long as it is. Then
// the provider behaves, every broker runs and the database is up.
func (n *nemesis) carryOut(ctx context.Context, plan schedule, length time.Duration) error {
	lasting, stop := context.WithCancel(ctx)
	defer stop()
	begun := time.Now()
	for _, a := range plan {
		if !until(ctx, begun.Add(a.at)) {
			break
		}
		n.do(lasting, a)
	}
	until(ctx, begun.Add(length))
	n.provider.Faults().Clear(sandbox.Any)
	stop() // ends what still lasts
	n.pending.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return errors.Join(n.errs...)
}

// until waits for a time and reports whether ctx is still wanted then.
func until(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (n *nemesis) do(ctx context.Context, a action) {
	if a.calls > 0 {
		n.provider.Faults().Next(sandbox.TimeLogRefresh, a.calls, sandbox.Named(a.what, providerFault(ctx, a)))
		return
	}
	var m *member
	if a.broker > 0 {
		m = n.members[a.broker-1]
	}
	switch a.what {
	case killBroker:
		n.kill(ctx, m, a)
	case stopBroker:
		n.last(ctx, a, func() error { return m.signal(syscall.SIGSTOP) }, func() error { return m.signal(syscall.SIGCONT) })
	case partDatabase, partLong:
		n.last(ctx, a, sure(m.wire.part), sure(m.wire.heal))
	case cutDatabase:
		n.last(ctx, a, sure(m.wire.cut), nothing)
	case crashPostgres:
		n.last(ctx, a, n.cluster.crash, n.cluster.start)
	case terminateBackends:
		n.last(ctx, a, func() error { return n.terminateBackends(ctx) }, nothing)
	case lockDatabase:
		var unlock func() error
		n.last(ctx, a, func() (err error) { unlock, err = n.lock(ctx); return err }, func() error { return unlock() })
	default:
		n.fail(fmt.Errorf("nobody knows how to %s", a.what))
	}
}

func nothing() error { return nil }

// sure is something that cannot fail.
func sure(do func()) func() error {
	return func() error {
		do()
		return nil
	}
}

// last does something, and undoes it when its time is over.
func (n *nemesis) last(ctx context.Context, a action, do, undo func() error) {
	d := deed{what: a.what, broker: a.broker, from: time.Now()}
	at := n.note(d)
	if err := do(); err != nil {
		n.over(at, fmt.Errorf("%s: %w", a.what, err))
		return
	}
	n.pending.Go(func() {
		until(ctx, d.from.Add(a.lasts))
		n.over(at, undo())
	})
}

// kill kills a broker, unless it is not yet back from the last time.
func (n *nemesis) kill(ctx context.Context, m *member, a action) {
	d := deed{what: a.what, broker: a.broker, from: time.Now()}
	if !m.kill() {
		return
	}
	d.done = time.Now()
	at := n.note(d)
	n.pending.Go(func() {
		until(ctx, d.from.Add(a.lasts))
		n.over(at, m.run(context.WithoutCancel(ctx)))
	})
}

// note puts a deed into the journal, open, and answers its place.
func (n *nemesis) note(d deed) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.journal = append(n.journal, d)
	return len(n.journal) - 1
}

// over closes a deed.
func (n *nemesis) over(at int, err error) {
	n.fail(err)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.journal[at].to = time.Now()
}

func (n *nemesis) fail(err error) {
	if err == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.errs = append(n.errs, err)
}

func (n *nemesis) deeds() []deed {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.journal)
}

// providerFault is what a fault of the schedule is at the sandbox. One that
// lasts, or hangs, ends when ctx does.
func providerFault(ctx context.Context, a action) sandbox.Fault {
	switch a.what {
	case status500Before:
		return sandbox.Status(http.StatusInternalServerError)
	case status500After:
		return sandbox.Done(sandbox.Status(http.StatusInternalServerError))
	case status429:
		return sandbox.TooManyRequests(a.lasts)
	case hangBefore:
		return sandbox.Hang(ctx.Done())
	case hangAfter:
		return sandbox.Withhold(ctx.Done())
	case cutBefore:
		return sandbox.Drop()
	case cutHalfWay:
		return sandbox.Cut()
	case notJSON:
		return sandbox.NotJSON()
	}
	slow := sandbox.Hang
	if a.what == slowAfter {
		slow = sandbox.Withhold
	}
	return func(next http.Handler) http.Handler { // made anew for each call
		late, cancel := context.WithTimeout(ctx, a.lasts)
		context.AfterFunc(late, cancel)
		return slow(late.Done())(next)
	}
}

// terminateBackends has PostgreSQL end every session of the brokers.
func (n *nemesis) terminateBackends(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, n.database)
	if err != nil {
		return nil // it is down just now: they are ended
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	return err
}

// sqliteBusy is SQLITE_BUSY, https://www.sqlite.org/rescode.html
const sqliteBusy = 5

// lock takes SQLite's one write lock.
func (n *nemesis) lock(ctx context.Context) (unlock func() error, err error) {
	ctx = context.WithoutCancel(ctx)
	db, err := sql.Open("sqlite", "file:"+n.database+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err == nil {
		_, err = conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	}
	var busy *sqlite.Error
	if errors.As(err, &busy) && busy.Code()&0xff == sqliteBusy { // by a broker that stands still
		return db.Close, nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", filepath.Base(n.database), err), db.Close())
	}
	return func() error {
		_, err := conn.ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, conn.Close(), db.Close())
	}, nil
}
