package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// Set by the linker in release builds.
var (
	version = "dev"
	commit  = ""
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("GOGC") == "" {
		// Little lives for long and each request leaves a few kilobytes behind: a
		// heap of some 10 MiB more halves the collector's work.
		debug.SetGCPercent(200)
	}
	p := &process{env: environment(os.Environ()), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, ask: terminal(os.Stdin, os.Stderr)}
	if err := p.run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) && !errors.Is(err, errDrift) {
			fmt.Fprintln(os.Stderr, "claviger: "+strings.ReplaceAll(err.Error(), "\n", "\nclaviger: "))
		}
		stop()
		os.Exit(exitStatus(err))
	}
}

// process is what a command knows of the process it runs in; tests have one
// of their own.
type process struct {
	env            map[string]string
	stdin          io.Reader // nil is none
	stdout, stderr io.Writer
	// ask puts a question to whoever sits at the terminal; nil where nobody does.
	ask func(ctx context.Context, question string) (answer string, err error)
	// started, if set, is told the address once a broker answers.
	started func(url string)
}

// exitStatus is what the shell gets to see: 2 for drift and for a found key that
// works, 3 for a trail with nothing wrong but what is known, which are answers and
// no errors.
func exitStatus(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDrift), errors.Is(err, errKeyWorks):
		return 2
	case errors.Is(err, errTrailKnown):
		return 3
	}
	return 1
}

// terminal asks on out and reads the answer from in, if both are a person's.
func terminal(in, out *os.File) func(context.Context, string) (string, error) {
	if !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return nil
	}
	return func(ctx context.Context, question string) (string, error) { return ask(ctx, in, out, question) }
}

// ask waits for a line, or for the end of ctx: a signal has to get through to
// whoever waits for a person. The reader that is left behind ends with the process.
func ask(ctx context.Context, in io.Reader, out io.Writer, question string) (string, error) {
	if _, err := fmt.Fprint(out, question); err != nil {
		return "", err
	}
	type line struct {
		text string
		err  error
	}
	typed := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(in).ReadString('\n')
		typed <- line{strings.TrimSpace(text), err}
	}()
	select {
	case l := <-typed:
		if errors.Is(l.err, io.EOF) {
			return l.text, nil
		}
		return l.text, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// command is one word after the program's name.
type command struct {
	name    string
	args    string
	summary string
	run     func(ctx context.Context, p *process, args []string) error
}

func commands() []command {
	return []command{
		{"serve", "", "the broker (what runs without a command)", serve},
		{"demo", "", "the broker with a sandbox of Toggl, ClickTime and TimeLog, and a connect link for each", demo},
		{"migrate", "up|down|status|force", "the schema of the database", migrateCommand},
		{"key", "generate|list|rotate|reseal|retire", "the keyset that seals credentials", keyCommand},
		{"apikey", "create|list|revoke|check", "API keys, for the first one, a lost one or one that was found", apiKeyCommand},
		{"admin", "invite|list|remove|restore", "the people who get into the console, by links that work once", adminCommand},
		{"apply", "-f FILE", "environments, integrations and API keys as a file declares them; shows a plan first", applyCommand},
		{"export", "", "writes such a file of what is there", exportCommand},
		{"audit", "verify|acknowledge|export", "the trail: is it as it was written, and all of it as JSON lines", auditCommand},
		{"doctor", "", "checks configuration, database, schema, keyset, clock and reachability", doctor},
		{"version", "", "version, commit and Go version", printVersion},
	}
}

// run finds the command. What begins with a dash is a flag of serve.
func (p *process) run(ctx context.Context, args []string) error {
	name := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	if name == "help" || len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		p.usage()
		return nil
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(ctx, p, args)
		}
	}
	p.usage()
	return fmt.Errorf("there is no command %q", name)
}

func (p *process) usage() {
	w := p.stderr
	fmt.Fprintln(w, "usage: claviger [command] [flags]\n\ncommands:")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-8s %-36s %s\n", c.name, c.args, c.summary)
	}
	fmt.Fprintln(w, "\nsettings, each a variable and a flag; those marked * also from a file, as NAME_FILE and -name-file:")
	for _, s := range settings() {
		mark := " "
		if s.secret {
			mark = "*"
		}
		def := ""
		if s.def != "" {
			def = " (default " + s.def + ")"
		}
		fmt.Fprintf(w, "  %s%-25s%s -%-24s %s%s\n", envPrefix, s.name, mark, s.flag(), s.usage, def)
	}
}

func printVersion(_ context.Context, p *process, _ []string) error {
	rev := commit
	if info, ok := debug.ReadBuildInfo(); ok && rev == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				rev = s.Value
			}
		}
	}
	if rev == "" {
		rev = "unknown"
	}
	_, err := fmt.Fprintf(p.stdout, "claviger %s, commit %s, %s %s/%s\n", version, rev, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
