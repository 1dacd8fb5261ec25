package yamlfile_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/providers/yamlfile"
)

type secret struct {
	Env string `yaml:"env"`
}

func (secret) Wanted() string { return "{env: NAME}" }

type doc struct {
	Name   string            `yaml:"name"`
	Count  int               `yaml:"count"`
	Secret *secret           `yaml:"secret"`
	Items  []doc             `yaml:"items"`
	Texts  map[string]string `yaml:"texts"`
}

func TestDecode(t *testing.T) {
	t.Parallel()
	var got doc
	f := yamlfile.Decode("f.yaml", []byte("name: x\ncount: 3\nsecret: {env: A}\nitems:\n  - name: y\ntexts:\n  a: b\n"), 1<<10, &got)
	if len(f.Faults()) > 0 {
		t.Fatal(f.Faults())
	}
	want := doc{Name: "x", Count: 3, Secret: &secret{"A"}, Items: []doc{{Name: "y"}}, Texts: map[string]string{"a": "b"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	f.Fault("items[0].secret.env", "is missing")
	if got := f.Faults()[0].String(); got != "f.yaml:5: items[0].secret.env: is missing" {
		t.Errorf("the nearest line: %q", got)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"name: 5\n":                        "f.yaml:1: name: must be text (put it in quotes)",
		"name: x\ncount: \"5\"\n":          "f.yaml:2: count: must be a whole number",
		"name: x\nnamex: y\n":              `f.yaml:2: namex: is not known here; is "name" meant?`,
		"planted:\n  - y\n":                "f.yaml:1: planted: is not known here",
		"name: x\nplanted: y\n":            "f.yaml:2: planted: is not known here",
		"name: x\nname: y\n":               "f.yaml:2: name: is there twice",
		"name: x\n---\nname: y\n":          "f.yaml: must hold one document, has 2",
		"name: &a x\n":                     "f.yaml:1: name: must be text (put it in quotes); anchors, aliases and tags are not taken",
		"items:\n  - name: [x\n":           "is not YAML",
		"count: 1\nsecret: planted\n":      "f.yaml:2: secret: must be {env: NAME}",
		"count: 1\nsecret: {planted: }\n":  "f.yaml:2: secret: must be {env: NAME}",
		"count: 1\nsecret: [planted]\n":    "f.yaml:2: secret: must be {env: NAME}",
		"count: 1\nsecret: |\n  planted\n": "f.yaml:2: secret: must be {env: NAME}",
		"count: 1\nsecret: {}\n":           "f.yaml:2: secret: must be {env: NAME}",
		"count: 1\nsecret:\n":              "f.yaml:2: secret: must be {env: NAME}, is empty",
		"name: \"\"\n":                     "f.yaml:1: name: is empty; leave it out",
		"# " + strings.Repeat("x", 1<<10):  "f.yaml: is larger than 1 KiB",
		"items: []\n":                      "f.yaml:1: items: is empty; leave it out",
	} {
		faults := yamlfile.Decode("f.yaml", []byte(text), 1<<10, new(doc)).Faults()
		if len(faults) != 1 || !strings.Contains(faults[0].String(), want) {
			t.Errorf("%q: %v, want %q", text, faults, want)
		}
		if strings.Contains(text, "secret:") && strings.Contains(faults[0].String(), "planted") {
			t.Errorf("%q: %v quotes what is there", text, faults)
		}
	}
}
