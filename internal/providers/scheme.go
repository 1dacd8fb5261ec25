package providers

import (
	"context"

	"github.com/claviger/claviger/internal/vault"
)

// scheme is what all schemes can do: say which headers a credential makes.
// What else one can do it says with the interfaces below.
type scheme interface {
	// authorization renders the headers that carry the credential, without
	// those that the provider wants on every request.
	authorization(t target, c vault.Credential) ([]vault.Header, error)
}

// obtainer makes a credential of what a form or an import brings; it may ask
// the provider for it. The values were checked against the method's fields.
// Of the grant it fills in what it knows; headers, account and base URL are
// settled afterwards.
type obtainer interface {
	obtain(ctx context.Context, s *Service, t target, values vault.Credential) (vault.Grant, error)
}

// importer takes a credential that is one already. made is false where the
// values are those of the form instead.
type importer interface {
	readyMade(s *Service, t target, c vault.Credential) (g vault.Grant, made bool, err error)
}

// refresher renews a credential without the end user.
type refresher interface {
	renewable(t target, c vault.Credential) bool
	refresh(ctx context.Context, s *Service, t target, conn vault.Connection, c vault.Credential) (*Renewal, error)
}

// revoker tells the provider that a credential is not to work any more.
type revoker interface {
	revoke(ctx context.Context, s *Service, t target, c vault.Credential) vault.ProviderOutcome
}

// schemeOf is the table of schemes. The catalog has none but these.
func schemeOf(name Scheme) scheme {
	switch name {
	case SchemeBasic:
		return basicScheme{}
	case SchemeToken:
		return tokenScheme{}
	case SchemeExchange:
		return exchangeScheme{}
	case SchemeSessionCookie:
		return sessionScheme{}
	case SchemeOAuth2Code, SchemeOIDCHybrid:
		return codeScheme{}
	case SchemeClientCredentials:
		return clientScheme{}
	}
	panic("providers: no scheme " + string(name))
}

func (s *Service) obtain(ctx context.Context, t target, values vault.Credential) (vault.Grant, error) {
	return schemeOf(t.method.Scheme).(obtainer).obtain(ctx, s, t, values)
}

func (s *Service) readyMade(t target, c vault.Credential) (vault.Grant, bool, error) {
	i, ok := schemeOf(t.method.Scheme).(importer)
	if !ok {
		return vault.Grant{}, false, nil
	}
	return i.readyMade(s, t, c)
}
