package vault

import (
	"context"
	"time"
)

// EventType says what happened to a connection.
type EventType string

// The types. The same words stand in SQL, JSON and docs.
const (
	EventCreated           EventType = "connection.created"
	EventRefreshed         EventType = "connection.refreshed"
	EventRefreshFailing    EventType = "connection.refresh_failing"
	EventReconnectRequired EventType = "connection.reconnect_required"
	EventRecovered         EventType = "connection.recovered"
	EventRevoked           EventType = "connection.revoked"
)

// Event is one thing that happened to a connection, as it was right after. It
// is written in the same transaction as the change.
type Event struct {
	ID            string
	EnvironmentID string
	// Position orders the events that can be read; 0 until it is given.
	Position     int64
	At           time.Time
	Type         EventType
	ConnectionID string
	Integration  string // the integration's key
	Provider     string
	EndUserID    string
	Status       Status
	Reason       string // the status reason, or why refreshes fail
	Generation   int64
}

// emit writes an event about a connection as it is now.
func (v *Vault) emit(ctx context.Context, tx Tx, t EventType, c *Connection, reason string) error {
	return tx.InsertEvent(ctx, Event{
		ID: newID("evt"), EnvironmentID: c.EnvironmentID, At: v.now(), Type: t,
		ConnectionID: c.ID, Integration: c.Integration, Provider: c.Provider, EndUserID: c.EndUser.ID,
		Status: c.Status, Reason: reason, Generation: c.Generation,
	})
}
