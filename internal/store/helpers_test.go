package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// noon is a time with microseconds, which is what survives.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.UTC)

// newID makes ids that sort by time, as the vault's do.
func newID(prefix string) string { return prefix + "_" + uuid.Must(uuid.NewV7()).String() }

func hash(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:]
}

// each runs fn in parallel on both databases.
func each(t *testing.T, fn func(t *testing.T, db *storetest.DB)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *storetest.DB) {
		t.Parallel()
		fn(t, db)
	})
}

// world is a store with an environment, an integration and an API key.
type world struct {
	t *testing.T
	vault.Store
	env vault.Environment
	in  vault.IntegrationRow
	key vault.APIKey
}

func newWorld(t *testing.T, s vault.Store) *world {
	t.Helper()
	w := &world{t: t, Store: s}
	w.env = vault.Environment{ID: newID("env"), Name: "env-" + uuid.NewString(), Keyset: []byte("wrapped"), CreatedAt: noon}
	w.in = w.newIntegration("toggl")
	w.key = vault.APIKey{
		ID: newID("key"), EnvironmentID: w.env.ID, Name: "backend", Prefix: "clv_key_ab", Hash: hash(newID("secret")),
		Scopes:    []vault.Scope{vault.ScopeCredentialsRead, vault.ScopeConnectionsRead},
		ExpiresAt: noon.AddDate(1, 0, 0), CreatedAt: noon,
	}
	w.do(func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.InsertEnvironment(ctx, w.env), tx.InsertIntegration(ctx, w.in), tx.InsertAPIKey(ctx, w.key))
	})
	return w
}

// elsewhere is another environment in the same store.
func (w *world) elsewhere() *world { return newWorld(w.t, w.Store) }

// on is the same world, seen through another store: another replica.
func (w *world) on(s vault.Store) *world {
	other := *w
	other.Store = s
	return &other
}

// try runs fn in a transaction and answers its error.
func (w *world) try(fn func(ctx context.Context, tx vault.Tx) error) error {
	ctx := w.t.Context()
	return w.Update(ctx, func(tx vault.Tx) error { return fn(ctx, tx) })
}

// do is try for what has to succeed.
func (w *world) do(fn func(ctx context.Context, tx vault.Tx) error) {
	w.t.Helper()
	if err := w.try(fn); err != nil {
		w.t.Fatal(err)
	}
}

// swap is do for what reports whether the row was as expected.
func (w *world) swap(fn func(ctx context.Context, tx vault.Tx) (bool, error)) bool {
	w.t.Helper()
	var ok bool
	w.do(func(ctx context.Context, tx vault.Tx) (err error) {
		ok, err = fn(ctx, tx)
		return err
	})
	return ok
}

func (w *world) newIntegration(key string) vault.IntegrationRow {
	return vault.IntegrationRow{
		Integration: vault.Integration{
			ID: newID("int"), EnvironmentID: w.env.ID, Key: key, Provider: "toggl", Title: "Toggl Track", ClientID: "client",
			HasClientSecret: true, Scopes: []string{"openid", "a scope with spaces"}, Methods: []string{"api_token", "password"},
			Overrides:                 vault.Overrides{BaseURL: "https://staging.example", AllowedHosts: []string{"a.example", "b.example"}},
			PreviousClientSecretUntil: noon.Add(time.Hour), CreatedAt: noon, UpdatedAt: noon.Add(time.Second),
		},
		SealedSecret: []byte("sealed client secret"), SealedPrevious: []byte("sealed client secret from before"),
	}
}

// full is an active connection with every member set that an insert keeps.
func (w *world) full() vault.ConnectionRow {
	return vault.ConnectionRow{
		Connection: vault.Connection{
			ID: newID("con"), EnvironmentID: w.env.ID, IntegrationID: w.in.ID, Integration: w.in.Key, Provider: w.in.Provider,
			Method: "api_token", Status: vault.StatusActive, Generation: 1,
			EndUser: vault.EndUser{ID: "user-1", Email: "Ada@example.com", Name: "Ada Lovelace"},
			Account: vault.Account{ID: "acc-1", Label: "Ada's Toggl"}, BaseURL: "https://api.example/v9",
			Scopes: []string{"read", "write"}, ExpiresAt: noon.Add(time.Hour), RefreshExpiresAt: noon.AddDate(0, 1, 0), Renewable: true,
			LastRefreshedAt: noon.Add(-time.Minute), LastReadAt: noon.Add(-time.Second), CreatedAt: noon, UpdatedAt: noon.Add(time.Microsecond),
			Tags: map[string]string{"team": "blue", "empty": ""}, Metadata: map[string]any{"note": "x", "nested": map[string]any{"a": []any{"b", true, nil}}},
			ExternalID: newID("ext"),
		},
		Credential: []byte("sealed\x00credential\xff"),
		Answer:     []byte("sealed\x00answer\xfe"),
	}
}

// connect inserts full, changed by each of change.
func (w *world) connect(change ...func(*vault.ConnectionRow)) vault.ConnectionRow {
	w.t.Helper()
	row := w.full()
	for _, c := range change {
		c(&row)
	}
	w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertConnection(ctx, row) })
	return row
}

func pending(until time.Time) func(*vault.ConnectionRow) {
	return func(c *vault.ConnectionRow) { c.Status, c.PendingUntil = vault.StatusPending, until }
}

func (w *world) read(id string) *vault.ConnectionRow {
	w.t.Helper()
	row, err := w.Connection(w.t.Context(), w.env.ID, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return row
}

func (w *world) newSession() vault.SessionRow {
	return vault.SessionRow{
		ConnectSession: vault.ConnectSession{
			ID: newID("cs"), EnvironmentID: w.env.ID, Kind: vault.SessionConnect, EndUser: vault.EndUser{ID: "user-1", Email: "a@example.com", Name: "Ada"},
			Integrations: []string{"toggl", "timelog"}, AllowAccountChange: true, ReturnURL: "https://host.example/done?x=1",
			Completion: vault.CompleteRedeem, Tags: map[string]string{"team": "blue"}, Status: vault.SessionOpen,
			CreatedAt: noon, ExpiresAt: noon.Add(vault.DefaultSessionTTL),
		},
		TokenHash: hash(newID("token")),
	}
}

func (w *world) session(change ...func(*vault.SessionRow)) vault.SessionRow {
	w.t.Helper()
	row := w.newSession()
	for _, c := range change {
		c(&row)
	}
	w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertSession(ctx, row) })
	return row
}

func (w *world) newAttempt(s vault.SessionRow) vault.AttemptRow {
	return vault.AttemptRow{
		ID: newID("att"), EnvironmentID: w.env.ID, SessionID: s.ID, IntegrationID: w.in.ID, Method: "oidc",
		StateHash: hash(newID("state")), BindingHash: hash("binding"), Sealed: []byte("sealed nonce"),
		CreatedAt: noon, ExpiresAt: noon.Add(vault.AttemptTTL),
	}
}

func (w *world) attempt(s vault.SessionRow) vault.AttemptRow {
	w.t.Helper()
	row := w.newAttempt(s)
	w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAttempt(ctx, row) })
	return row
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b vault.Secret) bool { return a.Equal(b) })); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// wantRefused is for faults that no caller decides on.
func wantRefused(t *testing.T, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: accepted", what)
	case errors.Is(err, vault.ErrNotFound), errors.Is(err, vault.ErrDuplicate), errors.Is(err, vault.ErrInUse):
		t.Errorf("%s: answered as an ordinary outcome: %v", what, err)
	}
}

// race runs n calls of fn at once and answers how many reported true.
func race(t *testing.T, n int, fn func(i int) (bool, error)) int {
	t.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	results := make(chan bool, n)
	for i := range n {
		wg.Go(func() {
			<-start
			ok, err := fn(i)
			if err != nil {
				t.Errorf("call %d: %v", i, err)
			}
			results <- ok
		})
	}
	close(start)
	wg.Wait()
	close(results)
	won := 0
	for ok := range results {
		if ok {
			won++
		}
	}
	return won
}

func contains(t *testing.T, what string, haystack []byte, needle string, want bool) {
	t.Helper()
	if got := bytes.Contains(haystack, []byte(needle)); got != want {
		t.Errorf("%s: contains %q: %t, want %t", what, needle, got, want)
	}
}

func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}
