package main

import (
	"slices"
	"strings"
)

// outcome is how a test ended.
type outcome int

const (
	running outcome = iota
	passed
	failed
	skipped
)

// test is one test or subtest of a package, by the path that go test gives it.
type test struct {
	path   string
	end    outcome
	output []string
}

// pkg collects what is known of one test binary.
type pkg struct {
	name   string
	tests  map[string]*test
	order  []string
	output []string
	done   bool
}

// test finds the entry of a path, or makes it.
func (p *pkg) test(path string) *test {
	if t, ok := p.tests[path]; ok {
		return t
	}
	t := &test{path: path}
	p.tests[path] = t
	p.order = append(p.order, path)
	return t
}

func (p *pkg) hasSubtests(path string) bool {
	return slices.ContainsFunc(p.order, func(other string) bool {
		return strings.HasPrefix(other, path+"/")
	})
}

// counted is the tests that speak for themselves: the leaves, and each parent
// that failed or was skipped without one of its subtests doing so.
func (p *pkg) counted() []*test {
	parent := make(map[string]bool)
	explained := make(map[string]map[outcome]bool)
	for _, path := range p.order {
		for i := range len(path) {
			if path[i] != '/' {
				continue
			}
			prefix := path[:i]
			parent[prefix] = true
			if explained[prefix] == nil {
				explained[prefix] = make(map[outcome]bool)
			}
			explained[prefix][p.tests[path].end] = true
		}
	}
	var out []*test
	for _, path := range p.order {
		t := p.tests[path]
		if !parent[path] || (t.end != passed && !explained[path][t.end]) {
			out = append(out, t)
		}
	}
	return out
}

// tally is one row of the table.
type tally struct{ passed, failed, skipped int }

func (t *tally) add(end outcome) {
	switch end {
	case passed:
		t.passed++
	case skipped:
		t.skipped++
	case failed, running:
		t.failed++
	}
}

func (t *tally) run() int { return t.passed + t.failed }

// onDatabase reports whether a segment of the test's path is the database's
// name. Segments that go test made unique ("postgres#01") count too.
func onDatabase(path, name string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(segment string) bool {
		base, _, _ := strings.Cut(segment, "#")
		return strings.EqualFold(base, name)
	})
}

// text is what the test printed, and forgets it: a long run keeps only what
// may still be needed.
func (t *test) text() string {
	text := plain(t.output)
	t.output = nil
	return text
}

// framing is how lines begin by which go test says that something ran, which
// the events say as well.
func framing() []string {
	return []string{
		"=== RUN ", "=== PAUSE ", "=== CONT ", "=== NAME ",
		"--- PASS: ", "--- FAIL: ", "--- SKIP: ",
		"FAIL\n", "FAIL\t", "PASS\n", "ok  \t", "exit status ",
	}
}

// plain joins output lines without go test's framing.
func plain(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		framed := slices.ContainsFunc(framing(), func(prefix string) bool {
			return strings.HasPrefix(strings.TrimLeft(line, " "), prefix)
		})
		if !framed {
			b.WriteString(line)
		}
	}
	return strings.TrimRight(b.String(), "\n")
}
