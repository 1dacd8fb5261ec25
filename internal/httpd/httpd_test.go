package httpd_test

import (
	"bytes"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/web"
)

// planted is put wherever a caller can put something. Nothing of ours may
// repeat it: not an answer, not the log.
const planted = "sk-PLANTED-9f3c"

// logBuffer is a log that a test can read while a server writes it.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newShell is a shell with cfg's gaps filled, and its log at debug level.
func newShell(t *testing.T, cfg httpd.Config) (*echo.Echo, *logBuffer) {
	t.Helper()
	log := new(logBuffer)
	cfg.Log = slogTo(log)
	if cfg.PublicURL == nil {
		cfg.PublicURL = mustURL(t, "https://auth.example.com")
	}
	e, err := httpd.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e, log
}

func slogTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// withPages is the real templates and more.
func withPages(t *testing.T, pages map[string]string) fs.FS {
	t.Helper()
	m := fstest.MapFS{}
	err := fs.WalkDir(web.Templates(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(web.Templates(), name)
		m[name] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, src := range pages {
		m[name] = &fstest.MapFile{Data: []byte(src)}
	}
	return m
}

// do sends a request; header is "Name: value" lines.
func do(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	return send(h, httptest.NewRequest(method, target, strings.NewReader(body)), header)
}

// doChunked is do with a body whose length nobody announces.
func doChunked(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	return send(h, httptest.NewRequest(method, target, io.MultiReader(strings.NewReader(body))), header)
}

func newRequest(method, target string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	addHeader(r, header)
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func send(h http.Handler, r *http.Request, header []string) *httptest.ResponseRecorder {
	addHeader(r, header)
	return serve(h, r)
}

func addHeader(r *http.Request, lines []string) {
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, ": "); ok {
			r.Header.Add(name, value)
		}
	}
}

// contains holds text to what it must and must not have in it.
func contains(t *testing.T, what, text string, wanted, unwanted []string) {
	t.Helper()
	for _, s := range wanted {
		if !strings.Contains(text, s) {
			t.Errorf("%s does not have %q:\n%s", what, s, text)
		}
	}
	for _, s := range unwanted {
		if strings.Contains(text, s) {
			t.Errorf("%s has %q:\n%s", what, s, text)
		}
	}
}
