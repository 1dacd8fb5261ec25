package sandbox

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"sync"
)

// secretBook remembers every secret that exists or existed, in the order in
// which they came up. It grows for the life of the process: leak tests want
// the spent ones too.
type secretBook struct {
	mu   sync.Mutex
	seen map[string]struct{}
	list []string
}

func newSecretBook() *secretBook { return &secretBook{seen: make(map[string]struct{})} }

func (b *secretBook) add(values ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range values {
		if _, ok := b.seen[v]; ok || v == "" {
			continue
		}
		b.seen[v] = struct{}{}
		b.list = append(b.list, v)
	}
}

func (b *secretBook) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.list)
}

// randomHex gives 2n hex digits.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, see its documentation
	return hex.EncodeToString(b)
}

// randomToken gives 256 bits as 43 characters of base64url.
func randomToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
