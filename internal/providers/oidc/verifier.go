package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"github.com/claviger/claviger/internal/vault"
)

// Verifier judges the id_tokens that one issuer makes for one client. Get one
// from [Directory.Verifier]; it is cheap, and safe to use at the same time.
//
// Every error is a [*Rejection] or an [*Unavailable].
type Verifier struct {
	issuer   string
	clientID string
	algs     []string
	keys     *KeySet
	now      func() time.Time
	skew     time.Duration
}

// Expect is what an attempt knows of the reply it waits for. All members are
// needed: a check with nothing to compare with fails.
type Expect struct {
	// Nonce was made for this attempt and no other.
	Nonce vault.Secret
	// Code is the authorization code that came with the front-channel token.
	Code vault.Secret
	// State was made for this attempt and has been compared already.
	State vault.Secret
	// Started is when the browser was sent to the provider.
	Started time.Time
}

// Identity is whose account it is, and what a later id_token of the same
// login has to agree with. It holds no secret and is kept as it is.
type Identity struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"` // unique at the issuer only: the pair is the identity
	ClientID string `json:"aud"`
	// SessionID and ContextClass are sid and acr; "" means the issuer gives none.
	SessionID    string `json:"sid,omitempty"`
	ContextClass string `json:"acr,omitempty"`
	// AuthTime is when the person signed in; zero means the issuer does not say.
	AuthTime time.Time `json:"auth_time,omitzero"`
	IssuedAt time.Time `json:"iat"`
	// NonceDigest is the SHA-256 of the nonce in base64url.
	NonceDigest string `json:"nonce_sha256,omitempty"`
}

// Front judges the id_token that the browser brought along with the code
// (Core section 3.3.2.12). Unless it passes, the code must not be used.
func (v *Verifier) Front(ctx context.Context, raw vault.Secret, want Expect) (Identity, error) {
	t, err := v.verify(ctx, raw, want.Started)
	if err != nil {
		return Identity{}, at(FrontChannel, err)
	}
	if err := t.checkBinding(want); err != nil {
		return Identity{}, at(FrontChannel, err)
	}
	// Section 3.3.2.11: not optional here. It is what ties the code to the
	// token, and so keeps a stolen code out.
	if err := checkHash(CheckCodeHash, t.claims.codeHash, t.alg, want.Code.Reveal()); err != nil {
		return Identity{}, at(FrontChannel, err)
	}
	return t.identity(), nil
}

// Back judges the id_token in the answer to the code (Core sections 3.3.3.6
// and 3.3.3.7), given what Front made of the first one. Until it passes, no
// token of that answer may be used (RFC 9700 section 4.5.3.2).
func (v *Verifier) Back(ctx context.Context, raw vault.Secret, front Identity, want Expect, accessToken vault.Secret) (Identity, error) {
	t, err := v.verify(ctx, raw, want.Started)
	if err != nil {
		return Identity{}, at(TokenEndpoint, err)
	}
	if err := t.checkBinding(want); err != nil {
		return Identity{}, at(TokenEndpoint, err)
	}
	if t.claims.codeHash != nil {
		if err := checkHash(CheckCodeHash, t.claims.codeHash, t.alg, want.Code.Reveal()); err != nil {
			return Identity{}, at(TokenEndpoint, err)
		}
	}
	if err := t.checkAccessToken(accessToken); err != nil {
		return Identity{}, at(TokenEndpoint, err)
	}
	back := t.identity()
	if err := back.agree(front); err != nil {
		return Identity{}, at(TokenEndpoint, err)
	}
	// Two sign-ins in one attempt would be two people, or a seam.
	if differ(front.SessionID, back.SessionID) {
		return Identity{}, at(TokenEndpoint, refuse(CheckSessionID, "not that of the front channel's token"))
	}
	if differ(front.ContextClass, back.ContextClass) {
		return Identity{}, at(TokenEndpoint, refuse(CheckContextClass, "not that of the front channel's token"))
	}
	return back.inherit(front), nil
}

// Refreshed judges the id_token in the answer to a refresh token (Core
// section 12.2), given the identity that the connection has had so far, and
// answers the one it has from now on. The new refresh token is to be kept
// first, whatever this says: the old one is spent.
func (v *Verifier) Refreshed(ctx context.Context, raw vault.Secret, previous Identity, accessToken vault.Secret) (Identity, error) {
	// No older than the one before, both by the issuer's own clock: a
	// connection must not die of ours.
	t, err := v.verify(ctx, raw, previous.IssuedAt)
	if err != nil {
		return Identity{}, at(RefreshAnswer, err)
	}
	if err := t.checkAccessToken(accessToken); err != nil {
		return Identity{}, at(RefreshAnswer, err)
	}
	next := t.identity()
	if err := next.agree(previous); err != nil {
		return Identity{}, at(RefreshAnswer, err)
	}
	if t.claims.nonce != nil && next.NonceDigest != previous.NonceDigest {
		return Identity{}, at(RefreshAnswer, refuse(CheckNonce, "not that of the login"))
	}
	return next.inherit(previous), nil
}

// verify is what all three have in common. notBefore is the earliest that the
// token can have been issued; zero is nobody's answer to that.
func (v *Verifier) verify(ctx context.Context, raw vault.Secret, notBefore time.Time) (token, error) {
	t, err := open(raw.Reveal(), v.algs)
	if err != nil {
		return token{}, err
	}
	now := v.now()
	signature := &signature{keys: v.keys}
	_, second := gooidc.NewVerifier(v.issuer, signature, &gooidc.Config{
		ClientID:             v.clientID,
		SupportedSigningAlgs: v.algs,
		// go-oidc gives expiry no leeway of its own.
		Now: func() time.Time { return now.Add(-v.skew) },
	}).Verify(ctx, t.raw)
	if signature.err != nil {
		return token{}, signature.err
	}
	if !signature.verified {
		return token{}, refuse(CheckFormat, "not a signed JWT")
	}
	// go-oidc tells by text what it refuses, with the claim in it. So the
	// same is judged here once more, to have a word for it, and its verdict
	// counts in any case.
	if err := t.claims.checkParties(v.issuer, v.clientID); err != nil {
		return token{}, err
	}
	if notBefore.IsZero() {
		return token{}, refuse(CheckIssuedAt, "nothing to compare with")
	}
	if err := t.claims.checkTimes(now, notBefore, v.skew); err != nil {
		return token{}, err
	}
	if second != nil {
		return token{}, refuse(CheckSecondOpinion, "go-oidc refuses the token")
	}
	return t, nil
}

// signature stands between go-oidc and a key set, for one token: go-oidc
// flattens errors to text, and whether a provider is down is worth keeping.
type signature struct {
	keys     *KeySet
	verified bool
	err      error
}

// VerifySignature answers go-oidc.
func (s *signature) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := s.keys.VerifySignature(ctx, jwt)
	s.verified, s.err = err == nil, err
	return payload, err
}

// checkBinding holds a token to the attempt: the nonce has to be there, a hash
// of the state may be.
func (t token) checkBinding(want Expect) error {
	if !same(t.claims.nonce, want.Nonce.Reveal()) {
		return refuse(CheckNonce, "missing, or not that of this attempt")
	}
	if t.claims.stateHash != nil {
		return checkHash(CheckStateHash, t.claims.stateHash, t.alg, want.State.Reveal())
	}
	return nil
}

// checkAccessToken holds a token to the access token beside it, where it
// speaks of one (Core section 3.1.3.8).
func (t token) checkAccessToken(accessToken vault.Secret) error {
	if t.claims.tokenHash == nil {
		return nil
	}
	return checkHash(CheckAccessTokenHash, t.claims.tokenHash, t.alg, accessToken.Reveal())
}

// identity is what is kept of a verified token.
func (t token) identity() Identity {
	id := Identity{
		Issuer:   *t.claims.issuer,
		Subject:  *t.claims.subject,
		ClientID: t.claims.audience[0],
		IssuedAt: *t.claims.issuedAt,
	}
	if t.claims.sessionID != nil {
		id.SessionID = *t.claims.sessionID
	}
	if t.claims.contextClass != nil {
		id.ContextClass = *t.claims.contextClass
	}
	if t.claims.authTime != nil {
		id.AuthTime = *t.claims.authTime
	}
	if t.claims.nonce != nil {
		sum := sha256.Sum256([]byte(*t.claims.nonce))
		id.NonceDigest = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return id
}

// agree holds an identity to the one before it: the same person, at the same
// issuer, for the same client, by the same sign-in.
func (id Identity) agree(before Identity) error {
	switch {
	case id.Issuer != before.Issuer:
		return refuse(CheckIssuer, "not that of the token before")
	case id.Subject != before.Subject:
		return refuse(CheckSubject, "not that of the token before")
	case id.ClientID != before.ClientID:
		return refuse(CheckAudience, "not that of the token before")
	case !id.AuthTime.IsZero() && !before.AuthTime.IsZero() && !id.AuthTime.Equal(before.AuthTime):
		return refuse(CheckAuthTime, "not that of the token before")
	}
	return nil
}

// inherit keeps what an earlier token said and this one leaves out, so that a
// token after it is still held to that.
func (id Identity) inherit(before Identity) Identity {
	if id.SessionID == "" {
		id.SessionID = before.SessionID
	}
	if id.ContextClass == "" {
		id.ContextClass = before.ContextClass
	}
	if id.AuthTime.IsZero() {
		id.AuthTime = before.AuthTime
	}
	if id.NonceDigest == "" {
		id.NonceDigest = before.NonceDigest
	}
	return id
}

// differ says whether both are there and not the same.
func differ(a, b string) bool { return a != "" && b != "" && a != b }

// at says where a refused token was found.
func at(position Position, err error) error {
	if r := new(Rejection); errors.As(err, &r) {
		r.Position = position
	}
	return err
}
