package tokenendpoint_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/providers/tokenendpoint"
)

// plain is an Answer that can be compared and printed.
type plain struct {
	Access, Refresh, ID, Type string
	Expires, RefreshExpires   time.Duration
	RefreshEndless            bool
	Scopes                    []string
	HasScope                  bool
}

func reveal(a *tokenendpoint.Answer) *plain {
	if a == nil {
		return nil
	}
	return &plain{
		Access: a.AccessToken.Reveal(), Refresh: a.RefreshToken.Reveal(), ID: a.IDToken.Reveal(), Type: a.TokenType,
		Expires: time.Duration(a.ExpiresIn), RefreshExpires: time.Duration(a.RefreshExpiresIn), RefreshEndless: a.RefreshEndless,
		Scopes: a.Scopes, HasScope: a.HasScope,
	}
}

func asError(t *testing.T, err error) *tokenendpoint.Error {
	t.Helper()
	e, ok := errors.AsType[*tokenendpoint.Error](err)
	if !ok {
		t.Fatalf("error %v, want a *tokenendpoint.Error", err)
	}
	return e
}

const (
	asJSON = "application/json;charset=UTF-8"
	asForm = "application/x-www-form-urlencoded; charset=utf-8"
)

func TestParseTakesSuccesses(t *testing.T) {
	t.Parallel()
	slack := tokenendpoint.Shape{
		Prefix: "authed_user", TokenTypes: []string{"user"}, ScopeSeparator: ",",
	}
	tests := []struct {
		name, contentType, body string
		shape                   tokenendpoint.Shape
		want                    plain
	}{
		{
			name: "RFC 6749, 5.1", contentType: asJSON,
			body: `{
       "access_token":"2YotnFZFEjr1zCsicMWpAA",
       "token_type":"example",
       "expires_in":3600,
       "refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA",
       "example_parameter":"example_value"
     }`,
			shape: tokenendpoint.Shape{TokenTypes: []string{"example"}},
			want: plain{
				Access: "2YotnFZFEjr1zCsicMWpAA", Refresh: "tGzv3JOkF0XG5Qx2TlKWIA", Type: "example", Expires: time.Hour,
			},
		},
		{
			name: "OpenID Connect Core, 3.1.3.3", contentType: "application/json",
			body: `{
   "access_token": "SlAV32hkKG",
   "token_type": "Bearer",
   "refresh_token": "8xLOxBtZp8",
   "expires_in": 3600,
   "id_token": "eyJhbGciOiJSUzI1NiIsImtpZCI6IjFlOWdkazcifQ.ewogImlzcyI6ICJodHRwOi8vc2VydmVyLmV4YW1wbGUuY29tIn0.ggW8hZ1EuVLuxNuuIJKX_V8a_OMXzR0EHR9R6jgdqrOOF4daGU96Sr_P6q"
  }`,
			want: plain{
				Access: "SlAV32hkKG", Refresh: "8xLOxBtZp8", Type: "Bearer", Expires: time.Hour,
				ID: "eyJhbGciOiJSUzI1NiIsImtpZCI6IjFlOWdkazcifQ.ewogImlzcyI6ICJodHRwOi8vc2VydmVyLmV4YW1wbGUuY29tIn0.ggW8hZ1EuVLuxNuuIJKX_V8a_OMXzR0EHR9R6jgdqrOOF4daGU96Sr_P6q",
			},
		},
		{
			name: "bare minimum", contentType: asJSON, body: `{"access_token":"a","token_type":"bearer"}`,
			want: plain{Access: "a", Type: "Bearer"},
		},
		{
			name: "byte order mark, text/plain", contentType: "text/plain",
			body: "\xef\xbb\xbf{\"access_token\":\"a\",\"token_type\":\"BEARER\",\"refresh_token\":\"r\",\"expires_in\":3600.0}\r\n",
			want: plain{Access: "a", Type: "Bearer", Refresh: "r", Expires: time.Hour},
		},
		{
			name: "no content type", body: `{"access_token":"a","token_type":"bearer"}`,
			want: plain{Access: "a", Type: "Bearer"},
		},
		{
			name: "GitHub's form", contentType: asForm,
			body: "access_token=gho_16C7e42F292c6912E7710c838347Ae178B4a&expires_in=28800&refresh_token=ghr_1B4a2e77838347a7E420ce178F2E7c6912E169246c34E1ccbF66C46812d16D5B1A9Dc86A1498&refresh_token_expires_in=15811200&scope=repo%2Cgist&token_type=bearer",
			shape: tokenendpoint.Shape{
				ScopeSeparator: ",",
			},
			want: plain{
				Access: "gho_16C7e42F292c6912E7710c838347Ae178B4a", Type: "Bearer", Expires: 8 * time.Hour,
				Refresh:        "ghr_1B4a2e77838347a7E420ce178F2E7c6912E169246c34E1ccbF66C46812d16D5B1A9Dc86A1498",
				RefreshExpires: 183 * 24 * time.Hour, Scopes: []string{"repo", "gist"}, HasScope: true,
			},
		},
		{
			name: "form that says it is HTML, with an empty member", contentType: "text/html",
			body: "access_token=a&scope=&token_type=bearer&unknown=x",
			want: plain{Access: "a", Type: "Bearer"},
		},
		{
			name: "Keycloak's name for the refresh token's life", contentType: asJSON,
			body: `{"access_token":"a","token_type":"Bearer","refresh_token":"r","refresh_expires_in":1800}`,
			want: plain{Access: "a", Type: "Bearer", Refresh: "r", RefreshExpires: 30 * time.Minute},
		},
		{
			name: "Keycloak's zero for an offline token", contentType: asJSON,
			body: `{"access_token":"a","token_type":"Bearer","refresh_token":"r","refresh_expires_in":0}`,
			want: plain{Access: "a", Type: "Bearer", Refresh: "r", RefreshEndless: true},
		},
		{
			name: "Slack's user token", contentType: asJSON, shape: slack,
			body: `{"ok":true,"access_token":"xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy","token_type":"bot","scope":"commands,incoming-webhook",
				"authed_user":{"id":"U1234","scope":"chat:write,files:read","access_token":"xoxp-1234","token_type":"user","refresh_token":"xoxe-1-1","expires_in":43200}}`,
			want: plain{
				Access: "xoxp-1234", Type: "user", Refresh: "xoxe-1-1", Expires: 12 * time.Hour,
				Scopes: []string{"chat:write", "files:read"}, HasScope: true,
			},
		},
		{
			name: "a longer prefix", contentType: asJSON, shape: tokenendpoint.Shape{Prefix: "data.token"},
			body: `{"data":{"user":{"access_token":"no"},"token":{"access_token":"a","token_type":"bearer"}},"access_token":"no"}`,
			want: plain{Access: "a", Type: "Bearer"},
		},
		{
			name: "missing type, where the provider does so", contentType: asJSON,
			shape: tokenendpoint.Shape{TokenTypes: []string{""}},
			body:  `{"access_token":"a"}`,
			want:  plain{Access: "a"},
		},
		{
			name: "scopes as a list", contentType: asJSON,
			body: `{"access_token":"a","token_type":"bearer","scope":["read","write"]}`,
			want: plain{Access: "a", Type: "Bearer", Scopes: []string{"read", "write"}, HasScope: true},
		},
		{
			name: "scopes with too many spaces", contentType: asJSON,
			body: `{"access_token":"a","token_type":"bearer","scope":" openid  tlp "}`,
			want: plain{Access: "a", Type: "Bearer", Scopes: []string{"openid", "tlp"}, HasScope: true},
		},
		{
			name: "no scopes at all is not the same as not said", contentType: asJSON,
			body: `{"access_token":"a","token_type":"bearer","scope":""}`,
			want: plain{Access: "a", Type: "Bearer", Scopes: []string{}, HasScope: true},
		},
		{
			name: "unreadable scope", contentType: asJSON,
			body: `{"access_token":"a","token_type":"bearer","scope":{"a":1}}`,
			want: plain{Access: "a", Type: "Bearer"},
		},
		{
			name: "nulls everywhere", contentType: asJSON,
			body: `{"access_token":"a","token_type":"bearer","refresh_token":null,"id_token":null,"expires_in":null,"scope":null,"error":null,"ok":null}`,
			want: plain{Access: "a", Type: "Bearer"},
		},
		{
			name: "empty error, false error", contentType: asJSON,
			body: `{"access_token":"a","token_type":"bearer","error":""}`,
			want: plain{Access: "a", Type: "Bearer"},
		},
		{
			name: "members in odd letter case", contentType: asJSON,
			body: `{"Access_Token":"a","TOKEN_TYPE":"bearer","Refresh_Token":"r"}`,
			want: plain{Access: "a", Type: "Bearer", Refresh: "r"},
		},
		{
			name: "the same twice", contentType: asJSON,
			body: `{"access_token":"a","token_type":"bearer","access_token":"a"}`,
			want: plain{Access: "a", Type: "Bearer"},
		},
		{
			name: "all characters of a bearer token", contentType: asJSON,
			body: `{"access_token":"AZaz09-._~+\/==","token_type":"bearer"}`,
			want: plain{Access: "AZaz09-._~+/==", Type: "Bearer"},
		},
		{
			name: "a refresh token of any characters", contentType: asJSON,
			body: `{"access_token":"a","token_type":"bearer","refresh_token":"1//0g {\"é\"}"}`,
			want: plain{Access: "a", Type: "Bearer", Refresh: `1//0g {"é"}`},
		},
		{
			name: "a refresh token that is a number", contentType: asJSON,
			body: `{"access_token":"a","token_type":"bearer","refresh_token":12345678901234567890}`,
			want: plain{Access: "a", Type: "Bearer", Refresh: "12345678901234567890"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, err := tt.shape.Parse(http.StatusOK, tt.contentType, []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&tt.want, reveal(a)); d != "" {
				t.Errorf("answer (-want +got):\n%s", d)
			}
		})
	}
}

func TestLifetimesAreKnownOrUnknown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		json string
		want time.Duration // 0: unknown
	}{
		{`3600`, time.Hour},
		{`3600.0`, time.Hour},
		{`3599.9`, 3599 * time.Second},
		{`1e3`, 1000 * time.Second},
		{`"3600"`, time.Hour},
		{`" 3600 "`, time.Hour},
		{`"3600.5"`, time.Hour},
		{`315360000`, 87600 * time.Hour},
		{`0`, 0},
		{`"0"`, 0},
		{`0.5`, 0},
		{`-1`, 0},
		{`"-3600"`, 0},
		{`""`, 0},
		{`null`, 0},
		{`"soon"`, 0},
		{`"NaN"`, 0},
		{`"Inf"`, 0},
		{`1e300`, 0},
		{`9223372036854775807`, 0},
		{`4000000000`, 0},
		{`true`, 0},
		{`[3600]`, 0},
		{`{"seconds":3600}`, 0},
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range tests {
		body := `{"access_token":"a","token_type":"bearer","refresh_token":"r","expires_in":` + tt.json + `}`
		a, err := tokenendpoint.Parse(http.StatusOK, asJSON, []byte(body))
		if err != nil {
			t.Errorf("expires_in %s: %v", tt.json, err)
			continue
		}
		if got := time.Duration(a.ExpiresIn); got != tt.want || a.ExpiresIn.Known() != (tt.want > 0) {
			t.Errorf("expires_in %s: %v, known %v; want %v", tt.json, got, a.ExpiresIn.Known(), tt.want)
		}
		end, ok := a.ExpiresIn.From(at)
		if ok != (tt.want > 0) || ok && !end.Equal(at.Add(tt.want)) {
			t.Errorf("expires_in %s: ends %v, %v", tt.json, end, ok)
		}
		if a.RefreshToken.Reveal() != "r" {
			t.Errorf("expires_in %s: the refresh token is lost", tt.json)
		}
	}
}

// Whatever is wrong with an answer: the refresh token in it comes out, and
// nothing else does.
func TestParseSavesTheRefreshTokenOfABrokenAnswer(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name, body string
		saved      string // empty: nothing to save
	}{
		{"no access token", `{"refresh_token":"r","token_type":"bearer"}`, "r"},
		{"empty access token", `{"access_token":"","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"null access token", `{"access_token":null,"refresh_token":"r","token_type":"bearer"}`, "r"},
		{"access token that is a number", `{"access_token":1,"refresh_token":"r","token_type":"bearer"}`, "r"},
		{"access token that is an object", `{"access_token":{},"refresh_token":"r","token_type":"bearer"}`, "r"},
		{"CR LF in the access token", `{"access_token":"a\r\nX: y","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"line break at its end", `{"access_token":"a\n","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"space in it", `{"access_token":"a b","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"NUL in it", `{"access_token":"a\u0000","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"not ASCII", `{"access_token":"ä","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"= in the middle", `{"access_token":"a=b","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"longer than 8 KiB", `{"access_token":"` + long(8<<10+1) + `","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"no token type", `{"access_token":"a","refresh_token":"r"}`, "r"},
		{"null token type", `{"access_token":"a","refresh_token":"r","token_type":null}`, "r"},
		{"another token type", `{"access_token":"a","refresh_token":"r","token_type":"mac"}`, "r"},
		{"token type that is a number", `{"access_token":"a","refresh_token":"r","token_type":1}`, "r"},
		{"id token that is none", `{"access_token":"a","refresh_token":"r","token_type":"bearer","id_token":"x"}`, "r"},
		{"id token in JSON", `{"access_token":"a","refresh_token":"r","token_type":"bearer","id_token":{"payload":""}}`, "r"},
		{"id token with spaces", `{"access_token":"a","refresh_token":"r","token_type":"bearer","id_token":"a.b.c "}`, "r"},
		{"id token over 16 KiB", `{"access_token":"a","refresh_token":"r","token_type":"bearer","id_token":"a.` + long(16<<10) + `.c"}`, "r"},
		{"two access tokens", `{"access_token":"a","access_token":"b","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"another in other letters", `{"access_token":"a","ACCESS_TOKEN":"b","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"two refresh tokens: the last", `{"access_token":"a","refresh_token":"q","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"or the one spelled right", `{"access_token":"a","refresh_token":"r","Refresh_Token":"q","token_type":"bearer"}`, "r"},
		{"and in that order", `{"access_token":"a","Refresh_Token":"q","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"one taken back", `{"access_token":"a","refresh_token":"r","refresh_token":null,"token_type":"bearer"}`, "r"},
		{"success and refusal", `{"access_token":"a","refresh_token":"r","token_type":"bearer","error":"invalid_grant"}`, "r"},
		{"success and ok:false", `{"ok":false,"access_token":"a","refresh_token":"r","token_type":"bearer"}`, "r"},
		{"cut after it", `{"refresh_token":"r","access_token":"a`, "r"},
		{"a fault after it", `{"refresh_token":"r","x":tru,"access_token":"a"}`, "r"},
		{"a comma too many", `{"access_token":"a","token_type":"bearer","refresh_token":"r",}`, "r"},
		{"more after the object", `{"access_token":"a","token_type":"bearer","refresh_token":"r"}<!-- -->`, "r"},
		{"two objects", `{"access_token":"a","token_type":"bearer","refresh_token":"r"}{"refresh_token":"q"}`, "r"},
		{"byte order mark and no access token", "\xef\xbb\xbf" + `{"refresh_token":"r"}`, "r"},
		{"form without an access token", `refresh_token=r&token_type=bearer`, "r"},
		{"form with a fault", `refresh_token=r&access_token=%zz&token_type=bearer`, "r"},

		{"cut in it", `{"access_token":"a","token_type":"bearer","refresh_token":"rrr`, ""},
		{"it is an object", `{"refresh_token":{"a":"b"}}`, ""},
		{"it is a list", `{"refresh_token":["b"]}`, ""},
		{"it is true", `{"refresh_token":true}`, ""},
		{"it is elsewhere", `{"x":{"refresh_token":"r"}}`, ""},
		{"empty object", `{}`, ""},
		{"list", `[{"refresh_token":"r","access_token":"a","token_type":"bearer"}]`, ""},
		{"string", `"refresh_token"`, ""},
		{"null", `null`, ""},
		{"nothing", ``, ""},
		{"a page with a link in it", `<a href="/?x=1&refresh_token=r&y=1">`, ""},
		{"a sentence", `Welcome to the service`, ""},
		{"NULs", "\x00\x00\x00", ""},
		{"UTF-16", "\xff\xfe{\x00}\x00", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, err := tokenendpoint.Parse(http.StatusOK, "text/plain", []byte(tt.body))
			e := asError(t, err)
			if e.Class != tokenendpoint.Broken || e.Status != http.StatusOK || !e.Spent() {
				t.Errorf("error %v (spent %v), want a broken answer, the old token perhaps spent", err, e.Spent())
			}
			var want *plain
			if tt.saved != "" {
				want = &plain{Refresh: tt.saved}
			}
			if d := cmp.Diff(want, reveal(a)); d != "" {
				t.Errorf("answer (-want +got):\n%s", d)
			}
		})
	}
}

func TestParseClassifiesRefusals(t *testing.T) {
	t.Parallel()
	github := tokenendpoint.Shape{
		TerminalCodes:    []string{"bad_refresh_token", "bad_verification_code"},
		ClientFaultCodes: []string{"incorrect_client_credentials"},
	}
	tests := []struct {
		name              string
		status            int
		contentType, body string
		shape             tokenendpoint.Shape
		class             tokenendpoint.Class
		code, description string
		spent             bool
	}{
		{
			name: "RFC 6749, 5.2", status: 400, contentType: asJSON, body: "{\n       \"error\":\"invalid_request\"\n     }",
			class: tokenendpoint.Rejected, code: "invalid_request",
		},
		{
			name: "invalid_grant", status: 400, contentType: asJSON,
			body:  `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`,
			class: tokenendpoint.Terminal, code: "invalid_grant", description: "Token has been expired or revoked.",
		},
		{name: "invalid_grant with 401", status: 401, contentType: asJSON, body: `{"error":"invalid_grant"}`, class: tokenendpoint.Terminal, code: "invalid_grant"},
		{name: "invalid_client", status: 401, contentType: asJSON, body: `{"error":"invalid_client"}`, class: tokenendpoint.ClientFault, code: "invalid_client"},
		{name: "invalid_client with 400", status: 400, contentType: asJSON, body: `{"error":"invalid_client"}`, class: tokenendpoint.ClientFault, code: "invalid_client"},
		{name: "unauthorized_client", status: 400, contentType: asJSON, body: `{"error":"unauthorized_client"}`, class: tokenendpoint.ClientFault, code: "unauthorized_client"},
		{name: "unsupported_grant_type", status: 400, contentType: asJSON, body: `{"error":"unsupported_grant_type"}`, class: tokenendpoint.Rejected, code: "unsupported_grant_type"},
		{name: "invalid_scope", status: 400, contentType: asJSON, body: `{"error":"invalid_scope"}`, class: tokenendpoint.Rejected, code: "invalid_scope"},
		{name: "temporarily_unavailable", status: 400, contentType: asJSON, body: `{"error":"temporarily_unavailable"}`, class: tokenendpoint.Transient, code: "temporarily_unavailable"},
		{name: "401 and nothing else", status: 401, body: ``, class: tokenendpoint.ClientFault},
		{name: "a page with 403", status: 403, contentType: "text/html", body: `<html>no</html>`, class: tokenendpoint.Rejected},
		{name: "404", status: 404, contentType: "text/plain", body: `not found`, class: tokenendpoint.Rejected},
		{name: "429", status: 429, contentType: asJSON, body: `{"error":"invalid_grant"}`, class: tokenendpoint.Transient, code: "invalid_grant"},
		{name: "408", status: 408, class: tokenendpoint.Transient},
		{name: "500", status: 500, contentType: "text/html", body: `<html>oops</html>`, class: tokenendpoint.Transient, spent: true},
		{name: "500 with invalid_grant condemns nobody", status: 500, contentType: asJSON, body: `{"error":"invalid_grant"}`, class: tokenendpoint.Transient, code: "invalid_grant", spent: true},
		{name: "502", status: 502, class: tokenendpoint.Transient, spent: true},
		{name: "503", status: 503, class: tokenendpoint.Transient, spent: true},
		{name: "redirect", status: 302, class: tokenendpoint.Rejected},
		{name: "tokens with 400", status: 400, contentType: asJSON, body: `{"access_token":"a","token_type":"bearer","refresh_token":"r"}`, class: tokenendpoint.Rejected},
		{
			name: "GitHub, 200", status: 200, contentType: asForm, shape: github,
			body:  "error=bad_verification_code&error_description=The+code+passed+is+incorrect+or+expired.&error_uri=https%3A%2F%2Fdocs.github.com",
			class: tokenendpoint.Terminal, code: "bad_verification_code", description: "The code passed is incorrect or expired.",
		},
		{name: "GitHub's invalid_client", status: 200, contentType: asJSON, shape: github, body: `{"error":"incorrect_client_credentials"}`, class: tokenendpoint.ClientFault, code: "incorrect_client_credentials"},
		{name: "Slack, 200", status: 200, contentType: asJSON, body: `{"ok":false,"error":"invalid_refresh_token"}`, class: tokenendpoint.Rejected, code: "invalid_refresh_token"},
		{
			name: "Slack, 200, known to the shape", status: 200, contentType: asJSON,
			shape: tokenendpoint.Shape{Prefix: "authed_user", TerminalCodes: []string{"invalid_refresh_token"}},
			body:  `{"ok":false,"error":"invalid_refresh_token"}`,
			class: tokenendpoint.Terminal, code: "invalid_refresh_token",
		},
		{name: "invalid_grant, 200", status: 200, contentType: asJSON, body: `{"error":"invalid_grant"}`, class: tokenendpoint.Terminal, code: "invalid_grant"},
		{name: "ok:false and no more", status: 200, contentType: asJSON, body: `{"ok":false}`, class: tokenendpoint.Rejected},
		{name: "error that is an object", status: 400, contentType: asJSON, body: `{"error":{"message":"no","code":190}}`, class: tokenendpoint.Rejected},
		{name: "error that is true", status: 200, contentType: asJSON, body: `{"error":true}`, class: tokenendpoint.Rejected},
		{name: "error that is an object, 200", status: 200, contentType: asJSON, body: `{"error":{"message":"no"}}`, class: tokenendpoint.Rejected},
		{
			name: "a type that is no string is not a missing one", status: 200, contentType: asJSON,
			shape: tokenendpoint.Shape{TokenTypes: []string{""}}, body: `{"access_token":"a","token_type":1}`,
			class: tokenendpoint.Broken, spent: true,
		},
		{name: "byte order mark", status: 400, contentType: asJSON, body: "\xef\xbb\xbf{\"error\":\"invalid_grant\"}", class: tokenendpoint.Terminal, code: "invalid_grant"},
		{name: "no code: a sentence", status: 400, contentType: asJSON, body: `{"error":"Your token abc is bad"}`, class: tokenendpoint.Rejected},
		{name: "no code: quotes", status: 400, contentType: asJSON, body: `{"error":"a\"b"}`, class: tokenendpoint.Rejected},
		{name: "no code: backslash", status: 400, contentType: asJSON, body: `{"error":"a\\b"}`, class: tokenendpoint.Rejected},
		{name: "no code: line break", status: 400, contentType: asJSON, body: `{"error":"a\nb"}`, class: tokenendpoint.Rejected},
		{name: "no code: not ASCII", status: 400, contentType: asJSON, body: `{"error":"é"}`, class: tokenendpoint.Rejected},
		{name: "longest code", status: 400, contentType: asJSON, body: `{"error":"` + strings.Repeat("e", 64) + `"}`, class: tokenendpoint.Rejected, code: strings.Repeat("e", 64)},
		{name: "too long for a code", status: 400, contentType: asJSON, body: `{"error":"` + strings.Repeat("e", 65) + `"}`, class: tokenendpoint.Rejected},
		{
			name: "description made fit to show", status: 400, contentType: asJSON,
			body:  `{"error":"invalid_grant","error_description":" a\r\n\u0000\u001b[31mb\u202e  c\ufeff é "}`,
			class: tokenendpoint.Terminal, code: "invalid_grant", description: "a [31mb c é",
		},
		{
			name: "description cut short", status: 400, contentType: asJSON,
			body:  `{"error":"invalid_grant","error_description":"` + strings.Repeat("é", 500) + `"}`,
			class: tokenendpoint.Terminal, code: "invalid_grant", description: strings.Repeat("é", 200),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, err := tt.shape.Parse(tt.status, tt.contentType, []byte(tt.body))
			if a != nil {
				t.Errorf("an answer beside a refusal: %+v", reveal(a))
			}
			e := asError(t, err)
			want := tokenendpoint.Error{Class: tt.class, Code: tt.code, Description: tt.description, Status: tt.status}
			e.Err = nil
			if *e != want {
				t.Errorf("error %+v\nwant  %+v", *e, want)
			}
			if e.Spent() != tt.spent {
				t.Errorf("Spent() = %v, want %v", e.Spent(), tt.spent)
			}
			if tt.description != "" && strings.Contains(err.Error(), tt.description) {
				t.Errorf("the description is in the error's text: %v", err)
			}
		})
	}
}

func TestErrorTextHoldsNoBody(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"access_token":"s3cr3t" "x"`, `{"s3cr3t":s3cr3t`, `s3cr3t`, `<s3cr3t>`, `{"error":"s3cr3t s3cr3t","error_description":"s3cr3t"}`,
		`{"access_token":"s3cr3t s3cr3t","token_type":"bearer"}`, `{"access_token":"a","token_type":"s3cr3t"}`, "%s3cr3t=%zz",
	} {
		for _, status := range []int{200, 400, 500} {
			_, err := tokenendpoint.Parse(status, "text/plain", []byte(body))
			if err == nil || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%d %s: error %v, want one without the body", status, body, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"Bearer","expires_in":3600,"refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA"}`,
		"\xef\xbb\xbf" + `{"access_token":"a","token_type":"bearer","refresh_token":"r","expires_in":"soon"}`,
		`{"ok":true,"authed_user":{"access_token":"a","token_type":"user","refresh_token":"r"}}`,
		`{"ok":false,"error":"invalid_refresh_token"}`,
		`{"error":"invalid_grant","error_description":"gone"}`,
		`{"refresh_token":"r","access_token":"a`,
		`{"access_token":"a","Access_Token":"b","token_type":"bearer","scope":["x"],"expires_in":1e3}`,
		`access_token=a&token_type=bearer&refresh_token=r&scope=repo%2Cgist`,
		`error=bad_verification_code&error_description=The+code`,
		`<html>`, `[]`, ``,
	} {
		f.Add(200, asJSON, "", body)
		f.Add(200, "text/plain", "authed_user", body)
		f.Add(400, asForm, "a.b", body)
	}
	f.Fuzz(func(t *testing.T, status int, contentType, prefix, body string) {
		s := tokenendpoint.Shape{Prefix: prefix, TokenTypes: []string{"user", ""}}
		a, err := s.Parse(status, contentType, []byte(body))
		if err == nil {
			if status/100 != 2 {
				t.Fatalf("status %d is taken for a success", status)
			}
			access := a.AccessToken.Reveal()
			if access == "" || len(access) > 8<<10 || strings.ContainsFunc(access, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
				t.Fatalf("access token %q", access)
			}
			if a.ExpiresIn < 0 || a.RefreshExpiresIn < 0 || !a.HasScope && a.Scopes != nil {
				t.Fatalf("answer %+v", reveal(a))
			}
			if !strings.HasPrefix(strings.TrimLeft(body, "\ufeff \t\r\n\v\f\u0085\u00a0"), "{") && prefix != "" {
				t.Fatalf("a prefix found in %q", body)
			}
			return
		}
		e := asError(t, err)
		if a != nil && (e.Class != tokenendpoint.Broken || a.RefreshToken.IsZero() || !a.AccessToken.IsZero()) {
			t.Fatalf("beside %v: %+v", err, reveal(a))
		}
		if len(e.Code) > 64 || len([]rune(e.Description)) > 200 || strings.ContainsAny(e.Code+e.Description, "\r\n\x00") {
			t.Fatalf("code %q, description %q", e.Code, e.Description)
		}
	})
}
