package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// How often and how long a provider that could not be told is told again, and
// how many calls a process has under way for one integration. After failures in
// a row each lane pauses, up to longestPause.
const (
	retellAfter  = 5 * time.Minute
	maxTells     = 12
	tellLanes    = 8
	longestPause = 2 * time.Second
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

// enqueueRevocation puts a credential into the outbox. The row is complete but
// for id, connection, bulk revocation and whether this process tells it at once,
// which are the caller's; nobody else takes it then for as long as that may take.
func (v *Vault) enqueueRevocation(ctx context.Context, tx Tx, r *RevocationRow, in Integration, credential Credential) error {
	plain, err := json.Marshal(newMessage(in, credential))
	if err != nil {
		return errors.New("encoding a revocation")
	}
	r.CreatedAt = v.now()
	r.DueAt = r.CreatedAt
	if r.Tries > 0 {
		r.DueAt = r.CreatedAt.Add(retellAfter)
	}
	if r.Sealed, err = v.ring.seal(ctx, revocationPlace(r), plain); err != nil {
		return err
	}
	return tx.InsertRevocation(ctx, *r)
}

func revocationPlace(r *RevocationRow) place {
	return place{"revocations", r.Connection.EnvironmentID, r.ID, purposeRevocation, 0} // its id has the generation
}

// tellProvider tells the provider about one revocation that this process has
// claimed. In one transaction with the record of what came of it the last copy of
// the credential is erased, unless trying again may mend a failure: what is on
// record is not told again. With more it claims the integration's next one in the
// same transaction. A call that has begun is finished, whoever goes away.
func (v *Vault) tellProvider(ctx context.Context, r *RevocationRow, more bool) (ProviderOutcome, *RevocationRow) {
	calling, called := context.WithTimeout(context.WithoutCancel(ctx), tellTimeout)
	defer called()
	outcome := v.tellOnce(calling, r)
	kept, recorded := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer recorded()
	more = more && outcome.Outcome != OutcomeFailed && ctx.Err() == nil
	var next *RevocationRow
	var err error
	for try := range recordTries {
		next = nil
		err = v.store.Update(kept, func(tx Tx) error {
			if err := v.recordTold(kept, tx, r, outcome.Outcome); err != nil || !more {
				return err
			}
			var err error
			next, err = tx.ClaimRevocation(kept, r.Connection.IntegrationID, v.now(), v.now().Add(retellAfter))
			return err
		})
		if !fault.Is(err, fault.Unavailable) {
			break
		}
		sleep(kept, time.Duration(try)*time.Second) // told and not on record is told again
	}
	if err != nil {
		v.log.Error("recording what the provider made of a revocation", "connection", r.Connection.ID, "error", err)
		return outcome, nil
	}
	return outcome, next
}

// How often a record is tried that the database is not there for, and how long
// all of that may take. It is over before anybody else claims the same revocation.
const (
	recordTries   = 5
	recordTimeout = 2 * time.Minute
)

func (v *Vault) recordTold(ctx context.Context, tx Tx, r *RevocationRow, outcome Outcome) error {
	if outcome != OutcomeFailed || r.Tries >= maxTells {
		if err := tx.DeleteRevocation(ctx, r.ID); err != nil {
			return err
		}
	}
	if r.BulkID != "" {
		if err := tx.NoteBulkTold(ctx, r.BulkID, r.Connection.ID, outcome); err != nil {
			return err
		}
	}
	e := v.connectionEntry(System("revoke", r.Connection.EnvironmentID), ActionProviderTold, &r.Connection)
	e.Allowed, e.Reason = outcome != OutcomeFailed, string(outcome)
	return tx.InsertAudit(ctx, e)
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
	return v.tell(ctx, v.withSecretsNow(ctx, m.integration(r.Connection.EnvironmentID)), r.Connection, m.credential())
}

// tells keeps telling providers of what is new in the outbox, of what could not be told
// before, and of what a crash cut off, until ctx ends.
func (v *Vault) tells(ctx context.Context) {
	var busy sync.Map // integrations
	var rounds sync.WaitGroup
	defer rounds.Wait()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		due, err := v.store.RevocationsDue(ctx, v.now())
		if err != nil && ctx.Err() == nil {
			v.log.Error("looking into the outbox", "error", err)
		}
		for _, id := range due {
			if _, running := busy.LoadOrStore(id, true); !running {
				rounds.Go(func() {
					defer busy.Delete(id)
					v.tellIntegration(ctx, id)
				})
			}
		}
		select {
		case <-tick.C:
		case <-v.outboxUp:
		case <-ctx.Done():
			return
		}
	}
}

// tellAll does one round of tells and waits for it.
func (v *Vault) tellAll(ctx context.Context) error {
	due, err := v.store.RevocationsDue(ctx, v.now())
	if err != nil {
		return fmt.Errorf("looking into the outbox: %w", err)
	}
	var rounds sync.WaitGroup
	for _, id := range due {
		rounds.Go(func() { v.tellIntegration(ctx, id) })
	}
	rounds.Wait()
	return nil
}

// tellIntegration tells what is due for one integration until nothing is. A lane
// that has found something opens the next one.
func (v *Vault) tellIntegration(ctx context.Context, integrationID string) {
	var lanes sync.WaitGroup
	var lane func(number int)
	lane = func(number int) {
		failures := 0
		for ctx.Err() == nil {
			r, err := v.claimRevocation(ctx, integrationID)
			if err != nil && ctx.Err() == nil {
				v.log.Error("claiming a revocation", "integration", integrationID, "error", err)
			}
			if r == nil {
				return
			}
			if number < tellLanes {
				next := number + 1
				lanes.Go(func() { lane(next) })
				number = tellLanes // once
			}
			var outcome ProviderOutcome
			for r != nil {
				if outcome, r = v.tellProvider(ctx, r, true); outcome.Outcome != OutcomeFailed {
					failures = 0
				}
			}
			if outcome.Outcome == OutcomeFailed {
				failures++
				sleep(ctx, min(longestPause, 50*time.Millisecond<<min(failures, 10)))
			}
		}
	}
	lanes.Go(func() { lane(1) })
	lanes.Wait()
}

func (v *Vault) claimRevocation(ctx context.Context, integrationID string) (r *RevocationRow, err error) {
	err = v.store.Update(ctx, func(tx Tx) (err error) {
		r, err = tx.ClaimRevocation(ctx, integrationID, v.now(), v.now().Add(retellAfter))
		return err
	})
	return r, err
}

// wake puts something into a channel that holds one, if it is empty.
func wake(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
