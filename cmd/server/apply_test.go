package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/vault"
)

// Secrets of the declarations below; each has the word that is looked for.
const (
	clientSecret = "planted-client-secret"
	nextSecret   = "planted-next-client-secret"
	reportsKey   = "planted-key-of-the-reports-0123456789"
	nightlyKey   = "planted-key-of-the-nightly-run-0123456789"
)

// declaring is a file, a broker and what apply has said so far.
type declaring struct {
	t    *testing.T
	env  map[string]string
	file string
	said strings.Builder
}

func declare(t *testing.T, env map[string]string, text string) *declaring {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nightly.key"), []byte(nightlyKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &declaring{t: t, env: maps.Clone(env), file: filepath.Join(dir, "claviger.yaml")}
	maps.Copy(d.env, map[string]string{"TIMELOG_SECRET": clientSecret, "REPORTS_KEY": reportsKey, "CLAVIGER_LOG_LEVEL": "debug"})
	if env["CLAVIGER_DATABASE_URL"] != "" {
		mustRun(t, env, "migrate", "up")
	}
	d.write(text)
	t.Cleanup(func() {
		if strings.Contains(d.said.String(), "planted") {
			t.Errorf("a secret was said:\n%s", d.said.String())
		}
	})
	return d
}

func (d *declaring) write(text string) {
	d.t.Helper()
	if err := os.WriteFile(d.file, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// apply runs it, with an answer for whoever asks where there is one.
func (d *declaring) apply(ask func(context.Context, string) (string, error), flags ...string) (string, error) {
	d.t.Helper()
	var out, log output
	p := &process{env: d.env, stdout: &out, stderr: &log, ask: ask}
	err := p.run(d.t.Context(), append([]string{"apply", "-f", d.file}, flags...))
	d.said.WriteString(out.String() + log.String())
	if err != nil {
		d.said.WriteString(err.Error())
	}
	return out.String(), err
}

// plan is what a dry run says, and the exit status.
func (d *declaring) plan(status int, want string, flags ...string) {
	d.t.Helper()
	got, err := d.apply(nil, append(flags, "-dry-run")...)
	if exitStatus(err) != status {
		d.t.Errorf("exit status %d, want %d: %v", exitStatus(err), status, err)
	}
	if diff := cmp.Diff(strings.TrimLeft(want, "\n"), got); diff != "" {
		d.t.Errorf("the plan (-want +got):\n%s", diff)
	}
}

func (d *declaring) mustApply(flags ...string) string {
	d.t.Helper()
	out, err := d.apply(nil, append(flags, "-yes")...)
	if err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// broker opens the database beside the command.
func (d *declaring) broker(do func(ctx context.Context, b *broker, env *vault.Environment)) {
	d.t.Helper()
	cfg, err := loadConfig(flag.NewFlagSet("test", flag.ContinueOnError), nil, d.env)
	if err != nil {
		d.t.Fatal(err)
	}
	b, err := openBroker(d.t.Context(), cfg, (&process{stderr: &output{}}).logger(cfg))
	if err != nil {
		d.t.Fatal(err)
	}
	defer b.close(d.t.Context())
	env, err := b.vault.EnsureEnvironment(d.t.Context(), vault.DefaultEnvironment)
	if err != nil {
		d.t.Fatal(err)
	}
	do(d.t.Context(), b, env)
}

// trail is what apply has done, as the trail of the environment has it.
func (d *declaring) trail() []vault.Action {
	d.t.Helper()
	var actions []vault.Action
	d.broker(func(ctx context.Context, b *broker, env *vault.Environment) {
		entries, err := b.vault.Audit(ctx, vault.System("test", env.ID), vault.AuditFilter{ActorID: "apply", Page: vault.Page{Limit: 200}})
		if err != nil {
			d.t.Fatal(err)
		}
		for _, e := range entries {
			actions = append(actions, e.Action)
		}
	})
	return actions
}

const declaration = `environments:
  - name: default
    integrations:
      - key: toggl
        provider: toggl
        title: Toggl Track
        methods: [api_token]
      - key: timelog
        provider: timelog
        client_id: the-client
        client_secret: {env: TIMELOG_SECRET}
        scopes: [openid, offline_access]
        overrides:
          issuer: https://login.example.com
          allowed_hosts: ["*.example.com"]
    api_keys:
      - name: reports
        key: {env: REPORTS_KEY}
        scopes: [integrations:read, connections:read]
        expires_at: 2050-01-02T03:04:05+01:00
      - name: nightly
        key: {file: nightly.key}
        scopes: [events:read]
  - name: staging
`

const firstPlan = `
environment default: new
  create     integration toggl
               provider: "toggl"
               title: "Toggl Track"
               methods: ["api_token"]
  create     integration timelog
               provider: "timelog"
               client_id: "the-client"
               scopes: ["openid", "offline_access"]
               overrides.issuer: "https://login.example.com"
               overrides.allowed_hosts: ["*.example.com"]
               client_secret: set (not shown)
  create     API key "reports"
               scopes: ["connections:read", "integrations:read"]
               expires_at: 2050-01-02T02:04:05Z
  create     API key "nightly"
               scopes: ["events:read"]
environment staging: new
plan: 6 to create, 0 to change, 0 to remove, 0 unchanged, 0 not declared
`

const noDrift = `
environment default: there
  unchanged  integration toggl
  unchanged  integration timelog
  unchanged  API key "reports"
  unchanged  API key "nightly"
environment staging: there
plan: 0 to create, 0 to change, 0 to remove, 6 unchanged, 0 not declared
`

func TestApply(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		d := declare(t, env, declaration)
		d.plan(2, firstPlan)
		if _, _, err := run(t, d.env, "export"); err == nil || !strings.Contains(err.Error(), "nothing to export") {
			t.Errorf("a dry run has changed something: %v", err)
		}
		if _, err := os.Stat(filepath.Join(env["CLAVIGER_DATA_DIR"], "claviger.db")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a dry run has made a database: %v", err)
		}

		if _, err := d.apply(nil); err == nil || exitStatus(err) != 1 || !strings.Contains(err.Error(), "-yes") {
			t.Errorf("applied without asking anybody: %v", err)
		}
		if _, err := d.apply(func(context.Context, string) (string, error) { return "y", nil }); err == nil {
			t.Error("applied without a yes")
		}
		d.plan(2, firstPlan)
		out, err := d.apply(func(context.Context, string) (string, error) { return "yes", nil })
		if err != nil {
			t.Fatal(err)
		}
		want := strings.TrimLeft(firstPlan, "\n") + `created  environment default
created  default: integration toggl
created  default: integration timelog
created  default: API key "reports"
created  default: API key "nightly"
created  environment staging
`
		if diff := cmp.Diff(want, out); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
		d.plan(0, noDrift)
		before := d.trail()
		if out := d.mustApply(); out != strings.TrimLeft(noDrift, "\n") {
			t.Errorf("the second time:\n%s", out)
		}
		wanted := []vault.Action{vault.ActionAPIKeyCreated, vault.ActionAPIKeyCreated, vault.ActionIntegrationCreated, vault.ActionIntegrationCreated}
		if diff := cmp.Diff(wanted, before); diff != "" {
			t.Errorf("the trail (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(before, d.trail()); diff != "" {
			t.Errorf("applying an applied file left traces:\n%s", diff)
		}

		p := start(t, env)
		if status, body := get(t, p.url+"/v1/integrations/timelog", reportsKey); status != http.StatusOK || !strings.Contains(body, "login.example.com") {
			t.Errorf("with a declared key: %d %s", status, body)
		}
		if status, _ := get(t, p.url+"/v1/integrations", nightlyKey); status != http.StatusForbidden {
			t.Errorf("beyond its scopes: %d", status)
		}
	})
}

func TestApplyChanges(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		d := declare(t, env, declaration)
		d.mustApply()
		d.env["TIMELOG_SECRET"] = nextSecret
		d.write(strings.NewReplacer(
			"        title: Toggl Track\n", "",
			"login.example.com", "login.example.org",
			"[openid, offline_access]", "[openid]",
			"[integrations:read, connections:read]", "[connections:read]",
			"2050-01-02T03:04:05+01:00", "2051-01-02T03:04:05.5Z",
			"name: nightly", "name: every night",
		).Replace(declaration))
		d.plan(2, `
environment default: there
  change     integration toggl
               title: "Toggl Track" -> none
  change     integration timelog
               scopes: ["openid", "offline_access"] -> ["openid"]
               overrides.issuer: "https://login.example.com" -> "https://login.example.org"
               client_secret: another (not shown)
  change     API key "reports"
               scopes: ["connections:read", "integrations:read"] -> ["connections:read"]
               expires_at: 2050-01-02T02:04:05Z -> 2051-01-02T03:04:05.5Z
  change     API key "every night"
               name: "nightly" -> "every night"
environment staging: there
plan: 0 to create, 4 to change, 0 to remove, 2 unchanged, 0 not declared
`)
		d.mustApply()
		if out, err := d.apply(nil, "-dry-run"); err != nil {
			t.Errorf("drift after applying: %v\n%s", err, out)
		}
		d.broker(func(ctx context.Context, b *broker, env *vault.Environment) {
			in, err := b.vault.Integration(ctx, vault.System("test", env.ID), "timelog")
			if err != nil {
				t.Fatal(err)
			}
			if in, err = b.vault.OpenIntegration(ctx, vault.System("test", env.ID), in.ID); err != nil || in.ClientSecret.Reveal() != nextSecret {
				t.Errorf("the client secret is another: %v", err)
			}
		})

		// Without its secret, an integration keeps none.
		d.write(strings.NewReplacer(
			"        client_secret: {env: TIMELOG_SECRET}\n", "        methods: [personal_access_token]\n", "        title: Toggl Track\n", "",
			"[integrations:read, connections:read]", "[connections:read]", "2050-01-02T03:04:05+01:00", "2051-01-02T03:04:05.5Z", "name: nightly", "name: every night",
		).Replace(declaration))
		if out := d.mustApply(); !strings.Contains(out, "client_secret: set (not shown) -> none") {
			t.Error(out)
		}
		if out, err := d.apply(nil, "-dry-run"); err != nil {
			t.Errorf("drift after applying: %v\n%s", err, out)
		}
	})
}

var shownID = regexp.MustCompile(`key_[0-9a-z]+`)

func TestApplyPrunes(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		d := declare(t, env, declaration)
		d.mustApply()
		d.broker(func(ctx context.Context, b *broker, env *vault.Environment) {
			caller := vault.System("test", env.ID)
			if _, _, err := b.vault.CreateAPIKey(ctx, caller, vault.NewAPIKey{Name: "by hand", Scopes: vault.AllScopes()}); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"linked", "unused"} {
				in, err := b.vault.CreateIntegration(ctx, caller, vault.Integration{Key: key, Provider: "token"})
				if err != nil {
					t.Fatal(err)
				}
				if key == "linked" {
					_, err := b.vault.ImportConnection(ctx, caller, vault.NewImport{Integration: in, EndUser: vault.EndUser{ID: "ada"}, Method: "bearer", Grant: vault.Grant{
						Credential: vault.Credential{"token": vault.NewSecret("planted-token")},
						Headers:    []vault.Header{{Name: "Authorization", Value: vault.NewSecret("Bearer planted-token")}},
					}})
					if err != nil {
						t.Fatal(err)
					}
				}
			}
		})
		d.write(strings.Replace(declaration[:strings.Index(declaration, "      - name: nightly")], "Toggl Track", "Toggl", 1))
		hideIDs := func(s string) string { return shownID.ReplaceAllString(s, "key_…") }
		out, err := d.apply(nil, "-dry-run")
		if !errors.Is(err, errDrift) {
			t.Error(err)
		}
		if diff := cmp.Diff(`environment default: there
  change     integration toggl
               title: "Toggl Track" -> "Toggl"
  unchanged  integration timelog
  unchanged  API key "reports"
  undeclared integration linked
  undeclared integration unused
  undeclared API key "by hand" (key_…)
  undeclared API key "nightly" (key_…)
environment staging: not declared, left alone
plan: 0 to create, 1 to change, 0 to remove, 3 unchanged, 5 not declared
`, hideIDs(out)); diff != "" {
			t.Errorf("without -prune (-want +got):\n%s", diff)
		}
		out = d.mustApply("-prune")
		if diff := cmp.Diff(`environment default: there
  change     integration toggl
               title: "Toggl Track" -> "Toggl"
  unchanged  integration timelog
  unchanged  API key "reports"
  keep       integration linked: has live connections; revoke them first
  remove     integration unused
  keep       API key "by hand" (key_…): was not made by apply
  revoke     API key "nightly" (key_…)
environment staging: not declared, left alone
plan: 0 to create, 1 to change, 2 to remove, 3 unchanged, 3 not declared
changed  default: integration toggl
removed  default: integration unused
revoked  default: API key "nightly"
`, hideIDs(out)); diff != "" {
			t.Errorf("with -prune (-want +got):\n%s", diff)
		}
		if out, err := d.apply(nil, "-dry-run", "-prune"); err != nil || strings.Contains(out, "nightly") {
			t.Errorf("after pruning: %v\n%s", err, out)
		}
		// A revoked key does not come back.
		d.write(declaration)
		if _, err := d.apply(nil, "-dry-run"); err == nil || !strings.Contains(err.Error(), "claviger.yaml:22: environments[0].api_keys[1].key: was revoked") {
			t.Errorf("a revoked key: %v", err)
		}
	})
}

// Between plan and yes somebody else makes one of the integrations.
func TestApplyFailsInTheMiddle(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		d := declare(t, env, declaration)
		out, err := d.apply(func(context.Context, string) (string, error) {
			d.broker(func(ctx context.Context, b *broker, env *vault.Environment) {
				in := vault.Integration{Key: "timelog", Provider: "timelog", Methods: []string{"personal_access_token"}}
				if _, err := b.vault.CreateIntegration(ctx, vault.System("test", env.ID), in); err != nil {
					t.Fatal(err)
				}
			})
			return "yes", nil
		})
		if err == nil || !strings.Contains(err.Error(), `create default: integration timelog: There is an integration with the key "timelog" already.`) ||
			!strings.Contains(err.Error(), "2 of 6 changes were made") || exitStatus(err) != 1 {
			t.Errorf("%v", err)
		}
		if want := strings.TrimLeft(firstPlan, "\n") + `created  environment default
created  default: integration toggl
not done default: integration timelog (create)
not done default: API key "reports" (create)
not done default: API key "nightly" (create)
not done environment staging (create)
`; out != want {
			t.Errorf("(-want +got):\n%s", cmp.Diff(want, out))
		}
		out = d.mustApply()
		for _, want := range []string{"unchanged  integration toggl", "changed  default: integration timelog", "client_secret: none -> set (not shown)", "created  environment staging"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		d.plan(0, noDrift)
	})
}

func TestExport(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		d := declare(t, env, declaration)
		d.mustApply()
		d.broker(func(ctx context.Context, b *broker, env *vault.Environment) {
			caller := vault.System("test", env.ID)
			for _, in := range []vault.Integration{
				{Key: "7", Provider: "token", Title: "quotes \" and \\ and ' # : - \u2028 \ufffd 🗝"},
				{Key: "true", Provider: "token", Title: " null"},
				{Key: "a-b", Provider: "github", ClientID: "1e3", ClientSecret: vault.NewSecret(clientSecret)},
				{Key: "a_b", Provider: "github", ClientID: "0x1F", ClientSecret: vault.NewSecret(nextSecret)},
			} {
				if _, err := b.vault.CreateIntegration(ctx, caller, in); err != nil {
					t.Fatal(err)
				}
			}
			k, _, err := b.vault.CreateAPIKey(ctx, caller, vault.NewAPIKey{Name: "gone-by-then", Scopes: vault.AllScopes()})
			if err != nil {
				t.Fatal(err)
			}
			if err := b.vault.RevokeAPIKey(ctx, caller, k.ID); err != nil {
				t.Fatal(err)
			}
		})
		text, stderr, err := run(t, d.env, "export")
		if err != nil {
			t.Fatal(err)
		}
		d.said.WriteString(text + stderr)
		for _, no := range []string{"gone-by-then", "key_0", "int_0"} {
			if strings.Contains(text, no) {
				t.Errorf("%q is in\n%s", no, text)
			}
		}
		// Somewhere else, the same comes of it.
		d.write(text)
		maps.Copy(d.env, map[string]string{
			"CLIENT_SECRET_DEFAULT_TIMELOG": clientSecret, "CLIENT_SECRET_DEFAULT_A_B": clientSecret, "CLIENT_SECRET_DEFAULT_A_B_2": nextSecret,
			"API_KEY_DEFAULT_NIGHTLY": nightlyKey, "API_KEY_DEFAULT_REPORTS": reportsKey,
		})
		if out, err := d.apply(nil, "-dry-run"); err != nil {
			t.Fatalf("the export is not what is there: %v\n%s%s", err, out, text)
		}
		elsewhere := declare(t, map[string]string{"CLAVIGER_DATA_DIR": filepath.Join(t.TempDir(), "data")}, text)
		for name, value := range d.env {
			if !strings.HasPrefix(name, "CLAVIGER_") {
				elsewhere.env[name] = value
			}
		}
		elsewhere.mustApply()
		again, _, err := run(t, elsewhere.env, "export")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(text, again); diff != "" {
			t.Errorf("exported again (-first +second):\n%s", diff)
		}
	})
}

func TestAsk(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if answer, err := ask(t.Context(), strings.NewReader(" yes \nno\n"), &out, "Really? "); answer != "yes" || err != nil || out.String() != "Really? " {
		t.Errorf("%q, %v, %q", answer, err, out.String())
	}
	if answer, err := ask(t.Context(), strings.NewReader(""), &out, "?"); answer != "" || err != nil {
		t.Errorf("nobody answers: %q, %v", answer, err)
	}
	silent, w := io.Pipe() // somebody who thinks it over
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ask(ctx, silent, &out, "?"); !errors.Is(err, context.Canceled) {
		t.Errorf("a signal does not get through: %v", err)
	}
}

// The page's example is applied as it stands, and its output is what comes of it.
func TestApplyOfTheDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/setup.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```yaml\n")
	example, rest, _ := strings.Cut(example, "```\n")
	_, shown, _ := strings.Cut(rest, "$ claviger apply -f claviger.yaml\n")
	shown, _, _ = strings.Cut(shown, "```\n")
	d := declare(t, map[string]string{"CLAVIGER_DATA_DIR": filepath.Join(t.TempDir(), "data")}, example)
	d.env["TIMELOG_CLIENT_SECRET"], d.env["CRM_STAGING_CLIENT_SECRET"] = clientSecret, nextSecret
	if err := os.Mkdir(filepath.Join(filepath.Dir(d.file), "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(d.file), "secrets", "reports.key"), []byte(reportsKey), 0o600); err != nil {
		t.Fatal(err)
	}
	const question = "Make these changes? Only yes will do: "
	out, err := d.apply(func(_ context.Context, q string) (string, error) {
		if q != question {
			t.Errorf("asked %q", q)
		}
		return "yes", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Replace(shown, question+"yes\n", "", 1), out); diff != "" {
		t.Errorf("setup.md shows something else (-page +program):\n%s", diff)
	}

	d.write(strings.Replace(example, "provider: timelog", "provider: timlog", 1))
	delete(d.env, "TIMELOG_CLIENT_SECRET")
	_, err = d.apply(nil, "-yes")
	if err == nil {
		t.Fatal("accepted")
	}
	for fault := range strings.Lines(err.Error() + "\n") {
		if !strings.Contains(string(page), "\nclaviger: claviger.yaml"+strings.TrimPrefix(fault, d.file)) {
			t.Errorf("setup.md does not show %q", fault)
		}
	}
}
