package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// defaultConns is how many connections a process has, where the URL does not say.
const defaultConns = 16

func openPostgres(ctx context.Context, cfg Config) (*Store, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("reading database URL: %w", err)
	}
	// Behind a pooler in transaction mode any connection may get what another
	// listens for, and pgx would keep it for somebody to ask.
	pc.ConnConfig.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {}
	if !strings.Contains(cfg.URL, "pool_max_conns") {
		// pgx would take one for each processor: a save must not queue behind reads.
		pc.MaxConns = max(pc.MaxConns, defaultConns)
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connecting to database: %w", err)
	}
	// database/sql keeps no connections of its own here: the pool does.
	db := stdlib.OpenDBFromPool(pool)
	c := conn{db: db, d: postgresDialect()}
	s := &Store{
		reader: reader{c},
		w:      c,
		read:   db,
		write:  db,
		pool:   pool,
		log:    cfg.Log,
		clock:  clock{wall: cfg.Now},
		trail:  newTrail(postgresChains),
	}
	s.lookups = postgresLookups(ctx, pool)
	s.stopLookups = func() error { s.lookups.close(); return nil }
	s.entries = s.newEntries(ctx)
	if err := s.measure(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}
