package vault

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// ErrChangedSince says that a change was made from values that are there no
// more: somebody else has changed them since, and would be overwritten.
var ErrChangedSince = errors.New("it was changed by somebody else since")

// versionOf is a digest of what can be changed: another one exactly where any of
// it is another. So it does not matter what happened to the rest of the row, nor
// what was changed and changed back (a strong validator, RFC 9110 section 8.8.1).
func versionOf(parts ...any) string {
	sum := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(sum, "%q\n", part) // quoted: no value runs into the next one
	}
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil))
}

// stale reports whether a change from the version that somebody has seen, to
// one, would overwrite another change. Nil has seen none, and takes what there
// is; and who asks for what is there already overwrites nothing.
func stale(seen *string, there, to string) bool {
	return seen != nil && *seen != there && there != to
}

// Version is the version of what an [APIKeyPatch] can change.
func (k *APIKey) Version() string {
	n := k.Asked()
	return versionOf(n.Name, n.Scopes, n.Integrations, n.Addresses, n.expiry().Format(time.RFC3339Nano))
}

// TagsVersion is the version of a connection's tags.
func (c *Connection) TagsVersion() string { return versionOf(c.Tags) }

// Version is the version of what an [IntegrationPatch] can change, save the
// client secret: who replaces that has to know the new one.
func (in Integration) Version() string {
	return versionOf(in.Title, in.ClientID, in.Scopes, in.Methods, in.Overrides)
}
