package providers_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/vault"
)

const acme = `name: acme
title: Acme
base_url: https://acme.example/api
verify:
  path: /me
  account:
    id: [id]
methods:
  - name: oauth
    title: Sign in
    scheme: oauth2_code
    oauth:
      authorization_url: https://acme.example/authorize
      token_url: https://acme.example/token
      default_expires_in: 1800
  - name: grants
    title: Says unauthorized_client of grants
    scheme: oauth2_code
    oauth:
      authorization_url: https://acme.example/authorize
      token_url: https://acme.example/token
      terminal_codes: [unauthorized_client]
  - name: client
    title: Client of the integration
    scheme: oauth2_client_credentials
    oauth:
      token_url: https://acme.example/token
  - name: own_client
    title: Client of the end user
    scheme: oauth2_client_credentials
    fields:
      - {name: client_id, label: Client id, type: text, required: true}
      - {name: client_secret, label: Client secret, type: token, required: true}
    oauth:
      token_url: https://acme.example/token
  - name: session
    title: Session
    scheme: session_cookie
    fields:
      - {name: password, label: Password, type: password, required: true}
      - {name: keep, label: Keep it, type: checkbox}
    session_cookie:
      url: https://acme.example/token
      body: {password: "{password}"}
      cookies: [session]
      refused: [401, 403]
      keep: keep
`

// kept is a credential of each method of acme that can be renewed.
func kept(method string) vault.Credential {
	switch method {
	case "client":
		return form("access_token", "a1")
	case "own_client":
		return form("access_token", "a1", "client_id", "mine", "client_secret", "s")
	case "session":
		return form("cookie", "session=s1", "password", "p", "keep", "true")
	}
	return form("access_token", "a1", "refresh_token", "r1")
}

// says answers with a status, a body and headers; the body "-" is none.
func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.TrimPrefix(body, "-"))
	}
}

// raw takes the request, writes text to the wire and hangs up.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

// What each answer of a provider means for the connection. docs/refresh.md has
// the same table in words.
func TestRefreshTaxonomy(t *testing.T) {
	t.Parallel()
	now := newClock().Now()
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	code := func(c string) string { return fmt.Sprintf(`{"error":%q}`, c) }
	const (
		terminal    = providers.RefreshTerminal
		integration = providers.RefreshIntegration
		transient   = providers.RefreshTransient
		uncertain   = providers.RefreshUncertain
		broken      = providers.RefreshBroken
	)
	for _, tt := range []struct {
		name   string
		method string // oauth if empty
		serve  http.HandlerFunc
		class  providers.RefreshClass
		code   string
		spent  bool
		after  time.Duration
	}{
		{name: "the grant is gone", serve: says(400, code("invalid_grant")), class: terminal, code: "invalid_grant"},
		{name: "said with 401", serve: says(401, code("invalid_grant")), class: terminal, code: "invalid_grant"},
		{name: "said with 200", serve: says(200, code("invalid_grant")), class: terminal, code: "invalid_grant"},
		{name: "the password is another", method: "session", serve: says(403, "-"), class: terminal, code: "refused"},
		{name: "the end user's own client", method: "own_client", serve: says(401, code("invalid_client")), class: terminal, code: "invalid_client"},
		{name: "not to refresh, where that is said of grants", method: "grants", serve: says(400, code("unauthorized_client")), class: terminal, code: "unauthorized_client"},

		{name: "the client is wrong", serve: says(401, code("invalid_client")), class: integration, code: "invalid_client"},
		{name: "said with 400", serve: says(400, code("invalid_client")), class: integration, code: "invalid_client"},
		{name: "401 without a word", serve: says(401, "-"), class: integration},
		{name: "the client may not refresh", serve: says(400, code("unauthorized_client")), class: integration, code: "unauthorized_client"},
		{name: "Keycloak, for a wrong secret", serve: says(401, code("unauthorized_client")), class: integration, code: "unauthorized_client"},
		{name: "the integration's own access", method: "client", serve: says(401, code("invalid_client")), class: integration, code: "invalid_client"},
		{name: "the request is wrong", serve: says(400, code("invalid_request")), class: integration, code: "invalid_request"},
		{name: "no such grant type", serve: says(400, code("unsupported_grant_type")), class: integration, code: "unsupported_grant_type"},
		{name: "no such scope", serve: says(400, code("invalid_scope")), class: integration, code: "invalid_scope"},
		{name: "nothing there", serve: says(404, "-"), class: integration},
		{name: "elsewhere", serve: says(307, "-", "Location", "https://acme.example/"), class: integration},

		{name: "busy", serve: says(429, "-"), class: transient},
		{name: "busy for seconds", serve: says(429, "-", "Retry-After", "7"), class: transient, after: 7 * time.Second},
		{name: "busy until", serve: says(429, "-", "Retry-After", date(90*time.Second)), class: transient, after: 90 * time.Second},
		{name: "busy until just now", serve: says(429, "-", "Retry-After", date(-time.Second)), class: transient},
		{name: "busy for ever", serve: says(429, "-", "Retry-After", "31536000"), class: transient, after: time.Hour},
		{name: "busy until the end", serve: says(429, "-", "Retry-After", date(1000*time.Hour)), class: transient, after: time.Hour},
		{name: "busy, in words", serve: says(429, "-", "Retry-After", "later"), class: transient},
		{name: "busy, and rude", serve: says(429, code("invalid_grant")), class: transient, code: "invalid_grant"},
		{name: "down", serve: says(503, "-", "Retry-After", "5"), class: transient, spent: true, after: 5 * time.Second},
		{name: "down, and rude", serve: says(500, code("invalid_grant")), class: transient, code: "invalid_grant", spent: true},
		{name: "a gateway", serve: says(502, "<html>"), class: transient, spent: true},
		{name: "slow down", serve: says(400, code("slow_down")), class: transient, code: "slow_down"},
		{name: "the sign-in is busy", method: "session", serve: says(429, "-", "Retry-After", "86400"), class: transient, after: time.Hour},
		{name: "the sign-in is down", method: "session", serve: says(500, "-"), class: transient},

		{name: "a page", serve: says(200, "<html>Welcome", "Content-Type", "text/html"), class: broken, spent: true},
		{name: "a page that says that it is JSON", serve: says(200, "<html>Welcome"), class: broken, spent: true},
		{name: "a sentence", serve: says(200, "Welcome", "Content-Type", "text/plain"), class: broken, spent: true},
		{name: "nothing", serve: says(204, "-"), class: broken, spent: true},
		{name: "a list", serve: says(200, `[{"access_token":"a2","token_type":"bearer"}]`), class: broken, spent: true},
		{name: "no access token", serve: says(200, `{"token_type":"bearer"}`), class: broken, spent: true},
		{name: "an access token of another type", serve: says(200, `{"access_token":7,"token_type":"bearer"}`), class: broken, spent: true},
		{name: "a type of token that is none of ours", serve: says(200, `{"access_token":"a2","token_type":"mac"}`), class: broken, spent: true},
		{name: "an access token that no header carries", serve: says(200, `{"access_token":"a\r\nb","token_type":"bearer"}`), class: broken, spent: true},
		{name: "more than is read", serve: says(200, strings.Repeat(" ", 2<<20)), class: broken, spent: true},
		{name: "a sign-in without a session", method: "session", serve: says(200, "{}"), class: broken},

		{name: "hung up", serve: raw(""), class: uncertain, spent: true},
		{name: "cut in the header", serve: raw("HTTP/1.1 200 OK\r\nContent-"), class: uncertain, spent: true},
		{name: "cut in the body", serve: raw("HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{\"access_token\":\"a"), class: uncertain, spent: true},
		{name: "not HTTP", serve: raw("220 smtp.acme.example ESMTP\r\n"), class: uncertain, spent: true},
		{name: "no answer", serve: func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, class: uncertain, spent: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeOf(t, "acme", acme, "acme.example")
			calls := make(chan struct{}, 9)
			f.mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
				calls <- struct{}{}
				tt.serve(w, r)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			method := cmp.Or(tt.method, "oauth")
			r, err := f.Refresh(ctx, f.in, vault.Connection{ID: "con_1", Method: method}, kept(method))
			wantRefreshError(t, r, err, providers.RefreshError{Class: tt.class, Code: tt.code, Spent: tt.spent, RetryAfter: tt.after})
			if n := len(calls); n != 1 {
				t.Errorf("sent %d times", n)
			}
		})
	}
}

func wantRefreshError(t *testing.T, r *providers.Renewal, err error, want providers.RefreshError) {
	t.Helper()
	re, ok := errors.AsType[*providers.RefreshError](err)
	if r != nil || !ok {
		t.Fatalf("got %+v, %v", r, err)
	}
	got := *re
	got.Err = nil
	if got != want {
		t.Errorf("got %+v, want %+v: %v", got, want, err)
	}
}

// What never reached the provider has spent nothing, and passes.
func TestRefreshTaxonomyBeforeSending(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, f *fake) context.Context
	}{
		{"nobody listens", func(t *testing.T, f *fake) context.Context {
			f.server.Close()
			return t.Context()
		}},
		{"no handshake in time", func(t *testing.T, f *fake) context.Context {
			ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = ln.Close() })
			f.in.Overrides.TokenURL = "https://" + ln.Addr().String() + "/token"
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			t.Cleanup(cancel)
			return ctx
		}},
		{"somebody else's certificate", func(t *testing.T, f *fake) context.Context {
			f.in.Overrides.TokenURL = strings.Replace(f.server.URL, "127.0.0.1", "localhost", 1) + "/token"
			return t.Context()
		}},
		{"the lease is over", func(t *testing.T, _ *fake) context.Context {
			return outbound.WithSendBy(t.Context(), time.Now())
		}},
		{"the caller has gone", func(t *testing.T, _ *fake) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx
		}},
	} {
		for _, method := range []string{"oauth", "client", "session"} {
			t.Run(tt.name+", "+method, func(t *testing.T) {
				t.Parallel()
				f := newFakeOf(t, "acme", acme, "acme.example")
				f.answer("/token", object{"access_token": "a2", "token_type": "bearer"})
				ctx := tt.spoil(t, f)
				f.in.Overrides.SessionURL = f.in.Overrides.TokenURL
				r, err := f.Refresh(ctx, f.in, vault.Connection{ID: "con_1", Method: method}, kept(method))
				wantRefreshError(t, r, err, providers.RefreshError{Class: providers.RefreshTransient})
				f.server.Close()
				if n := len(f.calls("/token")); n != 0 {
					t.Errorf("%d requests arrived", n)
				}
			})
		}
	}
}

// An answer that is no use but for the refresh token in it: that is rescued,
// with what is known of its life.
func TestRefreshTaxonomyRescue(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		code  string
	}{
		"no access token":  {says(200, `{"refresh_token":"r2","token_type":"bearer"}`), ""},
		"cut in the body":  {raw("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"refresh_token\":\"r2\",\"access_token\":\"a"), ""},
		"yes and no":       {says(200, `{"refresh_token":"r2","access_token":"a2","token_type":"bearer","error":"invalid_grant"}`), "invalid_grant"},
		"wrong token type": {says(200, `{"refresh_token":"r2","access_token":"a2","token_type":"mac"}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakeOf(t, "acme", acme, "acme.example")
			f.mux.HandleFunc("/token", tt.serve)
			end := f.clock.Now().Add(time.Hour)
			conn := vault.Connection{ID: "con_1", Method: "oauth", ExpiresAt: end, RefreshExpiresAt: end}
			r, err := f.Refresh(t.Context(), f.in, conn, kept("oauth"))
			if err != nil || r.Rescue == nil {
				t.Fatalf("%+v, %v", r, err)
			}
			if g := r.Rescue; g.Credential.Get("refresh_token") != "r2" || !g.ExpiresAt.Equal(end) || !g.RefreshExpiresAt.IsZero() || !g.Renewable {
				t.Errorf("rescued %+v", g)
			}
			wantHeaders(t, *r.Rescue, map[string]string{"Authorization": "Bearer a1"})
			_, err = r.Finish(t.Context())
			wantRefreshError(t, nil, err, providers.RefreshError{Class: providers.RefreshBroken, Code: tt.code})
		})
	}
}

// JSON is JSON, whatever its content type: to refuse it would lose a token.
func TestRefreshTakesJSONOfAnyContentType(t *testing.T) {
	t.Parallel()
	f := newFakeOf(t, "acme", acme, "acme.example")
	f.mux.HandleFunc("/token", says(200, `{"access_token":"a2","token_type":"bearer"}`, "Content-Type", "text/html"))
	g := f.refresh("oauth", vault.Grant{Credential: kept("oauth")})
	wantHeaders(t, g, map[string]string{"Authorization": "Bearer a2"})
}
