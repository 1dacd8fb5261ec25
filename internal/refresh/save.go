package refresh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

const (
	// tryTime is how long the database may take before a save goes to the spool.
	tryTime = 2 * time.Second
	// spoolTime is how long the disk may take: one that hangs must not hang
	// everybody who waits.
	spoolTime = 5 * time.Second
	// settleEvery is how often what is in the spool is tried again, settleTime how
	// long a database that is merely slow may take then, with settleLanes at a time.
	settleEvery = time.Second
	settleTime  = 10 * time.Second
	settleLanes = 8
)

// unsaved are the renewed credentials that the database has not taken yet, and
// whose renewal has ended.
type unsaved struct {
	spool *Spool // nil: memory has to do

	mu sync.Mutex
	by map[string]*vault.Unsaved // by name
}

func (s *unsaved) put(u *vault.Unsaved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by[u.Name()] = u
}

// of answers one of a connection, or nil.
func (s *unsaved) of(connectionID string) *vault.Unsaved {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.by {
		if u.Connection.ID == connectionID {
			return u
		}
	}
	return nil
}

func (s *unsaved) all() []*vault.Unsaved {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*vault.Unsaved, 0, len(s.by))
	for _, u := range s.by {
		out = append(out, u)
	}
	return out
}

// drop forgets u, unless something newer has its name.
func (s *unsaved) drop(u *vault.Unsaved) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.by[u.Name()]; have != nil && have != u {
		return nil
	}
	delete(s.by, u.Name())
	if s.spool == nil {
		return nil
	}
	return s.spool.Drop(u.Name())
}

// keeping says where a renewed credential is.
type keeping int

const (
	kept      keeping = iota // in the database
	keptAside                // in the spool, or at worst in memory
	void                     // the connection has moved on, or somebody else leads
	unfit                    // nowhere: the database will never take it
)

// keep puts a renewed credential where it cannot be lost: into the database, or
// on disk before anything else happens. Since answered, what it keeps exists
// nowhere else: that is the window in which a kill loses it.
//
// With more to come in the same renewal, what goes aside is not tried again
// before that is over: it would overtake what follows.
func (e *Engine) keep(ctx context.Context, caller vault.Caller, u *vault.Unsaved, answered time.Time, more bool) keeping {
	ctx = context.WithoutCancel(ctx)
	id := u.Connection.ID
	defer func() { e.log.Debug("a renewed credential is safe", "connection", id, "window", time.Since(answered)) }()
	trying, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	outcome, err := e.vault.Save(trying, caller, u)
	switch {
	case errors.Is(err, vault.ErrUnfit):
		e.log.Error("a renewed credential does not fit into the database and is lost", "connection", id, "error", err)
		return unfit
	case err == nil && outcome == vault.SaveHeld:
		e.log.Warn("a renewed credential waits until somebody else's lease has ended", "connection", id)
		u.Orphan()
	case err == nil:
		e.forget(u) // what went aside before has the same name
		return e.saved(u, outcome)
	default:
		e.log.Error("the database did not take a renewed credential", "connection", id, "error", err)
	}
	if !more || outcome == vault.SaveHeld { // then there is nothing that could follow
		e.unsaved.put(u)
	}
	switch err := e.aside(u); {
	case err != nil:
		e.log.Error("a renewed credential is in memory only, until the database takes it", "connection", id, "error", err)
	case e.unsaved.spool != nil:
		e.log.Info("a renewed credential is in the spool", "connection", id)
	}
	if outcome == vault.SaveHeld {
		return void
	}
	return keptAside
}

// aside spools u.
func (e *Engine) aside(u *vault.Unsaved) error {
	if e.unsaved.spool == nil {
		return nil
	}
	sealed, err := e.vault.SealUnsaved(u)
	if err != nil {
		return err
	}
	put := make(chan error, 1)
	go func() { put <- e.unsaved.spool.Put(u.Name(), sealed) }()
	select {
	case err := <-put:
		return err
	case <-time.After(spoolTime):
		return fmt.Errorf("the spool's disk has not answered for %v", spoolTime)
	}
}

func (e *Engine) saved(u *vault.Unsaved, outcome vault.SaveOutcome) keeping {
	switch outcome {
	case vault.SaveDone:
		return kept
	case vault.SaveLate:
		e.log.Warn("a renewed credential was saved after its lease had ended; the next refresh tells what it is worth", "connection", u.Connection.ID)
	case vault.SaveMoved, vault.SaveHeld:
		e.log.Warn("a connection moved on while it was refreshed", "connection", u.Connection.ID)
	}
	return void
}

// settlement is what came of one more try to save.
type settlement int

const (
	settled settlement = iota
	later              // somebody else holds the lease
	refusal            // the database still does not take it
)

// settle tries once more to save what was kept aside, for so long.
func (e *Engine) settle(ctx context.Context, u *vault.Unsaved, patience time.Duration) settlement {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	outcome, err := e.vault.Save(ctx, e.system(u.Connection.EnvironmentID), u)
	switch {
	case errors.Is(err, vault.ErrUnfit):
		e.log.Error("a renewed credential does not fit into the database and is given up", "connection", u.Connection.ID, "error", err)
	case err != nil:
		e.log.Debug("the database still does not take a renewed credential", "connection", u.Connection.ID, "error", err)
		return refusal
	case outcome == vault.SaveHeld:
		return later
	case e.saved(u, outcome) == kept:
		e.log.Info("a renewed credential has arrived in the database", "connection", u.Connection.ID)
	}
	e.forget(u)
	e.hints.tell(u.Connection.ID)
	return settled
}

func (e *Engine) forget(u *vault.Unsaved) {
	if err := e.unsaved.drop(u); err != nil {
		e.log.Error("removing a saved credential from the spool", "connection", u.Connection.ID, "error", err)
	}
}

// settleAll goes on trying until ctx ends.
func (e *Engine) settleAll(ctx context.Context) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.settleOnce(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// settleOnce tries all, as long as the database takes them, and answers how many
// are left.
func (e *Engine) settleOnce(ctx context.Context) int {
	var refused atomic.Bool
	lanes := make(chan struct{}, settleLanes)
	var tries sync.WaitGroup
	for _, u := range e.unsaved.all() {
		lanes <- struct{}{}
		if ctx.Err() != nil || refused.Load() {
			break // the rest would fare no better
		}
		tries.Go(func() {
			if e.settle(ctx, u, settleTime) == refusal {
				refused.Store(true)
			}
			<-lanes
		})
	}
	tries.Wait()
	return len(e.unsaved.all())
}

// Replay reads what an earlier process has left in the spool and tries to save
// it. What the database does not take now is tried again by [Engine.Run]. Call
// it before serving.
func (e *Engine) Replay(ctx context.Context) {
	if e.unsaved.spool == nil {
		return
	}
	for _, name := range e.unsaved.spool.Names() {
		sealed, err := e.unsaved.spool.Get(name)
		if err != nil {
			e.log.Error("reading the spool", "name", name, "error", err)
			continue
		}
		u, err := e.vault.OpenUnsaved(sealed)
		if err != nil {
			e.log.Error("the spool holds what this keyset does not open", "name", name)
			continue
		}
		e.unsaved.put(u)
	}
	e.settleOnce(ctx)
}
