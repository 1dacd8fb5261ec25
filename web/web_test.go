package web_test

import (
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/claviger/claviger/web"
)

func read(t *testing.T, fsys fs.FS, name string) string {
	t.Helper()
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// templates is every template, by path, without its comments.
func templates(t *testing.T) map[string]string {
	t.Helper()
	comment := regexp.MustCompile(`(?s)\{\{-? ?/\*.*?\*/ ?-?\}\}`)
	all := make(map[string]string)
	err := fs.WalkDir(web.Templates(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all[name] = comment.ReplaceAllString(read(t, web.Templates(), name), "")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 4 {
		t.Fatalf("found %d templates only", len(all))
	}
	return all
}

// What the content security policy refuses would be silently missing in a
// browser, so it is refused here.
func TestTemplatesKeepToThePolicy(t *testing.T) {
	t.Parallel()
	for name, src := range templates(t) {
		for what, re := range map[string]*regexp.Regexp{
			"a style attribute":    regexp.MustCompile(`(?i)\sstyle\s*=`),
			"a style element":      regexp.MustCompile(`(?i)<style`),
			"an event attribute":   regexp.MustCompile(`(?i)\son[a-z]+\s*=`),
			"a javascript: URL":    regexp.MustCompile(`(?i)javascript:`),
			"an inline script":     regexp.MustCompile(`(?i)<script(?:\s+type="module")?\s*>`),
			"something from afar":  regexp.MustCompile(`(?i)(?:src|<link[^>]*href)\s*=\s*"(?:https?:)?//`),
			"an unlinked new tab":  regexp.MustCompile(`target="_blank"(?: rel="")?\s*>`),
			"HTML taken on trust":  regexp.MustCompile(`safeHTML|htmlSafe|template\.HTML`),
			"autofill switched on": regexp.MustCompile(`<form[^>]*autocomplete="on"`),
		} {
			if at := re.FindString(src); at != "" {
				t.Errorf("%s has %s: %q", name, what, at)
			}
		}
	}
}

// A class that the stylesheet does not know is a typo or a leftover.
func TestTemplatesUseClassesThatExist(t *testing.T) {
	t.Parallel()
	css := read(t, web.Static(), "app.css") + read(t, web.Static(), "admin.css")
	class := regexp.MustCompile(`\sclass="([^"]*)"`)
	action := regexp.MustCompile(`[\w-]*\{\{[^}]*\}\}[\w-]*`)
	for name, src := range templates(t) {
		for _, m := range class.FindAllStringSubmatch(action.ReplaceAllString(src, ""), -1) {
			for c := range strings.FieldsSeq(m[1]) {
				if !regexp.MustCompile(`\.` + regexp.QuoteMeta(c) + `\b`).MatchString(css) {
					t.Errorf("%s uses class %q, which no stylesheet has", name, c)
				}
			}
		}
	}
}

// Contrast as WCAG 2.2 counts it: text at AAA (7:1), what only has to be seen
// (borders of controls, focus) at 3:1 (1.4.11).
func TestContrast(t *testing.T) {
	t.Parallel()
	css := read(t, web.Static(), "app.css")
	light := colours(t, css[strings.Index(css, ":root {"):])
	dark := colours(t, css[strings.Index(css, "@media (prefers-color-scheme: dark)"):])

	pairs := []struct {
		front, back string
		want        float64
	}{
		{"text", "bg", 7},
		{"text", "surface", 7},
		{"text", "tint", 7},
		{"text", "accent-tint", 7},
		{"muted", "bg", 7},
		{"muted", "surface", 7},
		{"muted", "tint", 7},
		{"muted", "accent-tint", 7},
		{"accent", "bg", 7},
		{"accent", "surface", 7},
		{"accent", "tint", 7},
		{"accent", "accent-tint", 7},
		{"accent-strong", "surface", 7},
		{"accent-strong", "accent-tint", 7},
		{"on-accent", "accent", 7},
		{"on-accent", "accent-strong", 7},
		{"on-danger", "danger", 7},
		{"on-danger", "danger-strong", 7},
		{"info", "info-bg", 7},
		{"success", "success-bg", 7},
		{"warning", "warning-bg", 7},
		{"error", "error-bg", 7},
		{"error", "surface", 7},
		{"error", "bg", 7},
		{"neutral", "neutral-bg", 7},
		{"control", "surface", 3},
		{"control", "bg", 3},
		{"focus", "surface", 3},
		{"focus", "bg", 3},
		{"focus", "tint", 3},
	}
	for mode, c := range map[string]map[string]float64{"light": light, "dark": dark} {
		for _, p := range pairs {
			f, okF := c[p.front]
			b, okB := c[p.back]
			if !okF || !okB {
				t.Fatalf("%s: no colour --%s or --%s", mode, p.front, p.back)
			}
			if got := (max(f, b) + 0.05) / (min(f, b) + 0.05); got < p.want {
				t.Errorf("%s: --%s on --%s has a contrast of %.2f, want %.0f", mode, p.front, p.back, got, p.want)
			}
		}
	}
}

// colours is the relative luminance of each custom property of the first block
// in css.
func colours(t *testing.T, css string) map[string]float64 {
	t.Helper()
	css = css[strings.Index(css, ":root"):]
	block := css[:strings.Index(css, "}")]
	out := make(map[string]float64)
	for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(block, -1) {
		var sum float64
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			n, err := strconv.ParseUint(m[2][2*i:2*i+2], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			v := float64(n) / 255
			if v <= 0.04045 {
				v /= 12.92
			} else {
				v = math.Pow((v+0.055)/1.055, 2.4)
			}
			sum += weight * v
		}
		out[m[1]] = sum
	}
	return out
}

func TestFocusFirstError(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		errors []string
		want   int
	}{
		{"no error: the first field", []string{"", ""}, 0},
		{"the first of two errors", []string{"", "wrong", "wrong"}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fields := make([]web.Field, len(tt.errors))
			for i, e := range tt.errors {
				fields[i] = web.Field{Name: fmt.Sprint(i), Error: e, Autofocus: true}
			}
			web.FocusFirstError(fields)
			for i, f := range fields {
				if f.Autofocus != (i == tt.want) {
					t.Errorf("field %d: autofocus is %v", i, f.Autofocus)
				}
			}
		})
	}
}

func TestFieldErrors(t *testing.T) {
	t.Parallel()
	fields := []web.Field{{Name: "email", Label: "E-mail"}, {Name: "token", Label: "API token", Error: "Paste it whole."}}
	n, ok := web.FieldErrors("Not linked yet", fields)
	if !ok || len(n.Links) != 1 || n.Links[0] != (web.Link{Href: "#f-token", Text: "API token: Paste it whole."}) || n.Role() != "alert" {
		t.Errorf("notice = %+v, ok = %v", n, ok)
	}
	if _, ok := web.FieldErrors("", fields[:1]); ok {
		t.Error("a form without errors has an error notice")
	}
}
