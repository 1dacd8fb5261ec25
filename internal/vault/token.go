package vault

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"hash/crc32"
	"math/big"
	"strings"

	"github.com/google/uuid"
)

// Bearer tokens look like clv_key_<43 characters>_<6 characters>: a prefix that
// people and scanners recognise, 256 random bits, and a CRC-32 of all before
// it, so that a scanner can tell a key from a coincidence without asking us.
const (
	prefixAPIKey  = "clv_key_"
	prefixSession = "clv_cs_"
	prefixResult  = "clv_res_"
	prefixBinding = "clv_b_"
	prefixState   = "clv_st_"

	prefixAdminLink    = "clv_adm_"
	prefixAdminSession = "clv_ads_"

	randomDigits   = 43 // 62^43 > 2^256
	checksumDigits = 6  // 62^6 > 2^32
)

func mint(prefix string) Secret {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails, by its contract
	body := prefix + base62(new(big.Int).SetBytes(random[:]), randomDigits) + "_"
	return NewSecret(body + checksum(body))
}

func checksum(body string) string {
	return base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), checksumDigits)
}

func base62(n *big.Int, digits int) string {
	s := n.Text(62)
	return strings.Repeat("0", digits-len(s)) + s
}

// NewState makes the state of an attempt: it goes through the provider and back.
func NewState() Secret { return mint(prefixState) }

// NewBinding makes the value of the cookie that ties a session to a browser.
func NewBinding() Secret { return mint(prefixBinding) }

// LooksLikeToken reports whether s has the form of a token of ours, checksum
// included. It says nothing about whether the token is known.
func LooksLikeToken(s Secret) bool {
	v := s.Reveal()
	i := len(v) - checksumDigits
	if i <= 0 || !strings.HasPrefix(v, "clv_") {
		return false
	}
	return checksum(v[:i]) == v[i:]
}

// LooksLikeAPIKey is LooksLikeToken for API keys alone.
func LooksLikeAPIKey(s Secret) bool {
	return strings.HasPrefix(s.Reveal(), prefixAPIKey) && LooksLikeToken(s)
}

// HashToken is what is stored of a bearer token. The tokens carry 256 random
// bits (a configured API key at least 32 characters), so a plain SHA-256 is
// enough: there is nothing to guess.
func HashToken(s Secret) []byte {
	h := sha256.Sum256([]byte(s.Reveal()))
	return h[:]
}

// newID makes an id like con_01b2…: a prefix and a UUIDv7 (RFC 9562), in an
// alphabet that sorts by time. Ids are no secrets.
func newID(prefix string) string {
	id := uuid.Must(uuid.NewV7())
	sorted := base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:])
	return prefix + "_" + strings.ToLower(sorted)
}
