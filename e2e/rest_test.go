package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// backend is a backend service that calls the REST API with its key.
type backend struct {
	t    *testing.T
	url  string
	key  string
	http *http.Client
}

// in is the same backend for a subtest.
func (b backend) in(t *testing.T) backend {
	b.t = t
	return b
}

// answer is an answer of the API, read.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   []byte
}

// call makes one request; a body that is not nil goes as JSON.
func (b backend) call(method, path string, body any) answer {
	b.t.Helper()
	a, err := b.try(method, path, body, "application/json")
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// try is call for goroutines, and for brokers that may be gone.
func (b backend) try(method, path string, body any, accept string) (answer, error) {
	return b.ask(b.t.Context(), method, path, body, accept)
}

// ask is try with a context of the caller's.
func (b backend) ask(ctx context.Context, method, path string, body any, accept string) (answer, error) {
	var content io.Reader = http.NoBody
	if body != nil {
		doc, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		content = bytes.NewReader(doc)
	}
	req, err := http.NewRequestWithContext(ctx, method, b.url+path, content)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+b.key)
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := b.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	read, err := io.ReadAll(res.Body)
	return answer{b.t, method + " " + path, res.StatusCode, res.Header, read}, err
}

func (b backend) get(path string) answer {
	b.t.Helper()
	return b.call(http.MethodGet, path, nil)
}

func (b backend) post(path string, body any) answer {
	b.t.Helper()
	return b.call(http.MethodPost, path, body)
}

// want ends the test where the status is another one.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: %d, want %d: %s", a.what, a.status, status, a.body)
	}
	return a
}

// problem ends the test unless the answer is this problem (RFC 9457).
func (a answer) problem(status int, code string) answer {
	a.t.Helper()
	var p struct{ Code, Detail string }
	a.want(status).into(&p)
	if kind := a.header.Get("Content-Type"); p.Code != code || kind != "application/problem+json" {
		a.t.Fatalf("%s: code %q in %s, want %q: %s", a.what, p.Code, kind, code, a.body)
	}
	return a
}

func (a answer) into(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%s: %v: %s", a.what, err, a.body)
	}
}

// connection is a connection as the API shows it.
type connection struct {
	ID           string    `json:"id"`
	Integration  string    `json:"integration"`
	Method       string    `json:"method"`
	Status       string    `json:"status"`
	StatusReason string    `json:"status_reason"`
	Generation   int64     `json:"generation"`
	BaseURL      string    `json:"base_url"`
	ExpiresAt    time.Time `json:"expires_at"`
	RefreshedAt  time.Time `json:"last_refreshed_at"`
	ReadAt       time.Time `json:"last_read_at"`
	EndUser      struct {
		ID string `json:"id"`
	} `json:"end_user"`
	Account struct {
		ID    string `json:"id"`
		Label string `json:"label"`
	} `json:"account"`
}

func (b backend) connection(id string) connection {
	b.t.Helper()
	var c connection
	b.get("/v1/connections/" + id).want(http.StatusOK).into(&c)
	return c
}

// connections lists those of one end user.
func (b backend) connections(endUser string) []connection {
	b.t.Helper()
	var list struct{ Data []connection }
	b.get("/v1/connections?end_user_id=" + url.QueryEscape(endUser)).want(http.StatusOK).into(&list)
	return list.Data
}

// headers is what a backend gets to call a provider with.
type headers struct {
	Headers    map[string]string `json:"headers"`
	BaseURL    string            `json:"base_url"`
	ExpiresAt  time.Time         `json:"expires_at"`
	Generation int64             `json:"generation"`
	t          *testing.T
}

func (a answer) headers() headers {
	a.t.Helper()
	h := headers{t: a.t}
	a.want(http.StatusOK).into(&h)
	if a.header.Get("Cache-Control") != "no-store" {
		a.t.Errorf("%s: Cache-Control %q", a.what, a.header.Get("Cache-Control"))
	}
	return h
}

func (b backend) headers(id string) headers {
	b.t.Helper()
	return b.get("/v1/connections/" + id + "/headers").headers()
}

// use calls a provider with the headers; an absolute URL stands for itself,
// anything else is below the base URL.
func (h headers) use(path string) (status int, body string) {
	h.t.Helper()
	to := path
	if !strings.HasPrefix(path, "http") {
		to = strings.TrimSuffix(h.BaseURL, "/") + path
	}
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, to, http.NoBody)
	if err != nil {
		h.t.Fatal(err)
	}
	for name, value := range h.Headers {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	read, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, string(read)
}

// accepted ends the test unless the provider takes the headers and answers
// with something of the account's.
func (h headers) accepted(path, has string) {
	h.t.Helper()
	if status, body := h.use(path); status != http.StatusOK || !strings.Contains(body, has) {
		h.t.Fatalf("the provider answers %d to the headers, and %q is there: %t", status, has, strings.Contains(body, has))
	}
}

// refused ends the test if the provider still takes the headers.
func (h headers) refused(path string) {
	h.t.Helper()
	if status, _ := h.use(path); status != http.StatusUnauthorized && status != http.StatusForbidden {
		h.t.Fatalf("the provider still answers %d to the headers", status)
	}
}

// link is a connect session as its host gets it.
type link struct {
	ID  string `json:"id"`
	URL string `json:"connect_url"`
}

// auditEntry is one line of the trail.
type auditEntry struct {
	ID           string `json:"id"`
	ActorKind    string `json:"actor_kind"`
	Action       string `json:"action"`
	Allowed      bool   `json:"allowed"`
	ConnectionID string `json:"connection_id"`
	SessionID    string `json:"connect_session_id"`
	Reason       string `json:"reason"`
	Count        int64  `json:"count"`
}

// trail is the newest entries that fit a query such as "action=link.failed".
func (b backend) trail(query string) []auditEntry {
	b.t.Helper()
	var list struct{ Data []auditEntry }
	b.get("/v1/audit?limit=200&" + query).want(http.StatusOK).into(&list)
	return list.Data
}

// in is the same answer for another test to judge.
func (a answer) in(t *testing.T) answer {
	a.t = t
	return a
}
