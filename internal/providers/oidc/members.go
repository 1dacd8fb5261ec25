package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

var (
	errNotObject = errors.New("not a JSON object")
	errDuplicate = errors.New("a member appears twice")
)

// members splits a JSON object into its members, by their exact names.
//
// encoding/json would take "SUB" for sub, and of two sub the last one, so
// that two readers of one signed token may see two people. An object with
// such a pair is refused, as RFC 7519 section 4 allows. Nested objects are not
// looked into: nothing here reads them.
func members(b []byte) (map[string]json.RawMessage, error) {
	// Valid first: the decoder below would stop at the closing brace and take
	// whatever follows for somebody else's.
	if !utf8.Valid(b) || !json.Valid(b) {
		return nil, errNotObject
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errNotObject
	}
	found := make(map[string]json.RawMessage)
	folded := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errNotObject
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errNotObject
		}
		// Up and down again, as encoding/json folds: the long s of "ſub" is an s.
		fold := strings.ToLower(strings.ToUpper(name))
		if folded[fold] {
			return nil, errDuplicate
		}
		folded[fold] = true
		found[name] = value
	}
	return found, nil
}

// ReadClaims reads a JSON object, such as the answer of a userinfo endpoint, by
// the exact names of its members; one with a name twice, or twice but for its
// case, is an error.
func ReadClaims(b []byte) (Claims, error) { return members(b) }
