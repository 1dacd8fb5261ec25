package providers

import (
	"encoding/base64"
	"net/http"
	"testing"
	"time"
)

func TestSessionEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	jwt := func(payload string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
	}
	for _, tt := range []struct {
		name   string
		cookie http.Cookie
		want   time.Time
	}{
		{"as the JWT says", http.Cookie{Value: jwt(`{"exp":1772452800}`), MaxAge: 60}, time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)},
		{"a fraction", http.Cookie{Value: jwt(`{"exp":1772452800.9}`)}, time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)},
		{"no JWT, Max-Age", http.Cookie{Value: "opaque", MaxAge: 60, Expires: now.Add(time.Hour)}, now.Add(time.Minute)},
		{"no JWT, Expires", http.Cookie{Value: "opaque", Expires: now.Add(time.Hour)}, now.Add(time.Hour)},
		{"nothing said", http.Cookie{Value: "opaque"}, time.Time{}},
		{"text for a time", http.Cookie{Value: jwt(`{"exp":"tomorrow"}`)}, time.Time{}},
		{"no payload", http.Cookie{Value: "a.b.c"}, time.Time{}},
		{"beyond all time", http.Cookie{Value: jwt(`{"exp":1e300}`)}, time.Time{}},
		{"before all time", http.Cookie{Value: jwt(`{"exp":-1}`)}, time.Time{}},
		{"ten years are not believed", http.Cookie{Value: jwt(`{"exp":2087985600}`)}, time.Time{}},
		{"nor by Max-Age", http.Cookie{Value: "opaque", MaxAge: 1 << 40}, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := sessionEnd(&tt.cookie, now); !got.Equal(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFindCookie(t *testing.T) {
	t.Parallel()
	h := http.Header{"Set-Cookie": {
		"other=1; Path=/", "session=old; Path=/", "session=new; Path=/; Secure; HttpOnly", "legacy=x", "gone=y; Max-Age=0", "empty=",
	}}
	for _, tt := range []struct {
		names []string
		want  string
	}{
		{[]string{"session", "legacy"}, "session=new"},
		{[]string{"nope", "legacy"}, "legacy=x"},
		{[]string{"gone", "empty"}, ""},
		{[]string{"Session"}, ""},
	} {
		got := ""
		if c := findCookie(h, tt.names); c != nil {
			got = c.Name + "=" + c.Value
		}
		if got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.names, got, tt.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"30":                            30 * time.Second,
		"-5":                            0,
		"soon":                          0,
		"86401":                         24 * time.Hour,
		"99999999999999":                0,
		"Sun, 01 Mar 2026 12:01:00 GMT": time.Minute,
		"Sun, 01 Mar 2026 11:59:00 GMT": 0,
		"Sun, 01 Mar 2099 12:00:00 GMT": 24 * time.Hour,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}
