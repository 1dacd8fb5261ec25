package oidc_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/vault"
)

// The examples of OpenID Connect Core 1.0, appendix A: real tokens, signed
// with the key of A.7, whose private half nobody here has.
const (
	exampleIssuer = "http://server.example.com"
	exampleKeys   = `{"keys":[{"kty":"RSA","kid":"1e9gdk7","e":"AQAB","n":` +
		`"w7Zdfmece8iaB0kiTY8pCtiBtzbptJmP28nSWwtdjRu0f2GFpajvWE4VhfJAjEsOcwYzay7XGN0b-X84BfC8hmCTOj2b2eHT7NsZegFPKRUQzJ9wW8ipn_aD` +
		`JWMGDuB1XyqT1E7DYqjUCEOD1b4FLpy_xPn6oV_TYOfQ9fZdbE5HGxJUzekuGcOKqOQ8M7wfYHhHHLxGpQVgL0apWuP2gDDOdTtpuld4D2LK1MZK99s9gaSj` +
		`RHE8JDb1Z4IGhEcEyzkxswVdPndUWzfvWBBWXWxtSUvQGBRkuy1BHOa4sP6FKjWEeeF7gm7UMs2Nm2QUgNZw6xvEDGaLk4KASdIxRQ"}]}`

	// A.4, response_type=code id_token: carries a c_hash.
	exampleFront = "eyJraWQiOiIxZTlnZGs3IiwiYWxnIjoiUlMyNTYifQ.ewogImlzcyI6ICJodHRwOi8vc2VydmVyLmV4YW1wbGUuY29tIiwKICJzdWIiOiAiMjQ4Mjg5NzYx" +
		"MDAxIiwKICJhdWQiOiAiczZCaGRSa3F0MyIsCiAibm9uY2UiOiAibi0wUzZfV3pBMk1qIiwKICJleHAiOiAxMzExMjgxOTcwLAogImlhdCI6IDEzMTEyODA5NzAs" +
		"CiAiY19oYXNoIjogIkxEa3RLZG9RYWszUGswY25YeENsdEEiCn0.XW6uhdrkBgcGx6zVIrCiROpWURs-4goO1sKA4m9jhJIImiGg5muPUcNegx6sSv43c5DSn37s" +
		"xCRrDZZm4ZPBKKgtYASMcE20SDgvYJdJS0cyuFw7Ijp_7WnIjcrl6B5cmoM6ylCvsLMwkoQAxVublMwH10oAxjzD6NEFsu9nipkszWhsPePf_rM4eMpkmCbTzume" +
		"-fzZIi5VjdWGGEmzTg32h3jiex-r5WTHbj-u5HL7u_KP3rmbdYNzlzd1xWRYTUs4E8nOTgzAUwvwXkIQhOh5TPcSMBYy6X3E7-_gr9Ue6n4ND7hTFhtjYs3cjNKI" +
		"A08qm5cpVYFMFMG6PkhzLQ"
	exampleCode = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk"

	// A.3, response_type=id_token token: carries an at_hash, as the token
	// endpoint's may.
	exampleBack = "eyJraWQiOiIxZTlnZGs3IiwiYWxnIjoiUlMyNTYifQ.ewogImlzcyI6ICJodHRwOi8vc2VydmVyLmV4YW1wbGUuY29tIiwKICJzdWIiOiAiMjQ4Mjg5NzYx" +
		"MDAxIiwKICJhdWQiOiAiczZCaGRSa3F0MyIsCiAibm9uY2UiOiAibi0wUzZfV3pBMk1qIiwKICJleHAiOiAxMzExMjgxOTcwLAogImlhdCI6IDEzMTEyODA5NzAs" +
		"CiAiYXRfaGFzaCI6ICI3N1FtVVB0alBmeld0RjJBbnBLOVJRIgp9.F9gRev0Dt2tKcrBkHy72cmRqnLdzw9FLCCSebV7mWs7o_sv2O5s6zMky2kmhHTVx9HmdvNn" +
		"x9GaZ8XMYRFeYk8L5NZ7aYlA5W56nsG1iWOou_-gji0ibWIuuf4Owaho3YSoi7EvsTuLFz6tq-dLyz0dKABMDsiCmJ5wqkPUDTE3QTXjzbUmOzUDli-gCh5QPuZA" +
		"q0cNW3pf_2n4zpvTYtbmj12cVcxGIMZby7TMWESRjQ9_o3jvhVNcCGcE0KAQXejhA1ocJhNEvQNqMFGlBb6_0RxxKjDZ-Oa329eGDidOvvp0h5hoES4a8IuGKS7N" +
		"Ocpp-aFwp0qVMDLI-Xnm-Pg"
	exampleAccessToken = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
)

// The whole of the judgement on tokens that are none of ours: signature,
// claims, c_hash, at_hash.
func TestExamplesOfTheSpecification(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(answer([]byte(exampleKeys)))
	t.Cleanup(server.Close)
	at := time.Unix(1311280970, 0).UTC()
	d := oidc.NewDirectory(oidc.Config{HTTP: server.Client(), Now: func() time.Time { return at.Add(time.Second) }})
	v, err := d.Verifier(oidc.Metadata{
		Issuer:                exampleIssuer,
		AuthorizationEndpoint: exampleIssuer + "/authorize",
		TokenEndpoint:         exampleIssuer + "/token",
		JWKSURI:               server.URL,
	}, "s6BhdRkqt3")
	if err != nil {
		t.Fatal(err)
	}
	want := oidc.Expect{
		Nonce:   vault.NewSecret("n-0S6_WzA2Mj"),
		Code:    vault.NewSecret(exampleCode),
		State:   vault.NewSecret("af0ifjsldkj"),
		Started: at,
	}
	first, err := v.Front(t.Context(), vault.NewSecret(exampleFront), want)
	if err != nil {
		t.Fatal("front:", err)
	}
	if first.Subject != "248289761001" {
		t.Errorf("subject %q", first.Subject)
	}
	if _, err := v.Back(t.Context(), vault.NewSecret(exampleBack), first, want, vault.NewSecret(exampleAccessToken)); err != nil {
		t.Fatal("back:", err)
	}

	// The same tokens beside another code and another access token.
	_, err = v.Back(t.Context(), vault.NewSecret(exampleBack), first, want, vault.NewSecret(exampleAccessToken+"."))
	wantCheck(t, err, oidc.TokenEndpoint, oidc.CheckAccessTokenHash)
	want.Code = vault.NewSecret(exampleCode + ".")
	_, err = v.Front(t.Context(), vault.NewSecret(exampleFront), want)
	wantCheck(t, err, oidc.FrontChannel, oidc.CheckCodeHash)
}
