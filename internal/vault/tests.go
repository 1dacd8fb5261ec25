package vault

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// TestTag is the tag of connections that a test of an integration has made; its
// value is the connect session's id.
const TestTag = "claviger.test"

const (
	// testTTL is how long an admin has to begin the trip of a test.
	testTTL = 15 * time.Minute
	// testKept is how long the row of a test's connection is kept after its
	// revocation, without a credential, for the report.
	testKept = 15 * time.Minute
	// testLease is longer than a refresh may take.
	testLease = 3 * time.Minute
	// maxTestTrail bounds what is read of the trail for one report.
	maxTestTrail = 100
)

// testUser is the end user that an admin is in a test.
func testUser(caller Caller) EndUser {
	return EndUser{ID: "admin-test:" + caller.ID, Name: "an admin who tests"}
}

// IntegrationTest is how far a test has come.
type IntegrationTest struct {
	Session ConnectSession
	// Connection is the one that the test has made; nil before that, and again
	// some time after it was ended.
	Connection *Connection
	// Entries are those of the session and of its connection, oldest first.
	Entries []AuditEntry
}

// BeginTest makes a connect session in which an admin links an account of their
// own to try an integration out, and the token of its link. Its connection stays
// [StatusPending] for good: nobody gets headers of it, no follower of events
// hears of it, and it is revoked when [Vault.FinishTest] is called or, like
// everything that is not redeemed, after [RedeemTTL].
//
// returnURL is a page of our own, so it is not among those that are registered.
func (v *Vault) BeginTest(ctx context.Context, caller Caller, integrationID, returnURL string) (ConnectSession, Secret, error) {
	if err := v.allow(ctx, caller, ScopeConnectWrite, ""); err != nil {
		return ConnectSession{}, Secret{}, err
	}
	in, err := v.integrationByID(ctx, caller, integrationID)
	if err != nil {
		return ConnectSession{}, Secret{}, err
	}
	s := ConnectSession{
		ID:            newID("cs"),
		EnvironmentID: caller.EnvironmentID,
		Kind:          SessionTest,
		EndUser:       testUser(caller),
		Integrations:  []string{in.Key},
		ReturnURL:     returnURL,
		Completion:    CompleteRedeem,
		Status:        SessionOpen,
		CreatedAt:     v.now(),
		ExpiresAt:     v.now().Add(testTTL),
	}
	s.Tags = map[string]string{TestTag: s.ID}
	token := mint(prefixSession)
	err = v.store.Update(ctx, func(tx Tx) error {
		if err := tx.InsertSession(ctx, SessionRow{ConnectSession: s, TokenHash: HashToken(token)}); err != nil {
			return err
		}
		e := v.entry(caller, ActionIntegrationTested)
		e.SessionID, e.IntegrationID = s.ID, in.ID
		return tx.InsertAudit(ctx, e)
	})
	if err != nil {
		return ConnectSession{}, Secret{}, fmt.Errorf("beginning a test: %w", err)
	}
	return s, token, nil
}

// Test answers how far a test has come. Any other session is [fault.NotFound].
func (v *Vault) Test(ctx context.Context, caller Caller, sessionID string) (IntegrationTest, error) {
	if err := v.allow(ctx, caller, ScopeConnectWrite, ""); err != nil {
		return IntegrationTest{}, err
	}
	row, err := v.testSession(ctx, caller, sessionID)
	if err != nil {
		return IntegrationTest{}, err
	}
	t := IntegrationTest{Session: v.seen(row)}
	// A reply that came too late, or twice, was a stranger's.
	for _, f := range []AuditFilter{{ActorID: row.ID}, {ActorID: strangerID, Action: ActionLinkFailed}} {
		entries, err := v.testTrail(ctx, caller, f)
		if err != nil {
			return IntegrationTest{}, err
		}
		for _, e := range entries {
			if e.SessionID == row.ID {
				t.Entries = append(t.Entries, e)
			}
		}
	}
	// The session forgets a connection that is deleted; the trail does not.
	i := slices.IndexFunc(t.Entries, func(e AuditEntry) bool { return e.ConnectionID != "" })
	if i < 0 {
		slices.SortFunc(t.Entries, byTime)
		return t, nil
	}
	id := t.Entries[i].ConnectionID
	c, err := v.connection(ctx, v.store, caller, id)
	switch {
	case err == nil:
		t.Connection = &c.Connection
	case !fault.Is(err, fault.NotFound):
		return IntegrationTest{}, fmt.Errorf("reading the connection of a test: %w", err)
	}
	entries, err := v.testTrail(ctx, caller, AuditFilter{ConnectionID: id})
	if err != nil {
		return IntegrationTest{}, err
	}
	for _, e := range entries {
		if e.SessionID != row.ID {
			t.Entries = append(t.Entries, e)
		}
	}
	slices.SortFunc(t.Entries, byTime)
	return t, nil
}

func byTime(a, b AuditEntry) int {
	if c := a.At.Compare(b.At); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

func (v *Vault) testTrail(ctx context.Context, caller Caller, f AuditFilter) ([]AuditEntry, error) {
	f.Page = Page{Limit: maxTestTrail}
	entries, err := v.store.Audit(ctx, caller.EnvironmentID, f)
	if err != nil {
		return nil, fmt.Errorf("reading the trail of a test: %w", err)
	}
	return entries, nil
}

func (v *Vault) testSession(ctx context.Context, caller Caller, id string) (*SessionRow, error) {
	row, err := v.session(ctx, v.store, caller, id)
	if fault.Is(err, fault.NotFound) || err == nil && row.Kind != SessionTest {
		return nil, fault.New(fault.NotFound, "There is no such test.")
	}
	return row, err
}

// TestRenewal tries to renew the credential of a test. It answers what is the
// credential afterwards, whatever else went wrong, and a stable word for what
// did; "" is success.
type TestRenewal func(context.Context, Integration, Connection, Credential) (Credential, string)

// FinishTest ends a test: its credential is renewed once, if it can be, the
// provider is told that it is over, and what is sealed is erased. The row goes a
// little later. A test that has no connection just ends; one that has ended is
// [fault.Conflict].
//
// What the renewal brings is nowhere but in memory until it is in the outbox of
// revocations. Should the process die in between, the provider is told with what
// was there before, and the rest expires there by itself.
func (v *Vault) FinishTest(ctx context.Context, caller Caller, sessionID string, renew TestRenewal) error {
	if err := v.allow(ctx, caller, ScopeConnectWrite, ""); err != nil {
		return err
	}
	session, err := v.testSession(ctx, caller, sessionID)
	if err != nil {
		return err
	}
	// The answer of a provider has to find somebody, browser or not.
	ctx = context.WithoutCancel(ctx)
	if session.ConnectionID == "" {
		return v.abandonTest(ctx, caller, session.ID)
	}
	before, err := v.connection(ctx, v.store, caller, session.ConnectionID)
	if err != nil {
		return err
	}
	in, err := v.OpenIntegration(ctx, caller, before.IntegrationID)
	if err != nil {
		return err
	}
	in = in.WithoutPrevious()
	// One at a time: a refresh token may be good for one refresh.
	row, mine, err := v.store.ClaimLease(ctx, before.ID, before.Generation, session.ID, testLease)
	switch {
	case err != nil:
		return fmt.Errorf("claiming lease of %s: %w", before.ID, err)
	case !mine:
		return fault.New(fault.Conflict, "This test is over, or is being finished at this moment.")
	}
	credential, err := v.openCredential(ctx, row)
	if err != nil {
		return err
	}
	var renewed *AuditEntry
	if row.Renewable {
		var reason string
		credential, reason = renew(ctx, in, row.Connection, credential)
		e := v.connectionEntry(caller, ActionConnectionRefreshed, &row.Connection)
		if reason != "" {
			e.Action, e.Allowed, e.Reason = ActionRefreshFailed, false, reason
		}
		renewed = &e
	}
	return v.endTest(ctx, caller, session.ID, in, &row.Connection, credential, renewed)
}

// endTest revokes the connection of a test with the credential that it has by
// now.
func (v *Vault) endTest(ctx context.Context, caller Caller, sessionID string, in Integration, c *Connection, credential Credential, renewed *AuditEntry) error {
	due := RevocationRow{ID: fmt.Sprintf("%s.%d", c.ID, c.Generation), Tries: 1} // told right away
	err := v.store.Update(ctx, func(tx Tx) error {
		session, err := tx.LockSession(ctx, sessionID)
		if err != nil {
			return missing(err, "test")
		}
		row, err := tx.LockConnection(ctx, c.EnvironmentID, c.ID)
		if err != nil {
			return missing(err, "connection")
		}
		if row.Status == StatusRevoked { // reaped meanwhile
			return revokedFault()
		}
		if renewed != nil {
			if err := tx.InsertAudit(ctx, *renewed); err != nil {
				return err
			}
		}
		due.Connection = row.Connection
		if err := v.enqueueRevocation(ctx, tx, &due, in, credential); err != nil {
			return err
		}
		if _, err := tx.Revoke(ctx, row.ID, ReasonTestOver, v.now()); err != nil {
			return err
		}
		session.Status, session.ResultHash, session.PendingID = SessionCompleted, nil, ""
		if err := tx.UpdateSession(ctx, *session); err != nil {
			return err
		}
		e := v.connectionEntry(caller, ActionConnectionRevoked, &row.Connection)
		e.Reason = ReasonTestOver
		return tx.InsertAudit(ctx, e)
	})
	if err != nil {
		return fmt.Errorf("ending a test: %w", err)
	}
	v.tellProvider(ctx, &due, false)
	return nil
}

// abandonTest ends a test that has linked nothing.
func (v *Vault) abandonTest(ctx context.Context, caller Caller, id string) error {
	return v.store.Update(ctx, func(tx Tx) error {
		row, err := tx.LockSession(ctx, id)
		if err != nil {
			return missing(err, "test")
		}
		if s := row.statusAt(v.now()); s != SessionOpen && s != SessionBound {
			return fault.New(fault.Conflict, "This test is over.")
		}
		row.Status, row.Error = SessionFailed, reasonAbandoned
		if err := tx.UpdateSession(ctx, *row); err != nil {
			return err
		}
		e := v.entry(caller, ActionSessionFailed)
		e.Allowed, e.SessionID, e.Reason = false, row.ID, reasonAbandoned
		return tx.InsertAudit(ctx, e)
	})
}

// reasonAbandoned: the admin ended the test before anything was linked.
const reasonAbandoned = "cancelled"

// clearTests removes the rows of tests that ended a while ago.
func (v *Vault) clearTests(ctx context.Context) error {
	ended, err := v.store.EndedTests(ctx, v.now().Add(-testKept), 100)
	if err != nil {
		return fmt.Errorf("listing tests that are over: %w", err)
	}
	for _, c := range ended {
		_, err := v.DeleteConnection(ctx, System("reap", c.EnvironmentID), c.ID)
		if err != nil && !fault.Is(err, fault.NotFound) { // another replica was first
			return err
		}
	}
	return nil
}
