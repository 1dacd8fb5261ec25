package providers

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/text/unicode/norm"

	"github.com/claviger/claviger/internal/vault"
)

// maxHeaderValue is the longest header value made or stored, in bytes. Many
// servers take no more in a line.
const maxHeaderValue = 8 << 10

// valueError says which value of a credential no header can carry, and why. It
// does not repeat the value.
type valueError struct {
	name   string
	detail string
}

func (e *valueError) Error() string { return fmt.Sprintf("%s: %s", e.name, e.detail) }

// b64token is RFC 6750 section 2.1: what may stand after "Bearer", and after
// all schemes like it.
var b64token = regexp.MustCompile(`^[A-Za-z0-9\-._~+/]+=*$`)

// credentialScheme is a header value of the form "Bearer {token}".
var credentialScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]* \{` + namePattern + `\}$`)

// basicAuth renders RFC 7617. The user name has no colon, since the first one
// ends it; neither part has control characters; both are sent as UTF-8 in
// normalization form C (section 2.1) and are otherwise left as they are,
// white space included. Errors name the part: "username" or "password".
func basicAuth(username, password string) (vault.Secret, error) {
	for _, part := range []struct{ name, value string }{{"username", username}, {"password", password}} {
		if detail := unfitText(part.value); detail != "" {
			return vault.Secret{}, &valueError{part.name, detail}
		}
	}
	username, password = norm.NFC.String(username), norm.NFC.String(password)
	if strings.Contains(username, ":") {
		return vault.Secret{}, &valueError{"username", "This cannot contain a colon."}
	}
	value := "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
	if len(value) > maxHeaderValue {
		return vault.Secret{}, &valueError{"password", "This is too long."}
	}
	return vault.NewSecret(value), nil
}

// unfitText says why a value can be sent to nobody; empty where it can.
func unfitText(s string) string {
	switch {
	case !utf8.ValidString(s):
		return "This is not valid text."
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "This contains a control character."
	}
	return ""
}

// renderHeader puts values into the template of a header. In a value of the
// form "Bearer {token}" the token has to be a b64token; elsewhere printable
// ASCII is taken. net/http lets more through, and so do the stacks that the
// header is handed to, each in its own way.
func renderHeader(name string, t Template, values vault.Credential) (vault.Header, error) {
	if !httpguts.ValidHeaderFieldName(name) {
		return vault.Header{}, fmt.Errorf("%q is not the name of a header", name)
	}
	text, err := t.expand(values)
	if err != nil {
		return vault.Header{}, err
	}
	strict := credentialScheme.MatchString(string(t))
	for _, n := range t.names() {
		v := values.Get(n)
		switch {
		case strict && !b64token.MatchString(v):
			return vault.Header{}, &valueError{n, "This has characters that a token cannot have. Copy the token alone, without quotes or the words around it."}
		case !isPrintable(v):
			return vault.Header{}, &valueError{n, "This has characters that a header cannot carry."}
		}
	}
	switch {
	case !isPrintable(text) || text != strings.TrimSpace(text):
		return vault.Header{}, fmt.Errorf("the value of header %s cannot be sent", name)
	case len(text) > maxHeaderValue:
		return vault.Header{}, &valueError{longest(t, values), "This is too long."}
	}
	return vault.Header{Name: http.CanonicalHeaderKey(name), Value: vault.NewSecret(text)}, nil
}

// isPrintable is ASCII from space to tilde.
func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// longest names the value that takes most of the room.
func longest(t Template, values vault.Credential) string {
	names := t.names()
	if len(names) == 0 {
		return ""
	}
	return slices.MaxFunc(names, func(a, b string) int { return len(values.Get(a)) - len(values.Get(b)) })
}

// withRequestHeaders adds the headers that every request to the provider
// wants. One whose values are not known yet is left out while asking, and is an
// error in the answer.
func (t target) withRequestHeaders(auth []vault.Header, values vault.Credential, asking bool) ([]vault.Header, error) {
	headers := slices.Clone(auth)
	for _, name := range sortedKeys(t.provider.RequestHeaders) {
		h, err := renderHeader(name, t.provider.RequestHeaders[name], values)
		if _, missing := errors.AsType[*missingValueError](err); missing && asking {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(headers, func(o vault.Header) bool { return o.Name == h.Name }) {
			headers = append(headers, h)
		}
	}
	return headers, nil
}
