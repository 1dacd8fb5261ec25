package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/vault"
)

func each(t *testing.T, judge func(t *testing.T, f flaw, p *provider, v *oidc.Verifier), flaws ...[]flaw) {
	t.Helper()
	for _, list := range flaws {
		for _, f := range list {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				p := newProvider(t)
				judge(t, f, p, p.verifier(t))
			})
		}
	}
}

func TestFrontRefuses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f flaw, p *provider, v *oidc.Verifier) {
		t.Helper()
		_, err := v.Front(t.Context(), vault.NewSecret(f.make(t, p)), f.expected(p))
		wantCheck(t, err, oidc.FrontChannel, f.check)
	}, everywhere, ofTheAttempt, []flaw{
		{name: "c_hash missing", check: oidc.CheckCodeHash, claims: remove("c_hash")},
	})
}

func TestBackRefuses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f flaw, p *provider, v *oidc.Verifier) {
		t.Helper()
		first, err := v.Front(t.Context(), vault.NewSecret(signer{}.sign(t, encode(t, p.claims()))), p.expect())
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Back(t.Context(), vault.NewSecret(f.make(t, p)), first, f.expected(p), vault.NewSecret(accessToken))
		wantCheck(t, err, oidc.TokenEndpoint, f.check)
	}, everywhere, ofTheAttempt, ofTheAccessToken, []flaw{
		{name: "another sub than in front", check: oidc.CheckSubject, claims: set("sub", "248289761002")},
		{name: "another auth_time than in front", check: oidc.CheckAuthTime, claims: later("auth_time", -6*time.Second)},
		{name: "another sid than in front", check: oidc.CheckSessionID, claims: set("sid", "F2E4")},
		{name: "another acr than in front", check: oidc.CheckContextClass, claims: set("acr", "2")},
	})
}

func TestRefreshedRefuses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f flaw, p *provider, v *oidc.Verifier) {
		t.Helper()
		login := accepted(t, p, v)
		login.IssuedAt = login.IssuedAt.Add(-3 * time.Second)
		_, err := v.Refreshed(t.Context(), vault.NewSecret(f.make(t, p)), login, vault.NewSecret(accessToken))
		wantCheck(t, err, oidc.RefreshAnswer, f.check)
	}, everywhere, ofTheAccessToken, []flaw{
		{name: "another sub than at the login", check: oidc.CheckSubject, claims: set("sub", "248289761002")},
		{name: "another auth_time than at the login", check: oidc.CheckAuthTime, claims: later("auth_time", time.Second)},
		{name: "another nonce than at the login", check: oidc.CheckNonce, claims: set("nonce", "another")},
		{name: "nonce empty", check: oidc.CheckNonce, claims: set("nonce", "")},
		{name: "older than the login", check: oidc.CheckIssuedAt, claims: later("iat", -64*time.Second)},
	})
}

// Without a front channel the token endpoint's word is held to all the same.
func TestSoleRefuses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f flaw, p *provider, v *oidc.Verifier) {
		t.Helper()
		_, err := v.Sole(t.Context(), vault.NewSecret(f.make(t, p)), f.expected(p), vault.NewSecret(accessToken))
		wantCheck(t, err, oidc.TokenEndpoint, f.check)
	}, everywhere, ofTheAttempt, ofTheAccessToken)
}

func TestAdoptRefuses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f flaw, p *provider, v *oidc.Verifier) {
		t.Helper()
		_, err := v.Adopt(t.Context(), vault.NewSecret(f.make(t, p)), vault.NewSecret(accessToken))
		wantCheck(t, err, oidc.RefreshAnswer, f.check)
	}, everywhere, ofTheAccessToken, []flaw{
		{name: "older than a day", check: oidc.CheckIssuedAt, claims: later("iat", -24*time.Hour-61*time.Second)},
	})
}

// An adopted identity is worth what a login's is: later refreshes are held to it.
func TestAdoptedIdentityIsHeldTo(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	claims := p.claims()
	claims["iat"] = noon.Add(-10 * time.Hour).Unix()
	raw := vault.NewSecret(signer{}.sign(t, encode(t, claims)))
	adopted, err := v.Adopt(t.Context(), raw, vault.NewSecret(accessToken))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Refreshed(t.Context(), raw, adopted, vault.NewSecret(accessToken)); err != nil {
		t.Error(err)
	}
	claims["sub"] = "248289761002"
	_, err = v.Refreshed(t.Context(), vault.NewSecret(signer{}.sign(t, encode(t, claims))), adopted, vault.NewSecret(accessToken))
	wantCheck(t, err, oidc.RefreshAnswer, oidc.CheckSubject)
}

// accepted is the identity of a good login, through both channels.
func accepted(t *testing.T, p *provider, v *oidc.Verifier) oidc.Identity {
	t.Helper()
	raw := vault.NewSecret(signer{}.sign(t, encode(t, p.claims())))
	first, err := v.Front(t.Context(), raw, p.expect())
	if err != nil {
		t.Fatal(err)
	}
	login, err := v.Back(t.Context(), raw, first, p.expect(), vault.NewSecret(accessToken))
	if err != nil {
		t.Fatal(err)
	}
	return login
}

func TestIdentityOfALogin(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	got := accepted(t, p, p.verifier(t))
	sum := sha256.Sum256([]byte(nonce))
	want := oidc.Identity{
		Issuer: p.URL, Subject: "248289761001", ClientID: clientID,
		SessionID: "F2E3", ContextClass: "1",
		AuthTime: noon.Add(-5 * time.Second), IssuedAt: noon,
		NonceDigest: base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	kept, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(kept), nonce) {
		t.Errorf("the nonce is kept: %s", kept)
	}
	var back oidc.Identity
	if err := json.Unmarshal(kept, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, back); diff != "" {
		t.Errorf("does not survive being stored: %s", diff)
	}
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	without := func(names ...string) func(map[string]any) {
		return func(c map[string]any) {
			maps.DeleteFunc(c, func(name string, _ any) bool { return slices.Contains(names, name) })
		}
	}
	for _, f := range []flaw{
		{name: "everything"},
		{name: "only what is required", claims: without("azp", "nbf", "auth_time", "sid", "acr", "at_hash", "s_hash")},
		{name: "aud an array of one", claims: set("aud", []string{clientID})},
		{name: "typ absent", sign: header("typ", nil)},
		{name: "typ in lower case", sign: header("typ", "jwt")},
		{name: "kid absent, one key", sign: header("kid", nil)},
		{name: "x5t, as IdentityServer sends", sign: header("x5t", "a3rMUgMFv9tPclLa6yF3zAkfquE")},
		{name: "expired within the skew", claims: func(c map[string]any) {
			c["iat"], c["exp"] = noon.Add(-62*time.Second).Unix(), noon.Add(-59*time.Second).Unix()
		}},
		{name: "iat ahead within the skew", claims: later("iat", 60*time.Second)},
		{name: "iat behind within the skew", claims: later("iat", -63*time.Second)},
		{name: "nbf ahead within the skew", claims: later("nbf", 60*time.Second)},
		{name: "fractions of a second", claims: set("iat", float64(noon.Unix())+0.5)},
		{name: "life of a day", claims: later("exp", 24*time.Hour)},
		{name: "optional claims null", claims: func(c map[string]any) { c["azp"], c["sid"], c["auth_time"] = nil, nil, nil }},
		{name: "sub of 255 characters", claims: set("sub", strings.Repeat("s", 255))},
		{name: "12 KiB", claims: set("groups", strings.Repeat("g", 8<<10))},
		{name: "nested names that differ in case", claims: set("address", map[string]string{"a": "1", "A": "2"})},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			v := p.verifier(t)
			raw := vault.NewSecret(f.make(t, p))
			first, err := v.Front(t.Context(), raw, p.expect())
			if err != nil {
				t.Fatal("front:", err)
			}
			login, err := v.Back(t.Context(), raw, first, p.expect(), vault.NewSecret(accessToken))
			if err != nil {
				t.Fatal("back:", err)
			}
			if _, err = v.Refreshed(t.Context(), raw, login, vault.NewSecret(accessToken)); err != nil {
				t.Fatal("refreshed:", err)
			}
			if _, err = v.Sole(t.Context(), raw, p.expect(), vault.NewSecret(accessToken)); err != nil {
				t.Fatal("sole:", err)
			}
			if _, err = v.Adopt(t.Context(), raw, vault.NewSecret(accessToken)); err != nil {
				t.Fatal("adopt:", err)
			}
		})
	}
}

// Core 3.3.2.11 has c_hash for the front channel only; claims about the
// sign-in may come with either token.
func TestBackAcceptsASparseToken(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	first, err := v.Front(t.Context(), vault.NewSecret(signer{}.sign(t, encode(t, p.claims()))), p.expect())
	if err != nil {
		t.Fatal(err)
	}
	sparse := p.claims()
	for _, name := range []string{"c_hash", "at_hash", "s_hash", "sid", "acr", "auth_time"} {
		delete(sparse, name)
	}
	login, err := v.Back(t.Context(), vault.NewSecret(signer{}.sign(t, encode(t, sparse))), first, p.expect(), vault.NewSecret(accessToken))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, login); diff != "" {
		t.Errorf("what the front channel said is lost: %s", diff)
	}
}

// A refresh may leave nonce and auth_time out; the one after it is held to
// those of the login all the same.
func TestRefreshedRemembersTheLogin(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	identity := accepted(t, p, v)

	p.clock.Advance(time.Hour)
	sparse := p.claims()
	for _, name := range []string{"nonce", "auth_time", "sid", "acr", "at_hash", "c_hash", "s_hash"} {
		delete(sparse, name)
	}
	refreshed, err := v.Refreshed(t.Context(), vault.NewSecret(signer{}.sign(t, encode(t, sparse))), identity, vault.NewSecret("another"))
	if err != nil {
		t.Fatal(err)
	}
	want := identity
	want.IssuedAt = noon.Add(time.Hour)
	if diff := cmp.Diff(want, refreshed); diff != "" {
		t.Error(diff)
	}

	for name, check := range map[string]oidc.Check{"nonce": oidc.CheckNonce, "auth_time": oidc.CheckAuthTime} {
		other := maps.Clone(sparse)
		other[name] = map[string]any{"nonce": "another", "auth_time": noon.Unix()}[name]
		_, err := v.Refreshed(t.Context(), vault.NewSecret(signer{}.sign(t, encode(t, other))), refreshed, vault.Secret{})
		wantCheck(t, err, oidc.RefreshAnswer, check)
	}
}

func TestRefreshedNeedsALoginOfThisClientAtThisIssuer(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	raw := vault.NewSecret(signer{}.sign(t, encode(t, p.claims())))
	for name, row := range map[string]struct {
		change func(*oidc.Identity)
		check  oidc.Check
	}{
		"no login":       {func(id *oidc.Identity) { *id = oidc.Identity{} }, oidc.CheckIssuedAt},
		"another issuer": {func(id *oidc.Identity) { id.Issuer = "https://server.example.com" }, oidc.CheckIssuer},
		"another client": {func(id *oidc.Identity) { id.ClientID = "somebody-else" }, oidc.CheckAudience},
	} {
		previous := accepted(t, p, v)
		row.change(&previous)
		_, err := v.Refreshed(t.Context(), raw, previous, vault.NewSecret(accessToken))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantCheck(t, err, oidc.RefreshAnswer, row.check)
		})
	}
}

func TestBackNeedsAFront(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	raw := vault.NewSecret(signer{}.sign(t, encode(t, p.claims())))
	_, err := v.Back(t.Context(), raw, oidc.Identity{}, p.expect(), vault.NewSecret(accessToken))
	wantCheck(t, err, oidc.TokenEndpoint, oidc.CheckIssuer)
}

// An at_hash beside no access token vouches for nothing.
func TestAccessTokenHashOfNothing(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	v := p.verifier(t)
	claims := p.claims()
	claims["at_hash"] = "47DEQpj8HBSa-_TImW-5JA" // of the empty string
	_, err := v.Refreshed(t.Context(), vault.NewSecret(signer{}.sign(t, encode(t, claims))), accepted(t, p, v), vault.Secret{})
	wantCheck(t, err, oidc.RefreshAnswer, oidc.CheckAccessTokenHash)
}

// Every algorithm that an issuer may list, with a key of its kind.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// c_hash of the code, by Python's hashlib.
	const sha256, sha384, sha512 = "o1uBp9eSe3DsmScN0jYriA", "8ZYBhGf1HS0O6l_LefILVrCxOJ4-cux2", "php9CHa4VMkYVLy29EudTMn2qR0zfkdNC24tIP3VP8Y"
	for _, row := range []struct {
		alg  jose.SignatureAlgorithm
		key  crypto.Signer
		hash string
	}{
		{jose.RS256, ours(), sha256},
		{jose.RS384, ours(), sha384},
		{jose.RS512, ours(), sha512},
		{jose.PS256, ours(), sha256},
		{jose.PS384, ours(), sha384},
		{jose.PS512, ours(), sha512},
		{jose.ES256, p256, sha256},
		{jose.ES384, p384, sha384},
		{jose.ES512, p521, sha512},
		{jose.EdDSA, edwards, sha512},
	} {
		t.Run(string(row.alg), func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			document := p.discovery()
			document["id_token_signing_alg_values_supported"] = []any{row.alg, "HS256"}
			p.setDocument(answer(encode(t, document)))
			p.publish(t,
				jose.JSONWebKey{Key: stranger().Public(), KeyID: "other"},
				jose.JSONWebKey{Key: row.key.Public(), KeyID: "k1"})
			v := p.verifier(t)
			claims := p.claims()
			delete(claims, "at_hash")
			delete(claims, "s_hash")
			claims["c_hash"] = row.hash
			made := signer{alg: row.alg, key: row.key}
			if err := front(t.Context(), v, p, made.sign(t, encode(t, claims))); err != nil {
				t.Error(err)
			}
			made.header = map[string]any{"kid": nil}
			if err := front(t.Context(), v, p, made.sign(t, encode(t, claims))); err != nil {
				t.Error("without kid:", err)
			}
			claims["c_hash"] = "2SmKENGwc1g33EvYXaxkGw"
			err := front(t.Context(), v, p, made.sign(t, encode(t, claims)))
			wantCheck(t, err, oidc.FrontChannel, oidc.CheckCodeHash)
		})
	}
}

// A rejection says which check failed, and nothing that the token said.
func TestRejectionsTellNothingOfTheToken(t *testing.T) {
	t.Parallel()
	const planted = "planted-7f3a"
	for _, name := range []string{"iss", "sub", "aud", "azp", "nonce", "c_hash", "at_hash", "s_hash", "sid", "acr"} {
		p := newProvider(t)
		v := p.verifier(t)
		login := accepted(t, p, v)
		claims := p.claims()
		claims[name] = planted
		_, err := v.Back(t.Context(), vault.NewSecret(signer{}.sign(t, encode(t, claims))), login, p.expect(), vault.NewSecret(accessToken))
		wantCheck(t, err, oidc.TokenEndpoint, oidc.Check(name))
		var r *oidc.Rejection
		errors.As(err, &r)
		shown := r.Fault()
		if shown.Kind != fault.ProviderRejected || shown.Message != "The provider's reply could not be verified." {
			t.Errorf("%s: shown as %v", name, shown)
		}
		if said := err.Error() + shown.Error() + p.journal.String(); strings.Contains(said, planted) || strings.Contains(said, nonce) {
			t.Errorf("%s: %s", name, said)
		}
	}
}
