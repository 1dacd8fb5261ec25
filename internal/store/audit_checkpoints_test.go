package store_test

import (
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// A checkpoint is one of a chain, or of none, and says what its kind says.
func TestCheckpoints(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		s := db.Open(t)
		base := checkpointOf(1, vault.AuditEntry{Writer: "wri_1", Seq: 3, ID: "aud_3"})
		of := func(number int64, change func(*vault.Checkpoint)) vault.Checkpoint {
			c := base
			c.Number = number
			change(&c)
			return c
		}
		kinds := []vault.Checkpoint{
			base,
			of(2, func(c *vault.Checkpoint) { c.Kind, c.Seq, c.EntryID = vault.CheckpointClosed, 5, "aud_5" }),
			of(3, func(c *vault.Checkpoint) { c.Kind, c.Count = vault.CheckpointDropped, 3 }),
			of(4, func(c *vault.Checkpoint) { c.Kind, c.Writer, c.EntryID = vault.CheckpointPruned, "", "aud_0" }),
			of(5, func(c *vault.Checkpoint) {
				c.Kind, c.Writer, c.Statement, c.Count = vault.CheckpointAcknowledged, "", "a\nb", 2
			}),
		}
		for _, c := range kinds {
			if err := s.InsertCheckpoint(ctx, c); err != nil {
				t.Fatalf("%s: %v", c.Kind, err)
			}
		}
		wantErr(t, "a number that is taken", s.InsertCheckpoint(ctx, of(5, func(*vault.Checkpoint) {})), vault.ErrDuplicate)
		for what, change := range map[string]func(*vault.Checkpoint){
			"running, with a count":             func(c *vault.Checkpoint) { c.Count = 1 },
			"acknowledged, without one":         func(c *vault.Checkpoint) { c.Kind, c.Writer, c.Statement = vault.CheckpointAcknowledged, "", "x" },
			"pruned, of a chain":                func(c *vault.Checkpoint) { c.Kind = vault.CheckpointPruned },
			"running, of none":                  func(c *vault.Checkpoint) { c.Writer = "" },
			"acknowledged, without a statement": func(c *vault.Checkpoint) { c.Kind, c.Writer, c.Count = vault.CheckpointAcknowledged, "", 1 },
			"running, with a statement":         func(c *vault.Checkpoint) { c.Statement = "x" },
			"too much of a statement": func(c *vault.Checkpoint) {
				c.Kind, c.Writer, c.Count, c.Statement = vault.CheckpointAcknowledged, "", 1, strings.Repeat("x", 65537)
			},
			"of a kind there is not": func(c *vault.Checkpoint) { c.Kind = "other" },
		} {
			wantRefused(t, what, s.InsertCheckpoint(ctx, of(6, change)))
		}

		numbers := func(list []vault.Checkpoint, err error) (n []int64) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range list {
				n = append(n, c.Number)
			}
			return n
		}
		all, err := s.CheckpointsAfter(ctx, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "all by number", all, kinds)
		equal(t, "two after the first", numbers(s.CheckpointsAfter(ctx, 1, 2)), []int64{2, 3})
		equal(t, "of some entries", numbers(s.CheckpointsBetween(ctx, "aud_3", "aud_4")), []int64{1, 3, 5})
		equal(t, "stated of a chain", numbers(s.StatedAfter(ctx, "wri_1", 2, 10)), []int64{1, 2})
		equal(t, "stated after an entry", numbers(s.StatedAfter(ctx, "wri_1", 3, 10)), []int64{2})
		equal(t, "acknowledged", numbers(s.Acknowledgements(ctx)), []int64{5})
		for kind, want := range map[vault.CheckpointKind]*vault.Checkpoint{vault.CheckpointDropped: &kinds[2], vault.CheckpointRunning: &kinds[0], vault.CheckpointPruned: nil} {
			got, err := s.LastOfKind(ctx, "wri_1", kind)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "last "+string(kind), got, want)
		}

		statement := of(6, func(c *vault.Checkpoint) { c.Kind, c.Writer, c.Seq = vault.CheckpointPruned, "", 2 })
		if err := s.DropCheckpoints(ctx, 2, 3, statement); err == nil {
			t.Error("dropped another number of them than was said")
		}
		equal(t, "after that", numbers(s.CheckpointsAfter(ctx, 0, 10)), []int64{1, 2, 3, 4, 5})
		if err := s.DropCheckpoints(ctx, 2, 2, statement); err != nil {
			t.Fatal(err)
		}
		equal(t, "dropped", numbers(s.CheckpointsAfter(ctx, 0, 10)), []int64{3, 4, 5, 6})
		wantErr(t, "again", s.DropCheckpoints(ctx, 3, 1, statement), vault.ErrDuplicate)
	})
}
