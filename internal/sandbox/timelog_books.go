package sandbox

import (
	"slices"
	"strings"
	"time"
)

// grant is what one person allowed one client, and where it came from.
type grant struct {
	client   Client
	email    string
	subject  string
	issuer   string
	scope    []string
	nonce    string
	state    string
	sid      string
	authTime time.Time
}

// code is an authorization code, good once.
type code struct {
	grant       *grant
	redirectURI string
	challenge   string
	expires     time.Time
	spent       bool
	family      *family // what it was redeemed for, if that can be refreshed
}

// family is a line of refresh tokens that grew from one grant.
type family struct {
	Family
	grant       *grant
	redirectURI string
	expires     time.Time
	inFlight    int
	accessMade  int
}

type refreshToken struct {
	family  *family
	number  int
	spentAt time.Time // zero: not spent
}

type accessToken struct {
	grant     *grant
	family    *family // nil without offline_access
	number    int     // in the family
	issued    time.Time
	expires   time.Time
	revokedAt time.Time // zero: not revoked
}

// end is when the token stops working, as far as is known.
func (a *accessToken) end() time.Time {
	end := a.expires
	if !a.revokedAt.IsZero() && a.revokedAt.Before(end) {
		end = a.revokedAt
	}
	if a.family != nil && a.family.Revoked && a.family.RevokedAt.Before(end) {
		end = a.family.RevokedAt
	}
	return end
}

// Family is the books on one line of refresh tokens.
type Family struct {
	ID       string
	ClientID string
	Subject  string
	// Head is the refresh token that is good now. It is a secret.
	Head string
	// Issued and Spent count refresh tokens; Issued is Spent+1 as long as
	// everything is in order.
	Issued int
	Spent  int
	// Reused counts presentations of a spent one.
	Reused int
	// MaxInFlight is how many refreshes of the family were under way at once,
	// at most. Anything above 1 is the client's mistake.
	MaxInFlight int
	// Undelivered says that the answer which carried Head did not go out
	// whole: the client cannot know it.
	Undelivered bool
	// Revoked families are dead, their access tokens too. RevokedBy says why:
	// "reuse", "client" (RFC 7009), "code_reuse" or "operator".
	Revoked   bool
	RevokedBy string
	RevokedAt time.Time
}

// Families lists the books of all families, oldest first.
func (t *TimeLog) Families() []Family {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Family, len(t.families))
	for i, f := range t.families {
		out[i] = f.Family
	}
	return out
}

// RevokeFamilies kills every family that is alive, as the user does who
// withdraws the permission at TimeLog.
func (t *TimeLog) RevokeFamilies() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.families {
		f.revoke("operator", t.now())
	}
}

// ExpireAccessTokens makes every access token issued so far worthless.
// Refresh tokens stay good.
func (t *TimeLog) ExpireAccessTokens() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.access {
		a.revoke(t.now())
	}
}

func (f *family) revoke(by string, at time.Time) {
	if !f.Revoked {
		f.Revoked, f.RevokedBy, f.RevokedAt = true, by, at
	}
}

func (a *accessToken) revoke(at time.Time) {
	if a.revokedAt.IsZero() {
		a.revokedAt = at
	}
}

func (t *TimeLog) newCode(g *grant, req *authorizeRequest) string {
	value := strings.ToUpper(randomHex(32))
	t.secrets.add(value)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.codes[value] = &code{
		grant:       g,
		redirectURI: req.redirectURI,
		challenge:   req.challenge,
		expires:     t.now().Add(t.Settings().CodeLife),
	}
	return value
}

// spendCode uses a code up, whoever presents it: the first look is the last.
func (t *TimeLog) spendCode(client Client, value, redirectURI, verifier string) (*grant, *family, *tokenFault) {
	set := t.Settings()
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.codes[value]
	if !ok {
		return nil, nil, invalidGrant()
	}
	if c.spent { // RFC 6749 section 4.1.2: what it bought should be revoked
		if c.family != nil && set.RevokeOnReuse {
			c.family.revoke("code_reuse", t.now())
		}
		return nil, nil, invalidGrant()
	}
	c.spent = true
	switch {
	case c.grant.client.ID != client.ID,
		!t.now().Before(c.expires),
		c.redirectURI != redirectURI,
		!pkceMatches(c.challenge, verifier):
		return nil, nil, invalidGrant()
	}
	if slices.Contains(c.grant.scope, scopeOffline) {
		c.family = t.newFamily(c.grant, redirectURI, set.RefreshLife)
	}
	return c.grant, c.family, nil
}

// newFamily starts a line with its first token. t.mu is held.
func (t *TimeLog) newFamily(g *grant, redirectURI string, life time.Duration) *family {
	f := &family{
		Family:      Family{ID: randomHex(8), ClientID: g.client.ID, Subject: g.subject},
		grant:       g,
		redirectURI: redirectURI,
		expires:     t.now().Add(life),
	}
	t.families = append(t.families, f)
	t.grow(f)
	return f
}

// grow gives the family its next refresh token. t.mu is held.
func (t *TimeLog) grow(f *family) {
	f.Head = strings.ToUpper(randomHex(32))
	f.Issued++
	t.refresh[f.Head] = &refreshToken{family: f, number: f.Issued}
	t.secrets.add(f.Head)
}

// spendRefresh uses a refresh token up and gives its family's next one. What
// it does goes into the record of the call.
func (t *TimeLog) spendRefresh(client Client, value, redirectURI string, rec *RefreshCall) (*family, string, *tokenFault) {
	set := t.Settings()
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	tok, ok := t.refresh[value]
	if !ok || tok.family.ClientID != client.ID {
		return nil, "", invalidGrant()
	}
	f := tok.family
	if !f.allowsRedirect(redirectURI) {
		return nil, "", invalidGrant()
	}
	if !tok.spentAt.IsZero() {
		f.Reused++
		rec.Reused = true
		if inGrace := now.Before(tok.spentAt.Add(set.ReuseGrace)); !inGrace {
			if set.RevokeOnReuse {
				f.revoke("reuse", now)
			}
			return nil, "", invalidGrant()
		}
	}
	acc, ok := t.accounts.Get(f.grant.email)
	if f.Revoked || !now.Before(f.expires) || !ok || acc.Disabled {
		return nil, "", invalidGrant()
	}
	rec.Granted = true
	if set.ReusableRefresh {
		return f, value, nil
	}
	if tok.spentAt.IsZero() {
		tok.spentAt, rec.Spent = now, now
		f.Spent++
	} else if head := t.refresh[f.Head]; head.spentAt.IsZero() {
		// Within the grace: the head that never arrived gives way.
		head.spentAt = now
		f.Spent++
	}
	t.grow(f)
	return f, f.Head, nil
}
