package main

import (
	"database/sql"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

var (
	printedAnchor = regexp.MustCompile(`-anchor: (\S+)`)
	printedKeys   = regexp.MustCompile(`public keys: (\S+)`)
	printedReport = regexp.MustCompile(`-findings ([0-9a-f]{64})`)
)

// The trail of an operator's day: served, a command beside it, verified while it
// is served and after, exported, and the file verified by somebody without keys.
func TestAuditCommand(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		p := start(t, env)
		key := keyOf(env, p.stdout.String())
		mustRun(t, env, "apikey", "create")
		said := mustRun(t, env, "audit", "verify")
		for _, want := range []string{"entries in 2 chains, 1 of them without an end", "1 checkpoints"} {
			if !strings.Contains(said, want) {
				t.Errorf("while it is served: no %q in\n%s", want, said)
			}
		}
		if status, body := get(t, p.url+"/v1/api-keys", key); status != http.StatusOK {
			t.Errorf("%d %s", status, body)
		}
		if err := p.stop(); err != nil {
			t.Fatal(err)
		}
		said = mustRun(t, env, "audit", "verify")
		for _, want := range []string{"in 2 chains, 0 of them without an end", "0 entries come after the last checkpoint", "2 checkpoints"} {
			if !strings.Contains(said, want) {
				t.Errorf("no %q in\n%s", want, said)
			}
		}
		anchor, keys := printedAnchor.FindStringSubmatch(said), printedKeys.FindStringSubmatch(said)
		if anchor == nil || keys == nil {
			t.Fatalf("no anchor or no key in\n%s", said)
		}
		mustRun(t, env, "audit", "verify", "-anchor", anchor[1])

		file := filepath.Join(t.TempDir(), "trail.jsonl")
		if err := os.WriteFile(file, []byte(mustRun(t, env, "audit", "export")), 0o600); err != nil {
			t.Fatal(err)
		}
		mustRun(t, env, "audit", "verify", "-file", file, "-anchor", anchor[1])
		mustRun(t, nil, "audit", "verify", "-file", file, "-anchor", anchor[1], "-public-key", keys[1])

		narrowed := mustRun(t, env, "audit", "export", "-action", "api_key.created", "-since", "2026-01-01")
		if n := strings.Count(narrowed, "\n"); n != strings.Count(narrowed, `"action":"api_key.created"`) || n == 0 {
			t.Errorf("narrowed: %s", narrowed)
		}
		if none := mustRun(t, env, "audit", "export", "-environment", "default", "-until", "2026-01-01"); none != "" {
			t.Errorf("before there was anything: %s", none)
		}
		if _, _, err := run(t, env, "audit", "export", "-since", "yesterday"); err == nil {
			t.Error("yesterday is no time")
		}
		if _, _, err := run(t, env, "audit", "export", "-environment", "none"); err == nil {
			t.Error("exported an environment that is not there")
		}
		part := filepath.Join(t.TempDir(), "part.jsonl")
		if err := os.WriteFile(part, []byte(narrowed), 0o600); err != nil {
			t.Fatal(err)
		}

		for what, c := range map[string]struct {
			args []string
			says string
		}{
			"another anchor": {[]string{"-anchor", "9" + anchor[1][1:]}, "findings"},
			"no anchor":      {[]string{"-anchor", "x"}, "an anchor is"},
			"another key":    {[]string{"-file", file, "-public-key", strings.Repeat("00", 32)}, "findings"},
			"no key":         {[]string{"-file", file, "-public-key", "00"}, "a public key is"},
			"no file":        {[]string{"-file", filepath.Join(t.TempDir(), "none")}, "opening the export"},
			"a part":         {[]string{"-file", part}, "what is narrowed by a filter cannot be verified"},
			"no trail":       {[]string{"-file", os.Args[0]}, "no export of a whole trail"},
			"key alone":      {[]string{"-public-key", keys[1]}, "-public-key goes with -file"},
		} {
			_, _, err := run(t, env, append([]string{"audit", "verify"}, c.args...)...)
			if err == nil || exitStatus(err) != 1 || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", what, err, c.says)
			}
		}
		if _, _, err := run(t, map[string]string{"CLAVIGER_DATA_DIR": t.TempDir()}, "audit", "verify", "-file", file); err == nil || !strings.Contains(err.Error(), "there is no keyset") {
			t.Errorf("without a keyset: %v", err)
		}
	})
}

// What an operator has looked into is known from then on, and nothing else: the exit
// status says which of the three it is.
func TestAuditAcknowledge(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		if err := start(t, env).stop(); err != nil {
			t.Fatal(err)
		}
		tamper := func(statement string) {
			t.Helper()
			db, err := sql.Open("sqlite", filepath.Join(env["CLAVIGER_DATA_DIR"], "claviger.db"))
			if url := env["CLAVIGER_DATABASE_URL"]; url != "" {
				var config *pgxpool.Config
				if config, err = pgxpool.ParseConfig(url); err == nil {
					db = stdlib.OpenDB(*config.ConnConfig)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		verify := func(status int, says string) string {
			t.Helper()
			said, _, err := run(t, env, "audit", "verify")
			if exitStatus(err) != status || !strings.Contains(said, says) {
				t.Errorf("%v, want the status %d and %q in\n%s", err, status, says, said)
			}
			if report := printedReport.FindStringSubmatch(said); report != nil {
				return report[1]
			}
			return ""
		}
		refused := func(report, says string) {
			t.Helper()
			if _, _, err := run(t, env, "audit", "acknowledge", "-findings", report); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("acknowledged %q: %v, want %q", report, err, says)
			}
		}
		verify(0, "entries in")
		refused("", "-findings wants")
		refused(strings.Repeat("0", 64), "nothing is wrong")
		tamper(`DELETE FROM audit_entries WHERE seq = 2`)
		report := verify(1, "1 entry is missing")
		refused(strings.Repeat("0", 64), "other things are wrong")
		if said := mustRun(t, env, "audit", "acknowledge", "-findings", report); !strings.Contains(said, "1 findings are acknowledged") {
			t.Errorf("said %s", said)
		}
		verify(3, "known, by checkpoint")
		verify(3, "1 acknowledgements are in it; 1 findings are known by them and still there")
		if said := mustRun(t, env, "audit", "export", "-action", "audit.acknowledged"); strings.Count(said, "\n") != 1 {
			t.Errorf("the trail says %s", said)
		}
		tamper(`UPDATE audit_entries SET reason = 'x' WHERE seq = 1 AND action <> 'audit.acknowledged'`)
		verify(1, "it was changed")
		refused(report, "other things are wrong")
	})
}

func TestAuditRetentionSetting(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for v, want := range map[string]time.Duration{
		"": 0, "1d": day, "400d": 400 * day, "36h": 36 * time.Hour, "999999d": 100_000 * day,
		"0d": -1, "-3d": -1, "23h": -1, "d": -1, "400": -1, "1.5d": -1, "a year": -1,
	} {
		c, err := load(t, map[string]string{"CLAVIGER_AUDIT_RETENTION": v})
		if (err != nil) != (want < 0) {
			t.Errorf("%q: %v", v, err)
		}
		if err == nil && c.AuditRetention != want {
			t.Errorf("%q is %v, want %v", v, c.AuditRetention, want)
		}
	}
}
