package providers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// valueCookie is the session as "name=value".
const valueCookie = "cookie"

// maxSession is the longest life believed of a session. What claims more is of
// unknown life.
const maxSession = 400 * 24 * time.Hour // the browsers' limit for cookies, RFC 6265bis section 5.5

// sessionScheme signs in as a browser does and keeps the cookie. Where the
// user agreed, it keeps what they typed as well, to sign in again.
type sessionScheme struct{}

func (sessionScheme) obtain(ctx context.Context, s *Service, t target, values vault.Credential) (vault.Grant, error) {
	x := t.method.SessionCookie
	fields := make(map[string]string, len(x.Body))
	for _, name := range sortedKeys(x.Body) {
		v, err := x.Body[name].expand(values)
		if err != nil {
			return vault.Grant{}, err
		}
		fields[name] = v
	}
	body, err := marshal(fields)
	if err != nil {
		return vault.Grant{}, err
	}
	answer, err := s.call(ctx, call{route: "login", method: http.MethodPost, url: t.sessionURL(), body: body, refused: x.Refused})
	if err != nil {
		return vault.Grant{}, err
	}
	cookie := findCookie(answer.header, x.Cookies)
	if cookie == nil {
		return vault.Grant{}, unusable(errors.New("login: the answer sets no session cookie"))
	}
	now := s.now()
	g := vault.Grant{Credential: vault.Credential{}, ExpiresAt: sessionEnd(cookie, now)}
	if !g.ExpiresAt.IsZero() && !g.ExpiresAt.After(now) {
		return vault.Grant{}, unusable(errors.New("login: the session is over already"))
	}
	if x.Keep != "" && values.Get(x.Keep) == ticked {
		maps.Copy(g.Credential, values)
		g.Renewable = true
	}
	g.Credential[valueCookie] = vault.NewSecret(cookie.Name + "=" + cookie.Value)
	return g, nil
}

// findCookie takes the first of the names that the answer sets to something.
func findCookie(h http.Header, names []string) *http.Cookie {
	cookies := (&http.Response{Header: h}).Cookies()
	for _, name := range names {
		for _, c := range slices.Backward(cookies) { // the last one set counts, RFC 6265 section 5.3
			if c.Name == name && c.Value != "" && c.MaxAge >= 0 {
				return c
			}
		}
	}
	return nil
}

// sessionEnd is when a session ends: as the JWT says that it is, else as the
// cookie says, else unknown. Nobody verifies the JWT's signature here. It
// is read for the time alone; whoever forged it would only have us sign
// in again sooner or later.
func sessionEnd(c *http.Cookie, now time.Time) time.Time {
	end, _ := jwtTimes(c.Value)
	switch {
	case !end.IsZero():
	case c.MaxAge > int(maxSession/time.Second):
	case c.MaxAge > 0:
		end = now.Add(time.Duration(c.MaxAge) * time.Second)
	default:
		end = c.Expires
	}
	if end.After(now.Add(maxSession)) {
		return time.Time{}
	}
	return end.UTC()
}

// readyMade takes a session that somebody else began.
func (sessionScheme) readyMade(s *Service, t target, c vault.Credential) (vault.Grant, bool, error) {
	if len(c) != 1 || c[valueCookie].IsZero() {
		return vault.Grant{}, false, nil
	}
	name, value, _ := strings.Cut(c.Get(valueCookie), "=")
	if !slices.Contains(t.method.SessionCookie.Cookies, name) {
		return vault.Grant{}, false, fault.InvalidField(valueCookie, "Give the cookie as name=value; the name is %s.", strings.Join(t.method.SessionCookie.Cookies, " or "))
	}
	return vault.Grant{Credential: c, ExpiresAt: sessionEnd(&http.Cookie{Value: value}, s.now())}, true, nil
}

func (sessionScheme) authorization(_ target, c vault.Credential) ([]vault.Header, error) {
	h, err := renderHeader("Cookie", "{cookie}", c)
	if err != nil {
		return nil, err
	}
	// A second cookie could hide behind a semicolon.
	if _, value, _ := strings.Cut(h.Value.Reveal(), "="); strings.ContainsAny(value, " \",;\\") {
		return nil, &valueError{valueCookie, "This is not the value of one cookie."}
	}
	return []vault.Header{h}, nil
}

func (sessionScheme) renewable(t target, c vault.Credential) bool {
	keep := t.method.SessionCookie.Keep
	return keep != "" && c.Get(keep) == ticked
}

// refresh signs in again. The old session is left to end by itself.
func (x sessionScheme) refresh(ctx context.Context, s *Service, t target, conn vault.Connection, c vault.Credential) (*Renewal, error) {
	if !x.renewable(t, c) {
		return nil, &RefreshError{Class: RefreshIntegration, Code: "password_not_kept"}
	}
	g, err := x.obtain(ctx, s, t, c)
	if err != nil {
		return nil, err
	}
	g.Account, g.BaseURL = conn.Account, conn.BaseURL
	return done(s.settle(ctx, t, g, false))
}

func (sessionScheme) revoke(ctx context.Context, s *Service, t target, c vault.Credential) vault.ProviderOutcome {
	x := t.method.SessionCookie
	if !x.Delete {
		return vault.ProviderOutcome{Outcome: vault.OutcomeUnsupported, Detail: t.hint()}
	}
	headers, err := sessionScheme{}.authorization(t, c)
	if err == nil {
		_, err = s.call(ctx, call{route: "logout", method: http.MethodDelete, url: t.sessionURL(), headers: headers, refused: x.Refused})
	}
	switch {
	case err == nil:
		return vault.ProviderOutcome{Outcome: vault.OutcomeRevoked, Detail: fmt.Sprintf("%s ended the session.", t.provider.Title)}
	case errors.Is(err, ErrRefused):
		return vault.ProviderOutcome{Outcome: vault.OutcomeRevoked, Detail: fmt.Sprintf("The session at %s was over already.", t.provider.Title)}
	}
	return s.revocationFailed(ctx, t, err)
}
