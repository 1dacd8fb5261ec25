package providers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

// Config is what a [Service] is made of.
type Config struct {
	// Catalog is the providers; required.
	Catalog *Catalog
	// HTTP makes all calls; required. The Service does not close it.
	HTTP *outbound.Client
	// PublicURL is the broker as browsers see it, for redirect URIs; required.
	PublicURL *url.URL
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log takes what an operator should know; nil discards it.
	Log *slog.Logger
	// ClockSkew is how far an issuer's clock may be off; 0 is one minute.
	ClockSkew time.Duration
}

// Service turns forms, redirects and imports into credentials, and keeps them
// fresh, by the provider files. It is safe for concurrent use. Integrations are
// handed to it with their client secret opened.
//
// Errors that people may see are [*fault.Error]; a credential that the provider
// refuses is [ErrRefused] as well.
type Service struct {
	catalog   *Catalog
	http      *outbound.Client
	tokens    *tokenendpoint.Client
	directory *oidc.Directory
	publicURL *url.URL
	now       func() time.Time
	log       *slog.Logger
}

// New makes a service. It makes no call.
func New(cfg Config) *Service {
	s := &Service{
		catalog:   cfg.Catalog,
		http:      cfg.HTTP,
		publicURL: cfg.PublicURL,
		now:       cfg.Now,
		log:       cfg.Log,
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.tokens = &tokenendpoint.Client{HTTP: s.http, Now: s.now, Log: s.log}
	s.directory = oidc.NewDirectory(oidc.Config{
		HTTP: &http.Client{Transport: s.http.Transport("issuer")},
		Now:  s.now,
		Log:  s.log,
		Skew: cfg.ClockSkew,
	})
	return s
}

// Catalog is the providers that the service knows.
func (s *Service) Catalog() *Catalog { return s.catalog }

// RedirectURI is the one to register at the provider for an integration.
func (s *Service) RedirectURI(integrationID string) string { return s.redirectURI(integrationID) }

// Methods lists what an integration offers, in its order. The methods are the
// catalog's: do not change them.
func (s *Service) Methods(in vault.Integration) ([]*Method, error) {
	p, ok := s.catalog.Get(in.Provider)
	if !ok {
		return nil, fault.New(fault.ProviderRejected, "The provider %q is not in the catalog any more.", in.Provider)
	}
	var methods []*Method
	if len(in.Methods) == 0 {
		for i := range p.Methods {
			methods = append(methods, &p.Methods[i])
		}
		return methods, nil
	}
	for _, name := range in.Methods {
		if m, ok := p.Method(name); ok {
			methods = append(methods, m)
		}
	}
	return methods, nil
}

// Submit makes a grant of a form that an end user filled in: it checks the
// fields, and asks the provider. Faults of the form come all at once, as
// [fault.Invalid] with the field's name as pointer; so does a refusal, with the
// secret field's.
func (s *Service) Submit(ctx context.Context, in vault.Integration, method string, form vault.Credential) (vault.Grant, error) {
	t, err := s.target(in, method)
	if err != nil {
		return vault.Grant{}, err
	}
	if t.method.Redirects() {
		return vault.Grant{}, fault.InvalidField("method", "This method has no form; it leads to %s.", t.provider.Title)
	}
	values, err := t.checkForm(form, s.now())
	if err != nil {
		return vault.Grant{}, err
	}
	g, err := s.obtain(ctx, t, values)
	if err != nil {
		return vault.Grant{}, t.explain(err, nil)
	}
	g, err = s.settle(ctx, t, g, true)
	if err != nil {
		return vault.Grant{}, t.explain(err, nil)
	}
	return g, nil
}

// Import makes a grant of a credential that a backend brings. Pointers of
// faults are into the body of the request: "/credential/token".
//
// It may bring the fields of the method's form, or what a scheme makes of
// them: "username" and "password" for basic, "token" for exchange, "cookie"
// ("name=value") for session_cookie, and "access_token", "refresh_token" and
// "expires_at" (RFC 3339) for the OAuth schemes; and what the provider would
// be asked for otherwise, such as Harvest's "account_id". With verify the provider is
// asked as for a form. Without it the provider is asked only where there is
// no credential otherwise: to trade a password for a token or a session.
func (s *Service) Import(ctx context.Context, in vault.Integration, method string, cred vault.Credential, verify bool) (vault.Grant, error) {
	t, err := s.target(in, method)
	if fault.Is(err, fault.Invalid) {
		return vault.Grant{}, fault.InvalidField("/method", "The integration's provider has no method %q.", method)
	}
	if err != nil {
		return vault.Grant{}, err
	}
	if cred == nil { // pointers go into the body all the same
		cred = vault.Credential{}
	}
	g, made, err := s.readyMade(t, cred)
	if err != nil {
		return vault.Grant{}, t.explain(err, cred)
	}
	if !made {
		values, err := t.checkForm(cred, s.now())
		if err != nil {
			return vault.Grant{}, t.explain(err, cred)
		}
		if g, err = s.obtain(ctx, t, values); err != nil {
			return vault.Grant{}, t.explain(err, cred)
		}
	}
	if g, err = s.settle(ctx, t, g, verify); err != nil {
		return vault.Grant{}, t.explain(err, cred)
	}
	return g, nil
}

// Verify asks the provider whether the credential of a connection still works,
// and whose it is: [ErrRefused] where it does not, [ErrUnverifiable] where there
// is nothing to ask. Any other error says nothing about the credential.
func (s *Service) Verify(ctx context.Context, in vault.Integration, conn vault.Connection, cred vault.Credential) (vault.Account, error) {
	t, err := s.target(in, conn.Method)
	if err != nil {
		return vault.Account{}, err
	}
	userinfo, err := s.userinfoURL(ctx, t)
	if err != nil {
		return vault.Account{}, asFault(err)
	}
	if t.provider.Verify == nil && t.provider.Resolve == nil && userinfo == "" {
		return vault.Account{}, ErrUnverifiable
	}
	g, err := s.settle(ctx, t, vault.Grant{Credential: cred, BaseURL: conn.BaseURL, Account: conn.Account}, true)
	if err != nil {
		return vault.Account{}, t.explain(err, nil)
	}
	return g.Account, nil
}

// Renewable reports whether [Service.Refresh] can renew this credential
// without the end user.
func (s *Service) Renewable(in vault.Integration, method string, cred vault.Credential) bool {
	t, err := s.target(in, method)
	if err != nil {
		return false
	}
	r, ok := schemeOf(t.method.Scheme).(refresher)
	return ok && r.renewable(t, cred)
}

// ReusePolicy is what a spent refresh token does at the provider of a
// connection's method. It is [ReuseAllowed] where nothing is used up.
func (s *Service) ReusePolicy(in vault.Integration, method string) Reuse {
	t, err := s.target(in, method)
	if err != nil || t.method.OAuth == nil || !t.method.Redirects() {
		return ReuseAllowed
	}
	return t.method.OAuth.reuse()
}

// explain turns an error into the one that people see. Values that cannot be
// sent, and refusals, point at a field of the form, or at a member of the
// credential that was imported.
func (t target) explain(err error, imported vault.Credential) error {
	at := func(name string) string { return t.fieldOf(name) }
	if imported != nil {
		at = func(name string) string { return "/credential/" + escapePointer(name) }
	}
	invalid := func(pointer, format string, args ...any) error {
		e := fault.InvalidField(pointer, format, args...)
		e.Err = err
		return e
	}
	if v, ok := errors.AsType[*valueError](err); ok {
		return invalid(at(v.name), "%s", v.detail)
	}
	if m, ok := errors.AsType[*missingValueError](err); ok {
		return invalid(at(m.name), "This is missing.")
	}
	if errors.Is(err, ErrRefused) {
		return invalid(at(t.refusedValue(imported)), "%s did not accept this. Check it and try again.", t.provider.Title)
	}
	f := asFault(err)
	if imported == nil || f.Kind != fault.Invalid {
		return f
	}
	moved := *f
	moved.Fields = make([]fault.Field, len(f.Fields))
	for i, field := range f.Fields {
		moved.Fields[i] = fault.Field{Pointer: at(field.Pointer), Detail: field.Detail}
	}
	return &moved
}

// refusedValue is what to point at when the provider refuses a credential: the
// secret field, or what an import brought in its place.
func (t target) refusedValue(imported vault.Credential) string {
	for _, name := range []string{t.secretField(), valuePassword, exchanged, valueCookie, vault.ValueAccessToken} {
		if !imported[name].IsZero() {
			return name
		}
	}
	return t.secretField()
}
