package providers

import "github.com/claviger/claviger/internal/vault"

// Disconnection is what revoking a connection means at its provider, for
// somebody who has not decided yet.
type Disconnection struct {
	// Provider and Way are the titles of the provider and of the method.
	Provider, Way string
	// Tellable says that the provider has a way to be told, as far as one can
	// know without asking: an issuer may publish no revocation endpoint.
	Tellable bool
	// ByHand is a sentence: how the end user takes the access back themselves.
	ByHand string
}

// Disconnection says what [Service.Revoke] can do for a connection that was
// made with the method. It asks nobody.
func (s *Service) Disconnection(in vault.Integration, method string) (Disconnection, error) {
	t, err := s.target(in, method)
	if err != nil {
		return Disconnection{}, err
	}
	return Disconnection{Provider: t.provider.Title, Way: t.method.Title, Tellable: t.tellable(), ByHand: t.hint()}, nil
}

func (t target) tellable() bool {
	if o := t.method.OAuth; o != nil {
		return o.Revocation != nil || first(t.in.Overrides.RevocationURL, o.RevocationURL, t.issuer()) != ""
	}
	return t.method.SessionCookie != nil && t.method.SessionCookie.Delete
}
