package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// visitor is a browser without scripts and without a screen, for trips in which
// what goes over the wire matters: it can hold a message back, change it and
// send it twice. Like browsers it says where a request comes from, and keeps
// Lax cookies at home when another site makes it post something.
type visitor struct {
	t    *testing.T
	http *http.Client
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, http: &http.Client{
		Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// sheet is a page, or an answer without one.
type sheet struct {
	t      *testing.T
	url    *url.URL
	status int
	header http.Header
	body   []byte
}

// form is a form of a page with what it would send.
type form struct {
	action *url.URL
	values url.Values
}

// step makes one request, from the page from, "" for the address bar.
func (v *visitor) step(method string, to, from *url.URL, values url.Values) *sheet {
	v.t.Helper()
	var body io.Reader = http.NoBody
	if method == http.MethodPost {
		body = strings.NewReader(values.Encode())
	}
	req, err := http.NewRequestWithContext(v.t.Context(), method, to.String(), body)
	if err != nil {
		v.t.Fatal(err)
	}
	client := *v.http
	site := "none"
	if from != nil {
		site = "cross-site"
		if from.Host == to.Host {
			site = "same-origin"
		}
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if from != nil {
			req.Header.Set("Origin", from.Scheme+"://"+from.Host)
		}
		if site == "cross-site" {
			client.Jar = nil
		}
	}
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Sec-Fetch-Site", site)
	res, err := client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	read, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return &sheet{v.t, req.URL, res.StatusCode, res.Header, read}
}

// open types an address.
func (v *visitor) open(raw string) *sheet {
	v.t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.follow(v.step(http.MethodGet, u, nil, nil))
}

// next is where an answer leads by itself, nil where it does not.
func (s *sheet) next() *url.URL {
	s.t.Helper()
	to := s.header.Get("Location")
	if to == "" {
		to = refreshTarget(s.header)
	}
	if to == "" {
		return nil
	}
	u, err := s.url.Parse(to)
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// follow goes on until there is a page that stays.
func (v *visitor) follow(s *sheet) *sheet {
	v.t.Helper()
	for range 10 {
		to := s.next()
		if to == nil {
			return s
		}
		s = v.step(http.MethodGet, to, s.url, nil)
	}
	v.t.Fatal("led in a circle")
	return nil
}

// link follows a link of the page by what is written on it.
func (v *visitor) link(s *sheet, name string) *sheet {
	v.t.Helper()
	var to string
	s.walk(func(n *html.Node) {
		if n.Data == "a" && to == "" && (said(n) == name || strings.HasPrefix(said(n), name+" ")) {
			to = attribute(n, "href")
		}
	})
	if to == "" {
		v.t.Fatalf("no link %q on %s:\n%s", name, s.url.Path, s.text())
	}
	u, err := s.url.Parse(to)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.follow(v.step(http.MethodGet, u, s.url, nil))
}

// send sends the page's form, with values over what it has, and stays with
// what comes back.
func (v *visitor) send(s *sheet, values map[string]string) *sheet {
	v.t.Helper()
	f := s.form()
	for name, value := range values {
		f.values.Set(name, value)
	}
	return v.step(http.MethodPost, f.action, s.url, f.values)
}

// submit is send, followed to the next page.
func (v *visitor) submit(s *sheet, values map[string]string) *sheet {
	v.t.Helper()
	return v.follow(v.send(s, values))
}

// form is the first form of the page that can be seen.
func (s *sheet) form() form {
	s.t.Helper()
	var found *html.Node
	s.walk(func(n *html.Node) {
		if n.Data == "form" && found == nil && !hasAttribute(n, "hidden") {
			found = n
		}
	})
	if found == nil {
		s.t.Fatalf("no form on %s:\n%s", s.url.Path, s.text())
	}
	action, err := s.url.Parse(attribute(found, "action"))
	if err != nil {
		s.t.Fatal(err)
	}
	f := form{action, url.Values{}}
	for n := range found.Descendants() {
		if n.Type == html.ElementNode && n.Data == "input" && attribute(n, "name") != "" && attribute(n, "type") != "checkbox" {
			f.values.Add(attribute(n, "name"), attribute(n, "value"))
		}
	}
	return f
}

// want ends the test where the page is another one.
func (s *sheet) want(status int, heading string) *sheet {
	s.t.Helper()
	if got := s.heading(); s.status != status || got != heading {
		s.t.Fatalf("%d %q on %s, want %d %q:\n%s", s.status, got, s.url.Path, status, heading, s.text())
	}
	return s
}

func (s *sheet) heading() string {
	heading := ""
	s.walk(func(n *html.Node) {
		if n.Data == "h1" && heading == "" {
			heading = said(n)
		}
	})
	return heading
}

// text is the page without markup.
func (s *sheet) text() string {
	text := ""
	s.walk(func(n *html.Node) {
		if n.Data == "body" {
			text = said(n)
		}
	})
	return text
}

func (s *sheet) walk(each func(n *html.Node)) {
	s.t.Helper()
	doc, err := html.Parse(bytes.NewReader(s.body))
	if err != nil {
		s.t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			each(n)
		}
	}
}

// said is what can be read in an element.
func said(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "script" && d.Parent.Data != "style" {
			fmt.Fprintf(&b, "%s ", d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func hasAttribute(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}
