package vault_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/vault"
)

func TestSecretDoesNotPrint(t *testing.T) {
	t.Parallel()
	const plain = "correct-horse-battery-staple"
	secret := vault.NewSecret(plain)
	type exported struct{ S vault.Secret }
	type hidden struct{ s vault.Secret }
	type deep struct{ m map[string]hidden }
	values := map[string]any{
		"value": secret, "pointer": &secret,
		"exported field": exported{secret}, "hidden field": hidden{secret}, "pointer to hidden field": &hidden{secret},
		"in a map in a hidden field": deep{map[string]hidden{"k": {secret}}},
		"slice":                      []vault.Secret{secret},
		"credential":                 vault.Credential{"password": secret},
		"headers":                    []vault.Header{{Name: "Authorization", Value: secret}},
		"grant":                      vault.Grant{Credential: vault.Credential{"token": secret}},
	}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %[1]v"} {
				if got := fmt.Sprintf(verb, v); strings.Contains(got, plain) || strings.Contains(got, fmt.Sprintf("%x", plain)) {
					t.Errorf("%s prints the secret: %s", verb, got)
				}
			}
			var log bytes.Buffer
			slog.New(slog.NewJSONHandler(&log, nil)).Info("said", "v", v)
			slog.New(slog.NewTextHandler(&log, nil)).Info("said", "v", v)
			if strings.Contains(log.String(), plain) {
				t.Errorf("slog writes the secret: %s", log.String())
			}
			if b, _ := json.Marshal(v); bytes.Contains(b, []byte(plain)) {
				t.Errorf("JSON has the secret: %s", b)
			}
			if err := fmt.Errorf("wrapping: %v", v); strings.Contains(err.Error(), plain) {
				t.Errorf("an error has the secret: %v", err)
			}
		})
	}
	if _, err := json.Marshal(secret); err == nil {
		t.Error("marshalling a bare secret must fail loudly")
	}
	if _, err := secret.Value(); err == nil {
		t.Error("a database driver must not get a secret")
	}
	if secret.Reveal() != plain {
		t.Error("Reveal is the way out")
	}
}

func TestSecretFromJSON(t *testing.T) {
	t.Parallel()
	var in struct{ S vault.Secret }
	if err := json.Unmarshal([]byte(`{"S":"x\u0000y"}`), &in); err != nil || in.S.Reveal() != "x\x00y" {
		t.Errorf("got %q, %v", in.S.Reveal(), err)
	}
	err := json.Unmarshal([]byte(`{"S":12345678}`), &in)
	if err == nil || strings.Contains(err.Error(), "12345678") {
		t.Errorf("a wrong type must be refused without being quoted, got %v", err)
	}
}

func TestSecretEqual(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{{"a", "a", true}, {"a", "b", false}, {"a", "", false}, {"", "", true}, {"a", "aa", false}} {
		if got := vault.NewSecret(c.a).Equal(vault.NewSecret(c.b)); got != c.want {
			t.Errorf("%q = %q: got %t", c.a, c.b, got)
		}
	}
}
