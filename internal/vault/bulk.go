package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// A bulk revocation is many connections that are revoked together, by the one
// door that a single one goes through. It is no row of the table revocations:
// that is the outbox, which has what providers are still to be told.

// BulkStatus is where a bulk revocation stands.
type BulkStatus string

// The statuses. A bulk revocation moves gathering → running → completed, and
// from either of the first two to stopped and back.
const (
	BulkGathering BulkStatus = "gathering" // what the filter matches is being written down
	BulkRunning   BulkStatus = "running"   // being revoked, or its providers told
	BulkStopped   BulkStatus = "stopped"   // somebody stopped it; the rest is untouched
	BulkCompleted BulkStatus = "completed" // all is revoked, and every provider was told once at least
)

// BulkOutcome is what became of one connection of a bulk revocation.
type BulkOutcome string

// The outcomes.
const (
	BulkRevoked        BulkOutcome = "revoked"
	BulkAlreadyRevoked BulkOutcome = "already_revoked" // somebody else was first
	BulkMissing        BulkOutcome = "missing"         // there is no such connection, or not any more
	BulkFailed         BulkOutcome = "failed"          // the database would not take it; the log says why
)

const (
	// MaxBulkIDs is how many connections can be named in one bulk revocation.
	MaxBulkIDs = 1000
	// MaxBulkCount is how far a preview counts.
	MaxBulkCount = 1_000_000
)

// BulkTarget is what somebody asks to be revoked: connections by id, or all that
// match a filter.
type BulkTarget struct {
	IDs []string
	// Filter is used where there are no ids; its page is not. It matches no
	// connection that is revoked already, and none that is made later.
	Filter ConnectionFilter
	// All has to be set where Filter narrows nothing.
	All bool
}

// BulkCounts is how far a bulk revocation is.
type BulkCounts struct {
	Total          int64
	Revoked        int64
	AlreadyRevoked int64
	Missing        int64
	Failed         int64
	// What the providers made of the revoked ones, the last time they were told.
	ToldRevoked     int64
	ToldUnsupported int64
	ToldFailed      int64
}

// Done is how many connections are behind it.
func (c BulkCounts) Done() int64 { return c.Revoked + c.AlreadyRevoked + c.Missing + c.Failed }

// Untold is how many of the revoked ones the provider has not been told of yet.
func (c BulkCounts) Untold() int64 {
	return c.Revoked - c.ToldRevoked - c.ToldUnsupported - c.ToldFailed
}

// BulkRevocation is one of them, without its items.
type BulkRevocation struct {
	ID            string
	EnvironmentID string
	// ActorKind and ActorID are who asked; each connection is revoked in their name.
	ActorKind CallerKind
	ActorID   string
	Status    BulkStatus
	// Filter is what was asked for, nil where it was ids or an integration.
	Filter *ConnectionFilter
	// Deletion is of the integration that all of the connections are of, where that
	// is to be deleted once none of them is left.
	Deletion BulkDeletion
	// Gathered says that all items are written down; until then GatheredTo is the
	// lowest id that was looked at, of a deletion the highest. No connection with an
	// id above UpTo is one of them: it was made later. That is no reason where the
	// integration goes.
	Gathered   bool
	UpTo       string
	GatheredTo string
	BulkCounts
	CreatedAt time.Time
	// StartedAt is when the first connection was revoked, FinishedAt when it was
	// stopped or completed.
	StartedAt  time.Time
	FinishedAt time.Time
	WorkedAt   time.Time
}

// Ended reports whether nothing more happens by itself.
func (b BulkRevocation) Ended() bool { return b.Status == BulkStopped || b.Status == BulkCompleted }

// Unrevoked reports whether connections are left to be revoked, or to be found.
func (b BulkRevocation) Unrevoked() bool { return !b.Gathered || b.Done() < b.Total }

// Stoppable reports whether there is something left that stopping it would keep.
func (b BulkRevocation) Stoppable() bool { return !b.Ended() && (b.Unrevoked() || b.Undeleted()) }

// asker is whoever asked for it.
func (b BulkRevocation) asker() Caller {
	return Caller{Kind: b.ActorKind, ID: b.ActorID, EnvironmentID: b.EnvironmentID}
}

// BulkItem is one connection of a bulk revocation.
type BulkItem struct {
	ConnectionID string
	Outcome      BulkOutcome // "" as long as it is untouched
	// Told is what the provider made of it, the last time it was told; "" where it
	// was not, or need not be.
	Told   Outcome
	DoneAt time.Time
	// EndUser, Account and Integration are the connection's; empty where it is not
	// there any more.
	EndUser     EndUser
	Account     Account
	Integration string // key
}

// BulkItemFilter narrows a report. Empty members do not narrow.
type BulkItemFilter struct {
	Outcome BulkOutcome
	Told    Outcome
	Page    Page
}

// BulkGroup is how many connections of one integration, linked by one method, a
// bulk revocation would end.
type BulkGroup struct {
	Integration string // key
	Method      string
	Count       int64
}

// BulkPreview is what a bulk revocation would do.
type BulkPreview struct {
	// Total is the number of connections that would be revoked. It is counted up
	// to [MaxBulkCount]: More says that there are more than that.
	Total  int64
	More   bool
	Groups []BulkGroup // by integration and method, sorted
}

// PreviewBulkRevocation says what [Vault.StartBulkRevocation] would do, and does
// nothing. An id of no connection, or of a revoked one, is not counted.
func (v *Vault) PreviewBulkRevocation(ctx context.Context, caller Caller, t BulkTarget) (BulkPreview, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRevoke, ""); err != nil {
		return BulkPreview{}, err
	}
	if err := t.check(); err != nil {
		return BulkPreview{}, err
	}
	return v.bulkPreview(ctx, caller, t)
}

func (v *Vault) bulkPreview(ctx context.Context, caller Caller, t BulkTarget) (BulkPreview, error) {
	t.Filter = v.ResolveFilter(caller, t.Filter)
	groups, err := v.store.CountRevocable(ctx, caller.EnvironmentID, t, MaxBulkCount+1)
	if err != nil {
		return BulkPreview{}, err
	}
	p := BulkPreview{Groups: groups}
	for _, g := range groups {
		p.Total += g.Count
	}
	if p.More = p.Total > MaxBulkCount; p.More {
		p.Total = MaxBulkCount
	}
	return p, nil
}

// NewBulkRevocation asks for a bulk revocation.
type NewBulkRevocation struct {
	BulkTarget
	// Expect refuses with a [fault.Conflict] where the preview would count another
	// number by now; nil takes any.
	Expect *int64
}

// StartBulkRevocation has everything revoked that the target matches now. It
// answers as soon as that is written down; the work is done by [Vault.Run], of
// whichever process, and survives the end of each. It goes on if the caller's
// own permission ends meanwhile.
func (v *Vault) StartBulkRevocation(ctx context.Context, caller Caller, n NewBulkRevocation) (BulkRevocation, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRevoke, ""); err != nil {
		return BulkRevocation{}, err
	}
	if err := v.RequireFresh(caller); err != nil {
		return BulkRevocation{}, err
	}
	if err := n.check(); err != nil {
		return BulkRevocation{}, err
	}
	if n.Expect != nil {
		p, err := v.bulkPreview(ctx, caller, n.BulkTarget)
		if err != nil {
			return BulkRevocation{}, err
		}
		if p.More || p.Total != *n.Expect {
			return BulkRevocation{}, fault.New(fault.Conflict, "%d connections were expected, and by now it is %d. Nothing was revoked.", *n.Expect, p.Total)
		}
	}
	b := v.newBulk(caller)
	ids, err := v.reachedIDs(ctx, caller, slices.Compact(slices.Sorted(slices.Values(n.IDs))))
	if err != nil {
		return BulkRevocation{}, err
	}
	if len(n.IDs) > 0 {
		b.Status, b.Gathered, b.Total = BulkRunning, true, int64(len(ids))
	} else {
		f := v.ResolveFilter(caller, n.Filter)
		f.Page = Page{}
		b.Filter = &f
		if b.UpTo, err = v.afterNewest(ctx, b.EnvironmentID, b.UpTo); err != nil {
			return BulkRevocation{}, err
		}
	}
	err = v.store.Update(ctx, func(tx Tx) error {
		if err := tx.InsertBulkRevocation(ctx, *b); err != nil {
			return err
		}
		if len(ids) > 0 {
			if _, err := tx.InsertBulkItems(ctx, b.ID, ids); err != nil {
				return err
			}
		}
		return tx.InsertAudit(ctx, v.bulkEntry(caller, ActionBulkCreated, b))
	})
	if err != nil {
		return BulkRevocation{}, fmt.Errorf("writing a bulk revocation down: %w", err)
	}
	wake(v.bulkUp)
	return *b, nil
}

// newBulk begins a bulk revocation that the caller asks for.
func (v *Vault) newBulk(caller Caller) *BulkRevocation {
	return &BulkRevocation{
		ID: newID("rev"), EnvironmentID: caller.EnvironmentID, ActorKind: caller.Kind, ActorID: caller.ID, CreatedAt: v.now(), WorkedAt: v.now(),
		Status: BulkGathering, UpTo: newID("con"),
	}
}

// afterNewest is an id of this moment, or a later one that comes after all that
// there is: the clock of another process may be ahead.
func (v *Vault) afterNewest(ctx context.Context, environmentID, now string) (string, error) {
	newest, err := v.store.Connections(ctx, environmentID, ConnectionFilter{Page: Page{Limit: 1}})
	if err != nil || len(newest) == 0 || newest[0].ID < now {
		return now, err
	}
	return newest[0].ID + "0", nil
}

// check says what is wrong with a target.
func (t *BulkTarget) check() error {
	switch {
	case len(t.IDs) > MaxBulkIDs:
		return fault.InvalidField("/connection_ids", "Must be at most %d.", MaxBulkIDs)
	case slices.ContainsFunc(t.IDs, func(id string) bool { return id == "" || len(id) > maxIDLength }):
		return fault.InvalidField("/connection_ids", "Must be ids of connections.")
	case len(t.IDs) == 0 && len(t.Filter.faults()) > 0:
		return fault.InvalidFields(t.Filter.faults()...)
	case len(t.IDs) == 0 && !t.Filter.tagged().wholeQuery():
		return fault.InvalidField("/filter/q", "Must be at most %d words of at most %d bytes: the rest is not looked for, and more would be revoked than it says.", maxWords, maxTerm)
	case len(t.IDs) == 0 && t.Filter.all() && !t.All:
		return fault.InvalidField("/filter", "Narrows nothing: that is every connection of the environment, and has to be asked for with all.")
	}
	return nil
}

// maxIDLength is that of the schema.
const maxIDLength = 64

// bulkEntry begins an audit entry about a bulk revocation: its id is the reason.
func (v *Vault) bulkEntry(caller Caller, action Action, b *BulkRevocation) AuditEntry {
	e := v.entry(caller, action)
	e.EnvironmentID, e.Reason = b.EnvironmentID, b.ID
	return e
}

// BulkRevocation answers one by id.
func (v *Vault) BulkRevocation(ctx context.Context, caller Caller, id string) (BulkRevocation, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRead, ""); err != nil {
		return BulkRevocation{}, err
	}
	b, err := reachedBulk(caller)(v.store.BulkRevocation(ctx, caller.EnvironmentID, id))
	if err != nil {
		return BulkRevocation{}, err
	}
	return *b, nil
}

// WaitBulkRevocation is BulkRevocation, answered when it has ended or when wait is
// over, whichever is first.
func (v *Vault) WaitBulkRevocation(ctx context.Context, caller Caller, id string, wait time.Duration) (BulkRevocation, error) {
	read := func() (BulkRevocation, error) { return v.BulkRevocation(ctx, caller, id) }
	return v.waitBulk(ctx, wait, read, func(b *BulkRevocation) bool { return b.Ended() })
}

// waitBulk reads a bulk revocation until it is as wanted or wait is over.
func (v *Vault) waitBulk(ctx context.Context, wait time.Duration, read func() (BulkRevocation, error), wanted func(*BulkRevocation) bool) (BulkRevocation, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	poll := time.NewTicker(sessionPoll)
	defer poll.Stop()
	for {
		turned := v.bulkTurned.wait() // before the read, so that no turn is missed
		b, err := read()
		if err != nil || wanted(&b) {
			return b, err
		}
		select {
		case <-turned:
		case <-poll.C:
		case <-deadline.C:
			return b, nil
		case <-v.sessionUp.over:
			return b, nil
		case <-ctx.Done():
			return b, ctx.Err()
		}
	}
}

// BulkRevocations lists them, newest first.
func (v *Vault) BulkRevocations(ctx context.Context, caller Caller, page Page) ([]BulkRevocation, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRead, ""); err != nil {
		return nil, err
	}
	actor := ""
	if len(caller.Integrations) > 0 {
		actor = caller.ID
	}
	return v.store.BulkRevocations(ctx, caller.EnvironmentID, actor, page)
}

// BulkItems lists what became of the connections of a bulk revocation, the
// newest connection first.
func (v *Vault) BulkItems(ctx context.Context, caller Caller, id string, f BulkItemFilter) ([]BulkItem, error) {
	if _, err := v.BulkRevocation(ctx, caller, id); err != nil {
		return nil, err
	}
	return v.store.BulkItems(ctx, id, f)
}

// BulkRevocationOf answers the id of the bulk revocation that ended a
// connection, "" where it was none.
func (v *Vault) BulkRevocationOf(ctx context.Context, caller Caller, connectionID string) (string, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRead, connectionID); err != nil {
		return "", err
	}
	if _, err := v.connection(ctx, v.store, caller, connectionID); err != nil {
		return "", err
	}
	id, err := v.store.BulkRevocationOf(ctx, caller.EnvironmentID, connectionID)
	return id, ignoreMissing(err)
}

// StopBulkRevocation leaves what is not revoked yet untouched. When it returns no
// further connection is revoked; providers are still told of those that were.
// One that has stopped stays so.
func (v *Vault) StopBulkRevocation(ctx context.Context, caller Caller, id string) (BulkRevocation, error) {
	return v.turnBulk(ctx, caller, id, ActionBulkStopped, func(b *BulkRevocation) (bool, error) {
		switch {
		case b.Status == BulkStopped:
			return false, nil
		case !b.Stoppable():
			return false, fault.New(fault.Conflict, "All of its connections are revoked already.")
		}
		b.Status, b.FinishedAt = BulkStopped, v.now()
		return true, nil
	})
}

// ResumeBulkRevocation goes on with one that was stopped, in the name of
// whoever asked for it at first. Where it deletes an integration, the caller has
// to be allowed to; it is a conflict while another one is deleting the same.
func (v *Vault) ResumeBulkRevocation(ctx context.Context, caller Caller, id string) (BulkRevocation, error) {
	if err := v.allowFresh(ctx, caller, ScopeConnectionsRevoke); err != nil {
		return BulkRevocation{}, err
	}
	now, err := reachedBulk(caller)(v.store.BulkRevocation(ctx, caller.EnvironmentID, id))
	if err != nil {
		return BulkRevocation{}, err
	}
	if now.Deletion.IntegrationID != "" {
		if err := v.allow(ctx, caller, ScopeIntegrationsWrite, ""); err != nil {
			return BulkRevocation{}, err
		}
	}
	b, err := v.turnBulk(ctx, caller, id, ActionBulkResumed, func(b *BulkRevocation) (bool, error) {
		if b.Status != BulkStopped {
			return false, nil
		}
		b.Status, b.FinishedAt = BulkRunning, time.Time{}
		if !b.Gathered {
			b.Status = BulkGathering
		}
		return true, nil
	})
	if errors.Is(err, ErrDuplicate) {
		return BulkRevocation{}, fault.New(fault.Conflict, "Another bulk revocation is deleting the integration by now.")
	}
	wake(v.bulkUp)
	return b, err
}

// turnBulk changes a bulk revocation where turn says that there is something to
// change. It waits for the part that is under way.
func (v *Vault) turnBulk(ctx context.Context, caller Caller, id string, action Action, turn func(*BulkRevocation) (bool, error)) (b BulkRevocation, err error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRevoke, ""); err != nil {
		return BulkRevocation{}, err
	}
	err = v.store.Update(ctx, func(tx Tx) error {
		locked, err := reachedBulk(caller)(tx.LockBulkRevocation(ctx, caller.EnvironmentID, id))
		if err != nil {
			return err
		}
		changed, err := turn(locked)
		if b = *locked; err != nil || !changed {
			return err
		}
		if err := tx.UpdateBulkRevocation(ctx, b); err != nil {
			return err
		}
		return tx.InsertAudit(ctx, v.bulkEntry(caller, action, &b))
	})
	v.bulkTurned.broadcast()
	return b, err
}
