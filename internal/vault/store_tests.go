package vault

import (
	"context"
	"time"
)

// testStore is what a store knows of tests of integrations.
type testStore interface {
	// EndedTests lists up to limit connections of sessions of kind test that were
	// revoked before a time, in all environments.
	EndedTests(ctx context.Context, before time.Time, limit int) ([]Connection, error)
}
