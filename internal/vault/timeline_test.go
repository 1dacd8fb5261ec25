package vault_test

import (
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// Whoever turns the pages of a timeline sees each entry once, and every read is
// in one of the sums.
func TestTimelinePages(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "token")
		key := b.secretKey(t)
		const hours, perHour = 100, 2
		changes := 0
		for i := range hours {
			b.pass(time.Hour)
			for range perHour {
				s, err := b.LookupHeaders(t.Context(), vault.Bearer{Key: key}, c.ID)
				must(t, err)
				_, err = b.OpenHeaders(t.Context(), s)
				must(t, err)
			}
			must(t, b.FlushReads(t.Context()))
			if i%3 == 0 {
				tags := map[string]string{"n": string(rune('a' + i%26))}
				_, err := b.PatchConnection(t.Context(), b.caller, c.ID, vault.ConnectionPatch{Tags: &tags})
				must(t, err)
				changes++
			}
		}
		entries, pages, sums := map[string]bool{}, 0, 0
		var reads int64
		newest, cursor := "~", ""
		for {
			page, err := b.Timeline(t.Context(), b.caller, c.ID, cursor)
			must(t, err)
			pages++
			if len(page.Items) == 0 || len(page.Items) > 80 {
				t.Fatalf("a page of %d", len(page.Items))
			}
			for _, item := range page.Items {
				id := ""
				if item.Entry != nil {
					id = item.Entry.ID
					if entries[id] || item.Entry.Action == vault.ActionHeadersRead {
						t.Errorf("%s once more, or a read", id)
					}
					entries[id] = true
				} else {
					id, reads, sums = item.Reads.LastID, reads+item.Reads.Count, sums+1
				}
				if id >= newest {
					t.Error("not newest first")
				}
				newest = id
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if reads != hours*perHour || len(entries) < changes || pages < 2 {
			t.Errorf("%d reads in %d sums, %d entries, %d pages", reads, sums, len(entries), pages)
		}
		if sums >= hours { // what is long ago is added up by the day
			t.Errorf("%d sums of %d hours", sums, hours)
		}

		a, err := b.Activity(t.Context(), b.caller, c.ID)
		must(t, err)
		var total int64
		for _, h := range a.Hours {
			total += h.Reads
		}
		if total != hours*perHour || len(a.Hours) != hours {
			t.Errorf("%d reads in %d hours", total, len(a.Hours))
		}
		nobody := b.caller
		nobody.Scopes = nil
		_, err = b.Timeline(t.Context(), nobody, c.ID, "")
		wantKind(t, err, fault.InsufficientScope)
		_, err = b.Activity(t.Context(), nobody, c.ID)
		wantKind(t, err, fault.InsufficientScope)
		if page, err := b.Timeline(t.Context(), vault.System("test", "env_other"), c.ID, ""); err != nil || len(page.Items) != 0 {
			t.Errorf("another environment sees %d items, %v", len(page.Items), err)
		}
	})
}
