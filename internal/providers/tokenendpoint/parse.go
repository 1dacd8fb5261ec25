package tokenendpoint

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// The rules for what may be passed on.
var (
	b64token   = regexp.MustCompile(`^[A-Za-z0-9\-._~+/]+=*$`) // RFC 6750, 2.1
	compactJWS = regexp.MustCompile(`^[\w-]+\.[\w-]+\.[\w-]+$`)
)

const (
	maxAccessToken = 8 << 10
	maxIDToken     = 16 << 10
)

// Parse reads an answer of the RFC's own shape; see [Shape.Parse].
func Parse(status int, contentType string, body []byte) (*Answer, error) {
	return Shape{}.Parse(status, contentType, body)
}

// Parse reads a token endpoint's answer: a JSON object, with or without a
// byte order mark and whatever its content type, or a form. Member names are
// taken in any letter case, a member that comes twice with different values
// is refused.
//
// Errors and the Answer that may come beside them are as for
// [Client.Exchange]. RetryAfter is not known here.
func (s Shape) Parse(status int, contentType string, body []byte) (*Answer, error) {
	a, _, err := s.parse(status, contentType, body, false)
	return a, err
}

// parse also lists what was odd and taken all the same. If cut is true the
// body is only the beginning of one.
func (s Shape) parse(status int, contentType string, body []byte, cut bool) (*Answer, []string, error) {
	doc := read(contentType, body, s.Prefix, cut)
	code, description, refused := doc.refusal()
	e := &Error{Code: code, Description: description, Status: status}
	if status/100 != 2 {
		e.Class = classOf(status, code, s)
		return nil, nil, e
	}

	// First of all, and whatever follows: the next refresh token.
	next := doc.inner["refresh_token"].token()
	if refused && next.IsZero() {
		e.Class = classOf(status, code, s)
		return nil, nil, e
	}
	a, odd, err := s.judge(doc)
	switch {
	case err != nil:
		e.Err = err
	case refused:
		e.Err = errors.New("the answer is a refusal and a success")
	default:
		a.RefreshToken = next
		return a, odd, nil
	}
	e.Class = Broken
	if next.IsZero() {
		return nil, odd, e
	}
	return &Answer{RefreshToken: next}, odd, e
}

// judge makes an answer of everything but the refresh token.
func (s Shape) judge(doc *document) (*Answer, []string, error) {
	if doc.err != nil {
		return nil, nil, doc.err
	}
	if name := doc.inner.conflict(); name != "" {
		return nil, nil, errors.New("the answer has two values for " + name)
	}
	a := &Answer{}
	m := doc.inner

	access, ok := m["access_token"].str()
	switch {
	case !ok || access == "":
		return nil, nil, errors.New("the answer has no access_token")
	case len(access) > maxAccessToken:
		return nil, nil, errors.New("the access_token is longer than 8 KiB")
	case !b64token.MatchString(access):
		return nil, nil, errors.New("the access_token has characters that no header can carry")
	}
	a.AccessToken = vault.NewSecret(access)

	typ, ok := m["token_type"].str()
	switch {
	case strings.EqualFold(typ, "bearer"):
		a.TokenType = "Bearer"
	case (ok || m["token_type"].absent()) && s.takesType(typ):
		a.TokenType = typ
	default:
		return nil, nil, errors.New("the token_type is not bearer")
	}

	if v := m["id_token"]; !v.absent() {
		id, ok := v.str()
		if !ok || len(id) > maxIDToken || !compactJWS.MatchString(id) {
			return nil, nil, errors.New("the id_token is not a compact JWS of up to 16 KiB")
		}
		a.IDToken = vault.NewSecret(id)
	}

	odd := doc.odd
	lifetime := func(name string) Lifetime {
		v := m[name]
		l := v.lifetime()
		if !v.absent() && !l.Known() {
			odd = append(odd, name+" is not a lifetime")
		}
		return l
	}
	a.ExpiresIn = lifetime("expires_in")
	for _, name := range []string{"refresh_token_expires_in", "refresh_expires_in"} { // the latter is Keycloak's
		switch {
		case a.RefreshExpiresIn.Known():
		case m[name].isZero():
			a.RefreshEndless = true
		default:
			a.RefreshExpiresIn = lifetime(name)
		}
	}
	a.RefreshEndless = a.RefreshEndless && !a.RefreshExpiresIn.Known()
	if v := m["scope"]; !v.absent() {
		if a.Scopes, a.HasScope = v.scopes(s.ScopeSeparator); !a.HasScope {
			odd = append(odd, "scope is neither a string nor a list of strings")
		}
	}
	return a, odd, nil
}

func (s Shape) takesType(typ string) bool {
	for _, t := range s.TokenTypes {
		if strings.EqualFold(t, typ) {
			return true
		}
	}
	return false
}

// refusal reports an error in the answer's top object. Slack and GitHub send
// theirs with status 200.
func (d *document) refusal() (code, description string, refused bool) {
	switch v := d.top["error"]; v.kind {
	case kindString:
		refused = v.text != ""
		code = cleanCode(v.text)
	case kindOther, kindList, kindNumber:
		refused = true
	case kindBool:
		refused = v.text == "true"
	case kindNone:
	}
	if v := d.top["ok"]; v.kind != kindNone && v.text == "false" {
		refused = true
	}
	if refused {
		text, _ := d.top["error_description"].str()
		description = cleanDescription(text)
	}
	return code, description, refused
}

// token is the value as an opaque token. A number is taken by its digits: it
// is better than to lose it.
func (v value) token() vault.Secret {
	if v.kind == kindString || v.kind == kindNumber {
		return vault.NewSecret(v.text)
	}
	return vault.Secret{}
}

func (v value) lifetime() Lifetime {
	if v.kind != kindString && v.kind != kindNumber {
		return 0
	}
	return seconds(v.text)
}

// isZero reports whether the value is the number 0, in text or not.
func (v value) isZero() bool {
	if v.kind != kindString && v.kind != kindNumber {
		return false
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(v.text), 64)
	return err == nil && f == 0
}

// seconds reads "3600", "3600.0" and "1e3"; 0 for all that is no lifetime.
func seconds(s string) Lifetime {
	const century = 100 * 365 * 24 * 3600
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(f) || f < 1 || f > century {
		return 0
	}
	return Lifetime(time.Duration(f) * time.Second)
}
