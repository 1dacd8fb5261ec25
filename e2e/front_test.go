package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// front is what browsers and backends talk to: a reverse proxy over all brokers
// of a world, each request to the next one, as in production. It keeps all that
// it passes on.
type front struct {
	// url is the public URL. Its host is localhost, for which see [broker].
	url string

	transport *http.Transport

	mu      sync.Mutex
	brokers []*url.URL
	next    int
	seen    []exchange
	linger  bool
	slow    string
}

// exchange is one request and its answer, as somebody outside saw them.
type exchange struct {
	method string
	path   string
	query  string
	status int
	header http.Header
	body   []byte
}

func startFront(t *testing.T) *front {
	t.Helper()
	f := &front{transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			f.dawdle(r.In)
			r.SetURL(f.pick())
			r.Out.Host = r.In.Host
			r.Out.Header.Del("Accept-Encoding") // what is kept is kept as it reads
		},
		Transport:      f.transport,
		ModifyResponse: f.keep,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway) // a broker that a test has killed
		},
	}
	srv := httptest.NewServer(proxy)
	t.Cleanup(srv.Close)
	f.url = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	return f
}

func (f *front) add(b *broker) {
	u, err := url.Parse(strings.Replace(b.url, "localhost", "127.0.0.1", 1))
	if err != nil {
		panic(err) // it was made of a host and a port
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.brokers = append(f.brokers, u)
}

// drop forgets a broker, as one does that sees it die.
func (f *front) drop(b *broker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.brokers = slices.DeleteFunc(f.brokers, func(u *url.URL) bool { return strings.HasSuffix(b.url, ":"+u.Port()) })
}

func (f *front) pick() *url.URL {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	return f.brokers[f.next%len(f.brokers)]
}

func (f *front) keep(res *http.Response) error {
	var body []byte
	endless := res.Header.Get("Content-Type") == "text/event-stream"
	if !endless {
		var err error
		if body, err = io.ReadAll(res.Body); err != nil {
			return err
		}
		res.Body = io.NopCloser(bytes.NewReader(body))
	}
	u := res.Request.URL
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, exchange{
		method: res.Request.Method, path: u.Path, query: u.RawQuery,
		status: res.StatusCode, header: res.Header.Clone(), body: body,
	})
	if endless {
		res.Body = &overheard{ReadCloser: res.Body, front: f, at: len(f.seen) - 1}
	}
	if f.linger {
		res.Header.Del("Refresh")
	}
	return nil
}

// overheard is the body of a stream, which is kept as it passes.
type overheard struct {
	io.ReadCloser

	front *front
	at    int
}

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	o.front.mu.Lock()
	defer o.front.mu.Unlock()
	o.front.seen[o.at].body = append(o.front.seen[o.at].body, p[:n]...)
	return n, err
}

// stay has pages that go on by themselves stay where they are, as in a browser
// that does not know how: then there is a link to follow. While a page is on
// its way to the next one, nobody can look at it.
func (f *front) stay(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.linger = on
}

// slowly has files of that name come late, as on a bad line.
func (f *front) slowly(file string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slow = file
}

func (f *front) dawdle(r *http.Request) {
	f.mu.Lock()
	late := f.slow != "" && path.Base(r.URL.Path) == f.slow
	f.mu.Unlock()
	if late {
		until(r.Context(), time.Now().Add(500*time.Millisecond))
	}
}

func (f *front) exchanges() []exchange {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]exchange(nil), f.seen...)
}

// secrets are what only the browser was told on the way: the cookies, the
// results for hosts, and state and nonce of each trip.
func (f *front) secrets() secrets {
	found := secrets{}
	for _, x := range f.exchanges() {
		for _, c := range (&http.Response{Header: x.header}).Cookies() {
			if len(c.Value) >= 8 {
				found["the cookie "+strings.TrimLeft(c.Name, "_")+" "+mark(c.Value)] = c.Value
			}
		}
		for _, to := range []string{x.header.Get("Location"), refreshTarget(x.header)} {
			u, err := url.Parse(to)
			if err != nil {
				continue
			}
			for _, name := range []string{"result", "state", "nonce"} {
				if v := u.Query().Get(name); v != "" {
					found["a "+name+" "+mark(v)] = v
				}
			}
		}
	}
	return found
}

// mark tells secrets of one kind apart without giving them away.
func mark(secret string) string { return "…" + secret[len(secret)-3:] }

// refreshTarget is where a page goes on to by itself, "" where it stays.
func refreshTarget(h http.Header) string {
	_, to, _ := strings.Cut(h.Get("Refresh"), "url=")
	return to
}

// meantFor says which secrets an answer carries because that is its purpose: a
// pattern for names of them, nil for none.
func (x *exchange) meantFor() *regexp.Regexp {
	switch {
	case strings.HasSuffix(x.path, "/headers"), strings.HasSuffix(x.path, "/credential"):
		return regexp.MustCompile(`.`)
	case x.method == http.MethodPost && x.path == "/v1/connect-sessions":
		return regexp.MustCompile(`^a connect token `)
	case x.method == http.MethodPost && x.path == "/v1/api-keys":
		return regexp.MustCompile(`^an API key `)
	case refreshTarget(x.header) != "", x.path == "/admin/sign-in/provider":
		return regexp.MustCompile(`^a (state|nonce) `) // the way to the provider
	case x.status == http.StatusSeeOther && strings.HasPrefix(x.path, "/connect/"):
		return regexp.MustCompile(`^a result `) // the way back to the host
	}
	return nil
}

// text is the answer as it was sent, but for what cookies hold.
func (x *exchange) text() []byte {
	h := x.header.Clone()
	h.Del("Set-Cookie")
	var b bytes.Buffer
	_ = h.Write(&b)
	b.WriteString("\r\n")
	b.Write(x.body)
	return b.Bytes()
}
