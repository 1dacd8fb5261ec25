package vault

import (
	"context"
	"time"
)

// timelineReader reads what the trail has on one connection.
type timelineReader interface {
	// ConnectionHistory lists the entries that are no reads of headers, newest
	// first.
	ConnectionHistory(ctx context.Context, environmentID, connectionID string, page Page) ([]AuditEntry, error)
	// ConnectionReads adds up reads of headers by who read and when.
	ConnectionReads(ctx context.Context, environmentID string, f ReadsFilter) ([]ReadSum, error)
	// ConnectionActivity adds up by the hour, the first hour first. oldest is the
	// time of the oldest entry that was looked at where there are more; else zero.
	ConnectionActivity(ctx context.Context, environmentID string, f ActivityFilter) (hours []ActivityHour, oldest time.Time, err error)
}
