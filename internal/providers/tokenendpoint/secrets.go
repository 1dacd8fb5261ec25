package tokenendpoint

import (
	"cmp"
	"errors"
	"time"
)

// withEitherSecret makes a request, and once more with the secret before where
// the provider has refused the client: it may not know the new one yet. What
// time the first one took is gone from the second.
func (c *Client) withEitherSecret(client Credentials, timeout time.Duration, request func(Credentials, time.Duration) error) error {
	timeout = cmp.Or(max(timeout, 0), DefaultTimeout)
	began := time.Now()
	err := request(client, timeout)
	left := timeout - time.Since(began)
	if !client.retriable() || !refusesClient(err) || left <= 0 {
		return err
	}
	client.ClientSecret, client.PreviousSecret = client.PreviousSecret, client.ClientSecret
	again := request(client, left)
	if refusesClient(again) {
		return err // of the secret that is to count
	}
	return again
}

// retriable reports whether there is another secret to prove the client with.
func (c *Credentials) retriable() bool {
	return c.Auth != AuthNone && !c.PreviousSecret.IsZero() && !c.PreviousSecret.Equal(c.ClientSecret)
}

// refusesClient reports whether the provider has answered that it does not take
// the client: with invalid_client, a bare 401, or what its file lists as such.
func refusesClient(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Class == ClientFault && e.Status != 0
}
