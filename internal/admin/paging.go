package admin

import (
	"maps"
	"net/url"
	"slices"
	"strconv"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

const (
	pageSize = 50
	maxParam = 256 // bytes
)

// pageOf reads the cursor and asks for one item more than is shown: it tells
// whether there is a next page.
func pageOf(q *httpd.Params) vault.Page {
	return vault.Page{Cursor: q.String("cursor", maxParam), Limit: pageSize + 1}
}

// pager leads through a list, newest first. admin/layout.html
type pager struct {
	Newest, Older string // "" where there is none
	Summary       string
	// Start and On are what the two ways are called; "Newest" and "Older" where
	// they are empty.
	Start, On string
}

// inOrder finds the words for a list that does not go from the newest on.
func (p *pager) inOrder(o vault.Order, n int) {
	var order string
	switch o {
	case vault.EndsFirst:
		order = "what runs out first comes first"
	case vault.ReadFirst:
		order = "what was not read for longest comes first"
	case vault.ReadLast:
		order = "what was read on the latest day comes first"
	default:
		return
	}
	p.Start, p.On = "Start", "More"
	p.Summary = counted(n, "connection", "connections") + ", " + order
}

// paged is what of a list is shown, and the way to the rest. query is the list's
// without a cursor; noun is what is listed, one and many.
func paged[T any](found []T, id func(*T) string, page vault.Page, path string, query url.Values, one, many string) ([]T, pager) {
	var p pager
	if page.Cursor != "" {
		p.Newest = withQuery(path, query)
	}
	if len(found) > pageSize {
		found = found[:pageSize]
		older := url.Values{"cursor": {id(&found[pageSize-1])}}
		maps.Copy(older, query)
		p.Older = withQuery(path, older)
	}
	p.Summary = counted(len(found), one, many)
	switch {
	case p.Older != "" && p.Newest == "":
		p.Summary = "The newest " + p.Summary
	case p.Older != "":
		p.Summary += ", newest first"
	case p.Newest != "":
		p.Summary = "The oldest " + p.Summary
	}
	return found, p
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// setSome sets a parameter that is not empty.
func setSome(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// parameter is one of a query, for forms that take it along.
type parameter struct{ Name, Value string }

func parameters(q url.Values) []parameter {
	var all []parameter
	for _, name := range slices.Sorted(maps.Keys(q)) {
		all = append(all, parameter{name, q.Get(name)})
	}
	return all
}
