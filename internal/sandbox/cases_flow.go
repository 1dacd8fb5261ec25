package sandbox

import "bytes"

// nonceCases are about the nonce of the two tokens of one sign-in. The nonce
// of the second one is checked like that of the first, before anything that
// came with it is used.
func nonceCases() []Case {
	return []Case{
		{Name: "nonce_missing", Rule: coreHybrid + ", " + oauthBCP, Tamper: withoutClaim("nonce")},
		{Name: "nonce_empty", Rule: coreHybrid + ", " + oauthBCP, Tamper: withClaim("nonce", "")},
		{Name: "nonce_wrong", Rule: coreHybrid + ", " + oauthBCP, Tamper: withClaim("nonce", "nonce-of-somebody-else")},
	}
}

// frontCases are about what only the front channel has.
func frontCases() []Case {
	return []Case{
		{Name: "c_hash_missing", Rule: coreHybrid, Tamper: withoutClaim("c_hash")},
		{Name: "c_hash_wrong", Rule: coreHybrid, Tamper: withClaim("c_hash", leftHalf("some other code"))},
		{Name: "code_exchanged", Rule: coreHybrid, Tamper: withParam("code", "0123456789ABCDEF0123456789ABCDEF")},
		{Name: "s_hash_wrong", Rule: "FAPI 1.0 part 2, 5.1.1", Tamper: withClaim("s_hash", leftHalf("some other state"))},
		{Name: "s_hash_missing", Accept: true, Rule: "not in OpenID Connect Core", Tamper: withoutClaim("s_hash")},
		{Name: "reply_without_id_token", Rule: "OpenID Connect Core 3.3.2.5", Tamper: withoutParam("id_token")},
		{Name: "reply_without_code", Rule: "OpenID Connect Core 3.3.2.5", Tamper: withoutParam("code")},
		{Name: "reply_with_two_codes", Rule: "RFC 6749 3.1", Tamper: Tamper{Reply: func(r *Reply) {
			r.Params.Add("code", "0123456789ABCDEF0123456789ABCDEF")
		}}},
		{Name: "state_missing", Rule: "RFC 6749 10.12", Tamper: withoutParam("state")},
		{Name: "state_empty", Rule: "RFC 6749 10.12", Tamper: withParam("state", "")},
		{Name: "state_wrong", Rule: "RFC 6749 10.12", Tamper: withParam("state", "state-of-somebody-else")},
		{Name: "iss_parameter_right", Accept: true, Rule: oauthMixUp, Tamper: Tamper{Reply: func(r *Reply) {
			r.Params.Set("iss", r.Issuer)
		}}},
		{Name: "iss_parameter_wrong", Rule: oauthMixUp, Tamper: withParam("iss", "https://login.example.org")},
		{Name: "session_state_missing", Accept: true, Rule: "OpenID Connect Session Management 3", Tamper: withoutParam("session_state")},
	}
}

// changedCases are about a token that no longer speaks of the same person and
// sign-in as the one before it.
func changedCases() []Case {
	return []Case{
		{Name: "sub_changed", Rule: coreBack + ", " + coreRefresh, Tamper: withClaim("sub", "1906")},
		{Name: "auth_time_changed", Rule: coreBack + ", " + coreRefresh, Tamper: withClaims(func(c map[string]any) {
			at, _ := c["auth_time"].(int64)
			c["auth_time"] = at - 3600
		})},
		{Name: "at_hash_wrong", Rule: "OpenID Connect Core 3.1.3.8", Tamper: withClaim("at_hash", leftHalf("some other token"))},
		{Name: "at_hash_missing", Accept: true, Rule: "OpenID Connect Core 3.1.3.8", Tamper: withoutClaim("at_hash")},
	}
}

// backCases are about what the first answer of the token endpoint must have.
func backCases() []Case {
	return []Case{
		{Name: "id_token_missing", Rule: "OpenID Connect Core 3.3.3.3", Tamper: withoutAnswer("id_token")},
		{Name: "refresh_token_missing", Accept: true, Rule: oauthToken, Tamper: withoutAnswer("refresh_token")},
	}
}

// refreshCases are about what only the answer to a refresh may do.
func refreshCases() []Case {
	return []Case{
		{Name: "nonce_wrong", Rule: coreRefresh, Tamper: withClaim("nonce", "nonce-of-somebody-else")},
		{Name: "id_token_missing", Accept: true, Rule: coreRefresh, Tamper: withoutAnswer("id_token")},
	}
}

// tokenCases are about the token endpoint's answer around the id_token. Most
// of them are odd but right, and a client that trips over one loses the
// refresh token in it.
func tokenCases() []Case {
	return []Case{
		{Name: "access_token_missing", Rule: oauthToken, Tamper: withoutAnswer("access_token")},
		{Name: "access_token_with_line_break", Rule: bearerSyntax, Tamper: Tamper{
			IDToken: func(t *IDToken) { delete(t.Claims, "at_hash") },
			Answer:  func(a *TokenAnswer) { a.Members["access_token"] = "token\r\nX-Injected: 1" },
		}},
		{Name: "token_type_mac", Rule: oauthToken, Tamper: withAnswer("token_type", "mac")},
		{Name: "token_type_missing", Rule: oauthToken, Tamper: withoutAnswer("token_type")},
		{Name: "token_type_lower_case", Accept: true, Rule: oauthToken, Tamper: withAnswer("token_type", "bearer")},
		{Name: "expires_in_with_fraction", Accept: true, Rule: oauthToken, Tamper: withRawMember(`"expires_in":3600.0`)},
		{Name: "expires_in_exponent", Accept: true, Rule: oauthToken, Tamper: withRawMember(`"expires_in":3.6e3`)},
		{Name: "expires_in_string", Accept: true, Rule: oauthToken, Tamper: withAnswer("expires_in", "3600")},
		{Name: "expires_in_words", Accept: true, Rule: oauthToken, Tamper: withAnswer("expires_in", "soon")},
		{Name: "expires_in_null", Accept: true, Rule: oauthToken, Tamper: withAnswer("expires_in", nil)},
		{Name: "expires_in_missing", Accept: true, Rule: oauthToken, Tamper: withoutAnswer("expires_in")},
		{Name: "byte_order_mark", Accept: true, Rule: "RFC 8259 8.1", Tamper: Tamper{Body: func(b []byte) []byte {
			return append([]byte("\ufeff"), b...)
		}}},
		{Name: "content_type_text", Accept: true, Rule: oauthToken, Tamper: Tamper{Answer: func(a *TokenAnswer) {
			a.Header.Set("Content-Type", "text/plain; charset=utf-8")
		}}},
	}
}

// withParam sets one parameter of the reply.
func withParam(name, value string) Tamper {
	return Tamper{Reply: func(r *Reply) { r.Params.Set(name, value) }}
}

// withoutParam leaves one parameter of the reply out.
func withoutParam(name string) Tamper {
	return Tamper{Reply: func(r *Reply) { r.Params.Del(name) }}
}

// withAnswer sets one member of the token answer.
func withAnswer(name string, v any) Tamper {
	return Tamper{Answer: func(a *TokenAnswer) { a.Members[name] = v }}
}

// withoutAnswer leaves one member of the token answer out.
func withoutAnswer(name string) Tamper {
	return Tamper{Answer: func(a *TokenAnswer) { delete(a.Members, name) }}
}

// withRawMember puts expires_in into the answer letter by letter: encoding/json
// would write the number its own way.
func withRawMember(member string) Tamper {
	return Tamper{
		Answer: func(a *TokenAnswer) { delete(a.Members, "expires_in") },
		Body: func(b []byte) []byte {
			return append(bytes.TrimSuffix(b, []byte("}")), []byte(","+member+"}")...)
		},
	}
}
