package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claviger/claviger/internal/httpd"
)

const record = httpd.RecordMessage

// disk is a writer that can hang and fail.
type disk struct {
	mu      sync.Mutex
	written bytes.Buffer
	full    bool
	hang    chan struct{} // nil: does not
}

func (d *disk) Write(p []byte) (int, error) {
	d.mu.Lock()
	hang := d.hang
	d.mu.Unlock()
	if hang != nil {
		<-hang
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return 0, errors.New("no space left on device")
	}
	return d.written.Write(p)
}

func (d *disk) lines() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Count(d.written.String(), "\n")
}

func (d *disk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.written.String()
}

func (d *disk) set(full bool, hang chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full, d.hang = full, hang
}

func withLog(t *testing.T, fn func(t *testing.T, d *disk, log *slog.Logger, stop func())) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		p := &process{stderr: d}
		log, stop := p.servingLogger(&config{LogFormat: "json"})
		defer stop()
		fn(t, d, log, stop)
	})
}

func TestRequestRecordsGather(t *testing.T) {
	withLog(t, func(t *testing.T, d *disk, log *slog.Logger, stop func()) {
		for range 10 {
			log.Info(record, "status", 200)
		}
		synctest.Wait()
		if n := d.lines(); n != 0 {
			t.Errorf("%d lines were written at once", n)
		}
		<-time.After(logDelay)
		synctest.Wait()
		if n := d.lines(); n != 10 {
			t.Errorf("%d lines after the delay", n)
		}
		log.Info(record, "status", 200)
		log.With("a", 1).WithGroup("b").Error(record, "status", 500)
		synctest.Wait()
		if n := d.lines(); n != 12 {
			t.Errorf("%d lines after an error, which does not wait", n)
		}
		log.Info("something else")
		synctest.Wait()
		if n := d.lines(); n != 13 {
			t.Errorf("%d lines after news, which does not wait", n)
		}
		log.Info(record, "status", 200)
		stop()
		if n := d.lines(); n != 14 {
			t.Errorf("%d lines at the end", n)
		}
	})
}

// Requests do not wait for a disk that hangs; what it misses is counted.
func TestLogWithADiskThatHangs(t *testing.T) {
	withLog(t, func(t *testing.T, d *disk, log *slog.Logger, stop func()) {
		hang := make(chan struct{})
		d.set(false, hang)
		long := strings.Repeat("x", 1<<20)
		for range 20 {
			log.LogAttrs(context.Background(), slog.LevelInfo, record, slog.String("long", long))
			synctest.Wait()
		}
		d.set(false, nil)
		close(hang)
		synctest.Wait()
		stop()
		if n := d.lines(); n >= 20 || n < 8 || !strings.Contains(d.String(), "log lines were lost") {
			t.Errorf("%d lines, told: %t", n, strings.Contains(d.String(), "log lines were lost"))
		}
	})
}

func TestLogWithAFullDisk(t *testing.T) {
	withLog(t, func(t *testing.T, d *disk, log *slog.Logger, _ func()) {
		d.set(true, nil)
		log.Error("one")
		synctest.Wait()
		log.Error("two")
		synctest.Wait()
		d.set(false, nil)
		log.Error("three")
		synctest.Wait()
		if got := d.String(); d.lines() != 2 || !strings.Contains(got, `"lines":2`) || !strings.Contains(got, "three") {
			t.Errorf("written:\n%s", got)
		}
	})
}

// A disk that never comes back does not keep the process from ending.
func TestLogEndsWithADiskThatHangs(t *testing.T) {
	withLog(t, func(t *testing.T, d *disk, log *slog.Logger, stop func()) {
		hang := make(chan struct{})
		d.set(false, hang)
		log.Error("one")
		begun := time.Now()
		stop()
		if took := time.Since(begun); took != logPatience {
			t.Errorf("took %v", took)
		}
		close(hang)
	})
}

// The line of a request is what slog would have written.
func TestLineIsThatOfSlog(t *testing.T) {
	t.Parallel()
	attrs := []slog.Attr{slog.String("method", "GET"), slog.Int("status", 200), slog.Int64("bytes", -1), slog.Float64("ms", 1.057)}
	for name, test := range map[string]struct {
		attrs []slog.Attr
		plain bool
	}{
		"as requests are":   {attrs, true},
		"none":              {nil, true},
		"many":              {append(attrs, attrs...), true},
		"numbers":           {[]slog.Attr{slog.Float64("a", 0), slog.Float64("b", 1e-6), slog.Float64("c", 123456789), slog.Float64("d", -0.5)}, true},
		"a tiny number":     {[]slog.Attr{slog.Float64("a", 1e-7)}, false},
		"a large number":    {[]slog.Attr{slog.Float64("a", 1e21)}, false},
		"quotes":            {[]slog.Attr{slog.String("a", `"`)}, false},
		"a backslash":       {[]slog.Attr{slog.String("a", `\`)}, false},
		"a line end":        {[]slog.Attr{slog.String("a", "\n")}, false},
		"more than ASCII":   {[]slog.Attr{slog.String("a", "é")}, false},
		"no UTF-8":          {[]slog.Attr{slog.String("a", "\xff")}, false},
		"a name to escape":  {[]slog.Attr{slog.String("\t", "a")}, false},
		"an error":          {[]slog.Attr{slog.Any("error", errors.New("x"))}, false},
		"a group":           {[]slog.Attr{slog.Group("g", slog.Int("a", 1))}, false},
		"last one is plain": {[]slog.Attr{slog.String("a", "\n"), slog.Int("b", 1)}, false},
	} {
		r := slog.NewRecord(time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.FixedZone("", 3600)), slog.LevelInfo, record, 0)
		r.AddAttrs(test.attrs...)
		var want bytes.Buffer
		if err := slog.NewJSONHandler(&want, nil).Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		line, ok := appendLine(nil, r)
		if ok != test.plain || ok && string(line) != want.String() {
			t.Errorf("%s: plain %t, want %t\n got %s\nwant %s", name, ok, test.plain, line, want.String())
		}
		// And by the logger, whichever way it goes.
		d := &disk{}
		log, stop := (&process{stderr: d}).servingLogger(&config{LogFormat: "json"})
		if err := log.Handler().Handle(t.Context(), r); err != nil {
			t.Error(err)
		}
		stop()
		if d.String() != want.String() {
			t.Errorf("%s: logged %s\nwant %s", name, d, want.String())
		}
	}
}
