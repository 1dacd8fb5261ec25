package store

import (
	"context"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// ClaimLease is one statement: of two that claim, the second waits for the
// first and then finds the lease held.
func (s *Store) ClaimLease(ctx context.Context, id string, generation int64, owner string, ttl time.Duration) (*vault.ConnectionRow, bool, error) {
	row, err := oneIf(ctx, s.w, "claiming lease", scanConnectionRow, `
		UPDATE connections
		SET lease_owner = $3, lease_epoch = lease_epoch + 1, lease_until = `+s.d.now+` + $4
		WHERE id = $1 AND generation = $2 AND status IN ('active', 'pending') AND (lease_until IS NULL OR lease_until <= `+s.d.now+`)
		RETURNING `+s.d.connection,
		id, generation, owner, ttl.Microseconds())
	return row, row != nil, err
}

// NoteSpending extends a lease that is live and records what is about to be sent.
func (s *Store) NoteSpending(ctx context.Context, id string, epoch int64, spending []byte, ttl time.Duration) (bool, error) {
	return s.w.swap(ctx, "noting what is spent", `
		UPDATE connections SET lease_spending = $3, lease_until = `+s.d.now+` + $4
		WHERE id = $1 AND lease_epoch = $2 AND lease_until > `+s.d.now,
		id, epoch, blob(spending), ttl.Microseconds())
}

// ReleaseLease ends the lease of an epoch; one that is lost already is no error.
func (s *Store) ReleaseLease(ctx context.Context, id string, epoch int64, keepSpending bool) error {
	_, err := s.w.exec(ctx, "releasing lease", `
		UPDATE connections
		SET lease_owner = NULL, lease_until = NULL, lease_spending = CASE WHEN $3 THEN lease_spending END
		WHERE id = $1 AND lease_epoch = $2`,
		id, epoch, keepSpending)
	return err
}
