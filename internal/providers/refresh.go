package providers

import (
	"context"

	"github.com/claviger/claviger/internal/vault"
)

// Renewal is the provider's yes to a refresh. The old credential may be spent
// by now, so it goes in two steps:
//
//	r, err := service.Refresh(ctx, in, conn, cred) // the one request
//	if r.Rescue != nil { save(*r.Rescue) }         // before anything else
//	grant, err := r.Finish(ctx)                    // checks; may ask the provider
//	save(grant)
//
// Whatever becomes of Finish, nothing that was rotated is lost; and nothing
// that Finish has not passed is in a header.
type Renewal struct {
	// Rescue is not nil where the provider handed out another refresh token and
	// there is still something to be checked. It is the grant as it was, headers
	// and expiry included, with the new refresh token in the place of the old.
	Rescue *vault.Grant
	finish func(context.Context) (vault.Grant, error)
}

// Finish checks what the provider handed out and makes the new grant of it.
// Where it fails, the error is a [*RefreshError], and Rescue is what remains of
// the credential. It may be called once.
func (r *Renewal) Finish(ctx context.Context) (vault.Grant, error) {
	g, err := r.finish(ctx)
	if err != nil {
		e := *refreshError(err)
		e.Spent = false // whatever was spent for it, Rescue is not
		return vault.Grant{}, &e
	}
	return g, nil
}

// done is a renewal that has nothing left to be checked.
func done(g vault.Grant, err error) (*Renewal, error) {
	if err != nil {
		return nil, err
	}
	return &Renewal{finish: func(context.Context) (vault.Grant, error) { return g, nil }}, nil
}

// Refresh renews the credential of a connection: with its refresh token, by
// signing in again, or by asking for another token of the client itself. It
// makes the one request that may spend the credential. Every error is a
// [*RefreshError]; then nothing new was received.
//
// ctx should outlive whoever asked: an answer that nobody waits for is a token
// lost.
func (s *Service) Refresh(ctx context.Context, in vault.Integration, conn vault.Connection, cred vault.Credential) (*Renewal, error) {
	t, err := s.target(in, conn.Method)
	if err != nil {
		return nil, &RefreshError{Class: RefreshIntegration, Err: err}
	}
	r, ok := schemeOf(t.method.Scheme).(refresher)
	if !ok {
		return nil, &RefreshError{Class: RefreshIntegration, Code: "not_renewable"}
	}
	renewal, err := r.refresh(ctx, s, t, conn, cred)
	if err != nil {
		return nil, refreshError(err)
	}
	return renewal, nil
}
