package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

func TestSessions(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		row := w.session()
		con := w.connect()

		find := map[string]func() (*vault.SessionRow, error){
			"in its environment": func() (*vault.SessionRow, error) { return w.Session(ctx, w.env.ID, row.ID) },
			"by id":              func() (*vault.SessionRow, error) { return w.SessionByID(ctx, row.ID) },
			"by token":           func() (*vault.SessionRow, error) { return w.SessionByToken(ctx, row.TokenHash) },
			"locked": func() (got *vault.SessionRow, err error) {
				w.do(func(ctx context.Context, tx vault.Tx) error {
					got, err = tx.LockSession(ctx, row.ID)
					return nil
				})
				return got, err
			},
		}
		for what, f := range find {
			got, err := f()
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			equal(t, what, got, &row)
		}
		_, err := w.Session(ctx, other.env.ID, row.ID)
		wantErr(t, "from another environment", err, vault.ErrNotFound)
		_, err = w.SessionByToken(ctx, hash("other"))
		wantErr(t, "unknown token", err, vault.ErrNotFound)

		changed := row
		changed.ConnectionID, changed.PendingID = con.ID, con.ID
		changed.Status, changed.Error, changed.Wrong = vault.SessionPending, "wrong_credential", 3
		changed.BindingHash, changed.ResultHash, changed.ResultExpiresAt = hash("b"), hash("r"), noon.Add(vault.RedeemTTL)
		changed.ExpiresAt = noon.Add(vault.BoundTTL)
		attempted := changed
		attempted.Kind, attempted.ParentID = vault.SessionManage, row.ID
		attempted.EndUser.ID, attempted.TokenHash, attempted.Integrations, attempted.Completion = "other", hash("moved"), []string{"x"}, vault.CompleteAuto
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.UpdateSession(ctx, attempted) })
		got, err := w.SessionByID(ctx, row.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "updated, but for what a session is about", got, &changed)

		// The session outlives the connection it made.
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.DeleteConnection(ctx, con.ID) })
		if got, err = w.SessionByID(ctx, row.ID); err != nil || got.ConnectionID != "" || got.PendingID != "" {
			t.Errorf("after its connection was deleted: %+v, %v", got, err)
		}

		missing := changed
		missing.ID = "cs_none"
		wantErr(t, "update of none", w.try(func(ctx context.Context, tx vault.Tx) error { return tx.UpdateSession(ctx, missing) }), vault.ErrNotFound)
		for name, c := range map[string]struct {
			change func(*vault.SessionRow)
			want   error
		}{
			"same token":               {func(s *vault.SessionRow) { s.TokenHash = row.TokenHash }, vault.ErrDuplicate},
			"no environment":           {func(s *vault.SessionRow) { s.EnvironmentID = "env_none" }, vault.ErrNotFound},
			"no connection":            {func(s *vault.SessionRow) { s.ConnectionID = "con_none" }, vault.ErrNotFound},
			"expired is never stored":  {func(s *vault.SessionRow) { s.Status = vault.SessionExpired }, nil},
			"bound without a browser":  {func(s *vault.SessionRow) { s.Status = vault.SessionBound }, nil},
			"a result that never ends": {func(s *vault.SessionRow) { s.Status, s.ResultHash = vault.SessionPending, hash("r") }, nil},
			"a result of a finished one": {func(s *vault.SessionRow) {
				s.Status, s.ResultHash, s.ResultExpiresAt = vault.SessionCompleted, hash("r"), noon
			}, nil},
			"no kind":                    {func(s *vault.SessionRow) { s.Kind = "" }, nil},
			"no parent":                  {func(s *vault.SessionRow) { s.ParentID = "cs_none" }, vault.ErrNotFound},
			"no completion":              {func(s *vault.SessionRow) { s.Completion = "" }, nil},
			"without an end user":        {func(s *vault.SessionRow) { s.EndUser.ID = "" }, nil},
			"a token and not its hash":   {func(s *vault.SessionRow) { s.TokenHash = []byte("clv_cs_x") }, nil},
			"a binding and not its hash": {func(s *vault.SessionRow) { s.BindingHash = []byte("clv_b_x") }, nil},
		} {
			s := w.newSession()
			c.change(&s)
			err := w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertSession(ctx, s) })
			if c.want != nil {
				wantErr(t, name, err, c.want)
			} else {
				wantRefused(t, name, err)
			}
		}
	})
}

func TestGuesses(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		charge := func(w *world, user string, at time.Time) (n int) {
			w.do(func(ctx context.Context, tx vault.Tx) (err error) {
				n, err = tx.ChargeGuess(ctx, w.env.ID, user, at, time.Minute)
				return err
			})
			return n
		}
		refund := func() {
			w.do(func(ctx context.Context, tx vault.Tx) error { return tx.RefundGuess(ctx, w.env.ID, "u") })
		}
		for _, step := range []struct {
			what string
			got  func() int
			want int
		}{
			{"first", func() int { return charge(w, "u", noon) }, 1},
			{"second, same window", func() int { return charge(w, "u", noon.Add(59*time.Second)) }, 2},
			{"another end user", func() int { return charge(w, "v", noon) }, 1},
			{"another environment", func() int { return charge(other, "u", noon) }, 1},
			{"after a refund", func() int { refund(); return charge(w, "u", noon.Add(59*time.Second)) }, 2},
			{"the window runs from its first guess", func() int { return charge(w, "u", noon.Add(60*time.Second)) }, 3},
			{"older than the window", func() int { return charge(w, "u", noon.Add(61*time.Second)) }, 1},
			{"never below nothing", func() int { refund(); refund(); refund(); return charge(w, "u", noon.Add(62*time.Second)) }, 1},
		} {
			if got := step.got(); got != step.want {
				t.Errorf("%s: %d guesses, want %d", step.what, got, step.want)
			}
		}
		err := w.try(func(ctx context.Context, tx vault.Tx) error {
			_, err := tx.ChargeGuess(ctx, "env_none", "u", noon, time.Minute)
			return err
		})
		wantErr(t, "no environment", err, vault.ErrNotFound)
	})
}

// A form must not become a guessing machine by asking twice at once.
func TestGuessesRace(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		second := w.on(db.Open(t))
		const calls = 60
		within := race(t, calls, func(i int) (allowed bool, err error) {
			err = []*world{w, second}[i%2].try(func(ctx context.Context, tx vault.Tx) error {
				n, err := tx.ChargeGuess(ctx, w.env.ID, "u", noon, time.Minute)
				allowed = n <= vault.MaxGuessesPerMinute
				return err
			})
			return allowed, err
		})
		if within != vault.MaxGuessesPerMinute {
			t.Errorf("%d of %d guesses were within %d", within, calls, vault.MaxGuessesPerMinute)
		}
	})
}

func TestAttempts(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		s := w.session()
		row := w.attempt(s)

		got, err := w.AttemptByState(ctx, row.StateHash)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "by state", got, &row)
		_, err = w.AttemptByState(ctx, hash("unknown"))
		wantErr(t, "unknown state", err, vault.ErrNotFound)
		_, err = w.AttemptByState(ctx, nil)
		wantErr(t, "no state", err, vault.ErrNotFound)

		reply := func(b string) bool {
			return w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
				return tx.SetAttemptReply(ctx, row.ID, []byte(b))
			})
		}
		if !reply("first") || reply("second") {
			t.Error("a reply is kept once")
		}
		row.Reply = []byte("first")

		take := func() (a *vault.AttemptRow, err error) {
			err = w.try(func(ctx context.Context, tx vault.Tx) error {
				a, err = tx.TakeAttempt(ctx, row.ID)
				return err
			})
			return a, err
		}
		if got, err = take(); err != nil {
			t.Fatal(err)
		}
		equal(t, "taken", got, &row)
		_, err = take()
		wantErr(t, "taken again", err, vault.ErrNotFound)
		if w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
			return tx.SetAttemptReply(ctx, row.ID, []byte("late"))
		}) {
			t.Error("a reply to an attempt that is used up was kept")
		}

		// A transaction that fails gives the attempt back.
		row = w.attempt(s)
		boom := errors.New("boom")
		err = w.try(func(ctx context.Context, tx vault.Tx) error {
			_, err := tx.TakeAttempt(ctx, row.ID)
			return errors.Join(err, boom)
		})
		wantErr(t, "failing transaction", err, boom)
		if _, err = take(); err != nil {
			t.Errorf("after a rollback: %v", err)
		}

		for name, c := range map[string]struct {
			change func(*vault.AttemptRow)
			want   error
		}{
			"same state":                        {func(a *vault.AttemptRow) { a.StateHash = w.attempt(s).StateHash }, vault.ErrDuplicate},
			"no session":                        {func(a *vault.AttemptRow) { a.SessionID = "cs_none" }, vault.ErrNotFound},
			"another environment's session":     {func(a *vault.AttemptRow) { a.SessionID = other.session().ID }, vault.ErrNotFound},
			"another environment's integration": {func(a *vault.AttemptRow) { a.IntegrationID = other.in.ID }, vault.ErrNotFound},
			"empty state":                       {func(a *vault.AttemptRow) { a.StateHash = nil }, nil},
			"bound to no browser":               {func(a *vault.AttemptRow) { a.BindingHash = nil }, nil},
			"nothing sealed":                    {func(a *vault.AttemptRow) { a.Sealed = nil }, nil},
		} {
			a := w.newAttempt(s)
			c.change(&a)
			err := w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAttempt(ctx, a) })
			if c.want != nil {
				wantErr(t, name, err, c.want)
			} else {
				wantRefused(t, name, err)
			}
		}
	})
}

func TestAttemptIsTakenOnce(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		second := w.on(db.Open(t))
		row := w.attempt(w.session())
		won := race(t, 100, func(i int) (bool, error) {
			err := []*world{w, second}[i%2].try(func(ctx context.Context, tx vault.Tx) error {
				_, err := tx.TakeAttempt(ctx, row.ID)
				return err
			})
			if errors.Is(err, vault.ErrNotFound) {
				return false, nil
			}
			return err == nil, err
		})
		if won != 1 {
			t.Errorf("%d callers took the attempt", won)
		}
	})
}

func TestDeleteExpired(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		at := func(end time.Time) func(*vault.SessionRow) { return func(s *vault.SessionRow) { s.ExpiresAt = end } }
		keepSince := noon.Add(-time.Hour)
		fresh, ended := w.session(at(noon.Add(time.Hour))), w.session(at(noon.Add(-time.Minute)))
		old := w.session(at(keepSince.Add(-time.Second)))
		redeemable := w.session(at(keepSince.Add(-time.Second)), func(s *vault.SessionRow) {
			s.Status, s.ResultHash, s.ResultExpiresAt = vault.SessionPending, hash("r"), noon.Add(time.Minute)
		})
		attempt := func(s vault.SessionRow, end time.Time) vault.AttemptRow {
			a := w.newAttempt(s)
			a.ExpiresAt = end
			w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAttempt(ctx, a) })
			return a
		}
		running, over := attempt(fresh, noon.Add(time.Second)), attempt(fresh, noon)
		cascaded := attempt(old, noon.Add(time.Hour))
		w.do(func(ctx context.Context, tx vault.Tx) error {
			for i := range 600 { // more than one batch
				if _, err := tx.ChargeGuess(ctx, w.env.ID, newID("u"), noon.Add(-time.Hour-time.Duration(i)), time.Minute); err != nil {
					return err
				}
			}
			_, err := tx.ChargeGuess(ctx, w.env.ID, "u", noon, time.Minute)
			return err
		})

		if err := w.DeleteExpired(ctx, noon, keepSince); err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]struct {
			id   string
			kept bool
		}{
			"a running session":        {fresh.ID, true},
			"a session ended lately":   {ended.ID, true},
			"a session ended long ago": {old.ID, false},
			"one still to be redeemed": {redeemable.ID, true},
		} {
			if _, err := w.SessionByID(ctx, c.id); (err == nil) != c.kept {
				t.Errorf("%s: kept %t, want %t (%v)", what, err == nil, c.kept, err)
			}
		}
		for what, c := range map[string]struct {
			state []byte
			kept  bool
		}{
			"a running attempt":            {running.StateHash, true},
			"an attempt that is over":      {over.StateHash, false},
			"an attempt of a gone session": {cascaded.StateHash, false},
		} {
			if _, err := w.AttemptByState(ctx, c.state); (err == nil) != c.kept {
				t.Errorf("%s: kept %t, want %t (%v)", what, err == nil, c.kept, err)
			}
		}
		contains(t, "guess windows that are over", db.Dump(t), "guesses.end_user_id=u_", false)
		w.do(func(ctx context.Context, tx vault.Tx) error {
			if n, err := tx.ChargeGuess(ctx, w.env.ID, "u", noon, time.Minute); err != nil || n != 2 {
				t.Errorf("the running window: %d, %v", n, err)
			}
			return nil
		})
	})
}
