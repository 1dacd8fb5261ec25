package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/claviger/claviger/bench/pace"
)

// target is a server with what to ask it for.
type target struct {
	*server
	ids []string
	key string
}

// plan asks for connections at random: which one a broker is asked for next
// nobody knows, and no cache may.
func (t *target) plan(ctx context.Context, workers, rate int, length time.Duration) pace.Plan {
	return pace.Plan{
		Workers: workers, Rate: rate, Length: length,
		Dial: func() (pace.Asker, error) {
			buf := make([]byte, 0, 512)
			return pace.Dial(ctx, t.address, func(int64) []byte {
				buf = append(buf[:0], "GET /v1/connections/"...)
				buf = append(buf, t.ids[rand.IntN(len(t.ids))]...)
				buf = append(buf, "/headers HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "...)
				buf = append(buf, t.key...)
				return append(buf, "\r\n\r\n"...)
			})
		},
	}
}

// pair is what two targets came to, slice by slice.
type pair struct{ a, b []float64 }

// ratio is the median of a to b, each slice compared with the one beside it:
// what slows the machine down for a while slows both.
func (p pair) ratio() float64 {
	ratios := make([]float64, len(p.a))
	for i := range p.a {
		ratios[i] = p.a[i] / p.b[i]
	}
	return median(ratios)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// alternate runs slices of a and b in turn, the first of each pair changing
// over, and hands what each came to.
func (b *bench) alternate(ctx context.Context, rate int, length time.Duration, first, second *target, measure func(*pace.Result) float64) (pair, error) {
	var p pair
	for i := range b.slices + 1 {
		both := [...]*target{first, second}
		var got [2]float64
		for j := range both {
			k := (i + j) % 2
			r, err := pace.Run(ctx, both[k].plan(ctx, b.workers, rate, length))
			if err != nil {
				return p, fmt.Errorf("asking %s: %w", both[k].name, err)
			}
			if r.Failed > 0 {
				return p, fmt.Errorf("%s: %d of %d answers were not 200", both[k].name, r.Failed, r.Times.TotalCount())
			}
			got[k] = measure(r)
		}
		if i == 0 {
			continue // caches, pools and the like
		}
		p.a, p.b = append(p.a, got[0]), append(p.b, got[1])
	}
	return p, nil
}

// compared are the numbers of one comparison.
type compared struct {
	throughput pair
	p50, p99   pair
	rate       int
}

// compare measures throughput first, then the times at a rate that both can
// keep up with.
func (b *bench) compare(ctx context.Context, first, second *target) (c compared, err error) {
	c.throughput, err = b.alternate(ctx, 0, b.slice, first, second, (*pace.Result).PerSecond)
	if err != nil {
		return c, err
	}
	if c.rate = b.rate; c.rate == 0 {
		c.rate = max(1, int(min(median(c.throughput.a), median(c.throughput.b))/2))
	}
	c.p99, err = b.alternate(ctx, c.rate, 2*b.slice, first, second, func(r *pace.Result) float64 {
		c.p50.a = append(c.p50.a, r.Quantile(50))
		return r.Quantile(99)
	})
	return c, err
}

func (c compared) print(b *bench, what string, first, second *target) {
	b.say("%s", what)
	b.say("  %-22s %10s %10s %8s", "", first.name, second.name, "ratio")
	b.say("  %-22s %10.0f %10.0f %8.2f", "requests/s", median(c.throughput.a), median(c.throughput.b), c.throughput.ratio())
	b.say("  %-22s %10.2f %10.2f %8.2f", fmt.Sprintf("p99 at %d/s, ms", c.rate), median(c.p99.a), median(c.p99.b), c.p99.ratio())
}
