package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/admin"
	"github.com/claviger/claviger/internal/api"
	"github.com/claviger/claviger/internal/connect"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/store"
	"github.com/claviger/claviger/internal/vault"
)

// broker is everything that serves, wired. Close it.
type broker struct {
	cfg       *config
	log       *slog.Logger
	store     *store.Store
	keyset    *vault.Keyset
	vault     *vault.Vault
	providers *providers.Service
	spool     *refresh.Spool
	engine    *refresh.Engine
	outbound  *outbound.Client
}

// openBroker opens database and keyset and wires the rooms. Nothing is served
// before the keyset has proved to be the one that sealed this database.
func openBroker(ctx context.Context, cfg *config, log *slog.Logger) (*broker, error) {
	return openBrokerTo(ctx, cfg, log, true)
}

// open reads the settings of a command and opens the broker for it.
func (p *process) open(ctx context.Context, flags *flag.FlagSet, args []string) (*broker, error) {
	cfg, err := loadConfig(flags, args, p.env)
	if err != nil {
		return nil, err
	}
	return openBroker(ctx, cfg, p.logger(cfg))
}

// openBrokerTo is openBroker for a command that may be one that only looks: it
// writes nothing then, and takes neither an older schema nor an empty database
// as an occasion to.
func openBrokerTo(ctx context.Context, cfg *config, log *slog.Logger, write bool) (_ *broker, err error) {
	b := &broker{cfg: cfg, log: log}
	defer func() {
		if err != nil {
			b.close(ctx)
		}
	}()
	if b.keyset, err = openKeyset(cfg); err != nil {
		return nil, err
	}
	if err := prepareSchema(ctx, cfg, log, write); err != nil {
		return nil, err
	}
	if b.store, err = store.Open(ctx, store.Config{URL: cfg.databaseURL(), Log: log, Now: wallClock}); err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	catalog, err := loadCatalog(cfg)
	if err != nil {
		return nil, err
	}
	b.outbound = outbound.New(outbound.Config{Allow: cfg.OutboundAllow, Log: log})
	b.providers = providers.New(providers.Config{Catalog: catalog, HTTP: b.outbound, PublicURL: cfg.PublicURL, Now: b.store.Now, Log: log})
	b.vault = vault.New(vault.Config{
		Store: b.store, Keyset: b.keyset,
		CheckIntegration: b.providers.CheckIntegration, TellProvider: b.providers.Revoke,
		ReturnURLs: cfg.ReturnURLs, AuditRetention: cfg.AuditRetention, OwnersFromProvider: cfg.Admin.ownersFromProvider(), Now: b.store.Now, Log: log,
	})
	if err := b.checkKeyset(ctx, write); err != nil {
		return nil, err
	}
	if b.spool, err = openSpool(cfg, b.vault, log); err != nil {
		return nil, err
	}
	b.engine = refresh.New(refresh.Config{
		Vault: b.vault, Providers: b.providers, Owner: processName(), Spool: b.spool,
		Rate: cfg.RefreshRate, PerHost: cfg.RefreshPerHost, Now: b.store.Now, Log: log,
	})
	return b, nil
}

// checkKeyset compares the keyset with the canary. A database without one holds
// nothing that is sealed; whoever only looks leaves it so.
func (b *broker) checkKeyset(ctx context.Context, write bool) error {
	if !write {
		if canary, err := b.store.Canary(ctx); err != nil || canary == nil {
			return err
		}
	}
	return b.vault.CheckKeyset(ctx)
}

// closeAuditTime bounds the last that a process writes.
const closeAuditTime = 5 * time.Second

// close releases what is open, in the reverse order.
func (b *broker) close(ctx context.Context) {
	if b.outbound != nil {
		b.outbound.Close()
	}
	if b.vault != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeAuditTime)
		defer cancel()
		if err := b.vault.CloseAudit(ctx); err != nil {
			b.log.Error("closing", "error", err)
		}
	}
	if b.store != nil {
		if err := b.store.Close(); err != nil {
			b.log.Error("closing database", "error", err)
		}
	}
}

// handler mounts every room on the HTTP shell.
func (b *broker) handler() (*echo.Echo, error) {
	e, err := httpd.New(httpd.Config{
		Log: b.log, PublicURL: b.cfg.PublicURL, TrustedProxies: b.cfg.TrustedProxies,
		Checks: []httpd.Check{{Name: "database", Func: b.store.Ping}, {Name: "keyset", Func: b.vault.Ready}, {Name: "spool", Func: b.spool.Check}},
	})
	if err != nil {
		return nil, err
	}
	api.New(api.Config{Vault: b.vault, Providers: b.providers, Engine: b.engine, PublicURL: b.cfg.PublicURL}).Mount(e)
	connect.New(connect.Config{Vault: b.vault, Providers: b.providers, PublicURL: b.cfg.PublicURL, AppName: b.cfg.AppName}).Mount(e)
	cookieKeys, err := b.keyset.Derive("admin-cookie")
	if err != nil {
		return nil, err
	}
	admin.New(admin.Config{
		Vault: b.vault, Providers: b.providers, Engine: b.engine, PublicURL: b.cfg.PublicURL, CookieKeys: cookieKeys,
		Provider: b.adminProvider(b.log), Now: b.store.Now,
	}).Mount(e)
	return e, nil
}

// serve answers on ln until ctx ends, then drains: requests first, then the
// renewals they began, then what the vault has gathered.
func (b *broker) serve(ctx context.Context, ln net.Listener) error {
	e, err := b.handler()
	if err != nil {
		return err
	}
	b.engine.Replay(ctx)
	b.noteSpool(ctx)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	flushed := make(chan error, 1)
	go func() { flushed <- b.vault.Run(background) }()
	go b.store.KeepTime(background)
	var refreshing sync.WaitGroup
	refreshing.Go(func() { b.engine.Run(background) })
	defer context.AfterFunc(ctx, b.engine.StopAhead)()
	defer context.AfterFunc(ctx, b.vault.StopWaiting)()

	err = httpd.Serve(ctx, httpd.NewServer(e, b.log), ln, httpd.DrainTime)
	drained, cancel := context.WithTimeout(context.WithoutCancel(ctx), refresh.DrainTime)
	defer cancel()
	err = errors.Join(err, b.engine.Close(drained))
	stop()
	refreshing.Wait()
	return errors.Join(err, <-flushed)
}

// openKeyset reads the master keyset; in embedded mode it makes one that only
// the owner can read.
func openKeyset(cfg *config) (*vault.Keyset, error) {
	if !cfg.Keyset.IsZero() {
		return vault.ParseKeyset(cfg.Keyset)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("making data directory: %w", err)
	}
	path := filepath.Join(cfg.DataDir, "keyset.json")
	cfg.KeysetFile = path
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return generateKeyset(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading keyset: %w", err)
	}
	k, err := vault.ParseKeyset(vault.NewSecret(string(b)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

func generateKeyset(path string) (*vault.Keyset, error) {
	k, err := vault.NewKeyset()
	if err != nil {
		return nil, err
	}
	return k, writeKeyset(path, k)
}

// writeKeyset replaces the file as a whole: a keyset cut short is every
// credential lost.
func writeKeyset(path string, k *vault.Keyset) error {
	doc, err := k.JSON()
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".keyset-*") // mode 0600 by its contract
	if err != nil {
		return fmt.Errorf("writing keyset: %w", err)
	}
	_, err = tmp.WriteString(doc.Reveal())
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("writing keyset: %w", err)
	}
	return nil
}

// prepareSchema migrates the embedded database by itself. With Postgres that
// is the operator's decision: another release may be serving from it.
func prepareSchema(ctx context.Context, cfg *config, log *slog.Logger, write bool) error {
	m, err := store.NewMigrator(store.Config{URL: cfg.databaseURL(), Log: log})
	if err != nil {
		return err
	}
	if cfg.embedded() && write {
		if err := m.Up(ctx); err != nil {
			return fmt.Errorf("migrating the embedded database: %w", err)
		}
		return nil
	}
	s, err := m.Status(ctx)
	if err != nil {
		return fmt.Errorf("reading schema version: %w", err)
	}
	if s.Dirty {
		return &store.DirtyError{Version: s.Version}
	}
	if len(s.Pending) > 0 {
		return fmt.Errorf("the database's schema is at version %d of %d: run `claviger migrate up` (or `migrate status` to see more)", s.Version, s.Latest)
	}
	return nil
}

func loadCatalog(cfg *config) (*providers.Catalog, error) {
	if cfg.ProvidersDir == "" {
		return providers.Load(nil)
	}
	if _, err := os.Stat(cfg.ProvidersDir); err != nil {
		return nil, fmt.Errorf("CLAVIGER_PROVIDERS_DIR: %w", err)
	}
	return providers.Load(os.DirFS(cfg.ProvidersDir))
}

// processName tells processes apart in the table of leases.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:6])
}
