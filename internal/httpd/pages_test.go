package httpd_test

import (
	"compress/gzip"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/web"
)

// render is the HTML of content, inside the real base.html.
func render(t *testing.T, content string, data any) string {
	t.Helper()
	e, _ := newShell(t, httpd.Config{AppName: "Acme & Co", Templates: withPages(t, map[string]string{
		"x/page.html": `{{define "title"}}Page{{end}}{{define "content"}}` + content + `{{end}}`,
	})})
	e.GET("/page", func(c echo.Context) error { return httpd.Render(c, 201, "x/page", data) })
	w := do(e, "GET", "/page", "")
	if w.Code != 201 || w.Header().Get("Content-Type") != "text/html; charset=UTF-8" {
		t.Fatalf("%d %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	return w.Body.String()
}

func TestRender(t *testing.T) {
	t.Parallel()
	html := render(t, `<h1>{{.Page.Name}}</h1>{{.Name}} {{dateTime .Page.At}} {{date .Page.At}} {{dateTime .Page.Never}} {{template "badge" .Page.Status}}`,
		struct {
			Name, Status string
			At, Never    time.Time
		}{"<b>Ada</b>", "reconnect_required", time.Date(2026, 3, 1, 23, 30, 0, 0, time.FixedZone("", -3600)), time.Time{}})
	contains(t, "page", html, []string{
		`<html lang="en">`,
		"<title>Page · Acme &amp; Co</title>",
		`<meta name="color-scheme" content="light dark">`,
		`<a class="skip" href="#main">`, `<main id="main"`,
		"<h1>&lt;b&gt;Ada&lt;/b&gt;</h1>", "x/page",
		`<time datetime="2026-03-02T00:30:00Z">2 Mar 2026, 00:30 UTC</time>`,
		`<time datetime="2026-03-02T00:30:00Z">2 Mar 2026</time>`,
		`<span class="none">never</span>`,
		`<span class="badge badge-reconnect_required">Reconnect required</span>`,
	}, []string{"<b>", "ZgotmplZ"})
}

// TestPart: a block of a page by itself is the same as in the page.
func TestPart(t *testing.T) {
	t.Parallel()
	e, _ := newShell(t, httpd.Config{Templates: withPages(t, map[string]string{
		"x/page.html": `{{define "title"}}Page{{end}}{{define "content"}}<h1>Page</h1>{{template "numbers" .}}{{end}}{{define "numbers"}}<p>{{.Page}} of {{.Name}}</p>{{end}}`,
	})})
	e.GET("/page", func(c echo.Context) error { return httpd.Render(c, 200, "x/page", "<1>") })
	e.GET("/part", func(c echo.Context) error {
		part, err := httpd.Part(c, "x/page", "numbers", "<1>")
		if err != nil {
			return err
		}
		if _, err := httpd.Part(c, "x/page", "nothing", nil); err == nil {
			t.Error("there is a block that nobody defines")
		}
		return c.String(200, part)
	})
	part := do(e, "GET", "/part", "").Body.String()
	if want := "<p>&lt;1&gt; of x/page</p>"; part != want {
		t.Errorf("part %q, want %q", part, want)
	}
	contains(t, "page", do(e, "GET", "/page", "").Body.String(), []string{part}, nil)
}

func TestFieldIsTiedToItsTexts(t *testing.T) {
	t.Parallel()
	html := render(t, `{{template "field" .Page}}`, web.Field{
		Name: "token", Label: "API token", Type: "password", Help: "From your profile.", Error: "Paste it whole.",
		Autocomplete: "off", Required: true, Autofocus: true, Code: true, MaxLength: 64,
	})
	contains(t, "field", html, []string{
		`<label for="f-token">API token</label>`,
		`id="f-token" name="token" type="password" value=""`,
		`aria-describedby="f-token-error f-token-help"`, `id="f-token-error"`, `id="f-token-help"`,
		`aria-invalid="true"`, `autocomplete="off"`, `maxlength="64"`, ` required`, ` autofocus`,
		`spellcheck="false"`, `data-reveal="API token"`,
	}, []string{"(optional)", "ZgotmplZ"})

	html = render(t, `{{template "field" .Page}}`, web.Field{Name: "note", Label: "Note", Type: "textarea", Value: "</textarea><script>"})
	contains(t, "textarea", html, []string{
		`<textarea id="f-note" name="note"`, "&lt;/textarea&gt;&lt;script&gt;</textarea>", "(optional)", `spellcheck="true"`,
	}, []string{"aria-describedby", "aria-invalid", "required", "autofocus", "data-reveal"})
}

func TestParts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, content    string
		data             any
		wanted, unwanted []string
	}{
		{
			"choice as link", `{{template "choices" .Page}}`,
			[]web.Choice{{Href: "/m", Title: "Token", Text: "Paste it.", Recommended: true}},
			[]string{`<a class="choice" href="/m">`, "Recommended", "Paste it."},
			[]string{"<button"},
		},
		{
			"choice as button", `{{template "choices" .Page}}`,
			[]web.Choice{{Name: "method", Value: "token", Title: "Token"}},
			[]string{`<button class="choice" type="submit" name="method" value="token">`},
			[]string{"Recommended", `class="choice-text"`},
		},
		{
			"a choice with a script for a link", `{{template "choices" .Page}}`,
			[]web.Choice{{Href: "javascript:alert(1)", Title: "x"}},
			[]string{"#ZgotmplZ"},
			[]string{"javascript"},
		},
		{
			"problem", `{{template "notice" .Page}}`,
			web.Notice{Kind: web.Problem, Title: "No", Links: []web.Link{{Href: "#f-a", Text: "A"}}},
			[]string{`class="notice notice-error" role="alert"`, `<a href="#f-a">A</a>`, "<path"},
			nil,
		},
		{
			"info", `{{template "notice" .Page}}`,
			web.Notice{Kind: web.Info, Title: "So", Text: "And."},
			[]string{`notice-info" role="status"`, "<p>And.</p>", "<circle"},
			[]string{"<li>"},
		},
		{
			"checkbox", `{{template "checkbox" .Page}}`,
			web.Checkbox{Name: "keep", Value: "1", Label: "Keep", Help: "Why.", Error: "No.", Checked: true},
			[]string{`<label for="f-keep-1">Keep</label>`, `aria-describedby="f-keep-1-error f-keep-1-help"`, `id="f-keep-1-error"`, `id="f-keep-1-help"`, ` checked`},
			nil,
		},
		{
			"select", `{{template "select" .Page}}`,
			web.Select{Name: "s", Label: "S", Value: "b", Options: []web.Option{{Value: "a", Label: "A"}, {Value: "b", Label: "B"}}},
			[]string{`<label for="f-s">`, `<option value="a">A`, `<option value="b" selected>B`},
			nil,
		},
		{
			"guide", `{{template "guide" .Page}}`,
			web.Guide{Title: "How", Steps: []web.Step{{Text: "Open", Link: web.Link{Href: "https://toggl.example/profile", Text: "your profile"}}, {Text: "Copy."}}, Note: "Later."},
			[]string{`<h2 id="guide-title">How</h2>`, `href="https://toggl.example/profile" target="_blank" rel="noopener noreferrer"`, "opens in a new tab", "Later."},
			nil,
		},
		{
			"copy", `{{template "copy" .Page}}`,
			web.Copy{Name: "uri", Label: "Redirect URI", Value: "https://a.example/?a&b"},
			[]string{`<code id="copy-uri">https://a.example/?a&amp;b</code>`, `id="copy-uri-label"`},
			nil,
		},
		{
			"crumbs", `{{template "crumbs" .Page}}`,
			[]web.Link{{Href: "/admin", Text: "Start"}, {Text: "Here"}},
			[]string{`<a href="/admin">Start</a>`, `<span aria-current="page">Here</span>`},
			nil,
		},
		{
			"last page", `{{template "pagination" .Page}}`,
			web.Pagination{First: "/a", Summary: "3 of them"},
			[]string{`href="/a"`, "3 of them"},
			[]string{"Next page"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			contains(t, tt.name, render(t, tt.content, tt.data), tt.wanted, tt.unwanted)
		})
	}
}

func TestLayoutBesideThePage(t *testing.T) {
	t.Parallel()
	e, _ := newShell(t, httpd.Config{Templates: withPages(t, map[string]string{
		"x/layout.html": `{{define "nav"}}<nav>of x, at {{.Name}}</nav>{{end}}{{define "width"}}wide{{end}}`,
		"x/a.html":      `{{define "title"}}A{{end}}{{define "content"}}<h1>A</h1>{{end}}`,
		"x/b.html":      `{{define "title"}}B{{end}}{{define "content"}}<h1>B</h1>{{end}}{{define "width"}}split{{end}}`,
		"y/c.html":      `{{define "title"}}C{{end}}{{define "content"}}<h1>C</h1>{{end}}`,
	})})
	e.GET("/:dir/:page", func(c echo.Context) error {
		return httpd.Render(c, 200, c.Param("dir")+"/"+c.Param("page"), nil)
	})
	contains(t, "a", do(e, "GET", "/x/a", "").Body.String(), []string{"of x, at x/a", `class="page wide"`, "<h1>A</h1>"}, nil)
	contains(t, "b", do(e, "GET", "/x/b", "").Body.String(), []string{"of x, at x/b", `class="page split"`}, nil)
	contains(t, "c", do(e, "GET", "/y/c", "").Body.String(), []string{`class="page narrow"`}, []string{"of x"})
	if w := do(e, "GET", "/x/layout", ""); w.Code != 500 {
		t.Errorf("a layout is a page of its own: %d", w.Code)
	}
}

func TestTemplateThatFailsHalfWayIsAClean500(t *testing.T) {
	t.Parallel()
	e, log := newShell(t, httpd.Config{Templates: withPages(t, map[string]string{
		"x/page.html": `{{define "title"}}Page{{end}}{{define "content"}}half a page {{.Page.NoSuchField}}{{end}}`,
	})})
	e.GET("/page", func(c echo.Context) error { return httpd.Render(c, 200, "x/page", struct{}{}) })
	w := do(e, "GET", "/page", "")
	if w.Code != 500 {
		t.Errorf("status = %d", w.Code)
	}
	contains(t, "page", w.Body.String(), []string{"Something went wrong"}, []string{"half a page", "NoSuchField"})
	contains(t, "log", log.String(), []string{"rendering x/page", "NoSuchField"}, nil)
}

func TestBrokenTemplatesAreFoundAtStart(t *testing.T) {
	t.Parallel()
	for name, src := range map[string]string{
		"no syntax":        `{{define "title"}}{{end`,
		"no title":         `{{define "content"}}x{{end}}`,
		"no content":       `{{define "title"}}x{{end}}`,
		"no such function": `{{define "title"}}{{nothing}}{{end}}{{define "content"}}{{end}}`,
		"no such partial":  `{{define "title"}}x{{end}}{{define "content"}}{{template "nothing" .}}{{end}}`,
		"no safe escaping": `{{define "title"}}x{{end}}{{define "content"}}<a href={{.}}"{{end}}`,
	} {
		_, log := newShell(t, httpd.Config{})
		cfg := httpd.Config{
			Log: slogTo(log), PublicURL: mustURL(t, "https://a.example"),
			Templates: withPages(t, map[string]string{"x/page.html": src}),
		}
		if _, err := httpd.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := httpd.New(httpd.Config{Templates: fstest.MapFS{}}); err == nil {
		t.Error("without Log and PublicURL: no error")
	}
}

func TestStatic(t *testing.T) {
	t.Parallel()
	e, log := newShell(t, httpd.Config{})
	page := do(e, "GET", "/nothing", "").Body.String()
	css := regexp.MustCompile(`/static/[0-9a-f]{16}/app\.css`).FindString(page)
	if css == "" {
		t.Fatalf("no stylesheet in %s", page)
	}
	source, err := web.Static().Open("app.css")
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(source)
	if err != nil {
		t.Fatal(err)
	}

	w := do(e, "GET", css, "")
	if w.Code != 200 || w.Body.String() != string(want) || w.Header().Get("Content-Type") != "text/css; charset=utf-8" ||
		w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || w.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("%d %v", w.Code, w.Header())
	}

	w = do(e, "GET", css, "", "Accept-Encoding: br, gzip")
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || string(b) != string(want) || w.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("gzip: %v %v", err, w.Header())
	}

	// A page of another version: served, not kept.
	old := strings.Replace(css, css[8:24], strings.Repeat("0", 16), 1)
	if w = do(e, "GET", old, ""); w.Code != 200 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %d %v", old, w.Code, w.Header())
	}
	for _, path := range []string{"/static/x/nothing.css", "/static/app.css", "/static/x/..%2ftemplates%2fbase.html", "/static/x/"} {
		if w := do(e, "GET", path, ""); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, name := range []string{"reveal.js", "busy.js", "copy.js", "fragment.js"} {
		if w := do(e, "GET", strings.Replace(css, "app.css", name, 1), ""); w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	contains(t, "log", log.String(), []string{`"level":"DEBUG","msg":"request","method":"GET","route":"/static/:hash/:file","status":200`}, nil)
}
