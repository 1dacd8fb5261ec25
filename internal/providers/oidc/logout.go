package oidc

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// maxLogoutAge is how old a logout token may be: they are sent when somebody
// logs out, and tried again for a moment.
const maxLogoutAge = 5 * time.Minute

// logoutEvent is the member of events that makes a token a logout token.
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// Logout says whose sessions the issuer has ended.
type Logout struct {
	// Subject, SessionID or both are there.
	Subject   string
	SessionID string
	// IssuedAt bounds which sessions: one that began later is not meant.
	IssuedAt time.Time
}

// Logout judges a logout token (OpenID Connect Back-Channel Logout 1.0 section
// 2.6). That one is not sent twice is for the caller: it ends what began
// before [Logout.IssuedAt], so a second time there is nothing to end.
func (v *Verifier) Logout(ctx context.Context, raw vault.Secret) (Logout, error) {
	t, err := open(raw.Reveal(), v.algs, "logout+jwt", "JWT")
	if err == nil {
		err = v.judge(ctx, t, v.now().Add(-maxLogoutAge), t.checkLogout)
	}
	if err != nil {
		return Logout{}, at(BackChannel, err)
	}
	out := Logout{IssuedAt: *t.claims.issuedAt}
	if t.claims.subject != nil {
		out.Subject = *t.claims.subject
	}
	if t.claims.sessionID != nil {
		out.SessionID = *t.claims.sessionID
	}
	return out, nil
}

// checkLogout tells a logout token from an id_token, which anybody who has
// signed in could send (section 2.6, items 4 to 6).
func (t token) checkLogout() error {
	subject, sid := t.claims.subject, t.claims.sessionID
	if subject != nil {
		if err := t.claims.checkSubject(); err != nil {
			return err
		}
	}
	if sid != nil && (*sid == "" || len(*sid) > maxSessionID) {
		return refuse(CheckSessionID, "empty, or too long")
	}
	if subject == nil && sid == nil {
		return refuse(CheckSubject, "neither a subject nor a session")
	}
	if _, ok := t.members["nonce"]; ok {
		return refuse(CheckNonce, "a logout token has none")
	}
	if id, err := text(t.members, "jti", CheckTokenID); err != nil || id == nil || *id == "" {
		return refuse(CheckTokenID, "missing")
	}
	var events, event map[string]json.RawMessage
	if json.Unmarshal(t.members["events"], &events) != nil || json.Unmarshal(events[logoutEvent], &event) != nil || event == nil {
		return refuse(CheckEvents, "not a logout")
	}
	return nil
}

// maxSessionID is the longest sid that is kept.
const maxSessionID = 512
