package httpd

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
)

// maxDepth is how deep a body may nest. Ours nest three levels; metadata may
// want a few more.
const maxDepth = 32

// DecodeOption changes how [DecodeJSON] reads.
type DecodeOption int

// AllowEmpty takes an empty body, with or without a content type, as {}.
const AllowEmpty DecodeOption = 1

// DecodeJSON reads the body into v, strictly: application/json only, one
// value, valid UTF-8, no member twice, no member that v does not have (names
// are case-sensitive), nothing after the end. What is wrong comes back as
// [fault.Malformed] with a pointer to the member and never with its value.
//
// encoding/json folds the case of names, lets the last of two members win and
// replaces invalid UTF-8 in silence; the decoder here does none of it.
func DecodeJSON(c echo.Context, v any, opts ...DecodeOption) error {
	r := c.Request()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return readError(err)
	}
	if len(body) == 0 && slices.Contains(opts, AllowEmpty) {
		return nil
	}
	if !hasMediaType(r, "application/json") {
		return unsupportedMediaType("application/json")
	}
	if len(body) == 0 {
		return fault.New(fault.Malformed, "The request body is empty; it must be a JSON object.")
	}
	if tooDeep(body) {
		return fault.New(fault.Malformed, "The request body nests too deeply.")
	}
	if err := json.Unmarshal(body, v, json.RejectUnknownMembers(true)); err != nil {
		return jsonFault(err)
	}
	return nil
}

// hasMediaType compares the content type without its parameters. A charset
// other than UTF-8 is refused: JSON (RFC 8259 section 8.1) has no other.
func hasMediaType(r *http.Request, want string) bool {
	got, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	return err == nil && got == want && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

// readError is for a body that could not be read to its end.
func readError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(err)
	}
	return fault.Wrap(err, fault.Malformed, "The request body could not be read to its end.")
}

// tooDeep counts brackets outside of strings. Whether they match is the
// decoder's business.
func tooDeep(body []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch b := body[i]; {
		case inString && b == '\\':
			i++
		case b == '"':
			inString = !inString
		case inString:
		case b == '{' || b == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return false
}

// jsonFault says what is wrong in our own words; the decoder's quote the input.
func jsonFault(err error) error {
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		detail := "is not valid JSON"
		if errors.Is(err, jsontext.ErrDuplicateName) {
			detail = "is there twice"
		}
		return malformed(string(syntactic.JSONPointer), detail)
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		p := string(semantic.JSONPointer)
		if errors.Is(semantic.Err, json.ErrUnknownName) {
			return malformed(p, "is not a member of this request")
		}
		return malformed(p, "must be "+typeName(semantic.GoType))
	}
	return malformed("", "is not valid JSON")
}

func malformed(pointer, detail string) *fault.Error {
	const maxPointer = 128 // a pointer quotes names, and names are the caller's
	if pointer == "" || len(pointer) > maxPointer || !printable(pointer) {
		return fault.New(fault.Malformed, "The request body %s.", detail)
	}
	return &fault.Error{
		Kind:    fault.Malformed,
		Message: "The request body is not valid.",
		Fields:  []fault.Field{{Pointer: pointer, Detail: detail}},
	}
}

func printable(s string) bool {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return true
}

// typeName says in JSON's words what a Go type takes.
func typeName(t reflect.Type) string {
	if t == nil {
		return "another value"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number in range"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Map:
		return "an object"
	case reflect.Struct:
		switch t.PkgPath() + "." + t.Name() {
		case "time.Time":
			return "a time such as 2006-01-02T15:04:05Z"
		case "github.com/claviger/claviger/internal/vault.Secret":
			return "a string"
		}
		return "an object"
	}
	return "another value"
}
