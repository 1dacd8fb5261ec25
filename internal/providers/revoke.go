package providers

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/claviger/claviger/internal/vault"
)

// Revoke tells the provider that the credential of a connection is not to work
// any more. It does not fail: what happened is in the outcome, with a sentence
// that is fit to show. Asking again is safe.
func (s *Service) Revoke(ctx context.Context, in vault.Integration, conn vault.Connection, cred vault.Credential) vault.ProviderOutcome {
	t, err := s.target(in, conn.Method)
	if err != nil {
		return vault.ProviderOutcome{Outcome: vault.OutcomeFailed, Detail: "The provider's file is not in the catalog any more, so it was not told."}
	}
	r, ok := schemeOf(t.method.Scheme).(revoker)
	if !ok {
		return vault.ProviderOutcome{Outcome: vault.OutcomeUnsupported, Detail: t.hint()}
	}
	return r.revoke(ctx, s, t, cred)
}

// revocationFailed says so in the log and in the receipt.
func (s *Service) revocationFailed(ctx context.Context, t target, err error) vault.ProviderOutcome {
	s.log.LogAttrs(ctx, slog.LevelWarn, "the provider did not confirm a revocation",
		slog.String("provider", t.provider.Name), slog.String("method", t.method.Name), slog.Any("error", err))
	return vault.ProviderOutcome{
		Outcome: vault.OutcomeFailed,
		Detail:  fmt.Sprintf("%s was told and did not confirm it. %s", t.provider.Title, t.hint()),
	}
}
