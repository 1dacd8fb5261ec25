package vault_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// bench is a vault on a fresh database, with a clock to turn and a provider
// that writes down what it is told.
type bench struct {
	*vault.Vault
	db     *storetest.DB
	keyset *vault.Keyset
	caller vault.Caller
	in     vault.Integration
	log    *bytes.Buffer

	mu      sync.Mutex
	now     time.Time
	told    []string // refresh tokens that the provider was told to end
	outcome vault.Outcome
}

// each runs fn on every kind of database.
func each(t *testing.T, fn func(t *testing.T, b *bench)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *storetest.DB) {
		t.Parallel()
		fn(t, newBench(t, db))
	})
}

func newBench(t *testing.T, db *storetest.DB) *bench {
	t.Helper()
	keyset, err := vault.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{db: db, keyset: keyset, now: time.Now().UTC().Truncate(time.Microsecond), outcome: vault.OutcomeRevoked, log: &bytes.Buffer{}}
	b.Vault = b.replica(t)
	must(t, b.CheckKeyset(t.Context()))
	env, err := b.EnsureEnvironment(t.Context(), vault.DefaultEnvironment)
	must(t, err)
	b.caller = b.key(t, env.ID)
	b.in, err = b.CreateIntegration(t.Context(), b.caller, vault.Integration{Key: "timelog", Provider: "timelog", ClientID: "id", ClientSecret: vault.NewSecret("planted-client-secret")})
	must(t, err)
	b.in, err = b.OpenIntegration(t.Context(), b.caller, b.in.ID)
	must(t, err)
	return b
}

// replica is another vault on the same database.
func (b *bench) replica(t *testing.T) *vault.Vault {
	return vault.New(vault.Config{
		Store: b.db.Open(t), Keyset: b.keyset, Now: b.clock,
		CheckIntegration: func(vault.Integration) error { return nil },
		TellProvider:     b.tell,
		Log:              slog.New(slog.NewTextHandler(&lockedWriter{w: b.log}, nil)),
	})
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *bench) tell(_ context.Context, _ vault.Integration, _ vault.Connection, c vault.Credential) vault.ProviderOutcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, c.Get(vault.ValueRefreshToken))
	return vault.ProviderOutcome{Outcome: b.outcome, Detail: "told"}
}

func (b *bench) heard() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.told...)
}

func (b *bench) provider(o vault.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outcome = o
}

// key is a caller with every scope in an environment.
func (b *bench) key(t *testing.T, environmentID string) vault.Caller {
	t.Helper()
	_, key, err := b.CreateAPIKey(t.Context(), vault.System("test", environmentID), vault.NewAPIKey{Name: "test", Scopes: vault.AllScopes()})
	must(t, err)
	caller, err := b.Authenticate(t.Context(), vault.Bearer{Key: key})
	must(t, err)
	return caller
}

func (b *bench) secretKey(t *testing.T) vault.Secret {
	t.Helper()
	_, key, err := b.CreateAPIKey(t.Context(), b.caller, vault.NewAPIKey{Name: "reader", Scopes: vault.AllScopes()})
	must(t, err)
	return key
}

func grant(token string, expires time.Time) vault.Grant {
	return vault.Grant{
		Credential: vault.Credential{vault.ValueAccessToken: vault.NewSecret("access-" + token), vault.ValueRefreshToken: vault.NewSecret(token)},
		Headers:    []vault.Header{{Name: "Authorization", Value: vault.NewSecret("Bearer access-" + token)}},
		BaseURL:    "https://app4.timelog.com/demo",
		Account:    vault.Account{ID: "account-1", Label: "Ada"},
		Scopes:     []string{"openid", "tlp"},
		ExpiresAt:  expires,
		Renewable:  true,
	}
}

var ada = vault.EndUser{ID: "user-1", Email: "ada@example.com", Name: "Ada"}

// bound is a session that some browser has opened.
func (b *bench) bound(t *testing.T, n vault.NewSession) (vault.Caller, vault.ConnectSession, vault.Secret) {
	t.Helper()
	if n.EndUser.ID == "" {
		n.EndUser = ada
	}
	_, token, err := b.CreateSession(t.Context(), b.caller, n)
	must(t, err)
	s, binding, err := b.BindSession(t.Context(), token, vault.Secret{})
	must(t, err)
	caller, _, err := b.BoundSession(t.Context(), s.ID, binding)
	must(t, err)
	return caller, s, binding
}

// linked is an active connection.
func (b *bench) linked(t *testing.T, token string) vault.Connection {
	t.Helper()
	caller, _, _ := b.bound(t, vault.NewSession{})
	l, err := b.Link(t.Context(), caller, b.in, "oidc", grant(token, b.clock().Add(time.Hour)))
	must(t, err)
	return l.Connection
}

func (b *bench) connection(t *testing.T, id string) vault.Connection {
	t.Helper()
	c, err := b.Connection(t.Context(), b.caller, id)
	must(t, err)
	return c
}

// actions lists what the trail has about a connection, oldest first.
func (b *bench) actions(t *testing.T, connectionID string) []vault.Action {
	t.Helper()
	entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{ConnectionID: connectionID, Page: vault.Page{Limit: 100}})
	must(t, err)
	actions := make([]vault.Action, len(entries))
	for i, e := range entries {
		actions[len(entries)-1-i] = e.Action
	}
	return actions
}

// reasons lists the reasons of refused entries, newest first.
func (b *bench) reasons(t *testing.T) []string {
	t.Helper()
	entries, err := b.Audit(t.Context(), b.caller, vault.AuditFilter{Page: vault.Page{Limit: 100}})
	must(t, err)
	var reasons []string
	for _, e := range entries {
		if !e.Allowed {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Fatalf("got %v (%s), want kind %s", err, fault.KindOf(err).Code(), kind.Code())
	}
}
