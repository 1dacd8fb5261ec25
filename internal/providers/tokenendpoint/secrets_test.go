package tokenendpoint_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

const previousSecret = "b3fore-s3cret"

// twoSecrets is a server that knows the secrets given, and says something else
// to whoever has none of them. It writes down which were tried.
type twoSecrets struct {
	*endpoint
	mu    sync.Mutex
	tried []string
}

func newTwoSecrets(t *testing.T, refusal http.HandlerFunc, known ...string) *twoSecrets {
	t.Helper()
	s := &twoSecrets{}
	s.endpoint = newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		secret := s.form.Get("client_secret")
		if _, basic, ok := r.BasicAuth(); ok {
			secret = basic
		}
		s.mu.Lock()
		s.tried = append(s.tried, secret)
		s.mu.Unlock()
		if !slices.Contains(known, secret) {
			refusal(w, r)
			return
		}
		says(200, "application/json", good)(w, r)
	})
	return s
}

func withPrevious(url string, auth tokenendpoint.AuthStyle) tokenendpoint.Request {
	r := refresh(url)
	r.Client.PreviousSecret, r.Client.Auth = vault.NewSecret(previousSecret), auth
	return r
}

// TestPreviousSecret: the new secret first, and the one before once, where the
// client was refused and nothing else.
func TestPreviousSecret(t *testing.T) {
	t.Parallel()
	const both = clientSecret + " " + previousSecret
	oauthError := func(status int, code string) http.HandlerFunc {
		return says(status, "application/json", `{"error":"`+code+`"}`)
	}
	for name, tt := range map[string]struct {
		refusal http.HandlerFunc
		known   []string
		tried   string
		class   tokenendpoint.Class // "" is a success
	}{
		"the new one":              {oauthError(401, "invalid_client"), []string{clientSecret}, clientSecret, ""},
		"both":                     {oauthError(401, "invalid_client"), []string{clientSecret, previousSecret}, clientSecret, ""},
		"the one before":           {oauthError(401, "invalid_client"), []string{previousSecret}, both, ""},
		"the one before, 400":      {oauthError(400, "invalid_client"), []string{previousSecret}, both, ""},
		"a 401 that says no more":  {says(401, "text/plain", ""), []string{previousSecret}, both, ""},
		"Keycloak's word for it":   {oauthError(401, "unauthorized_client"), []string{previousSecret}, both, ""},
		"neither":                  {oauthError(401, "invalid_client"), nil, both, tokenendpoint.ClientFault},
		"the grant is refused":     {oauthError(400, "invalid_grant"), []string{previousSecret}, clientSecret, tokenendpoint.Terminal},
		"the request is refused":   {oauthError(400, "invalid_request"), []string{previousSecret}, clientSecret, tokenendpoint.Rejected},
		"busy":                     {oauthError(429, "invalid_client"), []string{previousSecret}, clientSecret, tokenendpoint.Transient},
		"down":                     {oauthError(503, "invalid_client"), []string{previousSecret}, clientSecret, tokenendpoint.Transient},
		"a yes that is not usable": {says(200, "application/json", `{}`), []string{previousSecret}, clientSecret, tokenendpoint.Broken},
	} {
		for _, auth := range []tokenendpoint.AuthStyle{tokenendpoint.AuthPost, tokenendpoint.AuthBasic} {
			t.Run(name+", "+string(auth), func(t *testing.T) {
				t.Parallel()
				s := newTwoSecrets(t, tt.refusal, tt.known...)
				answer, err := client(t).Exchange(t.Context(), withPrevious(s.url, auth))
				if got := strings.Join(s.tried, " "); got != tt.tried {
					t.Errorf("tried %q, want %q", got, tt.tried)
				}
				e, _ := errors.AsType[*tokenendpoint.Error](err)
				switch {
				case tt.class == "" && (err != nil || answer.AccessToken.Reveal() != "a"):
					t.Errorf("got %v", err)
				case tt.class != "" && (e == nil || e.Class != tt.class):
					t.Errorf("got %v, want %s", err, tt.class)
				}
				if token := s.form.Get("refresh_token"); token != refreshToken {
					t.Errorf("the last request had the token %q", token)
				}
			})
		}
	}
}

func TestPreviousSecretAtRevocation(t *testing.T) {
	t.Parallel()
	s := newTwoSecrets(t, says(401, "application/json", `{"error":"invalid_client"}`), previousSecret)
	outcome, err := client(t).Revoke(t.Context(), tokenendpoint.Revocation{
		Endpoint: s.url, Client: withPrevious(s.url, tokenendpoint.AuthPost).Client, Token: vault.NewSecret(refreshToken),
	})
	if outcome != tokenendpoint.Revoked || err != nil || len(s.tried) != 2 {
		t.Errorf("%s, %v, tried %q", outcome, err, s.tried)
	}
}

// A public client sends no secret, so another one changes nothing.
func TestPreviousSecretOfAPublicClient(t *testing.T) {
	t.Parallel()
	s := newTwoSecrets(t, says(401, "application/json", `{"error":"invalid_client"}`), previousSecret)
	if _, err := client(t).Exchange(t.Context(), withPrevious(s.url, tokenendpoint.AuthNone)); err == nil || len(s.tried) != 1 {
		t.Errorf("%v, tried %d times", err, len(s.tried))
	}
}

// Two requests have the time of one.
func TestPreviousSecretWithinTheTimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := newTwoSecrets(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		says(401, "application/json", `{"error":"invalid_client"}`)(w, r)
	}, previousSecret)
	req := withPrevious(s.url, tokenendpoint.AuthPost)
	req.Timeout = 50 * time.Millisecond
	_, err := client(t).Exchange(t.Context(), req)
	close(release)
	if e, _ := errors.AsType[*tokenendpoint.Error](err); e == nil || e.Class != tokenendpoint.Uncertain || s.calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, s.calls.Load())
	}
}
