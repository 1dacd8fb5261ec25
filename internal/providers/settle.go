package providers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// maxLabel is the longest account id or label taken from a provider, in bytes.
const maxLabel = 256

// settle completes a grant that has a credential: where the account's API is,
// whose account it is, the headers, and how often to verify it. With ask the provider is asked, which
// verifies the credential; what it does not say stays as it was.
func (s *Service) settle(ctx context.Context, t target, g vault.Grant, ask bool) (vault.Grant, error) {
	auth, err := schemeOf(t.method.Scheme).authorization(t, g.Credential)
	if err != nil {
		return vault.Grant{}, err
	}
	g.Credential = maps.Clone(g.Credential)
	if root := t.baseURL(); root != "" {
		g.BaseURL = root
	}
	if ask && t.provider.Resolve != nil {
		root, err := s.resolve(ctx, t, auth, g.Credential, 0)
		if err != nil {
			return vault.Grant{}, err
		}
		if g.BaseURL == "" {
			g.BaseURL = root
		}
	}
	if ask && t.provider.Verify != nil {
		if err := s.verify(ctx, t, auth, &g); err != nil {
			return vault.Grant{}, err
		}
	}
	if ask {
		if err := s.userinfo(ctx, t, auth, &g); err != nil {
			return vault.Grant{}, err
		}
	}
	if g.Account.Label == "" {
		// Better than nothing: which tenant it is, where it is not said who.
		_, host, _ := strings.Cut(g.BaseURL, "://")
		if t.provider.Resolve == nil {
			host = ""
		}
		g.Account.Label = first(host, g.Account.ID)
	}
	g.Headers, err = t.withRequestHeaders(auth, g.Credential, false)
	if err != nil {
		return vault.Grant{}, err
	}
	if g.ExpiresAt.IsZero() {
		g.VerifyEvery = t.verifyEvery()
	}
	return g, nil
}

// verify asks whose account it is, with the headers that will be handed out.
func (s *Service) verify(ctx context.Context, t target, auth []vault.Header, g *vault.Grant) error {
	v := t.provider.Verify
	u, err := t.verifyURL(g.BaseURL)
	if err != nil {
		return err
	}
	headers, err := t.withRequestHeaders(auth, g.Credential, true)
	if err != nil {
		return err
	}
	answer, err := s.call(ctx, call{
		route: "verify", method: first(v.Method, http.MethodGet), url: u,
		headers: headers, refused: v.Refused, success: v.Success,
	})
	if err != nil {
		return err
	}
	doc, err := decodeJSON(answer.body)
	if err != nil {
		return unusable(fmt.Errorf("verify: %w", err))
	}
	if id, ok := v.Account.ID.find(doc, v.IgnoreCase); ok && isPlain(id) {
		// An id_token's word for whose account it is was signed; this one was not.
		if g.Credential[valueIdentity].IsZero() {
			g.Account.ID = id
		}
	} else {
		return unusable(errors.New("verify: the answer does not say whose account it is"))
	}
	if label, ok := v.Account.Label.find(doc, v.IgnoreCase); ok && isPlain(label) {
		g.Account.Label = label
	}
	for _, name := range sortedKeys(v.Values) {
		value, ok := v.Values[name].find(doc, v.IgnoreCase)
		if !ok || !isPlain(value) {
			return unusable(fmt.Errorf("verify: the answer has no %s", name))
		}
		g.Credential[name] = vault.NewSecret(value)
	}
	return nil
}

// resolve asks where the account's API is. The answer is where backends will
// send the credential, so it has to be a root that the provider file, or
// the integration, allows.
func (s *Service) resolve(ctx context.Context, t target, auth []vault.Header, values vault.Credential, timeout time.Duration) (string, error) {
	r := t.provider.Resolve
	u, err := t.resolveURL()
	if err != nil {
		return "", err
	}
	headers, err := t.withRequestHeaders(auth, values, true)
	if err != nil {
		return "", err
	}
	answer, err := s.call(ctx, call{route: "resolve", method: http.MethodGet, url: u, headers: headers, refused: r.Refused, timeout: timeout})
	if err != nil {
		return "", err
	}
	doc, err := decodeJSON(answer.body)
	if err != nil {
		return "", &rootError{err}
	}
	raw, ok := r.Field.find(doc, false)
	if !ok {
		return "", &rootError{errors.New("the answer names none")}
	}
	root, err := s.http.CheckRoot(raw, t.allowedHosts())
	if err != nil {
		return "", &rootError{err}
	}
	return root.String(), nil
}

// rootError is an API root that is missing or must not be followed.
type rootError struct{ err error }

func (e *rootError) Error() string { return "resolving the API root: " + e.err.Error() }

func (e *rootError) Unwrap() error { return e.err }

func (e *rootError) fault() *fault.Error {
	return fault.Wrap(e, fault.ProviderRejected, "The provider named an address for its API that is not allowed.")
}

// isPlain reports whether a provider's text can be kept and shown.
func isPlain(s string) bool {
	return s != "" && len(s) <= maxLabel && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
