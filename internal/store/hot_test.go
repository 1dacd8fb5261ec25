package store_test

import (
	"testing"

	"github.com/claviger/claviger/internal/store/storetest"
)

// What happens all the time touches no index: on Postgres such an update stays on
// its page (a heap-only tuple), and leaves nothing behind in a dozen indexes. A
// read touches one when it is the first of its day.
func TestFrequentUpdatesTouchNoIndex(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		row := w.connect()
		if db.Kind != "postgres" {
			return // SQLite writes the row where it is
		}
		for what, c := range map[string]struct {
			set string
			hot int
		}{
			"a read":              {"last_read_at = last_read_at + 30000000", 1},
			"a lease":             {"lease_owner = 'me', lease_until = 1, lease_epoch = lease_epoch + 1", 1},
			"what is spent":       {"lease_spending = '\\x00', lease_until = lease_until + 1", 1},
			"a read on a new day": {"last_read_at = last_read_at + 86400000000", 0},
			"another status":      {"status = 'reconnect_required'", 0},
		} {
			tx, err := db.Raw(t).BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), `UPDATE connections SET `+c.set+` WHERE id = $1`, row.ID); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			var hot int
			if err := tx.QueryRowContext(t.Context(), `SELECT n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'connections'`).Scan(&hot); err != nil {
				t.Fatal(err)
			}
			if hot != c.hot {
				t.Errorf("%s: %d updates on the page, want %d", what, hot, c.hot)
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
