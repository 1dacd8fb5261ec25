package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

// demoLinger is how long the connect links of a demo live.
const demoLinger = 12 * time.Hour

// demo is `claviger demo`: the broker on a database of its own that goes when it
// stops, with a sandbox of the three services on loopback.
func demo(ctx context.Context, p *process, args []string) (err error) {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	cfg, err := loadConfig(fs, args, p.env)
	if err != nil {
		return err
	}
	if !cfg.embedded() {
		return errors.New("the demo brings its own database; unset CLAVIGER_DATABASE_URL")
	}
	if cfg.DataDir, err = os.MkdirTemp("", "claviger-demo-"); err != nil {
		return fmt.Errorf("making a directory for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(cfg.DataDir)) }()
	cfg.OutboundAllow = append(cfg.OutboundAllow, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	if cfg.AppName == "" {
		cfg.AppName = "The demo"
	}
	if !cfg.isSet("LOG_LEVEL") {
		cfg.LogLevel = slog.LevelWarn // what is printed here is for a person
	}
	ln, err := listenDemo(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }() // served or not, it is over
	log, stopLog := p.servingLogger(cfg)
	defer stopLog()
	services, err := sandbox.Start(ctx, sandbox.Config{Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, services.Close()) }()
	b, err := openBroker(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer b.close(ctx)

	d := demonstration{process: p, broker: b, sandbox: services}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if p.started != nil {
		p.started(cfg.PublicURL.String())
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return b.serve(running, ln) })
	for _, link := range d.links {
		group.Go(func() error { return d.follow(running, link) })
	}
	err = group.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // Ctrl-C is how a demo ends
	}
	return err
}

// listenDemo takes another port where the usual one is busy: a first try must
// not fail for that.
func listenDemo(ctx context.Context, cfg *config) (net.Listener, error) {
	ln, err := listen(ctx, cfg)
	if err != nil && !cfg.isSet("PUBLIC_URL") {
		cfg.Listen = "127.0.0.1:0"
		ln, err = listen(ctx, cfg)
	}
	return ln, err
}

type demonstration struct {
	*process
	*broker
	sandbox *sandbox.Sandbox
	caller  vault.Caller
	key     vault.Secret
	links   []demoLink
}

type demoLink struct {
	title, session, url, try string
}

// prepare sets the three integrations up and makes a connect link for each.
func (d *demonstration) prepare(ctx context.Context) error {
	env, err := d.vault.EnsureEnvironment(ctx, vault.DefaultEnvironment)
	if err != nil {
		return err
	}
	if err := d.applyReadAudit(ctx, env); err != nil {
		return err
	}
	d.caller = vault.System("demo", env.ID)
	if d.key = d.cfg.APIKey; d.key.IsZero() {
		if _, d.key, err = d.vault.CreateAPIKey(ctx, d.caller, vault.NewAPIKey{Name: "demo", Scopes: vault.AllScopes()}); err != nil {
			return err
		}
	} else if err := d.vault.EnsureAPIKey(ctx, d.caller, "configured", d.key); err != nil {
		return err
	}
	toggl, clickTime, timeLog := d.sandbox.Toggl(), d.sandbox.ClickTime(), d.sandbox.TimeLog()
	fmt.Fprintf(d.stdout, "\nClaviger demo at %s, with a Toggl Track, a ClickTime and a TimeLog of its own.\n", d.cfg.PublicURL)
	invite, err := d.vault.InviteAdmin(ctx, d.caller, vault.NewAdmin{Name: firstAdminName, Role: vault.RoleOwner}, demoLinger)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.stdout, "Admin page, by a link that works once: %s\nAPI key: %s\n", d.linkOf(invite), d.key.Reveal())
	for _, s := range []struct {
		in         vault.Integration
		credential string
		try        string
	}{
		{
			vault.Integration{Key: "toggl", Provider: sandbox.TogglName, Title: "Toggl Track", Overrides: vault.Overrides{BaseURL: toggl.URL(), SessionURL: toggl.URL() + "/api/sessions"}},
			"API token " + sandbox.TogglAdaToken + ", or " + sandbox.AdaEmail + " / " + sandbox.TogglAdaPassword,
			toggl.URL() + "/api/v9/me",
		},
		{
			vault.Integration{Key: "clicktime", Provider: sandbox.ClickTimeName, Title: "ClickTime", Overrides: vault.Overrides{BaseURL: clickTime.APIURL()}},
			"token " + sandbox.ClickTimeAdaToken + ", or " + sandbox.AdaEmail + " / " + sandbox.ClickTimeAdaPassword,
			clickTime.APIURL() + "/Me",
		},
		{
			vault.Integration{
				Key: "timelog", Provider: sandbox.TimeLogName, Title: "TimeLog",
				ClientID: sandbox.DemoClientID, ClientSecret: vault.NewSecret(sandbox.DemoClientSecret),
				Overrides: vault.Overrides{Issuer: timeLog.Issuer(), AllowedHosts: []string{hostOf(timeLog.URL())}},
			},
			"sign in there as " + sandbox.AdaEmail + " / " + sandbox.TimeLogAdaPassword,
			timeLog.URL() + "/api/ResolveUri",
		},
	} {
		if err := d.offer(ctx, s.in, s.credential, s.try); err != nil {
			return fmt.Errorf("setting up %s: %w", s.in.Title, err)
		}
	}
	_, err = fmt.Fprint(d.stdout, "\nOpen a link, link the account, and the command that fetches its headers appears here. Ctrl-C ends the demo.\n\n")
	return err
}

func (d *demonstration) offer(ctx context.Context, in vault.Integration, credential, try string) error {
	in, err := d.vault.CreateIntegration(ctx, d.caller, in)
	if err != nil {
		return err
	}
	session, token, err := d.vault.CreateSession(ctx, d.caller, vault.NewSession{
		EndUser:      vault.EndUser{ID: "demo-user", Email: sandbox.AdaEmail, Name: "Ada Lovelace"},
		Integrations: []string{in.Key},
		TTL:          demoLinger,
	})
	if err != nil {
		return err
	}
	link := demoLink{in.Title, session.ID, d.cfg.PublicURL.String() + "/connect/" + token.Reveal(), try}
	d.links = append(d.links, link)
	_, err = fmt.Fprintf(d.stdout, "\n%s (%s)\n  %s\n", in.Title, credential, link.url)
	return err
}

// follow says what to do next as soon as the end user of a link is through.
func (d *demonstration) follow(ctx context.Context, link demoLink) error {
	for {
		s, err := d.vault.WaitSession(ctx, d.caller, link.session, time.Minute)
		if err != nil {
			return err
		}
		switch s.Status {
		case vault.SessionCompleted:
			headers := fmt.Sprintf("curl -s -H 'Authorization: Bearer %s' -H 'Accept: text/plain' %s/v1/connections/%s/headers", d.key.Reveal(), d.cfg.PublicURL, s.ConnectionID)
			fmt.Fprintf(d.stdout, "%s is linked. Its headers, fresh:\n  %s\nand used:\n  %s | curl -s -H @- %s\n\n", link.title, headers, headers, link.try)
			return nil
		case vault.SessionExpired, vault.SessionFailed:
			return nil
		}
	}
}

func hostOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return u.Host
}
