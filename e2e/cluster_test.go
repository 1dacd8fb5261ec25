package e2e

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// cluster is a PostgreSQL server of a test's own, for what cannot be done to a
// shared one: stopping it, killing it, bringing it back.
type cluster struct {
	url  string // of a superuser, in the database postgres
	dir  string
	bin  string
	port int
	cred *syscall.Credential

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended <-chan error
}

// startCluster makes a cluster and removes it when the test ends.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	c, err := newCluster()
	if err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if err := c.remove(); err != nil {
			t.Errorf("removing PostgreSQL: %v", err)
		}
	})
	return c
}

func newCluster() (_ *cluster, err error) {
	c := &cluster{}
	if c.bin, err = postgresBin(); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "claviger-e2e-pg-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.remove())
		}
	}()
	if os.Geteuid() == 0 {
		if err := c.leaveRoot(); err != nil {
			return nil, err
		}
	}
	password := rand.Text()
	pwfile := filepath.Join(c.dir, "password")
	if err := os.WriteFile(pwfile, []byte(password+"\n"), 0o600); err != nil {
		return nil, err
	}
	if c.cred != nil {
		for _, path := range []string{c.dir, pwfile} {
			if err := os.Chown(path, int(c.cred.Uid), int(c.cred.Gid)); err != nil {
				return nil, err
			}
		}
	}
	initdb := c.command("initdb", "-D", c.data(), "-U", "postgres", "--pwfile="+pwfile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if c.port, err = freePort(); err != nil {
		return nil, err
	}
	c.url = (&url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)), Path: "/postgres",
		RawQuery: "sslmode=disable",
	}).String()
	if err := c.start(); err != nil {
		return nil, err
	}
	return c, nil
}

// postgresBin is the folder with the server's binaries; Debian keeps it off
// the PATH.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) + strings.Compare(b, a) })
	if dir := os.Getenv("POSTGRES_BIN"); dir != "" {
		found = []string{filepath.Join(dir, "postgres")}
	}
	path, err := findProgram("PostgreSQL", append(found, "postgres")...)
	return filepath.Dir(path), err
}

// leaveRoot picks the user for initdb and postgres, which refuse to run as root.
func (c *cluster) leaveRoot() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	c.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

// command prepares one of PostgreSQL's programs, as the right user.
func (c *cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if c.cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred}
	}
	return cmd
}

// start runs the server and returns when it takes connections. After stop or
// crash it brings back the same cluster on the same port.
func (c *cluster) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil {
		return errors.New("PostgreSQL runs already")
	}
	cmd := c.command("postgres", "-D", c.data(), "-p", strconv.Itoa(c.port), "-k", c.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", "-c", "fsync=off",
		"-c", "logging_collector=off", "-c", "log_destination=stderr", "-c", "lc_messages=C")
	stderr, out := io.Pipe()
	cmd.Stderr = out
	cmd.WaitDelay = 10 * time.Second
	// SIGQUIT ends it with its children.
	exited, err := startChild(cmd, syscall.SIGQUIT)
	if err != nil {
		return err
	}
	end := make(chan error, 1)
	go func() {
		err := <-exited
		_ = out.Close()
		end <- err
	}()
	ready := make(chan bool, 1)
	var tail strings.Builder
	go func() {
		said := false
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if !said {
				_, _ = fmt.Fprintln(&tail, lines.Text())
			}
			if !said && strings.Contains(lines.Text(), "ready to accept connections") {
				said = true
				ready <- true
			}
		}
		if !said {
			ready <- false
		}
		_, _ = io.Copy(io.Discard, stderr)
	}()
	select {
	case ok := <-ready:
		if !ok {
			return errors.Join(fmt.Errorf("PostgreSQL did not start:\n%s", tail.String()), <-end)
		}
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		return errors.Join(errors.New("PostgreSQL did not start within a minute"), <-end)
	}
	c.cmd, c.ended = cmd, end
	return nil
}

// stop shuts the server down, throwing its clients out first.
func (c *cluster) stop() error { return c.end(syscall.SIGINT) }

// crash ends the server at once, without a checkpoint: the next start recovers
// from the write-ahead log.
func (c *cluster) crash() error { return c.end(syscall.SIGQUIT) }

func (c *cluster) end(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return nil
	}
	cmd := c.cmd
	c.cmd = nil
	if err := cmd.Process.Signal(sig); err != nil {
		return err
	}
	overdue := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer overdue.Stop()
	// Its exit status tells how it was asked to end, which is known here.
	var exit *exec.ExitError
	if err := <-c.ended; err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

func (c *cluster) remove() error {
	return errors.Join(c.crash(), os.RemoveAll(c.dir))
}

func TestClusterSurvivesACrash(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		c := startCluster(t)
		execPostgres(t, c.url, "CREATE TABLE kept (id int)")
		for name, end := range map[string]func() error{"crash": c.crash, "stop": c.stop} {
			if err := end(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if conn, err := pgx.Connect(t.Context(), c.url); err == nil {
				_ = conn.Close(t.Context())
				t.Errorf("after %s it still takes connections", name)
			}
			if err := c.start(); err != nil {
				t.Fatalf("starting after %s: %v", name, err)
			}
			execPostgres(t, c.url, "INSERT INTO kept VALUES (1)")
		}
	})
}
