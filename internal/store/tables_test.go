package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

func TestEnvironments(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		second := w.elsewhere()

		got, err := w.Environment(ctx, w.env.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "by id", got, &w.env)
		if got, err = w.EnvironmentByName(ctx, w.env.Name); err != nil {
			t.Fatal(err)
		}
		equal(t, "by name", got, &w.env)
		all, err := w.Environments(ctx)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "all, oldest first", all, []vault.Environment{w.env, second.env})

		_, err = w.Environment(ctx, "env_none")
		wantErr(t, "unknown id", err, vault.ErrNotFound)
		_, err = w.EnvironmentByName(ctx, "none")
		wantErr(t, "unknown name", err, vault.ErrNotFound)

		twin := vault.Environment{ID: newID("env"), Name: w.env.Name, Keyset: []byte("k"), CreatedAt: noon}
		err = w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertEnvironment(ctx, twin) })
		wantErr(t, "same name", err, vault.ErrDuplicate)
		twin.ID, twin.Name = w.env.ID, "another"
		err = w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertEnvironment(ctx, twin) })
		wantErr(t, "same id", err, vault.ErrDuplicate)
		twin.ID, twin.Keyset = newID("env"), nil
		err = w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertEnvironment(ctx, twin) })
		wantRefused(t, "without a keyset", err)

		set := func(old string) bool {
			return w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
				return tx.SetEnvironmentKeyset(ctx, w.env.ID, []byte(old), []byte("rewrapped"))
			})
		}
		if set("something else") {
			t.Error("keyset replaced that was not there")
		}
		if !set("wrapped") || set("wrapped") {
			t.Error("keyset has to be replaced once")
		}
		if got, _ = w.Environment(ctx, w.env.ID); string(got.Keyset) != "rewrapped" {
			t.Errorf("keyset is %q", got.Keyset)
		}
	})
}

func TestAPIKeys(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()

		got, err := w.APIKeyByHash(ctx, w.key.Hash)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "by hash", got, &w.key)
		_, err = w.APIKeyByHash(ctx, hash("unknown"))
		wantErr(t, "unknown hash", err, vault.ErrNotFound)
		_, err = w.APIKey(ctx, other.env.ID, w.key.ID)
		wantErr(t, "another environment's key", err, vault.ErrNotFound)

		plain := vault.APIKey{ID: newID("key"), EnvironmentID: w.env.ID, Hash: hash("plain"), CreatedAt: noon}
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAPIKey(ctx, plain) })
		if got, err = w.APIKey(ctx, w.env.ID, plain.ID); err != nil {
			t.Fatal(err)
		}
		equal(t, "no scope, never expires", got, &plain)

		list, err := w.APIKeys(ctx, w.env.ID, vault.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "newest first", list, []vault.APIKey{plain, w.key})

		renamed := w.key
		renamed.Name, renamed.Scopes, renamed.ExpiresAt = "renamed", []vault.Scope{vault.ScopeAuditRead}, time.Time{}
		change := func(k vault.APIKey) bool {
			return w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) { return tx.UpdateAPIKey(ctx, k) })
		}
		foreign := renamed
		foreign.EnvironmentID = other.env.ID
		if change(foreign) || !change(renamed) {
			t.Error("a key is changed in its own environment, and there only")
		}
		if got, err = w.APIKey(ctx, w.env.ID, w.key.ID); err != nil {
			t.Fatal(err)
		}
		equal(t, "changed", got, &renamed)

		revoke := func(environment string) bool {
			return w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
				return tx.RevokeAPIKey(ctx, environment, w.key.ID, noon)
			})
		}
		if revoke(other.env.ID) {
			t.Error("revoked from another environment")
		}
		if !revoke(w.env.ID) || revoke(w.env.ID) {
			t.Error("a key is revoked once")
		}
		if got, err = w.APIKeyByHash(ctx, w.key.Hash); err != nil || !got.RevokedAt.Equal(noon) {
			t.Errorf("revoked key: %+v, %v", got, err)
		}
		if change(renamed) {
			t.Error("a revoked key is changed")
		}

		for name, c := range map[string]struct {
			change func(*vault.APIKey)
			want   error
		}{
			"same hash":       {func(k *vault.APIKey) { k.Hash = w.key.Hash }, vault.ErrDuplicate},
			"no environment":  {func(k *vault.APIKey) { k.EnvironmentID = "env_none" }, vault.ErrNotFound},
			"hash of 31":      {func(k *vault.APIKey) { k.Hash = k.Hash[:31] }, nil},
			"the key itself":  {func(k *vault.APIKey) { k.Hash = []byte("clv_key_0123456789012345678901234567890123456789012") }, nil},
			"without an id":   {func(k *vault.APIKey) { k.ID = "" }, nil},
			"endless name":    {func(k *vault.APIKey) { k.Name = longText(257) }, nil},
			"never created":   {func(k *vault.APIKey) { k.CreatedAt = time.Time{} }, nil},
			"not UTF-8":       {func(k *vault.APIKey) { k.Name = "a\xffb" }, nil},
			"a NUL":           {func(k *vault.APIKey) { k.Name = "a\x00b" }, nil},
			"surrogate half":  {func(k *vault.APIKey) { k.Name = "\xed\xa0\x80" }, nil},
			"overlong letter": {func(k *vault.APIKey) { k.Name = "\xc1\x81" }, nil},
		} {
			k := vault.APIKey{ID: newID("key"), EnvironmentID: w.env.ID, Hash: hash(name), CreatedAt: noon}
			c.change(&k)
			err := w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertAPIKey(ctx, k) })
			if c.want != nil {
				wantErr(t, name, err, c.want)
			} else {
				wantRefused(t, name, err)
			}
		}
	})
}

func longText(n int) string { return string(slices.Repeat([]byte("x"), n)) }

func TestIntegrations(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()

		for what, find := range map[string]func() (*vault.IntegrationRow, error){
			"by id":         func() (*vault.IntegrationRow, error) { return w.Integration(ctx, w.env.ID, w.in.ID) },
			"by key":        func() (*vault.IntegrationRow, error) { return w.IntegrationByKey(ctx, w.env.ID, w.in.Key) },
			"by id, global": func() (*vault.IntegrationRow, error) { return w.IntegrationByID(ctx, w.in.ID) },
		} {
			got, err := find()
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			equal(t, what, got, &w.in)
		}
		_, err := w.Integration(ctx, other.env.ID, w.in.ID)
		wantErr(t, "another environment's, by id", err, vault.ErrNotFound)
		_, err = w.IntegrationByKey(ctx, w.env.ID, "none")
		wantErr(t, "unknown key", err, vault.ErrNotFound)
		if got, err := w.IntegrationByKey(ctx, other.env.ID, "toggl"); err != nil || got.ID != other.in.ID {
			t.Errorf("the same key in another environment is another integration: %+v, %v", got, err)
		}

		bare := vault.IntegrationRow{Integration: vault.Integration{
			ID: newID("int"), EnvironmentID: w.env.ID, Key: "bare", Provider: "timelog", CreatedAt: noon, UpdatedAt: noon,
		}}
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.InsertIntegration(ctx, bare) })
		list, err := w.Integrations(ctx, w.env.ID, nil, vault.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "newest first", list, []vault.Integration{bare.Integration, w.in.Integration})

		twin := bare
		twin.ID = newID("int")
		err = w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertIntegration(ctx, twin) })
		wantErr(t, "same key", err, vault.ErrDuplicate)

		changed := w.in
		changed.Title, changed.ClientID, changed.SealedSecret, changed.HasClientSecret = "New", "new", nil, false
		changed.SealedPrevious, changed.PreviousClientSecretUntil = nil, time.Time{}
		changed.Scopes, changed.Methods, changed.Overrides, changed.UpdatedAt = nil, []string{"session"}, vault.Overrides{Issuer: "https://i"}, noon.Add(time.Hour)
		attempted := changed
		attempted.Key, attempted.Provider, attempted.CreatedAt = "moved", "other", noon.Add(time.Hour)
		w.do(func(ctx context.Context, tx vault.Tx) error { return tx.UpdateIntegration(ctx, attempted) })
		got, err := w.Integration(ctx, w.env.ID, w.in.ID)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "updated, but for key, provider and creation", got, &changed)
		attempted.EnvironmentID = other.env.ID
		err = w.try(func(ctx context.Context, tx vault.Tx) error { return tx.UpdateIntegration(ctx, attempted) })
		wantErr(t, "update from another environment", err, vault.ErrNotFound)
	})
}

// TestDeleteRevokedConnections: those that refer to others before those.
func TestDeleteRevokedConnections(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		live, theirs := w.connect(), other.connect()
		var revoked []vault.ConnectionRow
		for range 3 {
			c := w.connect()
			revoked = append(revoked, c, w.connect(pending(noon), func(candidate *vault.ConnectionRow) { candidate.ReplacesID = c.ID }))
		}
		for _, c := range append(revoked, theirs) {
			w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) { return tx.Revoke(ctx, c.ID, "", noon) })
		}
		remove := func(environment string) (n int64) {
			w.do(func(ctx context.Context, tx vault.Tx) (err error) {
				n, err = tx.DeleteRevokedConnections(ctx, environment, w.in.ID, 4)
				return err
			})
			return n
		}
		for i, want := range []int64{4, 2, 0} {
			if n := remove(other.env.ID); n != 0 {
				t.Errorf("%d are gone from another environment", n)
			}
			if n := remove(w.env.ID); n != want {
				t.Errorf("part %d has %d, want %d", i, n, want)
			}
		}
		if w.read(live.ID).Status != vault.StatusActive || other.read(theirs.ID).Status != vault.StatusRevoked {
			t.Error("others are gone")
		}
	})
}

func TestDeleteIntegration(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		remove := func(environment string) error {
			return w.try(func(ctx context.Context, tx vault.Tx) error { return tx.DeleteIntegration(ctx, environment, w.in.ID) })
		}
		live, revoked := w.connect(), w.connect()
		s := w.session()
		attempt := w.attempt(s)
		w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) { return tx.Revoke(ctx, revoked.ID, "", noon) })

		wantErr(t, "from another environment", remove(other.env.ID), vault.ErrNotFound)
		wantErr(t, "with a live connection", remove(w.env.ID), vault.ErrInUse)
		if w.read(revoked.ID).Status != vault.StatusRevoked {
			t.Error("a refused delete took the revoked connection away")
		}
		ids, err := w.ConnectionsOf(ctx, w.env.ID, w.in.ID, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "what is in the way", ids, []string{live.ID})

		w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) { return tx.Revoke(ctx, live.ID, "", noon) })
		if err := remove(w.env.ID); err != nil {
			t.Fatal(err)
		}
		_, err = w.Connection(ctx, w.env.ID, live.ID)
		wantErr(t, "its revoked connection", err, vault.ErrNotFound)
		_, err = w.AttemptByState(ctx, attempt.StateHash)
		wantErr(t, "its attempt", err, vault.ErrNotFound)
		wantErr(t, "again", remove(w.env.ID), vault.ErrNotFound)
	})
}
