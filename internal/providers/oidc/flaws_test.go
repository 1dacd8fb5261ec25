package oidc_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/vault"
)

// flaw is one thing wrong with an otherwise good token.
type flaw struct {
	name   string
	check  oidc.Check
	claims func(map[string]any)                      // changes the claims
	json   func(string) string                       // changes the payload's text
	sign   signer                                    // signs otherwise
	raw    func(token string) string                 // changes the signed token
	expect func(*oidc.Expect)                        // the attempt was another one
	whole  func(t *testing.T, payload string) string // makes the token by hand
}

func set(name string, value any) func(map[string]any) {
	return func(c map[string]any) { c[name] = value }
}

func remove(name string) func(map[string]any) {
	return func(c map[string]any) { delete(c, name) }
}

func later(name string, d time.Duration) func(map[string]any) {
	return func(c map[string]any) { c[name] = noon.Add(d).Unix() }
}

func header(name string, value any) signer {
	return signer{header: map[string]any{name: value}}
}

func insert(member string) func(string) string {
	return func(payload string) string { return "{" + member + "," + payload[1:] }
}

func appended(member string) func(string) string {
	return func(payload string) string { return payload[:len(payload)-1] + "," + member + "}" }
}

// byHand signs with the provider's key under a header go-jose would not write.
func byHand(header string) func(*testing.T, string) string {
	return func(t *testing.T, payload string) string {
		t.Helper()
		signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
			base64.RawURLEncoding.EncodeToString([]byte(payload))
		sum := sha256.Sum256([]byte(signed))
		signature, err := rsa.SignPKCS1v15(rand.Reader, ours(), crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
}

// spareBits sets the unused bits at the end of a part of the token: other
// text, same octets.
func spareBits(part int) func(string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return func(token string) string {
		parts := strings.Split(token, ".")
		last := len(parts[part]) - 1
		parts[part] = parts[part][:last] + string(alphabet[strings.IndexByte(alphabet, parts[part][last])+1])
		return strings.Join(parts, ".")
	}
}

// everywhere are the flaws that no position forgives.
var everywhere = []flaw{
	{name: "empty", check: oidc.CheckFormat, raw: func(string) string { return "" }},
	{name: "two parts", check: oidc.CheckFormat, raw: func(s string) string { return s[:strings.LastIndex(s, ".")] }},
	{name: "no signature", check: oidc.CheckFormat, raw: func(s string) string { return s[:strings.LastIndex(s, ".")+1] }},
	{name: "whitespace", check: oidc.CheckFormat, raw: func(s string) string { return s + "\n" }},
	{name: "padding", check: oidc.CheckFormat, raw: func(s string) string { return s + "=" }},
	{name: "encrypted", check: oidc.CheckFormat, raw: func(s string) string { return s + ".a.b" }},
	{name: "JSON serialization", check: oidc.CheckFormat, raw: func(s string) string {
		p := strings.Split(s, ".")
		return `{"protected":"` + p[0] + `","payload":"` + p[1] + `","signature":"` + p[2] + `"}`
	}},
	{name: "17 KiB", check: oidc.CheckFormat, claims: set("groups", strings.Repeat("g", 12<<10))},
	{name: "spare bits in the payload", check: oidc.CheckFormat, json: appended(`"x":""`), raw: spareBits(1)},
	{name: "spare bits in the signature", check: oidc.CheckFormat, raw: spareBits(2)},
	{name: "payload not JSON", check: oidc.CheckFormat, json: func(string) string { return "hello" }},
	{name: "payload an array", check: oidc.CheckFormat, json: func(s string) string { return "[" + s + "]" }},
	{name: "payload with a tail", check: oidc.CheckFormat, json: func(s string) string { return s + s }},
	{name: "payload not UTF-8", check: oidc.CheckFormat, json: insert("\"name\":\"\xff\"")},
	{name: "header with a tail", check: oidc.CheckFormat, whole: byHand(`{"alg":"RS256","kid":"k1"}{}`)},

	{name: "sub twice", check: oidc.CheckDuplicateMember, json: appended(`"sub":"mallory"`)},
	{name: "sub and SUB", check: oidc.CheckDuplicateMember, json: appended(`"SUB":"mallory"`)},
	{name: "sub and \\u0073ub", check: oidc.CheckDuplicateMember, json: appended(`"\u0073ub":"mallory"`)},
	{name: "sub and ſub", check: oidc.CheckDuplicateMember, json: appended(`"ſub":"mallory"`)},
	{name: "nonce and Nonce first", check: oidc.CheckDuplicateMember, json: insert(`"Nonce":"x"`)},
	{name: "alg twice", check: oidc.CheckDuplicateMember, whole: byHand(`{"alg":"RS256","kid":"k1","alg":"RS256"}`)},
	{name: "alg and ALG", check: oidc.CheckDuplicateMember, whole: byHand(`{"alg":"RS256","kid":"k1","ALG":"none"}`)},

	{name: "jku", check: oidc.CheckKeyHeader, sign: header("jku", "https://evil.example/jwks")},
	{name: "JKU", check: oidc.CheckKeyHeader, whole: byHand(`{"alg":"RS256","kid":"k1","JKU":"https://evil.example"}`)},
	{name: "x5u", check: oidc.CheckKeyHeader, sign: header("x5u", "https://evil.example/chain")},
	{name: "x5c", check: oidc.CheckKeyHeader, whole: byHand(`{"alg":"RS256","kid":"k1","x5c":[]}`)},
	{name: "jwk", check: oidc.CheckKeyHeader, sign: signer{key: stranger(), header: map[string]any{
		"jwk": jose.JSONWebKey{Key: stranger().Public()},
	}}},
	{name: "crit", check: oidc.CheckCritical, whole: byHand(`{"alg":"RS256","kid":"k1","crit":["exp"],"exp":1}`)},
	{name: "crit of nothing", check: oidc.CheckCritical, whole: byHand(`{"alg":"RS256","kid":"k1","crit":[]}`)},
	{name: "b64", check: oidc.CheckCritical, whole: byHand(`{"alg":"RS256","kid":"k1","b64":true}`)},
	{name: "nested", check: oidc.CheckType, sign: header("cty", "JWT")},
	{name: "access token", check: oidc.CheckType, sign: header("typ", "at+jwt")},
	{name: "logout token", check: oidc.CheckType, sign: header("typ", "logout+jwt")},
	{name: "typ a number", check: oidc.CheckType, whole: byHand(`{"alg":"RS256","kid":"k1","typ":1}`)},

	{name: "alg none", check: oidc.CheckAlgorithm, whole: func(_ *testing.T, payload string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." +
			base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".AA"
	}},
	{name: "alg none, well signed", check: oidc.CheckAlgorithm, whole: byHand(`{"alg":"none","kid":"k1"}`)},
	{name: "alg missing", check: oidc.CheckAlgorithm, whole: byHand(`{"kid":"k1"}`)},
	{name: "alg a number", check: oidc.CheckAlgorithm, whole: byHand(`{"alg":256,"kid":"k1"}`)},
	{name: "HS256 with the client secret", check: oidc.CheckAlgorithm, sign: signer{alg: jose.HS256, key: []byte(clientKey)}},
	{name: "HS256 with the public key", check: oidc.CheckAlgorithm, sign: signer{alg: jose.HS256, key: ours().N.Bytes()}},
	{name: "RS512, not on the list", check: oidc.CheckAlgorithm, sign: signer{alg: jose.RS512}},
	{name: "header that go-jose cannot read", check: oidc.CheckFormat, whole: byHand(`{"alg":"RS256","kid":"k1","nonce":1}`)},
	{name: "kid a number", check: oidc.CheckKeyID, whole: byHand(`{"alg":"RS256","kid":1}`)},
	{name: "unknown kid", check: oidc.CheckKeyID, sign: header("kid", "k9")},
	{name: "another's key under our kid", check: oidc.CheckSignature, sign: signer{key: stranger()}},
	{name: "another's key without kid", check: oidc.CheckSignature, sign: signer{key: stranger(), header: map[string]any{"kid": nil}}},
	{name: "payload changed after signing", check: oidc.CheckSignature, raw: func(s string) string {
		p := strings.Split(s, ".")
		b, _ := base64.RawURLEncoding.DecodeString(p[1])
		p[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(b), "248289761001", "248289761002", 1)))
		return strings.Join(p, ".")
	}},

	{name: "iss missing", check: oidc.CheckIssuer, claims: remove("iss")},
	{name: "iss another's", check: oidc.CheckIssuer, claims: set("iss", "https://server.example.com")},
	{name: "iss with a slash", check: oidc.CheckIssuer, claims: func(c map[string]any) { c["iss"] = fmt.Sprint(c["iss"], "/") }},
	{name: "iss in capitals", check: oidc.CheckIssuer, claims: func(c map[string]any) { c["iss"] = strings.ToUpper(fmt.Sprint(c["iss"])) }},
	{name: "iss an array", check: oidc.CheckIssuer, claims: func(c map[string]any) { c["iss"] = []any{c["iss"]} }},
	{name: "aud missing", check: oidc.CheckAudience, claims: remove("aud")},
	{name: "aud empty", check: oidc.CheckAudience, claims: set("aud", []string{})},
	{name: "aud another's", check: oidc.CheckAudience, claims: set("aud", "somebody-else")},
	{name: "aud ours and another's", check: oidc.CheckAudience, claims: set("aud", []string{clientID, "somebody-else"})},
	{name: "aud a number", check: oidc.CheckAudience, claims: set("aud", 1)},
	{name: "azp another's", check: oidc.CheckAuthorizedParty, claims: set("azp", "somebody-else")},
	{name: "azp empty", check: oidc.CheckAuthorizedParty, claims: set("azp", "")},
	{name: "sub missing", check: oidc.CheckSubject, claims: remove("sub")},
	{name: "sub null", check: oidc.CheckSubject, claims: set("sub", nil)},
	{name: "sub empty", check: oidc.CheckSubject, claims: set("sub", "")},
	{name: "sub a number", check: oidc.CheckSubject, claims: set("sub", 1)},
	{name: "sub of 256 characters", check: oidc.CheckSubject, claims: set("sub", strings.Repeat("s", 256))},
	{name: "sub with a newline", check: oidc.CheckSubject, claims: set("sub", "a\nb")},
	{name: "sub with an umlaut", check: oidc.CheckSubject, claims: set("sub", "ä")},
	{name: "SUB for sub", check: oidc.CheckSubject, json: func(s string) string { return strings.Replace(s, `"sub"`, `"SUB"`, 1) }},

	{name: "exp missing", check: oidc.CheckExpiry, claims: remove("exp")},
	{name: "exp a string", check: oidc.CheckExpiry, claims: func(c map[string]any) { c["exp"] = "1772366700" }},
	{name: "expired by more than the skew", check: oidc.CheckExpiry, claims: func(c map[string]any) {
		c["iat"], c["exp"] = noon.Add(-63*time.Second).Unix(), noon.Add(-60*time.Second).Unix()
	}},
	{name: "exp before iat", check: oidc.CheckExpiry, claims: later("exp", -time.Second)},
	{name: "life of more than a day", check: oidc.CheckExpiry, claims: later("exp", 24*time.Hour+time.Second)},
	{name: "exp 1e20", check: oidc.CheckExpiry, json: func(s string) string {
		return strings.Replace(s, `"exp":1772366700`, `"exp":1e20`, 1)
	}},
	{name: "exp negative", check: oidc.CheckExpiry, claims: set("exp", -1)},
	{name: "iat missing", check: oidc.CheckIssuedAt, claims: remove("iat")},
	{name: "iat null", check: oidc.CheckIssuedAt, claims: set("iat", nil)},
	{name: "iat in the future", check: oidc.CheckIssuedAt, claims: later("iat", 61*time.Second)},
	{name: "nbf in the future", check: oidc.CheckNotBefore, claims: later("nbf", 61*time.Second)},
	{name: "nbf a string", check: oidc.CheckNotBefore, claims: set("nbf", "0")},
	{name: "auth_time negative", check: oidc.CheckAuthTime, claims: set("auth_time", -1)},
	{name: "auth_time after the year 9999", check: oidc.CheckAuthTime, claims: set("auth_time", 1e20)},
	{name: "auth_time a string", check: oidc.CheckAuthTime, claims: set("auth_time", "yesterday")},
	{name: "sid a number", check: oidc.CheckSessionID, claims: set("sid", 1)},
	{name: "claims from nowhere", check: oidc.CheckSecondOpinion, claims: set("_claim_names", map[string]string{"address": "src1"})},
}

// ofTheAttempt are the flaws of a token that belongs to another attempt, in
// both answers to this one.
var ofTheAttempt = []flaw{
	{name: "iat from before the attempt", check: oidc.CheckIssuedAt, claims: later("iat", -64*time.Second)},
	{name: "attempt without a start", check: oidc.CheckIssuedAt, expect: func(e *oidc.Expect) { e.Started = time.Time{} }},
	{name: "nonce missing", check: oidc.CheckNonce, claims: remove("nonce")},
	{name: "nonce empty", check: oidc.CheckNonce, claims: set("nonce", "")},
	{name: "nonce of another attempt", check: oidc.CheckNonce, claims: set("nonce", "n-0S6_WzA2Mk")},
	{name: "nonce a number", check: oidc.CheckNonce, claims: set("nonce", 1)},
	{
		name: "attempt without nonce, token too", check: oidc.CheckNonce, claims: set("nonce", ""),
		expect: func(e *oidc.Expect) { e.Nonce = vault.Secret{} },
	},
	{name: "c_hash of another code", check: oidc.CheckCodeHash, claims: set("c_hash", "2SmKENGwc1g33EvYXaxkGw")},
	{name: "c_hash empty", check: oidc.CheckCodeHash, claims: set("c_hash", "")},
	{
		name: "c_hash of no code", check: oidc.CheckCodeHash, claims: set("c_hash", "47DEQpj8HBSa-_TImW-5JA"),
		expect: func(e *oidc.Expect) { e.Code = vault.Secret{} },
	},
	{
		name: "s_hash of no state", check: oidc.CheckStateHash, claims: set("s_hash", "47DEQpj8HBSa-_TImW-5JA"),
		expect: func(e *oidc.Expect) { e.State = vault.Secret{} },
	},
	{name: "s_hash of another state", check: oidc.CheckStateHash, claims: set("s_hash", "2SmKENGwc1g33EvYXaxkGw")},
	{name: "s_hash empty", check: oidc.CheckStateHash, claims: set("s_hash", "")},
}

var ofTheAccessToken = []flaw{
	{name: "at_hash of another token", check: oidc.CheckAccessTokenHash, claims: set("at_hash", "2SmKENGwc1g33EvYXaxkGw")},
	{name: "at_hash empty", check: oidc.CheckAccessTokenHash, claims: set("at_hash", "")},
	{name: "at_hash a number", check: oidc.CheckAccessTokenHash, claims: set("at_hash", 1)},
}

// make spoils a good token.
func (f flaw) make(t *testing.T, p *provider) string {
	t.Helper()
	claims := p.claims()
	if f.claims != nil {
		f.claims(claims)
	}
	payload := string(encode(t, claims))
	if f.json != nil {
		changed := f.json(payload)
		if changed == payload {
			t.Fatal("the flaw changes nothing")
		}
		payload = changed
	}
	if f.whole != nil {
		return f.whole(t, payload)
	}
	raw := f.sign.sign(t, []byte(payload))
	if f.raw != nil {
		raw = f.raw(raw)
	}
	return raw
}

// expected is the attempt, as the flaw has it.
func (f flaw) expected(p *provider) oidc.Expect {
	e := p.expect()
	if f.expect != nil {
		f.expect(&e)
	}
	return e
}
