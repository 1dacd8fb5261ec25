package httpd

import (
	"net/http"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
)

// unrouted looks again at what the router had no handler for. A group with
// middleware catches everything below its prefix as not found, so that echo
// never says 405 there, and HEAD is a method like any other to it.
type unrouted struct {
	once   sync.Once
	routes map[string]bool // "GET /v1/things/:id"
}

// resolve answers HEAD with the handler for GET (RFC 9110 section 9.3.2), turns
// a wrong method into a 405 that says which are right, and leaves err be where
// the handler of a route returned it or there is nothing at this address.
func (u *unrouted) resolve(c echo.Context, err error) error {
	u.once.Do(func() {
		u.routes = make(map[string]bool)
		for _, r := range c.Echo().Routes() {
			u.routes[r.Method+" "+r.Path] = true
		}
	})
	r := c.Request()
	if u.routes[r.Method+" "+c.Path()] {
		return err
	}

	router, path := c.Echo().Router(), echo.GetPath(r)
	var allow []string
	for _, method := range [...]string{
		http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	} {
		router.Find(method, path, c)
		if !u.routes[method+" "+c.Path()] {
			continue
		}
		if method == http.MethodGet && r.Method == http.MethodHead {
			return c.Handler()(c)
		}
		allow = append(allow, method)
	}
	if allow == nil {
		router.Find(r.Method, path, c)
		return err
	}
	c.Response().Header().Set(echo.HeaderAllow, strings.Join(allow, ", "))
	return echo.ErrMethodNotAllowed
}
