package vault

import (
	"crypto/subtle"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// errSecretEscapes is returned wherever a secret would leave by a side door.
var errSecretEscapes = errors.New("vault: a Secret is not to be marshalled; use Reveal")

// Secret is a string that cannot be printed, logged, marshalled or handed to
// a database driver by accident. The one way out is [Secret.Reveal]; grep for
// it to find every place where a secret leaves its wrapping.
//
// The value sits behind a pointer because fmt does not call the methods of a
// value held in somebody's unexported field; there it prints an address.
// The zero Secret is the empty one.
type Secret struct{ p *string }

// NewSecret wraps a string.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// Reveal unwraps the string. Whoever calls it answers for where it goes.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.p == nil }

// Equal compares in constant time for secrets of equal length.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

// String, GoString, Format and LogValue say only that something is there.
func (s Secret) String() string { return redacted }

// GoString answers %#v.
func (s Secret) GoString() string { return redacted }

// Format answers every fmt verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue answers log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON always fails: an answer that carries a secret says so with Reveal.
func (s Secret) MarshalJSON() ([]byte, error) { return nil, errSecretEscapes }

// MarshalText always fails.
func (s Secret) MarshalText() ([]byte, error) { return nil, errSecretEscapes }

// Value always fails: the database sees sealed bytes only.
func (s Secret) Value() (driver.Value, error) { return nil, errSecretEscapes }

// UnmarshalJSON reads a JSON string; secrets come in by JSON, they do not go
// out. The error never quotes the input.
func (s *Secret) UnmarshalJSON(b []byte) error {
	var v string
	if err := json.Unmarshal(b, &v); err != nil {
		return errors.New("must be a string")
	}
	*s = NewSecret(v)
	return nil
}
