package sandbox_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claviger/claviger/internal/sandbox"
)

// wantFamily compares the books of the only family, but for its id.
func wantFamily(t *testing.T, tl *sandbox.TimeLog, want sandbox.Family) {
	t.Helper()
	fams := tl.Families()
	if len(fams) != 1 {
		t.Fatalf("%d families", len(fams))
	}
	want.ClientID, want.Subject = sandbox.DemoClientID, "1815"
	if diff := cmp.Diff(want, fams[0], cmpopts.IgnoreFields(sandbox.Family{}, "ID", "RevokedAt")); diff != "" {
		t.Errorf("family (-want +got):\n%s", diff)
	}
}

func TestRefreshTokensRotate(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	head := text(t, f.link(), "refresh_token")
	seen := map[string]bool{head: true}
	for range 5 {
		a := f.token(refreshForm(head))
		wantStatus(t, a, http.StatusOK)
		if head = text(t, a.json(t), "refresh_token"); seen[head] {
			t.Fatal("a refresh token came twice")
		}
		seen[head] = true
	}
	wantFamily(t, f.tl, sandbox.Family{Head: head, Issued: 6, Spent: 5, MaxInFlight: 1})
	if f.tl.Reuses() != 0 || f.tl.RefreshCalls() != 5 {
		t.Errorf("%d reuses, %d refreshes", f.tl.Reuses(), f.tl.RefreshCalls())
	}
}

func TestReuseOfASpentRefreshToken(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		set         func(*sandbox.TimeLogSettings)
		wait        time.Duration
		reuseWorks  bool
		familyLives bool
	}{
		{"kills the family", func(*sandbox.TimeLogSettings) {}, 0, false, false},
		{"is only refused", func(s *sandbox.TimeLogSettings) { s.RevokeOnReuse = false }, 0, false, true},
		{"is fine within the grace", func(s *sandbox.TimeLogSettings) { s.ReuseGrace = time.Minute }, 59 * time.Second, true, false},
		{"is fatal after the grace", func(s *sandbox.TimeLogSettings) { s.ReuseGrace = time.Minute }, time.Minute, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			clk := newClock()
			s := start(t, sandbox.Config{Now: clk.Now})
			f := newFlow(t, s.TimeLog())
			f.tl.Set(tt.set)
			spent := text(t, f.link(), "refresh_token")
			tokens := f.token(refreshForm(spent)).json(t)
			clk.advance(tt.wait)

			again := f.token(refreshForm(spent))
			if tt.reuseWorks {
				wantStatus(t, again, http.StatusOK)
				wantStatus(t, f.token(refreshForm(text(t, again.json(t), "refresh_token"))), http.StatusOK)
			} else {
				wantError(t, again, http.StatusBadRequest, "invalid_grant")
			}
			if f.tl.Reuses() != 1 {
				t.Errorf("%d reuses", f.tl.Reuses())
			}
			if tt.reuseWorks {
				return
			}
			status, access := http.StatusBadRequest, http.StatusUnauthorized
			if tt.familyLives {
				status, access = http.StatusOK, http.StatusOK
			}
			wantStatus(t, f.resolve(text(t, tokens, "access_token")), access)
			wantStatus(t, f.token(refreshForm(text(t, tokens, "refresh_token"))), status)
			if fam := f.tl.Families()[0]; fam.Revoked == tt.familyLives || fam.Revoked && fam.RevokedBy != "reuse" {
				t.Errorf("family %+v", fam)
			}
		})
	}
}

func TestReusableRefreshTokens(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	f.tl.Set(func(s *sandbox.TimeLogSettings) { s.ReusableRefresh = true })
	token := text(t, f.link(), "refresh_token")
	for range 3 {
		if got := text(t, f.token(refreshForm(token)).json(t), "refresh_token"); got != token {
			t.Errorf("token %q, then %q", token, got)
		}
	}
	wantFamily(t, f.tl, sandbox.Family{Head: token, Issued: 1, MaxInFlight: 1})
}

// Of many refreshes with one token at once, one wins and the rest are reuses.
func TestConcurrentRefreshesAreCounted(t *testing.T) {
	t.Parallel()
	const n = 20
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	f.tl.Set(func(s *sandbox.TimeLogSettings) { s.RevokeOnReuse = false })
	token := text(t, f.link(), "refresh_token")
	release := make(chan struct{})
	f.tl.Faults().Next(sandbox.TimeLogRefresh, n, sandbox.Hang(release))

	status := make(chan int, n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { status <- f.token(refreshForm(token)).StatusCode })
	}
	if err := f.tl.WaitRefresh(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	close(release)
	wg.Wait()
	close(status)
	count := map[int]int{}
	for s := range status {
		count[s]++
	}
	if want := map[int]int{200: 1, 400: n - 1}; !cmp.Equal(count, want) {
		t.Errorf("answers %v, want %v", count, want)
	}
	fam := f.tl.Families()[0]
	if fam.MaxInFlight != n || fam.Reused != n-1 || fam.Issued != 2 || fam.Spent != 1 || fam.Revoked {
		t.Errorf("family %+v", fam)
	}
}

// The books know when an answer with a new token in it did not go out.
func TestUndeliveredRefresh(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		fault     sandbox.Fault
		spent     int
		undeliver bool
	}{
		{"500 before the work", sandbox.Status(500), 0, false},
		{"500 after the work", sandbox.Done(sandbox.Status(500)), 1, true},
		{"cut half-way", sandbox.Cut(), 1, true},
		{"dropped before the work", sandbox.Drop(), 0, false},
		{"dropped after the work", sandbox.Done(sandbox.Drop()), 1, true},
		{"late", sandbox.Late(time.Millisecond), 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, sandbox.Config{})
			f := newFlow(t, s.TimeLog())
			token := text(t, f.link(), "refresh_token")
			f.tl.Faults().Next(sandbox.TimeLogRefresh, 1, tt.fault)
			_, _ = try(t, f.c, http.MethodPost, f.tl.URL()+"/connect/token", refreshForm(token).Encode(), asForm)
			waitIdle(t, f.tl)
			fam := f.tl.Families()[0]
			if fam.Spent != tt.spent || fam.Undelivered != tt.undeliver {
				t.Errorf("family %+v", fam)
			}
		})
	}
}
