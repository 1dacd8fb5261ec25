package store_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// bulk writes down a bulk revocation of what a filter matches.
func (w *world) bulk(f vault.ConnectionFilter) vault.BulkRevocation {
	w.t.Helper()
	b := vault.BulkRevocation{
		ID: newID("rev"), EnvironmentID: w.env.ID, ActorKind: vault.CallerAPIKey, ActorID: w.key.ID, Status: vault.BulkGathering,
		Filter: &f, UpTo: newID("con"), CreatedAt: noon, WorkedAt: noon,
	}
	w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertBulkRevocation(ctx, b) })
	return b
}

func (w *world) items(id string, f vault.BulkItemFilter) []string {
	w.t.Helper()
	f.Page.Limit = 1000
	items, err := w.BulkItems(w.t.Context(), id, f)
	if err != nil {
		w.t.Fatal(err)
	}
	var ids []string
	for _, i := range items {
		ids = append(ids, i.ConnectionID)
	}
	return ids
}

func TestBulkRevocation(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		// Every member there is, and each that is added later: a filter that loses one
		// on the way revokes what nobody asked for.
		var full vault.ConnectionFilter
		fill(t, reflect.ValueOf(&full).Elem())
		b := w.bulk(full)
		got, err := w.BulkRevocation(ctx, w.env.ID, b.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "as written", got, &b)
		_, err = w.BulkRevocation(ctx, other.env.ID, b.ID)
		wantErr(t, "another environment's", err, vault.ErrNotFound)
		err = w.try(func(ctx context.Context, tx vault.Tx) error {
			_, err := tx.LockBulkRevocation(ctx, other.env.ID, b.ID)
			return err
		})
		wantErr(t, "another environment's, locked", err, vault.ErrNotFound)
		if raw := db.Raw(t); raw != nil {
			if _, err := raw.ExecContext(ctx, `UPDATE bulk_revocations SET filter = '{"Unheard":"of"}'`); err != nil {
				t.Fatal(err)
			}
			if got, err := w.BulkRevocation(ctx, w.env.ID, b.ID); err == nil {
				t.Errorf("a filter with a member that nobody knows is %+v", got.Filter)
			}
			if _, err := raw.ExecContext(ctx, `UPDATE bulk_revocations SET filter = NULL`); err != nil {
				t.Fatal(err)
			}
		}

		b.Filter, b.Status, b.Gathered, b.GatheredTo = nil, vault.BulkStopped, true, "con_0"
		b.BulkCounts = vault.BulkCounts{Total: 10, Revoked: 4, AlreadyRevoked: 1, Missing: 2, Failed: 1, ToldRevoked: 2, ToldUnsupported: 1}
		b.StartedAt, b.FinishedAt, b.WorkedAt = noon.Add(1000), noon.Add(2000), noon.Add(3000)
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.UpdateBulkRevocation(ctx, b) })
		second := w.bulk(vault.ConnectionFilter{})
		list, err := w.BulkRevocations(ctx, w.env.ID, "", vault.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "listed, newest first", list, []vault.BulkRevocation{second, b})
		if list, err := w.BulkRevocations(ctx, other.env.ID, "", vault.Page{Limit: 10}); err != nil || len(list) != 0 {
			t.Errorf("in another environment: %+v, %v", list, err)
		}

		for name, change := range map[string]func(*vault.BulkRevocation){
			"more done than there is":  func(b *vault.BulkRevocation) { b.Missing = 5 },
			"more told than revoked":   func(b *vault.BulkRevocation) { b.ToldFailed = 2 },
			"completed, and not ended": func(b *vault.BulkRevocation) { b.Status, b.FinishedAt = vault.BulkCompleted, time.Time{} },
			"running, and not gathered": func(b *vault.BulkRevocation) {
				b.Status, b.Gathered, b.FinishedAt = vault.BulkRunning, false, time.Time{}
			},
			"a status that there is not":   func(b *vault.BulkRevocation) { b.Status = "paused" },
			"gathering, and all gathered":  func(b *vault.BulkRevocation) { b.Status, b.FinishedAt = vault.BulkGathering, time.Time{} },
			"less than nothing of a count": func(b *vault.BulkRevocation) { b.Failed = -1 },
		} {
			broken := b
			change(&broken)
			err := w.try(func(ctx context.Context, tx vault.Tx) error { return tx.UpdateBulkRevocation(ctx, broken) })
			wantRefused(t, name, err)
		}
	})
}

// TestBulkDeletion: one at a time, and what is stopped is none.
func TestBulkDeletion(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		begin := func() (vault.BulkRevocation, error) {
			b := vault.BulkRevocation{
				ID: newID("rev"), EnvironmentID: w.env.ID, ActorKind: vault.CallerAdmin, ActorID: "adm", Status: vault.BulkRunning, Gathered: true,
				UpTo: newID("con"), CreatedAt: noon, WorkedAt: noon, Deletion: vault.BulkDeletion{IntegrationID: w.in.ID, Key: w.in.Key},
			}
			return b, w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertBulkRevocation(ctx, b) })
		}
		update := func(b vault.BulkRevocation) error {
			return w.try(func(ctx context.Context, tx vault.Tx) error { return tx.UpdateBulkRevocation(ctx, b) })
		}
		found := func(want *vault.BulkRevocation) {
			t.Helper()
			got, err := w.BulkDeletionOf(ctx, w.env.ID, w.in.ID)
			if want == nil {
				wantErr(t, "none", err, vault.ErrNotFound)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "the one at work", got, want)
		}
		found(nil)
		b, err := begin()
		if err != nil {
			t.Fatal(err)
		}
		found(&b)
		_, err = w.BulkDeletionOf(ctx, other.env.ID, w.in.ID)
		wantErr(t, "from another environment", err, vault.ErrNotFound)
		_, err = begin()
		wantErr(t, "a second one", err, vault.ErrDuplicate)

		// There is nothing to revoke and nobody to tell, and still something to do.
		var at *vault.BulkRevocation
		work := func() error {
			return w.try(func(ctx context.Context, tx vault.Tx) (err error) {
				at, err = tx.LockBulkAtWork(ctx)
				return err
			})
		}
		b.BulkCounts = vault.BulkCounts{Total: 1, Revoked: 1}
		if err := errors.Join(update(b), work()); err != nil || at.ID != b.ID {
			t.Fatalf("at work: %+v, %v", at, err)
		}
		stopped := b
		stopped.Status, stopped.FinishedAt = vault.BulkStopped, noon
		if err := update(stopped); err != nil {
			t.Fatal(err)
		}
		found(nil)
		second, err := begin()
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, "the first one again", update(b), vault.ErrDuplicate)
		found(&second)

		early := second
		early.Status, early.FinishedAt = vault.BulkCompleted, noon
		wantRefused(t, "completed, and not deleted", update(early))
		second.Deletion.DeletedAt = noon
		second.BulkCounts = vault.BulkCounts{Total: 1, Revoked: 1}
		if err := update(second); err != nil {
			t.Fatal(err)
		}
		found(&second)
		wantErr(t, "with the provider still to be told", work(), vault.ErrNotFound)

		plain := w.bulk(vault.ConnectionFilter{})
		plain.Deletion.DeletedAt = noon
		wantRefused(t, "deleted, and nothing to delete", update(plain))
		half := plain
		half.ID, half.Deletion = newID("rev"), vault.BulkDeletion{IntegrationID: "int_x"}
		wantRefused(t, "an integration without its key", w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertBulkRevocation(ctx, half) }))
	})
}

// fill gives every member a value that is not its zero.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b"}))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(noon))
			return
		}
		for _, field := range v.Fields() {
			fill(t, field)
		}
	default:
		t.Fatalf("nobody knows how to fill a %s", v.Type())
	}
}

// TestCountRevocable: what a list shows, without what is revoked.
func TestCountRevocable(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		w.elsewhere().connect()
		blue := func(c *vault.ConnectionRow) { c.Tags = map[string]string{"team": "blue"} }
		red := func(c *vault.ConnectionRow) { c.Tags = map[string]string{"team": "red"} }
		var want []string
		for i := range 7 {
			want = append(want, w.connect(blue).ID)
			w.connect(red)
			if i == 3 {
				w.connect(blue, func(c *vault.ConnectionRow) {
					c.Status, c.Credential, c.Answer = vault.StatusRevoked, nil, nil
				})
				w.connect(blue, pending(noon), func(c *vault.ConnectionRow) { c.ReplacesID = want[0] })
			}
		}
		f := vault.ConnectionFilter{Tags: map[string]string{"team": "blue"}}
		count := func(target vault.BulkTarget, most int) []vault.BulkGroup {
			t.Helper()
			groups, err := w.CountRevocable(t.Context(), w.env.ID, target, most)
			if err != nil {
				t.Fatal(err)
			}
			return groups
		}
		equal(t, "counted", count(vault.BulkTarget{Filter: f}, 100), []vault.BulkGroup{{Integration: w.in.Key, Method: "api_token", Count: 7}})
		equal(t, "counted, and no further", count(vault.BulkTarget{Filter: f}, 5), []vault.BulkGroup{{Integration: w.in.Key, Method: "api_token", Count: 5}})
		equal(t, "counted by id", count(vault.BulkTarget{IDs: []string{want[0], want[3], "con_none"}}, 100), []vault.BulkGroup{{Integration: w.in.Key, Method: "api_token", Count: 2}})
		if got := count(vault.BulkTarget{Filter: vault.ConnectionFilter{EndUserID: "nobody"}}, 100); len(got) != 0 {
			t.Errorf("of nobody there are %v", got)
		}
	})
}

func TestBulkItems(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		b := w.bulk(vault.ConnectionFilter{})
		ids := []string{"con_a", "con_b", "con_c", "con_d", "con_e"}
		for _, part := range [][]string{ids[:3], ids, nil} { // what is there already is not new
			had := len(w.items(b.ID, vault.BulkItemFilter{}))
			w.do(func(ctx context.Context, tx vault.Tx) error {
				n, err := tx.InsertBulkItems(ctx, b.ID, part)
				if want := max(len(part)-had, 0); n != int64(want) {
					t.Errorf("%d of %d are new, want %d", n, len(part), want)
				}
				return err
			})
		}
		b.Gathered, b.Status, b.Total = true, vault.BulkRunning, 5
		settle := func(id string, o vault.BulkOutcome, told vault.Outcome) bool {
			return w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
				return tx.SettleBulkItem(ctx, b.ID, vault.BulkItem{ConnectionID: id, Outcome: o, Told: told, DoneAt: noon})
			})
		}
		for id, o := range map[string]vault.BulkOutcome{"con_a": vault.BulkRevoked, "con_b": vault.BulkRevoked, "con_c": vault.BulkMissing, "con_d": vault.BulkRevoked} {
			if !settle(id, o, "") || settle(id, vault.BulkFailed, "") {
				t.Errorf("%s has to be settled once", id)
			}
		}
		if settle("con_none", vault.BulkRevoked, "") {
			t.Error("settled what is not in it")
		}
		b.Revoked, b.Missing = 3, 1
		w.do(func(ctx context.Context, tx vault.Tx) error {
			untouched, err := tx.UntouchedBulkItems(ctx, b.ID, 10)
			if !slices.Equal(untouched, []string{"con_e"}) {
				t.Errorf("untouched: %q", untouched)
			}
			return err
		})
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.UpdateBulkRevocation(ctx, b) })

		told := func(id string, o vault.Outcome) {
			t.Helper()
			w.do(func(ctx context.Context, tx vault.Tx) error { return tx.NoteBulkTold(ctx, b.ID, id, o) })
		}
		told("con_a", vault.OutcomeFailed)
		told("con_a", vault.OutcomeFailed)
		told("con_b", vault.OutcomeUnsupported)
		told("con_a", vault.OutcomeRevoked)
		told("con_d", vault.OutcomeFailed)
		told("con_none", vault.OutcomeFailed) // swept: nobody wants to know any more
		b.ToldRevoked, b.ToldUnsupported, b.ToldFailed = 1, 1, 1
		got, err := w.BulkRevocation(ctx, w.env.ID, b.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the counts", got, &b)
		err = w.try(func(ctx context.Context, tx vault.Tx) error {
			return tx.NoteBulkTold(ctx, b.ID, "con_e", vault.OutcomeRevoked)
		})
		wantRefused(t, "told of one that is not revoked", err)

		items, err := w.BulkItems(ctx, b.ID, vault.BulkItemFilter{Page: vault.Page{Limit: 2, Cursor: "con_e"}})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "a page", items, []vault.BulkItem{
			{ConnectionID: "con_d", Outcome: vault.BulkRevoked, Told: vault.OutcomeFailed, DoneAt: noon},
			{ConnectionID: "con_c", Outcome: vault.BulkMissing, DoneAt: noon},
		})
		for _, tt := range []struct {
			f    vault.BulkItemFilter
			want []string
		}{
			{vault.BulkItemFilter{Outcome: vault.BulkMissing}, []string{"con_c"}},
			{vault.BulkItemFilter{Told: vault.OutcomeFailed}, []string{"con_d"}},
			{vault.BulkItemFilter{Outcome: vault.BulkRevoked, Told: vault.OutcomeRevoked}, []string{"con_a"}},
			{vault.BulkItemFilter{Outcome: vault.BulkFailed}, nil},
		} {
			if got := w.items(b.ID, tt.f); !slices.Equal(got, tt.want) {
				t.Errorf("%+v: %q, want %q", tt.f, got, tt.want)
			}
		}

		id, err := w.BulkRevocationOf(ctx, w.env.ID, "con_a")
		if err != nil || id != b.ID {
			t.Errorf("con_a was revoked by %q, %v", id, err)
		}
		for what, ask := range map[string][2]string{
			"missing": {w.env.ID, "con_c"}, "untouched": {w.env.ID, "con_e"}, "another environment": {w.elsewhere().env.ID, "con_a"},
		} {
			_, err = w.BulkRevocationOf(ctx, ask[0], ask[1])
			wantErr(t, what, err, vault.ErrNotFound)
		}

		// What is over goes, with its items; what is not stays however old it is.
		done := b
		done.Status, done.FinishedAt = vault.BulkStopped, noon
		for at, want := range map[time.Time]error{noon: nil, noon.Add(1): nil} {
			if err := w.DeleteExpired(ctx, at, at); err != nil {
				t.Fatal(err)
			}
			_, err := w.BulkRevocation(ctx, w.env.ID, b.ID)
			wantErr(t, "unfinished", err, want)
		}
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.UpdateBulkRevocation(ctx, done) })
		if err := w.DeleteExpired(ctx, noon.Add(time.Second), noon.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		_, err = w.BulkRevocation(ctx, w.env.ID, b.ID)
		wantErr(t, "over", err, vault.ErrNotFound)
		if left := w.items(b.ID, vault.BulkItemFilter{}); len(left) != 0 {
			t.Errorf("its items are still there: %q", left)
		}
	})
}

// TestBulkAtWork: the one that has waited longest is next, and one that only
// waits for its providers is not.
func TestBulkAtWork(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		next := func() (id string) {
			t.Helper()
			err := w.try(func(ctx context.Context, tx vault.Tx) error {
				b, err := tx.LockBulkAtWork(ctx)
				if err == nil {
					id = b.ID
				}
				return err
			})
			if id == "" {
				wantErr(t, "none", err, vault.ErrNotFound)
			}
			return id
		}
		if got := next(); got != "" {
			t.Errorf("%s is to be worked on", got)
		}
		first, second := w.bulk(vault.ConnectionFilter{}), w.elsewhere().bulk(vault.ConnectionFilter{})
		change := func(b *vault.BulkRevocation, fn func(*vault.BulkRevocation)) {
			fn(b)
			w.do(func(ctx context.Context, tx vault.Tx) error { return tx.UpdateBulkRevocation(ctx, *b) })
		}
		change(&first, func(b *vault.BulkRevocation) { b.WorkedAt = noon.Add(time.Second) })
		if got := next(); got != second.ID {
			t.Errorf("next is %s, want the one that has waited longer", got)
		}
		change(&second, func(b *vault.BulkRevocation) { b.Status, b.FinishedAt = vault.BulkStopped, noon })
		for _, tt := range []struct {
			name   string
			change func(*vault.BulkRevocation)
			work   bool
		}{
			{"some to revoke", func(b *vault.BulkRevocation) {
				b.Status, b.Gathered, b.Total, b.Revoked = vault.BulkRunning, true, 2, 1
			}, true},
			{"all revoked, one provider to be told", func(b *vault.BulkRevocation) { b.Revoked, b.ToldFailed = 2, 1 }, false},
			{"all told", func(b *vault.BulkRevocation) { b.ToldUnsupported = 1 }, true},
			{"completed", func(b *vault.BulkRevocation) { b.Status, b.FinishedAt = vault.BulkCompleted, noon }, false},
		} {
			change(&first, tt.change)
			if got := next(); (got == first.ID) != tt.work {
				t.Errorf("%s: next is %q", tt.name, got)
			}
		}
	})
}
