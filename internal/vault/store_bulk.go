package vault

import (
	"context"
	"time"
)

// bulkReader is what a [Reader] can say about bulk revocations.
type bulkReader interface {
	BulkRevocation(ctx context.Context, environmentID, id string) (*BulkRevocation, error)
	// BulkRevocations lists them, newest first; those of one actor where actorID is
	// not empty.
	BulkRevocations(ctx context.Context, environmentID, actorID string, page Page) ([]BulkRevocation, error)
	// BulkItems lists the items of one, those with the highest connection id first.
	BulkItems(ctx context.Context, id string, f BulkItemFilter) ([]BulkItem, error)
	// BulkRevocationOf answers the id of the one that revoked a connection.
	BulkRevocationOf(ctx context.Context, environmentID, connectionID string) (string, error)
	// BulkDeletionOf answers the one at work that deletes an integration, or has:
	// there is one at most.
	BulkDeletionOf(ctx context.Context, environmentID, integrationID string) (*BulkRevocation, error)
	// CountRevocable counts the connections that a bulk revocation with this target
	// would revoke, and stops counting at most.
	CountRevocable(ctx context.Context, environmentID string, t BulkTarget, most int) ([]BulkGroup, error)
	// GatherRevocable looks at so many connections with ids below a bound, the
	// highest first, or at all of the few that a word or a tag brings. It answers
	// those that a bulk revocation with this filter would revoke. It goes along
	// nothing that moves: whatever matches all the while is found. next is the bound
	// for the rest, "" where there is none.
	GatherRevocable(ctx context.Context, environmentID string, f ConnectionFilter, below string, look int) (ids []string, next string, err error)
}

// bulkTx is what a [Tx] can do to bulk revocations.
type bulkTx interface {
	// InsertBulkRevocation and UpdateBulkRevocation answer [ErrDuplicate] where
	// another one at work deletes the same integration.
	InsertBulkRevocation(ctx context.Context, b BulkRevocation) error
	// InsertBulkItems writes untouched items and answers how many were new; the
	// total is the caller's to count.
	InsertBulkItems(ctx context.Context, id string, connectionIDs []string) (int64, error)
	// LockBulkRevocation reads the row and keeps others from changing it until the
	// end of the transaction.
	LockBulkRevocation(ctx context.Context, environmentID, id string) (*BulkRevocation, error)
	// LockBulkAtWork is LockBulkRevocation for the one that has waited longest for
	// something to be done, of all environments.
	LockBulkAtWork(ctx context.Context) (*BulkRevocation, error)
	// UpdateBulkRevocation writes the mutable columns of a row that was locked.
	UpdateBulkRevocation(ctx context.Context, b BulkRevocation) error
	// UntouchedBulkItems lists up to limit connections that nothing has become of.
	UntouchedBulkItems(ctx context.Context, id string, limit int) ([]string, error)
	// SettleBulkItem writes what became of one, and reports whether nothing had
	// become of it before.
	SettleBulkItem(ctx context.Context, id string, item BulkItem) (bool, error)
	// NoteBulkTold writes what the provider made of a connection, in the item and
	// in the counts.
	NoteBulkTold(ctx context.Context, id, connectionID string, told Outcome) error
}

// outboxTx is the part of a [Tx] that hands out what providers are to be told.
type outboxTx interface {
	// InsertRevocation keeps what is needed to tell the provider, should this
	// process die before it has. It outlives its connection: no foreign key.
	InsertRevocation(ctx context.Context, r RevocationRow) error
	// DeleteRevocation erases it; one that is gone already is no error.
	DeleteRevocation(ctx context.Context, id string) error
	// ClaimRevocation takes the revocation of an integration that has been due for
	// longest, makes it due again at again, and counts the try. Two never get the
	// same one. Where none is due it is nil.
	ClaimRevocation(ctx context.Context, integrationID string, now, again time.Time) (*RevocationRow, error)
}
