package vault

import (
	"context"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// How long the client secret before is tried after the new one.
const (
	DefaultSecretOverlap = 24 * time.Hour
	MaxSecretOverlap     = 30 * 24 * time.Hour
)

// reasonClientSecret is in the trail where a change was one of the client secret.
const reasonClientSecret = "client_secret"

func previousPlace(i *Integration) place {
	return place{"integrations", i.EnvironmentID, i.ID, purposePreviousSecret, 0}
}

// overlapFaults says what is wrong with the overlap that a patch asks for.
func (p *IntegrationPatch) overlapFaults() error {
	o := p.ClientSecretOverlap
	switch {
	case o == nil:
		return nil
	case *o < 0 || *o > MaxSecretOverlap:
		return fault.InvalidField("/client_secret_overlap_seconds", "Must be 0 to %d.", int64(MaxSecretOverlap/time.Second))
	case *o > 0 && p.ClientSecret == nil:
		return fault.InvalidField("/client_secret_overlap_seconds", "Goes with a client_secret; 0 alone drops the one before.")
	}
	return nil
}

// succeed decides what is left of the secret that in had before, and reports
// whether its secrets have changed. The old one is tried where the new one is
// refused; but it goes nowhere where it was not sent before.
func (v *Vault) succeed(in *Integration, before Integration, p *IntegrationPatch) bool {
	replaced := !in.ClientSecret.Equal(before.ClientSecret)
	overlap := DefaultSecretOverlap
	if p.ClientSecretOverlap != nil {
		overlap = *p.ClientSecretOverlap
	}
	moved := in.ClientID != before.ClientID || !in.Overrides.sameEndpoints(before.Overrides)
	switch {
	case in.ClientSecret.IsZero(), moved, p.ClientSecretOverlap != nil && overlap == 0:
		in.PreviousClientSecret, in.PreviousClientSecretUntil = Secret{}, time.Time{}
	case replaced && !before.ClientSecret.IsZero():
		in.PreviousClientSecret, in.PreviousClientSecretUntil = before.ClientSecret, v.now().Add(overlap)
	}
	return replaced || !in.PreviousClientSecret.Equal(before.PreviousClientSecret)
}

// sealSecrets fills in the sealed parts of a row and empties the open ones.
func (v *Vault) sealSecrets(ctx context.Context, row *IntegrationRow) error {
	for _, s := range []struct {
		at     place
		open   *Secret
		sealed *[]byte
	}{
		{secretPlace(&row.Integration), &row.ClientSecret, &row.SealedSecret},
		{previousPlace(&row.Integration), &row.PreviousClientSecret, &row.SealedPrevious},
	} {
		if s.open.IsZero() {
			continue
		}
		sealed, err := v.ring.seal(ctx, s.at, []byte(s.open.Reveal()))
		if err != nil {
			return err
		}
		*s.sealed, *s.open = sealed, Secret{}
	}
	return nil
}

// openSecret answers the integration of a row with its secrets: that before only
// while its time lasts, whoever has erased it by then or not.
func (v *Vault) openSecret(ctx context.Context, row *IntegrationRow) (Integration, error) {
	in := row.Integration
	if row.SealedSecret != nil {
		plain, err := v.ring.open(ctx, secretPlace(&in), row.SealedSecret)
		if err != nil {
			return Integration{}, err
		}
		in.ClientSecret = NewSecret(string(plain))
	}
	if row.SealedPrevious == nil || !v.now().Before(in.PreviousClientSecretUntil) {
		in.PreviousClientSecretUntil = time.Time{}
		return in, nil
	}
	plain, err := v.ring.open(ctx, previousPlace(&in), row.SealedPrevious)
	if err != nil {
		return Integration{}, err
	}
	in.PreviousClientSecret = NewSecret(string(plain))
	return in, nil
}

// withSecretsNow is an integration as the outbox keeps it, with the secrets that
// the integration has by now, if it is there and still leads to the same places:
// the one from then may have been replaced, and refused, meanwhile.
func (v *Vault) withSecretsNow(ctx context.Context, kept Integration) Integration {
	row, err := v.store.Integration(ctx, kept.EnvironmentID, kept.ID)
	if err != nil || row.ClientID != kept.ClientID || !row.Overrides.sameEndpoints(kept.Overrides) {
		return kept
	}
	now, err := v.openSecret(ctx, row)
	if err != nil || now.ClientSecret.IsZero() {
		return kept
	}
	kept.ClientSecret, kept.PreviousClientSecret = now.ClientSecret, now.PreviousClientSecret
	return kept
}

// dropSecrets erases the client secrets whose time to be tried is over.
func (v *Vault) dropSecrets(ctx context.Context) error {
	over, err := v.store.PreviousSecretsUntil(ctx, v.now(), 100)
	if err != nil {
		return fmt.Errorf("listing client secrets that are over: %w", err)
	}
	for _, in := range over {
		err := v.store.Update(ctx, func(tx Tx) error {
			dropped, err := tx.DropPreviousSecret(ctx, in.EnvironmentID, in.ID, v.now())
			if err != nil || !dropped {
				return err
			}
			e := v.entry(System("clean", in.EnvironmentID), ActionIntegrationSecretDropped)
			e.IntegrationID = in.ID
			return tx.InsertAudit(ctx, e)
		})
		if err != nil {
			return fmt.Errorf("dropping the client secret before of integration %s: %w", in.ID, err)
		}
	}
	return nil
}
