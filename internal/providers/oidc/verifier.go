package oidc

import (
	"context"
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
	t, err := v.verifyAnswer(ctx, raw, want, accessToken)
	if err != nil {
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

// Sole judges the only id_token of a login: the one in the answer to the code
// where the browser brought none (Core section 3.1.3.7). Until it passes, no
// token of that answer may be used.
func (v *Verifier) Sole(ctx context.Context, raw vault.Secret, want Expect, accessToken vault.Secret) (Identity, error) {
	t, err := v.verifyAnswer(ctx, raw, want, accessToken)
	if err != nil {
		return Identity{}, at(TokenEndpoint, err)
	}
	return t.identity(), nil
}

// Login is [Verifier.Sole] for whoever wants to know more of the person: it
// answers what the token says of them, by the exact names of its members.
func (v *Verifier) Login(ctx context.Context, raw vault.Secret, want Expect, accessToken vault.Secret) (Identity, Claims, error) {
	t, err := v.verifyAnswer(ctx, raw, want, accessToken)
	if err != nil {
		return Identity{}, nil, at(TokenEndpoint, err)
	}
	return t.identity(), t.members, nil
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

// Adopt judges the first id_token that a refresh brings for tokens of which
// no login is known, because they came from elsewhere. There is nothing to
// compare it with; what it says is what later ones are held to.
func (v *Verifier) Adopt(ctx context.Context, raw, accessToken vault.Secret) (Identity, error) {
	// It was made for this refresh, or for the login, which may be a while ago
	// at an issuer that hands out the same one again. Its expiry is checked.
	t, err := v.verify(ctx, raw, v.now().Add(-maxLifetime))
	if err != nil {
		return Identity{}, at(RefreshAnswer, err)
	}
	if err := t.checkAccessToken(accessToken); err != nil {
		return Identity{}, at(RefreshAnswer, err)
	}
	return t.identity(), nil
}

// verifyAnswer is what Back and Sole have in common: the token came straight
// from the provider with the answer to this attempt's code.
func (v *Verifier) verifyAnswer(ctx context.Context, raw vault.Secret, want Expect, accessToken vault.Secret) (token, error) {
	t, err := v.verify(ctx, raw, want.Started)
	if err != nil {
		return token{}, err
	}
	if err := t.checkBinding(want); err != nil {
		return token{}, err
	}
	if t.claims.codeHash != nil {
		if err := checkHash(CheckCodeHash, t.claims.codeHash, t.alg, want.Code.Reveal()); err != nil {
			return token{}, err
		}
	}
	return t, t.checkAccessToken(accessToken)
}

// verify is what all positions have in common. notBefore is the earliest that the
// token can have been issued; zero is nobody's answer to that.
func (v *Verifier) verify(ctx context.Context, raw vault.Secret, notBefore time.Time) (token, error) {
	t, err := open(raw.Reveal(), v.algs, "JWT")
	if err != nil {
		return token{}, err
	}
	return t, v.judge(ctx, t, notBefore, t.claims.checkSubject)
}

// judge holds a token to its signature, its parties and its times. subject is
// what its kind asks of sub.
func (v *Verifier) judge(ctx context.Context, t token, notBefore time.Time, subject func() error) error {
	now := v.now()
	signature := &signature{keys: v.keys}
	_, second := gooidc.NewVerifier(v.issuer, signature, &gooidc.Config{
		ClientID:             v.clientID,
		SupportedSigningAlgs: v.algs,
		// go-oidc gives expiry no leeway of its own.
		Now: func() time.Time { return now.Add(-v.skew) },
	}).Verify(ctx, t.raw)
	if signature.err != nil {
		return signature.err
	}
	if !signature.verified {
		return refuse(CheckFormat, "not a signed JWT")
	}
	// go-oidc tells by text what it refuses, with the claim in it. So the
	// same is judged here once more, to have a word for it, and its verdict
	// counts in any case.
	if err := t.claims.checkParties(v.issuer, v.clientID); err != nil {
		return err
	}
	if err := subject(); err != nil {
		return err
	}
	if notBefore.IsZero() {
		return refuse(CheckIssuedAt, "nothing to compare with")
	}
	if err := t.claims.checkTimes(now, notBefore, v.skew); err != nil {
		return err
	}
	if second != nil {
		return refuse(CheckSecondOpinion, "go-oidc refuses the token")
	}
	return nil
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

// at says where a refused token was found.
func at(position Position, err error) error {
	if r := new(Rejection); errors.As(err, &r) {
		r.Position = position
	}
	return err
}
