// Command lists measures the console's lists, searches and counts among a
// million connections, on both databases. It prints, and judges nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/claviger/claviger/internal/store"
	"github.com/claviger/claviger/internal/vault"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lists:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("lists", flag.ContinueOnError)
	kinds := flags.String("databases", "sqlite,postgres", "which databases, separated by commas")
	postgres := flags.String("postgres", os.Getenv("TEST_POSTGRES_URL"), "a role that may create databases")
	rows := flags.Int("rows", 1_000_000, "connections in the table")
	times := flags.Int("times", 50, "how often each query runs")
	dir := flags.String("dir", "", "where the SQLite file is made; the temporary directory where empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for kind := range strings.SplitSeq(*kinds, ",") {
		if err := measureOn(ctx, kind, *postgres, *dir, *rows, *times); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

// measureOn fills a database of its own and measures on it.
func measureOn(ctx context.Context, kind, postgres, dir string, rows, times int) (err error) {
	dir, err = os.MkdirTemp(dir, "claviger-lists-")
	if err != nil {
		return err
	}
	d, drop, err := create(ctx, kind, postgres, filepath.Join(dir, "claviger.db"))
	defer func() { err = errors.Join(err, drop(), os.RemoveAll(dir)) }()
	if err != nil {
		return err
	}
	began := time.Now()
	w, err := d.seed(ctx, rows)
	if err != nil {
		return fmt.Errorf("seeding: %w", err)
	}
	fmt.Fprintf(os.Stdout, "%s, %d connections, filled in %s\n", kind, rows, time.Since(began).Round(time.Second))
	s, err := store.Open(ctx, store.Config{URL: d.url, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(out, "p50 ms\tp99 ms\tmax ms\trows\t  query\t")
	for _, q := range w.queries(s) {
		if err := q.measure(ctx, out, times); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	return out.Flush()
}

// query is what is measured; run answers how many rows came.
type query struct {
	name string
	// few is for what takes long: it runs a tenth as often.
	few bool
	run func(ctx context.Context) (int, error)
}

func (q query) measure(ctx context.Context, out *tabwriter.Writer, times int) error {
	if q.few {
		times = max(3, times/10)
	}
	took := make([]time.Duration, times)
	rows := 0
	for i := range took {
		began := time.Now()
		n, err := q.run(ctx)
		if err != nil {
			return err
		}
		took[i], rows = time.Since(began), n
	}
	slices.Sort(took)
	ms := func(part float64) float64 {
		return float64(took[int(part*float64(len(took)-1))].Microseconds()) / 1000
	}
	_, err := fmt.Fprintf(out, "%.1f\t%.1f\t%.1f\t%d\t  %s\t\n", ms(0.5), ms(0.99), ms(1), rows, q.name)
	return err
}

// gatherPart is how many connections a bulk revocation looks at in one part.
const gatherPart = 1000

// queries are those of the console, and of who revokes in bulk.
func (w *world) queries(s vault.Store) []query {
	page := vault.Page{Limit: 51}
	list := func(name string, f vault.ConnectionFilter) query {
		f.At, f.Page.Limit = w.now, page.Limit
		return query{name: name, run: func(ctx context.Context) (int, error) {
			found, err := s.Connections(ctx, w.environment, f)
			return len(found), err
		}}
	}
	count := func(name string, few bool, f vault.ConnectionFilter, most int) query {
		f.At = w.now
		return query{name: name, few: few, run: func(ctx context.Context) (int, error) { return s.CountConnections(ctx, w.environment, f, most) }}
	}
	gather := func(name string, f vault.ConnectionFilter, looked int) query {
		f.At = w.now
		return query{name: name, run: func(ctx context.Context) (int, error) {
			found, _, err := s.GatherRevocable(ctx, w.environment, f, w.middle, looked)
			return len(found), err
		}}
	}
	tags := func(key, value string) map[string]string { return map[string]string{key: value} }
	return []query{
		list("the newest", vault.ConnectionFilter{}),
		list("deep in the list", vault.ConnectionFilter{Page: vault.Page{Cursor: w.middle}}),
		list("an integration", vault.ConnectionFilter{Integration: "large"}),
		list("a small integration", vault.ConnectionFilter{Integration: "small"}),
		list("a status of many", vault.ConnectionFilter{Status: vault.StatusActive}),
		list("a status of few", vault.ConnectionFilter{Status: vault.StatusReconnectRequired}),
		list("a small integration and a status of few", vault.ConnectionFilter{Integration: "small", Status: vault.StatusReconnectRequired}),
		list("a large integration and a status that nothing has", vault.ConnectionFilter{Integration: "large", Status: vault.StatusPending}),
		list("failing", vault.ConnectionFilter{Failing: true}),
		list("failing, of a small integration", vault.ConnectionFilter{Failing: true, Integration: "small"}),
		list("an end user", vault.ConnectionFilter{EndUserID: "user-4242"}),
		list("an end user, active", vault.ConnectionFilter{EndUserID: "user-4242", Status: vault.StatusActive}),
		list("runs out within a day", vault.ConnectionFilter{Expires: vault.Expires1d}),
		list("runs out within 30 days, of a small integration", vault.ConnectionFilter{Expires: vault.Expires30d, Integration: "small"}),
		list("runs out never", vault.ConnectionFilter{Expires: vault.ExpiresNever}),
		list("read in 24 hours", vault.ConnectionFilter{LastRead: vault.LastRead24h}),
		list("not read for 30 days", vault.ConnectionFilter{LastRead: vault.LastReadOver30}),
		list("not read for 30 days, of a small integration", vault.ConnectionFilter{LastRead: vault.LastReadOver30, Integration: "small"}),
		list("not read for 30 days, with a status of few", vault.ConnectionFilter{LastRead: vault.LastReadOver30, Status: vault.StatusReconnectRequired}),
		list("never read", vault.ConnectionFilter{LastRead: vault.LastReadNever}),
		list("never read, of a small integration", vault.ConnectionFilter{LastRead: vault.LastReadNever, Integration: "small"}),
		list("search: an email", vault.ConnectionFilter{Query: "ada.4242@company42.example"}),
		list("search: the beginning of an email", vault.ConnectionFilter{Query: "ada.4242"}),
		list("search: a company", vault.ConnectionFilter{Query: "company42.example"}),
		list("search: a first name of 1 in 20", vault.ConnectionFilter{Query: "grace"}),
		list("search: what all have", vault.ConnectionFilter{Query: "user"}),
		list("search: one letter", vault.ConnectionFilter{Query: "a"}),
		list("search: two names", vault.ConnectionFilter{Query: "grace lovelace"}),
		list("search: what all have, of a small integration", vault.ConnectionFilter{Query: "user", Integration: "small"}),
		list("search: what all have, with a status of few", vault.ConnectionFilter{Query: "user", Status: vault.StatusReconnectRequired}),
		list("search: a first name, of a status that nothing has", vault.ConnectionFilter{Query: "grace", Status: vault.StatusPending}),
		list("search: nothing", vault.ConnectionFilter{Query: "zebra"}),
		list("search: an id", vault.ConnectionFilter{Query: w.middle}),
		list("a tag of 1 in 10", vault.ConnectionFilter{Tags: tags("team", "team-3")}),
		list("a tag of 100", vault.ConnectionFilter{Tags: tags("plan", "vip")}),
		list("a tag of 1 in 10, with a status of few", vault.ConnectionFilter{Tags: tags("team", "team-3"), Status: vault.StatusReconnectRequired}),
		count("count up to 10,001: active", false, vault.ConnectionFilter{Status: vault.StatusActive}, 10_001),
		count("count up to 10,001: a first name", false, vault.ConnectionFilter{Query: "grace"}, 10_001),
		count("count all: a status of few", true, vault.ConnectionFilter{Status: vault.StatusReconnectRequired}, 0),
		count("count all", true, vault.ConnectionFilter{}, 0),
		gather("gather: a status of many", vault.ConnectionFilter{Status: vault.StatusActive}, gatherPart),
		gather("gather: not read for 30 days", vault.ConnectionFilter{LastRead: vault.LastReadOver30}, gatherPart),
		gather("gather: not read for 30 days, with a status of few", vault.ConnectionFilter{LastRead: vault.LastReadOver30, Status: vault.StatusReconnectRequired}, gatherPart),
		gather("gather: runs out within a day, a first name of 1 in 20", vault.ConnectionFilter{Query: "grace", Expires: vault.Expires1d}, gatherPart),
		{name: "overview: by status", few: true, run: func(ctx context.Context) (int, error) {
			found, err := s.CountByStatus(ctx, w.environment)
			return len(found), err
		}},
		{name: "overview: failing", run: func(ctx context.Context) (int, error) {
			found, err := s.CountFailing(ctx, w.environment)
			return len(found), err
		}},
		{name: "overview: what runs out", few: true, run: func(ctx context.Context) (int, error) {
			found, err := s.CountEnds(ctx, w.environment, w.now, vault.ForecastDays)
			return len(found), err
		}},
		{name: "overview: the newest 10,000 reads", few: true, run: func(ctx context.Context) (int, error) {
			found, err := s.RecentReads(ctx, w.environment, "aud_", 10_000)
			return found.Entries, err
		}},
		{name: "timeline: what happened", run: func(ctx context.Context) (int, error) {
			found, err := s.ConnectionHistory(ctx, w.environment, w.busy, page)
			return len(found), err
		}},
		{name: "timeline: 10,000 entries of reads, by the hour", run: func(ctx context.Context) (int, error) {
			found, err := s.ConnectionReads(ctx, w.environment, vault.ReadsFilter{ConnectionID: w.busy, HourlySince: w.now.AddDate(0, 0, -2), Most: 10_000})
			return len(found), err
		}},
		{name: "chart: 20,000 entries, by the hour", run: func(ctx context.Context) (int, error) {
			found, _, err := s.ConnectionActivity(ctx, w.environment, vault.ActivityFilter{ConnectionID: w.busy, From: "aud_", Since: w.now.AddDate(0, 0, -30), Most: 20_000})
			return len(found), err
		}},
	}
}
