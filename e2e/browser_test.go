package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is the one browser process of a run. Tests get pages of it in
// profiles of their own.
type chromium struct {
	ctx context.Context //nolint:containedctx // chromedp keeps its handles in contexts
}

func (s *shared) startChromium() (*chromium, error) {
	path, err := findProgram("Chromium", os.Getenv("CHROMIUM"),
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
	if err != nil {
		return nil, err
	}
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path),
		chromedp.DisableGPU,
		chromedp.NoSandbox, // it only sees pages of this machine, and root has no sandbox
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		// Nothing but this machine exists. A page that asks for anything else
		// gets no answer, here and everywhere.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
	)
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	s.onClose(func() error {
		cancel()
		cancelAllocator()
		return nil
	})
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	return &chromium{ctx: ctx}, nil
}

// look is what a page looks like and whether its scripts run. The zero look is
// a light desktop with JavaScript.
type look struct {
	// Width and Height of the viewport in CSS pixels; 0 is 1280 by 800.
	Width, Height int64
	// Dark prefers the dark colour scheme.
	Dark bool
	// NoScript switches JavaScript off, as a person would.
	NoScript bool
}

// page is one tab. Cookies and storage are shared with nobody but the tabs
// that its tab method opens.
type page struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // chromedp keeps its handles in contexts
	look look

	mu       sync.Mutex
	requests []string
	problems []string
	shots    int
}

// newPage opens a tab in a new profile. It is closed when the test ends; each
// step on it may take half a minute.
func newPage(t *testing.T, l look) *page {
	t.Helper()
	browser, err := run.chromium()
	if err != nil {
		t.Fatalf("starting the browser: %v", err)
	}
	return openPage(t, browser.ctx, l, chromedp.WithNewBrowserContext())
}

// tab opens another tab in the profile of p.
func (p *page) tab() *page {
	p.t.Helper()
	return openPage(p.t, p.ctx, p.look)
}

func openPage(t *testing.T, parent context.Context, l look, opts ...chromedp.ContextOption) *page {
	t.Helper()
	p := &page{t: t, look: l}
	ctx, cancel := chromedp.NewContext(parent, append(opts, chromedp.WithListener(p.listen))...)
	t.Cleanup(cancel)
	p.ctx = ctx
	if l.Width == 0 {
		l.Width = 1280
	}
	if l.Height == 0 {
		l.Height = 800
	}
	scheme := "light"
	if l.Dark {
		scheme = "dark"
	}
	// The first use of a context must not have a deadline; it would end the tab.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(l.Width, l.Height)); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	p.must(call(ctx, network.Enable, network.EnableParams{}))
	p.must(call(ctx, log.Enable, cdp.Empty{}))
	p.must(call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}))
	p.must(call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: l.NoScript}))
	return p
}

// listen notes what the page asks for and what the browser complains about.
// It runs on chromedp's reading goroutine and so only notes.
func (p *page) listen(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, ev.Request.URL)
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError {
			p.problems = append(p.problems, fmt.Sprintf("%s: %s (%s)", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL))
		}
	case *runtime.EventExceptionThrown:
		p.problems = append(p.problems, "exception: "+ev.ExceptionDetails.Text)
	}
}

// must ends the test, with a picture of the page, when a step failed.
func (p *page) must(err error) {
	p.t.Helper()
	if err == nil {
		return
	}
	where := "?"
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	if url, err := chromedp.Run(ctx, chromedp.Location()); err == nil {
		where = url
	}
	if png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		_ = os.WriteFile(artifact(p.t, "failed.png"), png, 0o600)
	}
	// Not by a selector: chromedp holds a lock, without a deadline, while a
	// document is on its way.
	html, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.documentElement.outerHTML`))
	p.t.Fatalf("on %s: %v\n%s", where, err, html)
}

// do takes steps one after the other. A step that waits for something which
// does not come fails after half a minute.
func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	p.must(chromedp.Do(ctx, steps...))
}

// ask is do for a step that answers something.
func ask[T any](p *page, step chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, step)
	p.must(err)
	return v
}

// open goes to a URL and waits until the page has loaded.
func (p *page) open(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url))
}

// follow clicks and waits until the page that comes of it has loaded.
func (p *page) follow(selector string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	_, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(selector)))
	p.must(err)
}

// fill types text into a field that is empty or has text in it.
func (p *page) fill(selector, text string) {
	p.t.Helper()
	p.do(chromedp.Clear(chromedp.CSS(selector)), chromedp.SendKeys(chromedp.CSS(selector), text))
}

// waitFor waits until the element is on the page and can be seen.
func (p *page) waitFor(selector string) {
	p.t.Helper()
	p.do(chromedp.WaitVisible(chromedp.CSS(selector)))
}

// url is where the page is, the fragment included.
func (p *page) url() string {
	p.t.Helper()
	return ask(p, chromedp.Location())
}

// text is what a person can read in the element, or on the page for "body".
func (p *page) text(selector string) string {
	p.t.Helper()
	return ask(p, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%q).innerText", selector)))
}

// requested is every URL that the page has asked for until now.
func (p *page) requested() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// complaints is what the browser logged as errors: violations of the content
// security policy, exceptions, resources that did not load.
func (p *page) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.problems)
}

// screenshot leaves a picture of the whole page among the artifacts.
func (p *page) screenshot(name string) {
	p.t.Helper()
	png := ask(p, chromedp.FullScreenshot(100))
	p.shots++
	p.keep(fmt.Sprintf("%02d-%s.png", p.shots, name), png)
}

// keep writes a file among the artifacts.
func (p *page) keep(name string, content []byte) {
	p.t.Helper()
	if err := os.WriteFile(artifact(p.t, name), content, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// call runs one protocol command whose answer does not matter.
func call[P, R any](ctx context.Context, cmd cdp.Command[P, R], params P) error {
	_, err := chromedp.Call(ctx, cmd, params)
	return err
}

// planted serves one page and everything that it asks for.
func planted(t *testing.T, html string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path != "/" {
			_ = json.NewEncoder(w).Encode(r.URL.Path)
			return
		}
		_, _ = w.Write([]byte(html))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestBrowser(t *testing.T) {
	t.Parallel()
	const html = `<!doctype html><html lang="en"><title>Planted</title>
<style>:root{color-scheme:light dark} @media (prefers-color-scheme:dark){h1::after{content:" in the dark"}}
@media (max-width:400px){h1::before{content:"Small "}}</style>
<h1>Hello</h1><p id="js">without</p><script>document.getElementById("js").textContent="with"</script>
<form action="/next"><label>Name <input id="name" value="old"></label><button>Go</button></form>`

	t.Run("a form is filled and followed", func(t *testing.T) {
		t.Parallel()
		p := newPage(t, look{})
		p.open(planted(t, strings.Replace(html, `id="name"`, `id="name" name="name"`, 1)))
		if got := p.text("#js"); got != "with" {
			t.Errorf("scripts: %q", got)
		}
		p.fill("#name", "Anna")
		p.follow("button")
		if got := p.url(); !strings.HasSuffix(got, "/next?name=Anna") {
			t.Errorf("landed on %s", got)
		}
		// The browser asks for an icon too, whenever it likes.
		if got := p.requested(); !slices.ContainsFunc(got, func(url string) bool { return strings.HasSuffix(url, "name=Anna") }) {
			t.Errorf("requests: %q", got)
		}
	})
	t.Run("scripts can be switched off", func(t *testing.T) {
		t.Parallel()
		p := newPage(t, look{NoScript: true})
		p.open(planted(t, html))
		if got := p.text("#js"); got != "without" {
			t.Errorf("scripts: %q", got)
		}
		p.fill("#name", "Anna")
		p.waitFor("h1")
		p.follow("button")
		if got := p.url(); !strings.Contains(got, "/next") {
			t.Errorf("landed on %s", got)
		}
	})
	t.Run("dark and small", func(t *testing.T) {
		t.Parallel()
		p := newPage(t, look{Width: 360, Height: 640, Dark: true})
		p.open(planted(t, html))
		got := ask(p, chromedp.Evaluate[string](
			`["::before","::after"].map(e => getComputedStyle(document.querySelector("h1"), e).content).join()`))
		if got != `"Small "," in the dark"` {
			t.Errorf("generated content: %s", got)
		}
		p.screenshot("planted")
		if info, err := os.Stat(artifact(t, "01-planted.png")); err != nil || info.Size() == 0 {
			t.Errorf("screenshot: %v", err)
		}
	})
	t.Run("profiles are apart, tabs are not", func(t *testing.T) {
		t.Parallel()
		site := planted(t, html)
		a, b := newPage(t, look{}), newPage(t, look{})
		a.open(site)
		b.open(site)
		ask(a, chromedp.Evaluate[string](`document.cookie = "who=a"`))
		tab := a.tab()
		tab.open(site)
		if got := ask(tab, chromedp.Evaluate[string](`document.cookie`)); got != "who=a" {
			t.Errorf("the tab's cookies: %q", got)
		}
		if got := ask(b, chromedp.Evaluate[string](`document.cookie`)); got != "" {
			t.Errorf("the other profile's cookies: %q", got)
		}
	})
	t.Run("complaints are heard, the world is not there", func(t *testing.T) {
		t.Parallel()
		p := newPage(t, look{})
		p.open(planted(t, `<!doctype html><html lang="en"><title>x</title>
<meta http-equiv="Content-Security-Policy" content="script-src 'none'">
<p>x</p><img alt="" src="http://elsewhere.example/x.png"><script>alert(1)</script>`))
		all := strings.Join(p.complaints(), "\n")
		for _, want := range []string{"Content Security Policy", "ERR_NAME_NOT_RESOLVED"} {
			if !strings.Contains(all, want) {
				t.Errorf("no complaint about %s in %q", want, all)
			}
		}
	})
}
