package api

import (
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// idForm reports whether s looks like an id.
// It is on the hot path, where a regular expression shows.
func idForm(s string) bool {
	prefix, digits, _ := strings.Cut(s, "_")
	if len(prefix) < 2 || len(prefix) > 3 || len(digits) != 26 {
		return false
	}
	for i := range len(prefix) {
		if prefix[i] < 'a' || prefix[i] > 'z' {
			return false
		}
	}
	for i := range len(digits) {
		if c := digits[i]; (c < '0' || c > '9') && (c < 'a' || c > 'v') {
			return false
		}
	}
	return true
}

// connectionID is the id in the path, noted for the log. Anything else that
// stands there is the caller's free text, and nothing for the log and the
// trail: it is the empty id, which no connection has.
func connectionID(c echo.Context) string {
	id := c.Param("id")
	if !idForm(id) {
		return ""
	}
	httpd.RecordOf(c.Request().Context()).SetConnection(id)
	return id
}

// decode reads a body, which has to be an object, into a new value of in's
// type. A member that is null is one that was left out.
func decode[T any](c echo.Context, in **T) error {
	if err := httpd.DecodeJSON(c, in); err != nil {
		return err
	}
	if *in == nil { // the JSON null
		return fault.New(fault.Malformed, "The request body must be a JSON object.")
	}
	return nil
}

// bare is for a route without parameters: one that is there all the same is a
// typo, or believed to do something.
func bare(handle func(echo.Context, vault.Caller) error) func(echo.Context, vault.Caller) error {
	return func(c echo.Context, caller vault.Caller) error {
		if err := httpd.Query(c).Err(); err != nil {
			return err
		}
		return handle(c, caller)
	}
}
