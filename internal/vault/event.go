package vault

import "time"

// EventType says what happened to a connection.
type EventType string

// The types. The same words stand in SQL, JSON and docs.
const (
	// EventCreated: it is active for the first time. Until then it makes no event.
	EventCreated EventType = "connection.created"
	// EventRefreshed: it has a new credential, without the end user.
	EventRefreshed EventType = "connection.refreshed"
	// EventRefreshFailing: refreshes fail, for now; what is valid is still served.
	EventRefreshFailing EventType = "connection.refresh_failing"
	// EventReconnectRequired: the end user has to link again.
	EventReconnectRequired EventType = "connection.reconnect_required"
	// EventRecovered: it works again after one of the two before.
	EventRecovered EventType = "connection.recovered"
	// EventRevoked: the end. There is no event of a connection after it.
	EventRevoked EventType = "connection.revoked"
)

// Event is one thing that happened to a connection, as it was right after. It
// is written in the same transaction as the change. Its members are words and
// ids, so that no secret can get in.
type Event struct {
	ID            string
	EnvironmentID string
	// Position orders the events that can be read, from 1; 0 until it is given.
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
