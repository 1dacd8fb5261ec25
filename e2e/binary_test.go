package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// buildBinary builds ./cmd/server into a temporary folder: with the race
// detector where the tests have it, else as it is released. E2E_BINARY names one
// to try instead that was built elsewhere.
func (s *shared) buildBinary() (string, error) {
	if binary := os.Getenv("E2E_BINARY"); binary != "" {
		return filepath.Abs(binary)
	}
	dir, err := s.tempDir()
	if err != nil {
		return "", err
	}
	return goBuild(dir, raceEnabled)
}

// goBuild builds ./cmd/server into dir, with more flags if there are any.
func goBuild(dir string, race bool, more ...string) (string, error) {
	binary := filepath.Join(dir, "claviger")
	args := []string{"build", "-trimpath", "-ldflags", "-X main.version=v0.0.0-e2e -X main.commit=e2e", "-o", binary}
	cgo := "CGO_ENABLED=0"
	if race {
		// SQLite is translated C, and many times slower when it is watched.
		args = append(args, "-race", "-gcflags=modernc.org/sqlite/lib=-race=false", "-gcflags=modernc.org/libc/...=-race=false")
		cgo = "CGO_ENABLED=1"
	}
	cmd := exec.Command("go", append(append(args, more...), "./cmd/server")...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// binary is the path of the built binary.
func binary(t *testing.T) string {
	t.Helper()
	path, err := run.binary()
	if err != nil {
		t.Fatalf("building the broker: %v", err)
	}
	return path
}

// claviger prepares a run of the binary with only the given settings ("NAME=value")
// in its environment: what a developer has set must not reach it.
func claviger(t *testing.T, settings []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(binary(t), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{
		"HOME=" + cmd.Dir,
		"PATH=" + os.Getenv("PATH"),
		"TMPDIR=" + os.TempDir(),
		"GORACE=halt_on_error=0 exitcode=66",
	}, settings...)
	return cmd
}

// broker is one running process of the binary.
type broker struct {
	*process
	// url is the public URL, without a slash at the end. Its host is
	// localhost: another site, for a browser, than the providers' 127.0.0.1.
	url string
}

// startBroker runs the broker on a free port of 127.0.0.1 and returns when it
// is ready. Settings ("NAME=value") come last and win; without a database
// among them it is the embedded one in a folder of the test's own. When the
// test ends the broker is stopped, and must stop without a complaint of the
// race detector.
func startBroker(t *testing.T, settings ...string) *broker {
	t.Helper()
	return startBrokerCommand(t, nil, settings...)
}

// startBrokerCommand is startBroker with arguments on the command line, such
// as "demo".
func startBrokerCommand(t *testing.T, args []string, settings ...string) *broker {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	host := "localhost:" + strconv.Itoa(port)
	cmd := claviger(t, append([]string{
		"CLAVIGER_DATA_DIR=" + t.TempDir(),
		"CLAVIGER_LISTEN=127.0.0.1:" + strconv.Itoa(port),
		"CLAVIGER_LOG_FORMAT=json",
		"CLAVIGER_LOG_LEVEL=debug",
		"CLAVIGER_PUBLIC_URL=http://" + host,
	}, settings...), args...)
	b := &broker{
		process: startProcess(t, "the broker on "+host, artifact(t, fmt.Sprintf("broker-%d.log", port)), cmd),
		url:     "http://" + host,
	}
	t.Cleanup(func() {
		// Runs before the process is stopped by its own cleanup.
		_ = b.terminate()
		if bytes.Contains(b.log(t), []byte("WARNING: DATA RACE")) {
			t.Errorf("the race detector spoke; see %s", b.logFile)
		}
	})
	b.waitFor(t, "ready", func() bool { return get(t.Context(), b.url+"/readyz") == http.StatusOK })
	return b
}

// onPostgres is the settings for a broker on a new database with the schema in
// it and a new keyset. Several brokers may be given the same ones.
func onPostgres(t *testing.T) []string {
	t.Helper()
	keyset, err := claviger(t, nil, "key", "generate").Output()
	if err != nil {
		t.Fatalf("claviger key generate: %v", err)
	}
	settings := []string{
		"CLAVIGER_DATABASE_URL=" + newDatabase(t),
		"CLAVIGER_KEYSET=" + string(bytes.TrimSpace(keyset)),
	}
	if out, err := claviger(t, settings, "migrate", "up").CombinedOutput(); err != nil {
		t.Fatalf("claviger migrate up: %v\n%s", err, out)
	}
	return settings
}

// get is the status of a GET, 0 where there was no answer.
func get(ctx context.Context, url string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestBroker(t *testing.T) {
	t.Parallel()
	const key = "e2e-4dQ7mXw9Kc2RzT5vBn8LpY3sGh6Fj1Wk"
	for name, settings := range map[string]func(*testing.T) []string{
		"sqlite":   func(*testing.T) []string { return nil },
		"postgres": onPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			given := append(settings(t), "CLAVIGER_API_KEY="+key)
			b := startBroker(t, given...)
			if got := get(t.Context(), b.url+"/healthz"); got != http.StatusOK {
				t.Errorf("/healthz: %d", got)
			}
			getJSON(t, b.url+"/v1/providers", key, http.StatusOK, nil)
			if name == "postgres" {
				// A second replica on the same database, and one killed under it.
				other := startBroker(t, given...)
				b.kill()
				getJSON(t, other.url+"/v1/providers", key, http.StatusOK, nil)
				b = other
			}
			if err := b.terminate(); err != nil {
				t.Errorf("stopping: %v", err)
			}
			if !bytes.Contains(b.log(t), []byte(b.url)) {
				t.Error("the log does not say which URL to open")
			}
			secrets{"the API key": key}.refuteLeaks(t, "the log", b.log(t))
		})
	}
}
