package httpd_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
)

// secret reads JSON as vault.Secret does: with its own error.
type secret struct{ s string }

func (s *secret) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' {
		return fmt.Errorf("must be a string")
	}
	s.s = string(b[1 : len(b)-1])
	return nil
}

type session struct {
	EndUser struct {
		ID    string `json:"id"`
		Email string `json:"email"`
	} `json:"end_user"`
	Integrations []string          `json:"integrations"`
	TTL          int               `json:"ttl_seconds"`
	Verify       *bool             `json:"verify"`
	Tags         map[string]string `json:"tags"`
	Metadata     map[string]any    `json:"metadata"`
	Expires      *time.Time        `json:"expires"`
	Token        secret            `json:"token"`
}

func decoder(t *testing.T, opts ...httpd.DecodeOption) (*echo.Echo, *logBuffer, *session) {
	t.Helper()
	e, log := newShell(t, httpd.Config{})
	got := new(session)
	e.POST("/v1/x", func(c echo.Context) error {
		if err := httpd.DecodeJSON(c, got, opts...); err != nil {
			return err
		}
		return c.NoContent(204)
	}, httpd.BodyLimit(64<<10))
	return e, log, got
}

func TestDecodeJSONRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body, contentType string // "" is application/json
		status                  int    // 0 is 400
		wanted                  string
	}{
		{name: "no body", body: "", wanted: "is empty"},
		{name: "white space", body: " \n", wanted: "is not valid JSON"},
		{name: "half an object", body: `{"end_user":{"id":"` + planted, wanted: "is not valid JSON"},
		{name: "no JSON at all", body: planted, wanted: "is not valid JSON"},
		{name: "an array", body: `["` + planted + `"]`, wanted: "The request body must be an object"},
		{name: "a string", body: `"` + planted + `"`, wanted: "The request body must be an object"},
		{name: "unknown member", body: `{"end_usr":"` + planted + `"}`, wanted: `{"pointer":"/end_usr","detail":"is not a member of this request"}`},
		{name: "unknown member below", body: `{"end_user":{"name_":"` + planted + `"}}`, wanted: `"/end_user/name_"`},
		{name: "member in another case", body: `{"END_USER":{"id":"` + planted + `"}}`, wanted: `"/END_USER"`},
		{name: "member twice", body: `{"ttl_seconds":1,"ttl_seconds":2}`, wanted: `{"pointer":"/ttl_seconds","detail":"is there twice"}`},
		{name: "member twice in free data", body: `{"metadata":{"a":1,"a":2}}`, wanted: `"/metadata/a"`},
		{name: "number for a string", body: `{"end_user":{"id":7731000000007731}}`, wanted: `{"pointer":"/end_user/id","detail":"must be a string"}`},
		{name: "string for a number", body: `{"ttl_seconds":"` + planted + `"}`, wanted: `{"pointer":"/ttl_seconds","detail":"must be a whole number in range"}`},
		{name: "fraction for a whole number", body: `{"ttl_seconds":1.5}`, wanted: "must be a whole number in range"},
		{name: "number out of range", body: `{"ttl_seconds":99999999999999999999}`, wanted: "must be a whole number in range"},
		{name: "string for a boolean", body: `{"verify":"true"}`, wanted: `{"pointer":"/verify","detail":"must be true or false"}`},
		{name: "object for an array", body: `{"integrations":{}}`, wanted: "must be an array"},
		{name: "number in an array", body: `{"integrations":["toggl",7]}`, wanted: `{"pointer":"/integrations/1","detail":"must be a string"}`},
		{name: "array for an object", body: `{"tags":[]}`, wanted: "must be an object"},
		{name: "no time", body: `{"expires":"` + planted + `"}`, wanted: "must be a time such as"},
		{name: "a type's own error", body: `{"token":{"v":"` + planted + `"}}`, wanted: `"/token"`},
		{name: "two values", body: `{} {"id":"` + planted + `"}`, wanted: "is not valid JSON"},
		{name: "something after the end", body: `{}` + planted, wanted: "is not valid JSON"},
		{name: "trailing comma", body: `{"ttl_seconds":1,}`, wanted: "is not valid JSON"},
		{name: "comment", body: `{/* */}`, wanted: "is not valid JSON"},
		{name: "NaN", body: `{"ttl_seconds":NaN}`, wanted: "is not valid JSON"},
		{name: "invalid UTF-8", body: "{\"end_user\":{\"id\":\"a\xff\"}}", wanted: "is not valid JSON"},
		{name: "lone surrogate", body: `{"end_user":{"id":"\ud800"}}`, wanted: "is not valid JSON"},
		{name: "raw NUL", body: "{\"end_user\":{\"id\":\"a\x00\"}}", wanted: "is not valid JSON"},
		{name: "byte order mark", body: "\ufeff{}", wanted: "is not valid JSON"},
		{name: "UTF-16", body: "{\x00}\x00", wanted: "is not valid JSON"},
		{name: "too deep", body: `{"metadata":` + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 41), wanted: "nests too deeply"},
		{name: "too deep and never closed", body: strings.Repeat("[", 60<<10), wanted: "nests too deeply"},
		{name: "1 MiB", body: `{"end_user":{"id":"` + strings.Repeat("a", 1<<20) + `"}}`, status: 413, wanted: "too large"},
		{name: "a name that is a novel", body: `{"` + strings.Repeat("n", 300) + `":1}`, wanted: "is not a member of this request"},
		{name: "a name with a line break", body: `{"a\nb":1}`, wanted: "is not a member of this request"},
		{name: "form", body: `{}`, contentType: "application/x-www-form-urlencoded", status: 415, wanted: "must be application/json"},
		{name: "text", body: `{}`, contentType: "text/plain", status: 415, wanted: "unsupported_media_type"},
		{name: "no content type", body: `{}`, contentType: "-", status: 415, wanted: "must be application/json"},
		{name: "broken content type", body: `{}`, contentType: "application/json; " + planted, status: 415, wanted: "must be application/json"},
		{name: "another charset", body: `{}`, contentType: "application/json; charset=latin1", status: 415, wanted: "must be application/json"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, log, _ := decoder(t)
			contentType := tt.contentType
			if contentType == "" {
				contentType = "application/json"
			}
			status := tt.status
			if status == 0 {
				status = 400
			}
			w := do(e, "POST", "/v1/x", tt.body, "Content-Type: "+strings.TrimPrefix(contentType, "-"))
			if w.Code != status {
				t.Errorf("status = %d, want %d", w.Code, status)
			}
			unwanted := []string{planted, "7731000000007731", "nnnnn", "secret", "httpd", "Go "}
			contains(t, "answer", w.Body.String(), []string{tt.wanted}, unwanted)
			contains(t, "log", log.String(), nil, unwanted)
		})
	}
}

func TestDecodeJSONTakes(t *testing.T) {
	t.Parallel()
	e, _, got := decoder(t)
	w := do(e, "POST", "/v1/x", ` {"end_user":{"id":"ä\u0000\ud83d\ude00"},"integrations":["toggl"],"ttl_seconds":60,"verify":false,
		"tags":{"Team":"[{\"blue\\"},"metadata":{"a":[{"b":null}]},"token":"t"} `,
		"Content-Type: application/json; charset=UTF-8")
	if w.Code != 204 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	no := false
	want := session{
		Integrations: []string{"toggl"}, TTL: 60, Verify: &no, Token: secret{"t"},
		Tags: map[string]string{"Team": `[{"blue\`}, Metadata: map[string]any{"a": []any{map[string]any{"b": nil}}},
	}
	want.EndUser.ID = "ä\x00😀" // an escaped NUL is valid JSON; what may be in an id is the vault's to say
	if diff := cmp.Diff(want, *got, cmp.AllowUnexported(secret{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeJSONAllowEmpty(t *testing.T) {
	t.Parallel()
	e, _, _ := decoder(t, httpd.AllowEmpty)
	for _, tt := range []struct {
		body, header string
		status       int
	}{
		{"", "", 204},
		{"", "Content-Type: application/json", 204},
		{"{}", "Content-Type: application/json", 204},
		{"{}", "", 415},
	} {
		if w := do(e, "POST", "/v1/x", tt.body, tt.header); w.Code != tt.status {
			t.Errorf("%q with %q: %d, want %d", tt.body, tt.header, w.Code, tt.status)
		}
	}
}

// A body without an announced length is stopped while it is read.
func TestBodyLimitWithoutContentLength(t *testing.T) {
	t.Parallel()
	e, _, _ := decoder(t)
	for _, tt := range []struct {
		size, status int
	}{{64 << 10, 204}, {64<<10 + 1, 413}, {2 << 20, 413}} {
		body := `{"end_user":{"id":"`
		body += strings.Repeat("a", tt.size-len(body)-3) + `"}}`
		w := doChunked(e, "POST", "/v1/x", body, "Content-Type: application/json")
		if w.Code != tt.status {
			t.Errorf("%d bytes: %d, want %d", tt.size, w.Code, tt.status)
		}
	}
}

// An announced length is refused before the handler runs, read or not.
func TestBodyLimitBeforeTheHandler(t *testing.T) {
	t.Parallel()
	e, _ := newShell(t, httpd.Config{})
	e.POST("/v1/x", func(echo.Context) error {
		t.Error("the handler ran")
		return nil
	}, httpd.BodyLimit(10))
	if w := do(e, "POST", "/v1/x", strings.Repeat("a", 11)); w.Code != 413 {
		t.Errorf("%d", w.Code)
	}
}

// Brackets in a string are no depth, however it is quoted.
func TestDecodeJSONCountsBracketsOutsideOfStrings(t *testing.T) {
	t.Parallel()
	e, _, got := decoder(t)
	w := do(e, "POST", "/v1/x", `{"tags":{"a":"\\\"`+strings.Repeat("[", 99)+`"}}`, "Content-Type: application/json")
	if w.Code != 204 || got.Tags["a"] != `\"`+strings.Repeat("[", 99) {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

// Where no group has set a limit, the shell's own holds.
func TestBodyLimitOfTheShell(t *testing.T) {
	t.Parallel()
	e, _ := newShell(t, httpd.Config{})
	e.POST("/v1/x", func(c echo.Context) error {
		var v map[string]any
		return httpd.DecodeJSON(c, &v)
	})
	body := `{"a":"` + strings.Repeat("a", httpd.MaxBody) + `"}`
	if w := do(e, "POST", "/v1/x", body, "Content-Type: application/json"); w.Code != 413 {
		t.Errorf("announced: %d", w.Code)
	}
	if w := doChunked(e, "POST", "/v1/x", body, "Content-Type: application/json"); w.Code != 413 {
		t.Errorf("chunked: %d", w.Code)
	}
}
