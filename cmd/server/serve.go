package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/url"

	"github.com/claviger/claviger/internal/vault"
)

// serve is `claviger serve`, and what runs without a command.
func serve(ctx context.Context, p *process, args []string) error {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	cfg, err := loadConfig(fs, args, p.env)
	if err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("serve takes no arguments, only flags: %q", fs.Arg(0))
	}
	ln, err := listen(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }() // served or not, it is over
	log, stopLog := p.servingLogger(cfg)
	defer stopLog()
	b, err := openBroker(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer b.close(ctx)
	env, err := b.vault.EnsureEnvironment(ctx, vault.DefaultEnvironment)
	if err != nil {
		return err
	}
	if err := b.applyReadAudit(ctx, env); err != nil {
		return err
	}
	key, err := b.firstKey(ctx, env)
	if err != nil {
		return err
	}
	if !key.IsZero() {
		fmt.Fprintf(p.stdout, "API key, shown this once: %s\n", key.Reveal())
	}
	invite, hint, err := b.firstAdmin(ctx, env)
	if err != nil {
		return err
	}
	if !invite.Token.IsZero() {
		fmt.Fprintf(p.stdout, "Admin page, by a link that works once: %s\n", b.linkOf(invite))
	}
	fmt.Fprintf(p.stdout, "Claviger %s is at %s (admin page: %s/admin%s)\n", version, cfg.PublicURL, cfg.PublicURL, hint)
	if p.started != nil {
		p.started(cfg.PublicURL.String())
	}
	return b.serve(ctx, ln)
}

// firstAdmin makes sure that somebody can get into the console: in embedded mode
// the first admin is invited, once; else hint says how to.
func (b *broker) firstAdmin(ctx context.Context, env *vault.Environment) (invite vault.Invite, hint string, err error) {
	caller := vault.System("start", env.ID)
	admins, err := b.vault.Admins(ctx, caller, vault.Page{Limit: 1})
	if err != nil || len(admins) > 0 {
		return vault.Invite{}, "", err
	}
	if !b.cfg.embedded() {
		return vault.Invite{}, "; `claviger admin invite` makes the first admin", nil
	}
	invite, err = b.vault.InviteAdmin(ctx, caller, vault.NewAdmin{Name: firstAdminName, Role: vault.RoleOwner}, vault.InviteLife)
	return invite, "", err
}

// listen opens the port first: a public URL that nobody set follows from it.
func listen(ctx context.Context, cfg *config) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", cfg.Listen, err)
	}
	if cfg.isSet("PUBLIC_URL") {
		return ln, nil
	}
	if host, _, _ := net.SplitHostPort(cfg.Listen); loopback(host) {
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		cfg.PublicURL = &url.URL{Scheme: "http", Host: net.JoinHostPort("localhost", port)}
	}
	return ln, nil
}

// applyReadAudit follows the setting where somebody has set it.
func (b *broker) applyReadAudit(ctx context.Context, env *vault.Environment) error {
	if b.cfg.ReadAudit == "" {
		return nil
	}
	return b.vault.SetReadAudit(ctx, vault.System("start", env.ID), b.cfg.ReadAudit == "strict")
}

// firstKey makes sure that somebody can call the API: the configured key, or in
// embedded mode one that is made when there is none, and answered to be shown.
func (b *broker) firstKey(ctx context.Context, env *vault.Environment) (vault.Secret, error) {
	caller := vault.System("start", env.ID)
	if !b.cfg.APIKey.IsZero() {
		if err := b.vault.EnsureAPIKey(ctx, caller, "configured", b.cfg.APIKey); err != nil {
			return vault.Secret{}, fmt.Errorf("CLAVIGER_API_KEY: %w", err)
		}
		return vault.Secret{}, nil
	}
	if !b.cfg.embedded() {
		return vault.Secret{}, nil
	}
	keys, err := b.vault.APIKeys(ctx, caller, vault.Page{Limit: 1})
	if err != nil || len(keys) > 0 {
		return vault.Secret{}, err
	}
	_, key, err := b.vault.CreateAPIKey(ctx, caller, vault.NewAPIKey{Name: "first", Scopes: vault.AllScopes()})
	return key, err
}
