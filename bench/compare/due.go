package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/claviger/claviger/internal/store"
	"github.com/claviger/claviger/internal/vault"
)

// dueSlice is how long the load lasts in which the connections become due.
const dueSlice = 10 * time.Second

// withDue compares a broker beside nothing else with itself while connections
// are refreshed ahead of time, each once in every slice of ten seconds.
func (b *bench) withDue(ctx context.Context, kind string) (err error) {
	w, drop, err := b.prepare(ctx, kind, b.rows, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	provider := &http.Server{Handler: http.HandlerFunc(grant), ReadHeaderTimeout: time.Minute}
	go func() { _ = provider.Serve(ln) }() // until it is closed
	defer func() { err = errors.Join(err, provider.Close()) }()
	if err := w.seedDue(ctx, "http://"+ln.Addr().String(), b.due); err != nil {
		return fmt.Errorf("importing what is to be due: %w", err)
	}
	broker, err := b.startBroker(ctx, w, "due")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.stop()) }()
	var p pair
	for i := range min(b.slices, 5) + 1 {
		var got [2]slice
		for j := range got {
			k := (i + j) % 2
			if k == 0 {
				if err := w.execute(ctx, "UPDATE connections SET due_at = 1 WHERE method = 'oauth'"); err != nil {
					return err
				}
			}
			if got[k], err = b.run(ctx, broker, 0, max(dueSlice, b.slice)); err != nil {
				return err
			}
		}
		if i > 0 {
			p.a, p.b = append(p.a, got[0]), append(p.b, got[1])
		}
	}
	db, err := w.raw()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var refreshed int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM events WHERE type = 'connection.refreshed'").Scan(&refreshed); err != nil {
		return err
	}
	with, without, ratio := p.medians(func(s slice) float64 { return s.perSecond })
	b.say("%s, %d connections refreshed in every %v of load: %.0f requests/s, %.0f without, ratio %.2f (%d refreshes in all)",
		kind, b.due, max(dueSlice, b.slice), with, without, ratio, refreshed)
	return nil
}

// grant is a token endpoint that says yes.
func grant(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":"a-%[1]d","refresh_token":"r-%[1]d","token_type":"bearer","expires_in":604800}`, time.Now().UnixNano())
}

// seedDue adds connections of a provider that can refresh them.
func (w *world) seedDue(ctx context.Context, provider string, n int) error {
	s, err := store.Open(ctx, store.Config{URL: w.path(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	keyset, err := vault.ParseKeyset(w.keyset)
	if err != nil {
		return err
	}
	v := vault.New(vault.Config{
		Store: s, Keyset: keyset, Log: slog.New(slog.DiscardHandler),
		CheckIntegration: func(vault.Integration) error { return nil },
	})
	env, err := s.EnvironmentByName(ctx, vault.DefaultEnvironment)
	if err != nil {
		return err
	}
	caller := vault.System("bench", env.ID)
	in, err := v.CreateIntegration(ctx, caller, vault.Integration{
		Key: "harvest", Provider: "harvest", ClientID: "bench", ClientSecret: vault.NewSecret("bench-client-secret"),
		Overrides: vault.Overrides{TokenURL: provider, BaseURL: provider},
	})
	if err != nil {
		return err
	}
	for i := range n {
		_, err := v.ImportConnection(ctx, caller, vault.NewImport{
			Integration: in, Method: "oauth", EndUser: vault.EndUser{ID: fmt.Sprintf("due-%d", i)},
			Grant: vault.Grant{
				Credential: vault.Credential{
					"access_token": vault.NewSecret("a"), vault.ValueRefreshToken: vault.NewSecret("r"), "account_id": vault.NewSecret("1"),
				},
				Headers: []vault.Header{{Name: "Authorization", Value: vault.NewSecret("Bearer a")}},
				BaseURL: provider, ExpiresAt: time.Now().Add(7 * 24 * time.Hour), Renewable: true,
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
