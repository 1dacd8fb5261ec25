package e2e

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// wire is the network between one broker and the database, with a nemesis at it.
type wire struct {
	listener net.Listener
	to       string

	mu     sync.Mutex
	open   chan struct{} // closed while packets pass
	parted int
	conns  map[net.Conn]struct{}
	ended  bool
}

// newWire lays a wire to the server of a database URL, until the test ends, and
// answers the URL at this end.
func newWire(t *testing.T, database string) (w *wire, through string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	w = &wire{to: u.Host, open: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	close(w.open)
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			near, err := w.listener.Accept()
			if err != nil {
				return // closed
			}
			serving.Go(func() { w.carry(near) })
		}
	})
	t.Cleanup(func() {
		_ = w.listener.Close()
		w.mu.Lock()
		w.ended = true
		if w.parted > 0 { // by a test that has failed
			close(w.open)
		}
		w.mu.Unlock()
		w.cut()
		serving.Wait()
	})
	u.Host = w.listener.Addr().String()
	return w, u.String()
}

func (w *wire) carry(near net.Conn) {
	defer func() { _ = near.Close() }()
	w.pass()
	far, err := net.DialTimeout("tcp", w.to, 5*time.Second)
	if err != nil {
		return // the server is down, and so is this connection
	}
	defer func() { _ = far.Close() }()
	if !w.keep(near, far) {
		return
	}
	defer w.forget(near, far)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(throughWire{w, way[1]}, way[0])
			_ = near.Close()
			_ = far.Close()
		})
	}
	both.Wait()
}

// throughWire writes when the wire lets it.
type throughWire struct {
	wire *wire
	to   net.Conn
}

func (x throughWire) Write(b []byte) (int, error) {
	x.wire.pass()
	return x.to.Write(b)
}

// pass waits while the two ends are parted.
func (w *wire) pass() {
	w.mu.Lock()
	open := w.open
	w.mu.Unlock()
	<-open
}

func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = struct{}{}
	}
	return !w.ended
}

func (w *wire) forget(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		delete(w.conns, c)
	}
}

// part has no packet pass, either way, until it is healed as often as it was
// parted. Nobody is told.
func (w *wire) part() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.parted++; w.parted == 1 {
		w.open = make(chan struct{})
	}
}

func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.parted--; w.parted == 0 {
		close(w.open)
	}
}

// cut ends every connection with a reset; new ones may be made.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

func TestWire(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // says back what it hears
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	w, through := newWire(t, "postgres://user@"+l.Addr().String()+"/db")
	u, err := url.Parse(through)
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	echo := func(c net.Conn, patience time.Duration) error {
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	c := dial()
	if err := echo(c, time.Minute); err != nil {
		t.Fatal(err)
	}
	w.part()
	w.part()
	w.heal()
	if err := echo(c, 50*time.Millisecond); err == nil {
		t.Error("a packet passed between ends that are parted")
	}
	w.heal()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Errorf("what was on its way did not arrive after all: %v", err)
	}
	w.cut()
	if err := echo(c, time.Minute); err == nil {
		t.Error("the connection survived the cut")
	}
	if err := echo(dial(), time.Minute); err != nil {
		t.Errorf("after the cut: %v", err)
	}
}
