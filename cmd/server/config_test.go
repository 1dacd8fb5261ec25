package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/vault"
)

func load(t *testing.T, env map[string]string, args ...string) (*config, error) {
	t.Helper()
	return loadConfig(flag.NewFlagSet("test", flag.ContinueOnError), args, env)
}

func TestNothingHasToBeConfigured(t *testing.T) {
	t.Parallel()
	c, err := load(t, map[string]string{"PATH": "/bin"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:8080" || c.PublicURL.String() != "http://localhost:8080" || !c.embedded() || c.isSet("PUBLIC_URL") {
		t.Errorf("%+v", c)
	}
}

func TestConfigurationFaults(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("k", vault.MinAPIKeyLength)
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		want []string
	}{
		"a typo":               {env: map[string]string{"CLAVIGER_PUBLIC_ULR": "x"}, want: []string{"CLAVIGER_PUBLIC_ULR", "CLAVIGER_PUBLIC_URL"}},
		"http for the world":   {env: map[string]string{"CLAVIGER_PUBLIC_URL": "http://broker.example.com"}, want: []string{"CLAVIGER_PUBLIC_URL", "https"}},
		"a path":               {env: map[string]string{"CLAVIGER_PUBLIC_URL": "https://broker.example.com/x"}, want: []string{"CLAVIGER_PUBLIC_URL"}},
		"not an address":       {args: []string{"-listen", "8080"}, want: []string{"CLAVIGER_LISTEN", "host:port"}},
		"short key":            {env: map[string]string{"CLAVIGER_API_KEY": "short"}, want: []string{"CLAVIGER_API_KEY", "32"}},
		"a key with a typo":    {env: map[string]string{"CLAVIGER_API_KEY": "clv_key_" + key}, want: []string{"CLAVIGER_API_KEY", "checksum"}},
		"keyset":               {env: map[string]string{"CLAVIGER_KEYSET": "nonsense-of-a-keyset"}, want: []string{"CLAVIGER_KEYSET", "key generate"}},
		"no keyset":            {env: map[string]string{"CLAVIGER_DATABASE_URL": "postgres://h/d"}, want: []string{"CLAVIGER_KEYSET", "required"}},
		"another database":     {env: map[string]string{"CLAVIGER_DATABASE_URL": "mysql://root:planted@h/d"}, want: []string{"CLAVIGER_DATABASE_URL", "postgres://"}},
		"CIDR":                 {env: map[string]string{"CLAVIGER_OUTBOUND_ALLOW": "10.0.0.1"}, want: []string{"CLAVIGER_OUTBOUND_ALLOW", "10.0.0.1"}},
		"level":                {env: map[string]string{"CLAVIGER_LOG_LEVEL": "loud"}, want: []string{"CLAVIGER_LOG_LEVEL"}},
		"format":               {env: map[string]string{"CLAVIGER_LOG_FORMAT": "xml"}, want: []string{"CLAVIGER_LOG_FORMAT"}},
		"twice":                {env: map[string]string{"CLAVIGER_API_KEY": key, "CLAVIGER_API_KEY_FILE": "/x"}, want: []string{"CLAVIGER_API_KEY", "twice"}},
		"missing file":         {env: map[string]string{"CLAVIGER_API_KEY_FILE": "/does/not/exist"}, want: []string{"CLAVIGER_API_KEY", "exist"}},
		"no file for this one": {env: map[string]string{"CLAVIGER_LISTEN_FILE": "/x"}, want: []string{"CLAVIGER_LISTEN_FILE"}},
		"all at once": {
			env:  map[string]string{"CLAVIGER_LOG_LEVEL": "loud", "CLAVIGER_NONSENSE": "1", "CLAVIGER_API_KEY": "short"},
			want: []string{"CLAVIGER_LOG_LEVEL", "CLAVIGER_NONSENSE", "CLAVIGER_API_KEY"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, c.env, c.args...)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			for _, secret := range []string{"planted", "nonsense-of-a-keyset", key} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q quotes a secret", err)
				}
			}
		})
	}
}

func TestFlagsBeatVariables(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	fromFile := strings.Repeat("f", vault.MinAPIKeyLength)
	if err := os.WriteFile(file, []byte(fromFile+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"CLAVIGER_API_KEY": strings.Repeat("e", vault.MinAPIKeyLength), "CLAVIGER_LISTEN": "127.0.0.1:1"}
	c, err := load(t, env, "-api-key-file", file, "-listen", "127.0.0.1:2")
	if err != nil {
		t.Fatal(err)
	}
	if c.APIKey.Reveal() != fromFile || c.Listen != "127.0.0.1:2" {
		t.Errorf("listen %s, key from the variable: %t", c.Listen, c.APIKey.Reveal() != fromFile)
	}
}

func TestListsOfValues(t *testing.T) {
	t.Parallel()
	c, err := load(t, map[string]string{
		"CLAVIGER_OUTBOUND_ALLOW": "10.0.0.0/8, 127.0.0.1/32,",
		"CLAVIGER_RETURN_URLS":    "https://a.example/x,https://b.example/y",
	})
	if err != nil || len(c.OutboundAllow) != 2 || len(c.ReturnURLs) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}
