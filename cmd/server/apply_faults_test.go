package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Of the form everything is said at once, and of the sense as well once the
// form is right; nothing is changed.
func TestApplyFaults(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		d := declare(t, env, declaration)
		d.mustApply()
		dir := filepath.Dir(d.file)
		for name, content := range map[string]string{"empty": " \n", "short": "planted-short", "lost": "clv_key_planted0123456789planted0123456789", "large": strings.Repeat("planted-", 9000)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d.env["EMPTY"] = ""
		d.env["OWN_KEY"] = "planted-key-that-nobody-has-declared-yet"
		for name, c := range map[string]struct{ text, want string }{
			"nothing":   {"", ": must hold one document, has 0\n"},
			"no member": {"environments:\n", ":1: environments: must be a list, is empty\n"},
			"not YAML":  {"environments: [planted\n", ":1: is not YAML: sequence end token ']' not found\n"},
			"a literal": {"environments:\n  - name: default\n    integrations:\n      - {key: a, provider: github, client_secret: planted}\n    api_keys:\n      - name: x\n        key: planted\n", "" +
				":4: environments[0].integrations[0].client_secret: must be a reference, {env: NAME} or {file: path}; a secret is never written in this file\n" +
				":7: environments[0].api_keys[0].key: must be a reference, {env: NAME} or {file: path}; a secret is never written in this file\n"},
			"more literals": {"environments:\n  - name: default\n    integrations:\n      - key: a\n        client_secret: {planted: x}\n      - key: b\n        client_secret: |\n          planted\n      - key: c\n        client_secret: [planted]\n      - key: d\n        client_secret: !!str planted\n", "" +
				":5: environments[0].integrations[0].client_secret: must be a reference, {env: NAME} or {file: path}; a secret is never written in this file\n" +
				":7: environments[0].integrations[1].client_secret: must be a reference, {env: NAME} or {file: path}; a secret is never written in this file\n" +
				":10: environments[0].integrations[2].client_secret: must be a reference, {env: NAME} or {file: path}; a secret is never written in this file\n" +
				":12: environments[0].integrations[3].client_secret: must be a reference, {env: NAME} or {file: path}; a secret is never written in this file; anchors, aliases and tags are not taken\n"},
			"form": {"environments:\n  - name: default\n    integration:\n      - key: a\n    api_keys: []\n  - name: 5\n    name: x\nversion: 1\n", "" +
				":3: environments[0].integration: is not known here; is \"integrations\" meant?\n" +
				":5: environments[0].api_keys: is empty; leave it out\n" +
				":6: environments[1].name: must be text (put it in quotes)\n" +
				":7: environments[1].name: is there twice\n" +
				":8: version: is not known here\n"},
			"names": {"environments:\n  - name: Default\n  - integrations:\n      - key: a\n  - name: default\n    integrations:\n      - key: -\"\n        provider: toggl\n      - key: toggl\n        provider: toggl\n      - key: toggl\n        provider: toggl\n      - provider: toggl\n  - name: default\n", "" +
				":2: environments[0].name: 1 to 64 lower-case letters, digits, - or _, beginning and ending with a letter or digit\n" +
				":3: environments[1].name: is missing\n" +
				":7: environments[2].integrations[0].key: 1 to 64 lower-case letters, digits, - or _, beginning and ending with a letter or digit\n" +
				":11: environments[2].integrations[2].key: environments[2].integrations[1] has the same\n" +
				":13: environments[2].integrations[3].key: is missing\n" +
				":14: environments[3].name: environments[2] has the same\n"},
			"integrations": {"environments:\n  - name: default\n    integrations:\n      - key: a\n        provider: togl\n      - key: b\n        provider: toggl\n        methods: [api_token, pasword, api_token]\n      - key: c\n        provider: github\n        overrides:\n          base_url: http://10.0.0.1\n          allowed_hosts: [\"*\"]\n      - key: toggl\n        provider: clicktime\n      - key: d\n", "" +
				":5: environments[0].integrations[0].provider: There is no provider \"togl\" in the catalog; is \"toggl\" meant?\n" +
				":8: environments[0].integrations[1].methods[1]: Toggl Track has no method \"pasword\"; is \"password\" meant?\n" +
				":8: environments[0].integrations[1].methods[2]: This method is listed already\n" +
				":9: environments[0].integrations[2].client_id: Sign in at GitHub (method \"oauth\") needs a client id. Give one, or do not offer that method\n" +
				":9: environments[0].integrations[2].client_secret: Sign in at GitHub (method \"oauth\") needs a client secret. Give one, or do not offer that method\n" +
				":12: environments[0].integrations[2].overrides.base_url: This cannot be called: the URL's host: the address is in a private or special range\n" +
				":13: environments[0].integrations[2].overrides.allowed_hosts[0]: This is a host such as api.example.com, or *.example.com for all below it\n" +
				":15: environments[0].integrations[3].provider: the integration is there with the provider \"toggl\", which cannot be changed; take another key, or remove it first\n" +
				":16: environments[0].integrations[4].provider: is missing\n"},
			"references": {"environments:\n  - name: default\n    integrations:\n      - {key: a, provider: github, client_id: x, client_secret: {env: planted_of_the_name}}\n      - {key: b, provider: github, client_id: x, client_secret: {file: planted/as/path}}\n      - {key: c, provider: github, client_id: x, client_secret: {file: empty}}\n      - {key: d, provider: github, client_id: x, client_secret: {file: large}}\n      - {key: e, provider: github, client_id: x, client_secret: {file: .}}\n      - {key: f, provider: github, client_id: x, client_secret: {env: EMPTY}}\n      - {key: g, provider: github, client_id: x, client_secret: {env: EMPTY, file: empty}}\n", "" +
				":4: environments[0].integrations[0].client_secret: the variable with the name in env is not set, or empty\n" +
				":5: environments[0].integrations[1].client_secret: there is no such file\n" +
				":6: environments[0].integrations[2].client_secret: the file is empty\n" +
				":7: environments[0].integrations[3].client_secret: the file is larger than 64 KiB\n" +
				":8: environments[0].integrations[4].client_secret: the file cannot be read\n" +
				":9: environments[0].integrations[5].client_secret: the variable with the name in env is not set, or empty\n" +
				":10: environments[0].integrations[6].client_secret: needs either env or file\n"},
			"keys": {"environments:\n  - name: default\n    api_keys:\n      - {name: a, key: {file: short}, scopes: [\"audit:read\"]}\n      - {name: b, key: {file: lost}, scopes: [\"audit:read\"]}\n      - {name: c, key: {env: OWN_KEY}, scopes: [\"audit:raed\", everything], expires_at: 2020-01-01T00:00:00Z}\n      - {name: d, key: {env: OWN_KEY}, scopes: [\"audit:read\"]}\n      - {name: e, scopes: [\"audit:read\"]}\n      - {key: {env: REPORTS_KEY}}\n      - {name: f, key: {file: nightly.key}, scopes: [\"audit:read\"], expires_at: tomorrow}\n  - name: staging\n    api_keys:\n      - {name: g, key: {file: nightly.key}, scopes: [\"audit:read\"]}\n", "" +
				":4: environments[0].api_keys[0].key: must have at least 32 characters\n" +
				":5: environments[0].api_keys[1].key: begins like a key of ours and its checksum is wrong: a character was lost or changed\n" +
				":6: environments[0].api_keys[2].scopes[0]: There is no such scope; is \"audit:read\" meant?\n" +
				":6: environments[0].api_keys[2].scopes[1]: There is no such scope\n" +
				":6: environments[0].api_keys[2].expires_at: Must be in the future\n" +
				":7: environments[0].api_keys[3].key: is the same key as that of environments[0].api_keys[2]\n" +
				":8: environments[0].api_keys[4].key: is missing\n" +
				":9: environments[0].api_keys[5].name: Is required\n" +
				":9: environments[0].api_keys[5].scopes: Name at least one scope\n" +
				":10: environments[0].api_keys[6].expires_at: must be a time such as 2030-12-31T23:59:59Z\n" +
				":13: environments[1].api_keys[0].key: is a key of another environment already\n"},
		} {
			d.write(c.text)
			out, err := d.apply(nil, "-yes", "-prune")
			if err == nil || exitStatus(err) != 1 || out != "" {
				t.Errorf("%s: accepted: %v\n%s", name, err, out)
				continue
			}
			if diff := cmp.Diff(c.want, strings.ReplaceAll(err.Error()+"\n", d.file, "")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		d.write(declaration)
		d.plan(0, noDrift)
		if _, _, err := run(t, d.env, "apply", "-f", filepath.Join(dir, "nowhere.yaml")); err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
			t.Error(err)
		}
		if _, _, err := run(t, d.env, "apply", d.file); err == nil || !strings.Contains(err.Error(), "-f") {
			t.Error(err)
		}
	})
}
