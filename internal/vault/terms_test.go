package vault_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
