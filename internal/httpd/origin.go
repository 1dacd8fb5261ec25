package httpd

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
)

// SameOrigin refuses unsafe requests that another site made a browser send
// (CSRF), by Sec-Fetch-Site and else by Origin; see
// [http.CrossOriginProtection]. No token in the form is needed.
//
// open lists the routes that other sites do post to, as they are registered:
// a provider's form_post callback. What they take they must check themselves.
//
// Under Referrer-Policy: no-referrer a browser sends "Origin: null" with our
// own forms, so Sec-Fetch-Site is what lets them pass; every browser since
// early 2023 sends it.
func SameOrigin(publicURL *url.URL, open ...string) echo.MiddlewareFunc {
	var check http.CrossOriginProtection
	// A proxy may rewrite Host; browsers still see the public origin.
	if err := check.AddTrustedOrigin(publicURL.Scheme + "://" + publicURL.Host); err != nil {
		panic("httpd: public URL is not an origin: " + err.Error())
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := check.Check(c.Request()); err != nil && !slices.Contains(open, c.Path()) {
				return fault.Wrap(err, fault.Forbidden, "This form was not sent from our own page, so nothing was done.")
			}
			return next(c)
		}
	}
}
