package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// event is one line of go test -json; see `go doc test2json` and, for the
// build actions, `go help buildjson`.
type event struct {
	Action     string  `json:"Action"`
	Package    string  `json:"Package,omitempty"`
	ImportPath string  `json:"ImportPath,omitempty"`
	Test       string  `json:"Test,omitempty"`
	Output     string  `json:"Output,omitempty"`
	Elapsed    float64 `json:"Elapsed,omitempty"`
}

// maxLine bounds one line of input. test2json splits long output, so a longer
// one is not from it.
const maxLine = 16 << 20

// summary is the state of one run. Its output goes to out as it comes.
type summary struct {
	out      io.Writer
	packages map[string]*pkg
	order    []string
	builds   map[string][]string
	broken   []string // packages that failed without a test that did
	failures []string
	skips    []string
	all      tally
	sqlite   tally
	postgres tally
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, packages: make(map[string]*pkg), builds: make(map[string][]string)}
}

func (s *summary) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, format, args...)
}

// read takes events until the input ends. Lines that are not events are
// somebody's words to a person, and are passed on.
func (s *summary) read(in io.Reader) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := readLine(lines)
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				s.printf("%s\n", line)
			} else {
				s.take(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readLine is one line without its end. It returns data and io.EOF together
// for a last line that has none.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return []byte(strings.TrimRight(string(line), "\r\n")), err
	}
}

// take applies one event.
func (s *summary) take(e event) {
	switch {
	case e.Action == "build-output":
		s.builds[e.ImportPath] = append(s.builds[e.ImportPath], e.Output)
	case e.Action == "build-fail":
		s.printf("\nFAIL build of %s\n%s\n", e.ImportPath, strings.Join(s.builds[e.ImportPath], ""))
		delete(s.builds, e.ImportPath)
	case e.Package == "":
		// Nothing that concerns a package.
	case e.Test == "":
		s.takePackage(e)
	default:
		s.takeTest(e)
	}
}

func (s *summary) pkg(name string) *pkg {
	// Two runs of one package in one stream (once with other flags, say) are
	// two entries.
	if p, ok := s.packages[name]; ok && !p.done {
		return p
	}
	p := &pkg{name: name, tests: make(map[string]*test)}
	s.packages[name] = p
	s.order = append(s.order, name)
	return p
}

func (s *summary) takeTest(e event) {
	p := s.pkg(e.Package)
	t := p.test(e.Test)
	switch e.Action {
	case "output":
		t.output = append(t.output, e.Output)
	case "pass":
		t.end, t.output = passed, nil
	case "skip":
		t.end = skipped
		s.printf("\nSKIP %s %s\n%s\n", p.name, t.path, t.text())
	case "fail":
		t.end = failed
		// A parent that has nothing to say failed because of a subtest, which
		// has said it.
		if text := t.text(); text != "" || !p.hasSubtests(t.path) {
			s.printf("\nFAIL %s %s (%s)\n%s\n", p.name, t.path, seconds(e.Elapsed), text)
		}
	}
}

func (s *summary) takePackage(e event) {
	p := s.pkg(e.Package)
	switch e.Action {
	case "output":
		p.output = append(p.output, e.Output)
	case "skip":
		p.done = true
		s.printf("-     %s  no tests\n", p.name)
	case "pass", "fail":
		s.finish(p, e.Action == "fail", e.Elapsed)
	}
}

// finish counts a package's tests and prints its line.
func (s *summary) finish(p *pkg, bad bool, elapsed float64) {
	p.done = true
	var own tally
	for _, t := range p.counted() {
		if t.end == running {
			s.printf("\nFAIL %s %s (did not end)\n%s\n", p.name, t.path, t.text())
		}
		own.add(t.end)
		s.count(p, t)
	}
	if bad && own.failed == 0 {
		// A panic outside of tests, os.Exit, a build that failed, a timeout.
		s.broken = append(s.broken, p.name)
		s.all.failed++
	}
	if text := plain(p.output); bad && text != "" {
		s.printf("\nFAIL %s\n%s\n", p.name, text)
	}
	word := "ok  "
	if bad || own.failed > 0 {
		word = "FAIL"
	}
	s.printf("%s  %s  %d run, %d failed, %d skipped  %s\n",
		word, p.name, own.run(), own.failed, own.skipped, seconds(elapsed))
	p.tests, p.order, p.output = nil, nil, nil
}

func (s *summary) count(p *pkg, t *test) {
	s.all.add(t.end)
	if onDatabase(t.path, "sqlite") {
		s.sqlite.add(t.end)
	}
	if onDatabase(t.path, "postgres") {
		s.postgres.add(t.end)
	}
	switch t.end {
	case failed, running:
		s.failures = append(s.failures, p.name+" "+t.path)
	case skipped:
		s.skips = append(s.skips, p.name+" "+t.path)
	case passed:
	}
}

// close ends packages whose last word never came: the stream was cut.
func (s *summary) close() {
	for _, name := range s.order {
		if p := s.packages[name]; !p.done {
			p.output = append(p.output, "the test run ended before this package did\n")
			s.finish(p, true, 0)
		}
	}
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Millisecond).String()
}
