package providers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

// revokeTokens tells the provider that access and refresh token are not to
// work any more: by RFC 7009, or in the provider's own way.
func (s *Service) revokeTokens(ctx context.Context, t target, c vault.Credential) vault.ProviderOutcome {
	if t.method.OAuth.Revocation != nil {
		return s.revokeOwnWay(ctx, t, c)
	}
	m, err := s.endpoints(ctx, t)
	if err != nil {
		return s.revocationFailed(ctx, t, err)
	}
	if m.RevocationEndpoint == "" {
		return vault.ProviderOutcome{Outcome: vault.OutcomeUnsupported, Detail: t.hint()}
	}
	client, err := t.client(m, c)
	if err != nil {
		return s.revocationFailed(ctx, t, err)
	}
	client.Auth = t.revocationAuth(m, client.ClientSecret)

	var revoked, unsupported int
	var failure error
	// The refresh token first: it is the one that makes others.
	for _, token := range []struct {
		value vault.Secret
		hint  string
	}{
		{c[vault.ValueRefreshToken], tokenendpoint.HintRefreshToken},
		{c[vault.ValueAccessToken], tokenendpoint.HintAccessToken},
	} {
		if token.value.IsZero() {
			continue
		}
		outcome, err := s.tokens.Revoke(ctx, tokenendpoint.Revocation{Endpoint: m.RevocationEndpoint, Client: client, Token: token.value, Hint: token.hint})
		switch outcome {
		case tokenendpoint.Revoked:
			revoked++
		case tokenendpoint.Unsupported:
			unsupported++
		case tokenendpoint.Failed:
			failure = errors.Join(failure, err)
		}
	}
	switch {
	case failure != nil:
		return s.revocationFailed(ctx, t, failure)
	case revoked == 0:
		return vault.ProviderOutcome{Outcome: vault.OutcomeUnsupported, Detail: t.hint()}
	case unsupported > 0:
		return vault.ProviderOutcome{Outcome: vault.OutcomeRevoked, Detail: fmt.Sprintf("%s ended the access; a token that was handed out before ends by itself.", t.provider.Title)}
	}
	return vault.ProviderOutcome{Outcome: vault.OutcomeRevoked, Detail: fmt.Sprintf("%s ended the access.", t.provider.Title)}
}

// revocationAuth is that of the token endpoint, unless the file knows better.
func (t target) revocationAuth(m oidc.Metadata, secret vault.Secret) tokenendpoint.AuthStyle {
	if !secret.IsZero() {
		switch t.method.OAuth.RevocationAuth {
		case ClientAuthNone:
			return tokenendpoint.AuthNone
		case ClientAuthBasic:
			return tokenendpoint.AuthBasic
		case ClientAuthPost:
			return tokenendpoint.AuthPost
		}
	}
	return t.authStyle(m, secret)
}

// revokeOwnWay is for providers that have a call of their own. Where the client
// proves itself and is refused, the secret before is tried: to end what has ended
// does no harm.
func (s *Service) revokeOwnWay(ctx context.Context, t target, c vault.Credential) vault.ProviderOutcome {
	err := s.callOwnWay(ctx, t, c)
	if t.method.OAuth.Revocation.Auth == ByClient && !t.in.PreviousClientSecret.IsZero() && fault.Is(err, fault.ProviderRejected) {
		before := t
		before.in.ClientSecret = t.in.PreviousClientSecret
		err = s.callOwnWay(ctx, before, c)
	}
	switch {
	case err == nil:
		return vault.ProviderOutcome{Outcome: vault.OutcomeRevoked, Detail: fmt.Sprintf("%s ended the access.", t.provider.Title)}
	case errors.Is(err, ErrRefused):
		return vault.ProviderOutcome{Outcome: vault.OutcomeRevoked, Detail: fmt.Sprintf("The access at %s was over already.", t.provider.Title)}
	}
	return s.revocationFailed(ctx, t, err)
}

func (s *Service) callOwnWay(ctx context.Context, t target, c vault.Credential) error {
	r := t.method.OAuth.Revocation
	headers, body, err := t.ownRevocation(c)
	if err != nil {
		return err
	}
	_, err = s.call(ctx, call{
		route: "revoke", method: r.Method, headers: headers, body: body, refused: r.Gone, success: r.Success,
		url: strings.ReplaceAll(r.URL, "{client_id}", url.PathEscape(t.in.ClientID)),
	})
	return err
}

func (t target) ownRevocation(c vault.Credential) (headers []vault.Header, body []byte, err error) {
	r := t.method.OAuth.Revocation
	if headers, err = bearer(c); err != nil {
		return nil, nil, err
	}
	if r.Auth == ByClient {
		value, err := basicAuth(t.in.ClientID, t.in.ClientSecret.Reveal())
		if err != nil {
			return nil, nil, err
		}
		headers = []vault.Header{{Name: "Authorization", Value: value}}
	}
	if len(r.JSON) == 0 {
		return headers, nil, nil
	}
	members := make(map[string]string, len(r.JSON))
	for _, name := range sortedKeys(r.JSON) {
		if members[name], err = r.JSON[name].expand(c); err != nil {
			return nil, nil, err
		}
	}
	body, err = marshal(members)
	return headers, body, err
}
