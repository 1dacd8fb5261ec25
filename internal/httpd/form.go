package httpd

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
)

// Form reads a form from the body, and from nowhere else: a parameter in the
// query does not count, so no secret is ever taken from a URL. Only
// application/x-www-form-urlencoded is read. Values that are no UTF-8 or hold
// a NUL are refused; a name that is there twice keeps both values.
func Form(c echo.Context) (url.Values, error) {
	r := c.Request()
	if !hasMediaType(r, "application/x-www-form-urlencoded") {
		return nil, unsupportedMediaType("application/x-www-form-urlencoded")
	}
	if err := r.ParseForm(); err != nil {
		if f, ok := fault.As(readError(err)); ok && f.Kind == fault.TooLarge {
			return nil, f
		}
		// The cause quotes what could not be decoded, so it stays here.
		return nil, fault.New(fault.Malformed, "The form could not be read.")
	}
	for name, values := range r.PostForm {
		for _, s := range append([]string{name}, values...) {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				return nil, fault.New(fault.Malformed, "The form holds characters that cannot be used.")
			}
		}
	}
	return r.PostForm, nil
}
