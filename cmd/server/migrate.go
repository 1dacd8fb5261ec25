package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"

	"github.com/claviger/claviger/internal/store"
)

// migrateCommand is `claviger migrate up|down|status|force`.
func migrateCommand(ctx context.Context, p *process, args []string) error {
	verb, rest := verbOf(args)
	fs := flag.NewFlagSet("migrate "+verb, flag.ContinueOnError)
	cfg, err := loadSchemaConfig(fs, rest, p.env)
	if err != nil {
		return err
	}
	m, err := store.NewMigrator(store.Config{URL: cfg.databaseURL(), Log: p.logger(cfg)})
	if err != nil {
		return err
	}
	switch verb {
	case "up":
		err = m.Up(ctx)
	case "down":
		n, aerr := strconv.Atoi(fs.Arg(0))
		if aerr != nil || n < 1 {
			return fmt.Errorf("migrate down wants how many steps: `claviger migrate down 1`")
		}
		err = m.Down(ctx, n)
	case "force":
		n, aerr := strconv.Atoi(fs.Arg(0))
		if aerr != nil || n < 0 {
			return fmt.Errorf("migrate force wants the version that the schema really has: `claviger migrate force 1`")
		}
		err = m.Force(ctx, n)
	case "status":
	default:
		return fmt.Errorf("migrate wants one of: up, down N, status, force VERSION")
	}
	if err != nil {
		return err
	}
	s, err := m.Status(ctx)
	if err != nil {
		return err
	}
	state := "complete"
	switch {
	case s.Dirty:
		state = "dirty: " + (&store.DirtyError{Version: s.Version}).Error()
	case len(s.Pending) > 0:
		state = fmt.Sprintf("%d pending", len(s.Pending))
	}
	fmt.Fprintf(p.stdout, "schema version %d of %d, %s\n", s.Version, s.Latest, state)
	for _, mig := range s.Pending {
		fmt.Fprintf(p.stdout, "  pending %06d %s\n", mig.Version, mig.Name)
	}
	return nil
}

// loadSchemaConfig is loadConfig for commands that touch the schema only: they
// need no keyset, and a machine that migrates should not have one.
func loadSchemaConfig(fs *flag.FlagSet, args []string, env map[string]string) (*config, error) {
	return loadConfigWith(fs, args, env, false)
}

// verbOf splits "rotate -flag" into its first word and the rest.
func verbOf(args []string) (verb string, rest []string) {
	if len(args) == 0 {
		return "", nil
	}
	return args[0], args[1:]
}
