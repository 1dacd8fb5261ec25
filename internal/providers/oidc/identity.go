package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Identity is whose account it is, and what a later id_token of the same
// login has to agree with. It holds no secret and is kept as it is.
type Identity struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"` // unique at the issuer only: the pair is the identity
	ClientID string `json:"aud"`
	// SessionID and ContextClass are sid and acr; "" means the issuer gives none.
	SessionID    string `json:"sid,omitempty"`
	ContextClass string `json:"acr,omitempty"`
	// AuthTime is when the person signed in; zero means the issuer does not say.
	AuthTime time.Time `json:"auth_time,omitzero"`
	IssuedAt time.Time `json:"iat"`
	// NonceDigest is the SHA-256 of the nonce in base64url.
	NonceDigest string `json:"nonce_sha256,omitempty"`
}

// identity is what is kept of a verified token.
func (t token) identity() Identity {
	id := Identity{
		Issuer:   *t.claims.issuer,
		Subject:  *t.claims.subject,
		ClientID: t.claims.audience[0],
		IssuedAt: *t.claims.issuedAt,
	}
	if t.claims.sessionID != nil {
		id.SessionID = *t.claims.sessionID
	}
	if t.claims.contextClass != nil {
		id.ContextClass = *t.claims.contextClass
	}
	if t.claims.authTime != nil {
		id.AuthTime = *t.claims.authTime
	}
	if t.claims.nonce != nil {
		sum := sha256.Sum256([]byte(*t.claims.nonce))
		id.NonceDigest = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return id
}

// agree holds an identity to the one before it: the same person, at the same
// issuer, for the same client, by the same sign-in.
func (id Identity) agree(before Identity) error {
	switch {
	case id.Issuer != before.Issuer:
		return refuse(CheckIssuer, "not that of the token before")
	case id.Subject != before.Subject:
		return refuse(CheckSubject, "not that of the token before")
	case id.ClientID != before.ClientID:
		return refuse(CheckAudience, "not that of the token before")
	case !id.AuthTime.IsZero() && !before.AuthTime.IsZero() && !id.AuthTime.Equal(before.AuthTime):
		return refuse(CheckAuthTime, "not that of the token before")
	}
	return nil
}

// inherit keeps what an earlier token said and this one leaves out, so that a
// token after it is still held to that.
func (id Identity) inherit(before Identity) Identity {
	if id.SessionID == "" {
		id.SessionID = before.SessionID
	}
	if id.ContextClass == "" {
		id.ContextClass = before.ContextClass
	}
	if id.AuthTime.IsZero() {
		id.AuthTime = before.AuthTime
	}
	if id.NonceDigest == "" {
		id.NonceDigest = before.NonceDigest
	}
	return id
}

// differ says whether both are there and not the same.
func differ(a, b string) bool { return a != "" && b != "" && a != b }
