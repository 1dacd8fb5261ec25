// Command compare measures GET /v1/connections/{id}/headers of the real broker,
// everything on, against the limit program (bench/limit), in alternating slices
// on both databases, and prints ratios. It judges nothing. See bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		stop()
		os.Exit(1)
	}
}

// bench is what to measure and how.
type bench struct {
	databases []string
	postgres  string
	workers   int
	slices    int
	slice     time.Duration
	rate      int
	rows      int
	many      int
	due       int
	strict    bool
	pin       bool
	profile   string

	out        io.Writer
	dir        string // of programs and databases; gone at the end
	postmaster int    // 0 where it is not known
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

func readBench(args []string) (*bench, error) {
	b := &bench{}
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	databases := fs.String("databases", "sqlite,postgres", "which, comma-separated")
	fs.StringVar(&b.postgres, "postgres", os.Getenv("TEST_POSTGRES_URL"), "a server and role that may create databases; default TEST_POSTGRES_URL")
	fs.IntVar(&b.workers, "workers", 64, "connections to the servers")
	fs.IntVar(&b.slices, "slices", 15, "slices of load for each server; the median counts")
	fs.DurationVar(&b.slice, "slice", time.Second, "how long one is; twice that where times are measured")
	fs.IntVar(&b.rate, "rate", 0, "requests a second where times are measured; 0 is half of what the slower one can")
	fs.IntVar(&b.rows, "rows", 1000, "connections in the table")
	fs.IntVar(&b.many, "many", 0, "also compare with so many connections in the table, as in 1000000; memory and start are measured there")
	fs.IntVar(&b.due, "due", 0, "also with so many connections refreshed ahead of time in every ten seconds of load, as in 200")
	fs.BoolVar(&b.strict, "strict", false, "also with one audit entry a read, written before the answer")
	fs.BoolVar(&b.pin, "pin", true, "servers and database on core "+serverCore+", the load on core "+loadCore)
	fs.StringVar(&b.profile, "profile", "", "directory for CPU profiles of the broker under load")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	b.databases = strings.Split(*databases, ",")
	for _, kind := range b.databases {
		switch {
		case kind != "sqlite" && kind != "postgres":
			return nil, fmt.Errorf("there is no database %q", kind)
		case kind == "postgres" && b.postgres == "":
			return nil, errors.New("-postgres or TEST_POSTGRES_URL is needed: scripts/with-postgres runs a command with one")
		}
	}
	if b.workers < 1 || b.slices < 1 || b.slice <= 0 || b.rate < 0 || b.rows < 1 || b.many < 0 {
		return nil, errors.New("-workers, -slices, -slice and -rows are at least 1, -rate and -many at least 0")
	}
	return b, nil
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	b, err := readBench(args)
	if err != nil {
		return err
	}
	b.out = out
	if b.dir, err = os.MkdirTemp("", "claviger-bench-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.build(ctx); err != nil {
		return err
	}
	if b.postgres != "" {
		if b.postmaster, err = postmaster(ctx, b.postgres); err != nil {
			b.say("the process of Postgres is not known: %v", err)
		}
	}
	b.pinEverything(ctx)
	for _, kind := range b.databases {
		if err := b.onDatabase(ctx, kind); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

func (b *bench) program(name string) string { return filepath.Join(b.dir, name) }

// build makes the broker as a release is made, and the limit program.
func (b *bench) build(ctx context.Context) error {
	for name, args := range map[string][]string{
		"broker": {"-trimpath", "-ldflags", "-s -w", "-o", b.program("broker"), "github.com/claviger/claviger/cmd/server"},
		"limit":  {"-trimpath", "-ldflags", "-s -w", "-o", b.program("limit"), "github.com/claviger/claviger/bench/limit"},
	} {
		if name == "broker" && b.profile != "" {
			overlay, err := b.profilingOverlay(ctx)
			if err != nil {
				return err
			}
			args = append([]string{"-overlay", overlay}, args...)
		}
		cmd := exec.CommandContext(ctx, "go", append([]string{"build"}, args...)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building the %s: %w\n%s", name, err, out)
		}
	}
	info, err := os.Stat(b.program("broker"))
	if err != nil {
		return err
	}
	b.say("binary: %.1f MB", float64(info.Size())/1e6)
	return nil
}

// pinEverything gives the load a core of its own. Where that cannot be had, the
// ratios are still ratios.
func (b *bench) pinEverything(ctx context.Context) {
	if !b.pin {
		return
	}
	if err := pinAll(ctx, loadCore, os.Getpid()); err != nil {
		b.say("not pinned to cores: %v", err)
		b.pin = false
		return
	}
	if b.postmaster != 0 {
		if err := b.pinPostgres(ctx); err != nil {
			b.say("Postgres is not pinned to a core: %v", err)
		}
	}
}

// onDatabase does all that there is to do on one database.
func (b *bench) onDatabase(ctx context.Context, kind string) (err error) {
	w, drop, err := b.prepare(ctx, kind, b.rows, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	limit, err := b.startLimit(ctx, w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, limit.stop()) }()
	broker, err := b.startBroker(ctx, w, "broker")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.stop()) }()
	c, err := b.compare(ctx, broker, limit)
	if err != nil {
		return err
	}
	c.print(b, fmt.Sprintf("%s, %d connections", kind, b.rows), broker, limit)
	now, peak := broker.resident()
	b.say("  resident memory: %.0f MiB, at most %.0f", now, peak)
	if b.profile != "" {
		if err := b.takeProfile(ctx, broker, kind); err != nil {
			return err
		}
	}
	if b.strict {
		if err := b.withStrict(ctx, kind, limit); err != nil {
			return err
		}
	}
	if b.due > 0 {
		if err := b.withDue(ctx, kind); err != nil {
			return err
		}
	}
	if b.many > 0 {
		return b.withMany(ctx, kind, broker)
	}
	return nil
}

// prepare makes a database and fills it.
func (b *bench) prepare(ctx context.Context, kind string, rows int, strict bool) (*world, func() error, error) {
	d, drop, err := b.create(ctx, kind, filepath.Join(b.dir, fmt.Sprintf("%s-%d-%t", kind, rows, strict)))
	if err != nil {
		return nil, nil, err
	}
	w, err := seed(ctx, d, rows, strict)
	if err != nil {
		return nil, nil, errors.Join(err, drop())
	}
	return w, drop, nil
}

// startBroker starts the real one: keys, scopes, request log to a file, reads in
// the trail. What it has not needed before, it must not need now.
func (b *bench) startBroker(ctx context.Context, w *world, name string) (*target, error) {
	env := []string{
		"CLAVIGER_LISTEN=127.0.0.1:0", "CLAVIGER_DATA_DIR=" + w.dir, "CLAVIGER_LOG_FORMAT=json",
		"CLAVIGER_KEYSET=" + w.keyset.Reveal(), "CLAVIGER_OUTBOUND_ALLOW=127.0.0.0/8",
	}
	if w.url != "" {
		env = append(env, "CLAVIGER_DATABASE_URL="+w.url)
	}
	if b.profile != "" {
		env = append(env, profileVariable+"="+b.program(name+".pprof"))
	}
	s, err := b.start(ctx, b.dir, name, env, b.program("broker"))
	if err != nil {
		return nil, err
	}
	return b.target(s, w, w.ours), nil
}

func (b *bench) startLimit(ctx context.Context, w *world) (*target, error) {
	s, err := b.start(ctx, b.dir, "limit", nil, b.program("limit"),
		"-database", w.path(), "-key-hash", w.keyHash(), "-seal-key", fmt.Sprintf("%x", w.sealKey))
	if err != nil {
		return nil, err
	}
	return b.target(s, w, w.theirs), nil
}

func (b *bench) target(s *server, w *world, ids []string) *target {
	t := &target{server: s, ids: ids, key: w.key.Reveal()}
	if w.kind == "postgres" {
		t.postmaster = b.postmaster
	}
	return t
}
