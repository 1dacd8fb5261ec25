// Package logintest has an OpenID provider for tests: it answers as it should,
// unless a test changes what it says.
package logintest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The client that the provider knows.
const (
	ClientID     = "claviger-admin"
	ClientSecret = "canary-admin-client-secret-41d7"
)

// signingKey is one for all providers of a run: RSA keys are slow to make.
var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// OP is an OpenID provider on loopback. Set its members before it is asked.
type OP struct {
	*httptest.Server
	t   *testing.T
	now func() time.Time
	key *rsa.PrivateKey

	mu sync.Mutex
	// Claims are those of the person, in the id_token.
	Claims map[string]any
	// Userinfo is what the userinfo endpoint says beside sub.
	Userinfo map[string]any
	// Change has the last word on the claims of an id_token.
	Change func(claims map[string]any)
	// Sign replaces the signing of a token.
	Sign func(claims map[string]any) string
	// Metadata is added to the discovery document.
	Metadata map[string]any
	// Down makes every endpoint answer 503.
	Down bool
	// Exchanges counts the calls of the token endpoint.
	Exchanges int
	trips     map[string]url.Values // by code
}

// New starts a provider whose clock is now.
func New(t *testing.T, now func() time.Time) *OP {
	t.Helper()
	op := &OP{t: t, now: now, key: signingKey(), trips: map[string]url.Values{}, Claims: map[string]any{"sub": "ada-1815", "name": "Ada Lovelace"}}
	mux := http.NewServeMux()
	for path, handler := range map[string]http.HandlerFunc{
		"GET /.well-known/openid-configuration": op.discovery, "GET /jwks": op.jwks, "POST /token": op.token, "GET /userinfo": op.userinfo,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			op.mu.Lock()
			defer op.mu.Unlock()
			if op.Down {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			handler(w, r)
		})
	}
	op.Server = httptest.NewServer(mux)
	t.Cleanup(op.Close)
	return op
}

// Set changes the provider while it runs.
func (op *OP) Set(change func(op *OP)) {
	op.mu.Lock()
	defer op.mu.Unlock()
	change(op)
}

func (op *OP) discovery(w http.ResponseWriter, _ *http.Request) {
	doc := map[string]any{
		"issuer": op.URL, "authorization_endpoint": op.URL + "/authorize", "token_endpoint": op.URL + "/token", "jwks_uri": op.URL + "/jwks",
		"id_token_signing_alg_values_supported": []string{"RS256"},
	}
	if op.Userinfo != nil {
		doc["userinfo_endpoint"] = op.URL + "/userinfo"
	}
	maps.Copy(doc, op.Metadata)
	op.answer(w, http.StatusOK, doc)
}

func (op *OP) jwks(w http.ResponseWriter, _ *http.Request) {
	op.answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: op.key.Public(), KeyID: "k1", Use: "sig", Algorithm: "RS256"}}})
}

func (op *OP) token(w http.ResponseWriter, r *http.Request) {
	op.Exchanges++
	id, secret, _ := r.BasicAuth()
	trip, known := op.trips[r.PostFormValue("code")]
	delete(op.trips, r.PostFormValue("code"))
	verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case id != ClientID || secret != ClientSecret:
		op.answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	case !known, r.PostFormValue("redirect_uri") != trip.Get("redirect_uri"),
		base64.RawURLEncoding.EncodeToString(verifier[:]) != trip.Get("code_challenge"):
		op.answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	now := op.now()
	claims := map[string]any{
		"iss": op.URL, "aud": ClientID, "nonce": trip.Get("nonce"), "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	if trip.Has("max_age") {
		claims["auth_time"] = now.Unix()
	}
	maps.Copy(claims, op.Claims)
	if op.Change != nil {
		op.Change(claims)
	}
	op.answer(w, http.StatusOK, map[string]any{"access_token": "op-access-token", "token_type": "Bearer", "expires_in": 60, "id_token": op.signed(claims)})
}

func (op *OP) userinfo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer op-access-token" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	said := map[string]any{"sub": op.Claims["sub"]}
	maps.Copy(said, op.Userinfo)
	op.answer(w, http.StatusOK, said)
}

func (op *OP) answer(w http.ResponseWriter, status int, doc any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(doc); err != nil {
		op.t.Error(err)
	}
}

func (op *OP) signed(claims map[string]any) string {
	if op.Sign != nil {
		return op.Sign(claims)
	}
	return op.Token("JWT", claims)
}

// Token signs claims as a token of that typ.
func (op *OP) Token(typ string, claims map[string]any) string {
	return SignWith(op.t, jose.RS256, op.key, typ, claims)
}

// SignWith signs claims with a key that need not be the provider's.
func SignWith(t *testing.T, alg jose.SignatureAlgorithm, key any, typ string, claims map[string]any) string {
	t.Helper()
	opts := (&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithHeader("kid", "k1")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Unsigned is a token with alg none.
func Unsigned(t *testing.T, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	return header + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
}

// Reply is what the browser of somebody who signs in brings back from where it
// was sent: the query of the request to the redirect URI.
func (op *OP) Reply(sentTo string) url.Values {
	op.t.Helper()
	u, err := url.Parse(sentTo)
	if err != nil {
		op.t.Fatal(err)
	}
	q := u.Query()
	code := rand.Text()
	op.mu.Lock()
	defer op.mu.Unlock()
	op.trips[code] = q
	return url.Values{"code": {code}, "state": {q.Get("state")}}
}
