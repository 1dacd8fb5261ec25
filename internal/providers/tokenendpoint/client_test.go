package tokenendpoint_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

const (
	refreshToken = "r3fr3sh-t0ken"
	clientSecret = "cl1ent-s3cret"
	good         = `{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"next"}`
)

// endpoint is a server that counts, and remembers the last request.
type endpoint struct {
	url   string
	calls atomic.Int32
	seen  *http.Request
	form  url.Values
}

func newEndpoint(t *testing.T, answer http.HandlerFunc) *endpoint {
	t.Helper()
	e := &endpoint{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		e.form, _ = url.ParseQuery(string(body))
		e.seen = r
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	e.url = srv.URL + "/connect/token"
	return e
}

func says(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func client(t *testing.T) *tokenendpoint.Client {
	t.Helper()
	c := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(c.Close)
	return &tokenendpoint.Client{HTTP: c}
}

func refresh(url string) tokenendpoint.Request {
	return tokenendpoint.Request{
		Endpoint: url,
		Client: tokenendpoint.Credentials{
			ClientID: "id", ClientSecret: vault.NewSecret(clientSecret), Auth: tokenendpoint.AuthPost,
		},
		Grant: tokenendpoint.RefreshToken(vault.NewSecret(refreshToken), ""),
	}
}

func TestExchangeSendsTheForm(t *testing.T) {
	t.Parallel()
	// Client, code and redirect URI are those of RFC 6749, 2.3.1 and 4.1.3; the
	// verifier is that of RFC 7636, appendix B; the header is the RFC's too.
	const basic = "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW"
	post := url.Values{"client_id": {"s6BhdRkqt3"}, "client_secret": {"gX1fBat3bV"}}
	public := url.Values{"client_id": {"s6BhdRkqt3"}}
	code := tokenendpoint.AuthorizationCode(vault.NewSecret("SplxlOBeZQQYbYS6WxSbIA"), "https://client.example.com/cb",
		vault.NewSecret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"))
	tests := []struct {
		name   string
		auth   tokenendpoint.AuthStyle
		grant  tokenendpoint.Grant
		header string
		form   []url.Values
	}{
		{
			"code, basic", tokenendpoint.AuthBasic, code, basic,
			[]url.Values{{
				"grant_type": {"authorization_code"}, "code": {"SplxlOBeZQQYbYS6WxSbIA"},
				"redirect_uri":  {"https://client.example.com/cb"},
				"code_verifier": {"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
			}},
		},
		{
			"code without PKCE, post", tokenendpoint.AuthPost,
			tokenendpoint.AuthorizationCode(vault.NewSecret("SplxlOBeZQQYbYS6WxSbIA"), "https://client.example.com/cb", vault.Secret{}), "",
			[]url.Values{post, {
				"grant_type": {"authorization_code"}, "code": {"SplxlOBeZQQYbYS6WxSbIA"},
				"redirect_uri": {"https://client.example.com/cb"},
			}},
		},
		{
			"refresh, post, with the redirect URI and scopes", tokenendpoint.AuthPost,
			tokenendpoint.RefreshToken(vault.NewSecret("tGzv3JOkF0XG5Qx2TlKWIA"), "https://client.example.com/cb", "openid", "tlp"), "",
			[]url.Values{post, {
				"grant_type": {"refresh_token"}, "refresh_token": {"tGzv3JOkF0XG5Qx2TlKWIA"},
				"redirect_uri": {"https://client.example.com/cb"}, "scope": {"openid tlp"},
			}},
		},
		{
			"refresh, public client", tokenendpoint.AuthNone,
			tokenendpoint.RefreshToken(vault.NewSecret("tGzv3JOkF0XG5Qx2TlKWIA"), ""), "",
			[]url.Values{public, {"grant_type": {"refresh_token"}, "refresh_token": {"tGzv3JOkF0XG5Qx2TlKWIA"}}},
		},
		{
			"client credentials, basic", tokenendpoint.AuthBasic,
			tokenendpoint.ClientCredentials([]string{"a", "b"}, url.Values{
				"audience": {"https://api.example.com"}, "resource": {"x", "y"},
				"grant_type": {"password"}, "scope": {"all"}, "client_id": {"other"}, "client_secret": {"other"},
			}), basic,
			[]url.Values{{
				"grant_type": {"client_credentials"}, "scope": {"a b"},
				"audience": {"https://api.example.com"}, "resource": {"x", "y"},
			}},
		},
		{
			"client credentials, nothing else", tokenendpoint.AuthPost, tokenendpoint.ClientCredentials(nil, nil), "",
			[]url.Values{post, {"grant_type": {"client_credentials"}}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t, says(200, asJSON, good))
			a, err := client(t).Exchange(t.Context(), tokenendpoint.Request{
				Endpoint: e.url + "?tenant=x",
				Client: tokenendpoint.Credentials{
					ClientID: "s6BhdRkqt3", ClientSecret: vault.NewSecret("gX1fBat3bV"), Auth: tt.auth,
				},
				Grant: tt.grant,
			})
			if err != nil {
				t.Fatal(err)
			}
			want := &plain{Access: "a", Refresh: "next", Type: "Bearer", Expires: time.Hour}
			if d := cmp.Diff(want, reveal(a)); d != "" {
				t.Errorf("answer (-want +got):\n%s", d)
			}
			form := url.Values{}
			for _, part := range tt.form {
				maps.Copy(form, part)
			}
			if d := cmp.Diff(form, e.form); d != "" {
				t.Errorf("form (-want +got):\n%s", d)
			}
			for name, want := range map[string]string{
				"Authorization": tt.header, "Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded",
			} {
				if got := e.seen.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if e.seen.Method != http.MethodPost || e.seen.URL.RawQuery != "tenant=x" || e.calls.Load() != 1 {
				t.Errorf("%d requests, the last one %s with query %q", e.calls.Load(), e.seen.Method, e.seen.URL.RawQuery)
			}
		})
	}
}

// x/oauth2 is how the world's servers see Basic with characters of their own
// meaning in it.
func TestBasicIsEncodedAsOthersDo(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"id", "secret"}, {"a:b", "c:d"}, {"id with space", "plus+and%"}, {"ümlaut", "日本語"}, {"~-._*!'()", "\"\\/?&=#@"}, {"a\r\nb", "\x00"},
	} {
		e := newEndpoint(t, says(200, asJSON, good))
		req := refresh(e.url)
		req.Client = tokenendpoint.Credentials{ClientID: pair[0], ClientSecret: vault.NewSecret(pair[1]), Auth: tokenendpoint.AuthBasic}
		if _, err := client(t).Exchange(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		got := e.seen.Header.Get("Authorization")
		other := oauth2.Config{
			ClientID: pair[0], ClientSecret: pair[1],
			Endpoint: oauth2.Endpoint{TokenURL: e.url, AuthStyle: oauth2.AuthStyleInHeader},
		}
		if _, err := other.Exchange(t.Context(), "code"); err != nil {
			t.Fatal(err)
		}
		if want := e.seen.Header.Get("Authorization"); got != want {
			t.Errorf("%q: %s, want %s", pair, got, want)
		}
	}
}

func TestExchangeSendsOnce(t *testing.T) {
	t.Parallel()
	hijack := func(then func(net.Conn)) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			then(conn)
			_ = conn.Close()
		}
	}
	wire := func(s string) http.HandlerFunc {
		return hijack(func(c net.Conn) { _, _ = io.WriteString(c, s) })
	}
	big := strings.Repeat("x", 1<<20)
	tests := []struct {
		name   string
		answer http.HandlerFunc
		class  tokenendpoint.Class
		status int
		spent  bool
		saved  string
	}{
		{"400", says(400, asJSON, `{"error":"invalid_grant"}`), tokenendpoint.Terminal, 400, false, ""},
		{"401", says(401, asJSON, `{"error":"invalid_client"}`), tokenendpoint.ClientFault, 401, false, ""},
		{"429", says(429, asJSON, `{}`), tokenendpoint.Transient, 429, false, ""},
		{"500", says(500, asJSON, `{}`), tokenendpoint.Transient, 500, true, ""},
		{"503", says(503, asJSON, `{}`), tokenendpoint.Transient, 503, true, ""},
		{"unusable", says(200, "text/html", `<html>`), tokenendpoint.Broken, 200, true, ""},
		{"unusable, with a token", says(200, asJSON, `{"refresh_token":"next"}`), tokenendpoint.Broken, 200, true, "next"},
		{"closed", hijack(func(net.Conn) {}), tokenendpoint.Uncertain, 0, true, ""},
		{"reset", hijack(func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }), tokenendpoint.Uncertain, 0, true, ""},
		{"not HTTP", wire("hello\r\n\r\n"), tokenendpoint.Uncertain, 0, true, ""},
		{
			"cut before the refresh token ends", wire("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + `{"access_token":"a","token_type":"bearer","refresh_token":"nex`),
			tokenendpoint.Uncertain, 200, true, "",
		},
		{
			"cut after it", wire("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + `{"refresh_token":"next","access_token":"a`),
			tokenendpoint.Broken, 200, true, "next",
		},
		{
			"cut, and a number", wire("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + `{"refresh_token":123`),
			tokenendpoint.Uncertain, 200, true, "",
		},
		{
			"cut, and a form", wire("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + `access_token=a&token_type=bearer&refresh_token=nex`),
			tokenendpoint.Uncertain, 200, true, "",
		},
		{
			"cut later, and a form", wire("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + `access_token=a&token_type=bearer&refresh_token=next&sco`),
			tokenendpoint.Broken, 200, true, "next",
		},
		{
			"refusal cut short", wire("HTTP/1.1 400 Bad Request\r\nContent-Length: 999\r\n\r\n" + `{"error":"invalid_grant"`),
			tokenendpoint.Uncertain, 400, true, "",
		},
		{"too large", says(200, asJSON, `{"refresh_token":"next","x":"`+big+`"}`), tokenendpoint.Broken, 200, true, ""},
		{"too large a refusal", says(400, asJSON, `{"error":"invalid_grant","x":"`+big+`"}`), tokenendpoint.Rejected, 400, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t, tt.answer)
			a, err := client(t).Exchange(t.Context(), refresh(e.url))
			got := asError(t, err)
			if got.Class != tt.class || got.Status != tt.status || got.Spent() != tt.spent {
				t.Errorf("error %v, spent %v; want %s, status %d, spent %v", err, got.Spent(), tt.class, tt.status, tt.spent)
			}
			var want *plain
			if tt.saved != "" {
				want = &plain{Refresh: tt.saved}
			}
			if d := cmp.Diff(want, reveal(a)); d != "" {
				t.Errorf("answer (-want +got):\n%s", d)
			}
			if n := e.calls.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestExchangeTakesAWholeAnswerThatPromisedMore(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", asJSON)
		w.Header().Set("Content-Length", "999")
		_, _ = io.WriteString(w, good)
	})
	a, err := client(t).Exchange(t.Context(), refresh(e.url))
	if err != nil {
		t.Fatal(err)
	}
	want := &plain{Access: "a", Refresh: "next", Type: "Bearer", Expires: time.Hour}
	if d := cmp.Diff(want, reveal(a)); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
}

func TestExchangeFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	thief := newEndpoint(t, says(200, asJSON, good))
	for _, status := range []int{301, 302, 303, 307, 308} {
		e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", thief.url)
			w.WriteHeader(status)
		})
		a, err := client(t).Exchange(t.Context(), refresh(e.url))
		if got := asError(t, err); got.Class != tokenendpoint.Rejected || got.Status != status || a != nil {
			t.Errorf("%d: error %v, answer %v", status, err, a)
		}
	}
	if n := thief.calls.Load(); n != 0 {
		t.Errorf("the secret was sent to another host %d times", n)
	}
}

func TestExchangeGivesUpInTime(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	req := refresh(e.url)
	req.Timeout = 500 * time.Millisecond // long enough to connect, however busy the machine
	_, err := client(t).Exchange(t.Context(), req)
	if got := asError(t, err); got.Class != tokenendpoint.Uncertain || !got.Spent() {
		t.Errorf("error %v, want it uncertain", err)
	}
	if n := e.calls.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestExchangeKnowsWhenNothingWasSent(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, says(200, asJSON, good))
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	tests := []struct {
		name   string
		change func(*tokenendpoint.Request)
		class  tokenendpoint.Class
	}{
		{"nobody listens", func(r *tokenendpoint.Request) { r.Endpoint = gone.URL }, tokenendpoint.Transient},
		{"no endpoint", func(r *tokenendpoint.Request) { r.Endpoint = "" }, tokenendpoint.ClientFault},
		{"plain http", func(r *tokenendpoint.Request) { r.Endpoint = "http://login.example.com/token" }, tokenendpoint.ClientFault},
		{"a forbidden literal", func(r *tokenendpoint.Request) { r.Endpoint = "https://10.0.0.1/token" }, tokenendpoint.ClientFault},
		{"no grant", func(r *tokenendpoint.Request) { r.Grant = tokenendpoint.Grant{} }, tokenendpoint.ClientFault},
		{"no client id", func(r *tokenendpoint.Request) { r.Client.ClientID = "" }, tokenendpoint.ClientFault},
		{"no client secret", func(r *tokenendpoint.Request) { r.Client.ClientSecret = vault.Secret{} }, tokenendpoint.ClientFault},
		{"no style of authentication", func(r *tokenendpoint.Request) { r.Client.Auth = "" }, tokenendpoint.ClientFault},
		{"one that nobody knows", func(r *tokenendpoint.Request) { r.Client.Auth = "private_key_jwt" }, tokenendpoint.ClientFault},
	}
	for _, tt := range tests {
		req := refresh(e.url)
		tt.change(&req)
		_, err := client(t).Exchange(t.Context(), req)
		if got := asError(t, err); got.Class != tt.class || got.Spent() {
			t.Errorf("%s: error %v, spent %v; want %s and nothing spent", tt.name, err, got.Spent(), tt.class)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client(t).Exchange(ctx, refresh(e.url))
	if got := asError(t, err); got.Class != tokenendpoint.Transient || got.Spent() {
		t.Errorf("canceled before: error %v, want it transient", err)
	}
	if n := e.calls.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	tests := []struct {
		header string
		want   time.Duration
	}{
		{"120", 2 * time.Minute},
		{now.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second},
		{now.Add(-time.Hour).Format(http.TimeFormat), 0},
		{"999999999", 24 * time.Hour},
		{"0", 0},
		{"-5", 0},
		{"soon", 0},
		{"", 0},
	}
	for _, tt := range tests {
		e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", tt.header)
			w.WriteHeader(http.StatusTooManyRequests)
		})
		c := client(t)
		c.Now = func() time.Time { return now }
		_, err := c.Exchange(t.Context(), refresh(e.url))
		if got := asError(t, err); got.RetryAfter != tt.want {
			t.Errorf("Retry-After %q: %v, want %v", tt.header, got.RetryAfter, tt.want)
		}
	}
}

func TestWhatAProviderEchoesIsNotTold(t *testing.T) {
	t.Parallel()
	for _, echoed := range []string{refreshToken, clientSecret} {
		e := newEndpoint(t, says(400, asJSON, `{"error":"bad:`+echoed+`","error_description":"token `+echoed+` is unknown"}`))
		_, err := client(t).Exchange(t.Context(), refresh(e.url))
		if got := asError(t, err); got.Code != "" || got.Description != "" {
			t.Errorf("code %q, description %q: a secret came back", got.Code, got.Description)
		}
	}
	e := newEndpoint(t, says(400, asJSON, `{"error":"refresh_token","error_description":"id is unknown"}`))
	_, err := client(t).Exchange(t.Context(), refresh(e.url))
	if got := asError(t, err); got.Code == "" || got.Description == "" {
		t.Errorf("code %q, description %q: more is held back than has to be", got.Code, got.Description)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: logger})
	t.Cleanup(h.Close)
	c := &tokenendpoint.Client{HTTP: h, Log: logger}

	e := newEndpoint(t, says(200, "text/plain", `{"access_token":"acc3ss-t0ken","token_type":"bearer","expires_in":"soon","refresh_token":"n3xt-t0ken"}`))
	req := refresh(e.url + "?key=qu3ry")
	a, err := c.Exchange(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for _, departure := range []string{"the content type is not JSON", "expires_in is not a lifetime"} {
		if !strings.Contains(log.String(), departure) {
			t.Errorf("the log does not say that %s:\n%s", departure, log.String())
		}
	}
	_, err = c.Revoke(t.Context(), tokenendpoint.Revocation{Endpoint: e.url, Client: req.Client, Token: vault.NewSecret(refreshToken)})
	if err != nil {
		t.Fatal(err)
	}
	req.Endpoint = "" // configuration, and no secret
	logger.Info("all", "request", req, "answer", a)
	out := log.String() + fmt.Sprintf("%+v %#v %+v %#v %v", req, req, *a, *a, req.Grant)
	for _, secret := range []string{refreshToken, clientSecret, "acc3ss-t0ken", "n3xt-t0ken", "qu3ry"} {
		if strings.Contains(out, secret) {
			t.Errorf("%s is told: %s", secret, out)
		}
	}
}
