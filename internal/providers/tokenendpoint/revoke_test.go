package tokenendpoint_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

func TestRevokeSendsTheForm(t *testing.T) {
	t.Parallel()
	// The request of RFC 7009, 2.1.
	e := newEndpoint(t, says(200, "", ""))
	outcome, err := client(t).Revoke(t.Context(), tokenendpoint.Revocation{
		Endpoint: e.url,
		Client: tokenendpoint.Credentials{
			ClientID: "s6BhdRkqt3", ClientSecret: vault.NewSecret("gX1fBat3bV"), Auth: tokenendpoint.AuthBasic,
		},
		Token: vault.NewSecret("45ghiukldjahdnhzdauz"),
		Hint:  tokenendpoint.HintRefreshToken,
	})
	if outcome != tokenendpoint.Revoked || err != nil {
		t.Errorf("%s, %v; want it revoked", outcome, err)
	}
	want := url.Values{"token": {"45ghiukldjahdnhzdauz"}, "token_type_hint": {"refresh_token"}}
	if d := cmp.Diff(want, e.form); d != "" {
		t.Errorf("form (-want +got):\n%s", d)
	}
	if got := e.seen.Header.Get("Authorization"); got != "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW" || e.seen.Method != http.MethodPost {
		t.Errorf("%s with Authorization %q", e.seen.Method, got)
	}
}

func TestRevokeReportsTheOutcome(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		answer  http.HandlerFunc
		outcome tokenendpoint.Outcome
		class   tokenendpoint.Class // of a failure
		status  int
		retry   time.Duration
	}{
		{"200 without a body", says(200, "", ""), tokenendpoint.Revoked, "", 0, 0},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, tokenendpoint.Revoked, "", 0, 0},
		{"200 with a page", says(200, "text/html", "<html>ok</html>"), tokenendpoint.Revoked, "", 0, 0},
		{"200 with ok:true", says(200, asJSON, `{"ok":true,"revoked":true}`), tokenendpoint.Revoked, "", 0, 0},
		{"200 cut short", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "9") }, tokenendpoint.Revoked, "", 0, 0},
		{"dead already, as Google says it", says(400, asJSON, `{"error":"invalid_token","error_description":"Token expired or revoked"}`), tokenendpoint.Revoked, "", 0, 0},
		{"unsupported_token_type", says(400, asJSON, `{"error":"unsupported_token_type"}`), tokenendpoint.Unsupported, "", 0, 0},
		{"200 with ok:false", says(200, asJSON, `{"ok":false,"error":"invalid_auth"}`), tokenendpoint.Failed, tokenendpoint.Rejected, 200, 0},
		{"invalid_client", says(401, asJSON, `{"error":"invalid_client"}`), tokenendpoint.Failed, tokenendpoint.ClientFault, 401, 0},
		{"invalid_request", says(400, asJSON, `{"error":"invalid_request"}`), tokenendpoint.Failed, tokenendpoint.Rejected, 400, 0},
		{"404", says(404, "text/html", "<html>"), tokenendpoint.Failed, tokenendpoint.Rejected, 404, 0},
		{"redirect", says(302, "", ""), tokenendpoint.Failed, tokenendpoint.Rejected, 302, 0},
		{"503 (RFC 7009, 2.2.1)", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(503)
		}, tokenendpoint.Failed, tokenendpoint.Transient, 503, 30 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t, tt.answer)
			outcome, err := client(t).Revoke(t.Context(), tokenendpoint.Revocation{
				Endpoint: e.url, Client: refresh("").Client, Token: vault.NewSecret(refreshToken),
			})
			if outcome != tt.outcome || (err != nil) != (tt.outcome == tokenendpoint.Failed) {
				t.Fatalf("%s, %v; want %s", outcome, err, tt.outcome)
			}
			if n := e.calls.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
			if err == nil {
				return
			}
			if got := asError(t, err); got.Class != tt.class || got.Status != tt.status || got.RetryAfter != tt.retry {
				t.Errorf("error %v after %v, want %s, status %d, after %v", err, got.RetryAfter, tt.class, tt.status, tt.retry)
			}
		})
	}
}

func TestRevokeFailsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	r := tokenendpoint.Revocation{Endpoint: gone.URL, Client: refresh("").Client, Token: vault.NewSecret(refreshToken)}
	outcome, err := client(t).Revoke(t.Context(), r)
	if got := asError(t, err); outcome != tokenendpoint.Failed || got.Class != tokenendpoint.Transient {
		t.Errorf("%s, %v; want a transient failure", outcome, err)
	}
	r.Token = vault.Secret{}
	outcome, err = client(t).Revoke(t.Context(), r)
	if got := asError(t, err); outcome != tokenendpoint.Failed || got.Class != tokenendpoint.ClientFault {
		t.Errorf("without a token: %s, %v; want a client fault", outcome, err)
	}
}
