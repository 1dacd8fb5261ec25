package refresh_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/vault"
)

// windows gathers how long renewed credentials were at risk, from the log.
type windows struct {
	slog.Handler

	mu  sync.Mutex
	all []time.Duration
}

func (w *windows) Enabled(context.Context, slog.Level) bool { return true }

func (w *windows) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "window" {
			w.mu.Lock()
			w.all = append(w.all, a.Value.Duration())
			w.mu.Unlock()
		}
		return true
	})
	return nil
}

// TestWindow prints how long the window is in which a kill loses a rotated
// token: from the provider's answer to the commit, or to the sync of the spool.
func TestWindow(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const refreshes = 50
		for _, down := range []bool{false, true} {
			w := &windows{Handler: slog.DiscardHandler}
			cfg := refresh.Config{Spool: b.openSpool(t, t.TempDir()), Log: slog.New(w)}
			s := &refusing{Store: b.db.Open(t), saves: down}
			r := b.openWith(t, s, cfg)
			for range refreshes {
				c := b.linkTimeLog(t)
				if _, err := r.Refresh(t.Context(), b.caller, c.ID); err != nil && !down {
					t.Fatal(err)
				}
			}
			want := 2 * refreshes // the rescue, and the rest
			if len(w.all) != want {
				t.Fatalf("%d saves, want %d", len(w.all), want)
			}
			slices.Sort(w.all)
			t.Logf("database refuses: %t; window over %d saves: median %v, 99th percentile %v, longest %v",
				down, want, w.all[want/2], w.all[want*99/100], w.all[want-1])
		}
	})
}

// refusing takes no credential where it is told so.
type refusing struct {
	vault.Store

	saves bool
}

func (s *refusing) Update(ctx context.Context, fn func(vault.Tx) error) error {
	return s.Store.Update(ctx, func(tx vault.Tx) error {
		if s.saves {
			tx = refusingTx{tx}
		}
		return fn(tx)
	})
}

type refusingTx struct{ vault.Tx }

func (refusingTx) SaveCredential(context.Context, string, int64, int64, vault.CredentialChange) (bool, error) {
	return false, errDown
}
