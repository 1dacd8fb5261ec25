package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/claviger/claviger/internal/httpd"
)

// logger writes to the process's standard error.
func (p *process) logger(cfg *config) *slog.Logger {
	return slog.New(p.logHandler(cfg, p.stderr))
}

func (p *process) logHandler(cfg *config, out io.Writer) slog.Handler {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	format := cfg.LogFormat
	if format == "" {
		format = "json"
		if f, ok := p.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			format = "text"
		}
	}
	if format == "text" {
		return slog.NewTextHandler(out, opts)
	}
	return slog.NewJSONHandler(out, opts)
}

// servingLogger is a logger for a process that serves: no request waits for the
// disk. stop writes what is left; what is logged after it is lost.
func (p *process) servingLogger(cfg *config) (log *slog.Logger, stop func()) {
	out := newLogBuffer(p.stderr)
	h := p.logHandler(cfg, out)
	_, plain := h.(*slog.JSONHandler)
	log = slog.New(hasty{h, out, plain})
	out.lost = func(lines int) {
		log.Warn("log lines were lost: they came faster than they could be written", "lines", lines)
	}
	go out.run()
	return log, out.close
}

// hasty lets the records of requests gather; anything else is written at once.
type hasty struct {
	slog.Handler
	out   *logBuffer
	plain bool // JSON, with nothing added to each record
}

func (h hasty) Handle(ctx context.Context, r slog.Record) error {
	if h.plain && r.Message == httpd.RecordMessage && r.Level == slog.LevelInfo {
		var buf [512]byte
		if line, ok := appendLine(buf[:0], r); ok {
			_, err := h.out.Write(line)
			return err
		}
	}
	err := h.Handler.Handle(ctx, r)
	if r.Level > slog.LevelInfo || r.Message != httpd.RecordMessage {
		h.out.hurry()
	}
	return err
}

func (h hasty) WithAttrs(attrs []slog.Attr) slog.Handler {
	return hasty{h.Handler.WithAttrs(attrs), h.out, false}
}

func (h hasty) WithGroup(name string) slog.Handler {
	return hasty{h.Handler.WithGroup(name), h.out, false}
}

// How the log gathers.
const (
	logDelay    = 100 * time.Millisecond // of a request's record, at most
	logEnough   = 64 << 10               // is written without waiting for more
	logMost     = 8 << 20                // waits for a disk that hangs; beyond it lines are lost
	logPatience = 5 * time.Second        // with such a disk at the end
)

// logBuffer keeps lines for a goroutine that writes them. A writer that hangs or
// fails costs lines, which are counted and told, and never a request.
type logBuffer struct {
	w    io.Writer
	lost func(lines int) // called by the goroutine that writes

	some, now chan struct{} // there is something; it is to be written now
	closing   chan struct{}
	closed    chan struct{}
	once      sync.Once

	mu      sync.Mutex
	lines   []byte
	dropped int
}

func newLogBuffer(w io.Writer) *logBuffer {
	return &logBuffer{
		w: w, some: make(chan struct{}, 1), now: make(chan struct{}, 1),
		closing: make(chan struct{}), closed: make(chan struct{}),
	}
}

// Write takes one line. It never fails.
func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	before := len(b.lines)
	if before+len(line) > logMost {
		b.dropped++
		b.mu.Unlock()
		return len(line), nil
	}
	b.lines = append(b.lines, line...)
	after := len(b.lines)
	b.mu.Unlock()
	if before == 0 {
		poke(b.some)
	}
	if before < logEnough && after >= logEnough {
		b.hurry()
	}
	return len(line), nil
}

func (b *logBuffer) hurry() { poke(b.now) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run writes until the buffer is closed.
func (b *logBuffer) run() {
	defer close(b.closed)
	delay := time.NewTimer(logDelay)
	defer delay.Stop()
	var spare []byte
	for {
		select {
		case <-b.some:
			delay.Reset(logDelay)
			select {
			case <-delay.C:
			case <-b.now:
			case <-b.closing:
			}
		case <-b.now:
		case <-b.closing:
			b.flush(spare)
			b.flush(nil) // and what that had to say
			return
		}
		spare = b.flush(spare)
	}
}

// flush writes what there is and answers the memory that held it.
func (b *logBuffer) flush(spare []byte) []byte {
	b.mu.Lock()
	lines := b.lines
	b.lines = spare[:0]
	b.mu.Unlock()
	if len(lines) == 0 {
		return lines
	}
	_, err := b.w.Write(lines)
	b.mu.Lock()
	if err != nil {
		b.dropped += bytes.Count(lines, []byte("\n"))
	}
	dropped := b.dropped
	if err == nil {
		b.dropped = 0
	}
	b.mu.Unlock()
	if err == nil && dropped > 0 { // told once somebody listens again
		b.lost(dropped)
	}
	if cap(lines) > 4*logEnough {
		return nil // a burst is over
	}
	return lines
}

// close writes what is left, if the writer takes it in time.
func (b *logBuffer) close() {
	b.once.Do(func() { close(b.closing) })
	select {
	case <-b.closed:
	case <-time.After(logPatience):
	}
}
