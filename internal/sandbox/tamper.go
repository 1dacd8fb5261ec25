package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Channel is where an id_token or an answer travels. Channels can be added up.
type Channel int

const (
	// Front is the reply that the browser carries.
	Front Channel = 1 << iota
	// Back is the token endpoint's answer to an authorization code.
	Back
	// Refresh is the token endpoint's answer to a refresh token.
	Refresh
	// Every is all three.
	Every = Front | Back | Refresh
)

// String names a single channel, for test names.
func (c Channel) String() string {
	switch c {
	case Front:
		return "front"
	case Back:
		return "back"
	case Refresh:
		return "refresh"
	case Every:
		return "every"
	}
	return "several"
}

// IDToken is an id_token in the making.
type IDToken struct {
	Channel Channel
	// Header is the JOSE header, sent exactly as it stands: alg RS256, the
	// current kid and typ JWT to begin with.
	Header map[string]any
	Claims map[string]any
	// Payload, if not nil, is signed in the place of Claims: for JSON that no
	// map can hold.
	Payload []byte
	// Key signs. It does not follow from Header's alg, nor the other way round.
	Key Key
	// StrayJWK is the public half of [StrayKey], for headers.
	StrayJWK func() jose.JSONWebKey
}

// Sign makes key the token's and sets alg to what it is used with.
func (t *IDToken) Sign(key Key) {
	t.Key = key
	switch key {
	case CurrentKey, StrayKey:
		t.Header["alg"] = string(jose.RS256)
	case ClientSecretKey, PublicKeyPEM:
		t.Header["alg"] = string(jose.HS256)
	case NoKey:
		t.Header["alg"] = "none"
	}
}

// TokenAnswer is the token endpoint's answer in the making.
type TokenAnswer struct {
	Channel Channel // Back or Refresh
	Status  int
	Header  http.Header
	Members map[string]any
}

// Reply is the answer to an authorize request in the making.
type Reply struct {
	Issuer      string
	RedirectURI string
	// Mode is query, fragment or form_post.
	Mode   string
	Params url.Values
}

// Tamper alters what TimeLog sends, each part only where its function is set.
// It changes the messages, not the books: what is issued stays issued. The
// functions are called by requests, several at once.
type Tamper struct {
	// IDToken changes an id_token before it is signed.
	IDToken func(*IDToken)
	// Compact changes the signed id_token's serialization.
	Compact func(string) string
	// Answer changes the token endpoint's answer before it is encoded.
	Answer func(*TokenAnswer)
	// Body changes the encoded answer.
	Body func([]byte) []byte
	// Reply changes the front-channel reply.
	Reply func(*Reply)
}

type tampering struct {
	on Channel
	Tamper
}

// Tamper applies a tamper to everything sent on the given channels, after
// those set before, until undo or [TimeLog.Untamper] is called.
func (t *TimeLog) Tamper(on Channel, tamper Tamper) (undo func()) {
	one := &tampering{on, tamper}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tampers = append(t.tampers, one)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.tampers = slices.DeleteFunc(slices.Clone(t.tampers), func(o *tampering) bool { return o == one })
	}
}

// OnToken lets f see, and change, every successful answer of the token
// endpoint before it is encoded.
func (t *TimeLog) OnToken(f func(*TokenAnswer)) (undo func()) {
	return t.Tamper(Back|Refresh, Tamper{Answer: f})
}

// Untamper takes every tamper back.
func (t *TimeLog) Untamper() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tampers = nil
}

func (t *TimeLog) tampersOn(c Channel) []Tamper {
	t.mu.Lock()
	defer t.mu.Unlock()
	var on []Tamper
	for _, one := range t.tampers {
		if one.on&c != 0 {
			on = append(on, one.Tamper)
		}
	}
	return on
}

// forge makes an id_token of claims and lets the channel's tampers at it.
func (t *TimeLog) forge(c Channel, client Client, claims map[string]any) (string, error) {
	tok := &IDToken{
		Channel: c,
		Header:  map[string]any{"alg": string(jose.RS256), "typ": "JWT"},
		Claims:  claims,
		StrayJWK: func() jose.JSONWebKey {
			key, _ := t.keys.stray() // signing with it reports the error
			return key.Public()
		},
	}
	if !t.Settings().OmitKID {
		key, err := t.keys.current()
		if err != nil {
			return "", err
		}
		tok.Header["kid"] = key.KeyID
	}
	tampers := t.tampersOn(c)
	for _, tm := range tampers {
		if tm.IDToken != nil {
			tm.IDToken(tok)
		}
	}
	payload := tok.Payload
	if payload == nil {
		var err error
		if payload, err = json.Marshal(tok.Claims); err != nil {
			return "", fmt.Errorf("encoding id_token claims: %w", err)
		}
	}
	raw, err := t.keys.sign(tok.Header, payload, tok.Key, client)
	if err != nil {
		return "", fmt.Errorf("signing id_token: %w", err)
	}
	for _, tm := range tampers {
		if tm.Compact != nil {
			raw = tm.Compact(raw)
		}
	}
	t.secrets.add(raw)
	return raw, nil
}

// leftHalf is the left half of the SHA-256 of a value, as c_hash, at_hash and
// s_hash of an RS256 token are made (OpenID Connect Core 3.3.2.11).
func leftHalf(v string) string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// jsonSerialization turns a compact JWS into the flattened JSON one of RFC
// 7515 section 7.2.2, with the same signature.
func jsonSerialization(compact string) string {
	p := strings.Split(compact, ".")
	if len(p) != 3 {
		return compact
	}
	return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, p[0], p[1], p[2])
}
