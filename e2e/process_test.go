package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test runs. Everything it says goes to one file.
type process struct {
	name    string
	logFile string
	cmd     *exec.Cmd
	ended   chan struct{} // closed when it has ended
	err     error         // how; read it after ended
}

// startProcess runs cmd with standard output and error in logFile, and ends it
// when the test does, with a minute's grace after SIGTERM.
func startProcess(t *testing.T, name, logFile string, cmd *exec.Cmd) *process {
	t.Helper()
	p, err := launch(name, logFile, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.terminate(); err != nil {
			t.Errorf("stopping %s: %v", name, err)
		}
		if t.Failed() {
			t.Logf("the log of %s is in %s; its end:\n%s", name, logFile, p.tail())
		}
	})
	return p
}

// launch is startProcess for whoever ends the process.
func launch(name, logFile string, cmd *exec.Cmd) (*process, error) {
	out, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = out, out
	end, err := startChild(cmd, syscall.SIGKILL)
	if err != nil {
		_ = out.Close()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{name: name, logFile: logFile, cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.err = errors.Join(<-end, out.Close())
		close(p.ended)
	}()
	return p, nil
}

// startChild starts cmd, which gets the signal if this test process dies before
// it: a test that panics or is killed has no cleanup. The channel gives what
// Wait returned, once.
func startChild(cmd *exec.Cmd, sig syscall.Signal) (end <-chan error, err error) {
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		// The kernel means the thread that started it, not the process; this
		// one does nothing else until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		signalWithParent(cmd, sig)
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	return ended, <-started
}

// running reports whether the process has not ended.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// terminate asks the process to end and waits. It is an error if it had ended
// by itself with one, does not end, or ends with one. After kill, and when
// called again, it does nothing.
func (p *process) terminate() error {
	if p.running() {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		select {
		case <-p.ended:
		case <-time.After(time.Minute):
			p.kill()
			return errors.New("it did not end within a minute of SIGTERM")
		}
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		if ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return nil // kill did it
		}
	}
	return p.err
}

// kill ends the process without a chance to do anything, and waits.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// log is all that the process has said until now.
func (p *process) log(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(p.logFile)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (p *process) tail() []byte {
	const most = 8 << 10
	b, err := os.ReadFile(p.logFile)
	if err != nil {
		return []byte(err.Error())
	}
	if len(b) > most {
		b = b[len(b)-most:]
		b = b[bytes.IndexByte(b, '\n')+1:]
	}
	return b
}

// waitFor asks ready every few milliseconds until it says yes, the process has
// ended, or a minute is over. The far side of a process boundary has no
// channel to wait on.
func (p *process) waitFor(t *testing.T, what string, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	overdue := time.After(time.Minute)
	for !ready() {
		select {
		case <-tick.C:
		case <-p.ended:
			t.Fatalf("%s ended before it was %s: %v\n%s", p.name, what, p.err, p.tail())
		case <-overdue:
			t.Fatalf("%s was not %s within a minute\n%s", p.name, what, p.tail())
		}
	}
}

// ports remembers what freePort gave out in this run.
var ports sync.Map

// freePort is a port of 127.0.0.1 that nobody listens on, and that it has not
// given to anybody else in this run.
func freePort() (int, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return 0, fmt.Errorf("a TCP listener has the address %v", l.Addr())
		}
		if err := l.Close(); err != nil {
			return 0, err
		}
		if _, given := ports.LoadOrStore(addr.Port, true); !given {
			return addr.Port, nil
		}
	}
	return 0, errors.New("there is no free port")
}

func TestProcess(t *testing.T) {
	t.Parallel()
	sh := func(t *testing.T, script string) *process {
		t.Helper()
		return startProcess(t, "sh", artifact(t, "sh.log"), exec.Command("sh", "-c", script))
	}
	t.Run("ends when asked, and its log is whole", func(t *testing.T) {
		t.Parallel()
		p := sh(t, `trap 'echo bye >&2; exit 0' TERM; echo hello; while :; do sleep 0.01; done`)
		p.waitFor(t, "talking", func() bool { return bytes.Contains(p.log(t), []byte("hello")) })
		if err := p.terminate(); err != nil {
			t.Error(err)
		}
		if got := string(p.log(t)); got != "hello\nbye\n" {
			t.Errorf("log %q", got)
		}
	})
	t.Run("a bad end is an error", func(t *testing.T) {
		t.Parallel()
		p := sh(t, `exit 3`)
		<-p.ended
		if p.terminate() == nil {
			t.Error("exit status 3 was no error")
		}
		p.err = nil // for the cleanup
	})
	t.Run("killing is none", func(t *testing.T) {
		t.Parallel()
		p := sh(t, `exec sleep 60`)
		p.kill()
		if err := p.terminate(); err != nil || p.running() {
			t.Errorf("running: %v, error: %v", p.running(), err)
		}
	})
}
