package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// violation is a rule of axe-core that a page breaks.
type violation struct {
	ID      string `json:"id"`
	Impact  string `json:"impact"`
	Help    string `json:"help"`
	HelpURL string `json:"helpUrl"`
	Nodes   []struct {
		HTML           string `json:"html"`
		Target         []any  `json:"target"`
		FailureSummary string `json:"failureSummary"`
	} `json:"nodes"`
}

func (v violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s\n", v.ID, v.Impact, v.Help)
	for _, n := range v.Nodes {
		fmt.Fprintf(&b, "  at %v: %s\n    %s\n", n.Target, n.HTML,
			strings.ReplaceAll(n.FailureSummary, "\n", "\n    "))
	}
	return b.String()
}

// checkAxe fails the test for each rule of axe-core, best practices included,
// that the page as it is now breaks. Scripts must be on while it runs.
func (p *page) checkAxe() {
	p.t.Helper()
	for _, v := range p.axe() {
		p.t.Errorf("%s: %s", p.url(), v)
	}
}

// axe runs axe-core in the page. It comes in by the debugging protocol, which
// the page's content security policy does not apply to.
func (p *page) axe() []violation {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`typeof axe == "object"`))
	p.must(err)
	if !there {
		source, err := os.ReadFile("axe/node_modules/axe-core/axe.min.js")
		if err != nil {
			p.t.Fatalf("axe-core is not installed; scripts/npm-ci installs it: %v", err)
		}
		p.must(chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](string(source))))
	}
	violations, err := chromedp.Run(ctx, chromedp.Evaluate[[]violation](
		`axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations)`,
		chromedp.EvalAwaitPromise))
	p.must(err)
	return violations
}

func TestAxe(t *testing.T) {
	t.Parallel()
	const head = `<!doctype html><html lang="en"><head><title>Planted</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"></head><body><main><h1>Planted</h1>`

	t.Run("a good page passes, whatever its policy", func(t *testing.T) {
		t.Parallel()
		p := newPage(t, look{})
		p.open(planted(t, head+`<form><label>Name <input autocomplete="name"></label></form></main>`))
		p.checkAxe()
	})
	t.Run("planted violations are found", func(t *testing.T) {
		t.Parallel()
		p := newPage(t, look{})
		p.open(planted(t, head+`<form><input></form><p style="color:#bbb;background:#fff">faint</p></main>`))
		var found []string
		for _, v := range p.axe() {
			found = append(found, v.String())
		}
		all := strings.Join(found, "\n")
		for _, want := range []string{"label (", "color-contrast (", "<input>", "faint"} {
			if !strings.Contains(all, want) {
				t.Errorf("no %q in:\n%s", want, all)
			}
		}
	})
}
