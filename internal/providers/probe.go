package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/vault"
)

// Probe is one look at an integration.
type Probe string

// The looks, in the order of [Service.Probe].
const (
	ProbeSettings  Probe = "settings"  // what the integration says fits the provider
	ProbeDiscovery Probe = "discovery" // the issuer's document is there and can be used
	ProbeKeys      Probe = "keys"      // so are its signing keys
	ProbeReach     Probe = "reach"     // a host of the provider answers
	ProbeClock     Probe = "clock"     // its clock agrees with ours
)

// Finding is what a look came to.
type Finding struct {
	Probe Probe
	// Host is the one that was asked, "" for none.
	Host string
	OK   bool
	// Detail is a sentence fit to show.
	Detail string
}

const (
	// probeTimeout bounds each call of a probe.
	probeTimeout = 8 * time.Second
	// skewAllowed is what id_tokens are held to.
	skewAllowed = time.Minute
)

// Probe looks at an integration without an account: whether its settings fit,
// and whether everything that a link needs answers. No credential is sent. The
// findings are in the order in which one would mend them.
func (s *Service) Probe(ctx context.Context, in vault.Integration) []Finding {
	p := &prober{s: s, in: in}
	if !p.settings() {
		return p.findings
	}
	methods, err := s.Methods(in)
	if err != nil {
		return p.findings // settings has said so
	}
	for _, m := range methods {
		p.method(ctx, target{in: in, provider: p.provider, method: m})
	}
	p.reach(ctx)
	return p.findings
}

type prober struct {
	s        *Service
	in       vault.Integration
	provider *Provider
	findings []Finding
	asked    []string // what was looked at already
	urls     []string // to be reached, one of each host
}

func (p *prober) found(probe Probe, host string, err error, fine string) {
	f := Finding{Probe: probe, Host: host, OK: err == nil, Detail: fine}
	if err != nil {
		f.Detail = probeSentence(err)
	}
	p.findings = append(p.findings, f)
}

// probeSentence says what went wrong in words for whoever set it up, who may
// know more than an end user.
func probeSentence(err error) string {
	if e, ok := errors.AsType[*outbound.Error](err); ok {
		switch e.Kind {
		case outbound.Unreachable:
			return "It does not answer, or its name is not known. Check the address, and that this machine may reach it without a proxy."
		case outbound.Untrusted:
			return "Its certificate is not trusted here."
		case outbound.TimedOut, outbound.Late:
			return "It did not answer in time."
		case outbound.Forbidden, outbound.BadURL:
			return "The address is not one that may be called. Private addresses have to be named in CLAVIGER_OUTBOUND_ALLOW."
		case outbound.BadRequest, outbound.Canceled, outbound.Broken, outbound.Redirected, outbound.TooLarge:
		}
		return "Its answer cannot be used."
	}
	if e, ok := errors.AsType[*oidc.MetadataError](err); ok {
		return "What the issuer publishes cannot be used: " + e.Problem + "."
	}
	return asFault(err).Message
}

func (p *prober) settings() bool {
	err := p.s.CheckIntegration(p.in)
	if err == nil {
		p.provider, _ = p.s.catalog.Get(p.in.Provider)
		p.found(ProbeSettings, "", nil, "Everything that the provider asks for is there.")
		return true
	}
	f := Finding{Probe: ProbeSettings, Detail: asFault(err).Message}
	if fields := asFault(err).Fields; len(fields) > 0 {
		f.Detail = ""
		for _, field := range fields {
			f.Detail = strings.TrimSpace(f.Detail + " " + field.Detail)
		}
	}
	p.findings = append(p.findings, f)
	return false
}

// once reports whether this is the first time that something is looked at.
func (p *prober) once(what string) bool {
	if what == "" || slices.Contains(p.asked, what) {
		return false
	}
	p.asked = append(p.asked, what)
	return true
}

// method looks at what one method needs beside an answer.
func (p *prober) method(ctx context.Context, t target) {
	p.later(t.baseURL())
	if t.method.SessionCookie != nil {
		p.later(t.sessionURL())
	}
	if t.method.OAuth == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	m, err := p.s.endpoints(ctx, t)
	if issuer := first(t.in.Overrides.Issuer, t.method.OAuth.Issuer); p.once(issuer) {
		fine := "The discovery document is there."
		if m.Static {
			fine = "There is no discovery document; the endpoints of the provider file are used."
		}
		p.found(ProbeDiscovery, hostOf(issuer), err, fine)
	}
	if err != nil {
		return
	}
	p.later(m.TokenEndpoint)
	p.later(m.RevocationEndpoint)
	if t.method.Redirects() {
		p.later(m.AuthorizationEndpoint)
	}
	if t.isOIDC() && p.once(m.JWKSURI) {
		n, err := p.s.directory.Keys(m.JWKSURI).Count(ctx)
		if err == nil && n == 0 {
			err = fault.New(fault.ProviderRejected, "There is no key among them that could sign an id_token.")
		}
		p.found(ProbeKeys, hostOf(m.JWKSURI), err, fmt.Sprintf("%d to check id_tokens with.", n))
	}
}

// later remembers an address whose host is to be reached.
func (p *prober) later(raw string) {
	host := hostOf(raw)
	if host != "" && !slices.ContainsFunc(p.urls, func(u string) bool { return hostOf(u) == host }) {
		p.urls = append(p.urls, raw)
	}
}

// reach asks one address of each host for nothing in particular: any status is
// an answer.
func (p *prober) reach(ctx context.Context) {
	type answer struct {
		date time.Time
		err  error
	}
	answers := make([]answer, len(p.urls))
	var asking sync.WaitGroup
	for i, raw := range p.urls {
		asking.Go(func() { answers[i].date, answers[i].err = p.s.dateOf(ctx, raw) })
	}
	asking.Wait()
	now, worst, at := p.s.now(), time.Duration(0), ""
	for i, a := range answers {
		p.found(ProbeReach, hostOf(p.urls[i]), a.err, "It answers.")
		if a.err != nil || a.date.IsZero() {
			continue
		}
		if skew := now.Sub(a.date).Abs(); at == "" || skew > worst {
			worst, at = skew, hostOf(p.urls[i])
		}
	}
	switch {
	case at == "":
	case worst > skewAllowed:
		p.found(ProbeClock, at, fault.New(fault.ProviderRejected, "It differs from ours by %s. Run an NTP client on this machine.", worst.Round(time.Second)), "")
	default:
		p.found(ProbeClock, at, nil, "It agrees with ours.")
	}
}

// dateOf is the provider's time, zero where it does not say.
func (s *Service) dateOf(ctx context.Context, raw string) (time.Time, error) {
	u, err := s.http.ParseURL(raw)
	if err != nil {
		return time.Time{}, fault.Wrap(err, fault.ProviderRejected, "The address is not one that may be called.")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, u.String(), http.NoBody)
	if err != nil {
		return time.Time{}, fmt.Errorf("making a request: %w", err)
	}
	answer, err := s.http.Do(ctx, req, 1<<10, outbound.Route("probe"), outbound.Timeout(probeTimeout))
	if answer == nil {
		return time.Time{}, err
	}
	// A redirect is not followed, and an answer all the same.
	date, _ := http.ParseTime(answer.Header.Get("Date"))
	return date, nil
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// HeaderNames lists the names of the headers that a connection made with the
// method hands out.
func (s *Service) HeaderNames(in vault.Integration, method string) ([]string, error) {
	t, err := s.target(in, method)
	if err != nil {
		return nil, err
	}
	name := "Authorization"
	switch {
	case t.method.SessionCookie != nil:
		name = "Cookie"
	case t.method.Token != nil:
		name = t.method.Token.Header
	}
	names := []string{http.CanonicalHeaderKey(name)}
	for _, more := range sortedKeys(t.provider.RequestHeaders) {
		if more = http.CanonicalHeaderKey(more); !slices.Contains(names, more) {
			names = append(names, more)
		}
	}
	return names, nil
}
