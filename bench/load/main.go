// Command load asks a running broker for headers and measures how long the
// answers take. See bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "load:", err)
		stop()
		os.Exit(1)
	}
}

// plan is what to ask, and how often.
type plan struct {
	url         string
	key         string
	connections []string
	rate        int // requests a second; 0 keeps the workers busy
	workers     int
	duration    time.Duration
	warmup      time.Duration
}

func readPlan(args []string) (plan, error) {
	var p plan
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	fs.StringVar(&p.url, "url", "http://localhost:8080", "the broker")
	keyFile := fs.String("key-file", "", "file with an API key that has credentials:read")
	ids := fs.String("connection", "", "connection ids, comma-separated; asked for in turn")
	fs.IntVar(&p.rate, "rate", 0, "requests a second on a fixed schedule; 0 is as fast as the workers can")
	fs.IntVar(&p.workers, "workers", 64, "connections to the broker")
	fs.DurationVar(&p.duration, "duration", 10*time.Second, "how long to measure")
	fs.DurationVar(&p.warmup, "warmup", 2*time.Second, "how long to run before measuring")
	if err := fs.Parse(args); err != nil {
		return p, err
	}
	if *keyFile == "" || *ids == "" || p.workers < 1 || p.rate < 0 || p.duration <= 0 {
		return p, errors.New("-key-file and -connection are needed; -workers is at least 1")
	}
	key, err := os.ReadFile(*keyFile)
	if err != nil {
		return p, fmt.Errorf("reading the key: %w", err)
	}
	p.key = strings.TrimSpace(string(key))
	p.connections = strings.Split(*ids, ",")
	return p, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	p, err := readPlan(args)
	if err != nil {
		return err
	}
	if _, err := p.measure(ctx, p.warmup); err != nil {
		return err
	}
	r, err := p.measure(ctx, p.duration)
	if err != nil {
		return err
	}
	r.print(out)
	if r.failed > 0 {
		return fmt.Errorf("%d of %d answers were not 200", r.failed, r.times.TotalCount())
	}
	return nil
}

// result is what one measurement came to.
type result struct {
	times  *hdrhistogram.Histogram // microseconds from when a request was due
	failed int64
	took   time.Duration
}

func newTimes() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

func (r *result) print(out io.Writer) {
	fmt.Fprintf(out, "%d requests in %s, %.0f a second, %d failed\n", r.times.TotalCount(), r.took.Round(time.Millisecond),
		float64(r.times.TotalCount())/r.took.Seconds(), r.failed)
	for _, q := range []float64{50, 90, 99, 99.9, 100} {
		fmt.Fprintf(out, "  p%-5v %10.3f ms\n", q, float64(r.times.ValueAtQuantile(q))/1000)
	}
}

// measure sends requests for a while. On a schedule, request n is due n/rate
// after the start whatever became of those before it.
func (p *plan) measure(ctx context.Context, length time.Duration) (*result, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: p.workers, MaxConnsPerHost: p.workers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	start := time.Now()
	var next, failed atomic.Int64
	var mu sync.Mutex
	var firstErr error
	total := newTimes()
	var wg sync.WaitGroup
	for range p.workers {
		wg.Go(func() {
			times := newTimes()
			for ctx.Err() == nil {
				n := next.Add(1) - 1
				due := p.due(start, n)
				if due.Sub(start) >= length {
					break
				}
				select {
				case <-time.After(time.Until(due)):
				case <-ctx.Done():
				}
				ok, err := p.ask(ctx, client, p.connections[int(n)%len(p.connections)])
				_ = times.RecordValue(time.Since(due).Microseconds())
				if !ok {
					failed.Add(1)
				}
				if err != nil {
					mu.Lock()
					firstErr = errors.Join(firstErr, err)
					mu.Unlock()
					return
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total.Merge(times)
		})
	}
	wg.Wait()
	return &result{times: total, failed: failed.Load(), took: time.Since(start)}, firstErr
}

func (p *plan) due(start time.Time, n int64) time.Time {
	if p.rate == 0 {
		return time.Now()
	}
	return start.Add(time.Duration(n) * time.Second / time.Duration(p.rate))
}

func (p *plan) ask(ctx context.Context, client *http.Client, connection string) (ok bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/v1/connections/"+connection+"/headers", http.NoBody)
	if err != nil {
		return false, err
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	answer, err := client.Do(req)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode == http.StatusOK, errors.Join(err, answer.Body.Close())
}
