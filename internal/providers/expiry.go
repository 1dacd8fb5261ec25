package providers

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

// longestLife is the longest life believed of an access token.
const longestLife = 10 * 365 * 24 * time.Hour

// accessEnd is when the access token of an answer ends: as the answer says,
// else as the token itself says, else by the provider file; zero where none of
// them knows. What says nonsense counts as silent.
func (o *OAuth) accessEnd(a *tokenendpoint.Answer, asked time.Time) time.Time {
	if end, ok := a.ExpiresIn.From(asked); ok {
		return end
	}
	if end := tokenEnd(a.AccessToken, asked); end.After(asked) {
		return end
	}
	if d := o.defaultExpiry(); d > 0 {
		return asked.Add(d)
	}
	return time.Time{}
}

// tokenEnd is when an access token ends that is a JWT, zero where it is none or
// claims more than [longestLife]. The token is the provider's and is for its
// eyes only (RFC 9068 section 6): it is read for the time alone, and since
// nobody verifies it here, for no more than to ask for another in time.
func tokenEnd(token vault.Secret, asked time.Time) time.Time {
	exp, iat := jwtTimes(token.Reveal())
	// A token that was made for this answer lives as long by our clock as by the
	// provider's, however far the two are apart; one that is older ends at exp.
	if life := exp.Sub(iat); !iat.IsZero() && life > 0 && asked.Add(life).Before(exp) {
		exp = asked.Add(life)
	}
	if exp.After(asked.Add(longestLife)) {
		return time.Time{}
	}
	return exp.UTC()
}

// jwtTimes are exp and iat of a compact JWS, each zero where it is not there
// (RFC 7519 section 4.1). No signature is verified.
func jwtTimes(token string) (exp, iat time.Time) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, time.Time{}
	}
	var header map[string]any
	var claims struct {
		Expiry   float64 `json:"exp"`
		IssuedAt any     `json:"iat"` // whatever it is, it does not spoil exp
	}
	if !decodePart(parts[0], &header) || !decodePart(parts[1], &claims) {
		return time.Time{}, time.Time{}
	}
	issued, _ := claims.IssuedAt.(float64)
	return numericDate(claims.Expiry), numericDate(issued)
}

func decodePart(part string, into any) bool {
	b, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(b, into) == nil
}

// numericDate is zero for what is no time from 1970 to 9999.
func numericDate(seconds float64) time.Time {
	const endOf9999 = 253402300799
	if seconds < 1 || seconds > endOf9999 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// refreshEnd is when the refresh token ends that is good after an answer;
// before is what was known of the one that was sent. Where the answer does not
// say, that goes on for the same token, and nothing is known of another.
func refreshEnd(a *tokenendpoint.Answer, sent vault.Secret, before, asked time.Time) time.Time {
	if end, ok := a.RefreshExpiresIn.From(asked); ok {
		return end
	}
	if a.RefreshEndless || !a.RefreshToken.IsZero() && !a.RefreshToken.Equal(sent) {
		return time.Time{}
	}
	return before
}
