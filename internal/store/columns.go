package store

import (
	"encoding/json"
	"fmt"
	"net/netip"
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

// Words with spaces between them: no parser on the hot path.

type scopesColumn struct{ scopes *[]vault.Scope }

func (c scopesColumn) Scan(src any) error { return scanWords(src, c.scopes, parseScopes) }

type wordsColumn struct{ words *[]string }

func (c wordsColumn) Scan(src any) error { return scanWords(src, c.words, parseWords) }

type addressesColumn struct{ addresses *[]netip.Prefix }

func (c addressesColumn) Scan(src any) error { return scanWords(src, c.addresses, parseAddresses) }

func scanWords[T any](src any, into *T, parse func(string) (T, error)) error {
	var s string
	if err := (textColumn{&s}).Scan(src); err != nil {
		return err
	}
	v, err := parse(s)
	*into = v
	return err
}

// joinWords is what the parsers below read.
func joinWords[T any](values []T, word func(T) string) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = word(v)
	}
	return strings.Join(words, " ")
}

func joinScopes(scopes []vault.Scope) string {
	return joinWords(scopes, func(s vault.Scope) string { return string(s) })
}

func parseScopes(s string) ([]vault.Scope, error) {
	return parseEach(s, func(word string) (vault.Scope, error) { return vault.Scope(word), nil })
}

func parseWords(s string) ([]string, error) {
	return parseEach(s, func(word string) (string, error) { return word, nil })
}

func parseAddresses(s string) ([]netip.Prefix, error) { return parseEach(s, netip.ParsePrefix) }

func parseEach[T any](s string, parse func(string) (T, error)) ([]T, error) {
	if s == "" {
		return nil, nil
	}
	values := make([]T, 0, strings.Count(s, " ")+1)
	for word := range strings.FieldsSeq(s) {
		v, err := parse(word)
		if err != nil {
			return nil, fmt.Errorf("reading words: %w", err)
		}
		values = append(values, v)
	}
	return values, nil
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
