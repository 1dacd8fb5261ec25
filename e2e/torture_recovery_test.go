package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// recover asks for the headers of each line until they are well again or its
// end user has to link again, for as long as that may take.
func (w *tortured) recover(ctx context.Context, stopped time.Time) []ending {
	ctx, cancel := context.WithDeadline(ctx, stopped.Add(wellAgain))
	defer cancel()
	lines := w.readers.all()
	endings := make([]ending, len(lines))
	for i, l := range lines {
		endings[i].line = l
	}
	for round := 0; ctx.Err() == nil; round++ {
		var visits errgroup.Group
		visits.SetLimit(16)
		left := 0
		for i := range endings {
			e, m := &endings[i], w.members[(i+round)%len(w.members)]
			if e.well || errors.Is(e.last, errReconnect) {
				continue
			}
			left++
			visits.Go(func() error {
				w.visit(ctx, e, m, stopped)
				return nil
			})
		}
		_ = visits.Wait() // nothing fails
		if left == 0 {
			break
		}
		until(ctx, time.Now().Add(time.Second))
	}
	return endings
}

var errOld = errors.New("the headers are from before the faults stopped")

// visit asks once for the headers of a line.
func (w *tortured) visit(ctx context.Context, e *ending, m *member, stopped time.Time) {
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	token, err := w.readers.read(ctx, e.line, m, "?min_ttl=5")
	switch {
	case ctx.Err() != nil && e.last != nil:
		// what was said before says more
	case err != nil:
		e.last = err
	case token.Issued.Before(stopped):
		e.last = errOld
	default:
		e.well, e.after = true, time.Since(stopped)
	}
}

// compare holds what the database has to what the provider will take.
func (w *tortured) compare(t *testing.T, endings []ending) {
	t.Helper()
	var comparing errgroup.Group
	comparing.SetLimit(16)
	for i := range endings {
		comparing.Go(func() error { return w.compareOne(t.Context(), &endings[i]) })
	}
	if err := comparing.Wait(); err != nil {
		t.Errorf("looking at a connection: %v", err)
	}
}

func (w *tortured) compareOne(ctx context.Context, e *ending) error {
	path := "/v1/connections/" + e.line.id
	a, err := w.api.try(http.MethodGet, path, nil, "application/json")
	if err != nil {
		return err
	}
	var c connection
	if err := json.Unmarshal(a.body, &c); err != nil {
		return err
	}
	e.status, e.reason = c.Status, c.StatusReason
	for tries := 20; tries > 0 && e.status == "active" && !e.kept; tries-- {
		if a, err = w.api.try(http.MethodGet, path+"/credential?refresh_token=true", nil, "application/json"); err != nil {
			return err
		}
		var stored struct {
			Credential struct {
				RefreshToken string `json:"refresh_token"`
			}
		}
		if err := json.Unmarshal(a.body, &stored); err != nil {
			return err
		}
		if e.kept = stored.Credential.RefreshToken == w.head(e.line.family); !e.kept {
			until(ctx, time.Now().Add(250*time.Millisecond)) // it may be refreshed right now
		}
	}
	return nil
}

func (w *tortured) head(family string) string {
	for _, f := range w.provider.Families() {
		if f.ID == family {
			return f.Head
		}
	}
	return ""
}
