package store

import (
	"context"

	"github.com/claviger/claviger/internal/vault"
)

const eventColumns = `id, environment_id, position, at, type, connection_id, integration, provider, end_user_id, status, reason, generation`

func scanEvent(row scanner) (e vault.Event, err error) {
	err = row.Scan(&e.ID, &e.EnvironmentID, &e.Position, timeColumn{&e.At}, &e.Type, &e.ConnectionID, &e.Integration, &e.Provider,
		&e.EndUserID, &e.Status, &e.Reason, &e.Generation)
	return e, err
}

// Events lists those with a position after the given one, oldest first.
func (r reader) Events(ctx context.Context, environmentID string, keys []string, after int64, limit int) ([]vault.Event, error) {
	var w where
	w.and("environment_id = ?", environmentID)
	w.and("position > ?", after)
	w.among("integration", keys)
	tail, args := w.limit("position", limit)
	return many(ctx, r.conn, "listing events", scanEvent, `SELECT `+eventColumns+` FROM events`+tail, args...)
}

func (t tx) InsertEvent(ctx context.Context, e vault.Event) error {
	return t.insert(ctx, "inserting event", `
		INSERT INTO events (id, environment_id, at, type, connection_id, integration, provider, end_user_id, status, reason, generation)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		e.ID, e.EnvironmentID, micros(e.At), string(e.Type), e.ConnectionID, e.Integration, e.Provider, e.EndUserID,
		string(e.Status), e.Reason, e.Generation)
}

// NumberEvents looks first whether there is anything to do: it is asked often,
// and a transaction would have every replica queue for the counter.
func (s *Store) NumberEvents(ctx context.Context, limit int) (int, error) {
	waiting, err := oneIf(ctx, s.conn, "looking for new events", scanNumber, `SELECT seq FROM events WHERE position IS NULL LIMIT 1`)
	if err != nil || waiting == nil {
		return 0, err
	}
	var n int64
	err = s.update(ctx, func(t tx) (err error) {
		n, err = t.numberEvents(ctx, limit)
		return err
	})
	return int(n), err
}

// numberEvents is one statement for the lock and another for the events, which
// so sees all that whoever had the lock before has numbered, and all that was
// committed while it waited. Whoever reads a position can read those below it:
// they were committed before the lock was given back.
func (t tx) numberEvents(ctx context.Context, limit int) (int64, error) {
	last, err := one(ctx, t.conn, "locking the event counter", scanNumber, `SELECT last FROM event_counter WHERE id = 1`+t.d.forUpdate)
	if err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, "numbering events", `
		UPDATE events SET position = $1 + fresh.n
		FROM (
			SELECT seq, row_number() OVER (ORDER BY seq) AS n
			FROM (SELECT seq FROM events WHERE position IS NULL ORDER BY seq LIMIT $2) AS waiting
		) AS fresh
		WHERE events.seq = fresh.seq`,
		*last, limit)
	if err != nil || n == 0 {
		return 0, err
	}
	return n, t.must(ctx, "advancing the event counter", `UPDATE event_counter SET last = last + $1 WHERE id = 1`, n)
}

func scanNumber(row scanner) (n int64, err error) { return n, row.Scan(&n) }
