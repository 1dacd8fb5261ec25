package store_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

func TestConnectionRoundTrip(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		target := w.connect()
		for name, change := range map[string]func(*vault.ConnectionRow){
			"everything": func(*vault.ConnectionRow) {},
			"nothing optional": func(c *vault.ConnectionRow) {
				c.StatusReason, c.BaseURL, c.ExternalID, c.Account = "", "", "", vault.Account{}
				c.EndUser = vault.EndUser{ID: "u"}
				c.Scopes, c.Tags, c.Metadata, c.Renewable = nil, nil, nil, false
				c.ExpiresAt, c.RefreshExpiresAt, c.LastRefreshedAt, c.LastReadAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
			},
			"a candidate": func(c *vault.ConnectionRow) {
				pending(noon.Add(vault.RedeemTTL))(c)
				c.ReplacesID = target.ID
			},
			"condemned, without a credential": func(c *vault.ConnectionRow) {
				c.Status, c.StatusReason, c.Credential, c.Answer = vault.StatusReconnectRequired, vault.ReasonInvalidGrant, nil, nil
			},
			"any script": func(c *vault.ConnectionRow) {
				c.EndUser.Name, c.Account.Label = "Ω≈ç√ 日本語 👩‍🚀", "' OR 1=1; -- \"\\\t"
				c.Tags = map[string]string{"ключ": "значение", "'": "\""}
				c.Metadata = map[string]any{"n": json.Number("123456789012345678901234567890"), "e": json.Number("1.0")}
			},
			"the ends of time": func(c *vault.ConnectionRow) {
				c.ExpiresAt, c.RefreshExpiresAt = time.UnixMicro(0).UTC(), time.UnixMicro(-1).UTC()
				c.LastReadAt = time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
			},
		} {
			row := w.connect(change)
			equal(t, name, w.read(row.ID), &row)
			_, err := w.Connection(ctx, other.env.ID, row.ID)
			wantErr(t, name+", from another environment", err, vault.ErrNotFound)
		}
	})
}

// A time is an instant: zones and what is finer than a microsecond do not
// come back.
func TestTimesAreInstants(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		kathmandu := time.FixedZone("", 5*3600+45*60)
		row := w.connect(func(c *vault.ConnectionRow) {
			c.ExpiresAt = time.Date(2026, 7, 1, 0, 30, 0, 999, kathmandu)
			c.CreatedAt = time.Now() // with a monotonic clock
		})
		got := w.read(row.ID)
		equal(t, "expiry", got.ExpiresAt, time.Date(2026, 6, 30, 18, 45, 0, 0, time.UTC))
		equal(t, "creation", got.CreatedAt, row.CreatedAt.UTC().Round(0).Truncate(time.Microsecond))
		if !got.PendingUntil.IsZero() {
			t.Errorf("never is %v", got.PendingUntil)
		}
	})
}

// The schema states the rules; a bug above it fails at the right line.
func TestConnectionConstraints(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		other := w.elsewhere()
		taken := w.connect()
		tag := func(n int) map[string]string { return map[string]string{"k": longText(n)} }
		for name, c := range map[string]struct {
			change func(*vault.ConnectionRow)
			want   error
		}{
			"active without a credential":            {func(c *vault.ConnectionRow) { c.Credential = nil }, nil},
			"active without an answer":               {func(c *vault.ConnectionRow) { c.Answer = []byte{} }, nil},
			"pending without a credential":           {func(c *vault.ConnectionRow) { pending(noon)(c); c.Credential = nil }, nil},
			"pending for ever":                       {func(c *vault.ConnectionRow) { c.Status = vault.StatusPending }, nil},
			"active and still to be redeemed":        {func(c *vault.ConnectionRow) { c.PendingUntil = noon }, nil},
			"revoked with a credential":              {func(c *vault.ConnectionRow) { c.Status, c.Answer = vault.StatusRevoked, nil }, nil},
			"revoked with an answer":                 {func(c *vault.ConnectionRow) { c.Status, c.Credential = vault.StatusRevoked, nil }, nil},
			"another word for a status":              {func(c *vault.ConnectionRow) { c.Status = "deleted" }, nil},
			"no status":                              {func(c *vault.ConnectionRow) { c.Status = "" }, nil},
			"generation 0":                           {func(c *vault.ConnectionRow) { c.Generation = 0 }, nil},
			"without an id":                          {func(c *vault.ConnectionRow) { c.ID = "" }, nil},
			"an endless id":                          {func(c *vault.ConnectionRow) { c.ID = longText(65) }, nil},
			"without an end user":                    {func(c *vault.ConnectionRow) { c.EndUser.ID = "" }, nil},
			"without a method":                       {func(c *vault.ConnectionRow) { c.Method = "" }, nil},
			"an endless label":                       {func(c *vault.ConnectionRow) { c.Account.Label = longText(513) }, nil},
			"an endless tag":                         {func(c *vault.ConnectionRow) { c.Tags = tag(257) }, nil},
			"an endless blob":                        {func(c *vault.ConnectionRow) { c.Answer = make([]byte, 1<<20+1) }, nil},
			"replaces itself":                        {func(c *vault.ConnectionRow) { c.ReplacesID = c.ID }, nil},
			"an id that is taken":                    {func(c *vault.ConnectionRow) { c.ID = taken.ID }, vault.ErrDuplicate},
			"an external id that is taken":           {func(c *vault.ConnectionRow) { c.ExternalID = taken.ExternalID }, vault.ErrDuplicate},
			"no integration":                         {func(c *vault.ConnectionRow) { c.IntegrationID = "int_none" }, vault.ErrNotFound},
			"another environment's integration":      {func(c *vault.ConnectionRow) { c.IntegrationID = other.in.ID }, vault.ErrNotFound},
			"replaces none":                          {func(c *vault.ConnectionRow) { c.ReplacesID = "con_none" }, vault.ErrNotFound},
			"replaces another environment's":         {func(c *vault.ConnectionRow) { c.ReplacesID = other.connect().ID }, vault.ErrNotFound},
			"text that is not UTF-8":                 {func(c *vault.ConnectionRow) { c.Account.Label = "\xff" }, nil},
			"text with a NUL":                        {func(c *vault.ConnectionRow) { c.EndUser.Name = "a\x00" }, nil},
			"tag with a NUL":                         {func(c *vault.ConnectionRow) { c.Tags = map[string]string{"k": "a\x00b"} }, nil},
			"metadata that is not JSON":              {func(c *vault.ConnectionRow) { c.Metadata = map[string]any{"f": func() {}} }, nil},
			"metadata as long as a book":             {func(c *vault.ConnectionRow) { c.Metadata = map[string]any{"f": longText(65536)} }, nil},
			"a time that no calendar of ours has":    {func(c *vault.ConnectionRow) { c.CreatedAt = time.Time{} }, nil},
			"an external id where nothing is before": {func(c *vault.ConnectionRow) { c.ExternalID = longText(257) }, nil},
		} {
			row := w.full()
			c.change(&row)
			err := w.try(func(ctx context.Context, tx vault.Tx) error { return tx.InsertConnection(ctx, row) })
			if c.want != nil {
				wantErr(t, name, err, c.want)
			} else {
				wantRefused(t, name, err)
			}
		}
		// Empty external ids do not collide, nor do those of other environments.
		w.connect(func(c *vault.ConnectionRow) { c.ExternalID = "" })
		w.connect(func(c *vault.ConnectionRow) { c.ExternalID = "" })
		other.connect(func(c *vault.ConnectionRow) { c.ExternalID = taken.ExternalID })
	})
}

func change(s vault.Status) vault.CredentialChange {
	return vault.CredentialChange{
		Credential: []byte("sealed 2"), Answer: []byte("answer 2"), Status: s, StatusReason: "why", BaseURL: "https://new.example",
		Account: vault.Account{ID: "acc-2", Label: "Other"}, Scopes: []string{"all"}, ExpiresAt: noon.Add(2 * time.Hour), At: noon.Add(time.Minute),
	}
}

func TestSaveCredential(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		row := w.connect()
		save := func(id string, generation int64, ch vault.CredentialChange) bool {
			t.Helper()
			return w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
				return tx.SaveCredential(ctx, id, generation, 0, ch)
			})
		}
		if save(row.ID, 2, change(vault.StatusActive)) || save("con_none", 1, change(vault.StatusActive)) {
			t.Error("saved over another generation, or none")
		}
		equal(t, "untouched", w.read(row.ID), &row)

		if !save(row.ID, 1, change(vault.StatusActive)) || save(row.ID, 1, change(vault.StatusActive)) {
			t.Error("a generation is replaced once")
		}
		want := row
		want.Generation, want.Credential, want.Answer = 2, []byte("sealed 2"), []byte("answer 2")
		want.StatusReason, want.BaseURL, want.Account, want.Scopes = "why", "https://new.example", vault.Account{ID: "acc-2", Label: "Other"}, []string{"all"}
		want.ExpiresAt, want.RefreshExpiresAt, want.Renewable, want.UpdatedAt = noon.Add(2*time.Hour), time.Time{}, false, noon.Add(time.Minute)
		equal(t, "linked anew", w.read(row.ID), &want)

		ch := change(vault.StatusReconnectRequired)
		ch.Refreshed, ch.Method = true, "password"
		if !save(row.ID, 2, ch) {
			t.Fatal("not saved")
		}
		want.Generation, want.Status, want.Method, want.LastRefreshedAt = 3, vault.StatusReconnectRequired, "password", ch.At
		equal(t, "refreshed", w.read(row.ID), &want)

		ch.Credential = nil
		ch.Status = vault.StatusActive
		err := w.try(func(ctx context.Context, tx vault.Tx) error {
			_, err := tx.SaveCredential(ctx, row.ID, 3, 0, ch)
			return err
		})
		wantRefused(t, "active without a credential", err)

		// A pending one stays to be redeemed, or is redeemed by the change.
		waiting := w.connect(pending(noon.Add(time.Minute)))
		if !save(waiting.ID, 1, change(vault.StatusPending)) || w.read(waiting.ID).PendingUntil.IsZero() {
			t.Error("a new credential took the time to be redeemed away")
		}
		if !save(waiting.ID, 2, change(vault.StatusActive)) || !w.read(waiting.ID).PendingUntil.IsZero() {
			t.Error("an active connection is still to be redeemed")
		}
	})
}

func TestSaveCredentialRace(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		second := w.on(db.Open(t))
		row := w.connect()
		won := race(t, 50, func(i int) (ok bool, err error) {
			err = []*world{w, second}[i%2].try(func(ctx context.Context, tx vault.Tx) error {
				ok, err = tx.SaveCredential(ctx, row.ID, 1, 0, change(vault.StatusActive))
				return err
			})
			return ok, err
		})
		if got := w.read(row.ID).Generation; won != 1 || got != 2 {
			t.Errorf("%d saves of generation 1 succeeded; generation is %d", won, got)
		}
	})
}

func TestSetStatus(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		w := newWorld(t, db.Open(t))
		row := w.connect()
		set := func(id string, generation int64, s vault.Status, reason string) bool {
			t.Helper()
			return w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
				return tx.SetStatus(ctx, id, generation, s, reason, noon.Add(time.Hour))
			})
		}
		if set(row.ID, 2, vault.StatusReconnectRequired, "x") {
			t.Error("another generation's status was set")
		}
		if !set(row.ID, 1, vault.StatusReconnectRequired, vault.ReasonInvalidGrant) {
			t.Error("not set")
		}
		want := row
		want.Status, want.StatusReason, want.UpdatedAt = vault.StatusReconnectRequired, vault.ReasonInvalidGrant, noon.Add(time.Hour)
		equal(t, "condemned: credential and generation stay", w.read(row.ID), &want)

		waiting := w.connect(pending(noon))
		if !set(waiting.ID, 1, vault.StatusActive, "") {
			t.Error("not redeemed")
		}
		if got := w.read(waiting.ID); got.Status != vault.StatusActive || !got.PendingUntil.IsZero() {
			t.Errorf("redeemed: %+v", got.Connection)
		}
		err := w.try(func(ctx context.Context, tx vault.Tx) error {
			_, err := tx.SetStatus(ctx, row.ID, 1, vault.StatusRevoked, "", noon)
			return err
		})
		wantRefused(t, "revoked with its ciphertext", err)
	})
}

func TestRevoke(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		for _, start := range []vault.Status{vault.StatusActive, vault.StatusPending, vault.StatusReconnectRequired} {
			row := w.connect(func(c *vault.ConnectionRow) {
				c.Status = start
				if start == vault.StatusPending {
					c.PendingUntil = noon
				}
			})
			if start != vault.StatusReconnectRequired {
				leased, ok, err := w.ClaimLease(ctx, row.ID, 1, "me", time.Minute)
				if err != nil || !ok {
					t.Fatal(ok, err)
				}
				if ok, err := w.NoteSpending(ctx, row.ID, leased.Lease.Epoch, []byte("fingerprint"), time.Minute); err != nil || !ok {
					t.Fatal(ok, err)
				}
			}
			revoke := func() bool {
				return w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
					return tx.Revoke(ctx, row.ID, vault.ReasonRevokedByCaller, noon.Add(time.Hour))
				})
			}
			if !revoke() || revoke() {
				t.Errorf("%s: a connection is revoked once", start)
			}
			want := row
			want.Status, want.StatusReason, want.UpdatedAt = vault.StatusRevoked, vault.ReasonRevokedByCaller, noon.Add(time.Hour)
			want.Credential, want.Answer, want.PendingUntil = nil, nil, time.Time{}
			got := w.read(row.ID)
			want.Lease.Epoch = got.Lease.Epoch // never goes back
			equal(t, string(start), got, &want)

			for what, try := range map[string]func(ctx context.Context, tx vault.Tx) (bool, error){
				"a late refresh": func(ctx context.Context, tx vault.Tx) (bool, error) {
					return tx.SaveCredential(ctx, row.ID, 1, got.Lease.Epoch, change(vault.StatusActive))
				},
				"a late reconnect": func(ctx context.Context, tx vault.Tx) (bool, error) {
					return tx.SaveCredential(ctx, row.ID, 1, 0, change(vault.StatusActive))
				},
				"a late status": func(ctx context.Context, tx vault.Tx) (bool, error) {
					return tx.SetStatus(ctx, row.ID, 1, vault.StatusActive, "", noon)
				},
			} {
				if w.swap(try) {
					t.Errorf("%s: %s brought it back", start, what)
				}
			}
			if ok, err := w.NoteSpending(ctx, row.ID, got.Lease.Epoch, []byte("x"), time.Minute); err != nil || ok {
				t.Errorf("%s: the lease outlived it: %t, %v", start, ok, err)
			}
			if _, ok, err := w.ClaimLease(ctx, row.ID, 1, "me", time.Minute); err != nil || ok {
				t.Errorf("%s: leased: %t, %v", start, ok, err)
			}
		}
		for _, gone := range []string{"sealed\x00credential", "sealed\x00answer", "fingerprint"} {
			// SQLite's log has them until a checkpoint; the tables must not.
			rows := db.Rows(t)
			contains(t, "after revocation", rows, gone, false)
		}
	})
}

func TestUpdateConnection(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		row := w.connect()
		patch := func(p vault.ConnectionPatch) error {
			return w.try(func(ctx context.Context, tx vault.Tx) error {
				return tx.UpdateConnection(ctx, row.ID, p, noon.Add(time.Hour))
			})
		}
		tagged := func(k, v string) []vault.Connection {
			list, err := w.Connections(ctx, w.env.ID, vault.ConnectionFilter{Tags: map[string]string{k: v}})
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		if err := patch(vault.ConnectionPatch{Tags: &map[string]string{"team": "red", "new": "1"}}); err != nil {
			t.Fatal(err)
		}
		want := row
		want.Tags, want.UpdatedAt = map[string]string{"team": "red", "new": "1"}, noon.Add(time.Hour)
		equal(t, "tags", w.read(row.ID), &want)
		if len(tagged("team", "red")) != 1 || len(tagged("team", "blue")) != 0 || len(tagged("empty", "")) != 0 {
			t.Error("filters do not follow the tags")
		}
		if err := patch(vault.ConnectionPatch{Metadata: &map[string]any{"m": "n"}}); err != nil {
			t.Fatal(err)
		}
		want.Metadata = map[string]any{"m": "n"}
		equal(t, "metadata only", w.read(row.ID), &want)
		if err := patch(vault.ConnectionPatch{Tags: &map[string]string{}, Metadata: &map[string]any{}}); err != nil {
			t.Fatal(err)
		}
		want.Tags, want.Metadata = nil, nil
		equal(t, "emptied", w.read(row.ID), &want)
		if len(tagged("team", "red")) != 0 {
			t.Error("filters find tags that are gone")
		}
		row.ID = "con_none"
		wantErr(t, "none", patch(vault.ConnectionPatch{}), vault.ErrNotFound)
	})
}

func TestDeleteConnection(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		ctx := t.Context()
		w := newWorld(t, db.Open(t))
		row := w.connect()
		candidate := w.connect(pending(noon), func(c *vault.ConnectionRow) { c.ReplacesID = row.ID })
		remove := func() error {
			return w.try(func(ctx context.Context, tx vault.Tx) error { return tx.DeleteConnection(ctx, row.ID) })
		}
		wantErr(t, "with a live candidate", remove(), vault.ErrInUse)
		w.swap(func(ctx context.Context, tx vault.Tx) (bool, error) {
			return tx.Revoke(ctx, candidate.ID, vault.ReasonNotRedeemed, noon)
		})
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{row.ID, candidate.ID} {
			_, err := w.Connection(ctx, w.env.ID, id)
			wantErr(t, "deleted", err, vault.ErrNotFound)
		}
		contains(t, "tags of deleted connections", db.Rows(t), "connection_tags.", false)
		wantErr(t, "again", remove(), vault.ErrNotFound)
	})
}
