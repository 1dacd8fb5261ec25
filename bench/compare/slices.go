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
	// postmaster is the pid of its Postgres, 0 where that is not known.
	postmaster int
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

// slice is what one slice of load came to.
type slice struct {
	perSecond float64
	p50, p99  float64 // milliseconds
	cpu       float64 // microseconds of the server and its database for one request
}

// pair are the slices of two targets, side by side.
type pair struct{ a, b []slice }

// medians of a number over the slices of each, and of the ratio of each slice to
// the one beside it: what slows the machine down for a while slows both.
func (p pair) medians(number func(slice) float64) (a, b, ratio float64) {
	as, bs, ratios := make([]float64, len(p.a)), make([]float64, len(p.a)), make([]float64, len(p.a))
	for i := range p.a {
		as[i], bs[i] = number(p.a[i]), number(p.b[i])
		ratios[i] = as[i] / bs[i]
	}
	return median(as), median(bs), median(ratios)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// alternate runs slices of first and second in turn; who begins changes over.
func (b *bench) alternate(ctx context.Context, rate int, length time.Duration, first, second *target) (pair, error) {
	var p pair
	for i := range b.slices + 1 {
		both := [...]*target{first, second}
		var got [2]slice
		for j := range both {
			var err error
			k := (i + j) % 2
			if got[k], err = b.run(ctx, both[k], rate, length); err != nil {
				return p, fmt.Errorf("asking %s: %w", both[k].name, err)
			}
		}
		if i == 0 {
			continue // caches, pools and the like
		}
		p.a, p.b = append(p.a, got[0]), append(p.b, got[1])
	}
	return p, nil
}

func (b *bench) run(ctx context.Context, t *target, rate int, length time.Duration) (slice, error) {
	before := b.busy(t)
	r, err := pace.Run(ctx, t.plan(ctx, b.workers, rate, length))
	if err != nil {
		return slice{}, err
	}
	if r.Failed > 0 {
		return slice{}, fmt.Errorf("%d of %d answers were not 200", r.Failed, r.Times.TotalCount())
	}
	cpu := (b.busy(t) - before).Seconds() * 1e6 / float64(r.Times.TotalCount())
	return slice{perSecond: r.PerSecond(), p50: r.Quantile(50), p99: r.Quantile(99), cpu: cpu}, nil
}

// busy is how long the server and its database have kept a core busy: what
// others on the machine do is not in it.
func (b *bench) busy(t *target) time.Duration {
	d := busy(t.cmd.Process.Pid)
	if t.postmaster != 0 {
		d += busy(t.postmaster)
		for _, p := range children(t.postmaster) {
			d += busy(p)
		}
	}
	return d
}

// compared are the numbers of one comparison.
type compared struct {
	rate           int
	closed, onTime pair
}

// compare measures throughput first, then the times at a rate that both can
// keep up with.
func (b *bench) compare(ctx context.Context, first, second *target) (c compared, err error) {
	if c.closed, err = b.alternate(ctx, 0, b.slice, first, second); err != nil {
		return c, err
	}
	if c.rate = b.rate; c.rate == 0 {
		x, y, _ := c.closed.medians(func(s slice) float64 { return s.perSecond })
		c.rate = max(1, int(min(x, y)/2))
	}
	c.onTime, err = b.alternate(ctx, c.rate, 2*b.slice, first, second)
	return c, err
}

func (c compared) print(b *bench, what string, first, second *target) {
	b.say("%s", what)
	b.say("  %-28s %10s %10s %8s", "", first.name, second.name, "ratio")
	for _, line := range []struct {
		what   string
		in     pair
		number func(slice) float64
	}{
		{"requests/s", c.closed, func(s slice) float64 { return s.perSecond }},
		{"CPU a request, µs", c.closed, func(s slice) float64 { return s.cpu }},
		{fmt.Sprintf("p50 at %d/s, ms", c.rate), c.onTime, func(s slice) float64 { return s.p50 }},
		{fmt.Sprintf("p99 at %d/s, ms", c.rate), c.onTime, func(s slice) float64 { return s.p99 }},
	} {
		x, y, ratio := line.in.medians(line.number)
		b.say("  %-28s %10.2f %10.2f %8.2f", line.what, x, y, ratio)
	}
}
