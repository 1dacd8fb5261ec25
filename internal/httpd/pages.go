package httpd

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// Shell is what base.html is executed with. A page reads its own data from
// .Page; what every page has is filled in here, so no handler repeats it.
type Shell struct {
	// App is the product's name.
	App string
	// Lang is the language of the page (BCP 47).
	Lang string
	// Name is the page's own name, such as "admin/connections"; a layout marks
	// the current place in its navigation by it.
	Name string
	// RequestID is the reference that a person can give to whoever reads logs.
	RequestID string
	// Page is the data that the handler gave to [Render].
	Page any
}

// Render answers with a page: templates/{name}.html inside base.html, with
// data as .Page. It is executed to its end before the first byte is sent, so
// that a template that fails is a clean 500.
func Render(c echo.Context, status int, name string, data any) error {
	return c.Render(status, name, data)
}

// Part is a block that the named page defines, without the page around it. Its
// data are those of the page.
func Part(c echo.Context, name, block string, data any) (string, error) {
	var b strings.Builder
	err := c.Echo().Renderer.Render(&b, name+partMark+block, data, c)
	return b.String(), err
}

// partMark is between the names of a page and of a block of it.
const partMark = "#"

// pages is echo's renderer: one parsed set of templates for each page.
type pages struct {
	app    string
	byName map[string]*template.Template
}

func newPages(fsys fs.FS, a *assets, app string) (*pages, error) {
	base, err := template.New("base.html").Funcs(funcs(a)).Option("missingkey=error").ParseFS(fsys, "base.html")
	if err != nil {
		return nil, err
	}
	if shared, _ := fs.Glob(fsys, "partials/*.html"); len(shared) > 0 {
		if base, err = base.ParseFS(fsys, shared...); err != nil {
			return nil, err
		}
	}
	p := &pages{app: app, byName: make(map[string]*template.Template)}
	err = fs.WalkDir(fsys, ".", func(file string, d fs.DirEntry, err error) error {
		dir, name := path.Split(file)
		if err != nil || d.IsDir() || path.Ext(file) != ".html" ||
			file == "base.html" || dir == "partials/" || name == "layout.html" {
			return err
		}
		set, err := base.Clone()
		if err != nil {
			return err
		}
		sources := []string{file}
		if layout := dir + "layout.html"; exists(fsys, layout) {
			sources = []string{layout, file} // the page has the last word
		}
		if set, err = set.ParseFS(fsys, sources...); err != nil {
			return err
		}
		if err := complete(set, file); err != nil {
			return err
		}
		p.byName[strings.TrimSuffix(file, ".html")] = set
		return nil
	})
	return p, err
}

// complete finds what html/template would find on the first request only: a
// block that is not defined, a value where no escaping is right.
func complete(set *template.Template, file string) error {
	for _, block := range []string{"title", "content"} {
		if set.Lookup(block) == nil {
			return fmt.Errorf("%s does not define %q", file, block)
		}
	}
	var escaping *template.Error
	if err := set.ExecuteTemplate(io.Discard, "base.html", nil); errors.As(err, &escaping) {
		return escaping
	}
	return nil // any other error is for want of data
}

func exists(fsys fs.FS, name string) bool {
	_, err := fs.Stat(fsys, name)
	return err == nil
}

// Render implements [echo.Renderer]; echo gives it a buffer.
func (p *pages) Render(w io.Writer, name string, data any, c echo.Context) error {
	name, block, part := strings.Cut(name, partMark)
	if !part {
		block = "base.html"
	}
	t, ok := p.byName[name]
	if !ok {
		return fmt.Errorf("rendering: no page %q", name)
	}
	err := t.ExecuteTemplate(w, block, Shell{
		App: p.app, Lang: "en", Name: name,
		RequestID: RequestID(c.Request().Context()),
		Page:      data,
	})
	if err != nil {
		return fmt.Errorf("rendering %s: %w", name, err)
	}
	return nil
}

// funcs are the functions of templates; base.html lists them for authors.
func funcs(a *assets) template.FuncMap {
	return template.FuncMap{
		"asset":    a.url,
		"dateTime": dateTime,
		"date":     date,
		"status":   statusLabel,
	}
}

// dateTime is a moment to the minute in UTC, machine-readable beside it. The
// zero time is a dash that is read out as "never".
func dateTime(t time.Time) template.HTML { return timeElement(t, "2 Jan 2006, 15:04 UTC") }

// date is a moment to the day.
func date(t time.Time) template.HTML { return timeElement(t, "2 Jan 2006") }

func timeElement(t time.Time, layout string) template.HTML {
	if t.IsZero() {
		return `<span class="none">never</span>`
	}
	t = t.UTC()
	//nolint:gosec // both layouts give letters, digits and punctuation that HTML does not know
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `">` + t.Format(layout) + `</time>`)
}

// statusLabel is a connection's status in words: "Reconnect required".
func statusLabel(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ReplaceAll(s, "_", " ")
	return strings.ToUpper(s[:1]) + s[1:]
}
