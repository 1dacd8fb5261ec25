package sandbox

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

const (
	jwksPath = "/.well-known/openid-configuration/jwks"
	rsaBits  = 2048
)

// keyring holds the RSA keys that sign tokens; the last one signs, all of
// them are published. The first is made when it is asked for: many a test has
// no use for it, and it costs more than all the rest of a sandbox.
type keyring struct {
	// stray makes, once, a key that is published nowhere: the forger's.
	stray func() (jose.JSONWebKey, error)

	mu   sync.Mutex
	keys []jose.JSONWebKey
}

func newKeyring() *keyring { return &keyring{stray: sync.OnceValues(newRSA)} }

func newRSA() (jose.JSONWebKey, error) {
	priv, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("making an RSA key: %w", err)
	}
	key := jose.JSONWebKey{Key: priv, Algorithm: string(jose.RS256), Use: "sig"}
	name, err := key.Thumbprint(crypto.SHA256) // RFC 7638
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("naming an RSA key: %w", err)
	}
	key.KeyID = base64.RawURLEncoding.EncodeToString(name)
	return key, nil
}

func (k *keyring) rotate(keepOld bool) error {
	if keepOld {
		if _, err := k.all(); err != nil { // there has to be an old one
			return err
		}
	}
	key, err := newRSA()
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !keepOld {
		k.keys = nil
	}
	k.keys = append(k.keys, key)
	return nil
}

// all gives the keys, at least one, newest last.
func (k *keyring) all() ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys) == 0 {
		key, err := newRSA()
		if err != nil {
			return nil, err
		}
		k.keys = []jose.JSONWebKey{key}
	}
	return slices.Clone(k.keys), nil
}

func (k *keyring) current() (jose.JSONWebKey, error) {
	keys, err := k.all()
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	return keys[len(keys)-1], nil
}

func (k *keyring) published() (jose.JSONWebKeySet, error) {
	keys, err := k.all()
	var set jose.JSONWebKeySet
	for _, key := range keys {
		set.Keys = append(set.Keys, key.Public())
	}
	return set, err
}

// Key says what signs a token.
type Key int

const (
	// CurrentKey is the provider's signing key, RS256.
	CurrentKey Key = iota
	// StrayKey is an RSA key that the provider does not publish, RS256.
	StrayKey
	// ClientSecretKey is the client secret as an HMAC key, HS256.
	ClientSecretKey
	// PublicKeyPEM is the provider's public key, as PEM text, as an HMAC key,
	// HS256: the classic confusion of algorithms.
	PublicKeyPEM
	// NoKey leaves the signature empty, as alg none does.
	NoKey
)

// sign serializes a token with its header exactly as it stands, whatever the
// key really is.
func (k *keyring) sign(header map[string]any, payload []byte, key Key, c Client) (string, error) {
	if key == NoKey {
		h, err := json.Marshal(header)
		if err != nil {
			return "", fmt.Errorf("encoding header: %w", err)
		}
		b64 := base64.RawURLEncoding.EncodeToString
		return b64(h) + "." + b64(payload) + ".", nil
	}
	signing, err := k.signingKey(key, c)
	if err != nil {
		return "", err
	}
	// go-jose lets extra headers win over its own, alg included.
	opts := &jose.SignerOptions{ExtraHeaders: make(map[jose.HeaderKey]any)}
	for name, v := range header {
		opts.ExtraHeaders[jose.HeaderKey(name)] = v
	}
	signer, err := jose.NewSigner(signing, opts)
	if err != nil {
		return "", fmt.Errorf("making signer: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("serializing: %w", err)
	}
	return compact, nil
}

func (k *keyring) signingKey(key Key, c Client) (jose.SigningKey, error) {
	switch key {
	case ClientSecretKey:
		return jose.SigningKey{Algorithm: jose.HS256, Key: []byte(c.Secret)}, nil
	case PublicKeyPEM:
		current, err := k.current()
		if err != nil {
			return jose.SigningKey{}, err
		}
		der, err := x509.MarshalPKIXPublicKey(current.Public().Key)
		if err != nil {
			return jose.SigningKey{}, fmt.Errorf("encoding public key: %w", err)
		}
		return jose.SigningKey{
			Algorithm: jose.HS256,
			Key:       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		}, nil
	case StrayKey:
		stray, err := k.stray()
		return jose.SigningKey{Algorithm: jose.RS256, Key: stray.Key}, err
	case CurrentKey:
		current, err := k.current()
		return jose.SigningKey{Algorithm: jose.RS256, Key: current.Key}, err
	case NoKey:
	}
	return jose.SigningKey{}, fmt.Errorf("no signature is made with key %d", key)
}

// jwks answers GET /.well-known/openid-configuration/jwks.
func (t *TimeLog) jwks(w http.ResponseWriter, _ *http.Request) {
	set, err := t.keys.published()
	if err != nil {
		t.log.Error("sandbox: making the first signing key", "error", err)
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	if t.Settings().OmitKID {
		for i := range set.Keys {
			set.Keys[i].KeyID = ""
		}
	}
	writeJSON(w, http.StatusOK, set)
}

// discovery answers GET /.well-known/openid-configuration. It lists only what
// the sandbox serves.
func (t *TimeLog) discovery(w http.ResponseWriter, r *http.Request) {
	base := t.baseURL(r)
	doc := map[string]any{
		"issuer":                                base,
		"jwks_uri":                              base + jwksPath,
		"authorization_endpoint":                base + "/connect/authorize",
		"token_endpoint":                        base + "/connect/token",
		"userinfo_endpoint":                     base + "/connect/userinfo",
		"revocation_endpoint":                   base + "/connect/revocation",
		"scopes_supported":                      []string{"openid", "profile", "email", "tlp", "offline_access"},
		"claims_supported":                      []string{"sub", "name", "email"},
		"grant_types_supported":                 []string{"authorization_code", "refresh_token"},
		"response_types_supported":              []string{"code id_token"},
		"response_modes_supported":              []string{"form_post", "query", "fragment"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"subject_types_supported":               []string{"public"},
		"code_challenge_methods_supported":      []string{"S256"},
	}
	if alter := t.Settings().Discovery; alter != nil {
		alter(doc)
	}
	writeJSON(w, http.StatusOK, doc)
}
