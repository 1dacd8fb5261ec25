package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// What a person does with a page: they read headings, fill in fields by their
// labels and press what is written on buttons. None of it needs scripts in the
// page, and none of it knows its markup.

// visit opens a page for a story. When the test ends, the page must have asked
// nobody outside of this machine for anything, and nothing in it have failed.
func visit(t *testing.T, l look) *page {
	t.Helper()
	p := newPage(t, l)
	t.Cleanup(func() {
		for _, to := range p.requested() {
			u, err := url.Parse(to)
			if err != nil || u.Scheme != "data" && !slices.Contains([]string{"localhost", "127.0.0.1"}, u.Hostname()) {
				t.Errorf("a page asked for %s", u.Host)
			}
		}
		for _, c := range p.complaints() {
			// A refusal is an answer, not a failure.
			if !strings.Contains(c, "the server responded with a status of 4") {
				t.Errorf("the browser complains: %s", c)
			}
		}
	})
	return p
}

// arrive waits until the page with this heading is there, through however many
// pages that go on by themselves.
func (p *page) arrive(heading string) {
	p.t.Helper()
	got := ""
	p.until("the page "+heading, func(ctx context.Context) bool {
		var err error
		got, err = chromedp.Run(ctx, chromedp.Evaluate[string](
			`document.readyState == "complete" ? document.querySelector("h1")?.innerText.trim() ?? "" : ""`))
		return err == nil && got == heading
	})
}

// until asks again and again; while a page gives way to the next one there may
// be nobody to ask.
func (p *page) until(what string, is func(ctx context.Context) bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for !is(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.must(fmt.Errorf("waiting for %s: %w", what, ctx.Err()))
		}
	}
}

// press presses a button or follows a link by what is written on it, and waits
// for the page that comes of it.
func (p *page) press(name string) {
	p.t.Helper()
	p.leaveBy(func() { p.touch(name) })
}

// leaveBy does something and waits for the next page.
func (p *page) leaveBy(do func()) {
	p.t.Helper()
	ask(p, chromedp.Evaluate[bool](`window.before = true`))
	do()
	p.until("the next page", func(ctx context.Context) bool {
		next, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`!window.before && document.readyState == "complete"`))
		return err == nil && next
	})
}

// touch is press without the wait.
func (p *page) touch(name string) {
	p.t.Helper()
	p.click(name, `[...document.querySelectorAll("button, a[href], summary")]
		.filter(e => e.checkVisibility())
		.find(e => said(e) == wanted || said(e.querySelector(".choice-title") ?? e) == wanted)`)
}

// click clicks the middle of an element, wherever that is on the page.
func (p *page) click(name, expression string) {
	p.t.Helper()
	at := find[[]float64](p, name, expression, `(e.scrollIntoView({block: "center"}),
		(r => [r.x + r.width / 2, r.y + r.height / 2])(e.getClientRects()[0]))`)
	p.do(chromedp.MouseClickXY(at[0], at[1]))
}

// labelled finds the field with a label.
const labelled = `[...document.querySelectorAll("label")].find(l => said(l).replace(/ \(optional\)$/, "") == wanted)?.control`

// enter puts text into the field with this label, over what is there.
func (p *page) enter(label, text string) {
	p.t.Helper()
	find[bool](p, label, labelled, `(e.focus(), e.select(), document.activeElement == e)`)
	p.must(call(p.ctx, input.InsertText, input.InsertTextParams{Text: text}))
	if got := p.value(label); got != text {
		p.must(fmt.Errorf("the field %q has %d characters after %d were typed", label, len(got), len(text)))
	}
}

// value is what stands in the field with this label.
func (p *page) value(label string) string {
	p.t.Helper()
	return find[string](p, label, labelled, "e.value")
}

// find evaluates something for the element e that an expression finds by what
// is written there. It goes through no selector of chromedp's: those know the
// elements of a page some time after it is there.
func find[T any](p *page, wanted, expression, result string) T {
	p.t.Helper()
	quoted, err := json.Marshal(wanted)
	if err != nil {
		p.t.Fatal(err)
	}
	found := ask(p, chromedp.Evaluate[[]T](fmt.Sprintf(`(() => {
		const wanted = %s, said = e => e.innerText.trim().replace(/\s+/g, " ");
		const e = %s;
		return e ? [%s] : [];
	})()`, quoted, expression, result)))
	if len(found) == 0 {
		p.must(fmt.Errorf("there is nothing called %q", wanted))
	}
	return found[0]
}

// reads fails the test for each text that a person cannot read on the page.
func (p *page) reads(texts ...string) {
	p.t.Helper()
	all := strings.Join(strings.Fields(p.text("body")), " ")
	for _, s := range texts {
		if !strings.Contains(all, s) {
			p.t.Errorf("%s does not say %q:\n%s", p.url(), s, all)
		}
	}
}

// looks are the ways in which every page is looked at.
func looks() map[string]look {
	return map[string]look{
		"light":       {Width: 1280, Height: 800},
		"dark":        {Width: 1280, Height: 800, Dark: true},
		"small-light": {Width: 360, Height: 740},
		"small-dark":  {Width: 360, Height: 740, Dark: true},
	}
}

// inspect looks at the page as it is now, light and dark, on a desk and on a
// phone: axe-core finds nothing, nothing sticks out, nothing has jumped, the
// keyboard gets everywhere and shows where it is, and pictures are kept. A
// page that this run has inspected by this name before is looked at once, as
// it stands.
func (p *page) inspect(name string) {
	p.t.Helper()
	if p.look.NoScript {
		// axe-core is a script. What the page has of its own were not let in
		// while it loaded, and are not started by this either.
		p.scripts(true)
		defer p.scripts(false)
		name += "-without-scripts"
		// Now the browser hides what is there for want of scripts.
		ask(p, chromedp.Evaluate[bool](`document.querySelectorAll("noscript").forEach(n => n.replaceWith(...n.childNodes)), true`))
	}
	if _, before := run.inspected.LoadOrStore(name, true); before {
		p.checkAxe()
		return
	}
	for _, j := range p.jumps() {
		p.t.Errorf("%s: jumps by %s", name, j)
	}
	for at, l := range looks() {
		p.wear(l)
		for _, u := range p.unseen() {
			p.t.Errorf("%s, %s: %s", name, at, u)
		}
		for _, v := range p.axe() {
			p.t.Errorf("%s, %s: %s", name, at, v)
		}
		if wide := ask(p, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > l.Width {
			p.t.Errorf("%s, %s: %d pixels wide", name, at, wide)
		}
		png := ask(p, chromedp.FullScreenshot(100))
		p.keep(name+"-"+at+".png", png)
	}
	p.wear(p.look)
}

// wear gives the page another look.
func (p *page) wear(l look) {
	p.t.Helper()
	scheme := "light"
	if l.Dark {
		scheme = "dark"
	}
	if l.Width == 0 {
		l.Width, l.Height = 1280, 800
	}
	p.do(chromedp.EmulateViewport(l.Width, l.Height))
	p.must(call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}))
	// Colours on their way from one scheme to the other are of neither.
	ask(p, chromedp.Evaluate[bool](`document.getAnimations().forEach(a => a instanceof CSSTransition && a.finish()), true`))
}

func (p *page) scripts(on bool) {
	p.t.Helper()
	p.must(call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on}))
}

// wantCleanHistory fails the test where an address that the browser keeps holds
// a secret. The connect link itself is one: people open it.
func (p *page) wantCleanHistory(s secrets, broker string) {
	p.t.Helper()
	history, err := chromedp.Call(p.ctx, cdppage.GetNavigationHistory, cdp.Empty{})
	p.must(err)
	ours := []string{}
	for _, e := range history.Entries {
		if strings.HasPrefix(e.URL, broker) {
			ours = append(ours, e.URL)
		}
	}
	if len(ours) == 0 {
		p.t.Error("the browser has no history")
	}
	s.search(p.t).refuteLeaks(p.t, "the browser's history", []byte(strings.Join(ours, "\n")), regexp.MustCompile("^a connect token "))
}
