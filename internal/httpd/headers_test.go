package httpd_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
)

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	everywhere := map[string]string{
		"Cache-Control":                "no-store",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Strict-Transport-Security":    "max-age=31536000; includeSubDomains",
		"Server":                       "",
		"Access-Control-Allow-Origin":  "",
	}
	page := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Frame-Options":            "DENY",
		"Cross-Origin-Opener-Policy": "same-origin",
	}
	api := map[string]string{"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}

	e, _ := newShell(t, httpd.Config{})
	ok := func(c echo.Context) error { return c.String(200, "ok") }
	e.GET("/v1/x", ok)
	e.GET("/connect/x", ok)
	e.GET("/panic", func(echo.Context) error { panic("x") })
	for path, more := range map[string]map[string]string{
		"/v1/x": api, "/v1/nothing": api, "/healthz": api, "/readyz": api, "/openapi.json": api,
		"/connect/x": page, "/nothing": page, "/panic": page, "/static/0/nothing.js": page,
	} {
		w := do(e, "GET", path, "")
		for _, headers := range []map[string]string{everywhere, more} {
			for name, want := range headers {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s: %s = %q, want %q", path, name, got, want)
				}
			}
		}
		if w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: no request id", path)
		}
	}
}

func TestNoHSTSOnPlainHTTP(t *testing.T) {
	t.Parallel()
	e, _ := newShell(t, httpd.Config{PublicURL: mustURL(t, "http://localhost:8080")})
	if got := do(e, "GET", "/healthz", "").Header().Get("Strict-Transport-Security"); got != "" {
		t.Errorf("HSTS on http: %q", got)
	}
}

func TestAllowEvents(t *testing.T) {
	t.Parallel()
	e, _ := newShell(t, httpd.Config{})
	e.GET("/live", func(c echo.Context) error {
		httpd.AllowEvents(c)
		return c.NoContent(http.StatusNoContent)
	})
	e.GET("/still", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	live := do(e, http.MethodGet, "/live", "").Header().Get("Content-Security-Policy")
	still := do(e, http.MethodGet, "/still", "").Header().Get("Content-Security-Policy")
	if live != still+"; connect-src 'self'" || strings.Contains(still, "connect-src") {
		t.Errorf("live %q, still %q", live, still)
	}
}

func TestAllowFormAction(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		urls []string
		want string // "" is an error
	}{
		{"none", nil, "form-action 'self'; base-uri"},
		{"a URL is cut to its origin", []string{"https://Login.Example.com/authorize?client_id=1"}, "form-action 'self' https://login.example.com; base-uri"},
		{"two, one with a port", []string{"https://a.example", "http://127.0.0.1:9999/x"}, "form-action 'self' https://a.example http://127.0.0.1:9999; base-uri"},
		{"userinfo is dropped", []string{"https://u:p@a.example/"}, "form-action 'self' https://a.example; base-uri"},
		{"policy in the host", []string{"https://a.example;script-src"}, ""},
		{"a wildcard", []string{"https://*.example.com"}, ""},
		{"a space", []string{"https://a.example%20*"}, ""},
		{"a quote", []string{"https://'unsafe-inline'"}, ""},
		{"IPv6, which a policy cannot name", []string{"https://[::1]/"}, ""},
		{"script", []string{"javascript:alert(1)"}, ""},
		{"data", []string{"data:text/html,x"}, ""},
		{"no host", []string{"https:///x"}, ""},
		{"relative", []string{"/x"}, ""},
		{"empty", []string{""}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, _ := newShell(t, httpd.Config{})
			e.GET("/x", func(c echo.Context) error {
				if err := httpd.AllowFormAction(c, tt.urls...); err != nil {
					return err
				}
				return c.String(200, "ok")
			})
			w := do(e, "GET", "/x", "")
			csp := w.Header().Get("Content-Security-Policy")
			if tt.want == "" {
				if w.Code != 500 || !strings.Contains(csp, "form-action 'self';") {
					t.Errorf("%d %q", w.Code, csp)
				}
				return
			}
			if w.Code != 200 || !strings.Contains(csp, tt.want) {
				t.Errorf("%d %q, want %q", w.Code, csp, tt.want)
			}
		})
	}
}

func TestCookie(t *testing.T) {
	t.Parallel()
	tests := []struct {
		public string
		site   http.SameSite
		want   string
	}{
		{"https://auth.example.com", http.SameSiteLaxMode, "__Host-attempt=v; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax"},
		{"https://auth.example.com", http.SameSiteStrictMode, "__Host-attempt=v; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Strict"},
		{"http://localhost:8080", http.SameSiteLaxMode, "attempt=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"},
	}
	for _, tt := range tests {
		e, _ := newShell(t, httpd.Config{})
		k := httpd.NewCookie(mustURL(t, tt.public), "attempt", tt.site, 10*time.Minute)
		e.GET("/set", func(c echo.Context) error { k.Set(c, "v"); return c.NoContent(204) })
		e.GET("/clear", func(c echo.Context) error { k.Clear(c); return c.NoContent(204) })
		e.GET("/get", func(c echo.Context) error { return c.String(200, k.Get(c)) })

		if got := do(e, "GET", "/set", "").Header().Get("Set-Cookie"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.public, got, tt.want)
		}
		cleared, err := http.ParseSetCookie(do(e, "GET", "/clear", "").Header().Get("Set-Cookie"))
		if err != nil || cleared.MaxAge != -1 || cleared.Value != "" || cleared.Name != k.Name() {
			t.Errorf("cleared = %+v, %v", cleared, err)
		}
		for header, want := range map[string]string{
			"Cookie: " + k.Name() + "=v":                            "v",
			"Cookie: other=v":                                       "",
			"Cookie: " + k.Name() + "=v; " + k.Name() + "=planted":  "",
			"Cookie: " + strings.ToUpper(k.Name()) + "=v; session=": "",
		} {
			if got := do(e, "GET", "/get", "", header).Body.String(); got != want {
				t.Errorf("%q gives %q, want %q", header, got, want)
			}
		}
	}
}

func TestSameOrigin(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method, path string
		header             []string
		status             int
	}{
		{"own form", "POST", "/connect/x", []string{"Sec-Fetch-Site: same-origin", "Origin: null"}, 204},
		{"typed by hand", "POST", "/connect/x", []string{"Sec-Fetch-Site: none"}, 204},
		{"no browser", "POST", "/connect/x", nil, 204},
		{"another site", "POST", "/connect/x", []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, 403},
		{"a sibling domain", "POST", "/connect/x", []string{"Sec-Fetch-Site: same-site", "Origin: https://www.example.com"}, 403},
		{"another site, old browser", "POST", "/connect/x", []string{"Origin: https://evil.example"}, 403},
		{"a sandboxed frame, old browser", "POST", "/connect/x", []string{"Origin: null"}, 403},
		{"own form behind a proxy that changes Host", "POST", "/connect/x", []string{"Origin: https://auth.example.com"}, 204},
		{"reading is always allowed", "GET", "/connect/x", []string{"Sec-Fetch-Site: cross-site"}, 204},
		{"an open route", "POST", "/connect/callback/toggl", []string{"Sec-Fetch-Site: cross-site", "Origin: https://login.example"}, 204},
		{"below an open route", "POST", "/connect/callback/toggl/more", []string{"Sec-Fetch-Site: cross-site", "Origin: https://login.example"}, 403},
	}
	e, log := newShell(t, httpd.Config{})
	g := e.Group("/connect", httpd.SameOrigin(mustURL(t, "https://auth.example.com"), "/connect/callback/:integration"))
	done := func(c echo.Context) error { return c.NoContent(204) }
	g.GET("/x", done)
	g.POST("/x", done)
	g.POST("/callback/:integration", done)
	g.POST("/callback/:integration/more", done)
	for _, tt := range tests {
		w := do(e, tt.method, "http://10.0.0.5"+tt.path, "", tt.header...)
		if w.Code != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, w.Code, tt.status)
		}
		if tt.status == 403 {
			contains(t, tt.name, w.Body.String(), []string{"not sent from our own page", "<h1>"}, []string{"evil"})
		}
	}
	contains(t, "log", log.String(), []string{`"outcome":"forbidden"`}, []string{"evil"})
}

func TestClientIP(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		trusted []netip.Prefix
		peer    string
		xff     string
		want    string
	}{
		{"nobody is trusted", nil, "127.0.0.1:9", "203.0.113.9", "127.0.0.1"},
		{"a trusted proxy", []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8")}, "10.0.0.1:9", "198.51.100.1, 203.0.113.9", "203.0.113.9"},
		{"two trusted proxies", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "10.0.0.1:9", "203.0.113.9, 10.0.0.2", "203.0.113.9"},
		{"somebody else", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "192.168.0.1:9", "203.0.113.9", "192.168.0.1"},
		{"loopback is not trusted unasked", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "127.0.0.1:9", "203.0.113.9", "127.0.0.1"},
		{"IPv6", []netip.Prefix{netip.MustParsePrefix("fd00::/8")}, "[fd00::1]:9", "2001:db8::7", "2001:db8::7"},
	}
	for _, tt := range tests {
		e, log := newShell(t, httpd.Config{TrustedProxies: tt.trusted})
		var got string
		e.GET("/x", func(c echo.Context) error { got = c.RealIP(); return c.NoContent(204) })
		r := newRequest("GET", "/x", "X-Forwarded-For: "+tt.xff, "X-Real-Ip: 192.0.2.77")
		r.RemoteAddr = tt.peer
		serve(e, r)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		contains(t, tt.name, log.String(), []string{`"remote_ip":"` + tt.want + `"`}, nil)
	}
}
