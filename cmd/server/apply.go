package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/claviger/claviger/internal/setup"
)

// errDrift is the answer of a dry run that what is there is not what the file
// declares.
var errDrift = errors.New("there is drift")

// applyCommand is `claviger apply`.
func applyCommand(ctx context.Context, p *process, args []string) error {
	fs := flag.NewFlagSet("apply", flag.ContinueOnError)
	a := application{process: p}
	fs.StringVar(&a.file, "f", "claviger.yaml", "the file that declares what is to be there")
	fs.BoolVar(&a.dryRun, "dry-run", false, "show the plan, change nothing, and exit with status 2 where there is drift")
	fs.BoolVar(&a.yes, "yes", false, "do not ask")
	fs.BoolVar(&a.prune, "prune", false, "remove what the file does not declare: integrations without live connections, keys that apply made")
	cfg, err := loadConfig(fs, args, p.env)
	if err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("apply takes its file by -f: %q", fs.Arg(0))
	}
	data, err := os.ReadFile(a.file)
	if err != nil {
		return fmt.Errorf("reading the declaration: %w", err)
	}
	declared, err := setup.Read(a.file, data)
	if err != nil {
		return err
	}
	return withSetup(ctx, p, cfg, !a.dryRun, func(s *setup.Setup) error { return a.run(ctx, s, declared) })
}

// application is one run of apply.
type application struct {
	*process
	file               string
	dryRun, yes, prune bool
}

func (a *application) run(ctx context.Context, s *setup.Setup, declared *setup.File) error {
	plan, err := s.Plan(ctx, declared, setup.Secrets{Env: a.env, Dir: filepath.Dir(a.file)}, a.prune)
	if err != nil {
		return err
	}
	if err := plan.Write(a.stdout); err != nil {
		return err
	}
	switch {
	case !plan.Drift():
		return nil
	case a.dryRun:
		return errDrift
	case a.yes:
	case a.ask == nil:
		return errors.New("nothing was changed: apply wants -yes where there is nobody to ask")
	default:
		answer, err := a.ask(ctx, "Make these changes? Only yes will do: ")
		if err != nil {
			return fmt.Errorf("nothing was changed: %w", err)
		}
		if answer != "yes" {
			return errors.New("nothing was changed")
		}
	}
	return plan.Apply(ctx, a.stdout)
}

// exportCommand is `claviger export`.
func exportCommand(ctx context.Context, p *process, args []string) error {
	fs := flag.NewFlagSet("export", flag.ContinueOnError)
	cfg, err := loadConfig(fs, args, p.env)
	if err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("export takes no arguments, only flags: %q", fs.Arg(0))
	}
	return withSetup(ctx, p, cfg, false, func(s *setup.Setup) error { return s.Export(ctx, p.stdout) })
}

// withSetup opens the broker for a setup. Where nothing may be written and the
// embedded database is not made yet, an empty one that nobody keeps stands in
// for it.
func withSetup(ctx context.Context, p *process, cfg *config, write bool, do func(*setup.Setup) error) error {
	log := p.logger(cfg)
	if !write && cfg.embedded() {
		_, err := os.Stat(filepath.Join(cfg.DataDir, "claviger.db"))
		if errors.Is(err, os.ErrNotExist) {
			if cfg.DataDir, err = os.MkdirTemp("", "claviger-"); err != nil {
				return fmt.Errorf("making a directory for a database to compare with: %w", err)
			}
			defer func() { _ = os.RemoveAll(cfg.DataDir) }() // nothing of anybody's is in it
			write, log = true, slog.New(slog.DiscardHandler)
		}
	}
	b, err := openBrokerTo(ctx, cfg, log, write)
	if err != nil {
		return err
	}
	defer b.close(ctx)
	return do(setup.New(setup.Config{Vault: b.vault, Catalog: b.providers.Catalog(), Now: b.store.Now}))
}
