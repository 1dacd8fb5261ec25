package providers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

// clientScheme asks for tokens of a client itself (RFC 6749 section 4.4): the
// integration's, or one that the end user brings where the form has the
// fields for it.
type clientScheme struct{}

func (clientScheme) authorization(_ target, c vault.Credential) ([]vault.Header, error) {
	return bearer(c)
}

func (clientScheme) obtain(ctx context.Context, s *Service, t target, values vault.Credential) (vault.Grant, error) {
	m, err := s.endpoints(ctx, t)
	if err != nil {
		return vault.Grant{}, err
	}
	endpoint, err := t.tokenURL(m)
	if err != nil {
		return vault.Grant{}, err
	}
	client, err := t.client(m, values)
	if err != nil {
		return vault.Grant{}, err
	}
	o, asked := t.method.OAuth, s.now()
	answer, err := s.tokens.Exchange(ctx, tokenendpoint.Request{
		Endpoint: endpoint,
		Client:   client,
		Grant:    tokenendpoint.ClientCredentials(t.scopes(), nil),
		Shape:    o.shape(false),
	})
	if err != nil {
		if e, ok := errors.AsType[*tokenendpoint.Error](err); ok && e.Class == tokenendpoint.ClientFault && t.ownClient() {
			return vault.Grant{}, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return vault.Grant{}, err
	}
	g := vault.Grant{
		Credential: maps.Clone(values),
		Scopes:     t.scopes(),
		Account:    vault.Account{ID: client.ClientID, Label: client.ClientID},
	}
	o.take(&g, answer, asked)
	// RFC 6749 section 4.4.3: there should be none, and it is of no use here.
	delete(g.Credential, vault.ValueRefreshToken)
	g.RefreshExpiresAt = time.Time{}
	g.Renewable = true
	return g, nil
}

// ownClient reports whether the end user brings the client.
func (t target) ownClient() bool {
	_, own := t.method.Field(valueClientID)
	return own
}

func (clientScheme) renewable(target, vault.Credential) bool { return true }

func (x clientScheme) refresh(ctx context.Context, s *Service, t target, conn vault.Connection, c vault.Credential) (*Renewal, error) {
	values := maps.Clone(c)
	delete(values, vault.ValueAccessToken)
	g, err := x.obtain(ctx, s, t, values)
	if err != nil {
		return nil, err
	}
	g.Account, g.BaseURL = conn.Account, conn.BaseURL
	return done(s.settle(ctx, t, g, false))
}

func (clientScheme) revoke(ctx context.Context, s *Service, t target, c vault.Credential) vault.ProviderOutcome {
	return s.revokeTokens(ctx, t, c)
}
