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
	"time"

	"github.com/claviger/claviger/bench/pace"
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

// job is what to ask, and how often.
type job struct {
	url         string
	key         string
	connections []string
	rate        int // requests a second; 0 keeps the workers busy
	workers     int
	duration    time.Duration
	warmup      time.Duration
}

func readJob(args []string) (job, error) {
	var j job
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	fs.StringVar(&j.url, "url", "http://localhost:8080", "the broker")
	keyFile := fs.String("key-file", "", "file with an API key that has credentials:read")
	ids := fs.String("connection", "", "connection ids, comma-separated; asked for in turn")
	fs.IntVar(&j.rate, "rate", 0, "requests a second on a fixed schedule; 0 is as fast as the workers can")
	fs.IntVar(&j.workers, "workers", 64, "connections to the broker")
	fs.DurationVar(&j.duration, "duration", 10*time.Second, "how long to measure")
	fs.DurationVar(&j.warmup, "warmup", 2*time.Second, "how long to run before measuring")
	if err := fs.Parse(args); err != nil {
		return j, err
	}
	if *keyFile == "" || *ids == "" || j.workers < 1 || j.rate < 0 || j.duration <= 0 {
		return j, errors.New("-key-file and -connection are needed; -workers is at least 1")
	}
	key, err := os.ReadFile(*keyFile)
	if err != nil {
		return j, fmt.Errorf("reading the key: %w", err)
	}
	j.key = strings.TrimSpace(string(key))
	j.connections = strings.Split(*ids, ",")
	return j, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	j, err := readJob(args)
	if err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: j.workers, MaxConnsPerHost: j.workers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	p := pace.Plan{
		Workers: j.workers, Rate: j.rate, Length: j.warmup,
		Dial: func() (pace.Asker, error) { return &asker{&j, client}, nil },
	}
	if _, err := pace.Run(ctx, p); err != nil {
		return err
	}
	p.Length = j.duration
	r, err := pace.Run(ctx, p)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d requests in %s, %.0f a second, %d failed\n", r.Times.TotalCount(), r.Took.Round(time.Millisecond), r.PerSecond(), r.Failed)
	for _, q := range []float64{50, 90, 99, 99.9, 100} {
		fmt.Fprintf(out, "  p%-5v %10.3f ms\n", q, r.Quantile(q))
	}
	if r.Failed > 0 {
		return fmt.Errorf("%d of %d answers were not 200", r.Failed, r.Times.TotalCount())
	}
	return nil
}

// asker asks by way of net/http: a broker may be behind TLS.
type asker struct {
	job    *job
	client *http.Client
}

func (a *asker) Ask(ctx context.Context, n int64) (bool, error) {
	id := a.job.connections[int(n)%len(a.job.connections)]
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.job.url+"/v1/connections/"+id+"/headers", http.NoBody)
	if err != nil {
		return false, err
	}
	req.Header.Set("Authorization", "Bearer "+a.job.key)
	answer, err := a.client.Do(req)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode == http.StatusOK, errors.Join(err, answer.Body.Close())
}

func (a *asker) Close() error { return nil }
