package main

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// sealedBy is an entry of a spool as the keyset's broker would seal it.
func sealedBy(t *testing.T, k *vault.Keyset) []byte {
	t.Helper()
	sealed, err := vault.New(vault.Config{Keyset: k}).SealUnsaved(&vault.Unsaved{})
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// keysetOf is the keyset of a broker that has served.
func keysetOf(t *testing.T, env map[string]string) *vault.Keyset {
	t.Helper()
	doc := env["CLAVIGER_KEYSET"]
	if doc == "" {
		b, err := os.ReadFile(filepath.Join(env["CLAVIGER_DATA_DIR"], "keyset.json"))
		if err != nil {
			t.Fatal(err)
		}
		doc = string(b)
	}
	k, err := vault.ParseKeyset(vault.NewSecret(doc))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// spoolLine is what the doctor says about the spool, with its advice.
func spoolLine(t *testing.T, env map[string]string) string {
	t.Helper()
	out, _, err := run(t, env, "doctor")
	line := regexp.MustCompile(`(?m)^\S+ +spool .*\n(?: +→ .*\n)?`).FindString(out)
	if line == "" {
		t.Fatalf("the doctor says nothing about the spool: %v\n%s", err, out)
	}
	if err == nil && strings.HasPrefix(line, "FAULT") {
		t.Errorf("the doctor found a fault and leaves with 0:\n%s", out)
	}
	return line
}

func wantWords(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s: no %q in\n%s", what, w, text)
		}
	}
}

const (
	readyWithSpool    = `{"name":"spool","status":"ok"}`
	readyWithoutSpool = `{"name":"spool","status":"failing"}`
)

func TestSpoolIsMadeByServing(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		dir := filepath.Join(env["CLAVIGER_DATA_DIR"], "spool")
		before := spoolLine(t, env)
		wantWords(t, "doctor", before, "ok    spool", "made at the first start in "+dir)
		if _, err := os.Stat(env["CLAVIGER_DATA_DIR"]); env["CLAVIGER_DATABASE_URL"] != "" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("made by the doctor: %v", err)
		}
		mustRun(t, env, "migrate", "up")
		mustRun(t, env, "apikey", "create", "-name", "first")
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("made by a command: %v", err)
		}

		p := start(t, env)
		if status, body := get(t, p.url+"/readyz", ""); status != http.StatusOK || !strings.Contains(body, readyWithSpool) {
			t.Errorf("ready: %d %s", status, body)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v %v", info, err)
		}
		wantWords(t, "doctor", spoolLine(t, env), "ok    spool", "nothing waits there")
	})
}

func TestSpoolThatCannotBeMade(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		inTheWay := filepath.Join(env["CLAVIGER_DATA_DIR"], "spool")
		if env["CLAVIGER_DATABASE_URL"] != "" { // only there is it served without a data directory
			mustRun(t, env, "migrate", "up")
			inTheWay = env["CLAVIGER_DATA_DIR"]
		}
		if err := os.MkdirAll(filepath.Dir(inTheWay), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(inTheWay, []byte("a file"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := start(t, env)
		if status, _ := get(t, p.url+"/v1/providers", keyOf(env, p.stdout.String())); status != http.StatusOK {
			t.Errorf("not served: %d", status)
		}
		status, body := get(t, p.url+"/readyz", "")
		if status != http.StatusServiceUnavailable || !strings.Contains(body, readyWithoutSpool) || strings.Contains(body, inTheWay) {
			t.Errorf("ready: %d %s", status, body)
		}
		if err := p.stop(); err != nil { // lines of requests gather for a moment
			t.Fatal(err)
		}
		wantWords(t, "log", p.stderr.String(), "a renewed credential could be lost", "not a directory", `"check":"spool"`)
		wantWords(t, "doctor", spoolLine(t, env), "FAULT spool", "cannot be written", "not a directory", "→ see to it that")
	})
}

func TestSpoolOfAnotherKeyset(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		if err := start(t, env).stop(); err != nil {
			t.Fatal(err)
		}
		other, err := vault.NewKeyset()
		if err != nil {
			t.Fatal(err)
		}
		foreign := filepath.Join(env["CLAVIGER_DATA_DIR"], "spool", "con_theirs.4.2")
		if err := os.WriteFile(foreign, sealedBy(t, other), 0o600); err != nil {
			t.Fatal(err)
		}
		p := start(t, env)
		status, body := get(t, p.url+"/readyz", "")
		if status != http.StatusServiceUnavailable || !strings.Contains(body, readyWithoutSpool) || strings.Contains(body, "con_theirs") {
			t.Errorf("ready: %d %s", status, body)
		}
		wantWords(t, "log", p.stderr.String(), "con_theirs.4.2")
		wantWords(t, "doctor", spoolLine(t, env), "FAULT spool", "1 of another keyset", "con_theirs.4.2", "→ start the broker that they belong to")
		if err := p.stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(foreign); err != nil {
			t.Errorf("not ours to remove: %v", err)
		}
	})
}

func TestDoctorTellsOfWhatWaits(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		if err := start(t, env).stop(); err != nil {
			t.Fatal(err)
		}
		entry := filepath.Join(env["CLAVIGER_DATA_DIR"], "spool", "con_ours.4.2")
		if err := os.WriteFile(entry, sealedBy(t, keysetOf(t, env)), 0o600); err != nil {
			t.Fatal(err)
		}
		wantWords(t, "doctor", spoolLine(t, env), "ok    spool", "wait there to be saved: 1")
		old := time.Now().Add(-2 * time.Hour)
		if err := os.Chtimes(entry, old, old); err != nil {
			t.Fatal(err)
		}
		wantWords(t, "doctor", spoolLine(t, env), "FAULT spool", "to be saved: 1, the oldest for 2h0m", "→ start the broker")
	})
}
