package vault_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

func TestTerms(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 127) + "ä"
	for _, tt := range []struct {
		c    vault.Connection
		want []string
	}{
		{vault.Connection{EndUser: vault.EndUser{ID: "  "}}, nil},
		{
			vault.Connection{
				ExternalID: "legacy/42", EndUser: vault.EndUser{ID: "User-1", Email: "Ada@Example.com", Name: "Ada  LOVELACE"},
				Account: vault.Account{ID: "not searched", Label: "ada@example.COM"},
			},
			[]string{"ada", "ada@example.com", "example.com", "legacy/42", "lovelace", "user-1"},
		},
		{vault.Connection{EndUser: vault.EndUser{ID: long}}, []string{long[:127]}}, // no letter is cut in two
		{vault.Connection{EndUser: vault.EndUser{ID: "ÄÖÜ@"}}, []string{"äöü@"}},
		// One form for each way to write it (UAX #15), also where a letter composes, or
		// is lower-cased, in one case only.
		{vault.Connection{EndUser: vault.EndUser{ID: "Zo\u00eb", Name: "ZOE\u0308"}}, []string{"zo\u00eb"}},
		{vault.Connection{EndUser: vault.EndUser{ID: "J\u030c", Name: "\u01f0"}}, []string{"\u01f0"}},
		{vault.Connection{EndUser: vault.EndUser{ID: "\u0130i", Name: "I\u0307i"}}, []string{"ii"}},
		{vault.Connection{EndUser: vault.EndUser{ID: "\u212b", Name: "a\u030a"}}, []string{"\u00e5"}},
		{vault.Connection{EndUser: vault.EndUser{ID: "\ufb01n", Name: "fin"}}, []string{"fin", "\ufb01n"}}, // alike, and not the same
	} {
		if diff := cmp.Diff(tt.want, tt.c.Terms()); diff != "" {
			t.Errorf("%+v: (-want +got)\n%s", tt.c, diff)
		}
	}
}

func TestResolveFilter(t *testing.T) {
	t.Parallel()
	w := vault.New(vault.Config{})
	for _, tt := range []struct {
		query string
		tags  map[string]string
		want  map[string]string
		words []string
	}{
		{"", nil, map[string]string{}, nil},
		{"Ada tag:team=Blue  LOVE", nil, map[string]string{"team": "Blue"}, []string{"ada", "love"}},
		{"tag:team=blue", map[string]string{"tier": "1"}, map[string]string{"team": "blue", "tier": "1"}, nil},
		{"tag:team=blue", map[string]string{"team": "red"}, map[string]string{"team": "red"}, []string{"tag:team=blue"}},
		{"tag:a=b=c tag:=x tag:y", nil, map[string]string{"a": "b=c"}, []string{"tag:=x", "tag:y"}},
		{"ZOE\u0308 tag:Zoe\u0308=Zoe\u0308", nil, map[string]string{"Zo\u00eb": "Zo\u00eb"}, []string{"zo\u00eb"}},
		{"tag:\u00e9=1", map[string]string{"e\u0301": "1"}, map[string]string{"\u00e9": "1"}, nil},
		{"tag:\u00e9=1", map[string]string{"e\u0301": "2"}, map[string]string{"\u00e9": "2"}, []string{"tag:\u00e9=1"}},
		// Both at once has nothing: what is kept has the composed one only.
		{"", map[string]string{"\u00e9": "1", "e\u0301": "2"}, map[string]string{"\u00e9": "1", "e\u0301": "2"}, nil},
		{"a b c d e f g h i j", nil, map[string]string{}, []string{"a", "b", "c", "d", "e", "f", "g", "h"}},
	} {
		f := w.ResolveFilter(vault.Caller{}, vault.ConnectionFilter{Query: tt.query, Tags: tt.tags})
		if diff := cmp.Diff(tt.want, f.Tags); diff != "" {
			t.Errorf("%q: tags (-want +got)\n%s", tt.query, diff)
		}
		if diff := cmp.Diff(tt.words, f.Words()); diff != "" {
			t.Errorf("%q: words (-want +got)\n%s", tt.query, diff)
		}
		if f.At.IsZero() {
			t.Errorf("%q: from no moment", tt.query)
		}
	}
}

// Tags that filters cannot tell apart are refused, and those that are longer in
// the form that filters have.
func TestTagsOfNormalForms(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "rt")
		for what, tags := range map[string]map[string]string{
			"one name in two ways": {"\u00e9": "1", "e\u0301": "2"},
			"a name that expands":  {strings.Repeat("\u0958", 33): "1"},
			"a value that expands": {"a": strings.Repeat("\u0958", 129)},
			"a name that is empty": {"": "1"},
		} {
			_, err := b.PatchConnection(t.Context(), b.caller, c.ID, vault.ConnectionPatch{Tags: &tags})
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
		tags := map[string]string{strings.Repeat("\u0958", 32): strings.Repeat("\u0958", 128), "e\u0301": "typed"}
		got, err := b.PatchConnection(t.Context(), b.caller, c.ID, vault.ConnectionPatch{Tags: &tags})
		must(t, err)
		if diff := cmp.Diff(tags, got.Tags); diff != "" {
			t.Errorf("shown (-want +got)\n%s", diff)
		}
	})
}
