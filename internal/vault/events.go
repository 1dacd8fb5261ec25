package vault

import (
	"context"
	"fmt"
)

// numberBatch bounds a transaction that gives positions; the next one waits for it.
const numberBatch = 500

// Events answers up to limit events of the caller's environment after a
// position, oldest first; 0 begins with the oldest that is kept. Whoever goes on
// from the position of the last one gets every event once, whoever writes
// whatever meanwhile, and those of one connection in the order of its changes.
func (v *Vault) Events(ctx context.Context, caller Caller, after int64, limit int) ([]Event, error) {
	if err := v.allow(ctx, caller, ScopeEventsRead, ""); err != nil {
		return nil, err
	}
	// So that a change can be read as soon as it has been answered. With more
	// than that waiting, the background catches up.
	if _, err := v.store.NumberEvents(ctx, numberBatch); err != nil {
		return nil, fmt.Errorf("numbering events: %w", err)
	}
	return v.store.Events(ctx, caller.EnvironmentID, caller.Integrations, after, limit)
}

// numberEvents gives positions to all events that wait for one.
func (v *Vault) numberEvents(ctx context.Context) error {
	for {
		n, err := v.store.NumberEvents(ctx, numberBatch)
		if err != nil {
			return fmt.Errorf("numbering events: %w", err)
		}
		if n < numberBatch {
			return nil
		}
	}
}

// emit writes an event about a connection as it is now.
func (v *Vault) emit(ctx context.Context, tx Tx, t EventType, c *Connection, reason string) error {
	return tx.InsertEvent(ctx, Event{
		ID: newID("evt"), EnvironmentID: c.EnvironmentID, At: v.now(), Type: t,
		ConnectionID: c.ID, Integration: c.Integration, Provider: c.Provider, EndUserID: c.EndUser.ID,
		Status: c.Status, Reason: reason, Generation: c.Generation,
	})
}

// emitLinked writes what a link has made of a connection that was there before.
// Where it worked all along, that is no event.
func (v *Vault) emitLinked(ctx context.Context, tx Tx, before, now *Connection) error {
	switch {
	case before.Status == StatusPending:
		return v.emit(ctx, tx, EventCreated, now, "")
	case before.Status == StatusReconnectRequired, before.Failures >= failingAfter:
		return v.emit(ctx, tx, EventRecovered, now, "")
	}
	return nil
}

// emitRevoked writes the end of a connection. Of one that was never active
// nobody has heard, so nobody hears of its end.
func (v *Vault) emitRevoked(ctx context.Context, tx Tx, before *Connection, reason string) error {
	if before.Status == StatusPending {
		return nil
	}
	c := *before
	c.Status, c.StatusReason = StatusRevoked, reason
	return v.emit(ctx, tx, EventRevoked, &c, reason)
}
