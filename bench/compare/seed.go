package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/store"
	"github.com/claviger/claviger/internal/vault"
)

// world is what was put into a database.
type world struct {
	*database
	keyset vault.Secret
	key    vault.Secret
	// ours are the connections that the broker is asked for, theirs those of
	// the limit program, sealed with sealKey.
	ours, theirs []string
	sealKey      []byte
}

// seeding is a store whose every transaction is the one that is under way:
// thousands of imports through the vault's own door, and one commit. What they
// leave in the trail is not measured and left out.
type seeding struct {
	vault.Store
	tx vault.Tx
}

func (s *seeding) Update(_ context.Context, fn func(vault.Tx) error) error {
	return fn(untracked{s.tx})
}

type untracked struct{ vault.Tx }

func (untracked) InsertAudit(context.Context, vault.AuditEntry) error { return nil }
func (untracked) InsertEvent(context.Context, vault.Event) error      { return nil }

// seedBatch is how many connections are made in one transaction.
const seedBatch = 5000

// limitRows is how many connections the limit program has at most.
const limitRows = 1000

// seed fills a database with so many connections of a credential of 1 KiB.
func seed(ctx context.Context, d *database, rows int, strict bool) (*world, error) {
	s, err := store.Open(ctx, store.Config{URL: d.path(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	w := &world{database: d}
	keyset, err := vault.NewKeyset()
	if err != nil {
		return nil, err
	}
	if w.keyset, err = keyset.JSON(); err != nil {
		return nil, err
	}
	open := func(st vault.Store) *vault.Vault {
		return vault.New(vault.Config{
			Store: st, Keyset: keyset, Log: slog.New(slog.DiscardHandler),
			CheckIntegration: func(vault.Integration) error { return nil },
		})
	}
	v := open(s)
	if err := v.CheckKeyset(ctx); err != nil {
		return nil, err
	}
	env, err := v.EnsureEnvironment(ctx, vault.DefaultEnvironment)
	if err != nil {
		return nil, err
	}
	caller := vault.System("bench", env.ID)
	if _, w.key, err = v.CreateAPIKey(ctx, caller, vault.NewAPIKey{Name: "bench", Scopes: vault.AllScopes()}); err != nil {
		return nil, err
	}
	in, err := v.CreateIntegration(ctx, caller, vault.Integration{Key: "toggl", Provider: "toggl"})
	if err != nil {
		return nil, err
	}
	token := strings.Repeat("t", 1<<10)
	all := make([]string, 0, rows+min(rows, limitRows))
	for len(all) < cap(all) {
		err := s.Update(ctx, func(tx vault.Tx) error {
			v := open(&seeding{s, tx})
			for range min(seedBatch, cap(all)-len(all)) {
				c, err := v.ImportConnection(ctx, caller, vault.NewImport{
					Integration: in, Method: "api_token", EndUser: vault.EndUser{ID: fmt.Sprintf("user-%d", len(all))},
					Grant: vault.Grant{
						Credential: vault.Credential{"token": vault.NewSecret(token)},
						Headers:    []vault.Header{{Name: "Authorization", Value: vault.NewSecret("Bearer " + token)}},
						BaseURL:    "https://api.track.toggl.com", ExpiresAt: time.Now().Add(7 * 24 * time.Hour), Renewable: true,
					},
				})
				if err != nil {
					return err
				}
				all = append(all, c.ID)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("importing connections: %w", err)
		}
	}
	w.ours, w.theirs = all[:rows], all[rows:]
	if err := w.sealForLimit(ctx); err != nil {
		return nil, fmt.Errorf("sealing for the limit program: %w", err)
	}
	if strict {
		if err := w.execute(ctx, "UPDATE environments SET strict_reads = TRUE"); err != nil {
			return nil, err
		}
	}
	return w, d.settle(ctx)
}

// sealForLimit gives the limit program's connections an answer of the same
// length that it can open.
func (w *world) sealForLimit(ctx context.Context) (err error) {
	w.sealKey = make([]byte, 32)
	_, _ = rand.Read(w.sealKey) // never fails, by its contract
	block, err := aes.NewCipher(w.sealKey)
	if err != nil {
		return err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	db, err := w.raw()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, id := range w.theirs {
		var size int
		if err := tx.QueryRowContext(ctx, "SELECT length(answer) FROM connections WHERE id = $1", id).Scan(&size); err != nil {
			return err
		}
		plain := []byte(strings.Repeat("a", size-gcm.NonceSize()-gcm.Overhead()))
		nonce := make([]byte, gcm.NonceSize(), size)
		_, _ = rand.Read(nonce)
		if _, err := tx.ExecContext(ctx, "UPDATE connections SET answer = $2 WHERE id = $1", id, gcm.Seal(nonce, nonce, plain, nil)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (w *world) keyHash() string { return hex.EncodeToString(vault.HashToken(w.key)) }
