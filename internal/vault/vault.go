package vault

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// Config is what a vault needs. Store, Keyset, CheckIntegration and
// TellProvider are required.
type Config struct {
	Store  Store
	Keyset *Keyset // the master keyset
	// CheckIntegration says whether an integration fits its provider; it
	// answers nil or a [fault.Error] naming the fields.
	CheckIntegration func(Integration) error
	// TellProvider ends a credential at the provider. It never fails: what went
	// wrong is in the outcome. The context has a deadline.
	TellProvider func(context.Context, Integration, Connection, Credential) ProviderOutcome
	// ReturnURLs are the only places a browser may be sent back to, compared
	// without the query. Empty allows every https or loopback URL.
	ReturnURLs []string
	// OwnersFromProvider says that the OpenID provider can make somebody an
	// owner, so that the last one may go.
	OwnersFromProvider bool
	// AuditRetention is how long entries of the trail are kept, a day at least; 0
	// is for ever.
	AuditRetention time.Duration
	Now            func() time.Time // time.Now where nil
	Log            *slog.Logger     // slog.Default() where nil
}

// Vault is the one door to connections. It is safe for concurrent use.
// [Vault.Run] has to run beside it.
type Vault struct {
	store              Store
	ring               *keyring
	check              func(Integration) error
	tell               func(context.Context, Integration, Connection, Credential) ProviderOutcome
	returns            []string
	ownersFromProvider bool
	clock              func() time.Time
	log                *slog.Logger
	reads              *readLedger
	master             *Keyset
	sessionUp          *signal
	bulkTurned         *signal
	strangers          *strangers
	trail              func() (*trailKeys, error)
	noted              lastNoted
	ends               ends
	retention          time.Duration
	overviews          *overviews
	// bulkUp and outboxUp have something in them where there is work.
	bulkUp, outboxUp chan struct{}
}

// New makes a vault. It touches nothing: [Vault.CheckKeyset] and
// [Vault.EnsureEnvironment] prepare the database.
func New(cfg Config) *Vault {
	v := &Vault{
		store:              cfg.Store,
		ring:               &keyring{master: cfg.Keyset, store: cfg.Store, envs: map[string]*Keyset{}},
		check:              cfg.CheckIntegration,
		tell:               cfg.TellProvider,
		returns:            cfg.ReturnURLs,
		ownersFromProvider: cfg.OwnersFromProvider,
		clock:              cfg.Now,
		log:                cfg.Log,
		reads:              newReadLedger(),
		master:             cfg.Keyset,
		sessionUp:          newSignal(),
		bulkTurned:         newSignal(),
		strangers:          newStrangers(),
		trail:              newTrailKeys(cfg.Keyset),
		retention:          cfg.AuditRetention,
		overviews:          &overviews{latest: map[string]timedOverview{}},
		bulkUp:             make(chan struct{}, 1),
		outboxUp:           make(chan struct{}, 1),
	}
	if v.store != nil { // what only opens and seals has none
		v.store.ProveAudit(v.prove)
	}
	if v.clock == nil {
		v.clock = time.Now
	}
	if v.log == nil {
		v.log = slog.Default()
	}
	return v
}

// now is UTC and no finer than what the databases keep.
func (v *Vault) now() time.Time { return v.clock().UTC().Truncate(time.Microsecond) }

// Ready reports whether the database answers with the schema of this release
// and holds rows of this keyset.
func (v *Vault) Ready(ctx context.Context) error {
	if err := v.store.Ping(ctx); err != nil {
		return err
	}
	return v.openCanary(ctx)
}

// entry begins an audit entry.
func (v *Vault) entry(caller Caller, action Action) AuditEntry {
	return AuditEntry{
		EnvironmentID: caller.EnvironmentID,
		At:            v.now(),
		ActorKind:     caller.Kind,
		ActorID:       caller.ID,
		Action:        action,
		Allowed:       true,
		Count:         1,
	}
}

// connectionEntry begins an audit entry about a connection.
func (v *Vault) connectionEntry(caller Caller, action Action, c *Connection) AuditEntry {
	e := v.entry(caller, action)
	e.EnvironmentID, e.ConnectionID, e.IntegrationID, e.Generation = c.EnvironmentID, c.ID, c.IntegrationID, c.Generation
	return e
}

// Allow answers nil if the caller has the scope, for pages that only ask what to
// do: whoever may not do it need not be asked. A refusal is in the trail.
func (v *Vault) Allow(ctx context.Context, caller Caller, scope Scope) error {
	return v.allow(ctx, caller, scope, "")
}

// allow answers nil if the caller has the scope. A refusal is in the trail
// before it is answered.
func (v *Vault) allow(ctx context.Context, caller Caller, scope Scope, connectionID string) error {
	if caller.May(scope) {
		return nil
	}
	e := v.entry(caller, ActionRefused)
	e.Allowed, e.Reason = false, string(scope)
	if isWord(connectionID) { // else it is no id, and whatever the caller put there
		e.ConnectionID = connectionID
	}
	if err := v.audit(ctx, e); err != nil {
		return err
	}
	return fault.New(fault.InsufficientScope, "This needs the scope %s.", scope)
}

// audit writes one entry by itself, for what changes nothing else.
func (v *Vault) audit(ctx context.Context, e AuditEntry) error {
	err := v.store.Update(ctx, func(tx Tx) error { return tx.InsertAudit(ctx, e) })
	if err != nil {
		return fmt.Errorf("writing audit entry %s: %w", e.Action, err)
	}
	return nil
}

// missing turns a store's "not found" into the answer for outside; what names
// the thing ("connection").
func missing(err error, what string) error {
	if errors.Is(err, ErrNotFound) {
		return fault.New(fault.NotFound, "There is no such %s.", what)
	}
	return err
}

func sameHash(a, b []byte) bool {
	return len(a) > 0 && subtle.ConstantTimeCompare(a, b) == 1
}
