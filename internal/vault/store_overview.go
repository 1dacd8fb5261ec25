package vault

import (
	"context"
	"time"
)

// overviewReader counts. What it answers is as fresh as the database, and takes
// a moment among a million connections; see [Vault.Overview].
type overviewReader interface {
	// CountByStatus counts the connections of each integration, without candidates.
	CountByStatus(ctx context.Context, environmentID string) ([]StatusCount, error)
	// CountFailing counts those of each integration whose last refresh failed.
	CountFailing(ctx context.Context, environmentID string) ([]IntegrationCount, error)
	// CountEnds counts the active connections of each integration that run out,
	// by the day: 0 is the first 24 hours from then on, and -1 all before. What
	// runs out after that many days is not counted.
	CountEnds(ctx context.Context, environmentID string, from time.Time, days int) ([]EndCount, error)
	// RecentReads adds up the newest reads by integration, of at most so many
	// entries, from an id on.
	RecentReads(ctx context.Context, environmentID, fromID string, most int) (RecentReads, error)
	// CountUntold counts, up to most, the revocations of before then whose provider
	// has been told at least once and has not confirmed.
	CountUntold(ctx context.Context, environmentID string, before time.Time, most int) (int, error)
	// KeysEnding lists API keys that are not revoked and expire before then, the
	// soonest first, those not that have expired before now.
	KeysEnding(ctx context.Context, environmentID string, now, before time.Time, most int) ([]KeyEnd, error)
}

// StatusCount is how many connections of an integration have a status.
type StatusCount struct {
	IntegrationID string
	Status        Status
	Count         int
}

// IntegrationCount is how many of something an integration has.
type IntegrationCount struct {
	IntegrationID string
	Count         int
}

// EndCount is how many connections of an integration run out on a day.
type EndCount struct {
	IntegrationID string
	Day           int
	Count         int
}

// RecentReads is how often headers were read of late.
type RecentReads struct {
	By []IntegrationCount
	// Entries is how many entries were added up, and Oldest the id of the first.
	Entries int
	Oldest  string
}

// KeyEnd is an API key that expires soon.
type KeyEnd struct {
	ID, Name  string
	ExpiresAt time.Time
}
