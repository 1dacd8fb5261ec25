package httpd

import (
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"
)

// Cookie is one cookie of ours: HttpOnly, Path=/, host-only. On https its name
// has the __Host- prefix, so that no sibling domain can plant one (RFC 6265bis
// section 4.1.3.2); on plain http, which is loopback only, it has not, as
// browsers refuse the prefix there.
type Cookie struct {
	name     string
	secure   bool
	sameSite http.SameSite
	life     time.Duration
}

// NewCookie describes a cookie for pages at publicURL. sameSite is
// http.SameSiteLaxMode where a redirect from a provider has to bring it, else
// http.SameSiteStrictMode. life is for the browser; 0 ends with it. What it
// stands for has to expire on the server all the same.
func NewCookie(publicURL *url.URL, name string, sameSite http.SameSite, life time.Duration) Cookie {
	k := Cookie{name: name, sameSite: sameSite, life: life, secure: publicURL.Scheme == "https"}
	if k.secure {
		k.name = "__Host-" + name
	}
	return k
}

// Name is the name on the wire.
func (k Cookie) Name() string { return k.name }

// Set gives the browser a value.
func (k Cookie) Set(c echo.Context, value string) {
	c.SetCookie(k.make(value, int(k.life.Seconds())))
}

// Get is the value the browser sent. It is "" where there is none, or more
// than one: then one of them is somebody else's.
func (k Cookie) Get(c echo.Context) string {
	found := c.Request().CookiesNamed(k.name)
	if len(found) != 1 {
		return ""
	}
	return found[0].Value
}

// Clear makes the browser forget it.
func (k Cookie) Clear(c echo.Context) {
	c.SetCookie(k.make("", -1))
}

func (k Cookie) make(value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: k.name, Value: value, Path: "/", MaxAge: maxAge,
		Secure: k.secure, HttpOnly: true, SameSite: k.sameSite,
	}
}
