package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// auditCommand is `claviger audit verify|acknowledge|export`.
func auditCommand(ctx context.Context, p *process, args []string) error {
	verb, rest := verbOf(args)
	switch verb {
	case "verify":
		return auditVerify(ctx, p, rest)
	case "acknowledge":
		return auditAcknowledge(ctx, p, rest)
	case "export":
		return auditExport(ctx, p, rest)
	}
	return errors.New("audit wants one of: verify, acknowledge, export")
}

// findingsShown is how many findings are printed; the rest is counted.
const findingsShown = 100

func auditVerify(ctx context.Context, p *process, args []string) error {
	flags := flag.NewFlagSet("audit verify", flag.ContinueOnError)
	file := flags.String("file", "", "verify this export of a whole trail instead of the database")
	public := flags.String("public-key", "", "comma-separated public keys, as this command prints them, to verify a file without the keyset")
	anchor := flags.String("anchor", "", "NUMBER:HASH of a checkpoint, as this command printed it once, that has to be there still")
	cfg, err := loadConfigWith(flags, args, p.env, true)
	if err != nil && (*file == "" || *public == "") { // a file and public keys are all it takes
		return err
	}
	var noted *vault.Anchor
	if *anchor != "" {
		a, err := vault.ParseAnchor(*anchor)
		if err != nil {
			return err
		}
		noted = &a
	}
	v := trailCheck{process: p, noted: noted, database: *file == ""}
	if *file != "" {
		if v.keys, err = fileKeys(cfg, *public); err != nil {
			return err
		}
		return v.file(*file)
	}
	if *public != "" {
		return errors.New("-public-key goes with -file; the database is verified with the keyset")
	}
	b, err := openBrokerTo(ctx, cfg, p.logger(cfg), false)
	if err != nil {
		return err
	}
	defer b.close(ctx)
	if v.keys, err = b.keyset.TrailKeys(); err != nil {
		return err
	}
	return b.vault.ReadTrail(ctx, v.verify)
}

// fileKeys are the keys that a file is verified with. A keyset is not made for
// that: a new one knows no file.
func fileKeys(cfg *config, public string) (vault.TrailKeys, error) {
	if public != "" {
		return vault.PublicTrailKeys(list(public))
	}
	if cfg.Keyset.IsZero() {
		path := filepath.Join(cfg.DataDir, "keyset.json")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return vault.TrailKeys{}, fmt.Errorf("there is no keyset in %s: give CLAVIGER_KEYSET, or -public-key", path)
		}
	}
	keyset, err := openKeyset(cfg)
	if err != nil {
		return vault.TrailKeys{}, err
	}
	return keyset.TrailKeys()
}

// trailCheck is one verification, told on standard output.
type trailCheck struct {
	*process
	keys  vault.TrailKeys
	noted *vault.Anchor
	// database, and no file: what is found can be acknowledged.
	database bool
}

func (v trailCheck) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the export: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	if err := v.verify(vault.TrailFile(f)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (v trailCheck) verify(trail vault.Trail) error {
	shown, known := 0, 0
	sum, err := vault.VerifyTrail(trail, v.keys, v.noted, func(f vault.Finding) {
		switch {
		case f.Known == 0:
			if shown++; shown <= findingsShown {
				fmt.Fprintln(v.stdout, f)
			}
		default:
			if known++; known <= findingsShown {
				fmt.Fprintf(v.stdout, "known, by checkpoint %d: %s\n", f.Known, f)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("reading the trail: %w", err)
	}
	if more := max(shown-findingsShown, 0) + max(known-findingsShown, 0); more > 0 {
		fmt.Fprintf(v.stdout, "and %d more\n", more)
	}
	fmt.Fprintf(v.stdout, "%d entries in %d chains, %d of them without an end; %d entries dropped, being past their retention\n",
		sum.Entries, sum.Chains, sum.Open, sum.Dropped)
	fmt.Fprintf(v.stdout, "%d entries come after the last checkpoint of their chain: the last of them would not be missed\n", sum.Tail)
	if sum.Pruned > 0 {
		fmt.Fprintf(v.stdout, "checkpoints up to %d dropped, being past their retention\n", sum.Pruned)
	}
	if sum.Newest.Number > 0 {
		fmt.Fprintf(v.stdout, "%d checkpoints; note the newest elsewhere, for -anchor: %s\n", sum.Checkpoints, sum.Newest)
	}
	keys := v.keys.Public()
	slices.Sort(keys)
	fmt.Fprintf(v.stdout, "public keys: %s\n", strings.Join(keys, ","))
	if sum.Acknowledgements > 0 {
		fmt.Fprintf(v.stdout, "%d acknowledgements are in it; %d findings are known by them and still there\n", sum.Acknowledgements, sum.Known)
	}
	switch {
	case sum.Findings > 0:
		if v.database {
			fmt.Fprintf(v.stdout, "once you have looked into every finding: claviger audit acknowledge -findings %s\n", sum.Report)
		}
		return fmt.Errorf("the trail is not as it was written: %d findings", sum.Findings)
	case sum.Known > 0:
		return fmt.Errorf("%w: %d findings", errTrailKnown, sum.Known)
	}
	return nil
}

// errTrailKnown is the answer of a verification that finds nothing but what is
// known.
var errTrailKnown = errors.New("the trail is not as it was written, and somebody has looked into all of it")

func auditAcknowledge(ctx context.Context, p *process, args []string) error {
	flags := flag.NewFlagSet("audit acknowledge", flag.ContinueOnError)
	findings := flags.String("findings", "", "what `audit verify` printed last of the findings that you have looked into")
	cfg, err := loadConfig(flags, args, p.env)
	if err != nil {
		return err
	}
	report, err := vault.ParseDigest(*findings)
	if err != nil {
		return errors.New("-findings wants what `claviger audit verify` prints after it has found something")
	}
	b, err := openBrokerTo(ctx, cfg, p.logger(cfg), false)
	if err != nil {
		return err
	}
	defer b.close(ctx)
	env, err := b.store.EnvironmentByName(ctx, vault.DefaultEnvironment)
	if err != nil {
		return fmt.Errorf("environment %q: %w", vault.DefaultEnvironment, err)
	}
	n, err := b.vault.AcknowledgeTrail(ctx, vault.System("cli", env.ID), report)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%d findings are acknowledged; `claviger audit verify` names them as known from now on, with the exit status 3, and retention goes past them\n", n)
	return err
}

func auditExport(ctx context.Context, p *process, args []string) error {
	flags := flag.NewFlagSet("audit export", flag.ContinueOnError)
	environment := flags.String("environment", "", "only this environment; default where one of the other filters is given")
	var f vault.AuditFilter
	flags.StringVar(&f.ConnectionID, "connection-id", "", "only what was done with this connection")
	flags.StringVar(&f.ActorID, "actor-id", "", "only what this key, admin, connect session or part of the broker did")
	flags.StringVar((*string)(&f.Action), "action", "", "only this action")
	flags.StringVar(&f.IntegrationID, "integration-id", "", "only what was done with this integration")
	flags.BoolVar(&f.Refused, "refused", false, "only what was not allowed, or did not succeed")
	flags.Func("since", "only from this time on, RFC 3339 or a day in UTC", timeFlag(&f.Since))
	flags.Func("until", "only before this time", timeFlag(&f.Until))
	cfg, err := loadConfig(flags, args, p.env)
	if err != nil {
		return err
	}
	b, err := openBrokerTo(ctx, cfg, p.logger(cfg), false)
	if err != nil {
		return err
	}
	defer b.close(ctx)
	if *environment == "" && f == (vault.AuditFilter{}) {
		return b.vault.ReadTrail(ctx, func(trail vault.Trail) error { return vault.WriteTrail(p.stdout, trail) })
	}
	env, err := b.store.EnvironmentByName(ctx, cmp.Or(*environment, vault.DefaultEnvironment))
	if err != nil {
		return fmt.Errorf("environment %q: %w", *environment, err)
	}
	out := json.NewEncoder(p.stdout)
	return b.vault.ExportAudit(ctx, vault.System("cli", env.ID), f, func(entries []vault.AuditEntry) error {
		for _, line := range vault.Lines(entries) {
			if err := out.Encode(line); err != nil {
				return err
			}
		}
		return nil
	})
}

func timeFlag(t *time.Time) func(string) error {
	return func(s string) (err error) {
		if *t, err = time.Parse(time.RFC3339, s); err != nil {
			*t, err = time.Parse(time.DateOnly, s)
		}
		if err != nil {
			return errors.New("must be a time such as 2026-03-04T12:00:00Z, or a day")
		}
		return nil
	}
}
