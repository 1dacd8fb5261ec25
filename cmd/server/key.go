package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"github.com/claviger/claviger/internal/vault"
)

// keyCommand is `claviger key generate|list|rotate|reseal|retire`.
func keyCommand(ctx context.Context, p *process, args []string) error {
	verb, rest := verbOf(args)
	flags := flag.NewFlagSet("key "+verb, flag.ContinueOnError)
	environment := flags.String("environment", "", "act on the keyset of this environment instead of the master keyset")
	out := flags.String("out", "", "write the keyset to this new file instead of standard output")
	if verb == "generate" {
		return generateCommand(p, flags, rest, out)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, err := p.open(ctx, flags, rest)
	if err != nil {
		return err
	}
	defer b.close(ctx)
	k := keyTask{process: p, broker: b}
	if *environment != "" {
		if k.env, err = b.store.EnvironmentByName(ctx, *environment); err != nil {
			return fmt.Errorf("environment %q: %w", *environment, err)
		}
	}
	switch verb {
	case "list":
		return k.list(ctx)
	case "rotate":
		return k.rotate(ctx)
	case "reseal":
		n, err := b.vault.Reseal(ctx)
		fmt.Fprintf(p.stdout, "%d rows resealed; everything is under the primary keys\n", n)
		return err
	case "retire":
		id, err := strconv.ParseUint(flags.Arg(0), 10, 32)
		if err != nil {
			return errors.New("key retire wants the id of a key, as `claviger key list` shows it")
		}
		return k.retire(ctx, uint32(id))
	}
	return errors.New("key wants one of: generate, list, rotate, reseal, retire ID")
}

func generateCommand(p *process, flags *flag.FlagSet, args []string, out *string) error {
	flags.SetOutput(p.stderr)
	if err := flags.Parse(args); err != nil {
		return err
	}
	k, err := vault.NewKeyset()
	if err != nil {
		return err
	}
	if *out != "" {
		// An existing file may be the only copy of a keyset in use.
		if _, err := os.Lstat(*out); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already; a keyset is not overwritten", *out)
		}
		return writeKeyset(*out, k)
	}
	doc, err := k.JSON()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, doc.Reveal())
	return err
}

// keyTask is one key command on an open broker; env is nil for the master keyset.
type keyTask struct {
	*process
	*broker
	env *vault.Environment
}

func (k keyTask) list(ctx context.Context) error {
	use, err := k.vault.WrapperUse(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(k.stdout, "master keyset:")
	k.print(k.keyset.Keys(), use, "environments and canary")
	envs, err := k.vault.Environments(ctx)
	if err != nil {
		return err
	}
	for _, env := range envs {
		keys, err := k.vault.EnvironmentKeys(ctx, env.ID)
		if err != nil {
			return err
		}
		if use, err = k.vault.KeyUse(ctx, env.ID); err != nil {
			return err
		}
		fmt.Fprintf(k.stdout, "environment %s:\n", env.Name)
		k.print(keys, use, "blobs")
	}
	return nil
}

func (k keyTask) print(keys []vault.KeyInfo, use map[uint32]int, of string) {
	for _, key := range keys {
		mark := ""
		if key.Primary {
			mark = ", primary"
		}
		fmt.Fprintf(k.stdout, "  %d %s%s, seals %d %s\n", key.ID, key.Status, mark, use[key.ID], of)
	}
}

func (k keyTask) rotate(ctx context.Context) error {
	if k.env != nil {
		if err := k.vault.RotateEnvironment(ctx, k.env.ID); err != nil {
			return err
		}
		_, err := fmt.Fprintf(k.stdout, "environment %s has a new primary key; wait a minute for other processes, then `claviger key reseal`\n", k.env.Name)
		return err
	}
	next, err := k.keyset.Rotate()
	if err != nil {
		return err
	}
	return k.keep(next, fmt.Sprintf("the master keyset has the new primary key %d; give it to every process and restart them, then `claviger key reseal`", next.PrimaryID()))
}

func (k keyTask) retire(ctx context.Context, id uint32) error {
	// Reseal does not reach what has not arrived in the database.
	if n := len(k.spool.Names()); n > 0 {
		return fmt.Errorf("%d renewed credentials wait in %s until the database takes them: serve first, then retire", n, k.cfg.spoolDir())
	}
	if k.env != nil {
		return k.vault.RetireEnvironmentKey(ctx, k.env.ID, id)
	}
	if !slices.ContainsFunc(k.keyset.Keys(), func(i vault.KeyInfo) bool { return i.ID == id }) {
		return fmt.Errorf("the master keyset has no key %d", id)
	}
	use, err := k.vault.WrapperUse(ctx)
	if err != nil {
		return err
	}
	if n := use[id]; n > 0 {
		return fmt.Errorf("key %d still wraps %d keysets; run `claviger key reseal` first", id, n)
	}
	next, err := k.keyset.Retire(id)
	if err != nil {
		return err
	}
	if err := k.vault.VouchForTrail(ctx); err != nil {
		return err
	}
	return k.keep(next, fmt.Sprintf("key %d is retired", id))
}

// keep writes a changed master keyset where it came from; one that came from a
// variable goes to standard output, for the operator to put there.
func (k keyTask) keep(next *vault.Keyset, said string) error {
	if k.cfg.KeysetFile != "" {
		if err := writeKeyset(k.cfg.KeysetFile, next); err != nil {
			return err
		}
		_, err := fmt.Fprintf(k.stdout, "%s: %s\n", k.cfg.KeysetFile, said)
		return err
	}
	doc, err := next.JSON()
	if err != nil {
		return err
	}
	fmt.Fprintln(k.stdout, doc.Reveal())
	_, err = fmt.Fprintln(k.stderr, "the new value of CLAVIGER_KEYSET is on standard output: "+said)
	return err
}
