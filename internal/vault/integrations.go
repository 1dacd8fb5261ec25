package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/claviger/claviger/internal/fault"
)

func secretPlace(i *Integration) place {
	return place{"integrations", i.EnvironmentID, i.ID, purposeSecret, 0}
}

// CreateIntegration sets up a provider in the caller's environment.
// A key that exists already is a conflict.
func (v *Vault) CreateIntegration(ctx context.Context, caller Caller, in Integration) (Integration, error) {
	if err := v.allow(ctx, caller, ScopeIntegrationsWrite, ""); err != nil {
		return Integration{}, err
	}
	if !caller.Reaches(in.Key) {
		return Integration{}, fault.InvalidField("/key", "Your own key is limited to other integrations.")
	}
	in.ID, in.EnvironmentID = newID("int"), caller.EnvironmentID
	in.CreatedAt = v.now()
	in.UpdatedAt = in.CreatedAt
	in.HasClientSecret = !in.ClientSecret.IsZero()
	row, err := v.integrationRow(ctx, in)
	if err != nil {
		return Integration{}, err
	}
	err = v.store.Update(ctx, func(tx Tx) error {
		if err := tx.InsertIntegration(ctx, row); err != nil {
			return err
		}
		e := v.entry(caller, ActionIntegrationCreated)
		e.IntegrationID = in.ID
		return tx.InsertAudit(ctx, e)
	})
	if errors.Is(err, ErrDuplicate) {
		return Integration{}, fault.New(fault.Conflict, "There is an integration with the key %q already.", in.Key)
	}
	if err != nil {
		return Integration{}, fmt.Errorf("creating integration: %w", err)
	}
	return row.Integration, nil
}

// CheckIntegration says what is wrong with an integration, all of it at once as
// a [*fault.Error] with pointers into its JSON, or nil. Nothing is stored.
func (v *Vault) CheckIntegration(in Integration) error {
	var fields []fault.Field
	for _, f := range []*fault.Field{checkName("/key", in.Key), checkText("/title", in.Title, 0, 100)} {
		if f != nil {
			fields = append(fields, *f)
		}
	}
	if err := v.check(in); err != nil {
		e, ok := fault.As(err)
		if !ok || e.Kind != fault.Invalid {
			return err
		}
		fields = append(fields, e.Fields...)
	}
	if fields != nil {
		return fault.InvalidFields(fields...)
	}
	return nil
}

// integrationRow checks an integration and seals its secrets.
func (v *Vault) integrationRow(ctx context.Context, in Integration) (IntegrationRow, error) {
	if err := v.CheckIntegration(in); err != nil {
		return IntegrationRow{}, err
	}
	row := IntegrationRow{Integration: in}
	return row, v.sealSecrets(ctx, &row)
}

// PatchIntegration changes what the patch names. An empty client secret removes
// the one there is; another one takes its place, and both are tried for a while.
// An admin who replaces it has to have signed in freshly. An integration that was
// changed since the patch was made is [ErrChangedSince].
func (v *Vault) PatchIntegration(ctx context.Context, caller Caller, key string, p IntegrationPatch) (Integration, error) {
	if err := v.allow(ctx, caller, ScopeIntegrationsWrite, ""); err != nil {
		return Integration{}, err
	}
	if !caller.Reaches(key) {
		return Integration{}, fault.New(fault.NotFound, noIntegration)
	}
	if err := p.overlapFaults(); err != nil {
		return Integration{}, err
	}
	if p.ClientSecret != nil {
		if err := v.RequireFresh(caller); err != nil {
			return Integration{}, err
		}
	}
	var changed IntegrationRow
	err := v.store.Update(ctx, func(tx Tx) error {
		row, err := tx.LockIntegration(ctx, caller.EnvironmentID, key)
		if err != nil {
			return missing(err, "integration")
		}
		in, err := v.openSecret(ctx, row)
		if err != nil {
			return err
		}
		before := in
		p.apply(&in)
		if stale(p.Seen, before.Version(), in.Version()) {
			return ErrChangedSince
		}
		if !in.Overrides.sameEndpoints(before.Overrides) {
			if err := mayMove(ctx, tx, caller, &p, &before); err != nil {
				return err
			}
		}
		secrets := v.succeed(&in, before, &p)
		in.UpdatedAt = v.now()
		if changed, err = v.integrationRow(ctx, in); err != nil {
			return err
		}
		if err := tx.UpdateIntegration(ctx, changed); err != nil {
			return err
		}
		e := v.entry(caller, ActionIntegrationUpdated)
		e.IntegrationID = in.ID
		if secrets {
			e.Reason = reasonClientSecret
		}
		return tx.InsertAudit(ctx, e)
	})
	return changed.Integration, err
}

// mayMove guards the endpoints of an integration: client secret and refresh
// tokens are sent there, so whoever moves them could read them.
func mayMove(ctx context.Context, tx Tx, caller Caller, p *IntegrationPatch, in *Integration) error {
	if in.HasClientSecret && p.ClientSecret == nil {
		return fault.InvalidField("/client_secret", "Has to be given anew when endpoints change: it is sent to them.")
	}
	live, err := tx.ConnectionsOf(ctx, in.EnvironmentID, in.ID, "", 1)
	if err != nil {
		return fmt.Errorf("listing connections: %w", err)
	}
	if len(live) > 0 && !caller.May(ScopeCredentialsReadRaw) {
		return fault.New(fault.InsufficientScope, "The integration has live connections, whose credentials go to its endpoints. Changing those needs the scope %s.", ScopeCredentialsReadRaw)
	}
	return nil
}

func (p *IntegrationPatch) apply(in *Integration) {
	set(&in.Title, p.Title)
	set(&in.ClientID, p.ClientID)
	set(&in.ClientSecret, p.ClientSecret)
	set(&in.Scopes, p.Scopes)
	set(&in.Methods, p.Methods)
	set(&in.Overrides, p.Overrides)
	in.HasClientSecret = !in.ClientSecret.IsZero()
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Integration answers one integration, without its secret.
func (v *Vault) Integration(ctx context.Context, caller Caller, key string) (Integration, error) {
	if err := v.allow(ctx, caller, ScopeIntegrationsRead, ""); err != nil {
		return Integration{}, err
	}
	row, err := v.integration(ctx, v.store, caller, key)
	if err != nil {
		return Integration{}, err
	}
	return row.Integration, nil
}

// IntegrationByID is Integration by id.
func (v *Vault) IntegrationByID(ctx context.Context, caller Caller, id string) (Integration, error) {
	if err := v.allow(ctx, caller, ScopeIntegrationsRead, ""); err != nil {
		return Integration{}, err
	}
	row, err := v.integrationByID(ctx, caller, id)
	if err != nil {
		return Integration{}, err
	}
	return row.Integration, nil
}

// Integrations lists them, without secrets.
func (v *Vault) Integrations(ctx context.Context, caller Caller, page Page) ([]Integration, error) {
	if err := v.allow(ctx, caller, ScopeIntegrationsRead, ""); err != nil {
		return nil, err
	}
	return v.store.Integrations(ctx, caller.EnvironmentID, caller.Integrations, page)
}

// OpenIntegration answers an integration of the caller's environment with its
// client secret. What comes back is for a call to the provider, never for an
// answer; whoever leads up to that call has been allowed by then.
func (v *Vault) OpenIntegration(ctx context.Context, caller Caller, id string) (Integration, error) {
	row, err := v.integrationByID(ctx, caller, id)
	if err != nil {
		return Integration{}, err
	}
	return v.openSecret(ctx, row)
}

// AllowSetup answers nil for a caller that may create and change integrations.
func (v *Vault) AllowSetup(ctx context.Context, caller Caller) error {
	return v.allow(ctx, caller, ScopeIntegrationsWrite, "")
}

// AllowConnect answers nil for a caller that may make connect links.
func (v *Vault) AllowConnect(ctx context.Context, caller Caller) error {
	return v.allow(ctx, caller, ScopeConnectWrite, "")
}

// AllowCatalog answers nil for a caller that may read the catalog of providers.
func (v *Vault) AllowCatalog(ctx context.Context, caller Caller) error {
	return v.allow(ctx, caller, ScopeProvidersRead, "")
}
