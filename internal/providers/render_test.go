package providers

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/claviger/claviger/internal/vault"
)

func TestBasicAuth(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, user, password, want string }{
		{"RFC 7617 section 2", "Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
		{"RFC 7617 section 2.1, UTF-8", "test", "123£", "Basic dGVzdDoxMjPCow=="},
		{"composed", "test", "é", "Basic dGVzdDrDqQ=="},
		{"decomposed is the same", "test", "e\u0301", "Basic dGVzdDrDqQ=="},
		{"colon in the password", "a", "b:c", "Basic YTpiOmM="},
		{"white space stays", " a ", " b ", "Basic IGEgOiBiIA=="},
		{"empty password", "a", "", "Basic YTo="},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := basicAuth(tt.user, tt.password)
			if err != nil || got.Reveal() != tt.want {
				t.Errorf("got %q, %v; want %q", got.Reveal(), err, tt.want)
			}
		})
	}
}

func TestBasicAuthRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, user, password, part string }{
		{"colon in the user name", "a:b", "c", "username"},
		{"CR LF in the user name", "a\r\nX-Injected: 1", "c", "username"},
		{"NUL in the user name", "a\x00", "c", "username"},
		{"DEL in the user name", "a\x7f", "c", "username"},
		{"invalid UTF-8 in the user name", "a\xff", "c", "username"},
		{"line feed in the password", "a", "c\n", "password"},
		{"tab in the password", "a", "c\td", "password"},
		{"invalid UTF-8 in the password", "a", "\xc3\x28", "password"},
		{"far too long", "a", strings.Repeat("x", maxHeaderValue), "password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := basicAuth(tt.user, tt.password)
			var v *valueError
			if !errors.As(err, &v) || v.name != tt.part {
				t.Fatalf("got %v, want a fault of the %s", err, tt.part)
			}
			if strings.Contains(err.Error(), tt.user+"\x00") || len(tt.password) > 3 && strings.Contains(err.Error(), tt.password) {
				t.Errorf("the error repeats the value: %v", err)
			}
		})
	}
}

func TestRenderHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, header string
		template     Template
		value        string
		want         string // empty: refused
	}{
		{"bearer", "authorization", "Bearer {v}", "abc.DEF-123_~+/==", "Bearer abc.DEF-123_~+/=="},
		{"token", "Authorization", "Token {v}", "abc", "Token abc"},
		{"other header", "X-Api-Key", "{v}", "a b;c", "a b;c"},
		{"two words", "Authorization", "Token {v}", "Token abc", ""},
		{"equals sign inside", "Authorization", "Bearer {v}", "a=b", ""},
		{"line break", "Authorization", "Bearer {v}", "abc\r\nX-Injected: 1", ""},
		{"line break in another header", "X-Api-Key", "{v}", "abc\nX: 1", ""},
		{"not ASCII", "X-Api-Key", "{v}", "schlüssel", ""},
		{"NUL", "X-Api-Key", "{v}", "a\x00b", ""},
		{"space around", "X-Api-Key", "{v}", " a ", ""},
		{"longest", "Authorization", "Bearer {v}", strings.Repeat("a", maxHeaderValue-7), "Bearer " + strings.Repeat("a", maxHeaderValue-7)},
		{"longer", "Authorization", "Bearer {v}", strings.Repeat("a", maxHeaderValue-6), ""},
		{"missing", "X-Api-Key", "{w}", "a", ""},
		{"no header", "X Api Key", "{v}", "a", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, err := renderHeader(tt.header, tt.template, vault.Credential{"v": vault.NewSecret(tt.value)})
			switch {
			case tt.want == "" && err == nil:
				t.Errorf("made %q of it", h.Value.Reveal())
			case tt.want != "" && (err != nil || h.Value.Reveal() != tt.want || h.Name != http.CanonicalHeaderKey(tt.header)):
				t.Errorf("got %s: %q, %v; want %q", h.Name, h.Value.Reveal(), err, tt.want)
			}
		})
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	values := vault.Credential{"a": vault.NewSecret("{b}"), "b": vault.NewSecret("2")}
	if got, err := Template("x{a}y{b}").expand(values); err != nil || got != "x{b}y2" {
		t.Errorf("got %q, %v: what a value holds is not a template", got, err)
	}
	if _, err := Template("{a}{c}").expand(values); err == nil {
		t.Error("a value that is not there was taken for an empty one")
	}
	for _, bad := range []Template{"{", "}", "{}", "{A}", "{a", "a}", "{a b}", "{{a}}", "{1}"} {
		if bad.check() == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// What comes out can be sent by anybody's HTTP stack and reads back as it went in.
func FuzzRenderHeader(f *testing.F) {
	f.Add("Authorization", "Bearer {v}", "abc")
	f.Add("Authorization", "Token {v}", "a\r\nX: 1")
	f.Add("X-Api-Key", "{v}", "clé")
	f.Add("Cookie", "{v}", "a=b; c=d")
	f.Add("A B", "{v}{w}", "x")
	f.Fuzz(func(t *testing.T, name, template, value string) {
		c := vault.Credential{"v": vault.NewSecret(value)}
		if h, err := renderHeader(name, Template(template), c); err == nil {
			v := h.Value.Reveal()
			switch {
			case !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(v):
				t.Errorf("%q: %q cannot be sent", h.Name, v)
			case len(v) > maxHeaderValue || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }):
				t.Errorf("%q is not printable ASCII of a decent length", v)
			case strings.HasPrefix(template, "Bearer {v}") && template == "Bearer {v}" && v != "Bearer "+value:
				t.Errorf("%q was changed to %q", value, v)
			}
		}
		user, password := name, value
		header, err := basicAuth(user, password)
		if err != nil {
			return
		}
		pair, derr := base64.StdEncoding.DecodeString(strings.TrimPrefix(header.Reveal(), "Basic "))
		gotUser, _, ok := strings.Cut(string(pair), ":")
		if derr != nil || !ok || !utf8.Valid(pair) || strings.ContainsAny(string(pair), "\r\n\x00") || len(gotUser) > len(pair) {
			t.Errorf("Basic of %q and %q is %q", user, password, pair)
		}
		// As the other side takes it apart, with the standard library.
		r := &http.Request{Header: http.Header{"Authorization": {header.Reveal()}}}
		if u, p, ok := r.BasicAuth(); !ok || u+":"+p != string(pair) {
			t.Errorf("a server reads %q and %q", u, p)
		}
	})
}
