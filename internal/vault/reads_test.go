package vault_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

func (b *bench) readsOf(t *testing.T, connectionID string) []vault.AuditEntry {
	t.Helper()
	entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{ConnectionID: connectionID, Action: vault.ActionHeadersRead, Page: vault.Page{Limit: 200}})
	must(t, err)
	return entries
}

// In a strict environment each read has its entry before it has its answer, and
// every replica knows at once that it is strict.
func TestStrictReads(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		key := b.secretKey(t)
		system := vault.System("test", b.caller.EnvironmentID)
		other := b.replica(t)
		read := func(v *vault.Vault) error {
			s, err := v.LookupHeaders(t.Context(), vault.Bearer{Key: key}, c.ID)
			if err != nil {
				return err
			}
			_, err = v.OpenHeaders(t.Context(), s)
			return err
		}
		must(t, read(other))
		if n := len(b.readsOf(t, c.ID)); n != 0 {
			t.Fatalf("%d entries of a read that is gathered", n)
		}
		must(t, other.FlushReads(t.Context()))

		must(t, b.SetReadAudit(t.Context(), system, true))
		must(t, b.SetReadAudit(t.Context(), system, true))
		for i := range 3 {
			must(t, read(other))
			entries := b.readsOf(t, c.ID)
			if len(entries) != i+2 {
				t.Fatalf("%d entries after %d strict reads and a gathered one", len(entries), i+1)
			}
			if e := entries[0]; e.Count != 1 || e.Generation != c.Generation || !e.Allowed || e.ActorKind != vault.CallerAPIKey {
				t.Errorf("entry %+v", e)
			}
		}
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				if err := read([]*vault.Vault{b.Vault, other}[i%2]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(b.readsOf(t, c.ID)); n != 64 {
			t.Errorf("%d entries, want 64", n)
		}
		b.pass(vault.UseCoarse)
		must(t, read(other))
		must(t, b.FlushReads(t.Context()))
		must(t, other.FlushReads(t.Context()))
		if n := len(b.readsOf(t, c.ID)); n != 65 {
			t.Errorf("%d entries after the flush, want 65: a strict read was gathered too", n)
		}
		if got := b.connection(t, c.ID).LastReadAt; !got.Equal(b.clock()) {
			t.Errorf("last read at %v, want %v", got, b.clock())
		}

		must(t, b.SetReadAudit(t.Context(), system, false))
		must(t, read(other))
		if n := len(b.readsOf(t, c.ID)); n != 65 {
			t.Errorf("%d entries: still strict", n)
		}
		changes, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{Action: vault.ActionReadAuditChanged, Page: vault.Page{Limit: 10}})
		must(t, err)
		var reasons []string
		for _, e := range changes {
			reasons = append(reasons, e.Reason)
		}
		if diff := cmp.Diff([]string{"minute", "strict"}, reasons); diff != "" {
			t.Errorf("the trail of the setting (-want +got):\n%s", diff)
		}
	})
}

// What cannot be recorded is not answered.
func TestStrictReadsThatCannotBeRecorded(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		key := b.secretKey(t)
		must(t, b.SetReadAudit(t.Context(), vault.System("test", b.caller.EnvironmentID), true))
		rename := func(from, to string) {
			t.Helper()
			db := b.db.Raw(t)
			defer db.Close()
			_, err := db.ExecContext(t.Context(), fmt.Sprintf("ALTER TABLE %s RENAME TO %s", from, to))
			must(t, err)
		}
		rename("audit_entries", "hidden")
		s, err := b.LookupHeaders(t.Context(), vault.Bearer{Key: key}, c.ID)
		must(t, err)
		_, err = b.OpenHeaders(t.Context(), s)
		wantKind(t, err, fault.Unavailable)
		if f, ok := fault.As(err); !ok || f.RetryAfter <= 0 {
			t.Errorf("no word of when to come back: %v", err)
		}
		rename("hidden", "audit_entries")
		headers(t, b, key, c.ID)
		if n := len(b.readsOf(t, c.ID)); n != 1 {
			t.Errorf("%d entries", n)
		}
	})
}
