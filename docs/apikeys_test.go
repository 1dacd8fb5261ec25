package docs_test

import (
	"hash/crc32"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// isKey is the page's algorithm in its own words, and none of ours.
func isKey(s string) bool {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	n, check := crc32.ChecksumIEEE([]byte(s[:len(s)-6])), ""
	for range 6 {
		check = string(digits[n%62]) + check
		n /= 62
	}
	return strings.HasPrefix(s, "clv_key_") && strings.HasSuffix(s, check)
}

// TestPatternOfAPIKeys: the pattern and the checksum of api-keys.md are those of
// keys that are made.
func TestPatternOfAPIKeys(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("api-keys.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?m)^```\n(clv_key_.*)\n```$").FindSubmatch(page)
	rule := regexp.MustCompile("(?m)^regex = '''(.*)'''$").FindSubmatch(page)
	example := regexp.MustCompile(`is_key\("([^"]+)"\)`).FindSubmatch(page)
	if block == nil || rule == nil || example == nil {
		t.Fatal("the page has no pattern, rule or example")
	}
	pattern, gitleaks := regexp.MustCompile("^"+string(block[1])+"$"), regexp.MustCompile(string(rule[1]))

	keyset, err := vault.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	v := vault.New(vault.Config{Store: storetest.SQLite(t).Open(t), Keyset: keyset})
	env, err := v.EnsureEnvironment(t.Context(), vault.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{string(example[1])}
	for range 20 {
		_, key, err := v.CreateAPIKey(t.Context(), vault.System("test", env.ID), vault.NewAPIKey{Name: "x", Scopes: vault.AllScopes()})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.Reveal())
	}
	for _, key := range keys {
		if !pattern.MatchString(key) || !isKey(key) || !vault.LooksLikeAPIKey(vault.NewSecret(key)) || len(key) != 58 {
			t.Errorf("a key of %d characters is not as the page says", len(key))
		}
		if found := gitleaks.FindStringSubmatch(`export KEY="` + key + `";`); found == nil || found[1] != key {
			t.Error("the rule does not find a key")
		}
		wrong := []byte(key)
		wrong[20] ^= 1
		if isKey(string(wrong)) {
			t.Error("a key with another character passes")
		}
	}
}
