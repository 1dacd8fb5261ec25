package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

type sendByKey struct{}

// WithSendBy lets a request that may not be repeated out before t or not at
// all: whoever holds a lease to send it may have lost that by then. The time is
// looked at right before every write to the wire, so that a process that was
// stopped in between sends nothing when it goes on. What is late is an [*Error]
// of kind [Late]: [NotSent] where nothing of the request had left, else
// [Uncertain]. How long the answer takes is not bounded by it.
//
// t is measured by the monotonic clock, which nobody sets, and not by
// [Config].Now. Requests that may be repeated take no notice.
func WithSendBy(ctx context.Context, t time.Time) context.Context {
	return context.WithValue(ctx, sendByKey{}, time.Now().Add(time.Until(t)))
}

// sendBy is the time by which a request has to be sent, if there is one.
func sendBy(ctx context.Context) (t time.Time, ok bool) {
	t, ok = ctx.Value(sendByKey{}).(time.Time)
	return t, ok
}

var errLate = errors.New("the time to send the request was over")

// gate is a connection for one request. It lies below TLS: what passes before
// until is set is the handshake, what passes after is the request. What else TLS
// has to say after that, a goodbye, is nobody's loss if it is late.
type gate struct {
	net.Conn
	until atomic.Pointer[time.Time] // nil: always open
	begun atomic.Bool               // some of the request may have left
	late  atomic.Bool               // something was held back
}

// gateOf finds the gate under a connection of the transport; nil if there is none.
func gateOf(c net.Conn) *gate {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	g, _ := c.(*gate)
	return g
}

// Write refuses what is late, and everything after it.
func (g *gate) Write(b []byte) (int, error) {
	until := g.until.Load()
	if until == nil {
		return g.Conn.Write(b)
	}
	if g.late.Load() || !time.Now().Before(*until) {
		g.late.Store(true)
		return 0, errLate
	}
	g.begun.Store(true)
	return g.Conn.Write(b)
}

// gated makes gates of what a dialer makes.
func gated(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &gate{Conn: c}, nil
	}
}
