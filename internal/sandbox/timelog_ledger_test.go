package sandbox_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claviger/claviger/internal/sandbox"
)

// The ledger says of each refresh whether the token was spent, and whether the
// answer went out: before or after the fault, that is the question.
func TestLedger(t *testing.T) {
	t.Parallel()
	clk := newClock()
	now := clk.Now()
	tests := []struct {
		name  string
		fault sandbox.Fault // nil: none
		want  sandbox.RefreshCall
	}{
		{"no fault", nil, sandbox.RefreshCall{Spent: now, Granted: true, Status: 200, Delivered: true}},
		{"500 before", sandbox.Status(500), sandbox.RefreshCall{Status: 500, Delivered: true}},
		{"500 after", sandbox.Done(sandbox.Status(500)), sandbox.RefreshCall{Spent: now, Granted: true, Status: 500}},
		{"429", sandbox.TooManyRequests(time.Second), sandbox.RefreshCall{Status: 429, Delivered: true}},
		{"cut before", sandbox.Drop(), sandbox.RefreshCall{}},
		{"cut half-way", sandbox.Cut(), sandbox.RefreshCall{Spent: now, Granted: true, Status: 200}},
		{"late", sandbox.Late(time.Millisecond), sandbox.RefreshCall{Spent: now, Granted: true, Status: 200, Delivered: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tl := start(t, sandbox.Config{Now: clk.Now}).TimeLog()
			tokens := agree(t, tl)
			tt.want.Family, tt.want.Token, tt.want.RedirectURI = tokens.Family, 1, redirectURI
			tt.want.Arrived, tt.want.Ended = now, now
			if tt.fault != nil {
				tt.want.Fault = tt.name
				tl.Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Named(tt.name, tt.fault))
			}
			_, _ = try(t, client(t), http.MethodPost, tl.URL()+"/connect/token", refreshForm(tokens.Refresh).Encode(), asForm)
			waitIdle(t, tl)
			if diff := cmp.Diff([]sandbox.RefreshCall{tt.want}, tl.Refreshes()); diff != "" {
				t.Errorf("ledger (-want +got):\n%s", diff)
			}
			if got := tl.Calls(sandbox.TimeLogRefresh)[0].Fault; got != tt.want.Fault {
				t.Errorf("the call's fault is %q", got)
			}
		})
	}
}

func agree(t *testing.T, tl *sandbox.TimeLog) sandbox.Tokens {
	t.Helper()
	tokens, err := tl.Agree(sandbox.DemoClientID, sandbox.AdaEmail, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// What a reuse does is in the ledger, in the family's books and at the access
// tokens, with its time.
func TestLedgerOfAReuse(t *testing.T) {
	t.Parallel()
	clk := newClock()
	tl := start(t, sandbox.Config{Now: clk.Now}).TimeLog()
	tl.Set(func(s *sandbox.TimeLogSettings) { s.AccessLife = time.Minute })
	f := &flow{t, tl, client(t)}
	tokens := agree(t, tl)
	begun := clk.Now()

	clk.advance(10 * time.Second)
	second := text(t, f.token(refreshForm(tokens.Refresh)).json(t), "access_token")
	clk.advance(10 * time.Second)
	wantError(t, f.token(refreshForm(tokens.Refresh)), http.StatusBadRequest, "invalid_grant")

	want := []sandbox.RefreshCall{
		{Token: 1, Granted: true, Arrived: begun.Add(10 * time.Second), Spent: begun.Add(10 * time.Second), Ended: begun.Add(10 * time.Second), Status: 200, Delivered: true},
		{Token: 1, Reused: true, Arrived: begun.Add(20 * time.Second), Ended: begun.Add(20 * time.Second), Status: 400, Delivered: true},
	}
	if diff := cmp.Diff(want, tl.Refreshes(), cmpopts.IgnoreFields(sandbox.RefreshCall{}, "Family", "RedirectURI")); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	if fam := tl.Families()[0]; !fam.Revoked || !fam.RevokedAt.Equal(begun.Add(20*time.Second)) {
		t.Errorf("family %+v", fam)
	}
	for value, want := range map[string]sandbox.AccessToken{
		tokens.Access: {Family: tokens.Family, Number: 1, Issued: begun, Ended: begun.Add(20 * time.Second)},
		second:        {Family: tokens.Family, Number: 2, Issued: begun.Add(10 * time.Second), Ended: begun.Add(20 * time.Second)},
	} {
		got, ok := tl.AccessToken(value)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("access token (-want +got):\n%s", diff)
		}
	}
	if _, ok := tl.AccessToken("unheard of"); ok {
		t.Error("an unknown access token is known")
	}
}

func TestAccessTokenEndsWithItsLife(t *testing.T) {
	t.Parallel()
	clk := newClock()
	tl := start(t, sandbox.Config{Now: clk.Now}).TimeLog()
	tokens := agree(t, tl)
	if got, _ := tl.AccessToken(tokens.Access); !got.Ended.Equal(tokens.Expires) || !tokens.Expires.Equal(clk.Now().Add(time.Minute)) {
		t.Errorf("it ends %v, and its client was told %v", got.Ended, tokens.Expires)
	}
	clk.advance(time.Second)
	tl.ExpireAccessTokens()
	if got, _ := tl.AccessToken(tokens.Access); !got.Ended.Equal(clk.Now()) {
		t.Errorf("it ends %v", got.Ended)
	}
}

func TestAgree(t *testing.T) {
	t.Parallel()
	tl := start(t, sandbox.Config{}).TimeLog()
	f := &flow{t, tl, client(t)}
	tokens := agree(t, tl)
	wantStatus(t, f.resolve(tokens.Access), http.StatusOK)
	// Bound to no redirect URI, but not to just any.
	form := refreshForm(tokens.Refresh)
	form.Set("redirect_uri", "https://elsewhere.example.com/cb")
	wantError(t, f.token(form), http.StatusBadRequest, "invalid_grant")
	form.Set("redirect_uri", "http://localhost:1/other")
	wantStatus(t, f.token(form), http.StatusOK)

	if _, err := tl.Agree("nobody", sandbox.AdaEmail, time.Minute); err == nil {
		t.Error("an unknown client was given tokens")
	}
	if _, err := tl.Agree(sandbox.DemoClientID, "nobody@example.com", time.Minute); err == nil {
		t.Error("an unknown account agreed")
	}
}
