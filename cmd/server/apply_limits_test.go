package main

import (
	"strings"
	"testing"
)

const limitedKeys = `
environments:
  - name: default
    integrations:
      - key: toggl
        provider: toggl
    api_keys:
      - name: reports
        key: {env: REPORTS_KEY}
        scopes: [credentials:read]
        integrations: [toggl]
        addresses: [192.0.2.7, "2001:db8::/32"]
`

// TestApplyLimits: keys with limits, to an integration of the same file, there
// and back.
func TestApplyLimits(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		d := declare(t, env, limitedKeys)
		d.plan(2, `
environment default: new
  create     integration toggl
               provider: "toggl"
  create     API key "reports"
               scopes: ["credentials:read"]
               integrations: ["toggl"]
               addresses: ["192.0.2.7/32", "2001:db8::/32"]
plan: 3 to create, 0 to change, 0 to remove, 0 unchanged, 0 not declared
`)
		d.mustApply()
		d.plan(0, `
environment default: there
  unchanged  integration toggl
  unchanged  API key "reports"
plan: 0 to create, 0 to change, 0 to remove, 3 unchanged, 0 not declared
`)
		exported := mustRun(t, d.env, "export")
		for _, want := range []string{"integrations:\n          - toggl", "addresses:\n          - \"192.0.2.7/32\"\n          - \"2001:db8::/32\""} {
			if !strings.Contains(exported, want) {
				t.Errorf("no %q in\n%s", want, exported)
			}
		}
		for line := range strings.Lines(exported) {
			if _, variable, ok := strings.Cut(line, "key: {env: "); ok {
				d.env[strings.TrimSuffix(strings.TrimSpace(variable), "}")] = reportsKey
			}
		}
		d.write(exported)
		d.plan(0, `
environment default: there
  unchanged  integration toggl
  unchanged  API key "reports"
plan: 0 to create, 0 to change, 0 to remove, 3 unchanged, 0 not declared
`)

		// What the file says otherwise is drift.
		d.write(strings.Replace(strings.Replace(limitedKeys, "        integrations: [toggl]\n        addresses", "        addresses", 1), `, "2001:db8::/32"]`, "]", 1))
		d.plan(2, `
environment default: there
  unchanged  integration toggl
  change     API key "reports"
               integrations: ["toggl"] -> none
               addresses: ["192.0.2.7/32", "2001:db8::/32"] -> ["192.0.2.7/32"]
plan: 0 to create, 1 to change, 0 to remove, 2 unchanged, 0 not declared
`)
		d.mustApply()
		if out := mustRun(t, d.env, "apikey", "list"); strings.Contains(out, "integrations=") || !strings.Contains(out, "addresses=192.0.2.7/32\n") {
			t.Errorf("after the change: %s", out)
		}
	})
}

// TestApplyBadLimits: what a limit cannot be, with the line.
func TestApplyBadLimits(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		d := declare(t, env, strings.NewReplacer("[toggl]\n        addresses", "[togl]\n        addresses", "192.0.2.7", "192.0.2.7/24", "credentials:read]", "credentials:read, audit:read]").Replace(limitedKeys))
		out, err := d.apply(nil, "-yes")
		if err == nil {
			t.Fatal(out)
		}
		for _, want := range []string{
			`:11: environments[0].api_keys[0].integrations[0]: There is no integration "togl"; is "toggl" meant?`,
			"api_keys[0].addresses[0]: It has bits set beyond its length, unlike 192.0.2.0/24",
			"api_keys[0].scopes[1]: Is about the whole environment",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("no %q in %v", want, err)
			}
		}
	})
}
