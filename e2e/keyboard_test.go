package e2e

import (
	"slices"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// unseen is every control of the page that the keyboard does not reach, or that
// does not look different when it has the focus.
func (p *page) unseen() []string {
	p.t.Helper()
	return ask(p, chromedp.Evaluate[[]string](`(() => {
		const back = document.activeElement, found = [];
		const looks = e => { const s = getComputedStyle(e);
			return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow, s.borderColor, s.backgroundColor, s.textDecoration].join() };
		for (const e of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [onclick], [role=button], [contenteditable]")) {
			if (!e.checkVisibility({visibilityProperty: true}) || e.disabled) continue;
			const name = e.tagName.toLowerCase() + " " + (e.innerText || e.name || e.id || e.type).trim().slice(0, 40);
			if (e.tabIndex < 0) { found.push(name + ": the keyboard does not get there"); continue }
			document.activeElement.blur();
			const before = looks(e);
			e.focus({focusVisible: true});
			if (document.activeElement != e) { found.push(name + ": takes no focus"); continue }
			document.getAnimations().forEach(a => a instanceof CSSTransition && a.finish());
			if (looks(e) == before) found.push(name + ": looks the same with the focus");
		}
		document.activeElement.blur();
		back?.focus();
		return found;
	})()`))
}

// jumps is what has moved on the page since it came, without anybody's doing.
func (p *page) jumps() []string {
	p.t.Helper()
	return ask(p, chromedp.Evaluate[[]string](`new Promise(done => {
		const moved = [], seen = list => list.getEntries().filter(e => !e.hadRecentInput)
			.forEach(e => moved.push(e.value.toFixed(4) + " " + e.sources.map(s => s.node?.nodeName + "." + s.node?.className).join(" ")));
		const o = new PerformanceObserver(seen);
		o.observe({type: "layout-shift", buffered: true});
		requestAnimationFrame(() => setTimeout(() => { seen({getEntries: () => o.takeRecords()}); o.disconnect(); done(moved) }, 50));
	})`, chromedp.EvalAwaitPromise))
}

func TestKeyboardAndJumps(t *testing.T) {
	t.Parallel()
	p := newPage(t, look{})
	p.open(planted(t, `<!doctype html><html lang="en"><title>x</title><style>.plain:focus{outline:none}</style>
<a href="/a">fine</a><a href="/b" tabindex="-1">skipped</a><button class="plain">plain</button><button disabled>off</button>
<input type="hidden"><button hidden>hidden</button>`))
	got := p.unseen()
	if want := []string{"a skipped: the keyboard does not get there", "button plain: looks the same with the focus"}; !slices.Equal(got, want) {
		t.Errorf("unseen: %q, want %q", got, want)
	}
	if got := p.jumps(); len(got) > 0 {
		t.Errorf("jumps on a page that stands still: %q", got)
	}
	p.open(planted(t, `<!doctype html><html lang="en"><title>x</title><div id="late"></div><p class="pushed">text</p>
<script>requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => { late.style.height = "200px"; document.title = "moved" }, 30)))</script>`))
	p.do(chromedp.Poll[chromedp.Void](`document.title == "moved"`))
	if len(p.jumps()) == 0 {
		t.Error("nothing has seen the page jump")
	}
}

// TestLateScriptMovesNothing: times in the reader's zone are there with the page,
// however late the script is that writes them.
func TestLateScriptMovesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.integrateToggl()
		importToggl(w, "grace-1906")
		p := visit(t, look{})
		w.signIn(p, "viewer")
		p.must(call(p.ctx, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true}))
		w.front.slowly("times.js")
		p.open(w.front.url + "/admin/connections")
		p.arrive("Connections")
		p.waitFor("time[title]")
		for _, j := range p.jumps() {
			t.Errorf("jumps by %s", j)
		}
	})
}
