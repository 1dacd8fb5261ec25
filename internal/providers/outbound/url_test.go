package outbound_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/providers/outbound"
)

func allow(prefixes ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range prefixes {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	tests := []struct {
		raw  string
		want string // empty: refused
	}{
		{"https://api.example.com", "https://api.example.com"},
		{"https://api.example.com/v2?x=1", "https://api.example.com/v2?x=1"},
		{"https://API.Example.COM:443/V2", "https://api.example.com/V2"},
		{"https://api.example.com:8443/", "https://api.example.com:8443/"},
		{"https://bücher.example/", "https://xn--bcher-kva.example/"},
		{"https://BÜCHER.example/", "https://xn--bcher-kva.example/"},
		{"https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"},
		{"HTTPS://api.example.com/", "https://api.example.com/"},
		{"https://7.example/", "https://7.example/"},
		{"https://x0x.example/", "https://x0x.example/"},

		// Within the allowed ranges, and there alone, http and literals.
		{"http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"},
		{"http://127.0.0.1:80/x", "http://127.0.0.1/x"},
		{"https://127.0.0.1:8443/x", "https://127.0.0.1:8443/x"},
		{"http://localhost:8080/", "http://localhost:8080/"},
		{"http://LOCALHOST:8080/", "http://localhost:8080/"},
		{"http://[fd00::1]:8080/", "http://[fd00::1]:8080/"},
		{"http://[FD00:0::1]/", "http://[fd00::1]/"},
		{"http://[::ffff:127.0.0.1]:8080/", "http://127.0.0.1:8080/"},
		{"http://[::1]:8080/", ""},
		{"http://10.0.0.1/", ""},
		{"https://10.0.0.1/", ""},
		{"https://[fe80::1]/", ""},
		{"http://8.8.8.8/", ""},
		{"https://8.8.8.8/", ""},
		{"http://api.example.com/", ""},

		// Spellings of 127.0.0.1 that only some parsers know.
		{"https://2130706433/", ""},
		{"https://0x7f000001/", ""},
		{"https://0X7F.1/", ""},
		{"https://127.1/", ""},
		{"https://0177.0.0.1/", ""},
		{"https://127.0.0.1./", ""},
		{"https://127.0.0.01/", ""},
		{"https://1.2.3.4.5/", ""},
		{"https://evil.example.0x7f/", ""},
		{"https://evil.example.99/", ""},
		{"http://127。0。0。1/", "http://127.0.0.1/"}, // what it means is what is judged
		{"http://１０.0.0.1/", ""},
		{"https://127%2e0.0.1/", ""},
		{"http://localhost./", ""},
		{"http://[fd00::1%25eth0]/", ""},
		{"http://[127.0.0.1]/", ""},

		{"", ""},
		{"/path", ""},
		{"//api.example.com/", ""},
		{"https:///path", ""},
		{"https:api.example.com", ""},
		{"https://:443/", ""},
		{"ftp://api.example.com/", ""},
		{"javascript:alert(1)", ""},
		{"file:///etc/passwd", ""},
		{"https://user@api.example.com/", ""},
		{"https://user:pw@api.example.com/", ""},
		{"https://@api.example.com/", ""},
		{"https://api.example.com/#f", ""},
		{"https://api.example.com:0/", ""},
		{"https://api.example.com:65536/", ""},
		{"https://api.example.com:0443/", ""},
		{"https://api.example.com:/", ""},
		{"https://api.example.com./", ""},
		{"https://api..example.com/", ""},
		{"https://-api.example.com/", ""},
		{"https://api_x.example.com/", ""},
		{"https://api.example.com\\@evil.example/", ""},
		{"https://api.example.com/a b", ""},
		{" https://api.example.com/", ""},
		{"https://api.example.com/\n", ""},
		{"https://api.example.com/\x00", ""},
		{"https://" + strings.Repeat("a", 64) + ".example/", ""},
		{"https://api.example.com/" + strings.Repeat("a", 2048-24), "https://api.example.com/" + strings.Repeat("a", 2048-24)},
		{"https://api.example.com/" + strings.Repeat("a", 2048-23), ""},
	}
	c := outbound.New(outbound.Config{Allow: allow("127.0.0.0/8", "fd00::/8")})
	for _, tt := range tests {
		u, err := c.ParseURL(tt.raw)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("ParseURL(%.80q) = %s, want it refused", tt.raw, u)
		case tt.want != "" && err != nil:
			t.Errorf("ParseURL(%.80q): %v", tt.raw, err)
		case tt.want != "" && u.String() != tt.want:
			t.Errorf("ParseURL(%.80q) = %s, want %s", tt.raw, u, tt.want)
		}
	}
}

func TestWithoutOptInNoLiteralPasses(t *testing.T) {
	t.Parallel()
	c := outbound.New(outbound.Config{})
	for _, raw := range []string{"http://127.0.0.1/", "https://127.0.0.1/", "http://localhost/", "https://localhost/", "https://[::1]/"} {
		if u, err := c.ParseURL(raw); err == nil {
			t.Errorf("ParseURL(%q) = %s, want it refused", raw, u)
		}
	}
	if err := c.CheckURL(nil); err == nil {
		t.Error("CheckURL(nil) = nil, want an error")
	}
}

func TestURLErrorsQuoteNothing(t *testing.T) {
	t.Parallel()
	c := outbound.New(outbound.Config{})
	for _, raw := range []string{
		"https://u:SECRET@api.example.com/", "http://api.example.com/?k=SECRET", "https://x/#SECRET",
		"https://SECRET%zz/", "https://[SECRET/", "://SECRET", "https://api.example.com/SECRET\x00",
	} {
		if _, err := c.ParseURL(raw); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("ParseURL(%q): error %v, want one that quotes nothing", raw, err)
		}
		if _, err := c.CheckRoot(raw, []string{"api.example.com"}); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("CheckRoot(%q): error %v, want one that quotes nothing", raw, err)
		}
	}
}

func TestHostAllowed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		host, pattern string
		want          bool
	}{
		{"api.example.com", "api.example.com", true},
		{"API.example.com", "api.EXAMPLE.com", true},
		{"bücher.example", "xn--bcher-kva.example", true},
		{"a.bücher.example", "*.BÜCHER.example", true},
		{"app4.timelog.com", "*.timelog.com", true},
		{"a.b.timelog.com", "*.timelog.com", true},
		{"timelog.com", "*.timelog.com", false},
		{"eviltimelog.com", "*.timelog.com", false},
		{"evil-timelog.com", "*.timelog.com", false},
		{"timelog.com.evil.example", "*.timelog.com", false},
		{"app4.timelog.com.", "*.timelog.com", false},
		{".timelog.com", "*.timelog.com", false},
		{"app4.timelog.com", "timelog.com", false},
		{"api.example.com:8443", "api.example.com", false},
		{"api.example.com", "api.example.com:8443", false},
		{"api.example.com:8443", "api.example.com:8443", true},
		{"api.example.com:8443", "*.example.com:8443", true},
		{"api.example.com:8444", "*.example.com:8443", false},
		{"127.0.0.1:34567", "127.0.0.1:34567", true},
		{"127.0.0.1:34568", "127.0.0.1:34567", false},
		{"127.0.0.1", "*.0.0.1", false},
		{"[::1]:80", "[::1]:80", true},
		{"[0:0::1]:80", "[::1]:80", true},
		{"anything.example", "*", false},
		{"anything.example", "*.", false},
		{"anything.example", "", false},
		{"", "", false},
		{"", "*.example", false},
		{"api.example.com", "*.*.com", false},
		{"api.example.com", "api*.example.com", false},
		{"user@api.example.com", "api.example.com", false},
		{"api.example.com/", "api.example.com", false},
	}
	for _, tt := range tests {
		if got := outbound.HostAllowed(tt.host, []string{"other.example", tt.pattern}); got != tt.want {
			t.Errorf("HostAllowed(%q, %q) = %v, want %v", tt.host, tt.pattern, got, tt.want)
		}
	}
	if outbound.HostAllowed("api.example.com", nil) {
		t.Error("HostAllowed without patterns = true, want false")
	}
}

func TestCheckRoot(t *testing.T) {
	t.Parallel()
	tests := []struct{ raw, want string }{
		{"https://app4.timelog.com/soxdemo", "https://app4.timelog.com/soxdemo"},
		{"https://app4.timelog.com/soxdemo/", "https://app4.timelog.com/soxdemo"},
		{"https://app4.timelog.com", "https://app4.timelog.com"},
		{"https://app4.timelog.com/", "https://app4.timelog.com"},
		{"https://APP4.timelog.com:443//sox//demo/", "https://app4.timelog.com/sox/demo"},
		{"https://app4.timelog.com/søx", "https://app4.timelog.com/s%C3%B8x"},
		{"http://127.0.0.1:34567/soxdemo", "http://127.0.0.1:34567/soxdemo"},

		{"https://timelog.com/", ""},
		{"https://eviltimelog.com/", ""},
		{"https://evil.example/", ""},
		{"https://app4.timelog.com.evil.example/", ""},
		{"https://evil.example/app4.timelog.com", ""},
		{"https://evil.example#.timelog.com", ""},
		{"https://evil.example?.timelog.com", ""},
		{"https://evil.example\\.timelog.com", ""},
		{"https://app4.timelog.com@evil.example/", ""},
		{"http://app4.timelog.com/", ""},
		{"https://app4.timelog.com:8443/", ""},
		{"https://app4.timelog.com/?a=b", ""},
		{"https://app4.timelog.com/?", ""},
		{"https://app4.timelog.com/#", "https://app4.timelog.com"},
		{"https://app4.timelog.com/#x", ""},
		{"https://app4.timelog.com/a/../b", ""},
		{"https://app4.timelog.com/..", ""},
		{"https://app4.timelog.com/a/./b", ""},
		{"https://app4.timelog.com/%2e%2e/b", ""},
		{"https://app4.timelog.com/a%2f..%2fb", ""},
		{"https://app4.timelog.com/a%5Cb", ""},
		{"https://app4.timelog.com/a\\b", ""},
		{"https://app4.timelog.com/a%252e", ""},
		{"https://app4.timelog.com/a%0d%0ab", ""},
		{"https://app4.timelog.com/a%00", ""},
		{"https://app4.timelog.com/a%20b", ""},
		{"http://127.0.0.1:34568/soxdemo", ""},
		{"http://127.0.0.1/soxdemo", ""},
		{"http://127.0.0.2:34567/soxdemo", ""},
		{"", ""},
	}
	c := outbound.New(outbound.Config{Allow: allow("127.0.0.0/8")})
	patterns := []string{"*.timelog.com", "127.0.0.1:34567"}
	for _, tt := range tests {
		u, err := c.CheckRoot(tt.raw, patterns)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("CheckRoot(%q) = %s, want it refused", tt.raw, u)
		case tt.want != "" && err != nil:
			t.Errorf("CheckRoot(%q): %v", tt.raw, err)
		case tt.want != "" && u.String() != tt.want:
			t.Errorf("CheckRoot(%q) = %s, want %s", tt.raw, u, tt.want)
		}
	}
}

// FuzzCheckRoot looks for a text that passes and leads somewhere else.
func FuzzCheckRoot(f *testing.F) {
	for _, seed := range []string{
		"https://app4.timelog.com/soxdemo", "https://a@b.timelog.com", "https://evil.example\\.timelog.com",
		"https://x.timelog.com:443/a/../b", "https://[::1].timelog.com/", "https://ⓣimelog.timelog.com/%2e%2e",
	} {
		f.Add(seed)
	}
	c := outbound.New(outbound.Config{})
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := c.CheckRoot(raw, []string{"*.timelog.com"})
		if err != nil {
			return
		}
		again, err := url.Parse(u.String())
		if err != nil {
			t.Fatalf("CheckRoot(%q) = %s, which does not parse: %v", raw, u, err)
		}
		if again.Scheme != "https" || !strings.HasSuffix(again.Host, ".timelog.com") || strings.ContainsAny(again.Host, "/\\@#?:% ") ||
			again.User != nil || again.RawQuery != "" || again.Fragment != "" || strings.Contains(again.Path, "..") && strings.Contains(again.Path+"/", "/../") {
			t.Fatalf("CheckRoot(%q) = %s", raw, u)
		}
		if twice, err := c.CheckRoot(u.String(), []string{"*.timelog.com"}); err != nil || twice.String() != u.String() {
			t.Fatalf("CheckRoot(%q) = %s, and once more: %v, %v", raw, u, twice, err)
		}
	})
}
