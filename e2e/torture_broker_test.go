package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// member is one broker of a tortured world: one process after the other, at
// one address and with one data directory.
type member struct {
	number int // from 1
	url    string
	binary string
	env    []string
	dir    string
	logAs  string // with a verb for the number of the process
	wire   *wire  // to PostgreSQL; nil on SQLite

	mu     sync.Mutex
	lives  []*life
	faults []string // that nobody did to it
}

// life is one process of a member.
type life struct {
	*process

	ready  bool
	killed bool
}

// newMember prepares a broker that uses the binary, and says goodbye to it when
// the test ends.
func newMember(t *testing.T, number int, binary string, settings ...string) *member {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	m := &member{
		number: number, binary: binary, dir: t.TempDir(), url: "http://localhost:" + strconv.Itoa(port),
		logAs: artifact(t, fmt.Sprintf("broker-%d.%%04d.log", number)),
	}
	old, err := filepath.Glob(artifact(t, fmt.Sprintf("broker-%d.*.log", number)))
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range old {
		_ = os.Remove(log)
	}
	m.env = slices.Concat(claviger(t, nil).Env, []string{
		"CLAVIGER_DATA_DIR=" + m.dir, "CLAVIGER_LISTEN=127.0.0.1:" + strconv.Itoa(port), "CLAVIGER_PUBLIC_URL=" + m.url,
		"CLAVIGER_LOG_FORMAT=json", "CLAVIGER_LOG_LEVEL=info",
	}, settings)
	t.Cleanup(func() {
		if l := m.life(); l != nil {
			_ = l.cmd.Process.Signal(syscall.SIGCONT)
			if err := l.terminate(); err != nil {
				t.Errorf("stopping broker %d: %v\n%s", number, err, l.tail())
			}
		}
		m.eachLog(func(path string, log []byte) {
			if bytes.Contains(log, []byte("WARNING: DATA RACE")) {
				t.Errorf("the race detector spoke; see %s", path)
			}
		})
	})
	return m
}

// life is the latest process, running or not; nil before the first.
func (m *member) life() *life {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.lives) == 0 {
		return nil
	}
	return m.lives[len(m.lives)-1]
}

// run starts the broker and returns when it is ready. One that ends before, for
// want of a database, is started again, as a supervisor would.
func (m *member) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		l, err := m.start()
		if err != nil {
			return err
		}
		if m.becomesReady(ctx, l) {
			go m.watch(l)
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("broker %d was not ready within a minute:\n%s", m.number, l.tail())
		}
	}
}

func (m *member) start() (*life, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	cmd := exec.Command(m.binary)
	cmd.Dir, cmd.Env = m.dir, m.env
	p, err := launch(fmt.Sprintf("broker %d", m.number), fmt.Sprintf(m.logAs, len(m.lives)+1), cmd)
	if err != nil {
		return nil, err
	}
	l := &life{process: p}
	m.lives = append(m.lives, l)
	return l, nil
}

func (m *member) becomesReady(ctx context.Context, l *life) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for get(ctx, m.url+"/readyz") != http.StatusOK {
		select {
		case <-tick.C:
		case <-l.ended:
			<-tick.C
			return false
		case <-ctx.Done():
			return false
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l.ready = true
	return true
}

// watch notes when a process ends that nobody has killed.
func (m *member) watch(l *life) {
	<-l.ended
	m.mu.Lock()
	defer m.mu.Unlock()
	if !l.killed && l.err != nil {
		m.faults = append(m.faults, fmt.Sprintf("broker %d ended by itself: %v\n%s", m.number, l.err, l.tail()))
	}
}

// kill ends the process with SIGKILL, if it has become ready, and reports
// whether it did.
func (m *member) kill() bool {
	l := m.life()
	m.mu.Lock()
	fit := l.ready && !l.killed && l.running()
	l.killed = l.killed || fit
	m.mu.Unlock()
	if fit {
		l.kill()
	}
	return fit
}

// signal sends SIGSTOP or SIGCONT to the process.
func (m *member) signal(sig syscall.Signal) error {
	if err := m.life().cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%v to broker %d: %w", sig, m.number, err)
	}
	return nil
}

// eachLog reads the log of each process, oldest first.
func (m *member) eachLog(look func(path string, log []byte)) {
	m.mu.Lock()
	lives := slices.Clone(m.lives)
	m.mu.Unlock()
	for _, l := range lives {
		if log, err := os.ReadFile(l.logFile); err == nil {
			look(l.logFile, log)
		}
	}
}

// fastBinary builds a broker whose own clock is ahead. All of a process reads
// the time of day in one file, and that one is replaced.
func fastBinary(t *testing.T, ahead time.Duration) string {
	t.Helper()
	dir := t.TempDir()
	clock := filepath.Join(dir, "clock.go")
	source := fmt.Sprintf("package main\n\nimport \"time\"\n\nfunc wallClock() time.Time { return time.Now().Add(%d) }\n", ahead)
	if err := os.WriteFile(clock, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	replaced, err := filepath.Abs("../cmd/server/clock.go")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(replaced); err != nil {
		t.Fatalf("the file where a broker reads its clock: %v", err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{replaced: clock}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	built, err := goBuild(dir, raceEnabled, "-overlay", path)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// spontaneous is what the broker did that nobody had done to it.
func (m *member) spontaneous() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.faults)
}
