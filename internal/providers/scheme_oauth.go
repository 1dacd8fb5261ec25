package providers

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

// heldTimeout bounds the question whether the API root has moved, which is
// asked beside a refresh and must not hold it up.
const heldTimeout = 3 * time.Second

// codeScheme is both redirect flows once the browser is back: what is kept is
// the tokens, and whose they are.
type codeScheme struct{}

func (codeScheme) authorization(_ target, c vault.Credential) ([]vault.Header, error) {
	return bearer(c)
}

// readyMade takes tokens from elsewhere. Without an access token there are no
// headers until somebody refreshes, so one is wanted.
func (codeScheme) readyMade(s *Service, t target, c vault.Credential) (vault.Grant, bool, error) {
	var faults []fault.Field
	for _, name := range c.Names() {
		if !t.learnt(name) && !slices.Contains([]string{vault.ValueAccessToken, vault.ValueRefreshToken, valueExpiresAt}, name) {
			faults = append(faults, fault.Field{Pointer: name, Detail: "This method takes access_token, refresh_token and expires_at."})
		} else if detail := unfitText(c.Get(name)); detail != "" || len(c.Get(name)) > maxHeaderValue {
			faults = append(faults, fault.Field{Pointer: name, Detail: first(detail, "This is too long.")})
		}
	}
	if c[vault.ValueAccessToken].IsZero() {
		faults = append(faults, fault.Field{Pointer: vault.ValueAccessToken, Detail: "This is missing."})
	}
	g := vault.Grant{Credential: maps.Clone(c), Scopes: t.scopes()}
	delete(g.Credential, valueExpiresAt)
	if at := c.Get(valueExpiresAt); at != "" {
		end, err := time.Parse(time.RFC3339, at)
		if err != nil || end.Year() > 9999 {
			faults = append(faults, fault.Field{Pointer: valueExpiresAt, Detail: "Give the time as in 2027-03-31T12:00:00Z."})
		}
		g.ExpiresAt = end.UTC()
	} else {
		// Over already, perhaps: then it is not handed out, but renewed.
		g.ExpiresAt = tokenEnd(g.Credential[vault.ValueAccessToken], s.now())
	}
	if len(faults) > 0 {
		return vault.Grant{}, false, fault.InvalidFields(faults...)
	}
	g.Renewable = !g.Credential[vault.ValueRefreshToken].IsZero()
	return g, true, nil
}

func (codeScheme) renewable(_ target, c vault.Credential) bool {
	return !c[vault.ValueRefreshToken].IsZero()
}

func (x codeScheme) refresh(ctx context.Context, s *Service, t target, conn vault.Connection, c vault.Credential) (*Renewal, error) {
	if !x.renewable(t, c) {
		return nil, &RefreshError{Class: RefreshIntegration, Code: "no_refresh_token"}
	}
	// Everything that can fail without the token being sent comes first.
	m, err := s.endpoints(ctx, t)
	if err != nil {
		return nil, err
	}
	endpoint, err := t.tokenURL(m)
	if err != nil {
		return nil, err
	}
	client, err := t.client(m, c)
	if err != nil {
		return nil, err
	}
	var verifier *oidc.Verifier
	if t.isOIDC() {
		if verifier, err = s.directory.Verifier(m, t.in.ClientID, t.method.OAuth.SigningAlgorithms...); err != nil {
			return nil, err
		}
	}
	redirectURI := ""
	if t.method.OAuth.RefreshWithRedirectURI {
		redirectURI = s.RedirectURI(t.in.ID)
	}
	asked := s.now()
	answer, err := s.tokens.Exchange(ctx, tokenendpoint.Request{
		Endpoint: endpoint,
		Client:   client,
		Grant:    tokenendpoint.RefreshToken(c[vault.ValueRefreshToken], redirectURI),
		Shape:    t.method.OAuth.shape(false),
	})
	if answer == nil {
		return nil, err
	}
	r := &Renewal{}
	if err != nil || t.mayFail(answer) {
		r.Rescue = s.rescue(ctx, t, conn, c, answer, asked)
	}
	r.finish = func(ctx context.Context) (vault.Grant, error) {
		if err != nil {
			return vault.Grant{}, err
		}
		g := vault.Grant{
			Credential: maps.Clone(c), Account: conn.Account, BaseURL: conn.BaseURL,
			Scopes: conn.Scopes, RefreshExpiresAt: conn.RefreshExpiresAt,
		}
		t.method.OAuth.take(&g, answer, asked)
		if verifier != nil && !answer.IDToken.IsZero() {
			if err := x.sameIdentity(ctx, verifier, &g, answer); err != nil {
				return vault.Grant{}, err
			}
		}
		g, err := s.settle(ctx, t, g, false)
		if err != nil {
			return vault.Grant{}, err
		}
		return s.noticeRoot(ctx, t, g), nil
	}
	return r, nil
}

// mayFail reports whether there is more to an answer than to take it.
func (t target) mayFail(a *tokenendpoint.Answer) bool {
	return t.isOIDC() && !a.IDToken.IsZero() || t.provider.Resolve != nil
}

// rescue is the grant as it was, but for the refresh token; nil where that has
// not changed either.
func (s *Service) rescue(ctx context.Context, t target, conn vault.Connection, c vault.Credential, a *tokenendpoint.Answer, asked time.Time) *vault.Grant {
	sent := c[vault.ValueRefreshToken]
	if a.RefreshToken.IsZero() || a.RefreshToken.Equal(sent) {
		return nil
	}
	g := vault.Grant{
		Credential: maps.Clone(c), Account: conn.Account, BaseURL: conn.BaseURL, Scopes: conn.Scopes,
		ExpiresAt: conn.ExpiresAt, RefreshExpiresAt: refreshEnd(a, sent, conn.RefreshExpiresAt, asked), Renewable: true,
	}
	g.Credential[vault.ValueRefreshToken] = a.RefreshToken
	old, err := s.settle(ctx, t, g, false)
	if err != nil {
		// Without headers, then: a token that was paid for with another is kept
		// whatever else is wrong.
		s.log.LogAttrs(ctx, slog.LevelError, "the credential before a refresh makes no headers", slog.String("connection", conn.ID), slog.Any("error", err))
		return &g
	}
	return &old
}

// sameIdentity holds the id_token of a refresh to the identity so far (Core
// section 12.2). The first one after an import says who it is.
func (codeScheme) sameIdentity(ctx context.Context, v *oidc.Verifier, g *vault.Grant, a *tokenendpoint.Answer) error {
	known := g.Credential.Get(valueIdentity)
	if known == "" {
		id, err := v.Adopt(ctx, a.IDToken, a.AccessToken)
		if err != nil {
			return err
		}
		return identify(g, id, a.IDToken)
	}
	var before oidc.Identity
	if err := json.Unmarshal([]byte(known), &before); err != nil {
		return errors.New("the identity on record cannot be read")
	}
	id, err := v.Refreshed(ctx, a.IDToken, before, a.AccessToken)
	if err != nil {
		return err
	}
	return identify(g, id, a.IDToken)
}

// noticeRoot asks whether the account's API is still where it was. That is
// where bearer tokens are sent, so another answer is reported and not
// followed; no answer changes nothing, the refresh was a success.
func (s *Service) noticeRoot(ctx context.Context, t target, g vault.Grant) vault.Grant {
	if t.provider.Resolve == nil || t.baseURL() != "" {
		return g
	}
	root, err := s.resolve(ctx, t, g.Headers, g.Credential, heldTimeout)
	_, bad := errors.AsType[*rootError](err)
	switch {
	case bad:
		s.log.LogAttrs(ctx, slog.LevelWarn, "the provider names an API root that is not allowed; the one on record stays", slog.String("provider", t.provider.Name), slog.Any("error", err))
		g.HeldBaseURL = "not an allowed address"
	case err != nil:
		s.log.LogAttrs(ctx, slog.LevelDebug, "asking for the API root again", slog.String("provider", t.provider.Name), slog.Any("error", err))
	case g.BaseURL == "":
		g.BaseURL = root
	case root != g.BaseURL:
		g.HeldBaseURL = root
	}
	return g
}

func (codeScheme) revoke(ctx context.Context, s *Service, t target, c vault.Credential) vault.ProviderOutcome {
	return s.revokeTokens(ctx, t, c)
}
