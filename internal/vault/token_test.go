package vault

import (
	"slices"
	"strings"
	"testing"
	"time"
)

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestTokensAreRecognised(t *testing.T) {
	t.Parallel()
	key := mint(prefixAPIKey).Reveal()
	flipped := []byte(key)
	flipped[20] = map[bool]byte{true: 'a', false: 'b'}[flipped[20] == 'b']
	for name, c := range map[string]struct {
		token string
		want  bool
	}{
		"a key":                {key, true},
		"a session token":      {mint(prefixSession).Reveal(), true},
		"a character changed":  {string(flipped), false},
		"a character lost":     {key[:len(key)-1], false},
		"a character too many": {key + "0", false},
		"something else":       {"ghp_0123456789012345678901234567890123456", false},
		"empty":                {"", false},
		"prefix only":          {"clv_", false},
	} {
		if got := LooksLikeToken(NewSecret(c.token)); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestTokensAreLongAndDifferent(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		s := mint(prefixAPIKey).Reveal()
		if len(s) != len(prefixAPIKey)+randomDigits+1+checksumDigits || seen[s] {
			t.Fatalf("%d characters, seen before: %t", len(s), seen[s])
		}
		seen[s] = true
	}
}

func TestIDsSortByTime(t *testing.T) {
	t.Parallel()
	var ids []string
	for range 1000 {
		ids = append(ids, newID("con"))
	}
	if !slices.IsSorted(ids) || !strings.HasPrefix(ids[0], "con_") {
		t.Errorf("not sorted: %v", ids[:3])
	}
}
