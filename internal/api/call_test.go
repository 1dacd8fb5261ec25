package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// call is one request to the broker.
type call struct {
	w            *world
	method, path string
	body         string
	header       http.Header
	secret       bool // the answer is meant to carry secrets
}

// request prepares a call with a key of all scopes. A body that is not a
// string is sent as JSON; nil is none.
func (w *world) request(method, path string, body any) *call {
	c := &call{w: w, method: method, path: path, header: http.Header{"Authorization": {"Bearer " + w.key}}}
	switch b := body.(type) {
	case nil:
	case string:
		c.body = b
	default:
		c.body = js(b)
	}
	if body != nil {
		c.header.Set("Content-Type", "application/json")
	}
	return c
}

func (w *world) get(path string) *call            { return w.request(http.MethodGet, path, nil) }
func (w *world) post(path string, body any) *call { return w.request(http.MethodPost, path, body) }

func (w *world) patch(path string, body any) *call { return w.request(http.MethodPatch, path, body) }

func (w *world) delete(path string) *call           { return w.request(http.MethodDelete, path, nil) }
func (c *call) with(name string, v ...string) *call { c.header[name] = v; return c }
func (c *call) as(key string) *call                 { return c.with("Authorization", "Bearer "+key) }

// shows says that the answer is meant to carry secrets. The key of a new
// session or API key is one from then on.
func (c *call) shows() *call { c.secret = true; return c }

// want sends the call and holds its answer to a status, to the contract, and
// to not telling secrets.
func (c *call) want(status int) *answer {
	c.w.t.Helper()
	a := c.send()
	if a.StatusCode != status {
		c.w.t.Fatalf("%s: status %d, want %d: %s", a.name, a.StatusCode, status, a.body)
	}
	return a
}

// wantNot is want for any status but these.
func (c *call) wantNot(statuses ...int) *answer {
	c.w.t.Helper()
	a := c.shows().send()
	if slices.Contains(statuses, a.StatusCode) {
		c.w.t.Errorf("%s: status %d: %s", a.name, a.StatusCode, a.body)
	}
	return a
}

func (c *call) send() *answer {
	t := c.w.t
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), c.method, c.w.url+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = c.header
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %.100s: %v", c.method, c.path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %.100s: %v", c.method, c.path, err)
	}
	a := &answer{t: t, name: fmt.Sprintf("%s %.100s", c.method, c.path), Response: resp, body: body}
	c.w.contract.check(c, a)
	if got := resp.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("%s: Cache-Control %q", a.name, got)
	}
	if a.StatusCode >= 400 {
		a.wantProblem()
		c.secret = false
	}
	if !c.secret {
		c.wantNoSecret(a)
	} else if a.StatusCode == http.StatusCreated {
		for _, name := range []string{"token", "key"} {
			if v, ok := a.object()[name].(string); ok {
				c.w.planted.add(v)
			}
		}
	}
	return a
}

func (c *call) wantNoSecret(a *answer) {
	c.w.t.Helper()
	for _, secret := range c.w.secrets() {
		if bytes.Contains(a.body, []byte(secret)) {
			c.w.t.Errorf("%s: the answer has a secret of %d bytes: %s", a.name, len(secret), a.body)
		}
	}
}

// answer is what came back.
type answer struct {
	*http.Response
	t    *testing.T
	name string
	body []byte
}

func (a *answer) object() object {
	a.t.Helper()
	var v object
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.t.Fatalf("%s: %v: %s", a.name, err, a.body)
	}
	return v
}

// at is the value at a path of member names and indexes, "data/0/id".
func (a *answer) at(path string) any {
	a.t.Helper()
	var v any = a.object()
	for name := range strings.SplitSeq(path, "/") {
		switch in := v.(type) {
		case object:
			v = in[name]
		case []any:
			i := 0
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(in) {
				a.t.Fatalf("%s: no %s in %s", a.name, path, a.body)
			}
			v = in[i]
		default:
			a.t.Fatalf("%s: no %s in %s", a.name, path, a.body)
		}
	}
	return v
}

// text is a string at a path.
func (a *answer) text(path string) string {
	a.t.Helper()
	s, ok := a.at(path).(string)
	if !ok {
		a.t.Fatalf("%s: %s is no string in %s", a.name, path, a.body)
	}
	return s
}

// is compares the value at a path; numbers are float64.
func (a *answer) is(path string, want any) *answer {
	a.t.Helper()
	if got := a.at(path); js(got) != js(want) {
		a.t.Errorf("%s: %s is %s, want %s", a.name, path, js(got), js(want))
	}
	return a
}

// has and lacks look for texts in the body.
func (a *answer) has(texts ...string) *answer {
	a.t.Helper()
	for _, s := range texts {
		if !bytes.Contains(a.body, []byte(s)) {
			a.t.Errorf("%s: no %q in %s", a.name, s, a.body)
		}
	}
	return a
}

func (a *answer) lacks(texts ...string) *answer {
	a.t.Helper()
	for _, s := range texts {
		if bytes.Contains(a.body, []byte(s)) {
			a.t.Errorf("%s: %q is in %s", a.name, s, a.body)
		}
	}
	return a
}

// code is the problem's code; pointers the places that it names.
func (a *answer) code(want string, pointers ...string) *answer {
	a.t.Helper()
	a.is("code", want)
	var got []string
	if list, ok := a.object()["errors"].([]any); ok {
		for _, e := range list {
			got = append(got, e.(object)["pointer"].(string))
		}
	}
	if len(pointers) > 0 && js(got) != js(pointers) {
		a.t.Errorf("%s: points at %s, want %s: %s", a.name, js(got), js(pointers), a.body)
	}
	return a
}

func (a *answer) wantProblem() {
	a.t.Helper()
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("%s: content type %q", a.name, got)
	}
	a.is("status", a.StatusCode).is("request_id", a.Header.Get("X-Request-Id"))
}

// follow is where a redirect leads.
func follow(t *testing.T, u *url.URL) *url.URL {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	return to
}
