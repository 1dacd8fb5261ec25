package oidc

import (
	"context"

	"github.com/claviger/claviger/internal/vault"
)

// Sole judges the only id_token of a login: the one in the answer to the code
// where the browser brought none (Core section 3.1.3.7). Until it passes, no
// token of that answer may be used.
func (v *Verifier) Sole(ctx context.Context, raw vault.Secret, want Expect, accessToken vault.Secret) (Identity, error) {
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
	return t.identity(), nil
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
