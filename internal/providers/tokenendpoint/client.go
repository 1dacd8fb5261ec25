package tokenendpoint

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/vault"
)

// DefaultTimeout is how long an answer is waited for. It is long on purpose:
// giving up on a slow success turns it into a lost one.
const DefaultTimeout = 60 * time.Second

// maxBody is the size of answer taken.
const maxBody = 1 << 20

// Client talks to token and revocation endpoints. It is safe for concurrent
// use.
type Client struct {
	// HTTP makes the requests; required.
	HTTP *outbound.Client
	// Now reads Retry-After dates; nil is time.Now.
	Now func() time.Time
	// Log gets a debug record of what is odd about an answer; nil discards.
	Log *slog.Logger
}

// Request is one trade at a token endpoint.
type Request struct {
	// Endpoint is the token endpoint's URL; its query, if any, is kept
	// (RFC 6749, 3.2).
	Endpoint string
	// Client says who asks. All of it is required; see [AuthStyle].
	Client Credentials
	// Grant is what is traded.
	Grant Grant
	// Shape tells how the provider's answers depart from the RFC.
	Shape Shape
	// Timeout bounds the call; 0 is [DefaultTimeout].
	Timeout time.Duration
}

// Exchange trades a grant for tokens with exactly one POST; where the provider
// refuses the client and there is a previous secret, with one more.
//
// The second one is no second trade. A client that fails to authenticate is
// refused before its grant is looked at: RFC 6749, section 3.2.1 has the server
// authenticate the client first, and section 5.2 has invalid_client for that and
// nothing else. So the grant is as good as before, and whoever noted that it is
// about to be spent has noted the right thing. Nothing is sent twice after any
// other answer, nor after none. Both have the time of one.
//
// Every error is an [*Error]. An Answer may come beside one of class
// [Broken]: it holds nothing but the refresh token that could be saved from
// an answer otherwise unusable. Keep it before anything else.
//
// A ctx that ends while the provider works loses the answer: hand in one that
// outlives whoever asked.
func (c *Client) Exchange(ctx context.Context, req Request) (*Answer, error) {
	var answer *Answer
	err := c.withEitherSecret(req.Client, req.Timeout, func(client Credentials, timeout time.Duration) (err error) {
		req.Client, req.Timeout = client, timeout
		answer, err = c.exchange(ctx, req)
		return err
	})
	return answer, err
}

func (c *Client) exchange(ctx context.Context, req Request) (*Answer, error) {
	resp, err := c.post(ctx, call{req.Endpoint, req.Client, req.Grant.params, req.Timeout, "token"})
	cut := err != nil
	if err != nil && (resp == nil || len(resp.Body) == 0 || resp.Status/100 != 2) {
		return nil, c.finish(err, resp, req.Client, req.Grant.params)
	}
	answer, odd, perr := req.Shape.parse(resp.Status, resp.Header.Get("Content-Type"), resp.Body, cut)
	if len(odd) > 0 && c.Log != nil {
		c.Log.LogAttrs(ctx, slog.LevelDebug, "token answer departs from RFC 6749",
			slog.String("host", hostOf(req.Endpoint)), slog.Any("departures", odd))
	}
	if perr == nil {
		return answer, nil
	}
	if cut && answer == nil { // nothing could be saved of it
		perr = err
	}
	return answer, c.finish(perr, resp, req.Client, req.Grant.params)
}

type call struct {
	endpoint string
	client   Credentials
	params   []param
	timeout  time.Duration
	route    string
}

var errNoGrant = errors.New("there is nothing to send")

// post sends the form. An error that is an [*Error] already comes from before
// the sending.
func (c *Client) post(ctx context.Context, in call) (*outbound.Response, error) {
	u, err := c.HTTP.ParseURL(in.endpoint)
	if err != nil {
		return nil, &Error{Class: ClientFault, Err: err}
	}
	if len(in.params) == 0 {
		return nil, &Error{Class: ClientFault, Err: errNoGrant}
	}
	form, header := url.Values{}, http.Header{}
	for _, p := range in.params {
		form.Add(p.name, p.value.Reveal())
	}
	if err := in.client.apply(form, header); err != nil {
		return nil, &Error{Class: ClientFault, Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &Error{Class: ClientFault, Err: errors.New("the request cannot be made")}
	}
	header.Set("Accept", "application/json")
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header = header
	if in.timeout <= 0 {
		in.timeout = DefaultTimeout
	}
	return c.HTTP.Do(ctx, req, maxBody, outbound.Timeout(in.timeout), outbound.Route(in.route))
}

// finish completes an error with what only the client knows, and takes out of
// it what the provider echoed of the secrets it was sent.
func (c *Client) finish(err error, resp *outbound.Response, client Credentials, params []param) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = transportError(err)
	}
	if resp != nil {
		now := time.Now
		if c.Now != nil {
			now = c.Now
		}
		e.RetryAfter = retryAfter(resp.Header, now())
	}
	secrets := []vault.Secret{client.ClientSecret, client.PreviousSecret}
	for _, p := range params {
		switch p.name {
		case "code", "code_verifier", "refresh_token", "token":
			secrets = append(secrets, p.value)
		}
	}
	for _, s := range secrets {
		if s.IsZero() {
			continue
		}
		if strings.Contains(e.Code, s.Reveal()) {
			e.Code = ""
		}
		if strings.Contains(e.Description, s.Reveal()) {
			e.Description = ""
		}
	}
	return e
}

// hostOf is for the log; the endpoint has been parsed before.
func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return u.Host
}
