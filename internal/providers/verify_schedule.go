package providers

import (
	"regexp"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// defaultVerifyEvery is how often a credential without an end is verified,
// where the provider file says nothing.
const defaultVerifyEvery = 24 * time.Hour

// Every is how often something is done: whole hours as in "24h", or "off".
type Every string

const everyOff Every = "off"

var everyForm = regexp.MustCompile(`^(off|[1-9][0-9]{0,3}h)$`)

// duration is 0 for off; empty is the given default.
func (e Every) duration(otherwise time.Duration) time.Duration {
	switch e {
	case "":
		return otherwise
	case everyOff:
		return 0
	}
	d, err := time.ParseDuration(string(e))
	if err != nil {
		panic("providers: an interval that was not checked: " + string(e))
	}
	return d
}

// VerifyEvery is how often [Service.Verify] should look at a connection of this
// method that has no end; 0 is never, also where there is nothing to ask or the
// provider is gone from the catalog.
func (s *Service) VerifyEvery(in vault.Integration, method string) time.Duration {
	t, err := s.target(in, method)
	if err != nil {
		return 0
	}
	return t.verifyEvery()
}

func (t target) verifyEvery() time.Duration {
	if !t.verifiable() {
		return 0
	}
	return t.provider.VerifyEvery.duration(defaultVerifyEvery)
}

// verifiable reports whether there is something to ask, as far as one can know
// without asking: an issuer may publish no userinfo endpoint.
func (t target) verifiable() bool {
	return t.provider.Verify != nil || t.provider.Resolve != nil || t.isOIDC()
}

// checkVerifyEvery also finds a schedule for nothing.
func (f *file) checkVerifyEvery(p *Provider) {
	if p.VerifyEvery == "" {
		return
	}
	if !everyForm.MatchString(string(p.VerifyEvery)) {
		f.fault("verify_every", "must be whole hours as in 24h, or off")
	}
	for i := range p.Methods {
		if p.Methods[i].Redirects() { // an integration may make any of them OpenID Connect
			return
		}
	}
	if p.Verify == nil && p.Resolve == nil {
		f.fault("verify_every", "needs verify or resolve: there is nothing to ask")
	}
}
