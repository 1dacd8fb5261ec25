package providers

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// tokenScheme puts something that was pasted into a header.
type tokenScheme struct{}

func (tokenScheme) obtain(_ context.Context, _ *Service, t target, values vault.Credential) (vault.Grant, error) {
	g := vault.Grant{Credential: values}
	if last := values.Get(t.method.Token.Expires); last != "" {
		day, err := time.Parse(time.DateOnly, last)
		if err != nil {
			return vault.Grant{}, fmt.Errorf("reading a checked date: %w", err)
		}
		g.ExpiresAt = endOf(day)
	}
	return g, nil
}

func (tokenScheme) authorization(t target, c vault.Credential) ([]vault.Header, error) {
	h, err := renderHeader(t.method.Token.Header, t.method.Token.Value, c)
	if err != nil {
		return nil, err
	}
	return []vault.Header{h}, nil
}

// exchangeScheme trades what was typed for a token, and keeps the token only.
type exchangeScheme struct{ tokenScheme }

func (exchangeScheme) obtain(ctx context.Context, s *Service, t target, values vault.Credential) (vault.Grant, error) {
	x := t.method.Exchange
	auth, err := expandBasic(x.Username, x.Password, values)
	if err != nil {
		return vault.Grant{}, err
	}
	u, err := t.under(t.baseURL(), x.Path)
	if err != nil {
		return vault.Grant{}, err
	}
	headers, err := t.withRequestHeaders([]vault.Header{{Name: "Authorization", Value: auth}}, values, true)
	if err != nil {
		return vault.Grant{}, err
	}
	answer, err := s.call(ctx, call{route: "exchange", method: http.MethodGet, url: u, headers: headers, refused: x.Refused})
	if err != nil {
		return vault.Grant{}, err
	}
	doc, err := decodeJSON(answer.body)
	if err != nil {
		return vault.Grant{}, unusable(fmt.Errorf("exchange: %w", err))
	}
	token, ok := x.Token.find(doc, x.IgnoreCase)
	if !ok || !b64token.MatchString(token) {
		return vault.Grant{}, unusable(fmt.Errorf("exchange: the answer has no token that a header can carry"))
	}
	return vault.Grant{Credential: vault.Credential{exchanged: vault.NewSecret(token)}}, nil
}

// readyMade takes the token itself.
func (exchangeScheme) readyMade(_ *Service, _ target, c vault.Credential) (vault.Grant, bool, error) {
	if len(c) != 1 || c[exchanged].IsZero() {
		return vault.Grant{}, false, nil
	}
	return vault.Grant{Credential: c}, true, nil
}
