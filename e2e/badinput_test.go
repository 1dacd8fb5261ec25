package e2e

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/sandbox"
)

// canary is in every bad value; it must not be found anywhere afterwards. Names
// of things that are not there are quoted, so that people find their typo, and
// so is what stands in a field that is no secret.
const canary = "canary-in-bad-input-8f3c1d"

// TestBadInput sends what nobody should: each time a clear refusal, nothing
// stored, and nothing of it in any log.
func TestBadInput(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.hide("the canary", canary)
		w.integrateToggl()
		before := stored(w)
		t.Run("REST", func(t *testing.T) { badRequests(w.in(t)) })
		t.Run("forms", func(t *testing.T) { badForms(w.in(t)) })
		if after := stored(w); after != before {
			t.Errorf("something was stored: %s", after)
		}
		if got := w.sandbox.Toggl().Count(sandbox.Any); got != 0 {
			t.Errorf("Toggl was asked %d times", got)
		}
	})
}

// stored is what the lists say, but for the links that the test itself makes.
func stored(w *world) string {
	w.t.Helper()
	var b strings.Builder
	for _, list := range []string{"connections", "integrations", "api-keys"} {
		var all struct{ Data []struct{ ID string } }
		w.api.get("/v1/" + list).want(http.StatusOK).into(&all)
		for _, x := range all.Data {
			b.WriteString(x.ID + " ")
		}
	}
	return b.String()
}

func badRequests(w *world) {
	w.t.Helper()
	imported := func(method, credential string) string {
		return `{"integration":"toggl","method":"` + method + `","end_user":{"id":"u"},"verify":false,"credential":` + credential + `}`
	}
	for name, c := range map[string]struct {
		path, body string
		status     []int
	}{
		"an unknown member":     {"connect-sessions", `{"end_user":{"id":"u"},"nobody":"` + canary + `"}`, []int{400, 422}},
		"one further down":      {"connect-sessions", `{"end_user":{"id":"u","nick":"` + canary + `"}}`, []int{400, 422}},
		"a member twice":        {"connect-sessions", `{"end_user":{"id":"u"},"end_user":{"id":"` + canary + `"}}`, []int{400, 422}},
		"a member in capitals":  {"connect-sessions", `{"End_User":{"id":"` + canary + `"}}`, []int{400, 422}},
		"a wrong type":          {"connect-sessions", `{"end_user":"` + canary + `"}`, []int{400, 422}},
		"a number for a name":   {"integrations", `{"provider":"toggl","key":7}`, []int{400, 422}},
		"a list":                {"connect-sessions", `["` + canary + `"]`, []int{400, 422}},
		"null":                  {"connect-sessions", `null`, []int{400, 422}},
		"nothing":               {"connect-sessions", ``, []int{400, 422}},
		"half":                  {"connect-sessions", `{"end_user":{"id":"` + canary, []int{400, 422}},
		"two":                   {"connect-sessions", `{"end_user":{"id":"` + canary + `"}}{}`, []int{400, 422}},
		"invalid UTF-8":         {"connect-sessions", "{\"end_user\":{\"id\":\"" + canary + "\xff\xfe\"}}", []int{400, 422}},
		"half a surrogate":      {"connect-sessions", `{"end_user":{"id":"` + canary + `\ud800"}}`, []int{400, 422}},
		"NUL":                   {"connect-sessions", `{"end_user":{"id":"` + canary + `\u0000"}}`, []int{400, 422}},
		"a line break":          {"connect-sessions", `{"end_user":{"id":"` + canary + `\r\nx: y"}}`, []int{400, 422}},
		"a megabyte":            {"connect-sessions", `{"end_user":{"id":"` + canary + strings.Repeat("x", 1<<20) + `"}}`, []int{413}},
		"a thousand levels":     {"connections", strings.Repeat(`{"metadata":`, 1000) + `"` + canary + `"` + strings.Repeat(`}`, 1000), []int{400, 422}},
		"an unknown service":    {"integrations", `{"provider":"nobodys","key":"x","client_secret":"` + canary + `"}`, []int{400, 422}},
		"a URL with a password": {"connect-sessions", `{"end_user":{"id":"u"},"return_url":"https://u:` + canary + `@acme.example/"}`, []int{400, 422}},
		"a URL of a script":     {"connect-sessions", `{"end_user":{"id":"u"},"return_url":"javascript:` + canary + `"}`, []int{400, 422}},
		"plain http":            {"connect-sessions", `{"end_user":{"id":"u"},"return_url":"http://` + canary + `.example/"}`, []int{400, 422}},
		"a colon in a user":     {"connections", imported("password", `{"email":"`+canary+`:x","password":"long-enough-`+canary+`"}`), []int{422}},
		"CR LF in a user":       {"connections", imported("password", `{"email":"`+canary+`\r\nX-Injected: 1","password":"p-`+canary+`"}`), []int{422}},
		"CR LF in a password":   {"connections", imported("password", `{"email":"a@b.example","password":"`+canary+`\r\nX-Injected: 1"}`), []int{422}},
		"NUL in a password":     {"connections", imported("password", `{"email":"a@b.example","password":"`+canary+`\u0000"}`), []int{400, 422}},
		"DEL in a token":        {"connections", imported("api_token", `{"api_token":"`+canary+`\u007f"}`), []int{400, 422}},
		"the literal word":      {"connections", imported("password", `{"email":"a@b.example","password":"api_token"}`), []int{422}},
		"a stray field":         {"connections", imported("api_token", `{"api_token":"t-`+canary+`","password":"`+canary+`"}`), []int{400, 422}},
	} {
		w.t.Run(name, func(t *testing.T) {
			a := raw(w.in(t), "/v1/"+c.path, "application/json", c.body)
			var p struct{ Code, Detail string }
			a.into(&p)
			if !slices.Contains(c.status, a.status) || p.Code == "" || p.Detail == "" {
				t.Errorf("%d %+v, want %v", a.status, p, c.status)
			}
			if bytes.Contains(a.body, []byte("X-Injected")) || a.header.Get("X-Injected") != "" {
				t.Error("what was sent comes back")
			}
		})
	}
	w.t.Run("another kind of body", func(t *testing.T) {
		if a := raw(w.in(t), "/v1/connect-sessions", "text/plain", `{"end_user":{"id":"`+canary+`"}}`); a.status/100 != 4 {
			t.Errorf("%d", a.status)
		}
	})
	w.t.Run("addresses", func(t *testing.T) {
		w := w.in(t)
		for _, path := range []string{
			"/v1/connections/" + canary, "/v1/connections/%00" + canary, "/v1/connections/%ff/headers", "/v1/connections/..%2f..%2f" + canary,
			"/v1/connections?status=" + canary, "/v1/connections?nobody=" + canary, "/v1/connections?limit=" + canary, "/v1/connections?cursor=" + canary,
			"/v1/connections/con_00000000000000000000000000/headers?min_ttl=-1", "/" + canary,
		} {
			if a := w.api.get(path); a.status/100 != 4 {
				t.Errorf("%q: %d %s", strings.ReplaceAll(path, canary, "…"), a.status, a.body)
			}
		}
	})
}

// badForms sends a connect form what no browser of good will sends.
func badForms(w *world) {
	w.t.Helper()
	v := newVisitor(w.t)
	page := v.link(v.submit(v.open(w.link("bad-forms", []string{"toggl"}, nil).URL), nil), "E-mail and password")
	to := page.form().action
	good := url.Values{"email": {"a@b.example"}, "password": {"p-" + canary}}
	with := func(name, value string) string {
		values := url.Values{}
		maps.Copy(values, good)
		values.Set(name, value)
		return values.Encode()
	}
	for name, body := range map[string]string{
		"a colon in the e-mail":   with("email", "a:b@c.example"),
		"CR LF in the e-mail":     with("email", "a@b.example\r\nX-Injected: 1"),
		"CR LF in the password":   with("password", canary+"\r\nX-Injected: 1"),
		"NUL in the password":     with("password", canary+"\x00"),
		"invalid UTF-8":           with("password", canary+"\xff"),
		"the literal word":        with("password", "api_token"),
		"the password twice":      good.Encode() + "&password=" + canary,
		"a broken escape":         good.Encode() + "&x=%zz",
		"a megabyte":              with("password", canary+strings.Repeat("x", 1<<20)),
		"nothing":                 "",
		"a megabyte of something": strings.Repeat("a=b&", 1<<18),
	} {
		req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, to.String(), strings.NewReader(body))
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		req.Header.Set("Accept", "text/html")
		res, err := v.http.Do(req)
		if err != nil {
			w.t.Errorf("%s: %v", name, err)
			continue
		}
		read, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode/100 != 4 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			w.t.Errorf("%s: %d %s (%v)", name, res.StatusCode, res.Header.Get("Content-Type"), err)
		}
		if bytes.Contains(read, []byte("<h1>Something")) {
			w.t.Errorf("%s: is taken for our fault", name)
		}
	}

	// And from somebody else's page.
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, to.String(), strings.NewReader(good.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	req.Header.Set("Origin", "https://evil.example")
	res, err := v.http.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		w.t.Errorf("a form of another site: %d", res.StatusCode)
	}
}

// raw posts a body letter by letter.
func raw(w *world, path, kind, body string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.front.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	req.Header.Set("Content-Type", kind)
	res, err := w.http.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	read, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{w.t, "POST " + path, res.StatusCode, res.Header, read}
}
