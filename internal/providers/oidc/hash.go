package oidc

import (
	"crypto"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
	"crypto/subtle"
	"encoding/base64"
	"strings"
)

// halfHash is the value of c_hash, at_hash and s_hash: the left half of the
// hash that goes with the token's algorithm, in base64url (Core section
// 3.3.2.11). EdDSA's hash is SHA-512, that of Ed25519 inside.
func halfHash(alg, value string) string {
	hash := crypto.SHA512
	switch {
	case strings.HasSuffix(alg, "256"):
		hash = crypto.SHA256
	case strings.HasSuffix(alg, "384"):
		hash = crypto.SHA384
	}
	h := hash.New()
	h.Write([]byte(value))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// checkHash compares a hash claim with the value it should be of. An empty
// value has no hash worth having: nothing must not match nothing.
func checkHash(check Check, claim *string, alg, value string) error {
	if value == "" || !same(claim, halfHash(alg, value)) {
		return refuse(check, "does not match")
	}
	return nil
}

// same compares in constant time. An absent or empty text is never the same
// as another.
func same(claim *string, want string) bool {
	return claim != nil && want != "" && subtle.ConstantTimeCompare([]byte(*claim), []byte(want)) == 1
}
