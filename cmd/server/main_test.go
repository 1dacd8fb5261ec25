package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// output is what a process writes, readable while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// program is a command under way in this process.
type program struct {
	url    string
	stdout *output
	stderr *output
	stop   func() error
}

// start runs a command until it answers requests.
func start(t *testing.T, env map[string]string, args ...string) program {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := program{stdout: &output{}, stderr: &output{}}
	up, down := make(chan string, 1), make(chan error, 1)
	go func() {
		proc := &process{env: env, stdout: p.stdout, stderr: p.stderr, started: func(url string) { up <- url }}
		down <- proc.run(ctx, args)
	}()
	p.stop = sync.OnceValue(func() error {
		cancel()
		return <-down
	})
	select {
	case p.url = <-up:
	case err := <-down:
		cancel()
		t.Fatalf("did not start: %v\n%s", err, p.stderr)
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return p
}

// command runs a command to its end.
func run(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, log output
	err = (&process{env: env, stdout: &out, stderr: &log}).run(t.Context(), args)
	return out.String(), log.String(), err
}

func mustRun(t *testing.T, env map[string]string, args ...string) string {
	t.Helper()
	stdout, stderr, err := run(t, env, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, stdout, stderr)
	}
	return stdout
}

func get(t *testing.T, url, key string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

var shownKey = regexp.MustCompile(`clv_key_[0-9A-Za-z]+_[0-9A-Za-z]+`)

// eachEnv is the environment of a broker on either database. The embedded one
// needs a directory and nothing else.
func eachEnv(t *testing.T, fn func(t *testing.T, env map[string]string)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		fn(t, map[string]string{"CLAVIGER_DATA_DIR": filepath.Join(t.TempDir(), "data"), "CLAVIGER_LISTEN": "127.0.0.1:0"})
	})
	if os.Getenv(storetest.EnvPostgres) != "" {
		t.Run("postgres", func(t *testing.T) {
			t.Parallel()
			fn(t, map[string]string{
				"CLAVIGER_DATABASE_URL": storetest.Postgres(t).URL, "CLAVIGER_LISTEN": "127.0.0.1:0",
				"CLAVIGER_DATA_DIR": filepath.Join(t.TempDir(), "data"),
				"CLAVIGER_KEYSET":   strings.TrimSpace(mustRun(t, nil, "key", "generate")),
				"CLAVIGER_API_KEY":  "an-api-key-of-the-operators-own-making",
			})
		})
	}
}

// keyOf is the API key that a broker's operator has.
func keyOf(env map[string]string, stdout string) string {
	if key := env["CLAVIGER_API_KEY"]; key != "" {
		return key
	}
	return shownKey.FindString(stdout)
}

func TestServe(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		p := start(t, env)
		key := keyOf(env, p.stdout.String())
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/openapi.json": 200, "/admin/sign-in": 200, "/v1/providers": 401, "/nowhere": 404} {
			if status, body := get(t, p.url+path, ""); status != want {
				t.Errorf("%s: %d, want %d: %s", path, status, want, body)
			}
		}
		status, body := get(t, p.url+"/v1/providers", key)
		if status != http.StatusOK || !strings.Contains(body, `"toggl"`) {
			t.Errorf("%d %s", status, body)
		}
		if err := p.stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
		if strings.Contains(p.stderr.String(), key) {
			t.Error("the API key is in the log")
		}

		again := start(t, env) // the key is shown once and works on
		if shown := shownKey.FindString(again.stdout.String()); shown != "" {
			t.Error("a key is shown at the second start")
		}
		if status, _ := get(t, again.url+"/v1/providers", key); status != http.StatusOK {
			t.Errorf("after a restart: %d", status)
		}
	})
}

func TestEmbeddedFilesAreTheOwners(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	start(t, map[string]string{"CLAVIGER_DATA_DIR": dir, "CLAVIGER_LISTEN": "127.0.0.1:0"})
	for name, want := range map[string]os.FileMode{"": 0o700, "keyset.json": 0o600, "claviger.db": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", info.Name(), got, want)
		}
	}
}

func TestWrongKeysetServesNothing(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		if err := start(t, env).stop(); err != nil {
			t.Fatal(err)
		}
		env["CLAVIGER_KEYSET"] = strings.TrimSpace(mustRun(t, nil, "key", "generate"))
		_, _, err := run(t, env, "serve")
		if err == nil || !strings.Contains(err.Error(), "another keyset") {
			t.Errorf("served: %v", err)
		}
		out, _, err := run(t, env, "doctor")
		if err == nil || !strings.Contains(out, "FAULT keyset") {
			t.Errorf("doctor: %v\n%s", err, out)
		}
	})
}

func TestAPIKeyCommands(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		p := start(t, env)
		key := strings.TrimSpace(mustRun(t, env, "apikey", "create", "-name", "reporting", "-scopes", "providers:read"))
		if status, _ := get(t, p.url+"/v1/providers", key); status != http.StatusOK {
			t.Fatalf("a fresh key: %d", status)
		}
		if status, _ := get(t, p.url+"/v1/audit", key); status != http.StatusForbidden {
			t.Errorf("beyond its scopes: %d", status)
		}
		var id string
		for line := range strings.Lines(mustRun(t, env, "apikey", "list")) {
			if strings.Contains(line, "reporting") {
				id, _, _ = strings.Cut(line, "\t")
			}
		}
		mustRun(t, env, "apikey", "revoke", id)
		if status, _ := get(t, p.url+"/v1/providers", key); status != http.StatusUnauthorized {
			t.Errorf("a revoked key: %d", status)
		}
		limited := strings.TrimSpace(mustRun(t, env, "apikey", "create", "-name", "far away", "-addresses", "192.0.2.0/24,2001:db8::1"))
		if status, _ := get(t, p.url+"/v1/providers", limited); status != http.StatusUnauthorized {
			t.Errorf("from an address that it is not for: %d", status)
		}
		if out := mustRun(t, env, "apikey", "list"); !strings.Contains(out, "addresses=192.0.2.0/24,2001:db8::1/128") {
			t.Errorf("list: %s", out)
		}
		if _, _, err := run(t, env, "apikey", "create", "-integrations", "nobody"); err == nil || !strings.Contains(err.Error(), "no such integration") {
			t.Errorf("limited to an integration that is not there: %v", err)
		}
		if _, _, err := run(t, env, "apikey", "create", "-scopes", "everything"); err == nil {
			t.Error("an unknown scope is accepted")
		}
	})
}

// The master keyset is rotated, everything resealed and the old key retired,
// with a stop between the steps as an operator would have.
func TestKeyCommands(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		if err := start(t, env).stop(); err != nil {
			t.Fatal(err)
		}
		keysets := func() []vault.KeyInfo { return keysetOf(t, env).Keys() }
		take := func(stdout string) { // from a variable, it is the operator who keeps it
			if env["CLAVIGER_KEYSET"] != "" {
				env["CLAVIGER_KEYSET"] = strings.TrimSpace(stdout)
			}
		}
		old := keysets()[0].ID
		take(mustRun(t, env, "key", "rotate"))
		if len(keysets()) != 2 {
			t.Fatalf("after rotating: %v", keysets())
		}
		if _, _, err := run(t, env, "key", "retire", itoa(old)); err == nil {
			t.Error("a key in use was retired")
		}
		mustRun(t, env, "key", "reseal")
		waiting := filepath.Join(env["CLAVIGER_DATA_DIR"], "spool", "con_1.1.1") // which reseal does not reach
		if err := os.WriteFile(waiting, []byte("sealed"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := run(t, env, "key", "retire", itoa(old)); err == nil || !strings.Contains(err.Error(), "wait in") {
			t.Errorf("retired although a credential under it waits to be saved: %v", err)
		}
		if err := os.Remove(waiting); err != nil {
			t.Fatal(err)
		}
		take(mustRun(t, env, "key", "retire", itoa(old)))
		if now := keysets(); len(now) != 1 || now[0].ID == old {
			t.Errorf("after retiring: %v", now)
		}
		mustRun(t, env, "key", "rotate", "-environment", "default")
		mustRun(t, env, "key", "reseal")
		if out := mustRun(t, env, "key", "list"); strings.Count(out, "primary") != 2 {
			t.Errorf("list:\n%s", out)
		}
		start(t, env)
	})
}

func itoa(id uint32) string {
	b, _ := json.Marshal(id)
	return string(b)
}

func TestMigrateCommands(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		if out := mustRun(t, env, "migrate", "up"); !strings.Contains(out, "complete") {
			t.Errorf("up: %s", out)
		}
		if out := mustRun(t, env, "migrate", "down", "1"); !strings.Contains(out, "pending") {
			t.Errorf("down: %s", out)
		}
		if env["CLAVIGER_DATABASE_URL"] != "" {
			if _, _, err := run(t, env, "serve"); err == nil || !strings.Contains(err.Error(), "migrate up") {
				t.Errorf("served on an old schema: %v", err)
			}
		}
		mustRun(t, env, "migrate", "up")
		for _, bad := range [][]string{{"migrate"}, {"migrate", "sideways"}, {"migrate", "down"}, {"migrate", "down", "x"}, {"migrate", "force"}} {
			if _, _, err := run(t, env, bad...); err == nil {
				t.Errorf("%v was accepted", bad)
			}
		}
	})
}

func TestDoctorOfAHealthyBroker(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		start(t, env)
		out, _, _ := run(t, env, "doctor")
		for _, line := range []string{"ok    configuration", "ok    database", "ok    schema", "ok    keyset", "ok    spool", "ok    provider files", "ok    public URL"} {
			if !strings.Contains(out, line) {
				t.Errorf("no %q in\n%s", line, out)
			}
		}
	})
}

func TestDemoPrintsThreeLinks(t *testing.T) {
	t.Parallel()
	p := start(t, map[string]string{"CLAVIGER_LISTEN": "127.0.0.1:0"}, "demo")
	links := regexp.MustCompile(`http://\S+/connect/\S+`).FindAllString(p.stdout.String(), -1)
	if len(links) != 3 {
		t.Fatalf("%d links:\n%s", len(links), p.stdout)
	}
	for _, link := range links {
		if status, body := get(t, link, ""); status != http.StatusOK || !strings.Contains(body, "<form") {
			t.Errorf("%d %s", status, body)
		}
	}
}

func TestAKeysetIsNotOverwritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keyset.json")
	mustRun(t, nil, "key", "generate", "-out", file)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(t, nil, "key", "generate", "-out", file); err == nil {
		t.Error("overwritten")
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("changed: %v", err)
	}
}

func TestUnknownCommand(t *testing.T) {
	t.Parallel()
	if _, stderr, err := run(t, nil, "sreve"); err == nil || !strings.Contains(stderr, "usage") {
		t.Errorf("%v\n%s", err, stderr)
	}
	if out := mustRun(t, nil, "version"); !strings.HasPrefix(out, "claviger ") {
		t.Error(out)
	}
	if _, stderr, err := run(t, nil, "help"); err != nil || !strings.Contains(stderr, "CLAVIGER_PUBLIC_URL") {
		t.Errorf("%v\n%s", err, stderr)
	}
}
