package oidc_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/claviger/claviger/internal/providers/oidc"
)

var (
	weak    = keyOf(1024)
	another = keyOf(2048)
)

func algorithm(name string) jose.SignatureAlgorithm { return jose.SignatureAlgorithm(name) }

func jwk(kid string, key *rsa.PrivateKey) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig"}
}

// good is a token for the front channel by this key.
func good(t *testing.T, p *provider, key *rsa.PrivateKey, kid any) string {
	t.Helper()
	return signer{key: key, header: map[string]any{"kid": kid}}.sign(t, encode(t, p.claims()))
}

func TestKeysAreKept(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	for range 3 {
		if err := front(t.Context(), v, p, good(t, p, ours(), "k1")); err != nil {
			t.Fatal(err)
		}
		p.clock.Advance(20 * time.Minute)
	}
	if n := p.keyCalls.Load(); n != 1 {
		t.Errorf("%d fetches within the TTL", n)
	}
	// A key that the issuer withdrew goes out of use with the TTL, though
	// tokens still name it.
	p.publish(t, jwk("k2", next()))
	p.clock.Advance(time.Minute)
	wantCheck(t, front(t.Context(), v, p, good(t, p, ours(), "k1")), oidc.FrontChannel, oidc.CheckKeyID)
}

// Verifiers come and go with requests; the keys stay.
func TestVerifiersShareTheKeys(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	d := p.directory()
	for range 3 {
		m, err := d.Metadata(t.Context(), p.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		v, err := d.Verifier(m, clientID)
		if err != nil {
			t.Fatal(err)
		}
		if err := front(t.Context(), v, p, good(t, p, ours(), "k1")); err != nil {
			t.Fatal(err)
		}
	}
	if keys, documents := p.keyCalls.Load(), p.documentCalls.Load(); keys != 1 || documents != 1 {
		t.Errorf("%d fetches of keys, %d of the document", keys, documents)
	}
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	for _, kid := range []any{"k2", nil} {
		t.Run(fmt.Sprint("kid ", kid), func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			v := p.verifier(t)
			if err := front(t.Context(), v, p, good(t, p, ours(), "k1")); err != nil {
				t.Fatal(err)
			}
			p.publish(t, jwk("k1", ours()), jwk("k2", next()))
			p.clock.Advance(31 * time.Second)
			if err := front(t.Context(), v, p, good(t, p, next(), kid)); err != nil {
				t.Fatal("the new key:", err)
			}
			if err := front(t.Context(), v, p, good(t, p, ours(), "k1")); err != nil {
				t.Fatal("the old key:", err)
			}
			if n := p.keyCalls.Load(); n != 2 {
				t.Errorf("%d fetches", n)
			}
		})
	}
}

// Forged tokens must not become load on the provider.
func TestUnknownKeyIDsCauseOneFetch(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		warm, down bool
		fetches    int64
	}{
		"cold":           {fetches: 1},
		"warm":           {warm: true, fetches: 2},
		"down":           {down: true, fetches: 1},
		"warm, then out": {warm: true, down: true, fetches: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			v := p.verifier(t)
			if row.warm {
				if err := front(t.Context(), v, p, good(t, p, ours(), "k1")); err != nil {
					t.Fatal(err)
				}
				p.clock.Advance(31 * time.Second)
			}
			if row.down {
				p.setKeys(status(http.StatusBadGateway))
			}
			var forgers sync.WaitGroup
			errs := make([]error, 50)
			for i := range errs {
				raw := good(t, p, stranger(), fmt.Sprint("forged-", i))
				forgers.Go(func() { errs[i] = front(t.Context(), v, p, raw) })
			}
			forgers.Wait()
			for _, err := range errs {
				if !row.down {
					wantCheck(t, err, oidc.FrontChannel, oidc.CheckKeyID)
				} else if u := wantUnavailable(t, err); u.RetryAfter != 30*time.Second {
					t.Errorf("again in %s", u.RetryAfter)
				}
			}
			if n := p.keyCalls.Load(); n != row.fetches {
				t.Errorf("%d fetches, want %d", n, row.fetches)
			}
			p.clock.Advance(29 * time.Second)
			_ = front(t.Context(), v, p, good(t, p, stranger(), "k9"))
			if n := p.keyCalls.Load(); n != row.fetches {
				t.Errorf("asked again after 29 seconds")
			}
			p.clock.Advance(time.Second)
			_ = front(t.Context(), v, p, good(t, p, stranger(), "k9"))
			if n := p.keyCalls.Load(); n != row.fetches+1 {
				t.Errorf("not asked again after 30 seconds")
			}
		})
	}
}

// A wrong signature under a known name is no reason to ask anybody.
func TestBadSignaturesCauseNoFetch(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	if err := front(t.Context(), v, p, good(t, p, ours(), "k1")); err != nil {
		t.Fatal(err)
	}
	p.clock.Advance(time.Minute)
	wantCheck(t, front(t.Context(), v, p, good(t, p, stranger(), "k1")), oidc.FrontChannel, oidc.CheckSignature)
	if n := p.keyCalls.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// What could be said without keys is said without them.
func TestMalformedTokensCauseNoFetch(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	for _, raw := range []string{"", "a.b.c", strings.Repeat("a", 17<<10), "eyJhbGciOiJub25lIn0.e30.AA"} {
		if err := front(t.Context(), v, p, raw); err == nil {
			t.Errorf("%.10q accepted", raw)
		}
	}
	if n := p.keyCalls.Load(); n != 0 {
		t.Errorf("%d fetches", n)
	}
}

// An outage is the provider's trouble and not the token's, and lasts only as
// long as it lasts.
func TestKeysOutOfReach(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	t.Cleanup(elsewhere.Close)
	ourKeys := encode(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk("k1", ours())}})
	for name, handler := range map[string]http.HandlerFunc{
		"out of order": status(http.StatusServiceUnavailable),
		"not found":    status(http.StatusNotFound),
		"no content":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"a page":       answer([]byte("<p>a word of the provider's")),
		"no keys":      answer([]byte(`{"a word of the provider's":1}`)),
		"keys null":    answer([]byte(`{"keys":null}`)),
		"keys twice":   answer([]byte(`{"keys":[],"KEYS":[]}`)),
		"keys and status 500": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write(ourKeys)
		},
		"too large": answer(append(append([]byte(nil), ourKeys...), bytes.Repeat([]byte(" "), 256<<10)...)),
		"too late":  answer(append(bytes.Repeat([]byte(" "), 256<<10), ourKeys...)),
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte("a word of the provider's"), 1000)); err != nil {
					return
				}
			}
		},
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"hanging up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			v := p.verifier(t)
			p.setKeys(handler)
			err := front(t.Context(), v, p, good(t, p, ours(), "k1"))
			_ = wantUnavailable(t, err)
			if said := err.Error() + p.journal.String(); strings.Contains(said, "a word of") {
				t.Errorf("the body is in the error or the log: %.200s", said)
			}
			p.setKeys(answer(ourKeys))
			p.clock.Advance(30 * time.Second)
			if err := front(t.Context(), v, p, good(t, p, ours(), "k1")); err != nil {
				t.Errorf("after the outage: %v", err)
			}
		})
	}
}

func TestAKeySetAtTheLimitIsRead(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	keys := encode(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk("k1", ours())}})
	p.setKeys(answer(append(bytes.Repeat([]byte(" "), 256<<10-len(keys)), keys...)))
	if err := front(t.Context(), v, p, good(t, p, ours(), "k1")); err != nil {
		t.Error(err)
	}
}

// Known keys carry a day through an outage, and no longer.
func TestKeysOutliveAnOutage(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	if err := front(t.Context(), v, p, good(t, p, ours(), "k1")); err != nil {
		t.Fatal(err)
	}
	p.setKeys(status(http.StatusBadGateway))
	p.clock.Advance(24*time.Hour - time.Second)
	if err := front(t.Context(), v, p, good(t, p, ours(), "k1")); err != nil {
		t.Errorf("within a day: %v", err)
	}
	p.clock.Advance(time.Second)
	_ = wantUnavailable(t, front(t.Context(), v, p, good(t, p, ours(), "k1")))
	if got := strings.Count(p.journal.String(), "document=\"signing keys\""); got != 1 {
		t.Errorf("the outage is said %d times", got)
	}
}

func TestAWaiterMayGiveUp(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	keys := answer(encode(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk("k1", ours())}}))
	p.setKeys(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		keys(w, r)
	})
	impatient, cancel := context.WithCancel(t.Context())
	gone, stayed := make(chan error, 1), make(chan error, 1)
	raw := good(t, p, ours(), "k1")
	go func() { gone <- front(impatient, v, p, raw) }()
	<-arrived
	cancel()
	if u := wantUnavailable(t, <-gone); !errors.Is(u, context.Canceled) {
		t.Errorf("got %v", u)
	}
	go func() { stayed <- front(t.Context(), v, p, raw) }()
	close(release)
	if err := <-stayed; err != nil {
		t.Error(err)
	}
	if n := p.keyCalls.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// Of a key set, only what can rightly verify this signature is used.
func TestKeysThatAreNotUsed(t *testing.T) {
	t.Parallel()
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shared := jose.JSONWebKey{Key: []byte(clientKey), KeyID: "k1", Algorithm: "HS256"}
	forEncryption := jwk("k1", ours())
	forEncryption.Use = "enc"
	forPS := jwk("k1", ours())
	forPS.Algorithm = "PS256"
	private := jose.JSONWebKey{Key: ours(), KeyID: "k1", Use: "sig"}
	for name, row := range map[string]struct {
		keys []jose.JSONWebKey
		sign signer
	}{
		"none at all":         {nil, signer{}},
		"a shared secret":     {[]jose.JSONWebKey{shared}, signer{}},
		"for encryption":      {[]jose.JSONWebKey{forEncryption}, signer{}},
		"another algorithm's": {[]jose.JSONWebKey{forPS}, signer{}},
		"a private key":       {[]jose.JSONWebKey{private}, signer{}},
		"1024 bits":           {[]jose.JSONWebKey{jwk("k1", weak())}, signer{key: weak()}},
		"another kind":        {[]jose.JSONWebKey{{Key: curve.Public(), KeyID: "k1"}}, signer{}},
		"nameless":            {[]jose.JSONWebKey{jwk("", ours())}, signer{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			v := p.verifier(t)
			p.publish(t, row.keys...)
			if row.keys == nil {
				p.setKeys(answer([]byte(`{"keys":[]}`)))
			}
			err := front(t.Context(), v, p, row.sign.sign(t, encode(t, p.claims())))
			wantCheck(t, err, oidc.FrontChannel, oidc.CheckKeyID)
		})
	}
}

// One odd key does not cost the others, and one name may stand for two keys.
func TestOddKeysArePassedOver(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	ourKey := string(encode(t, jwk("k1", ours())))
	theirKey := string(encode(t, jwk("k1", another())))
	p.setKeys(answer([]byte(`{"keys":[1,null,{},{"kty":"AKP","alg":"ML-DSA-44","kid":"k1","pub":"AA"},` +
		`{"kty":"RSA","kid":"k1","n":"!","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},` +
		`{"kty":"oct","kid":"k1","k":"AAAA"},` + theirKey + `,` + ourKey + `]}`)))
	for _, kid := range []any{"k1", nil} {
		if err := front(t.Context(), v, p, good(t, p, ours(), kid)); err != nil {
			t.Errorf("kid %v: %v", kid, err)
		}
	}
}

// go-oidc may be given a key set as it is.
func TestKeySetRefusesWhatItWasNotMadeFor(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	keys := p.directory().Keys(p.URL + "/jwks")
	payload, err := keys.VerifySignature(t.Context(), good(t, p, ours(), "k1"))
	if err != nil || !bytes.Contains(payload, []byte("248289761001")) {
		t.Errorf("got %q, %v", payload, err)
	}
	hmac := signer{alg: jose.HS256, key: []byte(clientKey)}.sign(t, encode(t, p.claims()))
	for _, raw := range []string{"", "a.b.c", hmac} {
		_, err := keys.VerifySignature(t.Context(), raw)
		wantCheck(t, err, "", oidc.CheckFormat)
	}
}

// A name does not make a key fit: its kind and its curve have to go with the
// algorithm, or it is not the key that the token means.
func TestKeysGoWithTheirAlgorithms(t *testing.T) {
	t.Parallel()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{"RSA": ours().Public(), "P-384": p384.Public()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			p.publish(t, jose.JSONWebKey{Key: key, KeyID: "k1"})
			raw := signer{alg: jose.ES256, key: p256}.sign(t, encode(t, p.claims()))
			_, err := p.directory().Keys(p.URL+"/jwks").VerifySignature(t.Context(), raw)
			wantCheck(t, err, "", oidc.CheckKeyID)
		})
	}
}
