package providers

import "github.com/claviger/claviger/internal/vault"

// RefreshHost is the host that [Service.Refresh] calls for connections of this
// method, to count its failures and limit its calls by: in lower case, with a
// port where it is not the scheme's own. Where the token endpoint is known only
// to a discovery document it is the issuer's host, since nobody is asked here.
// It is empty where nothing is renewed.
func (s *Service) RefreshHost(in vault.Integration, method string) string {
	t, err := s.target(in, method)
	if err != nil {
		return ""
	}
	u, err := s.http.ParseURL(t.refreshURL())
	if err != nil {
		return ""
	}
	return u.Host
}

// refreshURL is where a refresh goes, or where it begins by asking.
func (t target) refreshURL() string {
	switch {
	case t.method.SessionCookie != nil:
		return t.sessionURL()
	case t.method.OAuth == nil:
		return ""
	}
	o, over := t.method.OAuth, t.in.Overrides
	if issuer := first(over.Issuer, o.Issuer); issuer != o.Issuer {
		return first(over.TokenURL, issuer) // the file's endpoints are another's
	}
	return first(over.TokenURL, o.TokenURL, o.Issuer)
}
