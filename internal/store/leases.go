package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
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

// ExtendLease does not bring a lease back that has ended: somebody may be about
// to claim it.
func (s *Store) ExtendLease(ctx context.Context, id string, epoch int64, ttl time.Duration) (bool, error) {
	return s.w.swap(ctx, "extending lease", `
		UPDATE connections SET lease_until = `+s.d.now+` + $3
		WHERE id = $1 AND lease_epoch = $2 AND lease_until > `+s.d.now,
		id, epoch, ttl.Microseconds())
}

func (t tx) ReleaseLease(ctx context.Context, id string, epoch int64, r vault.Release) (bool, error) {
	return t.swap(ctx, "releasing lease", `
		UPDATE connections
		SET lease_owner = NULL, lease_until = NULL, lease_spending = CASE WHEN $3 THEN lease_spending END,
		    failures = failures + CASE WHEN $4 THEN 1 ELSE 0 END,
		    due_at = CASE WHEN status IN ('active', 'pending') THEN coalesce($5, due_at) END
		WHERE id = $1 AND lease_epoch = $2`,
		id, epoch, r.KeepSpending, r.Failed, micros(r.DueAt))
}

// urgent is how near its end a credential is taken before all that ends later,
// in microseconds.
const urgent = 60_000_000

// ClaimDue moves the rows it takes out of the way of the other replicas, and
// back into it should this one die. What ends soonest comes first; what does
// not end soon comes in the order in which it became due. Each order has an
// index of its own: there may be a million rows, and none due.
func (s *Store) ClaimDue(ctx context.Context, limit int, hold time.Duration, skip []string) ([]vault.Connection, error) {
	due, err := s.claimDue(ctx, "expires_at", "expires_at <= "+s.d.begun+fmt.Sprintf(" + %d", urgent), limit, hold, skip)
	if err != nil || len(due) == limit {
		return due, err
	}
	rest, err := s.claimDue(ctx, "due_at", "", limit-len(due), hold, skip)
	return append(due, rest...), err
}

func (s *Store) claimDue(ctx context.Context, order, only string, limit int, hold time.Duration, skip []string) ([]vault.Connection, error) {
	var w where
	w.and("due_at <= " + s.d.begun)
	if only != "" {
		w.and(only)
	}
	w.and("status = 'active'")
	w.and("(lease_until IS NULL OR lease_until <= " + s.d.begun + ")")
	if len(skip) > 0 {
		args := make([]any, len(skip))
		for i, id := range skip {
			args[i] = id
		}
		w.and("integration_id NOT IN (?"+strings.Repeat(", ?", len(skip)-1)+")", args...)
	}
	args := append(w.args, limit, hold.Microseconds())
	due, err := many(ctx, s.w, "claiming due connections", scanConnection, fmt.Sprintf(`
		UPDATE connections SET due_at = %s + $%d
		WHERE id IN (SELECT id FROM connections%s ORDER BY %s LIMIT $%d%s)
		RETURNING `+connectionColumns,
		s.d.now, len(args), w.sql.String(), order, len(args)-1, s.d.skipLocked), args...)
	slices.SortFunc(due, func(a, b vault.Connection) int { // RETURNING promises no order
		if a.ExpiresAt.IsZero() != b.ExpiresAt.IsZero() {
			return cmp.Compare(b.ExpiresAt.Unix(), a.ExpiresAt.Unix()) // what has no end comes last
		}
		return a.ExpiresAt.Compare(b.ExpiresAt)
	})
	return due, err
}

// SetDue moves the next look at a connection.
func (s *Store) SetDue(ctx context.Context, id string, generation int64, at time.Time) error {
	_, err := s.w.exec(ctx, "moving the next look", `
		UPDATE connections SET due_at = $3 WHERE id = $1 AND generation = $2 AND status = 'active'`,
		id, generation, micros(at))
	return err
}
