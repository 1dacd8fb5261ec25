package refresh

import (
	"context"

	"github.com/claviger/claviger/internal/vault"
)

// Verified is what a provider said of a credential.
type Verified string

// The answers. A credential that was refused and cannot be renewed is an error,
// [fault.ReconnectRequired].
const (
	VerifiedHonoured Verified = "honoured"
	// VerifiedRenewed was refused, and has been renewed.
	VerifiedRenewed Verified = "renewed"
	// VerifiedNot: the provider has no way to ask it.
	VerifiedNot Verified = "unverifiable"
)

// Verify asks the provider now whether it honours the credential. What it
// refuses is renewed, or condemned where nothing renews it. What was verified a
// moment ago is not asked about again.
func (e *Engine) Verify(ctx context.Context, caller vault.Caller, id string) (Verified, error) {
	c, err := e.vault.AskRefresh(ctx, caller, id, vault.ActionVerifyAsked)
	if err != nil {
		return "", err
	}
	if e.pauses.verifiedSince(id, c.Generation, e.now().Add(-rejectedEvery)) {
		return VerifiedHonoured, nil
	}
	landed, err := e.fly(ctx, "ask:"+c.ID, func(ctx context.Context) (landing, error) {
		said, err := e.ask(ctx, c)
		return landing{verdict: said}, err
	})
	switch {
	case err != nil:
		return "", err
	case landed.verdict == honoured:
		return VerifiedHonoured, nil
	case landed.verdict == unverifiable:
		return VerifiedNot, nil
	case c.Renewable:
		return VerifiedRenewed, e.refreshRejected(ctx, c)
	}
	if _, err := e.vault.Condemn(ctx, e.system(c.EnvironmentID), c, vault.ReasonRejected); err != nil {
		return "", err
	}
	return "", vault.ReconnectFault(vault.ReasonRejected)
}
