package store

import (
	"context"
	"database/sql"

	"github.com/claviger/claviger/internal/vault"
)

// trail is the chain of entries that this store writes. Whoever holds the turn
// may go on with it, and gives the turn back once the outcome is known: entries
// are committed in the order of the chain.
type trail struct {
	turn  chan struct{}
	chain vault.Chain
	prove vault.Prover
}

func newTrail() *trail {
	return &trail{turn: make(chan struct{}, 1), chain: vault.NewChain(nil)}
}

// take waits for the turn. Who has it takes no lock in the database after that
// but those of new rows, so that the two kinds of waiting cannot meet crosswise.
func (t *trail) take(ctx context.Context) error {
	select {
	case t.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *trail) giveBack() { <-t.turn }

// begin begins another chain. The turn is the caller's.
func (t *trail) begin() { t.chain = vault.NewChain(t.prove) }

// ProveAudit sets what proves the entries written from now on, which begin a
// chain.
func (s *Store) ProveAudit(prove vault.Prover) {
	s.trail.turn <- struct{}{}
	defer s.trail.giveBack()
	s.trail.prove = prove
	s.trail.begin()
}

// AuditHead is the last committed entry of the chain.
func (s *Store) AuditHead(ctx context.Context) (vault.ChainHead, error) {
	if err := s.trail.take(ctx); err != nil {
		return vault.ChainHead{}, err
	}
	defer s.trail.giveBack()
	return s.trail.chain.ChainHead, nil
}

// EndAudit ends the chain, and answers its last entry.
func (s *Store) EndAudit(ctx context.Context) (vault.ChainHead, error) {
	if err := s.trail.take(ctx); err != nil {
		return vault.ChainHead{}, err
	}
	defer s.trail.giveBack()
	head := s.trail.chain.ChainHead
	if head.Seq > 0 {
		s.trail.begin()
	}
	return head, nil
}

// commit commits a transaction together with what it has for the trail, so many
// entries a statement.
func (s *Store) commit(ctx context.Context, db *sql.Tx, t tx, batch int) error {
	entries := *t.entries
	if len(entries) == 0 {
		return interpretError("committing", db.Commit())
	}
	if err := s.trail.take(ctx); err != nil {
		return err
	}
	defer s.trail.giveBack()
	chain, err := s.trail.chain.Link(entries, s.Now())
	if err == nil {
		err = t.insertEntries(ctx, entries, batch)
	}
	if err == nil {
		err = ctx.Err() // Commit would look at it as well, and say no more than that
	}
	if err != nil {
		return err // rolled back, and the places are the next one's
	}
	if err := db.Commit(); err != nil {
		// It may have come to pass all the same. Nobody can go on with a chain
		// whose end is not known.
		s.trail.begin()
		return interpretError("committing", err)
	}
	s.trail.chain = chain
	return nil
}
