package oidc

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// maxLifetime is the longest life an id_token may give itself. Real ones live
// minutes; the bound keeps absurd numbers out of the arithmetic.
const maxLifetime = 24 * time.Hour

// claims are the members of an id_token that are acted on. nil means absent.
type claims struct {
	issuer, subject, authorizedParty *string
	audience                         []string
	expiry, issuedAt, notBefore      *time.Time
	nonce                            *string
	codeHash, tokenHash, stateHash   *string
	sessionID, contextClass          *string
	authTime                         *time.Time
}

// readClaims reads the members by their exact names and types.
func readClaims(m map[string]json.RawMessage) (claims, error) {
	var c claims
	for _, field := range []struct {
		into  **string
		check Check
	}{
		{&c.issuer, CheckIssuer},
		{&c.subject, CheckSubject},
		{&c.authorizedParty, CheckAuthorizedParty},
		{&c.nonce, CheckNonce},
		{&c.codeHash, CheckCodeHash},
		{&c.tokenHash, CheckAccessTokenHash},
		{&c.stateHash, CheckStateHash},
		{&c.sessionID, CheckSessionID},
		{&c.contextClass, CheckContextClass},
	} {
		var err error
		// The check is called what the claim is called.
		if *field.into, err = text(m, string(field.check), field.check); err != nil {
			return claims{}, err
		}
	}
	for _, field := range []struct {
		into  **time.Time
		check Check
	}{
		{&c.expiry, CheckExpiry},
		{&c.issuedAt, CheckIssuedAt},
		{&c.notBefore, CheckNotBefore},
		{&c.authTime, CheckAuthTime},
	} {
		var err error
		if *field.into, err = numericDate(m, string(field.check), field.check); err != nil {
			return claims{}, err
		}
	}
	var err error
	c.audience, err = audience(m["aud"])
	return c, err
}

// numericDate reads a time in seconds since 1970 (RFC 7519 section 2);
// fractions are cut off.
func numericDate(m map[string]json.RawMessage, name string, check Check) (*time.Time, error) {
	value, ok := m[name]
	if !ok || string(value) == "null" {
		return nil, nil
	}
	// A quoted number parses as none. The range ends with the year 9999:
	// beyond, the conversion to an integer means something else on every
	// architecture.
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || seconds < 0 || seconds > 253402300799 {
		return nil, refuse(check, "not a time")
	}
	t := time.Unix(int64(math.Floor(seconds)), 0).UTC()
	return &t, nil
}

// audience reads a string or an array of strings.
func audience(value json.RawMessage) ([]string, error) {
	if value == nil {
		return nil, nil
	}
	var one string
	if json.Unmarshal(value, &one) == nil {
		return []string{one}, nil
	}
	var many []string
	if json.Unmarshal(value, &many) != nil {
		return nil, refuse(CheckAudience, "neither a string nor an array of strings")
	}
	return many, nil
}

// checkParties: who made the token, and for whom (Core section 3.1.3.7 items 2
// to 5).
func (c claims) checkParties(issuer, clientID string) error {
	if c.issuer == nil || *c.issuer != issuer {
		return refuse(CheckIssuer, "missing, or another issuer's")
	}
	// More audiences than ours would be parties that may replay the token
	// here; there is nobody we trust with that.
	if len(c.audience) != 1 || c.audience[0] != clientID {
		return refuse(CheckAudience, "not this client alone")
	}
	if c.authorizedParty != nil && *c.authorizedParty != clientID {
		return refuse(CheckAuthorizedParty, "another client's")
	}
	return nil
}

// checkSubject: about whom the token is (Core section 2).
func (c claims) checkSubject() error {
	if c.subject == nil || *c.subject == "" || len(*c.subject) > 255 {
		return refuse(CheckSubject, "missing, empty or longer than 255 characters")
	}
	for _, b := range []byte(*c.subject) {
		if b < ' ' || b > '~' {
			return refuse(CheckSubject, "not printable ASCII")
		}
	}
	return nil
}

// checkTimes: alive now, not from the future, and not from before notBefore,
// which is when the reply could first have been made.
func (c claims) checkTimes(now, notBefore time.Time, skew time.Duration) error {
	switch {
	case c.issuedAt == nil:
		return refuse(CheckIssuedAt, "missing")
	case c.issuedAt.After(now.Add(skew)):
		return refuse(CheckIssuedAt, "in the future by %s", c.issuedAt.Sub(now).Round(time.Second))
	case c.issuedAt.Before(notBefore.Add(-skew).Truncate(time.Second)):
		return refuse(CheckIssuedAt, "too old by %s", notBefore.Sub(*c.issuedAt).Round(time.Second))
	case c.expiry == nil:
		return refuse(CheckExpiry, "missing")
	case !now.Before(c.expiry.Add(skew)):
		return refuse(CheckExpiry, "expired %s ago", now.Sub(*c.expiry).Round(time.Second))
	case !c.expiry.After(*c.issuedAt) || c.expiry.Sub(*c.issuedAt) > maxLifetime:
		return refuse(CheckExpiry, "a life of %s", c.expiry.Sub(*c.issuedAt))
	case c.notBefore != nil && c.notBefore.After(now.Add(skew)):
		return refuse(CheckNotBefore, "not valid for another %s", c.notBefore.Sub(now).Round(time.Second))
	}
	return nil
}
