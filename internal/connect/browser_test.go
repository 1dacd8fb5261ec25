package connect_test

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// browser is a browser without scripts: cookies, forms, redirects, Refresh. It
// says where its requests come from, as browsers do.
type browser struct {
	t testing.TB
	w *world
	c *http.Client
}

func (w *world) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	tr := &http.Transport{}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &browser{t: w.t, w: w, c: &http.Client{
		Jar: jar, Transport: tr, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is an answer with its body read.
type page struct {
	t testing.TB
	*http.Response
	body string
}

func (b *browser) send(r *http.Request) *page {
	b.t.Helper()
	resp, err := b.c.Do(r)
	if err != nil {
		b.t.Fatalf("%s: %v", r.Method, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if strings.HasPrefix(r.URL.String(), b.w.url) {
		// The way to the provider and back is for the browser to know.
		h := resp.Header.Clone()
		h.Del("Location")
		h.Del("Refresh")
		h.Del("Set-Cookie")
		_ = h.Write(b.w.pages)
		_, _ = b.w.pages.Write(regexp.MustCompile(`href="http[^"]*state=[^"]*"`).ReplaceAll(body, nil))
	}
	return &page{b.t, resp, string(body)}
}

func (b *browser) request(method, to string, form url.Values, site string) *http.Request {
	b.t.Helper()
	if strings.HasPrefix(to, "/") {
		to = b.w.url + to
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, to, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Site", site)
	return r
}

// get follows a link.
func (b *browser) get(to string) *page {
	b.t.Helper()
	return b.send(b.request(http.MethodGet, to, nil, "same-origin"))
}

// post sends a form of our own page.
func (b *browser) post(to string, form url.Values) *page {
	b.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	return b.send(b.request(http.MethodPost, to, form, "same-origin"))
}

// next is where an answer leads to, "" where it does not.
func (b *browser) next(resp *http.Response) string {
	if to := resp.Header.Get("Location"); to != "" {
		return to
	}
	_, to, _ := strings.Cut(resp.Header.Get("Refresh"), "url=")
	return to
}

// follow goes on until it gets a page, or is sent to another site.
func (b *browser) follow(p *page) *page {
	b.t.Helper()
	for range 10 {
		to := b.next(p.Response)
		if to == "" || !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, b.w.url) {
			return p
		}
		p = b.get(strings.TrimSuffix(to, "#"))
	}
	b.t.Fatal("redirected in a circle")
	return nil
}

// open opens a connect link, presses its button and goes to the first page.
func (b *browser) open(token vault.Secret) *page {
	b.t.Helper()
	b.get("/connect/" + token.Reveal()).want(http.StatusOK)
	p := b.post("/connect/"+token.Reveal(), nil).want(http.StatusSeeOther)
	return b.follow(p)
}

// want checks the status.
func (p *page) want(status int) *page {
	p.t.Helper()
	if p.StatusCode != status {
		p.t.Fatalf("status %d, want %d; page:\n%s", p.StatusCode, status, p.text())
	}
	return p
}

// has checks what is there to read.
func (p *page) has(texts ...string) *page {
	p.t.Helper()
	for _, s := range texts {
		if !strings.Contains(p.text(), s) {
			p.t.Errorf("the page does not say %q:\n%s", s, p.text())
		}
	}
	return p
}

// hasMarkup checks the source, with attributes in the order of the template.
func (p *page) hasMarkup(patterns ...string) *page {
	p.t.Helper()
	for _, s := range patterns {
		if !regexp.MustCompile(s).MatchString(p.body) {
			p.t.Errorf("the page has nothing like %s:\n%s", s, p.body)
		}
	}
	return p
}

func (p *page) lacks(texts ...string) *page {
	p.t.Helper()
	for _, s := range texts {
		if strings.Contains(p.body, s) {
			p.t.Errorf("the page has %q", s)
		}
	}
	return p
}

// to checks where the answer leads.
func (p *page) to(prefix string) *page {
	p.t.Helper()
	if got := p.Header.Get("Location"); !strings.HasPrefix(got, prefix) {
		p.t.Fatalf("leads to %q, want %q", got, prefix)
	}
	return p
}

// text is the page without markup.
func (p *page) text() string {
	s := regexp.MustCompile(`(?s)<(script|style|svg|head)\b.*?</(script|style|svg|head)>`).ReplaceAllString(p.body, "")
	s = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(s, " ")
	return strings.Join(strings.Fields(html.UnescapeString(s)), " ")
}

// provider is the trip to TimeLog: it signs in as the account that the sandbox
// approves, and gives the reply as the parameters that the browser got, with
// the mode they came in.
func (b *browser) provider(leaving *page) (mode string, callback string, reply url.Values) {
	b.t.Helper()
	leaving.want(http.StatusOK)
	to := b.next(leaving.Response)
	if !strings.HasPrefix(to, b.w.sand.TimeLog().URL()) {
		b.t.Fatalf("the way leads to %q", to)
	}
	p := b.send(b.request(http.MethodGet, to, nil, "cross-site"))
	if p.StatusCode == http.StatusOK {
		action := regexp.MustCompile(`<form id="reply" method="post" action="([^"]+)"`).FindStringSubmatch(p.body)
		if action == nil {
			b.t.Fatalf("no form_post page:\n%s", p.text())
		}
		reply = url.Values{}
		for _, m := range regexp.MustCompile(`name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(p.body, -1) {
			reply.Add(m[1], html.UnescapeString(m[2]))
		}
		return "form_post", html.UnescapeString(action[1]), reply
	}
	u, err := url.Parse(p.Header.Get("Location"))
	if err != nil || p.StatusCode != http.StatusFound {
		b.t.Fatalf("status %d, location: %v:\n%s", p.StatusCode, err, p.text())
	}
	mode, raw := "query", u.RawQuery // with IdentityServer's #_=_ behind an error
	if u.RawQuery == "" {
		mode, raw = "fragment", u.EscapedFragment()
	}
	if reply, err = url.ParseQuery(raw); err != nil {
		b.t.Fatal(err)
	}
	u.RawQuery, u.Fragment = "", ""
	return mode, u.String(), reply
}

// comeBack brings a reply to the callback the way it came, without following.
func (b *browser) comeBack(mode, callback string, reply url.Values) *page {
	b.t.Helper()
	switch mode {
	case "query":
		return b.send(b.request(http.MethodGet, callback+"?"+reply.Encode(), nil, "cross-site"))
	case "fragment":
		landing := b.send(b.request(http.MethodGet, callback, nil, "cross-site")).want(http.StatusOK)
		landing.has("This step needs JavaScript", "Start again").
			hasMarkup(`data-fragment="/connect/callback/int_`, `<script type="module" src="/static/[^"]*/fragment.js">`)
		return b.post(callback, reply) // what the page's script does
	}
	r := b.request(http.MethodPost, callback, reply, "cross-site")
	r.Header.Set("Origin", b.w.sand.TimeLog().URL())
	jar := b.c.Jar
	b.c.Jar = nil // Lax cookies stay at home
	defer func() { b.c.Jar = jar }()
	return b.send(r)
}

// sessionCookies are the binding cookies that the browser has.
func (b *browser) sessionCookies() []*http.Cookie {
	u, _ := url.Parse(b.w.url)
	return b.c.Jar.Cookies(u)
}

// field is the value of a hidden or visible input in a page.
func (p *page) field(name string) string {
	m := regexp.MustCompile(fmt.Sprintf(`<input id="[^"]*" name="%s" type="[^"]*" value="([^"]*)"`, regexp.QuoteMeta(name))).FindStringSubmatch(p.body)
	if m == nil {
		p.t.Fatalf("no input %s:\n%s", name, p.body)
	}
	return html.UnescapeString(m[1])
}
