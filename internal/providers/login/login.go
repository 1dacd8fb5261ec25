package login

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/providers/tokenendpoint"
	"github.com/claviger/claviger/internal/vault"
)

// Config is what a provider needs. All but ClientSecret, Now and Log are
// required.
type Config struct {
	HTTP *outbound.Client
	// Issuer is the provider, exactly as its discovery document has it.
	Issuer   string
	ClientID string
	// ClientSecret is zero for a public client.
	ClientSecret vault.Secret
	Scopes       []string // with openid
	RedirectURI  string
	Now          func() time.Time // time.Now where nil
	Log          *slog.Logger     // discarded where nil
}

// Provider is an OpenID provider that people sign in at. It is safe for
// concurrent use.
type Provider struct {
	cfg       Config
	directory *oidc.Directory
	tokens    *tokenendpoint.Client
}

// New makes a provider, and no call.
func New(cfg Config) *Provider {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Provider{
		cfg: cfg,
		directory: oidc.NewDirectory(oidc.Config{
			HTTP: &http.Client{Transport: cfg.HTTP.Transport("issuer")}, Now: cfg.Now, Log: cfg.Log, Skew: skew,
		}),
		tokens: &tokenendpoint.Client{HTTP: cfg.HTTP, Now: cfg.Now, Log: cfg.Log},
	}
}

// skew is how far the provider's clock may be off ours.
const skew = time.Minute

// CheckIssuer says what is wrong with an issuer identifier, or nil: it is an
// https URL without query and fragment (Core section 1.2). Plain http is for
// addresses that outbound calls were allowed to reach.
func CheckIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsAny(issuer, "?#") {
		return errors.New("must be an https URL without query and fragment")
	}
	return nil
}

// Host is the provider's, for people.
func (p *Provider) Host() string {
	u, err := url.Parse(p.cfg.Issuer)
	if err != nil {
		return p.cfg.Issuer
	}
	return u.Host
}

// Trip is what has to be kept of one way to the provider and back, unseen and
// unchanged by the browser. It is used once.
type Trip struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	Issuer   string    `json:"issuer"`
	Started  time.Time `json:"started"`
	// Again says that the person was to sign in anew, whatever session they have
	// at the provider.
	Again bool `json:"again,omitempty"`
	// MaxAge is how long ago the person may have signed in at the provider.
	MaxAge time.Duration `json:"max_age"`
}

// Hash is what to know a trip by once it is over.
func (t Trip) Hash() []byte { return vault.HashToken(vault.NewSecret(t.State)) }

// Begin makes the URL that sends a browser to the provider. maxAge is how long
// ago the person may have signed in there; 0 asks for it anew. The error is one
// of package oidc.
func (p *Provider) Begin(ctx context.Context, maxAge time.Duration) (*url.URL, Trip, error) {
	m, err := p.directory.Metadata(ctx, p.cfg.Issuer, nil)
	if err != nil {
		return nil, Trip{}, err
	}
	u, err := p.cfg.HTTP.ParseURL(m.AuthorizationEndpoint)
	if err != nil {
		return nil, Trip{}, &oidc.MetadataError{Issuer: m.Issuer, Problem: "authorization_endpoint: " + err.Error()}
	}
	t := Trip{
		State: randomValue(), Nonce: randomValue(), Verifier: randomValue(),
		Issuer: m.Issuer, Started: p.cfg.Now(), Again: maxAge == 0, MaxAge: maxAge,
	}
	challenge := sha256.Sum256([]byte(t.Verifier))
	q := u.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": p.cfg.ClientID, "redirect_uri": p.cfg.RedirectURI,
		"scope": strings.Join(p.cfg.Scopes, " "), "state": t.State, "nonce": t.Nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
		"max_age": strconv.Itoa(int(maxAge.Seconds())),
	} {
		q.Set(name, value)
	}
	if t.Again {
		q.Set("prompt", "login")
	}
	u.RawQuery = q.Encode()
	return u, t, nil
}

// randomValue is 256 random bits in base64url: the 43 characters that RFC 7636
// section 4.1 recommends for a verifier.
func randomValue() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// client is how we authenticate at the token endpoint: by HTTP Basic unless the
// provider lists other ways and not this one.
func (p *Provider) client(m oidc.Metadata) tokenendpoint.Credentials {
	c := tokenendpoint.Credentials{ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, Auth: tokenendpoint.AuthBasic}
	switch methods := m.TokenAuthMethods; {
	case c.ClientSecret.IsZero():
		c.Auth = tokenendpoint.AuthNone
	case methods != nil && !slices.Contains(methods, string(tokenendpoint.AuthBasic)) && slices.Contains(methods, string(tokenendpoint.AuthPost)):
		c.Auth = tokenendpoint.AuthPost
	}
	return c
}
