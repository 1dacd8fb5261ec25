package admin

import (
	"net/url"
	"strings"

	"github.com/claviger/claviger/web"
)

// confirmField is the form field of a typed name.
const confirmField = "confirm"

// typedName asks for the name of a thing to be typed before something is done to
// it that cannot be undone. It is drawn by the partial "field"; what is what the
// name is of: "integration's key".
func typedName(what, name string) web.Field {
	return web.Field{
		Name: confirmField, Label: "Type the " + what + ", " + name + ", to confirm", Required: true,
		Autocomplete: "off", Code: true, MaxLength: maxParam,
	}
}

// confirmed reports whether a form has the name; if not, field says so. White
// space around it comes from the clipboard.
func confirmed(form url.Values, name string, field *web.Field) bool {
	typed := form.Get(confirmField)
	if strings.TrimSpace(typed) == name {
		return true
	}
	field.Value, field.Error, field.Autofocus = typed, "This is not “"+name+"”.", true
	if len(typed) > maxParam {
		field.Value = ""
	}
	return false
}
