package main

import "fmt"

// report prints what failed, the table and the closing line, and says whether
// the run was good. postgres names the server that the tests were given, and
// is empty where there was none.
func (s *summary) report(postgres string) (good bool) {
	faults := s.faults(postgres)
	if len(faults) > 0 {
		s.printf("\nNot good:\n")
		for _, f := range faults {
			s.printf("  %s\n", f)
		}
	}

	label := "on PostgreSQL"
	switch {
	case postgres != "":
		label = "on " + postgres
	case s.postgres == tally{}:
		label = "on PostgreSQL (none was there)"
	}
	rows := []struct {
		name string
		tally
	}{
		{"all tests", s.all},
		{"on SQLite", s.sqlite},
		{label, s.postgres},
	}
	width := 0
	for _, r := range rows {
		width = max(width, len(r.name))
	}
	s.printf("\n%-*s  %7s  %7s  %7s\n", width, "", "run", "failed", "skipped")
	for _, r := range rows {
		s.printf("%-*s  %7d  %7d  %7d\n", width, r.name, r.run(), r.failed, r.skipped)
	}

	closing := fmt.Sprintf("%d passed, %d failed", s.all.passed, s.all.failed)
	if s.all.skipped > 0 {
		closing += fmt.Sprintf(", %d skipped", s.all.skipped)
	}
	s.printf("\n%s\n", closing)
	return len(faults) == 0
}

// faults lists every reason why the run is not good.
func (s *summary) faults(postgres string) []string {
	var out []string
	for _, f := range s.failures {
		out = append(out, "failed: "+f)
	}
	for _, f := range s.broken {
		out = append(out, "failed: "+f+" (the package, outside of its tests)")
	}
	for _, f := range s.skips {
		out = append(out, "skipped: "+f)
	}
	if s.all.run() == 0 {
		out = append(out, "no test ran")
	} else if postgres != "" && s.postgres.run() == 0 {
		out = append(out, postgres+" was there and no test ran on it")
	}
	return out
}
