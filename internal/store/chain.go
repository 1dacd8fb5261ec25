package store

import (
	"context"
	"database/sql"
	"sync"

	"github.com/claviger/claviger/internal/vault"
)

// postgresChains is how many chains of entries a store writes on Postgres. Who has
// one keeps it for two round trips, and with only one nobody else could commit
// meanwhile. Another is begun when all others are taken; SQLite, with one
// writer at a time, has one.
const postgresChains = 8

// trail is the chains of entries that this store writes. Whoever holds one may go
// on with it, and gives it back once the outcome is known: its entries are
// committed in its order.
type trail struct {
	free chan struct{} // as many as are free
	most int
	// ending lets one at a time wait for all of them.
	ending sync.Mutex

	mu sync.Mutex
	// idle are those that are free, the one to be taken next last: one is enough
	// for who writes one thing after another.
	idle  []*link
	all   []*link
	prove vault.Prover
}

// link is the end of a chain.
type link struct{ chain vault.Chain }

func newTrail(chains int) *trail {
	t := &trail{free: make(chan struct{}, chains), most: chains}
	for range chains {
		l := &link{vault.NewChain(nil)}
		t.all, t.idle = append(t.all, l), append(t.idle, l)
		t.free <- struct{}{}
	}
	return t
}

// take waits for a chain. Who has it takes no lock in the database after that
// but those of new rows, so that the two kinds of waiting cannot meet crosswise.
func (t *trail) take(ctx context.Context) (*link, error) {
	select {
	case <-t.free:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.idle[len(t.idle)-1]
	t.idle = t.idle[:len(t.idle)-1]
	return l, nil
}

func (t *trail) giveBack(l *link) {
	t.mu.Lock()
	t.idle = append(t.idle, l)
	t.mu.Unlock()
	t.free <- struct{}{}
}

// goOn sets how far a chain has come that the caller holds.
func (t *trail) goOn(l *link, chain vault.Chain) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.chain = chain
}

func (t *trail) prover() vault.Prover {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.prove
}

// heads are the last committed entries of the chains that have some.
func (t *trail) heads() []vault.ChainHead {
	t.mu.Lock()
	defer t.mu.Unlock()
	var heads []vault.ChainHead
	for _, l := range t.all {
		if l.chain.Seq > 0 {
			heads = append(heads, l.chain.ChainHead)
		}
	}
	return heads
}

// begin waits until nobody holds a chain, ends those that have entries and answers
// their heads.
func (t *trail) begin(ctx context.Context, prove vault.Prover) (ended []vault.ChainHead, err error) {
	t.ending.Lock()
	defer t.ending.Unlock()
	taken := 0
	defer func() {
		for range taken {
			t.free <- struct{}{}
		}
	}()
	for taken < t.most {
		select {
		case <-t.free:
			taken++
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	ended = t.heads()
	t.mu.Lock()
	defer t.mu.Unlock()
	if prove != nil {
		t.prove = prove
	}
	for _, l := range t.all {
		if l.chain.Seq > 0 || prove != nil {
			l.chain = vault.NewChain(t.prove)
		}
	}
	return ended, nil
}

// ProveAudit sets what proves the entries written from now on, which begin
// chains.
func (s *Store) ProveAudit(prove vault.Prover) {
	_, _ = s.trail.begin(context.Background(), prove) // fails with its context only
}

// AuditHeads are the last committed entries of the chains that have some.
func (s *Store) AuditHeads() []vault.ChainHead { return s.trail.heads() }

// EndAudit ends the chains that have entries, and answers the last of each.
func (s *Store) EndAudit(ctx context.Context) ([]vault.ChainHead, error) {
	return s.trail.begin(ctx, nil)
}

// commit commits a transaction together with what it has for the trail, so many
// entries a statement.
func (s *Store) commit(ctx context.Context, db *sql.Tx, t tx, batch int) error {
	entries := *t.entries
	if len(entries) == 0 {
		return interpretError("committing", db.Commit())
	}
	held, err := s.trail.take(ctx)
	if err != nil {
		return err
	}
	defer s.trail.giveBack(held)
	chain, err := held.chain.Link(entries, s.Now())
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
		s.trail.goOn(held, vault.NewChain(s.trail.prover()))
		return interpretError("committing", err)
	}
	s.trail.goOn(held, chain)
	return nil
}
