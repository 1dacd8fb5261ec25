package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// How lookups are batched on Postgres. Two lanes: while one statement is under
// way the next one fills, and is sent without waiting for the first. More
// would make smaller batches of the same work.
const (
	postgresLanes = 2
	postgresBatch = 256
	// lookupTime bounds one statement: a caller that has waited so long is told
	// so.
	lookupTime = 10 * time.Second
)

// hotBatch is [hotStatement] for many at once. LIMIT keeps the planner to one
// index lookup for each, whatever it thinks of the length of the arrays.
const hotBatch = `SELECT q.n, ` + hotColumns + `
	FROM unnest($1::bytea[], $2::text[]) WITH ORDINALITY AS q (hash, id, n)
	CROSS JOIN LATERAL (
		SELECT id, environment_id, hash, scopes, integrations, addresses, expires_at, revoked_at FROM api_keys WHERE hash = q.hash LIMIT 1
	) k
	JOIN environments e ON e.id = k.environment_id
	LEFT JOIN LATERAL (
		SELECT integration_id, status, status_reason, generation, expires_at, renewable, answer FROM connections
		WHERE environment_id = k.environment_id AND id = q.id LIMIT 1
	) c ON TRUE`

// postgresLookups goes straight to the pool, past database/sql; its connections
// prepare the statements by themselves.
func postgresLookups(ctx context.Context, pool *pgxpool.Pool) *batches[lookup] {
	ctx = context.WithoutCancel(ctx) // of the start
	return newBatches(postgresLanes, postgresBatch, func(_ int, batch []*wanted[lookup]) error {
		ctx, cancel := context.WithTimeout(ctx, lookupTime)
		defer cancel()
		err := lookupPostgres(ctx, pool, batch)
		if err != nil && lostConnection(err) && ctx.Err() == nil {
			// Reading twice does no harm, and one connection that breaks would
			// fail everybody in the batch.
			err = lookupPostgres(ctx, pool, batch)
		}
		return err
	})
}

// lostConnection reports whether the statement failed for anything but what the
// server said to it.
func lostConnection(err error) bool {
	_, said := errors.AsType[*pgconn.PgError](err)
	return !said
}

func lookupPostgres(ctx context.Context, pool *pgxpool.Pool, batch []*wanted[lookup]) error {
	for _, x := range batch {
		x.it.row, x.it.found = HotRow{}, false
	}
	if len(batch) == 1 {
		x := &batch[0].it
		err := pool.QueryRow(ctx, hotStatement, x.hash, x.id).Scan(x.row.Columns()...)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		x.found = err == nil
		return err
	}
	hashes, ids := make([][]byte, len(batch)), make([]string, len(batch))
	for i, x := range batch {
		hashes[i], ids[i] = x.it.hash, x.it.id
	}
	rows, err := pool.Query(ctx, hotBatch, hashes, ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r HotRow
		var n int
		if err := rows.Scan(append([]any{&n}, r.Columns()...)...); err != nil {
			return err
		}
		if n < 1 || n > len(batch) {
			return errors.New("a row for nobody")
		}
		x := &batch[n-1].it
		x.row, x.found = r, true
	}
	return rows.Err()
}
