package tokenendpoint

import (
	"context"
	"net/http"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// Outcome is what became of a revocation.
type Outcome string

// The outcomes of a revocation.
const (
	// Revoked: the provider took it, or says that the token is dead already.
	Revoked Outcome = "revoked"
	// Unsupported: the provider does not revoke tokens of this kind
	// (unsupported_token_type, RFC 7009, 2.2.1).
	Unsupported Outcome = "unsupported"
	// Failed: the token may live on.
	Failed Outcome = "failed"
)

// Hints tell a provider what kind of token it is given (RFC 7009, 2.1).
const (
	HintAccessToken  = "access_token"
	HintRefreshToken = "refresh_token"
)

// Revocation is one request to a revocation endpoint.
type Revocation struct {
	// Endpoint is the revocation endpoint's URL.
	Endpoint string
	// Client says who asks, as at the token endpoint.
	Client Credentials
	// Token is to be revoked.
	Token vault.Secret
	// Hint is [HintAccessToken], [HintRefreshToken] or empty.
	Hint string
	// Timeout bounds the call; 0 is [DefaultTimeout].
	Timeout time.Duration
}

// Revoke asks for a token's end (RFC 7009). The error is an [*Error], and is
// nil unless the outcome is [Failed]. Asking again after a failure is safe. A
// previous secret is tried as in [Client.Exchange].
func (c *Client) Revoke(ctx context.Context, r Revocation) (Outcome, error) {
	var outcome Outcome
	err := c.withEitherSecret(r.Client, r.Timeout, func(client Credentials, timeout time.Duration) (err error) {
		r.Client, r.Timeout = client, timeout
		outcome, err = c.revoke(ctx, r)
		return err
	})
	return outcome, err
}

func (c *Client) revoke(ctx context.Context, r Revocation) (Outcome, error) {
	if r.Token.IsZero() {
		return Failed, &Error{Class: ClientFault, Err: errNoGrant}
	}
	params := Grant{}.with("token", r.Token).with("token_type_hint", vault.NewSecret(r.Hint)).params
	resp, err := c.post(ctx, call{r.Endpoint, r.Client, params, r.Timeout, "revoke"})
	if err != nil && resp == nil {
		return Failed, c.finish(err, nil, r.Client, params)
	}
	success := resp.Status/100 == 2
	if err != nil && !success {
		return Failed, c.finish(err, resp, r.Client, params)
	}
	// The body of a 200 means nothing (RFC 7009, 2.2), were it not for
	// providers that say {"ok":false} with it.
	doc := read(resp.Header.Get("Content-Type"), resp.Body, "", err != nil)
	code, description, refused := doc.refusal()
	switch {
	case code == "invalid_token":
		return Revoked, nil // the purpose is achieved (RFC 7009, 2.2)
	case success && !refused:
		return Revoked, nil
	case code == "unsupported_token_type" && resp.Status != http.StatusTooManyRequests:
		return Unsupported, nil
	}
	return Failed, c.finish(&Error{
		Class:       classOf(resp.Status, code, Shape{}),
		Code:        code,
		Description: description,
		Status:      resp.Status,
	}, resp, r.Client, params)
}
