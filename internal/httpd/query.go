package httpd

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
)

// Params reads the query of an API request. Ask for each parameter by name,
// then for [Params.Err]: it lists everything that was wrong at once, and every
// parameter that nobody asked for, as a typo must not pass for a default.
type Params struct {
	values url.Values
	asked  []string
	fields []fault.Field
	broken bool
}

// Query starts reading c's query.
func Query(c echo.Context) *Params {
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	p := &Params{values: values, broken: err != nil}
	for name, vs := range values {
		for _, s := range append([]string{name}, vs...) {
			p.broken = p.broken || !utf8.ValidString(s) || strings.ContainsRune(s, 0)
		}
	}
	return p
}

// String is a parameter of at most limit bytes; "" where it is not there.
func (p *Params) String(name string, limit int) string {
	s, _ := p.take(name)
	if len(s) > limit {
		p.fail(name, "must not be longer than %d bytes", limit)
		return ""
	}
	return s
}

// OneOf is a parameter that is one of the given words; "" where it is not there.
func OneOf[W ~string](p *Params, name string, words ...W) W {
	s, ok := p.take(name)
	if !ok || slices.Contains(words, W(s)) {
		return W(s)
	}
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	p.fail(name, "must be one of %s", strings.Join(texts, ", "))
	return ""
}

// Int is a whole number from lo to hi; def where it is not there.
func (p *Params) Int(name string, def, lo, hi int) int {
	s, ok := p.take(name)
	if !ok {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < lo || n > hi {
		p.fail(name, "must be a whole number from %d to %d", lo, hi)
		return def
	}
	return n
}

// Bool is "true" or "false"; false where it is not there.
func (p *Params) Bool(name string) bool {
	s, ok := p.take(name)
	if ok && s != "true" && s != "false" {
		p.fail(name, "must be true or false")
	}
	return s == "true"
}

// Time is a moment as RFC 3339 has it, or a day, which is its first moment in UTC;
// zero where it is not there.
func (p *Params) Time(name string) time.Time {
	s, ok := p.take(name)
	if !ok || s == "" {
		return time.Time{}
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil && t.Year() > 1970 && t.Year() < 10_000 {
			return t.UTC()
		}
	}
	p.fail(name, "must be a time such as 2026-03-04T12:00:00Z, or a day")
	return time.Time{}
}

// Prefixed collects the parameters whose names start with prefix, by the rest
// of the name: "tag.team=blue" with prefix "tag." is team → blue. Values are
// at most limit bytes. It is nil where there are none.
func (p *Params) Prefixed(prefix string, limit int) map[string]string {
	var m map[string]string
	for name := range p.values {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || rest == "" {
			continue
		}
		if m == nil {
			m = make(map[string]string)
		}
		m[rest] = p.String(name, limit)
	}
	return m
}

// Err is nil where every parameter was asked for and could be read, else one
// fault that lists them all.
func (p *Params) Err() error {
	if p.broken {
		return fault.New(fault.Malformed, "The query could not be read.")
	}
	fields := p.fields
	for name := range p.values {
		if !slices.Contains(p.asked, name) {
			if len(name) > 64 || !printable(name) {
				name = "?"
			}
			fields = append(fields, fault.Field{Pointer: name, Detail: "is not a parameter of this request"})
		}
	}
	if len(fields) == 0 {
		return nil
	}
	slices.SortStableFunc(fields, func(a, b fault.Field) int { return strings.Compare(a.Pointer, b.Pointer) })
	return &fault.Error{Kind: fault.Malformed, Message: "The query is not valid.", Fields: fields}
}

func (p *Params) take(name string) (string, bool) {
	p.asked = append(p.asked, name)
	vs := p.values[name]
	if len(vs) > 1 {
		p.fail(name, "is there %d times", len(vs))
		return "", false
	}
	if len(vs) == 0 {
		return "", false
	}
	return vs[0], true
}

func (p *Params) fail(name, format string, args ...any) {
	p.fields = append(p.fields, fault.Field{Pointer: name, Detail: fmt.Sprintf(format, args...)})
}
