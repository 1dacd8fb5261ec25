package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits of the three servers. They are those of a careful service, so that a
// client that misbehaves is found out here.
const (
	maxBody           = 1 << 20
	maxHeader         = 64 << 10
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 60 * time.Second
)

// Config says how a sandbox runs. The zero Config is usable.
type Config struct {
	// Listen is host:port on the loopback interface; "" means "127.0.0.1:0".
	// With port 0 each provider gets a free port of its own, with any other
	// port p Toggl has p, ClickTime p+1 and TimeLog p+2. An address off
	// loopback is refused: the passwords here are in the documentation.
	Listen string
	// Log gets one debug line a request, without secrets; nil discards.
	Log *slog.Logger
	// Now is the clock of tokens, codes and sessions; nil means [time.Now].
	Now func() time.Time
	// The accounts that exist at the start; nil means [DemoAccounts].
	TogglAccounts     []Account
	ClickTimeAccounts []Account
	TimeLogAccounts   []Account
	// Clients are the OAuth clients registered at TimeLog; nil means
	// [DemoClient].
	Clients []Client
}

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.TogglAccounts == nil {
		c.TogglAccounts = DemoAccounts(TogglName)
	}
	if c.ClickTimeAccounts == nil {
		c.ClickTimeAccounts = DemoAccounts(ClickTimeName)
	}
	if c.TimeLogAccounts == nil {
		c.TimeLogAccounts = DemoAccounts(TimeLogName)
	}
	if c.Clients == nil {
		c.Clients = []Client{DemoClient()}
	}
	return c
}

// Sandbox is the three services, running.
type Sandbox struct {
	toggl     *Toggl
	clickTime *ClickTime
	timeLog   *TimeLog

	servers []*http.Server
	serving sync.WaitGroup
	stop    func() bool
	close   func() error
}

// Start listens and serves until [Sandbox.Close] is called or ctx ends. When
// it returns without an error, all three services answer.
func Start(ctx context.Context, cfg Config) (*Sandbox, error) {
	cfg = cfg.withDefaults()
	host, port, err := loopback(cfg.Listen)
	if err != nil {
		return nil, err
	}
	toggl, err := NewToggl(cfg)
	if err != nil {
		return nil, err
	}
	s := &Sandbox{toggl: toggl, clickTime: NewClickTime(cfg), timeLog: NewTimeLog(cfg)}
	s.close = sync.OnceValue(s.shutdown)

	var lc net.ListenConfig
	for i, svc := range s.services() {
		p := 0
		if port != 0 {
			p = port + i
		}
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(p)))
		if err != nil {
			_ = s.Close()
			return nil, fmt.Errorf("sandbox: listening for %s: %w", svc.Name(), err)
		}
		svc.SetURL("http://" + l.Addr().String())
		s.serve(svc, l, cfg.Log)
	}
	s.stop = context.AfterFunc(ctx, func() { _ = s.close() })
	return s, nil
}

// provider is what Start needs to know of a service.
type provider interface {
	http.Handler
	Name() string
	SetURL(string)
	Secrets() []string
}

func (s *Sandbox) services() []provider {
	return []provider{s.toggl, s.clickTime, s.timeLog}
}

// Toggl is the Toggl Track service.
func (s *Sandbox) Toggl() *Toggl { return s.toggl }

// ClickTime is the ClickTime service.
func (s *Sandbox) ClickTime() *ClickTime { return s.clickTime }

// TimeLog is the TimeLog service.
func (s *Sandbox) TimeLog() *TimeLog { return s.timeLog }

// Secrets lists every secret value of the three services, see
// [Service.Secrets].
func (s *Sandbox) Secrets() []string {
	var all []string
	for _, svc := range s.services() {
		all = append(all, svc.Secrets()...)
	}
	return all
}

// Close stops the servers at once, cutting what is under way, and waits for
// them. Calling it again is harmless.
func (s *Sandbox) Close() error {
	if s.stop != nil {
		s.stop()
	}
	return s.close()
}

func (s *Sandbox) shutdown() error {
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.Close())
	}
	s.serving.Wait()
	return errors.Join(errs...)
}

func (s *Sandbox) serve(svc provider, l net.Listener, log *slog.Logger) {
	srv := &http.Server{
		Handler:           svc,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// No WriteTimeout: a fault may hold an answer back for as long as a
		// test likes, and Close ends it.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.servers = append(s.servers, srv)
	s.serving.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("sandbox server ended", "provider", svc.Name(), "error", err)
		}
	})
}

// loopback splits a listen address and refuses what others could reach.
func loopback(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("sandbox: reading listen address: %w", err)
	}
	if port, err = strconv.Atoi(p); err != nil || port < 0 || port > 65533 {
		return "", 0, fmt.Errorf("sandbox: listen address %q needs a port from 0 to 65533", addr)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", 0, fmt.Errorf("sandbox: refusing to listen on %q: its passwords are public, it serves on loopback only", addr)
	}
	return host, port, nil
}
