package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// run is what the tests of one run share. Each part is made when the first
// test asks for it, and given back by TestMain.
var run = newShared()

type shared struct {
	binary   func() (string, error)
	postgres func() (string, error)
	chromium func() (*chromium, error)

	// inspected has the names of the pages that were looked at from all sides.
	inspected sync.Map

	mu      sync.Mutex
	closers []func() error
}

func newShared() *shared {
	s := &shared{}
	s.binary = sync.OnceValues(s.buildBinary)
	s.postgres = sync.OnceValues(s.findPostgres)
	s.chromium = sync.OnceValues(s.startChromium)
	return s
}

// onClose has f called when all tests have run.
func (s *shared) onClose(f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, f)
}

func (s *shared) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range slices.Backward(s.closers) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if err := run.close(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: cleaning up: %v\n", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// tempDir is a folder for the whole run.
func (s *shared) tempDir() (string, error) {
	dir, err := os.MkdirTemp("", "claviger-e2e-")
	if err != nil {
		return "", err
	}
	s.onClose(func() error { return os.RemoveAll(dir) })
	return dir, nil
}

// artifact is a path in e2e/artifacts for something that this test leaves for
// people to look at: screenshots and logs. What is there is replaced.
func artifact(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join("artifacts", strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '.':
			return r
		default:
			return '_'
		}
	}, t.Name()))
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// findProgram is the first of the named programs that is installed, or an
// error that says what to do.
func findProgram(what string, names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed; scripts/install-deps installs it", what)
}
