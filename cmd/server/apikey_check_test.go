package main

import (
	"errors"
	"strings"
	"testing"
)

// TestAPIKeyCheck: what a found key is, and never the key.
func TestAPIKeyCheck(t *testing.T) {
	eachEnv(t, func(t *testing.T, env map[string]string) {
		key := strings.TrimSpace(mustRun(t, env, "apikey", "create", "-name", "found", "-environment", "staging"))
		check := func(stdin string) (string, error) {
			t.Helper()
			var out, log output
			err := (&process{env: env, stdin: strings.NewReader(stdin), stdout: &out, stderr: &log}).run(t.Context(), []string{"apikey", "check"})
			if said := out.String() + log.String(); strings.Contains(said, key) {
				t.Errorf("the key is in what it says: %s", said)
			}
			return out.String(), err
		}
		out, err := check(key + "\n")
		if !errors.Is(err, errKeyWorks) || exitStatus(err) != 2 {
			t.Errorf("a key that works: %v", err)
		}
		for _, want := range []string{"its checksum is right", `"found" in environment staging`, "never expires", "credentials:read"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in %s", want, out)
			}
		}
		_, after, _ := strings.Cut(out, "known\t")
		id, _, _ := strings.Cut(after, " ")
		mustRun(t, env, "apikey", "revoke", "-environment", "staging", id)
		for stdin, want := range map[string]string{
			key: "revoked 2",
			"clv_key_ThisIsNoKeyButAnExampleOfWhatOneLooksLike00_0Hhuxu": "known\tno",
			"clv_key_ThisIsNoKeyButAnExampleOfWhatOneLooksLike01_0Hhuxu": "its checksum is wrong",
			"correct horse battery staple":                               "none of Claviger's own making",
		} {
			if out, err := check(stdin); err != nil || !strings.Contains(out, want) {
				t.Errorf("want %q: %s, %v", want, out, err)
			}
		}
		for _, stdin := range []string{"", " \n", strings.Repeat("k", maxKeyInput+1)} {
			if _, err := check(stdin); exitStatus(err) != 1 {
				t.Errorf("%d bytes: %v", len(stdin), err)
			}
		}
	})
}
