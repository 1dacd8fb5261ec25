package store_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

func TestSmoke(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *storetest.DB) {
		t.Parallel()
		s := db.Open(t)
		ctx := t.Context()
		if err := s.Ping(ctx); err != nil {
			t.Fatal(err)
		}
		want := vault.Environment{ID: "env_1", Name: "default", Keyset: []byte("keyset"), CreatedAt: time.UnixMicro(5).UTC()}
		if err := s.Update(ctx, func(tx vault.Tx) error { return tx.InsertEnvironment(ctx, want) }); err != nil {
			t.Fatal(err)
		}
		got, err := s.EnvironmentByName(ctx, "default")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&want, got); d != "" {
			t.Error(d)
		}
		if !bytes.Contains(db.Dump(t), []byte("keyset")) {
			t.Error("dump lacks the row")
		}
	})
}
