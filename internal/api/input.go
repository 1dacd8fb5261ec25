package api

import (
	"regexp"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// nobody has the form of no id and no key: the vault has never heard of it,
// and says so in its own words, after it has decided who may ask.
const nobody = "-"

// What ids and keys can look like. Whatever else stands in a path, such as a
// NUL, would be an error to one of the databases, and free text in the log.
var (
	idForm  = regexp.MustCompile(`^[a-z]{2,3}_[0-9a-v]{26}$`)
	keyForm = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
)

func idOrNobody(s string) string {
	if !idForm.MatchString(s) {
		return nobody
	}
	return s
}

func keyOrNobody(s string) string {
	if !keyForm.MatchString(s) {
		return nobody
	}
	return s
}

// connectionID is the id in the path, noted for the log.
func connectionID(c echo.Context) string {
	id := idOrNobody(c.Param("id"))
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
