package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// How often and how long a provider that could not be told is told again, and
// how many are told at once.
const (
	retellAfter = 5 * time.Minute
	maxTells    = 12
	tellRound   = 20
	tellLanes   = 4
)

// message is what the outbox keeps, sealed: all that telling the provider
// needs, so that neither the connection nor its integration has to be there.
type message struct {
	Credential    map[string]string `json:"credential"`
	IntegrationID string            `json:"integration_id"`
	Key           string            `json:"key"`
	Provider      string            `json:"provider"`
	ClientID      string            `json:"client_id"`
	ClientSecret  string            `json:"client_secret"`
	Scopes        []string          `json:"scopes,omitempty"`
	Overrides     Overrides         `json:"overrides"`
}

func (m *message) integration(environmentID string) Integration {
	return Integration{
		ID: m.IntegrationID, EnvironmentID: environmentID, Key: m.Key, Provider: m.Provider, ClientID: m.ClientID,
		ClientSecret: NewSecret(m.ClientSecret), HasClientSecret: m.ClientSecret != "", Scopes: m.Scopes, Overrides: m.Overrides,
	}
}

func newMessage(in Integration, credential Credential) message {
	m := message{
		Credential: map[string]string{}, IntegrationID: in.ID, Key: in.Key, Provider: in.Provider,
		ClientID: in.ClientID, ClientSecret: in.ClientSecret.Reveal(), Scopes: in.Scopes, Overrides: in.Overrides,
	}
	for name, value := range credential {
		m.Credential[name] = value.Reveal()
	}
	return m
}

func (m *message) credential() Credential {
	c := make(Credential, len(m.Credential))
	for name, value := range m.Credential {
		c[name] = NewSecret(value)
	}
	return c
}

func (v *Vault) enqueueRevocation(ctx context.Context, tx Tx, id string, c Connection, in Integration, credential Credential) error {
	plain, err := json.Marshal(newMessage(in, credential))
	if err != nil {
		return errors.New("encoding a revocation")
	}
	r := RevocationRow{ID: id, Connection: c, CreatedAt: v.now()}
	if r.Sealed, err = v.ring.seal(ctx, revocationPlace(&r), plain); err != nil {
		return err
	}
	return tx.InsertRevocation(ctx, r)
}

func revocationPlace(r *RevocationRow) place {
	return place{"revocations", r.Connection.EnvironmentID, r.ID, purposeRevocation, 0} // its id has the generation
}

// tellProvider tells the provider about one revocation and erases the last
// copy of the credential, unless it failed in a way that trying again may mend.
func (v *Vault) tellProvider(ctx context.Context, r *RevocationRow) ProviderOutcome {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	outcome := v.tellOnce(ctx, r)
	caller := System("revoke", r.Connection.EnvironmentID)
	err := v.store.Update(context.WithoutCancel(ctx), func(tx Tx) error {
		if outcome.Outcome != OutcomeFailed || r.Tries >= maxTells {
			if err := tx.DeleteRevocation(ctx, r.ID); err != nil {
				return err
			}
		}
		e := v.connectionEntry(caller, ActionProviderTold, &r.Connection)
		e.Allowed, e.Reason = outcome.Outcome != OutcomeFailed, string(outcome.Outcome)
		return tx.InsertAudit(ctx, e)
	})
	if err != nil {
		v.log.Error("recording what the provider made of a revocation", "connection", r.Connection.ID, "error", err)
	}
	return outcome
}

func (v *Vault) tellOnce(ctx context.Context, r *RevocationRow) ProviderOutcome {
	plain, err := v.ring.open(ctx, revocationPlace(r), r.Sealed)
	var m message
	if err == nil && json.Unmarshal(plain, &m) != nil {
		err = errors.New("decoding an opened revocation")
	}
	if err != nil {
		v.log.Error("telling the provider of a revocation", "connection", r.Connection.ID, "error", err)
		return ProviderOutcome{OutcomeFailed, "The provider could not be told."}
	}
	return v.tell(ctx, m.integration(r.Connection.EnvironmentID), r.Connection, m.credential())
}

// tellAll tells providers of what is new in the outbox, of what could not be
// told before, and of what a crash cut off.
func (v *Vault) tellAll(ctx context.Context) error {
	rows, err := v.store.ClaimRevocations(ctx, v.now().Add(-retellAfter), v.now(), tellRound)
	if err != nil {
		return fmt.Errorf("claiming revocations: %w", err)
	}
	lanes := make(chan struct{}, tellLanes)
	var told sync.WaitGroup
	for i := range rows {
		lanes <- struct{}{}
		told.Go(func() {
			v.tellProvider(ctx, &rows[i])
			<-lanes
		})
	}
	told.Wait()
	return nil
}
