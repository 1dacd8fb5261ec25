package vault_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// managing is a session of kind manage that Ada's browser has opened.
func (b *bench) managing(t *testing.T, n vault.NewSession) (vault.Caller, vault.ConnectSession) {
	t.Helper()
	n.Kind = vault.SessionManage
	caller, s, _ := b.bound(t, n)
	return caller, s
}

// of is an imported connection of an end user with this account.
func (b *bench) of(t *testing.T, u vault.EndUser, account, token string) vault.Connection {
	t.Helper()
	g := grant(token, b.clock().Add(time.Hour))
	g.Account = vault.Account{ID: account, Label: account}
	c, err := b.ImportConnection(t.Context(), b.caller, vault.NewImport{Integration: b.in, Method: "oidc", Grant: g, EndUser: u})
	must(t, err)
	return c
}

func managedIDs(t *testing.T, b *bench, caller vault.Caller) []string {
	t.Helper()
	list, err := b.ManagedConnections(t.Context(), caller, vault.Page{Limit: 10})
	must(t, err)
	ids := make([]string, len(list))
	for i, c := range list {
		ids[i] = c.ID
	}
	return ids
}

func TestManageRequests(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "rt")
		for name, tt := range map[string]struct {
			n       vault.NewSession
			pointer string
		}{
			"a connection":          {vault.NewSession{ConnectionID: c.ID}, "/connection_id"},
			"no such connection":    {vault.NewSession{ConnectionID: "con_none"}, "/connection_id"},
			"another account":       {vault.NewSession{AllowAccountChange: true}, "/allow_account_change"},
			"a completion":          {vault.NewSession{Completion: vault.CompleteAuto}, "/completion"},
			"tags":                  {vault.NewSession{Tags: map[string]string{"a": "b"}}, "/tags"},
			"no such integration":   {vault.NewSession{Integrations: []string{"nope"}}, "/integrations/0"},
			"a kind that is not":    {vault.NewSession{Kind: "look"}, "/kind"},
			"somewhere else to end": {vault.NewSession{ReturnURL: "http://app.example.com/"}, "/return_url"},
		} {
			n := tt.n
			n.EndUser = ada
			if n.Kind == "" {
				n.Kind = vault.SessionManage
			}
			_, _, err := b.CreateSession(t.Context(), b.caller, n)
			wantKind(t, err, fault.Invalid)
			if e, _ := fault.As(err); len(e.Fields) != 1 || e.Fields[0].Pointer != tt.pointer {
				t.Errorf("%s: %+v, want %s", name, e.Fields, tt.pointer)
			}
		}
		s, _, err := b.CreateSession(t.Context(), b.caller, vault.NewSession{Kind: vault.SessionManage, EndUser: ada, ReturnURL: "https://app.example.com/"})
		if err != nil || s.Kind != vault.SessionManage || s.Integrations != nil {
			t.Errorf("session %+v, %v", s, err)
		}
	})
}

// TestManagedIsTheirOwn: never another's, never what nobody has confirmed to be
// theirs, and no longer than the session lives.
func TestManagedIsTheirOwn(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		mine := b.linked(t, "rt-mine")
		grace := b.of(t, vault.EndUser{ID: "user-2"}, "account-2", "rt-grace")
		_, pending := redeemable(t, b, vault.NewSession{ReturnURL: "https://app.example.com/"})
		env, err := b.EnsureEnvironment(t.Context(), "elsewhere")
		must(t, err)
		_, candidate := redeemable(t, b, vault.NewSession{ReturnURL: "https://app.example.com/", ConnectionID: mine.ID})

		caller, s := b.managing(t, vault.NewSession{})
		if got := managedIDs(t, b, caller); !slices.Equal(got, []string{mine.ID}) {
			t.Errorf("shown: %v, want %s", got, mine.ID)
		}
		foreign := caller
		foreign.EnvironmentID = env.ID
		plain, _, _ := b.bound(t, vault.NewSession{})
		for what, tt := range map[string]struct {
			caller vault.Caller
			id     string
		}{
			"another's":             {caller, grace.ID},
			"one to be redeemed":    {caller, pending.Connection.ID},
			"a candidate":           {caller, candidate.Connection.ID},
			"none":                  {caller, "con_none"},
			"no id":                 {caller, ""},
			"another environment":   {foreign, mine.ID},
			"a session for linking": {plain, mine.ID},
			"no session":            {vault.Caller{Kind: vault.CallerEndUser, ID: "cs_none", EnvironmentID: b.in.EnvironmentID}, mine.ID},
		} {
			_, err := b.ManagedConnection(t.Context(), tt.caller, tt.id)
			if !fault.Is(err, fault.NotFound) {
				t.Errorf("%s, looked at: %v", what, err)
			}
			if _, err = b.Disconnect(t.Context(), tt.caller, tt.id); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s, disconnected: %v", what, err)
			}
			if _, _, err = b.BeginReconnect(t.Context(), tt.caller, tt.id); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s, reconnected: %v", what, err)
			}
		}
		wantKind(t, b.FinishManaging(t.Context(), plain), fault.NotFound)
		if told := b.heard(); len(told) != 0 {
			t.Errorf("the provider was told of %d credentials", len(told))
		}

		b.pass(vault.BoundTTL)
		if got, err := b.Session(t.Context(), b.caller, s.ID); err != nil || got.Status != vault.SessionExpired {
			t.Fatalf("session %+v, %v", got, err)
		}
		_, err = b.Disconnect(t.Context(), caller, mine.ID)
		wantKind(t, err, fault.Conflict)
		_, err = b.ManagedConnections(t.Context(), caller, vault.Page{})
		wantKind(t, err, fault.Conflict)
	})
}

// TestManagingLinksNothing: a session of kind manage is no permission to link.
func TestManagingLinksNothing(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		caller, _ := b.managing(t, vault.NewSession{})
		_, err := b.Link(t.Context(), caller, b.in, "oidc", grant("rt", b.clock().Add(time.Hour)))
		wantKind(t, err, fault.Conflict)
		wantKind(t, b.ChargeGuess(t.Context(), caller), fault.Conflict)
		wantKind(t, b.EndSession(t.Context(), caller, "cancelled"), fault.Conflict)
		wantKind(t, b.BeginAttempt(t.Context(), caller, vault.NewBinding(), b.in, "oidc", vault.NewState(), nil), fault.Conflict)
	})
}

func TestDisconnect(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "rt-1")
		caller, s := b.managing(t, vault.NewSession{Integrations: []string{"timelog"}})
		r, err := b.Disconnect(t.Context(), caller, c.ID)
		if err != nil || r.Provider.Outcome != vault.OutcomeRevoked || !r.RevokedAt.Equal(b.clock()) {
			t.Fatalf("receipt %+v, %v", r, err)
		}
		if told := b.heard(); !slices.Equal(told, []string{"rt-1"}) {
			t.Errorf("the provider was told of %q", told)
		}
		stored, err := b.LookupHeaders(t.Context(), vault.Bearer{Key: b.secretKey(t)}, c.ID)
		if err == nil {
			_, err = b.OpenHeaders(t.Context(), stored)
		}
		wantKind(t, err, fault.Revoked)
		if got := b.connection(t, c.ID); got.Status != vault.StatusRevoked || got.StatusReason != vault.ReasonRevokedByEndUser {
			t.Errorf("connection %+v", got)
		}
		entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{ConnectionID: c.ID, Action: vault.ActionConnectionRevoked, Page: vault.Page{Limit: 10}})
		if err != nil || len(entries) != 1 || entries[0].ActorKind != vault.CallerEndUser || entries[0].ActorID != s.ID || entries[0].Reason != vault.ReasonRevokedByEndUser {
			t.Errorf("the trail says %+v, %v", entries, err)
		}

		// Once; shown for a while, and then no more.
		_, err = b.Disconnect(t.Context(), caller, c.ID)
		wantKind(t, err, fault.Revoked)
		_, _, err = b.BeginReconnect(t.Context(), caller, c.ID)
		wantKind(t, err, fault.Revoked)
		if got := managedIDs(t, b, caller); !slices.Equal(got, []string{c.ID}) {
			t.Errorf("shown: %v", got)
		}
		b.pass(vault.DisconnectedFor + time.Second)
		caller, _ = b.managing(t, vault.NewSession{})
		if got := managedIDs(t, b, caller); len(got) != 0 {
			t.Errorf("still shown: %v", got)
		}
	})
}

// TestReconnectInManage: it is a session of its own, good for one reconnect,
// and the session it was begun in goes on.
func TestReconnectInManage(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "rt-old")
		caller, s := b.managing(t, vault.NewSession{})
		first, firstBinding, err := b.BeginReconnect(t.Context(), caller, c.ID)
		must(t, err)
		firstCaller, _, err := b.BoundSession(t.Context(), first.ID, firstBinding)
		must(t, err)
		if first.ExpiresAt != s.ExpiresAt || first.ParentID != s.ID || first.Completion != vault.CompleteAuto || first.AllowAccountChange {
			t.Errorf("session %+v", first)
		}
		_, _, err = b.BoundSession(t.Context(), first.ID, vault.NewBinding())
		wantKind(t, err, fault.Forbidden)

		// The next one takes its place.
		second, binding, err := b.BeginReconnect(t.Context(), caller, c.ID)
		must(t, err)
		_, err = b.Link(t.Context(), firstCaller, b.in, "oidc", grant("rt-late", b.clock().Add(time.Hour)))
		wantKind(t, err, fault.Conflict)
		reconnect, _, err := b.BoundSession(t.Context(), second.ID, binding)
		must(t, err)

		// What the sender of a link could want: the credential of whoever opens it.
		other := grant("rt-victim", b.clock().Add(time.Hour))
		other.Account.ID = "account-victim"
		if _, err = b.Link(t.Context(), reconnect, b.in, "oidc", other); !errors.Is(err, vault.ErrOtherAccount) {
			t.Fatalf("another account: %v", err)
		}
		linked, err := b.Link(t.Context(), reconnect, b.in, "oidc", grant("rt-new", b.clock().Add(time.Hour)))
		if err != nil || linked.Connection.ID != c.ID || linked.Connection.Generation != 2 || !linked.Result.IsZero() {
			t.Fatalf("linked %+v, %v", linked, err)
		}
		_, err = b.Link(t.Context(), reconnect, b.in, "oidc", grant("rt-again", b.clock().Add(time.Hour)))
		wantKind(t, err, fault.Conflict)

		if got := managedIDs(t, b, caller); !slices.Equal(got, []string{c.ID}) {
			t.Errorf("shown: %v", got)
		}
		third, binding, err := b.BeginReconnect(t.Context(), caller, c.ID)
		must(t, err)
		thirdCaller, _, err := b.BoundSession(t.Context(), third.ID, binding)
		must(t, err)
		must(t, b.FinishManaging(t.Context(), caller))
		if got, err := b.Session(t.Context(), b.caller, s.ID); err != nil || got.Status != vault.SessionCompleted || got.ConnectionID != "" {
			t.Errorf("session %+v, %v", got, err)
		}
		_, err = b.Link(t.Context(), thirdCaller, b.in, "oidc", grant("rt-after", b.clock().Add(time.Hour)))
		wantKind(t, err, fault.Conflict)
		wantKind(t, b.FinishManaging(t.Context(), caller), fault.Conflict)
		_, _, err = b.BeginReconnect(t.Context(), caller, c.ID)
		wantKind(t, err, fault.Conflict)
		if got := b.actions(t, c.ID); !slices.Equal(got, []vault.Action{
			vault.ActionConnectionCreated, vault.ActionSessionCreated, vault.ActionSessionCreated, vault.ActionConnectionReconnect, vault.ActionSessionCreated,
		}) {
			t.Errorf("the trail has %v", got)
		}
	})
}

// TestReconnectInManageNeedsAnAccount: where the provider names none, nothing
// would keep a victim's credential out.
func TestReconnectInManageNeedsAnAccount(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.of(t, ada, "", "rt-1")
		caller, _ := b.managing(t, vault.NewSession{})
		_, _, err := b.BeginReconnect(t.Context(), caller, c.ID)
		wantKind(t, err, fault.Conflict)
		if got := b.connection(t, c.ID); got.Generation != 1 {
			t.Errorf("connection %+v", got)
		}
	})
}

// TestReconnectsAreLimited: beginning again and again is no way to guess, nor to
// fill the database.
func TestReconnectsAreLimited(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "rt")
		begin := func(caller vault.Caller) (vault.Caller, error) {
			s, binding, err := b.BeginReconnect(t.Context(), caller, c.ID)
			if err != nil {
				return vault.Caller{}, err
			}
			reconnect, _, err := b.BoundSession(t.Context(), s.ID, binding)
			return reconnect, err
		}
		caller, s := b.managing(t, vault.NewSession{})
		for i := range vault.MaxWrongCredentials {
			reconnect, err := begin(caller)
			must(t, err)
			// One that the provider never judged is taken back.
			must(t, b.ChargeGuess(t.Context(), reconnect))
			_, err = b.SettleGuess(t.Context(), reconnect, b.in.ID, false)
			must(t, err)
			must(t, b.ChargeGuess(t.Context(), reconnect))
			ended, err := b.SettleGuess(t.Context(), reconnect, b.in.ID, true)
			if last := i == vault.MaxWrongCredentials-1; err != nil || ended != last {
				t.Fatalf("guess %d: ended %t, %v", i+1, ended, err)
			}
		}
		if got, err := b.Session(t.Context(), b.caller, s.ID); err != nil || got.Status != vault.SessionFailed || got.Error != "too_many_attempts" {
			t.Errorf("session %+v, %v", got, err)
		}
		_, err := begin(caller)
		wantKind(t, err, fault.Conflict)

		caller, _ = b.managing(t, vault.NewSession{})
		for range vault.MaxReconnects {
			_, err := begin(caller)
			must(t, err)
		}
		_, err = begin(caller)
		wantKind(t, err, fault.RateLimited)
	})
}
