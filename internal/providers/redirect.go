package providers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

// What is kept of a trip, in the attempt.
const (
	tripNonce       = "nonce"
	tripVerifier    = "verifier"
	tripRedirectURI = "redirect_uri"
	tripIssuer      = "issuer"
	tripClientID    = "client_id"
)

// Begin makes the URL that sends a browser to the provider, and the values to
// keep, sealed, until it comes back. state is the caller's: made for this
// attempt, bound to this browser, and used once.
func (s *Service) Begin(ctx context.Context, in vault.Integration, method string, state vault.Secret) (*url.URL, vault.Credential, error) {
	if state.IsZero() {
		panic("providers: Begin without a state")
	}
	t, err := s.target(in, method)
	if err != nil {
		return nil, nil, err
	}
	if !t.method.Redirects() {
		return nil, nil, fault.InvalidField("method", "This method has a form and leads nowhere.")
	}
	m, err := s.endpoints(ctx, t)
	if err != nil {
		return nil, nil, asFault(err)
	}
	if m.AuthorizationEndpoint == "" {
		return nil, nil, fault.New(fault.ProviderRejected, "The integration does not say where to sign in at %s.", t.provider.Title)
	}
	if in.ClientID == "" {
		return nil, nil, fault.New(fault.ProviderRejected, "The integration has no client id.")
	}
	u, err := s.http.ParseURL(m.AuthorizationEndpoint)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.ProviderRejected, "The provider's address is not one that may be called.")
	}
	trip := vault.Credential{
		tripRedirectURI: vault.NewSecret(s.RedirectURI(in.ID)),
		tripIssuer:      vault.NewSecret(m.Issuer),
		tripClientID:    vault.NewSecret(in.ClientID),
	}
	q := u.Query()
	for name, value := range t.method.OAuth.AuthorizeParams {
		q.Set(name, value)
	}
	q.Set("response_type", "code")
	if t.method.Scheme == SchemeOIDCHybrid {
		q.Set("response_type", "code id_token")
	}
	q.Set("client_id", in.ClientID)
	q.Set("redirect_uri", trip.Get(tripRedirectURI))
	q.Set("state", state.Reveal())
	if scopes := t.scopes(); len(scopes) > 0 {
		q.Set(first(t.method.OAuth.ScopeParameter, "scope"), strings.Join(scopes, first(t.method.OAuth.ScopeSeparator, " ")))
	}
	if mode := t.responseMode(m); mode != "" {
		q.Set("response_mode", string(mode))
	}
	if t.isOIDC() {
		trip[tripNonce] = randomValue()
		q.Set("nonce", trip.Get(tripNonce))
	}
	if t.method.OAuth.PKCE != PKCENone {
		trip[tripVerifier] = randomValue()
		challenge := sha256.Sum256([]byte(trip.Get(tripVerifier)))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(challenge[:]))
		q.Set("code_challenge_method", string(PKCES256))
	}
	u.RawQuery = q.Encode()
	return u, trip, nil
}

// randomValue is 256 random bits in base64url: a nonce, or a PKCE verifier of
// the 43 characters that RFC 7636 section 4.1 recommends.
func randomValue() vault.Secret {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, says its documentation
	return vault.NewSecret(base64.RawURLEncoding.EncodeToString(b))
}

// responseMode is the integration's or the file's; else, in the hybrid flow,
// form_post where the issuer lists it. An explicit query is never asked for
// there: stock IdentityServer answers it with an error, and OAuth 2.0 Multiple
// Response Types section 5 is on its side.
func (t target) responseMode(m oidc.Metadata) ResponseMode {
	if mode := first(t.in.Overrides.ResponseMode, string(t.method.OAuth.ResponseMode)); mode != "" {
		return ResponseMode(mode)
	}
	if t.method.Scheme == SchemeOIDCHybrid && slices.Contains(m.ResponseModes, string(ModeFormPost)) {
		return ModeFormPost
	}
	return ""
}

// Complete makes a grant of the reply that a browser brought back. The caller
// has compared state and browser, and used the attempt up. Every error is a
// [*LinkError]; one before the exchange has made no call to the token endpoint.
// From the exchange on ctx cannot end it any more: a code works once, and a
// browser that goes away must not leave tokens behind that nobody has. Beside
// an error the grant holds what the provider has handed out all the same: a
// credential to be given back with Revoke, and for nothing else.
func (s *Service) Complete(ctx context.Context, in vault.Integration, at vault.Attempt, reply Reply) (vault.Grant, error) {
	t, err := s.target(in, at.Method)
	if err != nil || !t.method.Redirects() {
		return vault.Grant{}, &LinkError{Reason: ReasonSettings, Message: "This way to sign in is not offered any more. Start again.", Err: err}
	}
	g, err := s.complete(ctx, t, at, reply)
	if err != nil {
		return vault.Grant{Credential: g.Credential}, t.linkError(err)
	}
	return g, nil
}

func (s *Service) complete(ctx context.Context, t target, at vault.Attempt, reply Reply) (vault.Grant, error) {
	m, err := s.endpoints(ctx, t)
	if err != nil {
		return vault.Grant{}, err
	}
	if m.Issuer != at.Values.Get(tripIssuer) || t.in.ClientID != at.Values.Get(tripClientID) {
		return vault.Grant{}, settingsChanged()
	}
	if err := t.checkReply(m, reply); err != nil {
		return vault.Grant{}, err
	}
	expect := oidc.Expect{Nonce: at.Values[tripNonce], Code: reply.Code, State: reply.State, Started: at.CreatedAt}
	var verifier *oidc.Verifier
	if t.isOIDC() {
		if verifier, err = s.directory.Verifier(m, t.in.ClientID, t.method.OAuth.SigningAlgorithms...); err != nil {
			return vault.Grant{}, err
		}
	}
	hybrid := t.method.Scheme == SchemeOIDCHybrid
	var front oidc.Identity
	if hybrid {
		if front, err = verifier.Front(ctx, reply.IDToken, expect); err != nil {
			return vault.Grant{}, err
		}
	}
	ctx = context.WithoutCancel(ctx)
	answer, g, err := s.exchange(ctx, t, m, at, reply.Code)
	if err != nil {
		return vault.Grant{}, err
	}
	if verifier != nil {
		if answer.IDToken.IsZero() {
			return g, &LinkError{Reason: ReasonMissingToken, Message: unverified(t), Err: errors.New("the answer to the code has no id_token")}
		}
		var id oidc.Identity
		if hybrid {
			id, err = verifier.Back(ctx, answer.IDToken, front, expect, answer.AccessToken)
		} else {
			id, err = verifier.Sole(ctx, answer.IDToken, expect, answer.AccessToken)
		}
		if err == nil {
			err = identify(&g, id, answer.IDToken)
		}
		if err != nil {
			return g, err
		}
	}
	settled, err := s.settle(ctx, t, g, true)
	if err != nil {
		return g, err
	}
	return settled, nil
}

// checkReply is what can be said without looking into any token. iss comes
// first: another issuer's error is not an answer to us either (RFC 9207
// section 2.4).
func (t target) checkReply(m oidc.Metadata, reply Reply) error {
	mixUp := func(problem string) error {
		return &LinkError{Reason: ReasonIssuer, Message: unverified(t), Err: errors.New(problem)}
	}
	if reply.Issuer != "" && m.Issuer != "" && reply.Issuer != m.Issuer {
		return mixUp("iss is another issuer")
	}
	if reply.Error != "" {
		return reply.linkError(t)
	}
	hybrid := t.method.Scheme == SchemeOIDCHybrid
	if reply.Code.IsZero() || hybrid && reply.IDToken.IsZero() {
		return &LinkError{Reason: ReasonReplyShape, Message: unverified(t), Err: errors.New("the reply lacks a code or an id_token")}
	}
	// A certified provider advertises iss and leaves it out where an id_token
	// says the same; so it is wanted only where none does.
	if m.IssuerParameter && reply.Issuer == "" && !hybrid {
		return mixUp("iss is missing, and the issuer says that it sends it")
	}
	return nil
}

// exchange trades the code for tokens.
func (s *Service) exchange(ctx context.Context, t target, m oidc.Metadata, at vault.Attempt, code vault.Secret) (*tokenendpoint.Answer, vault.Grant, error) {
	endpoint, err := t.tokenURL(m)
	if err != nil {
		return nil, vault.Grant{}, err
	}
	client, err := t.client(m, nil)
	if err != nil {
		return nil, vault.Grant{}, err
	}
	o, asked := t.method.OAuth, s.now()
	answer, err := s.tokens.Exchange(ctx, tokenendpoint.Request{
		Endpoint: endpoint,
		Client:   client,
		Grant:    tokenendpoint.AuthorizationCode(code, at.Values.Get(tripRedirectURI), at.Values[tripVerifier]),
		Shape:    o.shape(true),
	})
	if err != nil {
		return nil, vault.Grant{}, err
	}
	g := vault.Grant{Credential: vault.Credential{}, Scopes: t.scopes()}
	o.take(&g, answer, asked)
	return answer, g, nil
}

// identify puts whose account it is into a grant, by a verified id_token.
func identify(g *vault.Grant, id oidc.Identity, raw vault.Secret) error {
	b, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("encoding identity: %w", err)
	}
	g.Credential[valueIdentity] = vault.NewSecret(string(b))
	g.Account.ID = accountID(id.Issuer, id.Subject)
	if label := nameOf(raw); label != "" {
		g.Account.Label = label
	}
	return nil
}

// nameOf is what a verified id_token calls the person.
func nameOf(raw vault.Secret) string {
	parts := strings.Split(raw.Reveal(), ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	doc, err := decodeJSON(payload)
	if err != nil {
		return ""
	}
	name, _ := namePaths().find(doc, false)
	if !isPlain(name) {
		return ""
	}
	return name
}

func unverified(t target) string {
	return fmt.Sprintf("The reply from %s could not be verified, so nothing was linked. Start again.", t.provider.Title)
}

// linkError says what an error means for the trip.
func (t target) linkError(err error) *LinkError {
	if e, ok := errors.AsType[*LinkError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*oidc.Rejection](err); ok {
		return &LinkError{Reason: string(e.Check), Message: unverified(t), Err: err}
	}
	if _, ok := errors.AsType[*rootError](err); ok {
		return &LinkError{Reason: ReasonResolveURL, Err: err, Message: fmt.Sprintf("%s named an address for your account that is not one of its own, so nothing was linked.", t.provider.Title)}
	}
	if errors.Is(err, ErrRefused) {
		return &LinkError{Reason: ReasonRefused, Err: err, Message: fmt.Sprintf("%s did not accept the access that it had just given. Start again.", t.provider.Title)}
	}
	f := asFault(err)
	e := &LinkError{Reason: ReasonProvider, Message: unverified(t), Err: err}
	if f.Kind == fault.ProviderUnavailable {
		e.Reason, e.Message = ReasonUnavailable, fmt.Sprintf("%s cannot be reached right now, so nothing was linked. Start again in a little while.", t.provider.Title)
	}
	if te, ok := errors.AsType[*tokenendpoint.Error](err); ok {
		e.Reason = ReasonExchange
		if te.Class == tokenendpoint.ClientFault {
			e.Reason = ReasonClient
		}
		if f.Kind != fault.ProviderUnavailable {
			e.Message = fmt.Sprintf("%s did not complete the sign-in, so nothing was linked. Start again; if it stays, tell whoever sent you here.", t.provider.Title)
		}
	}
	return e
}
