package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program; the result is its exit code.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("testsummary", flag.ContinueOnError)
	flags.SetOutput(errOut)
	postgres := flags.String("postgres", "",
		"name and version of the PostgreSQL that the tests were given; it is then an error if none ran on it")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}

	sum := newSummary(out)
	if err := sum.read(in); err != nil {
		_, _ = fmt.Fprintf(errOut, "testsummary: reading test events: %v\n", err)
		sum.close()
		sum.report(*postgres)
		return 1
	}
	sum.close()
	if !sum.report(*postgres) {
		return 1
	}
	return 0
}
