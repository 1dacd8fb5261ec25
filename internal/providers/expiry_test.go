package providers

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

func unsigned(claims string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"at+jwt","alg":"RS256"}`)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestTokenEnd(t *testing.T) {
	t.Parallel()
	// RFC 7515 appendix A.1, whose token ended at 1300819380.
	const golden = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" +
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
		".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	end := time.Unix(1300819380, 0)
	asked := end.Add(-time.Hour)
	at := func(d time.Duration) int64 { return asked.Add(d).Unix() }
	none := time.Duration(-1)
	for _, tt := range []struct {
		name, token string
		want        time.Duration // after asked
	}{
		{"the RFC's", golden, time.Hour},
		{"exp alone", unsigned(fmt.Sprintf(`{"exp":%d}`, at(time.Hour))), time.Hour},
		{"a fraction", unsigned(fmt.Sprintf(`{"exp":%d.75}`, at(time.Hour))), time.Hour},
		{"made just now", unsigned(fmt.Sprintf(`{"iat":%d,"exp":%d}`, at(0), at(time.Hour))), time.Hour},
		{"the provider's clock is ahead", unsigned(fmt.Sprintf(`{"iat":%d,"exp":%d}`, at(90*time.Second), at(time.Hour+90*time.Second))), time.Hour},
		{"it is behind", unsigned(fmt.Sprintf(`{"iat":%d,"exp":%d}`, at(-90*time.Second), at(time.Hour-90*time.Second))), time.Hour - 90*time.Second},
		{"one that was made before", unsigned(fmt.Sprintf(`{"iat":%d,"exp":%d}`, at(-30*time.Minute), at(30*time.Minute))), 30 * time.Minute},
		{"iat after exp", unsigned(fmt.Sprintf(`{"iat":%d,"exp":%d}`, at(2*time.Hour), at(time.Hour))), time.Hour},
		{"iat in words", unsigned(fmt.Sprintf(`{"iat":"now","exp":%d}`, at(time.Hour))), time.Hour},
		{"ten years", unsigned(fmt.Sprintf(`{"exp":%d}`, at(longestLife))), longestLife},
		{"over", unsigned(fmt.Sprintf(`{"exp":%d}`, at(-time.Hour))), -time.Hour},

		{"more than ten years", unsigned(fmt.Sprintf(`{"exp":%d}`, at(longestLife+time.Second))), none},
		{"milliseconds", unsigned(fmt.Sprintf(`{"exp":%d000}`, at(time.Hour))), none},
		{"no exp", unsigned(`{"iat":1300815780}`), none},
		{"null", unsigned(`{"exp":null}`), none},
		{"text", unsigned(`{"exp":"1300819380"}`), none},
		{"beyond all time", unsigned(`{"exp":1e300}`), none},
		{"zero", unsigned(`{"exp":0}`), none},
		{"negative", unsigned(`{"exp":-1300819380}`), none},
		{"a list", unsigned(`[1300819380]`), none},
		{"opaque", "2YotnFZFEjr1zCsicMWpAA", none},
		{"three words", "a.b.c", none},
		{"a header that is none", "aGVsbG8." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1300819380}`)) + ".c2ln", none},
		{"two parts", "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1300819380}`)), none},
		{"encrypted", unsigned(`{"exp":1300819380}`) + ".x.y", none},
		{"nothing", "", none},
	} {
		want := time.Time{}
		if tt.want != none {
			want = asked.Add(tt.want)
		}
		if got := tokenEnd(vault.NewSecret(tt.token), asked); !got.Equal(want) {
			t.Errorf("%s: ends %v, want %v", tt.name, got, want)
		}
	}
}

// The answer, the token, the file: in this order, and what says nonsense is
// passed over.
func TestAccessEnd(t *testing.T) {
	t.Parallel()
	asked := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	jwt := func(d time.Duration) string { return unsigned(fmt.Sprintf(`{"exp":%d}`, asked.Add(d).Unix())) }
	const unknown = 0
	for _, tt := range []struct {
		name, expiresIn, token string
		file                   int // default_expires_in
		want                   time.Duration
	}{
		{"the answer", `600`, jwt(time.Hour), 1800, 10 * time.Minute},
		{"in text", `"600"`, jwt(time.Hour), 1800, 10 * time.Minute},
		{"a fraction", `600.9`, jwt(time.Hour), 1800, 10 * time.Minute},
		{"the token", `null`, jwt(time.Hour), 1800, time.Hour},
		{"zero is silence", `0`, jwt(time.Hour), 1800, time.Hour},
		{"zero in text", `"0"`, jwt(time.Hour), 1800, time.Hour},
		{"so is what is negative", `-600`, jwt(time.Hour), 1800, time.Hour},
		{"and absurd", `1e300`, jwt(time.Hour), 1800, time.Hour},
		{"and no number", `"soon"`, jwt(time.Hour), 1800, time.Hour},
		{"the file", `null`, "opaque", 1800, 30 * time.Minute},
		{"a token that is over by its own word", `null`, jwt(-time.Second), 1800, 30 * time.Minute},
		{"over this moment", `null`, jwt(0), 1800, 30 * time.Minute},
		{"a token of eleven years", `null`, jwt(11 * 365 * 24 * time.Hour), 1800, 30 * time.Minute},
		{"nobody", `null`, "opaque", 0, unknown},
		{"nobody that makes sense", `-1`, jwt(-time.Hour), 0, unknown},
	} {
		body := fmt.Sprintf(`{"access_token":%q,"token_type":"bearer","expires_in":%s}`, tt.token, tt.expiresIn)
		a, err := tokenendpoint.Parse(200, "application/json", []byte(body))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		want := time.Time{}
		if tt.want != unknown {
			want = asked.Add(tt.want)
		}
		if got := (&OAuth{DefaultExpiresIn: tt.file}).accessEnd(a, asked); !got.Equal(want) {
			t.Errorf("%s: ends %v, want %v", tt.name, got, want)
		}
	}
}

func TestRefreshEnd(t *testing.T) {
	t.Parallel()
	asked := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	before := asked.Add(7 * 24 * time.Hour)
	unknown, stays := time.Time{}, before
	for _, tt := range []struct {
		name, members string
		want          time.Time
	}{
		{"rotated, GitHub's name", `"refresh_token":"r2","refresh_token_expires_in":15811200`, asked.Add(183 * 24 * time.Hour)},
		{"rotated, Keycloak's name, in text", `"refresh_token":"r2","refresh_expires_in":"1800"`, asked.Add(30 * time.Minute)},
		{"rotated, both names", `"refresh_token":"r2","refresh_expires_in":60,"refresh_token_expires_in":120`, asked.Add(2 * time.Minute)},
		{"rotated, one name has nothing to say", `"refresh_token":"r2","refresh_token_expires_in":0,"refresh_expires_in":60`, asked.Add(time.Minute)},
		{"rotated, the other has", `"refresh_token":"r2","refresh_token_expires_in":60,"refresh_expires_in":0`, asked.Add(time.Minute)},
		{"rotated, without a word", `"refresh_token":"r2"`, unknown},
		{"rotated, nonsense", `"refresh_token":"r2","refresh_expires_in":"soon"`, unknown},
		{"rotated, an offline token", `"refresh_token":"r2","refresh_expires_in":0`, unknown},
		{"not rotated, without a word", `"scope":"x"`, stays},
		{"the same again, without a word", `"refresh_token":"r1"`, stays},
		{"the same again, nonsense", `"refresh_token":"r1","refresh_expires_in":-5`, stays},
		{"not rotated, slides on", `"refresh_expires_in":1800`, asked.Add(30 * time.Minute)},
		{"not rotated, an offline token", `"refresh_expires_in":0`, unknown},
		{"zero in text", `"refresh_token_expires_in":"0"`, unknown},
		{"null", `"refresh_token_expires_in":null`, stays},
	} {
		a, err := tokenendpoint.Parse(200, "application/json", []byte(`{"access_token":"a","token_type":"bearer",`+tt.members+`}`))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := refreshEnd(a, vault.NewSecret("r1"), before, asked); !got.Equal(tt.want) {
			t.Errorf("%s: ends %v, want %v", tt.name, got, tt.want)
		}
	}
}
