package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// Case is one message of TimeLog with exactly one thing wrong with it, or one
// thing odd about it that is nevertheless right.
type Case struct {
	// Name is unique within its channel, in words with underscores.
	Name string
	// On is Front, Back or Refresh.
	On Channel
	// Accept is what a careful client does: it links or refreshes all the
	// same. Otherwise it hands out nothing of what it got; and where On is
	// Front, it does not even call the token endpoint.
	Accept bool
	// Rule says where that is written.
	Rule   string
	Tamper Tamper
}

// Cases gives all ready-made cases on the given channels.
func Cases(on Channel) []Case {
	var out []Case
	add := func(c Channel, cases ...Case) {
		for _, one := range cases {
			one.On = c
			if on&c != 0 {
				out = append(out, one)
			}
		}
	}
	add(Front, signatureCases()...)
	add(Front, claimCases()...)
	add(Front, nonceCases()...)
	add(Front, frontCases()...)
	add(Back, signatureCases()...)
	add(Back, claimCases()...)
	add(Back, nonceCases()...)
	add(Back, changedCases()...)
	add(Back, backCases()...)
	add(Back, tokenCases()...)
	add(Refresh, signatureCases()...)
	add(Refresh, claimCases()...)
	add(Refresh, changedCases()...)
	add(Refresh, refreshCases()...)
	add(Refresh, tokenCases()...)
	return out
}

// Rules, as cases cite them.
const (
	coreIDToken  = "OpenID Connect Core 3.1.3.7"
	coreClaims   = "OpenID Connect Core 2"
	coreHybrid   = "OpenID Connect Core 3.3.2.11"
	coreBack     = "OpenID Connect Core 3.3.3.6"
	coreRefresh  = "OpenID Connect Core 12.2"
	jwtBCP       = "RFC 8725"
	oauthToken   = "RFC 6749 5.1"
	oauthMixUp   = "RFC 9207"
	oauthBCP     = "RFC 9700 4.5.3.2"
	bearerSyntax = "RFC 6750 2.1"
)

// withClaims changes claims.
func withClaims(change func(map[string]any)) Tamper {
	return Tamper{IDToken: func(t *IDToken) { change(t.Claims) }}
}

// withClaim sets one claim.
func withClaim(name string, v any) Tamper {
	return withClaims(func(c map[string]any) { c[name] = v })
}

// withoutClaim leaves one claim out.
func withoutClaim(name string) Tamper {
	return withClaims(func(c map[string]any) { delete(c, name) })
}

// withHeader sets one header parameter.
func withHeader(name string, v any) Tamper {
	return Tamper{IDToken: func(t *IDToken) { t.Header[name] = v }}
}

// signedBy has another key sign, and says so in alg.
func signedBy(key Key) Tamper {
	return Tamper{IDToken: func(t *IDToken) { t.Sign(key) }}
}

// withMember adds one member behind those that are there, without a map in
// the way: duplicates and names that differ in case only.
func withMember(member string) Tamper {
	return Tamper{IDToken: func(t *IDToken) {
		b, err := json.Marshal(t.Claims)
		if err != nil {
			return // claims are made of text and numbers
		}
		t.Payload = []byte(strings.TrimSuffix(string(b), "}") + "," + member + "}")
	}}
}

// shifted moves a time claim to d after iat.
func shifted(name string, d time.Duration) Tamper {
	return withClaims(func(c map[string]any) {
		iat, _ := c["iat"].(int64)
		c[name] = iat + int64(d/time.Second)
	})
}

// signatureCases are about the header and the signature.
func signatureCases() []Case {
	return []Case{
		{Name: "signature_broken", Rule: coreIDToken + " (6)", Tamper: Tamper{Compact: breakSignature}},
		{Name: "signature_of_stray_key", Rule: coreIDToken + " (6)", Tamper: signedBy(StrayKey)},
		{Name: "payload_exchanged", Rule: coreIDToken + " (6)", Tamper: Tamper{Compact: breakPayload}},
		{Name: "kid_unknown", Rule: coreIDToken + " (6)", Tamper: Tamper{IDToken: func(t *IDToken) {
			t.Sign(StrayKey)
			t.Header["kid"] = "nobody-published-this"
		}}},
		{Name: "kid_absent", Accept: true, Rule: "OpenID Connect Core 10.1", Tamper: Tamper{IDToken: func(t *IDToken) { delete(t.Header, "kid") }}},
		{Name: "alg_none", Rule: coreClaims, Tamper: signedBy(NoKey)},
		{Name: "alg_none_kept_signature", Rule: coreClaims, Tamper: withHeader("alg", "none")},
		{Name: "alg_hs256_client_secret", Rule: coreIDToken + " (7)", Tamper: signedBy(ClientSecretKey)},
		{Name: "alg_hs256_public_key", Rule: jwtBCP + " 2.1", Tamper: signedBy(PublicKeyPEM)},
		{Name: "alg_rs512_claimed", Rule: coreIDToken + " (7)", Tamper: withHeader("alg", "RS512")},
		{Name: "jwk_in_header", Rule: "RFC 7515 10.4", Tamper: Tamper{IDToken: func(t *IDToken) {
			t.Sign(StrayKey)
			jwk := t.StrayJWK()
			t.Header["jwk"], t.Header["kid"] = jwk, jwk.KeyID
		}}},
		{Name: "jku_in_header", Rule: jwtBCP + " 2.9", Tamper: Tamper{IDToken: func(t *IDToken) {
			t.Sign(StrayKey)
			t.Header["jku"], t.Header["kid"] = "http://127.0.0.1:9/jwks", t.StrayJWK().KeyID
		}}},
		{Name: "crit_unknown", Rule: "RFC 7515 4.1.11", Tamper: Tamper{IDToken: func(t *IDToken) {
			t.Header["crit"], t.Header["urn:example:x"] = []string{"urn:example:x"}, true
		}}},
		{Name: "typ_at_jwt", Rule: jwtBCP + " 3.11", Tamper: withHeader("typ", "at+jwt")},
		{Name: "typ_logout_jwt", Rule: jwtBCP + " 3.11", Tamper: withHeader("typ", "logout+jwt")},
		{Name: "typ_absent", Accept: true, Rule: "RFC 7519 5.1", Tamper: Tamper{IDToken: func(t *IDToken) { delete(t.Header, "typ") }}},
		{Name: "json_serialization", Rule: "RFC 7519 3", Tamper: Tamper{Compact: jsonSerialization}},
		{Name: "white_space_inside", Rule: "RFC 7519 3", Tamper: Tamper{Compact: func(s string) string {
			return strings.Replace(s, ".", ".\n ", 1)
		}}},
		{Name: "not_a_jwt", Rule: "RFC 7519 3", Tamper: Tamper{Compact: func(string) string { return "id-token" }}},
	}
}

// claimCases are about the claims that every id_token has.
func claimCases() []Case {
	return []Case{
		{Name: "iss_other", Rule: coreIDToken + " (2)", Tamper: withClaim("iss", "https://login.example.org")},
		{Name: "iss_trailing_slash", Rule: coreIDToken + " (2)", Tamper: withClaims(func(c map[string]any) {
			iss, _ := c["iss"].(string)
			c["iss"] = iss + "/"
		})},
		{Name: "iss_missing", Rule: coreClaims, Tamper: withoutClaim("iss")},
		{Name: "aud_other", Rule: coreIDToken + " (3)", Tamper: withClaim("aud", "somebody-else")},
		{Name: "aud_missing", Rule: coreClaims, Tamper: withoutClaim("aud")},
		{Name: "aud_two", Rule: coreIDToken + " (3)", Tamper: withClaims(func(c map[string]any) {
			c["aud"] = []any{c["aud"], "somebody-else"}
		})},
		{Name: "aud_two_with_azp", Rule: coreIDToken + " (3)", Tamper: withClaims(func(c map[string]any) {
			c["azp"] = c["aud"]
			c["aud"] = []any{c["aud"], "somebody-else"}
		})},
		{Name: "aud_array_of_one", Accept: true, Rule: coreClaims, Tamper: withClaims(func(c map[string]any) {
			c["aud"] = []any{c["aud"]}
		})},
		{Name: "azp_other", Rule: coreIDToken + " (5)", Tamper: withClaim("azp", "somebody-else")},
		{Name: "azp_right", Accept: true, Rule: coreIDToken + " (5)", Tamper: withClaims(func(c map[string]any) { c["azp"] = c["aud"] })},
		{Name: "exp_past", Rule: coreIDToken + " (9)", Tamper: shifted("exp", -10*time.Minute)},
		{Name: "exp_missing", Rule: coreClaims, Tamper: withoutClaim("exp")},
		{Name: "exp_far", Rule: "RFC 7519 4.1.4", Tamper: withClaim("exp", json.Number("1e20"))},
		{Name: "exp_text", Rule: "RFC 7519 4.1.4", Tamper: withClaim("exp", "tomorrow")},
		{Name: "nbf_future", Rule: "RFC 7519 4.1.5", Tamper: shifted("nbf", time.Hour)},
		{Name: "iat_missing", Rule: coreClaims, Tamper: withoutClaim("iat")},
		{Name: "iat_future", Rule: coreIDToken + " (10)", Tamper: withClaims(func(c map[string]any) {
			iat, _ := c["iat"].(int64)
			c["iat"], c["exp"] = iat+3600, iat+3900
		})},
		{Name: "iat_old", Rule: coreIDToken + " (10)", Tamper: shifted("iat", -24*time.Hour)},
		{Name: "sub_missing", Rule: coreClaims, Tamper: withoutClaim("sub")},
		{Name: "sub_empty", Rule: coreClaims, Tamper: withClaim("sub", "")},
		{Name: "sub_too_long", Rule: coreClaims, Tamper: withClaim("sub", strings.Repeat("1", 256))},
		{Name: "sub_control_character", Rule: coreClaims, Tamper: withClaim("sub", "1815\r\n")},
		{Name: "sub_in_capitals_too", Rule: coreClaims, Tamper: withMember(`"SUB":"1906"`)},
		{Name: "sub_twice", Rule: "RFC 7519 4", Tamper: withMember(`"sub":"1906"`)},
	}
}

// breakSignature changes one character in the middle of the signature; the
// last one would not do, as its lower bits may be padding.
func breakSignature(compact string) string {
	i := strings.LastIndexByte(compact, '.') + 1
	return swapAt(compact, (i+len(compact))/2)
}

// breakPayload gives the signed header and signature other claims: one more
// space between them.
func breakPayload(compact string) string {
	p := strings.Split(compact, ".")
	if len(p) != 3 {
		return compact
	}
	claims, err := base64.RawURLEncoding.DecodeString(p[1])
	if err != nil {
		return compact
	}
	p[1] = base64.RawURLEncoding.EncodeToString(append([]byte("{ "), claims[1:]...))
	return strings.Join(p, ".")
}

// swapAt replaces the base64url character at i by another one.
func swapAt(s string, i int) string {
	if i >= len(s) {
		return s
	}
	c := byte('A')
	if s[i] == c {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}
