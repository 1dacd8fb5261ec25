package oidc_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/vault"
)

// FuzzIDToken signs whatever it is given with the provider's own key. Nothing
// may panic, and what is accepted has to say the right things to a reader
// that goes by exact names and knows nothing of ours.
func FuzzIDToken(f *testing.F) {
	const issuer = "https://server.example.com"
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	keys := encode(f, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1"}}})
	d := oidc.NewDirectory(oidc.Config{
		HTTP: &http.Client{Transport: trip(func(*http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			_, _ = w.Write(keys)
			return w.Result(), nil
		})},
		Now: func() time.Time { return noon },
	})
	v, err := d.Verifier(oidc.Metadata{
		Issuer: issuer, AuthorizationEndpoint: issuer + "/a", TokenEndpoint: issuer + "/t", JWKSURI: issuer + "/k",
	}, clientID, "EdDSA")
	if err != nil {
		f.Fatal(err)
	}
	want := oidc.Expect{
		Nonce: vault.NewSecret(nonce), Code: vault.NewSecret(code), State: vault.NewSecret(state), Started: noon,
	}

	const header = `{"alg":"EdDSA","kid":"k1","typ":"JWT"}`
	const payload = `{"iss":"https://server.example.com","sub":"alice","aud":"broker","exp":1772366700,"iat":1772366400,` +
		`"nonce":"n-0S6_WzA2Mj","c_hash":"php9CHa4VMkYVLy29EudTMn2qR0zfkdNC24tIP3VP8Y"}`
	if _, err := v.Front(f.Context(), vault.NewSecret(seal(key, header, payload)), want); err != nil {
		f.Fatal("the first seed is no good token:", err)
	}
	f.Add(header, payload)
	for _, change := range []string{
		`"sub":"alice","SUB":"mallory"`, `"sub":"alice","sub":"mallory"`, `"sub":null`, `"sub":["alice"]`,
		`"sub":"alice","aud":["broker","other"]`, `"sub":"alice","exp":1e20`, `"sub":"alice","iat":-0`,
		`"sub":"al\u0000ice"`, `"\u0073ub":"alice"`, `"sub":"alice","a":{"b":[{"c":"d"}]}`,
	} {
		f.Add(header, strings.Replace(payload, `"sub":"alice"`, change, 1))
	}
	for _, h := range []string{
		`{"alg":"none"}`, `{"alg":"EdDSA"}`, `{"alg":"EdDSA","crit":["b64"],"b64":false}`, `{"alg":"HS256","kid":"k1"}`,
		`{"alg":"EdDSA","jwk":{"kty":"OKP"}}`, `{"ALG":"EdDSA"}`, `{}`, `[]`, ``, `{"alg":"EdDSA","kid":1}`,
	} {
		f.Add(h, payload)
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		// As it comes: never signed, never good.
		if _, err := v.Front(t.Context(), vault.NewSecret(header), want); err == nil {
			t.Fatalf("accepted %q", header)
		}
		id, err := v.Front(t.Context(), vault.NewSecret(seal(key, header, payload)), want)
		if err != nil {
			return
		}
		var said map[string]any
		if err := json.NewDecoder(bytes.NewReader([]byte(payload))).Decode(&said); err != nil {
			t.Fatalf("accepted %q", payload)
		}
		if said["sub"] != id.Subject || said["iss"] != issuer || said["nonce"] != nonce || id.ClientID != clientID {
			t.Fatalf("accepted %q as %+v", payload, id)
		}
		for name := range said {
			if name != "sub" && strings.EqualFold(name, "sub") {
				t.Fatalf("accepted a second subject: %q", payload)
			}
		}
	})
}

func seal(key ed25519.PrivateKey, header, payload string) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(signed)))
}

// FuzzKeySet feeds a key set to a verifier: never a panic, and never a key
// that lets a stranger's token in.
func FuzzKeySet(f *testing.F) {
	const issuer = "https://server.example.com"
	raw := vault.NewSecret(seal(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)),
		`{"alg":"EdDSA"}`, `{"iss":"https://server.example.com","sub":"mallory","aud":"broker"}`))
	f.Add([]byte(`{"keys":[]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"},{"kty":"oct","k":"AA"},null,1]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","use":"enc","x5c":["AA"]}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d := oidc.NewDirectory(oidc.Config{HTTP: &http.Client{Transport: trip(func(*http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			_, _ = w.Write(body)
			return w.Result(), nil
		})}, Now: func() time.Time { return noon }})
		v, err := d.Verifier(oidc.Metadata{
			Issuer: issuer, AuthorizationEndpoint: issuer + "/a", TokenEndpoint: issuer + "/t", JWKSURI: issuer + "/k",
		}, clientID, "EdDSA")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Front(t.Context(), raw, oidc.Expect{Started: noon}); err == nil {
			t.Fatalf("accepted with %q", body)
		}
	})
}
