package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stream renders events as go test -json does.
func stream(t *testing.T, events ...event) string {
	t.Helper()
	var b strings.Builder
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

func ran(pkg, path, end string, output ...string) []event {
	out := []event{{Action: "run", Package: pkg, Test: path}}
	out = append(out, event{Action: "output", Package: pkg, Test: path, Output: "=== RUN   " + path + "\n"})
	for _, o := range output {
		out = append(out, event{Action: "output", Package: pkg, Test: path, Output: o})
	}
	if end != "" {
		out = append(out, event{Action: end, Package: pkg, Test: path, Elapsed: 0.25})
	}
	return out
}

func ended(pkg, end string) []event {
	return []event{{Action: end, Package: pkg, Elapsed: 1.5}}
}

func join(parts ...[]event) []event {
	var out []event
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func TestSummary(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		events  []event
		args    []string
		tail    string
		code    int
		want    []string // in the output
		wantNot []string
		closing string
	}{
		"all good, both databases": {
			events: join(
				ran("m/store", "TestStore", ""),
				ran("m/store", "TestStore/sqlite", ""),
				ran("m/store", "TestStore/sqlite/claim", "pass", "    quiet please\n"),
				ran("m/store", "TestStore/postgres", ""),
				ran("m/store", "TestStore/postgres/claim", "pass"),
				ran("m/store", "TestStore/Postgres#01", "pass"),
				[]event{
					{Action: "pass", Package: "m/store", Test: "TestStore/sqlite"},
					{Action: "pass", Package: "m/store", Test: "TestStore/postgres"},
					{Action: "pass", Package: "m/store", Test: "TestStore"},
				},
				ended("m/store", "pass"),
				ended("m/web", "skip"),
			),
			args: []string{"-postgres", "PostgreSQL 15.18"},
			want: []string{
				"ok    m/store  3 run, 0 failed, 0 skipped  1.5s\n",
				"-     m/web  no tests\n",
				"all tests                  3        0        0\n",
				"on SQLite                  1        0        0\n",
				"on PostgreSQL 15.18        2        0        0\n",
			},
			wantNot: []string{"quiet please", "Not good"},
			closing: "3 passed, 0 failed",
		},
		"a failure is shown in full, its parent not twice": {
			events: join(
				ran("m/a", "TestA", ""),
				ran("m/a", "TestA/x", "fail", "    a_test.go:7: got 1\n", "    --- not framing\n", "    --- FAIL: TestA/x (0.25s)\n"),
				[]event{{Action: "fail", Package: "m/a", Test: "TestA"}},
				ran("m/a", "TestB", "pass"),
				ended("m/a", "fail"),
			),
			code: 1,
			want: []string{
				"FAIL m/a TestA/x (250ms)\n    a_test.go:7: got 1\n    --- not framing\n",
				"FAIL  m/a  2 run, 1 failed, 0 skipped  1.5s\n",
				"  failed: m/a TestA/x\n",
			},
			wantNot: []string{"FAIL m/a TestA (", "failed: m/a TestA\n", "=== RUN", "--- FAIL"},
			closing: "1 passed, 1 failed",
		},
		"a parent that fails alone counts": {
			events: join(
				ran("m/a", "TestA", ""),
				ran("m/a", "TestA/x", "pass"),
				[]event{
					{Action: "output", Package: "m/a", Test: "TestA", Output: "    own fault\n"},
					{Action: "fail", Package: "m/a", Test: "TestA"},
				},
				ended("m/a", "fail"),
			),
			code:    1,
			want:    []string{"own fault", "  failed: m/a TestA\n"},
			closing: "1 passed, 1 failed",
		},
		"a skipped test is not a good run": {
			events:  join(ran("m/a", "TestA", "pass"), ran("m/a", "TestS", "skip", "    no network\n"), ended("m/a", "pass")),
			code:    1,
			want:    []string{"SKIP m/a TestS\n    no network\n", "  skipped: m/a TestS\n"},
			closing: "1 passed, 0 failed, 1 skipped",
		},
		"no tests at all": {
			events:  ended("m/a", "skip"),
			code:    1,
			want:    []string{"no test ran"},
			closing: "0 passed, 0 failed",
		},
		"PostgreSQL was there and unused": {
			events:  join(ran("m/a", "TestPostgresName", "pass"), ran("m/a", "TestDB/postgresql", "pass"), ended("m/a", "pass")),
			args:    []string{"-postgres", "PostgreSQL 15.18"},
			code:    1,
			want:    []string{"PostgreSQL 15.18 was there and no test ran on it"},
			closing: "2 passed, 0 failed",
		},
		"no PostgreSQL, none expected": {
			events:  join(ran("m/a", "TestDB/sqlite", "pass"), ended("m/a", "pass")),
			want:    []string{"on PostgreSQL (none was there)        0"},
			closing: "1 passed, 0 failed",
		},
		"a build that fails": {
			events: join(
				[]event{
					{Action: "build-output", ImportPath: "m/c [m/c.test]", Output: "c.go:2:12: undefined: x\n"},
					{Action: "build-fail", ImportPath: "m/c [m/c.test]"},
					{Action: "output", Package: "m/c", Output: "FAIL\tm/c [build failed]\n"},
				},
				ended("m/c", "fail"),
				ran("m/a", "TestA", "pass"), ended("m/a", "pass"),
			),
			code:    1,
			want:    []string{"c.go:2:12: undefined: x", "failed: m/c (the package, outside of its tests)"},
			closing: "1 passed, 1 failed",
		},
		"a panic leaves a test without an end": {
			events:  join(ran("m/a", "TestA", "", "panic: boom\n"), ended("m/a", "fail")),
			code:    1,
			want:    []string{"FAIL m/a TestA (did not end)\npanic: boom"},
			closing: "0 passed, 1 failed",
		},
		"the stream is cut": {
			events:  ran("m/a", "TestA", "pass"),
			code:    1,
			want:    []string{"the test run ended before this package did"},
			closing: "1 passed, 1 failed",
		},
		"words that are not events are passed on": {
			events:  join(ran("m/a", "TestA", "pass"), ended("m/a", "pass")),
			tail:    "go: downloading something\n{\"not\":\"an event\"}\nlast words",
			want:    []string{"go: downloading something\n", "{\"not\":\"an event\"}\n", "last words\n"},
			closing: "1 passed, 0 failed",
		},
		"one package twice in one stream": {
			events: join(
				ran("m/a", "TestA", "pass"), ended("m/a", "pass"),
				ran("m/a", "TestA", "fail", "second time\n"), ended("m/a", "fail"),
			),
			code:    1,
			want:    []string{"second time"},
			closing: "1 passed, 1 failed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			code := run(tc.args, strings.NewReader(stream(t, tc.events...)+tc.tail), &out, &errOut)
			if code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			for _, w := range tc.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("the output lacks %q", w)
				}
			}
			for _, w := range tc.wantNot {
				if strings.Contains(out.String(), w) {
					t.Errorf("the output has %q", w)
				}
			}
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if diff := cmp.Diff(tc.closing, lines[len(lines)-1]); diff != "" {
				t.Errorf("closing line (-want +got):\n%s", diff)
			}
			if t.Failed() {
				t.Logf("output:\n%s%s", out.String(), errOut.String())
			}
		})
	}
}

func TestLinesTooLong(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	in := stream(t, join(ran("m/a", "TestA", "pass"), ended("m/a", "pass"))...) + strings.Repeat("x", maxLine+1)
	if code := run(nil, strings.NewReader(in), &out, &errOut); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.Contains(errOut.String(), "longer than") || !strings.HasSuffix(out.String(), "\n1 passed, 0 failed\n") {
		t.Errorf("got %q and %q", errOut.String(), out.String())
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]int{"-h": 0, "-nonsense": 2} {
		var out, errOut bytes.Buffer
		if code := run([]string{arg}, strings.NewReader(""), &out, &errOut); code != want {
			t.Errorf("%s: exit code %d, want %d", arg, code, want)
		}
	}
}
