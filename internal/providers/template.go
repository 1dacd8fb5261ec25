package providers

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/claviger/claviger/internal/vault"
)

// Template is text with the names of values in braces: "Bearer {access_token}".
// There is nothing else to it: no conditions, no functions, no way to write a
// literal brace.
type Template string

// namePattern is the form of every name that a file gives to a value.
const namePattern = `[a-z][a-z0-9_]{0,63}`

var placeholder = regexp.MustCompile(`\{(` + namePattern + `)\}`)

// names lists the values that the template needs, in order.
func (t Template) names() []string {
	var names []string
	for _, m := range placeholder.FindAllStringSubmatch(string(t), -1) {
		names = append(names, m[1])
	}
	return names
}

// check refuses braces that hold no name.
func (t Template) check() error {
	if strings.ContainsAny(placeholder.ReplaceAllString(string(t), ""), "{}") {
		return fmt.Errorf("braces hold the name of one value, in lower case: {token}")
	}
	return nil
}

// missingValueError is a template whose values are not all there.
type missingValueError struct{ name string }

func (e *missingValueError) Error() string {
	return fmt.Sprintf("the credential has no %q", e.name)
}

// expand puts the values in. An empty value counts as missing.
func (t Template) expand(values vault.Credential) (string, error) {
	var missing *missingValueError
	out := placeholder.ReplaceAllStringFunc(string(t), func(p string) string {
		name := p[1 : len(p)-1]
		v := values.Get(name)
		if v == "" && missing == nil {
			missing = &missingValueError{name}
		}
		return v
	})
	if missing != nil {
		return "", missing
	}
	return out, nil
}
