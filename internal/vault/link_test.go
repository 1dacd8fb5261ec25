package vault_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

func TestLinkActivatesAtOnce(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		caller, s, _ := b.bound(t, vault.NewSession{Tags: map[string]string{"team": "blue"}})
		l, err := b.Link(t.Context(), caller, b.in, "oidc", grant("r1", b.clock().Add(time.Hour)))
		must(t, err)
		c := b.connection(t, l.Connection.ID)
		if c.Status != vault.StatusActive || c.Generation != 1 || c.EndUser != ada || c.Tags["team"] != "blue" || !l.Result.IsZero() {
			t.Errorf("connection: %+v", c)
		}
		got, err := b.Session(t.Context(), b.caller, s.ID)
		must(t, err)
		if got.Status != vault.SessionCompleted || got.ConnectionID != c.ID {
			t.Errorf("session: %+v", got)
		}
		_, err = b.Link(t.Context(), caller, b.in, "oidc", grant("r2", time.Time{}))
		wantKind(t, err, fault.Conflict) // a session is used once
		if diff := cmp.Diff([]vault.Action{vault.ActionConnectionCreated}, b.actions(t, c.ID)); diff != "" {
			t.Error(diff)
		}
	})
}

func redeemable(t *testing.T, b *bench, n vault.NewSession) (vault.ConnectSession, vault.Linked) {
	t.Helper()
	n.ReturnURL = "https://app.example.com/linked"
	caller, s, _ := b.bound(t, n)
	l, err := b.Link(t.Context(), caller, b.in, "oidc", grant("r1", b.clock().Add(time.Hour)))
	must(t, err)
	return s, l
}

func TestPendingUntilRedeemed(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		key := b.secretKey(t)
		s, l := redeemable(t, b, vault.NewSession{})
		id := l.Connection.ID
		if c := b.connection(t, id); c.Status != vault.StatusPending {
			t.Fatalf("status %s", c.Status)
		}
		_, err := b.LookupHeaders(t.Context(), vault.Bearer{Key: key}, id)
		wantKind(t, err, fault.Conflict)
		_, _, err = b.OpenCredential(t.Context(), b.caller, id, true)
		wantKind(t, err, fault.Conflict)
		_, err = b.Redeem(t.Context(), b.caller, s.ID, vault.NewSecret("clv_res_guessed"), ada.ID)
		wantKind(t, err, fault.Invalid)
		_, err = b.Redeem(t.Context(), b.caller, s.ID, vault.Secret{}, ada.ID)
		wantKind(t, err, fault.Invalid)
		c, err := b.Redeem(t.Context(), b.caller, s.ID, l.Result, ada.ID)
		must(t, err)
		if c.ID != id || c.Status != vault.StatusActive {
			t.Errorf("redeemed: %+v", c)
		}
		_, err = b.LookupHeaders(t.Context(), vault.Bearer{Key: key}, id)
		must(t, err)
		_, err = b.Redeem(t.Context(), b.caller, s.ID, l.Result, ada.ID)
		wantKind(t, err, fault.Conflict) // once
	})
}

func TestRedeemForAnotherEndUserRevokes(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		s, l := redeemable(t, b, vault.NewSession{})
		_, err := b.Redeem(t.Context(), b.caller, s.ID, l.Result, "somebody-else")
		wantKind(t, err, fault.Conflict)
		c := b.connection(t, l.Connection.ID)
		if c.Status != vault.StatusRevoked || c.StatusReason != vault.ReasonWrongEndUser {
			t.Errorf("%s, %s", c.Status, c.StatusReason)
		}
		if diff := cmp.Diff([]string{"r1"}, b.heard()); diff != "" {
			t.Errorf("provider was told: %s", diff)
		}
		_, err = b.Redeem(t.Context(), b.caller, s.ID, l.Result, ada.ID)
		wantKind(t, err, fault.Conflict)
	})
}

func TestUnredeemedIsRevokedInTime(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		s, l := redeemable(t, b, vault.NewSession{})
		b.pass(vault.RedeemTTL - time.Second)
		must(t, b.Tidy(t.Context()))
		if c := b.connection(t, l.Connection.ID); c.Status != vault.StatusPending {
			t.Fatalf("before its time: %s", c.Status)
		}
		b.pass(2 * time.Second)
		_, err := b.Redeem(t.Context(), b.caller, s.ID, l.Result, ada.ID)
		wantKind(t, err, fault.Conflict)
		must(t, b.Tidy(t.Context()))
		c := b.connection(t, l.Connection.ID)
		if c.Status != vault.StatusRevoked || c.StatusReason != vault.ReasonNotRedeemed || len(b.heard()) != 1 {
			t.Errorf("%s, %s, told %v", c.Status, c.StatusReason, b.heard())
		}
	})
}

func TestReconnectInPlace(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		for name, n := range map[string]vault.NewSession{
			"auto":   {},
			"redeem": {ReturnURL: "https://app.example.com/linked"},
		} {
			old := b.linked(t, "r1")
			key := b.secretKey(t)
			n.ConnectionID = old.ID
			caller, s, _ := b.bound(t, n)
			l, err := b.Link(t.Context(), caller, b.in, "oidc", grant("r2", b.clock().Add(time.Hour)))
			must(t, err)
			if !l.Result.IsZero() {
				// Until it is redeemed the old credential serves on, and the candidate is in no list.
				if got := headers(t, b, key, old.ID); got != "Bearer access-r1" {
					t.Errorf("%s: before the redeem: %s", name, got)
				}
				list, err := b.Connections(t.Context(), b.caller, vault.ConnectionFilter{Status: vault.StatusPending, Page: vault.Page{Limit: 10}})
				must(t, err)
				if len(list) != 0 {
					t.Errorf("%s: the candidate is listed", name)
				}
				c, err := b.Redeem(t.Context(), b.caller, s.ID, l.Result, ada.ID)
				must(t, err)
				if c.ID != old.ID {
					t.Errorf("%s: redeemed into %s, want %s", name, c.ID, old.ID)
				}
			}
			if got := headers(t, b, key, old.ID); got != "Bearer access-r2" {
				t.Errorf("%s: afterwards: %s", name, got)
			}
			if c := b.connection(t, old.ID); c.Generation != 2 || c.Status != vault.StatusActive {
				t.Errorf("%s: afterwards: %+v", name, c)
			}
		}
	})
}

func headers(t *testing.T, b *bench, key vault.Secret, id string) string {
	t.Helper()
	s, err := b.LookupHeaders(t.Context(), vault.Bearer{Key: key}, id)
	must(t, err)
	a, err := b.OpenHeaders(t.Context(), s)
	must(t, err)
	text, err := a.Text()
	must(t, err)
	name, value, _ := cut(string(text))
	if name != "Authorization" {
		t.Fatalf("headers: %s", text)
	}
	return value
}

func TestReconnectRefusesAnotherAccount(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		old := b.linked(t, "r1")
		other := grant("r2", time.Time{})
		other.Account = vault.Account{ID: "account-2", Label: "Grace"}
		for _, n := range []vault.NewSession{{}, {ReturnURL: "https://app.example.com/linked"}} {
			n.ConnectionID = old.ID
			caller, _, _ := b.bound(t, n)
			_, err := b.Link(t.Context(), caller, b.in, "oidc", other)
			wantKind(t, err, fault.Conflict)
		}
		if c := b.connection(t, old.ID); c.Generation != 1 || c.Account.ID != "account-1" {
			t.Errorf("was changed: %+v", c)
		}
		caller, _, _ := b.bound(t, vault.NewSession{ConnectionID: old.ID, AllowAccountChange: true})
		_, err := b.Link(t.Context(), caller, b.in, "oidc", other)
		must(t, err)
		if c := b.connection(t, old.ID); c.Generation != 2 || c.Account.ID != "account-2" {
			t.Errorf("was not changed: %+v", c)
		}
		_, _, err = b.CreateSession(t.Context(), b.caller, vault.NewSession{ConnectionID: old.ID, EndUser: vault.EndUser{ID: "mallory"}})
		wantKind(t, err, fault.Invalid)
	})
}

func TestReconnectAtAnotherAPIRootIsInTheTrail(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		old := b.linked(t, "r1")
		moved := grant("r2", time.Time{})
		moved.BaseURL = "https://app5.timelog.com/demo"
		caller, _, _ := b.bound(t, vault.NewSession{ConnectionID: old.ID})
		_, err := b.Link(t.Context(), caller, b.in, "oidc", moved)
		must(t, err)
		want := []vault.Action{vault.ActionConnectionCreated, vault.ActionSessionCreated, vault.ActionBaseURLChanged, vault.ActionConnectionReconnect}
		if diff := cmp.Diff(want, b.actions(t, old.ID)); diff != "" || b.connection(t, old.ID).BaseURL != moved.BaseURL {
			t.Error(diff)
		}
	})
}

func TestAttemptIsUsedUpOnce(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		caller, s, binding := b.bound(t, vault.NewSession{})
		state := vault.NewState()
		values := vault.Credential{"nonce": vault.NewSecret("planted-nonce")}
		must(t, b.BeginAttempt(t.Context(), caller, binding, b.in, "oidc", state, values))
		id, err := b.AttachReply(t.Context(), b.in.ID, state, vault.NewSecret("code=planted-code"))
		must(t, err)
		_, err = b.AttachReply(t.Context(), b.in.ID, state, vault.NewSecret("code=again"))
		wantKind(t, err, fault.Malformed)

		const racers = 20
		replica := b.replica(t)
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range racers {
			v := b.Vault
			if i%2 == 1 {
				v = replica
			}
			wg.Go(func() {
				got, at, err := v.TakeAttempt(t.Context(), id, binding)
				if err != nil {
					if !fault.Is(err, fault.Conflict) {
						t.Errorf("loser: %v", err)
					}
					return
				}
				won.Add(1)
				if got.ID != s.ID || at.Values.Get("nonce") != "planted-nonce" || at.Reply.Reveal() != "code=planted-code" || at.Method != "oidc" {
					t.Errorf("attempt: %+v", at)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d got the attempt", won.Load())
		}
		_, err = b.AttachReply(t.Context(), b.in.ID, state, vault.NewSecret("code=replayed"))
		wantKind(t, err, fault.Malformed)
	})
}

func TestReplyThatDoesNotBelong(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		other, err := b.CreateIntegration(t.Context(), b.caller, vault.Integration{Key: "other", Provider: "timelog"})
		must(t, err)
		caller, _, binding := b.bound(t, vault.NewSession{})
		state := vault.NewState()
		must(t, b.BeginAttempt(t.Context(), caller, binding, b.in, "oidc", state, nil))
		for _, c := range []struct {
			integration string
			state       vault.Secret
			late        bool
			reason      string
		}{
			{b.in.ID, vault.Secret{}, false, "state_missing"},
			{b.in.ID, vault.NewState(), false, "state"},
			{other.ID, state, false, "integration_mismatch"},
			{b.in.ID, state, true, "attempt_expired"},
		} {
			if c.late {
				b.pass(vault.AttemptTTL)
			}
			_, err := b.AttachReply(t.Context(), c.integration, c.state, vault.NewSecret("code=x"))
			wantKind(t, err, fault.Malformed)
			if got := b.reasons(t)[0]; got != c.reason {
				t.Errorf("reason %s, want %s", got, c.reason)
			}
		}
	})
}

func TestStrangersDoNotFillTheTrail(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		const calls = 60
		for range calls {
			_, err := b.AttachReply(t.Context(), b.in.ID, vault.NewState(), vault.NewSecret("code=x"))
			wantKind(t, err, fault.Malformed)
		}
		b.pass(time.Minute)
		must(t, b.Tidy(t.Context()))
		entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{Action: vault.ActionLinkFailed, Page: vault.Page{Limit: 200}})
		must(t, err)
		var total int64
		for _, e := range entries {
			total += e.Count
		}
		if len(entries) > 30 || total != calls {
			t.Errorf("%d entries for %d of %d calls", len(entries), total, calls)
		}
	})
}

func TestReconnectWithoutAnAccountID(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		nameless := grant("r1", time.Time{})
		nameless.Account = vault.Account{}
		caller, _, _ := b.bound(t, vault.NewSession{})
		l, err := b.Link(t.Context(), caller, b.in, "personal_access_token", nameless)
		must(t, err)
		nameless.BaseURL = "https://app5.timelog.com/another-tenant"
		caller, _, _ = b.bound(t, vault.NewSession{ConnectionID: l.Connection.ID})
		_, err = b.Link(t.Context(), caller, b.in, "personal_access_token", nameless)
		wantKind(t, err, fault.Conflict)
	})
}

func TestAttemptOfAnotherBrowser(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		caller, _, binding := b.bound(t, vault.NewSession{})
		_, _, foreign := b.bound(t, vault.NewSession{})
		for name, presented := range map[string]vault.Secret{"another session's": foreign, "none": {}} {
			state := vault.NewState()
			must(t, b.BeginAttempt(t.Context(), caller, binding, b.in, "oidc", state, nil))
			id, err := b.AttachReply(t.Context(), b.in.ID, state, vault.NewSecret("code=x"))
			must(t, err)
			_, _, err = b.TakeAttempt(t.Context(), id, presented)
			wantKind(t, err, fault.Forbidden)
			if got := b.reasons(t)[0]; got != "other_browser" {
				t.Errorf("%s: reason %s", name, got)
			}
			_, _, err = b.TakeAttempt(t.Context(), id, binding)
			wantKind(t, err, fault.Conflict) // used up all the same
		}
	})
}

func TestSessionBelongsToOneBrowser(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		_, token, err := b.CreateSession(t.Context(), b.caller, vault.NewSession{EndUser: ada})
		must(t, err)
		seen, err := b.LandingSession(t.Context(), token)
		must(t, err)
		if seen.Status != vault.SessionOpen {
			t.Errorf("looking changed it to %s", seen.Status)
		}
		s, binding, err := b.BindSession(t.Context(), token, vault.Secret{})
		must(t, err)
		_, again, err := b.BindSession(t.Context(), token, binding)
		must(t, err)
		if !again.Equal(binding) {
			t.Error("the same browser keeps its binding")
		}
		_, _, err = b.BindSession(t.Context(), token, vault.Secret{})
		wantKind(t, err, fault.Forbidden)
		_, _, err = b.BindSession(t.Context(), token, vault.NewBinding())
		wantKind(t, err, fault.Forbidden)
		_, _, err = b.BoundSession(t.Context(), s.ID, vault.Secret{})
		wantKind(t, err, fault.Forbidden)
	})
}

func TestGuessesAreLimited(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		caller, s, _ := b.bound(t, vault.NewSession{})
		// Right ones, and those that nobody judged, cost nothing.
		for range vault.MaxWrongCredentials + 2 {
			must(t, b.ChargeGuess(t.Context(), caller))
			_, err := b.SettleGuess(t.Context(), caller, b.in.ID, false)
			must(t, err)
		}
		for i := range vault.MaxWrongCredentials {
			must(t, b.ChargeGuess(t.Context(), caller))
			ended, err := b.SettleGuess(t.Context(), caller, b.in.ID, true)
			must(t, err)
			if want := i == vault.MaxWrongCredentials-1; ended != want {
				t.Fatalf("guess %d: ended %t", i+1, ended)
			}
		}
		wantKind(t, b.ChargeGuess(t.Context(), caller), fault.Conflict)
		got, err := b.Session(t.Context(), b.caller, s.ID)
		must(t, err)
		if got.Status != vault.SessionFailed || got.Error != "too_many_attempts" {
			t.Errorf("session: %s, %s", got.Status, got.Error)
		}
	})
}

func TestGuessesUnderWayCount(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		caller, _, _ := b.bound(t, vault.NewSession{})
		for range vault.MaxWrongCredentials {
			must(t, b.ChargeGuess(t.Context(), caller))
		}
		wantKind(t, b.ChargeGuess(t.Context(), caller), fault.RateLimited)
		_, err := b.SettleGuess(t.Context(), caller, b.in.ID, false)
		must(t, err)
		must(t, b.ChargeGuess(t.Context(), caller))
	})
}

func TestGuessesOfOneEndUserOverAllSessions(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		var allowed, refused atomic.Int32
		var wg sync.WaitGroup
		for range vault.MaxGuessesPerMinute + 8 { // a session each, all at once
			caller, _, _ := b.bound(t, vault.NewSession{})
			wg.Go(func() {
				switch err := b.ChargeGuess(t.Context(), caller); {
				case err == nil:
					allowed.Add(1)
				case fault.Is(err, fault.RateLimited):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if allowed.Load() != vault.MaxGuessesPerMinute || refused.Load() != 8 {
			t.Errorf("%d allowed, %d refused", allowed.Load(), refused.Load())
		}
		b.pass(time.Minute + time.Second)
		caller, _, _ := b.bound(t, vault.NewSession{})
		must(t, b.ChargeGuess(t.Context(), caller))
	})
}

func TestSessionRequests(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ok := vault.NewSession{EndUser: ada}
		for name, c := range map[string]struct {
			change  func(*vault.NewSession)
			pointer string
		}{
			"no end user":        {func(n *vault.NewSession) { n.EndUser.ID = "" }, "/end_user/id"},
			"control character":  {func(n *vault.NewSession) { n.EndUser.Name = "a\r\nb" }, "/end_user/name"},
			"not UTF-8":          {func(n *vault.NewSession) { n.EndUser.ID = "\xff" }, "/end_user/id"},
			"no such":            {func(n *vault.NewSession) { n.Integrations = []string{"nope"} }, "/integrations/0"},
			"twice":              {func(n *vault.NewSession) { n.Integrations = []string{"timelog", "timelog"} }, "/integrations/1"},
			"http":               {func(n *vault.NewSession) { n.ReturnURL = "http://app.example.com/" }, "/return_url"},
			"userinfo":           {func(n *vault.NewSession) { n.ReturnURL = "https://a:b@app.example.com/" }, "/return_url"},
			"fragment":           {func(n *vault.NewSession) { n.ReturnURL = "https://app.example.com/#x" }, "/return_url"},
			"empty fragment":     {func(n *vault.NewSession) { n.ReturnURL = "https://app.example.com/#" }, "/return_url"},
			"javascript":         {func(n *vault.NewSession) { n.ReturnURL = "javascript:alert(1)" }, "/return_url"},
			"relative":           {func(n *vault.NewSession) { n.ReturnURL = "//app.example.com" }, "/return_url"},
			"backslash":          {func(n *vault.NewSession) { n.ReturnURL = `https://app.example.com\@evil.example` }, "/return_url"},
			"our own parameter":  {func(n *vault.NewSession) { n.ReturnURL = "https://app.example.com/?result=x" }, "/return_url"},
			"redeem to nowhere":  {func(n *vault.NewSession) { n.Completion = vault.CompleteRedeem }, "/completion"},
			"unknown completion": {func(n *vault.NewSession) { n.Completion = "later" }, "/completion"},
			"too short":          {func(n *vault.NewSession) { n.TTL = time.Second }, "/ttl_seconds"},
			"too long":           {func(n *vault.NewSession) { n.TTL = 25 * time.Hour }, "/ttl_seconds"},
		} {
			n := ok
			c.change(&n)
			_, _, err := b.CreateSession(t.Context(), b.caller, n)
			wantKind(t, err, fault.Invalid)
			e, _ := fault.As(err)
			if e.Fields[0].Pointer != c.pointer {
				t.Errorf("%s: named %s, want %s", name, e.Fields[0].Pointer, c.pointer)
			}
		}
		for _, url := range []string{"https://app.example.com", "https://app.example.com/a?b=c", "http://localhost:3000/x", "http://127.0.0.1/x", "http://[::1]:80/"} {
			n := ok
			n.ReturnURL = url
			s, _, err := b.CreateSession(t.Context(), b.caller, n)
			if err != nil || s.Completion != vault.CompleteRedeem {
				t.Errorf("%s: %s, %v", url, s.Completion, err)
			}
		}
	})
}

func TestWaitSession(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		caller, s, _ := b.bound(t, vault.NewSession{})
		got := make(chan vault.ConnectSession, 1)
		go func() {
			s, err := b.WaitSession(t.Context(), b.caller, s.ID, time.Minute)
			if err != nil {
				t.Error(err)
			}
			got <- s
		}()
		_, err := b.Link(t.Context(), caller, b.in, "oidc", grant("r1", time.Time{}))
		must(t, err)
		if s := <-got; s.Status != vault.SessionCompleted {
			t.Errorf("woken with %s", s.Status)
		}
	})
}

func TestStopWaiting(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		_, s, _ := b.bound(t, vault.NewSession{})
		b.StopWaiting()
		b.StopWaiting() // twice is once
		got, err := b.WaitSession(t.Context(), b.caller, s.ID, time.Hour)
		must(t, err)
		if got.Status != vault.SessionBound {
			t.Errorf("status %s", got.Status)
		}
	})
}
