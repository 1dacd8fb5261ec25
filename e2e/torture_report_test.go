package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

// summary is what a run is told in: a table, and the hits.
func (w *tortured) summary(tr *trial, v *verdict) string {
	var b strings.Builder
	tab := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(what string, n any) { fmt.Fprintf(tab, "  %s\t%v\n", what, n) }
	fmt.Fprintf(tab, "torture on %s, seed %d, %v of faults\n", w.kind, w.seed, w.length)
	row("connections", fmt.Sprintf("%d, %d of them linked again", tortureLines, len(w.readers.retired)))
	row("refreshes", len(tr.refreshes))
	for _, line := range counted(tr.journal, func(d deed) string { return d.what }) {
		row(line.what, line.n)
	}
	for _, line := range counted(tr.refreshes, func(c sandbox.RefreshCall) string { return c.Fault }) {
		row("provider: "+line.what, line.n)
	}
	for _, what := range slices.Sorted(maps.Keys(w.readers.outcomes)) {
		row(what, w.readers.outcomes[what])
	}
	row("longest wait for headers", w.readers.longest.Round(time.Millisecond))
	for _, what := range slices.Sorted(maps.Keys(v.reuses)) {
		row("reuse: "+what, v.reuses[what])
	}
	for _, line := range counted(tr.endings, func(e ending) string { return strings.TrimSpace(e.status + " " + e.reason) }) {
		row("in the end "+line.what, line.n)
	}
	row("all well again after", v.maxWell.Round(time.Millisecond))
	row("findings", len(v.findings))
	_ = tab.Flush()
	for _, hit := range v.hits {
		fmt.Fprintf(&b, "  in the window: %s\n", hit)
	}
	return b.String()
}

type tally struct {
	what string
	n    int
}

// counted counts what has a name, in the order of the names.
func counted[T any](all []T, name func(T) string) []tally {
	by := map[string]int{}
	for _, x := range all {
		by[name(x)]++
	}
	delete(by, "")
	var out []tally
	for _, what := range slices.Sorted(maps.Keys(by)) {
		out = append(out, tally{what, by[what]})
	}
	return out
}

// moment is one thing that a story has.
type moment struct {
	at   time.Time
	text string
}

// story is all that is known about a line, in order: the provider's books, what
// was done to brokers and database meanwhile, the trail, and what the brokers
// said about it.
func (w *tortured) story(tr *trial, l *line) string {
	var story []moment
	var begun time.Time
	for _, c := range tr.refreshes {
		if c.Family != l.family {
			continue
		}
		if begun.IsZero() {
			begun = c.Arrived
		}
		fate := "refused"
		switch {
		case c.Reused:
			fate = "REUSED"
		case !c.Spent.IsZero():
			fate = "spent at " + clockTime(c.Spent)
		}
		story = append(story, moment{c.Arrived, fmt.Sprintf("provider: token %d from broker %d, %s; status %d, delivered %t, until %s %s",
			c.Token, tr.broker(c), fate, c.Status, c.Delivered, clockTime(c.Ended), c.Fault)})
	}
	for _, d := range tr.journal {
		story = append(story, moment{d.from, "nemesis: " + d.String()})
	}
	for _, r := range tr.wrong {
		if r.line == l {
			story = append(story, moment{r.asked, fmt.Sprintf("reader: broker %d served %s", r.broker, r.what)})
		}
	}
	story = append(story, w.trail(l)...)
	for _, m := range w.members {
		m.eachLog(func(_ string, log []byte) { story = append(story, linesAbout(l.id, m.number, log)...) })
	}
	slices.SortStableFunc(story, func(a, b moment) int { return a.at.Compare(b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "%s, family %s\n", l.id, l.family)
	for _, m := range story {
		fmt.Fprintf(&b, "  %s  %s\n", clockTime(m.at), m.text)
	}
	return b.String()
}

func (w *tortured) trail(l *line) []moment {
	a, err := w.api.try("GET", "/v1/audit?limit=200&connection_id="+l.id, nil, "application/json")
	if err != nil {
		return []moment{{time.Now(), "the trail: " + err.Error()}}
	}
	var list struct {
		Data []struct {
			auditEntry

			At         time.Time `json:"at"`
			Generation int64     `json:"generation"`
		}
	}
	if err := json.Unmarshal(a.body, &list); err != nil {
		return []moment{{time.Now(), "the trail: " + err.Error()}}
	}
	var out []moment
	for _, e := range list.Data {
		if e.Action != "headers.read" && e.Action != "credential.read" {
			out = append(out, moment{e.At, fmt.Sprintf("trail: %s %s, generation %d", e.Action, e.Reason, e.Generation)})
		}
	}
	return out
}

// linesAbout is what a log says about a connection, but for the requests of
// readers.
func linesAbout(id string, broker int, log []byte) (out []moment) {
	for lines := bufio.NewScanner(bytes.NewReader(log)); lines.Scan(); {
		var line struct {
			Time time.Time
			Msg  string
		}
		if bytes.Contains(lines.Bytes(), []byte(id)) && json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg != "request" {
			out = append(out, moment{line.Time, fmt.Sprintf("broker %d: %s", broker, lines.Text())})
		}
	}
	return out
}

// tell reports a verdict: the table always; where there are findings, each of
// them, the schedule, and the stories of the first connections concerned.
func (w *tortured) tell(t *testing.T, tr *trial, v *verdict) {
	t.Helper()
	summary := w.summary(tr, v)
	t.Log("\n" + summary)
	if len(v.findings) == 0 {
		return
	}
	const mostStories = 6
	report := &bytes.Buffer{}
	fmt.Fprintf(report, "\nschedule\n%s\n\nfindings\n", w.plan)
	var concerned []*line
	for _, f := range v.findings {
		fmt.Fprintf(report, "%s: %s\n", f.line.id, f.what)
		if !slices.Contains(concerned, f.line) {
			concerned = append(concerned, f.line)
		}
	}
	for _, l := range concerned[:min(len(concerned), mostStories)] {
		fmt.Fprintf(report, "\n%s", w.story(tr, l))
	}
	path := artifact(t, "report.txt")
	if err := os.WriteFile(path, append([]byte(summary), report.Bytes()...), 0o600); err != nil {
		t.Error(err)
	}
	t.Errorf("%d findings about %d connections; all of it is in %s. The same faults again: -torture.seed %d\n%s",
		len(v.findings), len(concerned), path, w.seed, report)
}
