package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// RSA keys outside these sizes are not used: below, RFC 7518 section 3.3
// forbids them; above, verifying is somebody's way to keep us busy.
const minRSABits, maxRSABits = 2048, 8192

// KeySet is the signing keys of one issuer, by its jwks_uri. Get one from
// [Directory.Keys].
//
// The keys are fetched when first needed, again when older than the TTL, and
// again when a token names a key that is not there, which is how a rotation
// shows (Core section 10.1.1). However many tokens do so, there is one fetch
// in thirty seconds.
type KeySet struct {
	document remote[[]key]
	used     time.Time // guarded by the directory
}

// key is one usable signing key.
type key struct {
	id     string // "" where the set gives none
	alg    string // "" where the set leaves it open
	public crypto.PublicKey
}

// VerifySignature finds the key that signed a JWS in compact serialization
// and returns the payload, as go-oidc wants it of a key set. Errors are
// [*Rejection] by [CheckKeyID] or [CheckSignature], or [*Unavailable].
//
// Which algorithms are acceptable is for the caller to decide beforehand;
// here they only have to be asymmetric and go with the key.
func (k *KeySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(jwt, asymmetric())
	if err != nil || len(jws.Signatures) != 1 {
		return nil, refuse(CheckFormat, "not a signed JWT")
	}
	known, err := k.document.current(ctx)
	if err != nil {
		return nil, err
	}
	payload, tried := verifyWith(jws, known.value)
	if payload != nil {
		return payload, nil
	}
	// A key that is there under that name and does not fit will not fit any
	// better for being fetched again. Without a name there is no telling.
	if id := jws.Signatures[0].Protected.KeyID; tried && id != "" {
		return nil, refuse(CheckSignature, "does not verify with the issuer's key")
	}
	latest, err := k.document.refetch(ctx, 0)
	switch {
	case err != nil:
		return nil, err
	case latest.err != nil:
		// The key may well be there by now, where we cannot see it.
		return nil, k.document.unavailable(latest.err)
	}
	if payload, tried = verifyWith(jws, latest.value); payload != nil {
		return payload, nil
	}
	if tried {
		return nil, refuse(CheckSignature, "does not verify with any of the issuer's keys")
	}
	return nil, refuse(CheckKeyID, "the issuer has no such key for this algorithm")
}

// verifyWith tries the keys that go with the token's header; tried says that
// there were any. A nil payload means that none verified.
func verifyWith(jws *jose.JSONWebSignature, keys []key) (payload []byte, tried bool) {
	header := jws.Signatures[0].Protected
	for _, k := range keys {
		if header.KeyID != "" && k.id != header.KeyID || !k.goesWith(header.Algorithm) {
			continue
		}
		tried = true
		if payload, err := jws.Verify(k.public); err == nil {
			return payload, true
		}
	}
	return nil, tried
}

// goesWith says whether a key may be used with an algorithm (RFC 7518 section
// 3.1): the kind has to fit, the curve too, and the set's own word on it.
func (k key) goesWith(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return alg[:2] == "RS" || alg[:2] == "PS"
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256():
			return alg == "ES256"
		case elliptic.P384():
			return alg == "ES384"
		case elliptic.P521():
			return alg == "ES512"
		}
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// parseKeys reads a JWK set (RFC 7517 section 5) and keeps what can verify a
// signature. Keys for encryption, shared secrets, private keys that somebody
// published, and kinds not known here are passed over, as the RFC asks: one
// odd key must not cost the others. A set without any usable key is a set;
// the issuer may have withdrawn them.
func parseKeys(body []byte) ([]key, error) {
	set, err := members(body)
	if err != nil {
		return nil, errors.New("not a JWK set")
	}
	var raws []json.RawMessage
	if json.Unmarshal(set["keys"], &raws) != nil || raws == nil {
		return nil, errors.New("not a JWK set")
	}
	keys := make([]key, 0, len(raws))
	for _, raw := range raws {
		var jwk jose.JSONWebKey
		if jwk.UnmarshalJSON(raw) != nil || jwk.Use == "enc" || !usable(jwk.Key) {
			continue
		}
		keys = append(keys, key{id: jwk.KeyID, alg: jwk.Algorithm, public: jwk.Key})
	}
	return keys, nil
}

func usable(candidate any) bool {
	switch k := candidate.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSABits && k.N.BitLen() <= maxRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// Count is how many keys are there that could verify a signature, by a copy no
// older than the TTL. The error is [*Unavailable] or the context's.
func (k *KeySet) Count(ctx context.Context) (int, error) {
	known, err := k.document.current(ctx)
	if err != nil {
		return 0, err
	}
	return len(known.value), nil
}
