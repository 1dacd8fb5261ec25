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

// ClaimDue moves the rows it takes out of the way of the other replicas, and
// back into it should this one die. Each integration is looked at along its own
// part of the index: there may be a million rows and none due, or a hundred
// thousand due whose provider is down and which are skipped.
func (s *Store) ClaimDue(ctx context.Context, limit int, hold time.Duration, skip []string) ([]vault.Connection, error) {
	var w where
	if len(skip) > 0 {
		args := make([]any, len(skip))
		for i, id := range skip {
			args[i] = id
		}
		w.and("i.id NOT IN (?"+strings.Repeat(", ?", len(skip)-1)+")", args...)
	}
	args := append(w.args, limit, hold.Microseconds())
	due, err := many(ctx, s.w, "claiming due connections", scanConnection, fmt.Sprintf(`
		UPDATE connections SET due_at = %[1]s + $%[3]d
		WHERE id IN (%[2]s)
		RETURNING `+connectionColumns,
		s.d.now, fmt.Sprintf(s.d.due, w.sql.String(), len(args)-1), len(args)), args...)
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
