package providers

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseReply(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		query string
		ok    bool
	}{
		"code":                        {"state=s&code=c", true},
		"hybrid":                      {"code=c&id_token=a.b.c&scope=openid+tlp&session_state=x.y&state=s", true},
		"iss":                         {"state=s&code=c&iss=https%3A%2F%2Fop.example", true},
		"error":                       {"state=s&error=access_denied&error_description=No+thanks", true},
		"unknown parameters":          {"state=s&code=c&_=_&foo=bar", true},
		"description with umlauts":    {"state=s&error=access_denied&error_description=%C3%BC%0A", true},
		"no state":                    {"code=c", false},
		"empty state":                 {"state=&code=c", false},
		"neither":                     {"state=s", false},
		"id_token alone":              {"state=s&id_token=a.b.c", false},
		"both":                        {"state=s&code=c&error=access_denied", false},
		"error and id_token":          {"state=s&id_token=a.b.c&error=access_denied", false},
		"state twice":                 {"state=s&state=t&code=c", false},
		"code twice":                  {"state=s&code=c&code=c", false},
		"unknown parameter twice":     {"state=s&code=c&foo=1&foo=2", false},
		"line break in code":          {"state=s&code=c%0D%0A", false},
		"NUL in state":                {"state=s%00&code=c", false},
		"not ASCII":                   {"state=s&code=%C3%BC", false},
		"not UTF-8":                   {"state=s&code=%FF", false},
		"long state":                  {"state=" + strings.Repeat("s", 513) + "&code=c", false},
		"long code":                   {"state=s&code=" + strings.Repeat("c", 4<<10+1), false},
		"long id_token":               {"state=s&code=c&id_token=" + strings.Repeat("c", 16<<10+1), false},
		"long error":                  {"state=s&error=" + strings.Repeat("e", 129), false},
		"much of something":           {"state=s&code=c&x=" + strings.Repeat("x", MaxReply), false},
		"much of it, by many names":   {"state=s&code=c" + manyParameters(), false},
		"as long as it may be":        {"state=" + strings.Repeat("s", 512) + "&code=" + strings.Repeat("c", 4<<10), true},
		"nothing at all":              {"", false},
		"an error that is a sentence": {"state=s&error=%3Cscript%3E", true}, // shown to nobody
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values, err := url.ParseQuery(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			for _, mode := range []ResponseMode{ModeQuery, ModeFragment, ModeFormPost} {
				r, err := ParseReply(mode, values)
				var re *ReplyError
				if tt.ok != (err == nil) || err != nil && !errors.As(err, &re) {
					t.Errorf("%s: %v", mode, err)
				}
				if err == nil && (r.Mode != mode || r.State.Reveal() != values.Get("state")) {
					t.Errorf("%s: %+v", mode, r)
				}
			}
		})
	}
	if _, err := ParseReply("web_message", url.Values{"state": {"s"}, "code": {"c"}}); err == nil {
		t.Error("an unknown mode was taken")
	}
}

func manyParameters() string {
	var b strings.Builder
	for i := range 3000 {
		b.WriteString("&" + strings.Repeat("x", 20) + strings.Repeat("y", i%50) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + "=1")
	}
	return b.String()
}

func FuzzParseReply(f *testing.F) {
	f.Add("query", "state=s&code=c")
	f.Add("fragment", "code=c&id_token=a.b.c&scope=openid&session_state=x&state=s")
	f.Add("form_post", "state=s&error=access_denied&iss=https://op.example")
	f.Add("query", "state=&code=%00&code=")
	f.Add("", "%zz")
	f.Fuzz(func(t *testing.T, mode, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		r, err := ParseReply(ResponseMode(mode), values)
		if err != nil {
			return
		}
		if r.State.IsZero() {
			t.Error("a reply without state")
		}
		if success := !r.Code.IsZero(); success == (r.Error != "") {
			t.Error("neither or both of success and error")
		}
		for _, v := range []string{r.State.Reveal(), r.Code.Reveal(), r.IDToken.Reveal(), r.Issuer, r.Error} {
			if !isPrintable(v) || len(v) > 16<<10 {
				t.Errorf("%q came through", v)
			}
		}
		// What is kept reads back as it was.
		again, err := ParseReply(r.Mode, r.Values())
		if err != nil || !cmp.Equal(again.Values(), r.Values()) {
			t.Errorf("read back: %v", err)
		}
	})
}
