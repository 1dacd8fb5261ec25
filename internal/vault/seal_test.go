package vault

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

func mustKeyset(t *testing.T) *Keyset {
	t.Helper()
	k, err := NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestBlobOpensOnlyInItsPlace(t *testing.T) {
	t.Parallel()
	k := mustKeyset(t)
	home := place{"connections", "env_1", "con_1", purposeCredential, 7}
	plain := []byte("the credential")
	blob, err := k.seal(home, plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.open(home, blob); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("at home: %q, %v", got, err)
	}
	elsewhere := map[string]place{
		"another table":       {"integrations", "env_1", "con_1", purposeCredential, 7},
		"another environment": {"connections", "env_2", "con_1", purposeCredential, 7},
		"another row":         {"connections", "env_1", "con_2", purposeCredential, 7},
		"another purpose":     {"connections", "env_1", "con_1", purposeAnswer, 7},
		"an older generation": {"connections", "env_1", "con_1", purposeCredential, 6},
		"shifted separators":  {"connections", "env_1con_1", "", purposeCredential, 7},
	}
	for name, at := range elsewhere {
		if _, err := k.open(at, blob); !errors.Is(err, ErrSeal) {
			t.Errorf("%s: opened, or said something else: %v", name, err)
		}
	}
	for i := range blob {
		changed := slices.Clone(blob)
		changed[i] ^= 1
		if _, err := k.open(home, changed); !errors.Is(err, ErrSeal) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := k.open(home, blob[:i]); !errors.Is(err, ErrSeal) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	if other := mustKeyset(t); true {
		if _, err := other.open(home, blob); !errors.Is(err, ErrSeal) {
			t.Errorf("another keyset: %v", err)
		}
	}
}

func TestAssociatedDataIsInjective(t *testing.T) {
	t.Parallel()
	seen := map[string]place{}
	parts := []string{"", "a", "b", "ab", "a\x00", "\x01a", "\x01"}
	for _, table := range parts {
		for _, env := range parts {
			for _, row := range parts {
				for _, generation := range []int64{0, 1, -1, 1 << 40} {
					p := place{table, env, row, purposeAnswer, generation}
					ad := string(associatedData(p.table, p.environmentID, p.rowID, p.purpose, p.generation))
					if other, ok := seen[ad]; ok {
						t.Fatalf("%v and %v are bound to the same bytes", p, other)
					}
					seen[ad] = p
				}
			}
		}
	}
}

func TestBlobNamesVersionAndKey(t *testing.T) {
	t.Parallel()
	k := mustKeyset(t)
	blob, err := k.seal(place{table: "t"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := blobKeyID(blob); !ok || id != k.PrimaryID() || blob[0] != blobVersion {
		t.Errorf("blob names key %d (%t), version %d; sealed with %d", id, ok, blob[0], k.PrimaryID())
	}
}

func TestRotatedKeysetOpensOldBlobs(t *testing.T) {
	t.Parallel()
	k1 := mustKeyset(t)
	at := place{table: "t", generation: 1}
	old, _ := k1.seal(at, []byte("old"))
	k2, err := k1.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	fresh, _ := k2.seal(at, []byte("new"))
	if got, err := k2.open(at, old); err != nil || string(got) != "old" {
		t.Errorf("old blob under the rotated keyset: %q, %v", got, err)
	}
	if _, err := k1.open(at, fresh); err == nil {
		t.Error("the keyset from before the rotation opens a new blob")
	}
	if _, err := k2.Retire(k2.PrimaryID()); err == nil {
		t.Error("the primary key must not be retired")
	}
	k3, err := k2.Retire(k1.PrimaryID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k3.open(at, old); err == nil {
		t.Error("a retired key still opens")
	}
}

func TestKeysetJSONRoundTrip(t *testing.T) {
	t.Parallel()
	k := mustKeyset(t)
	doc, err := k.JSON()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseKeyset(doc)
	if err != nil || again.PrimaryID() != k.PrimaryID() {
		t.Fatalf("read back: %v", err)
	}
	for name, bad := range map[string]string{"empty": "", "not JSON": "hunter2hunter2", "cut": doc.Reveal()[:len(doc.Reveal())/2], "no keys": `{"primaryKeyId":1,"key":[]}`} {
		if _, err := ParseKeyset(NewSecret(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		} else if bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%s: the error quotes the keyset", name)
		}
	}
}

func TestDerivedKeysFollowRotation(t *testing.T) {
	t.Parallel()
	k1 := mustKeyset(t)
	k2, _ := k1.Rotate()
	d1, _ := k1.Derive("cookie")
	d2, _ := k2.Derive("cookie")
	other, _ := k1.Derive("other")
	switch {
	case len(d1) != 1 || len(d2) != 2 || len(d1[0]) != 32:
		t.Errorf("derived %d and %d keys", len(d1), len(d2))
	case !bytes.Equal(d1[0], d2[1]):
		t.Error("after a rotation the old derived key comes second")
	case bytes.Equal(d1[0], other[0]):
		t.Error("two purposes share a key")
	}
}

func TestAnswerForms(t *testing.T) {
	t.Parallel()
	blob, err := renderAnswer([]Header{{"X-Second", NewSecret("2")}, {"Authorization", NewSecret("Bearer <a&b>")}}, "https://api.example.com", testTime, 3)
	if err != nil {
		t.Fatal(err)
	}
	a := Answer{blob}
	if got, want := string(a.JSON()), `{"headers":{"Authorization":"Bearer <a&b>","X-Second":"2"},"base_url":"https://api.example.com","expires_at":"2026-01-02T03:04:05Z","generation":3}`+"\n"; got != want {
		t.Errorf("JSON:\n got %s\nwant %s", got, want)
	}
	text, err := a.Text()
	if got, want := string(text), "Authorization: Bearer <a&b>\nX-Second: 2\n"; got != want || err != nil {
		t.Errorf("text: got %q, %v, want %q", got, err, want)
	}
	if text, err := (Answer{blob[:20]}).Text(); err == nil {
		t.Errorf("text of half an answer: %q", text)
	}
}
