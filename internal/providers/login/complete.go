package login

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

// Person is who has signed in at the provider.
type Person struct {
	// Issuer and Subject together are who it is, and nothing else is.
	Issuer  string
	Subject string
	// SessionID is the provider's sid, "" where it gives none.
	SessionID string
	// AuthTime is when they signed in there; zero where the provider does not say,
	// which it has to in a trip with Again.
	AuthTime time.Time
	Claims   Claims
}

// Claims are what the provider says of a person, in the id_token and, where that
// leaves something out, at its userinfo endpoint.
type Claims map[string]json.RawMessage

// Strings are the values of a claim that is a string or an array of strings; of
// anything else there are none.
func (c Claims) Strings(name string) []string {
	var one string
	if json.Unmarshal(c[name], &one) == nil && one != "" {
		return []string{one}
	}
	var many []string
	if json.Unmarshal(c[name], &many) != nil {
		return nil
	}
	return many
}

// String is the value of a claim that is a string, or "".
func (c Claims) String(name string) string {
	var s string
	if json.Unmarshal(c[name], &s) != nil {
		return ""
	}
	return s
}

// Email is the person's address, if the provider says that it is theirs.
func (c Claims) Email() string {
	var verified bool
	if json.Unmarshal(c["email_verified"], &verified) != nil || !verified {
		return ""
	}
	return c.String("email")
}

// The reasons for a refusal that are not a check of the id_token.
const (
	ReasonState    = "state"          // not this browser's trip
	ReasonExpired  = "trip_expired"   // it took too long
	ReasonReply    = "reply_shape"    // a parameter twice, or no code
	ReasonIssuer   = "iss"            // another issuer's reply
	ReasonProvider = "provider_error" // the provider says no, in a word that is not registered
	ReasonExchange = "token_exchange" // it refuses the code
	ReasonUserinfo = "userinfo"
	ReasonAuthTime = "auth_time" // the sign-in there is too old, or of unknown age
	ReasonSettings = "settings"  // the issuer is another one by now
)

// Refusal is a reply that signs nobody in.
type Refusal struct { //nolint:errname // the pages and the trail speak of a refusal
	// Reason is a stable word: one above, a check of the id_token, or an error
	// code that the specifications register.
	Reason string
	// Trusted says that it was this browser's reply to this trip: before that,
	// anybody may have made it.
	Trusted bool
	Err     error
}

// Error is the text for the log.
func (r *Refusal) Error() string { return fmt.Sprintf("sign-in refused: %s: %v", r.Reason, r.Err) }

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(reason, problem string) error {
	return &Refusal{Reason: reason, Trusted: true, Err: errors.New(problem)}
}

// TripLife is how long somebody may take at the provider.
const TripLife = 10 * time.Minute

// exchangeTime bounds each call that a reply causes.
const exchangeTime = 20 * time.Second

// Complete makes a person of the reply that a browser brought back from a trip:
// the query of its request. want names the claims that matter: userinfo is
// asked where the id_token lacks one of them. Errors are a [*Refusal], which is
// final, or an [*oidc.Unavailable]. One before the exchange has made no call to
// the token endpoint.
func (p *Provider) Complete(ctx context.Context, trip Trip, reply url.Values, want []string) (Person, error) {
	// Nothing equals nothing, so both have to be there (RFC 6749 section 10.12).
	state := reply["state"]
	if trip.State == "" || len(state) != 1 || subtle.ConstantTimeCompare([]byte(state[0]), []byte(trip.State)) != 1 {
		return Person{}, &Refusal{Reason: ReasonState, Err: errors.New("the state is not that of this browser's trip")}
	}
	now := p.cfg.Now()
	if age := now.Sub(trip.Started); age >= TripLife || age < -skew {
		return Person{}, refuse(ReasonExpired, "the trip took too long")
	}
	if trip.Issuer != p.cfg.Issuer {
		return Person{}, refuse(ReasonSettings, "the trip went to another issuer")
	}
	m, err := p.directory.Metadata(ctx, p.cfg.Issuer, nil)
	if err != nil {
		return Person{}, err
	}
	code, err := readReply(m, reply)
	if err != nil {
		return Person{}, err
	}
	verifier, err := p.directory.Verifier(m, p.cfg.ClientID)
	if err != nil {
		return Person{}, err
	}
	answer, err := p.tokens.Exchange(ctx, tokenendpoint.Request{
		Endpoint: m.TokenEndpoint,
		Client:   p.client(m),
		Grant:    tokenendpoint.AuthorizationCode(code, p.cfg.RedirectURI, vault.NewSecret(trip.Verifier)),
		Timeout:  exchangeTime,
	})
	if err != nil {
		return Person{}, &Refusal{Reason: ReasonExchange, Trusted: true, Err: err}
	}
	expect := oidc.Expect{
		Nonce: vault.NewSecret(trip.Nonce), Code: code, State: vault.NewSecret(trip.State), Started: trip.Started,
	}
	id, said, err := verifier.Login(ctx, answer.IDToken, expect, answer.AccessToken)
	if rejected := new(oidc.Rejection); errors.As(err, &rejected) {
		return Person{}, &Refusal{Reason: string(rejected.Check), Trusted: true, Err: rejected}
	}
	if err != nil {
		return Person{}, err
	}
	if err := trip.checkAuthTime(id.AuthTime, now); err != nil {
		return Person{}, err
	}
	person := Person{Issuer: id.Issuer, Subject: id.Subject, SessionID: id.SessionID, AuthTime: id.AuthTime, Claims: Claims(said)}
	return person, p.complete(ctx, m, answer.AccessToken, &person, want)
}

// readReply takes the code out of a reply, which must be this issuer's: its
// errors as well (RFC 9207 section 2.4).
func readReply(m oidc.Metadata, reply url.Values) (vault.Secret, error) {
	for _, name := range []string{"code", "iss", "error"} {
		if len(reply[name]) > 1 {
			return vault.Secret{}, refuse(ReasonReply, name+" is there twice")
		}
	}
	iss, failed, code := reply.Get("iss"), reply.Get("error"), reply.Get("code")
	switch {
	case iss != "" && iss != m.Issuer:
		return vault.Secret{}, refuse(ReasonIssuer, "iss is another issuer")
	case iss == "" && m.IssuerParameter:
		return vault.Secret{}, refuse(ReasonIssuer, "iss is missing, and the issuer says that it sends it")
	case oidc.IsReplyCode(failed):
		return vault.Secret{}, refuse(failed, "the provider says so")
	case failed != "":
		return vault.Secret{}, refuse(ReasonProvider, "the provider says no, in a word of its own")
	case code == "" || len(code) > 4096:
		return vault.Secret{}, refuse(ReasonReply, "there is no code")
	}
	return vault.NewSecret(code), nil
}

// checkAuthTime holds the sign-in at the provider to the age that was asked for
// (Core section 3.1.2.1, max_age).
func (t Trip) checkAuthTime(at, now time.Time) error {
	switch {
	case at.IsZero() && t.Again:
		return refuse(ReasonAuthTime, "the provider does not say when they signed in")
	case at.IsZero():
		return nil
	case at.After(now.Add(skew)):
		return refuse(ReasonAuthTime, "in the future")
	case at.Before(t.Started.Add(-t.MaxAge - skew)):
		return refuse(ReasonAuthTime, "longer ago than was asked for")
	}
	return nil
}

// complete adds what userinfo says to what the id_token said, where that lacks a
// claim that matters. The id_token is signed, so it has the last word.
func (p *Provider) complete(ctx context.Context, m oidc.Metadata, accessToken vault.Secret, person *Person, want []string) error {
	missing := false
	for _, name := range want {
		if _, ok := person.Claims[name]; !ok {
			missing = true
		}
	}
	if !missing || m.UserinfoEndpoint == "" {
		return nil
	}
	fail := func(problem string) error { return refuse(ReasonUserinfo, problem) }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.UserinfoEndpoint, nil)
	if err != nil {
		return fail("the endpoint is no URL")
	}
	req.Header.Set("Authorization", "Bearer "+accessToken.Reveal())
	req.Header.Set("Accept", "application/json")
	res, err := p.cfg.HTTP.Do(ctx, req, maxUserinfo)
	if err != nil {
		return &oidc.Unavailable{What: "userinfo", Err: err}
	}
	if res.Status != http.StatusOK {
		return fail(fmt.Sprintf("status %d", res.Status))
	}
	said, err := oidc.ReadClaims(res.Body)
	if err != nil {
		return fail("not a JSON object, or one that two readers may read two ways")
	}
	// Core section 5.3.2: it may be about somebody else.
	if Claims(said).String("sub") != person.Subject {
		return fail("about somebody else")
	}
	// email_verified is about the email beside it, and about no other.
	switch _, ok := person.Claims["email"]; {
	case !ok:
		delete(person.Claims, "email_verified")
	case Claims(said).String("email") != person.Claims.String("email"):
		delete(said, "email_verified")
	}
	for name, value := range said {
		if _, ok := person.Claims[name]; !ok {
			person.Claims[name] = value
		}
	}
	return nil
}

// maxUserinfo is the most that is read of an answer of userinfo.
const maxUserinfo = 256 << 10

// Logout judges a logout token. The errors are those of package oidc.
func (p *Provider) Logout(ctx context.Context, raw vault.Secret) (issuer string, out oidc.Logout, err error) {
	m, err := p.directory.Metadata(ctx, p.cfg.Issuer, nil)
	if err != nil {
		return "", oidc.Logout{}, err
	}
	verifier, err := p.directory.Verifier(m, p.cfg.ClientID)
	if err != nil {
		return "", oidc.Logout{}, err
	}
	out, err = verifier.Logout(ctx, raw)
	return m.Issuer, out, err
}
