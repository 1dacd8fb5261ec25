package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel carries the ids of connections that have changed.
const channel = "claviger_connections"

// listenAgain is the pause after a connection that was cut.
const listenAgain = time.Second

// Announce is a statement of its own: inside a transaction it would make every
// commit wait for every other.
func (s *Store) Announce(ctx context.Context, id string) error {
	if s.pool == nil {
		return nil // one process: it knows
	}
	_, err := s.w.exec(ctx, "announcing a change", `SELECT pg_notify('`+channel+`', $1)`, id)
	return err
}

// Listen has a connection of its own, outside the pool. Behind a pooler in
// transaction mode it hears nothing, which is why an announcement is only a hint.
func (s *Store) Listen(ctx context.Context, heard func(id string)) error {
	if s.pool == nil {
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		if err := s.listenOnce(ctx, heard); err != nil && ctx.Err() == nil {
			s.log.Warn("listening for changes; trying again", "error", err)
			_ = pause(ctx, listenAgain)
		}
	}
	return nil
}

func (s *Store) listenOnce(ctx context.Context, heard func(id string)) error {
	cfg := s.pool.Config().ConnConfig.Copy()
	cfg.OnNotification = nil // this one waits for them
	db, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	if _, err := db.Exec(ctx, `LISTEN `+channel); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	for {
		n, err := db.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("waiting for an announcement: %w", err)
		}
		heard(n.Payload)
	}
}
