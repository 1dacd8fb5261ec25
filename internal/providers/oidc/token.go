package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
)

// maxToken bounds an id_token. The longest seen in the wild, with a few
// hundred groups in it, stays below.
const maxToken = 16 << 10

// compact is the compact serialization, RFC 7515 section 7.1. The JSON forms,
// and whitespace that libraries strip, are nothing an issuer sends.
var compact = regexp.MustCompile(`\A[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\z`)

// decode reads base64url without the leniency about spare bits at the end:
// one token has one spelling.
func decode(part string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, refuse(CheckFormat, "not base64url")
	}
	return b, nil
}

// token is an id_token taken apart and not yet verified.
type token struct {
	raw     string
	alg     string
	claims  claims
	members Claims
}

// Claims are the members of a token by their exact names, as they were sent.
type Claims map[string]json.RawMessage

// open takes an id_token apart and refuses what no signature could make good:
// its form, its header, and a payload that two readers may read two ways.
// types are the values of typ that it may have; none is fine as well.
func open(raw string, algs []string, types ...string) (token, error) {
	if len(raw) > maxToken {
		return token{}, refuse(CheckFormat, "longer than %d KiB", maxToken>>10)
	}
	if !compact.MatchString(raw) {
		return token{}, refuse(CheckFormat, "not in compact serialization")
	}
	parts := strings.Split(raw, ".")
	header, err := segment(parts[0])
	if err != nil {
		return token{}, err
	}
	alg, err := checkHeader(header, algs, types)
	if err != nil {
		return token{}, err
	}
	payload, err := segment(parts[1])
	if err != nil {
		return token{}, err
	}
	if _, err := decode(parts[2]); err != nil {
		return token{}, err
	}
	read, err := readClaims(payload)
	if err != nil {
		return token{}, err
	}
	return token{raw: raw, alg: alg, claims: read, members: payload}, nil
}

// segment decodes one part of the token into its members.
func segment(part string) (map[string]json.RawMessage, error) {
	b, err := decode(part)
	if err != nil {
		return nil, err
	}
	m, err := members(b)
	switch {
	case errors.Is(err, errDuplicate):
		return nil, refuse(CheckDuplicateMember, "a member appears twice, or twice but for its case")
	case err != nil:
		return nil, refuse(CheckFormat, "not a JSON object")
	}
	return m, nil
}

// checkHeader judges the JOSE header and answers the algorithm.
func checkHeader(header map[string]json.RawMessage, algs, types []string) (string, error) {
	// By any case: a library behind us may not be as particular as we are.
	for name := range header {
		switch strings.ToLower(name) {
		case "jwk", "jku", "x5u", "x5c":
			return "", refuse(CheckKeyHeader, "the token brings a key of its own")
		case "crit", "b64":
			return "", refuse(CheckCritical, "an extension that is not understood here")
		case "cty":
			return "", refuse(CheckType, "another token inside")
		}
	}
	typ, err := text(header, "typ", CheckType)
	if err != nil {
		return "", err
	}
	// RFC 8725 section 3.11: an access token or a logout token of the same
	// issuer is signed with the same key.
	if typ != nil && !slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, *typ) }) {
		return "", refuse(CheckType, "another kind of token")
	}
	if _, err := text(header, "kid", CheckKeyID); err != nil {
		return "", err
	}
	alg, err := text(header, "alg", CheckAlgorithm)
	switch {
	case err != nil:
		return "", err
	case alg == nil:
		return "", refuse(CheckAlgorithm, "missing")
	case !slices.Contains(algs, *alg):
		return "", refuse(CheckAlgorithm, "not an algorithm of this issuer")
	}
	return *alg, nil
}

// text reads a member that has to be a string; nil means absent, or null,
// which is the same.
func text(m map[string]json.RawMessage, name string, check Check) (*string, error) {
	var s *string
	if value, ok := m[name]; ok && json.Unmarshal(value, &s) != nil {
		return nil, refuse(check, "not a string")
	}
	return s, nil
}
