package httpd

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
)

// The content security policy of pages, around the origins that a form may
// lead to. Scripts and styles come from /static alone; nothing is inline.
const (
	cspBefore = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
		"form-action 'self'"
	cspAfter = "; base-uri 'none'; frame-ancestors 'none'"
)

// permissionsPolicy switches off what a page of ours never needs. Copying to
// the clipboard is the one thing that a page does need.
const permissionsPolicy = "accelerometer=(), autoplay=(), camera=(), display-capture=(), " +
	"encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), magnetometer=(), " +
	"microphone=(), midi=(), payment=(), picture-in-picture=(), publickey-credentials-get=(), " +
	"screen-wake-lock=(), usb=(), web-share=(), xr-spatial-tracking=(), clipboard-read=(), clipboard-write=(self)"

// hsts is a year, as the preload list asks for at least.
const hsts = "max-age=31536000; includeSubDomains"

// fixedHeader is a header whose value is the same in every answer. The slice is
// shared by all of them: Set replaces it, Add copies it, nobody writes into it.
type fixedHeader struct {
	name  string
	value []string
}

// fixedHeaders lists what an answer of the API and a page carry.
func fixedHeaders(https bool) (api, page []fixedHeader) {
	add := func(list *[]fixedHeader, name, value string) {
		*list = append(*list, fixedHeader{http.CanonicalHeaderKey(name), []string{value}})
	}
	for _, list := range []*[]fixedHeader{&api, &page} {
		add(list, "Cache-Control", "no-store")
		add(list, "X-Content-Type-Options", "nosniff")
		add(list, "Referrer-Policy", "no-referrer")
		add(list, "Cross-Origin-Resource-Policy", "same-origin")
		if https {
			add(list, "Strict-Transport-Security", hsts)
		}
	}
	add(&api, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	add(&page, "Content-Security-Policy", cspBefore+cspAfter)
	add(&page, "X-Frame-Options", "DENY")
	add(&page, "Cross-Origin-Opener-Policy", "same-origin")
	add(&page, "Permissions-Policy", permissionsPolicy)
	return api, page
}

// setHeaders puts on every answer what it has to carry, before any handler
// runs. A handler may tighten, and static files replace Cache-Control.
func (s *shell) setHeaders(c echo.Context, requestID string) {
	h := c.Response().Header()
	h.Set("X-Request-Id", requestID)
	fixed := s.pageHeaders
	if isAPI(c.Request().URL.Path) {
		fixed = s.apiHeaders
	}
	for _, f := range fixed {
		h[f.name] = f.value
	}
}

// AllowFormAction lets the forms of this page end at the origins of the given
// URLs. Chromium applies form-action to the redirects after a form's POST as
// well, so a page whose form leads on to a provider has to name it. It fails
// on a URL whose origin cannot be written in a policy.
func AllowFormAction(c echo.Context, rawURLs ...string) error {
	var b strings.Builder
	b.WriteString(cspBefore)
	for _, raw := range rawURLs {
		origin, err := cspOrigin(raw)
		if err != nil {
			return err
		}
		b.WriteByte(' ')
		b.WriteString(origin)
	}
	b.WriteString(cspAfter)
	c.Response().Header().Set("Content-Security-Policy", b.String())
	return nil
}

// AllowEvents lets the scripts of this page listen to events of this server.
// Without it a page has nothing to connect to.
func AllowEvents(c echo.Context) {
	c.Response().Header().Set("Content-Security-Policy", cspBefore+cspAfter+"; connect-src 'self'")
}

// cspOrigin is strict because net/url is not: it takes ';' and ' in a host,
// and with them a URL could write policy of its own.
func cspOrigin(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", fmt.Errorf("reading form action: not a URL")
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return "", fmt.Errorf("reading form action: the scheme must be https or http")
	}
	host := strings.ToLower(u.Host)
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.:_") != "" {
		return "", fmt.Errorf("reading form action: a policy cannot name this host")
	}
	return u.Scheme + "://" + host, nil
}
