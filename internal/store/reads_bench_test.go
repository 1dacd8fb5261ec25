package store_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// BenchmarkAddReads is a flush of 10,000 reads of as many connections.
func BenchmarkAddReads(b *testing.B) {
	storetest.EachB(b, func(b *testing.B, db *storetest.DB) {
		s := db.Open(b)
		env := vault.Environment{ID: newID("env"), Name: "env-" + uuid.NewString(), Keyset: []byte("wrapped"), CreatedAt: noon}
		if err := s.Update(b.Context(), func(tx vault.Tx) error { return tx.InsertEnvironment(b.Context(), env) }); err != nil {
			b.Fatal(err)
		}
		i := 0
		for b.Loop() {
			i++
			reads := make([]vault.ReadCount, 10_000)
			for j := range reads {
				reads[j] = vault.ReadCount{
					EnvironmentID: env.ID, ActorID: "key_1", ConnectionID: fmt.Sprint("con_", j*7919%10_000), Action: vault.ActionHeadersRead,
					LastAt: noon.Add(1), Count: 1,
				}
			}
			if err := s.AddReads(b.Context(), reads); err != nil {
				b.Fatal(err)
			}
		}
	})
}
