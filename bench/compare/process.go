package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a process that answers on an address.
type server struct {
	name    string
	address string
	cmd     *exec.Cmd
	log     *os.File
	born    time.Time
}

// startTimeout is generous: a start is measured, not judged.
const startTimeout = time.Minute

// start runs a program on the servers' core and waits until it has said where
// it is. Its standard error, the request log, goes to a file in dir.
func (b *bench) start(ctx context.Context, dir, name string, env []string, program string, args ...string) (_ *server, err error) {
	if b.pin {
		args = append([]string{"-c", serverCore, program}, args...)
		program = "taskset"
	}
	s := &server{name: name}
	if s.log, err = os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); err != nil {
		return nil, err
	}
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), program, args...)
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, s.log.Close())
	}
	s.born = time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(err, s.log.Close())
	}
	found := make(chan string, 1)
	go func() {
		defer close(found)
		at := regexp.MustCompile(` at http://([^\s/]+)`)
		lines := bufio.NewScanner(out)
		for lines.Scan() { // to the end: nobody else empties the pipe
			if m := at.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	select {
	case address, ok := <-found:
		if !ok {
			return nil, fmt.Errorf("%s ended: %w", name, errors.Join(s.stop(), s.lastWords()))
		}
		_, port, err := net.SplitHostPort(address)
		s.address = net.JoinHostPort("127.0.0.1", port)
		return s, err
	case <-time.After(startTimeout):
		return nil, fmt.Errorf("%s did not start: %w", name, errors.Join(s.stop(), s.lastWords()))
	}
}

func (s *server) lastWords() error {
	text, err := os.ReadFile(s.log.Name())
	if err != nil {
		return err
	}
	return errors.New(string(text[max(0, len(text)-1000):]))
}

// stop ends the process as an operator would.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	err := s.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() { // of the signal, which is what it was sent
		err = nil
	}
	return errors.Join(err, s.log.Close())
}

// resident is the resident memory and its peak, in MiB. Linux knows it, others
// are asked in vain and answer 0.
func (s *server) resident() (now, peak float64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, 0
	}
	read := func(name string) float64 {
		m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(text)
		if m == nil {
			return 0
		}
		kib, _ := strconv.ParseFloat(string(m[1]), 64) // digits, by the pattern
		return kib / 1024
	}
	return read("VmRSS"), read("VmHWM")
}

// The two cores that are used: servers and database share one, and the load has
// the other, so that it does not take from what it measures.
const (
	serverCore = "0"
	loadCore   = "1"
)

// pinAll moves a process with all its threads to a core.
func pinAll(ctx context.Context, core string, pid int) error {
	out, err := exec.CommandContext(ctx, "taskset", "-a", "-p", "-c", core, strconv.Itoa(pid)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// children are the processes that pid has begun.
func children(pid int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var pids []int
	for f := range strings.FieldsSeq(string(text)) {
		if child, err := strconv.Atoi(f); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// busy is the time that a process has run, its children that have ended
// included. Where there is no /proc it is 0.
func busy(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name, which may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0
	}
	var ticks int64
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime: proc(5)
		n, _ := strconv.ParseInt(f, 10, 64) // a number, by that page
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}
