package vault

import (
	"context"
	"time"
)

// secretTx is the part of [Tx] about client secrets that were replaced.
type secretTx interface {
	// DropPreviousSecret erases the one before if its time is over at now, and
	// reports whether there was such a one.
	DropPreviousSecret(ctx context.Context, environmentID, id string, now time.Time) (bool, error)
}

// secretStore is the part of [Store] about client secrets that were replaced.
type secretStore interface {
	// PreviousSecretsUntil lists up to limit integrations of any environment whose
	// secret before is over at now.
	PreviousSecretsUntil(ctx context.Context, now time.Time, limit int) ([]Integration, error)
}
