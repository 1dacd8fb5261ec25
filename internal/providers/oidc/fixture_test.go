package oidc_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/vault"
)

const (
	clientID    = "broker"
	clientKey   = "the client secret, long enough to sign with HS256"
	nonce       = "n-0S6_WzA2Mj"
	code        = "SplxlOBeZQQYbYS6WxSbIA"
	state       = "af0ifjsldkj"
	accessToken = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// keyOf makes an RSA key once for all tests; they are slow to make.
func keyOf(bits int) func() *rsa.PrivateKey {
	return sync.OnceValue(func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return k
	})
}

var (
	ours     = keyOf(2048)
	next     = keyOf(2048)
	stranger = keyOf(2048)
)

// clock is a clock that tests move by hand.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.at.Store(noon.UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) Advance(d time.Duration) { c.at.Add(int64(d)) }

// journal is a log that tests read.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// provider is an issuer on loopback. Its two documents are what the test
// makes of them.
type provider struct {
	*httptest.Server
	clock   *clock
	journal *journal

	mu             sync.Mutex
	document, keys http.HandlerFunc

	documentCalls, keyCalls atomic.Int64
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{clock: newClock(), journal: new(journal)}
	mux := http.NewServeMux()
	serve := func(count *atomic.Int64, handler *http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			count.Add(1)
			p.mu.Lock()
			h := *handler
			p.mu.Unlock()
			h(w, r)
		}
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", serve(&p.documentCalls, &p.document))
	mux.HandleFunc("GET /jwks", serve(&p.keyCalls, &p.keys))
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	p.setDocument(answer(encode(t, p.discovery())))
	p.publish(t, jose.JSONWebKey{Key: ours().Public(), KeyID: "k1", Use: "sig", Algorithm: "RS256"})
	return p
}

func (p *provider) setDocument(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.document = h
}

func (p *provider) setKeys(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = h
}

func (p *provider) publish(t *testing.T, keys ...jose.JSONWebKey) {
	t.Helper()
	p.setKeys(answer(encode(t, jose.JSONWebKeySet{Keys: keys})))
}

// discovery is a good document.
func (p *provider) discovery() map[string]any {
	return map[string]any{
		"issuer":                                p.URL,
		"authorization_endpoint":                p.URL + "/authorize",
		"token_endpoint":                        p.URL + "/token",
		"jwks_uri":                              p.URL + "/jwks",
		"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
	}
}

func (p *provider) directory() *oidc.Directory {
	return oidc.NewDirectory(oidc.Config{
		HTTP: p.Client(),
		Now:  p.clock.Now,
		Log:  slog.New(slog.NewTextHandler(p.journal, nil)),
	})
}

// verifier is made from the discovery document, as in life.
func (p *provider) verifier(t *testing.T) *oidc.Verifier {
	t.Helper()
	d := p.directory()
	m, err := d.Metadata(t.Context(), p.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := d.Verifier(m, clientID)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// claims are those of a good token for every position: whatever is optional
// is there and right.
func (p *provider) claims() map[string]any {
	now := p.clock.Now().Unix()
	return map[string]any{
		"iss":       p.URL,
		"sub":       "248289761001",
		"aud":       clientID,
		"azp":       clientID,
		"exp":       now + 300,
		"iat":       now,
		"nbf":       now,
		"auth_time": now - 5,
		"nonce":     nonce,
		"sid":       "F2E3",
		"acr":       "1",
		"c_hash":    "o1uBp9eSe3DsmScN0jYriA",
		"at_hash":   "77QmUPtjPfzWtF2AnpK9RQ",
		"s_hash":    "bOhtX8F73IMjSPeVAqxyTQ",
	}
}

func (p *provider) expect() oidc.Expect {
	return oidc.Expect{
		Nonce:   vault.NewSecret(nonce),
		Code:    vault.NewSecret(code),
		State:   vault.NewSecret(state),
		Started: p.clock.Now().Add(-3 * time.Second),
	}
}

// signer says how a token is signed; the zero one signs as the provider does.
type signer struct {
	alg    jose.SignatureAlgorithm
	key    any
	header map[string]any // nil values remove
}

func (s signer) sign(tb testing.TB, payload []byte) string {
	tb.Helper()
	if s.alg == "" {
		s.alg = jose.RS256
	}
	if s.key == nil {
		s.key = ours()
	}
	options := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"kid": "k1", "typ": "JWT"}}
	for name, value := range s.header {
		options.ExtraHeaders[jose.HeaderKey(name)] = value
		if value == nil {
			delete(options.ExtraHeaders, jose.HeaderKey(name))
		}
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, options)
	if err != nil {
		tb.Fatal(err)
	}
	jws, err := made.Sign(payload)
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func answer(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "a word of the provider's", code) }
}

// wantCheck wants err to be a rejection by this check.
func wantCheck(t *testing.T, err error, position oidc.Position, check oidc.Check) {
	t.Helper()
	var r *oidc.Rejection
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a rejection by %s", err, check)
	}
	if r.Check != check || r.Position != position {
		t.Fatalf("refused by %s at %s (%s), want %s at %s", r.Check, r.Position, r.Detail, check, position)
	}
}

func wantUnavailable(t *testing.T, err error) *oidc.Unavailable {
	t.Helper()
	var u *oidc.Unavailable
	if !errors.As(err, &u) {
		t.Fatalf("got %v, want the provider unavailable", err)
	}
	return u
}

// front has the token judged as one from the browser.
func front(ctx context.Context, v *oidc.Verifier, p *provider, raw string) error {
	_, err := v.Front(ctx, vault.NewSecret(raw), p.expect())
	return err
}
