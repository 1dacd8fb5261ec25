package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// What goes in. The zero value of an optional column is NULL.

func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func blob(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// document encodes a list or map that is stored whole.
func document(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding %T: %w", v, err)
	}
	return string(b), nil
}

// What comes out: each is a [sql.Scanner] that fills in the value it points at.

type timeColumn struct{ t *time.Time }

func (c timeColumn) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*c.t = time.Time{}
	case int64:
		*c.t = fromMicros(v)
	default:
		return fmt.Errorf("a time is stored as %T", src)
	}
	return nil
}

// fromMicros reads a time that is not NULL.
func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

type textColumn struct{ s *string }

func (c textColumn) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*c.s = ""
	case string:
		*c.s = v
	case []byte:
		*c.s = string(v)
	default:
		return fmt.Errorf("a text is stored as %T", src)
	}
	return nil
}

// documentColumn decodes what [document] encoded. Numbers of free-form
// metadata keep their digits.
type documentColumn struct{ v any }

func (c documentColumn) Scan(src any) error {
	var s string
	if err := (textColumn{&s}).Scan(src); err != nil {
		return err
	}
	if s == "" || s == "null" || s == "[]" || s == "{}" {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	if err := dec.Decode(c.v); err != nil {
		return fmt.Errorf("decoding %T: %w", c.v, err)
	}
	return nil
}

// scopesColumn are words with spaces between them: no parser on the hot path.
type scopesColumn struct{ scopes *[]vault.Scope }

func (c scopesColumn) Scan(src any) error {
	var s string
	if err := (textColumn{&s}).Scan(src); err != nil {
		return err
	}
	*c.scopes = splitScopes(s)
	return nil
}

func joinScopes(scopes []vault.Scope) string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return strings.Join(words, " ")
}

func splitScopes(s string) []vault.Scope {
	if s == "" {
		return nil
	}
	scopes := make([]vault.Scope, 0, strings.Count(s, " ")+1)
	for word := range strings.FieldsSeq(s) {
		scopes = append(scopes, vault.Scope(word))
	}
	return scopes
}

// bytesColumn fills in a value of a fixed size.
type bytesColumn []byte

func (c bytesColumn) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok || len(b) != len(c) {
		return fmt.Errorf("%d bytes are stored as %d of %T", len(c), len(b), src)
	}
	copy(c, b)
	return nil
}
