package providers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/vault"
)

// userinfoURL is where an OpenID provider can be asked whose token it is, for
// provider files that name no call of their own; empty where there is none.
func (s *Service) userinfoURL(ctx context.Context, t target) (string, error) {
	if t.provider.Verify != nil || t.provider.Resolve != nil || !t.isOIDC() {
		return "", nil
	}
	m, err := s.endpoints(ctx, t)
	if err != nil {
		return "", err
	}
	return m.UserinfoEndpoint, nil
}

// userinfo asks an OpenID provider whose token it is (Core section 5.3). An
// answer for another subject than the id_token's is nobody's word on anything
// (section 5.3.2).
func (s *Service) userinfo(ctx context.Context, t target, auth []vault.Header, g *vault.Grant) error {
	u, err := s.userinfoURL(ctx, t)
	if err != nil || u == "" {
		return err
	}
	answer, err := s.call(ctx, call{route: "userinfo", method: http.MethodGet, url: u, headers: auth})
	if err != nil {
		return err
	}
	doc, err := decodeJSON(answer.body)
	if errors.Is(err, errNotJSON) {
		// Signed or encrypted (section 5.3.2). That it was a yes is enough.
		return nil
	}
	subject, _ := Paths{"sub"}.find(doc, false)
	if !isPlain(subject) {
		return unusable(errors.New("userinfo: the answer does not say whose it is"))
	}
	if known := g.Credential.Get(valueIdentity); known != "" {
		var id oidc.Identity
		if err := json.Unmarshal([]byte(known), &id); err != nil || id.Subject != subject {
			return &oidc.Rejection{Position: oidc.TokenEndpoint, Check: oidc.CheckSubject, Detail: "userinfo is about somebody else"}
		}
	} else {
		g.Account.ID = accountID(t.issuer(), subject)
	}
	if name, ok := namePaths().find(doc, false); ok && isPlain(name) {
		g.Account.Label = name
	} else if g.Account.Label == "" {
		g.Account.Label = subject
	}
	return nil
}

// accountID names an account at an OpenID provider. sub is unique at its issuer
// only; an issuer has no fragment, so the pair can be read back.
func accountID(issuer, subject string) string { return fmt.Sprintf("%s#%s", issuer, subject) }

// namePaths are the claims that people know somebody by (Core section 5.1).
func namePaths() Paths { return Paths{"email", "preferred_username", "name"} }
