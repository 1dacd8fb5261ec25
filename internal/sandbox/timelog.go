package sandbox

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The endpoints of TimeLog.
const (
	TimeLogDiscovery  Endpoint = "discovery"         // GET /.well-known/openid-configuration
	TimeLogJWKS       Endpoint = "jwks"              // GET /.well-known/openid-configuration/jwks
	TimeLogAuthorize  Endpoint = "authorize"         // GET, POST /connect/authorize
	TimeLogDecision   Endpoint = "authorize.decide"  // POST /account/login
	TimeLogToken      Endpoint = "token"             // POST /connect/token, whatever the grant
	TimeLogExchange   Endpoint = "token.exchange"    // … grant_type=authorization_code
	TimeLogRefresh    Endpoint = "token.refresh"     // … grant_type=refresh_token
	TimeLogOtherGrant Endpoint = "token.unsupported" // … anything else
	TimeLogRevocation Endpoint = "revocation"        // POST /connect/revocation
	TimeLogUserInfo   Endpoint = "userinfo"          // GET /connect/userinfo
	TimeLogResolveURI Endpoint = "resolve_uri"       // GET /api/ResolveUri
	TimeLogAPI        Endpoint = "api"               // GET {tenant root}/api/v1/user
)

// Client is an OAuth client registered at TimeLog.
type Client struct {
	ID     string
	Secret string
	// RedirectURIs are compared character by character.
	RedirectURIs []string
	// AnyLoopback also takes any redirect URI on a loopback host, with any
	// port and path.
	AnyLoopback bool
	// Scopes it may ask for; nil means openid, profile, email, tlp and
	// offline_access.
	Scopes []string
}

// The client that is registered at the start.
const (
	DemoClientID     = "claviger-sandbox"
	DemoClientSecret = "sandbox-client-secret-of-forty-characters"
)

// DemoClient takes any redirect URI on loopback.
func DemoClient() Client {
	return Client{ID: DemoClientID, Secret: DemoClientSecret, AnyLoopback: true}
}

// TimeLogSettings are TimeLog's switches. NewTimeLog sets those that say so;
// the rest begin as zero.
type TimeLogSettings struct {
	// AutoApprove answers authorize requests at once, as if the account with
	// this e-mail address had signed in and agreed; "" shows the page.
	AutoApprove string
	// ShowHints prints the demo accounts on the sign-in page.
	ShowHints bool
	// AllowQuery takes an explicit response_mode=query for the hybrid flow,
	// which stock IdentityServer refuses.
	AllowQuery bool
	// DefaultMode answers a request without response_mode: "fragment" by the
	// standard, "query" by TimeLog's documentation. Starts as "fragment".
	DefaultMode string
	// RequirePKCE refuses authorize requests without a code_challenge.
	RequirePKCE bool

	// Lives of what is issued. They start as 5 min, 5 min, 1 h and 30 days;
	// a family of refresh tokens ends for good after RefreshLife.
	CodeLife    time.Duration
	IDTokenLife time.Duration
	AccessLife  time.Duration
	RefreshLife time.Duration

	// OpaqueAccessTokens issues handles; otherwise access tokens are JWTs.
	OpaqueAccessTokens bool
	// ReusableRefresh answers a refresh with the same refresh token again.
	ReusableRefresh bool
	// RevokeOnReuse kills the whole family, access tokens too, when a spent
	// refresh token comes back. Starts as true.
	RevokeOnReuse bool
	// ReuseGrace is how long after it was spent a refresh token still buys a
	// successor.
	ReuseGrace time.Duration
	// InvalidClientStatus is 400 as at IdentityServer; RFC 6749 section 5.2
	// would have 401.
	InvalidClientStatus int

	// OmitKID leaves the key id out of the JWKS and of tokens.
	OmitKID bool
	// TenantRoot is ResolveUri's answer; "" means URL + "/soxdemo", where the
	// sandbox really serves an API.
	TenantRoot string
	// Discovery, if not nil, alters the discovery document before it is sent.
	Discovery func(map[string]any)
}

// TimeLog is an OpenID provider after IdentityServer's manners, with TimeLog's
// API behind it: hybrid flow, one-time refresh tokens in families, ResolveUri.
type TimeLog struct {
	*Service
	Switches[TimeLogSettings]

	keys *keyring

	mu          sync.Mutex
	clients     map[string]Client
	tickets     map[string]*authorizeRequest // sign-in pages that wait for an answer
	codes       map[string]*code
	families    []*family
	refresh     map[string]*refreshToken
	access      map[string]*accessToken
	ledger      []*RefreshCall
	revocations map[string]int // of refresh tokens, by family
	tampers     []*tampering
	denials     []denial
}

// NewTimeLog makes the service without serving it; it is an [http.Handler].
func NewTimeLog(cfg Config) *TimeLog {
	cfg = cfg.withDefaults()
	t := &TimeLog{
		Service:     newService(TimeLogName, cfg, cfg.TimeLogAccounts, func() string { return "tlpat-sandbox-" + randomToken() }),
		keys:        newKeyring(),
		clients:     make(map[string]Client),
		tickets:     make(map[string]*authorizeRequest),
		codes:       make(map[string]*code),
		refresh:     make(map[string]*refreshToken),
		access:      make(map[string]*accessToken),
		revocations: make(map[string]int),
	}
	t.Set(func(s *TimeLogSettings) {
		*s = TimeLogSettings{
			DefaultMode:         modeFragment,
			CodeLife:            5 * time.Minute,
			IDTokenLife:         5 * time.Minute,
			AccessLife:          time.Hour,
			RefreshLife:         30 * 24 * time.Hour,
			RevokeOnReuse:       true,
			InvalidClientStatus: http.StatusBadRequest,
		}
	})
	for _, c := range cfg.Clients {
		t.Register(c)
	}
	t.routes()
	return t
}

func (t *TimeLog) routes() {
	t.handle(TimeLogDiscovery, "GET /.well-known/openid-configuration", t.discovery)
	t.handle(TimeLogJWKS, "GET "+jwksPath, t.jwks)
	t.handle(TimeLogAuthorize, "GET /connect/authorize", t.authorize)
	t.handle(TimeLogAuthorize, "POST /connect/authorize", t.authorize)
	t.handle(TimeLogDecision, "POST /account/login", t.decide)
	t.mux.Handle("POST /connect/token", t.observe(grantEndpoint, t.watchRefresh, http.HandlerFunc(t.token)))
	t.handle(TimeLogRevocation, "POST /connect/revocation", t.revocation)
	t.handle(TimeLogUserInfo, "GET /connect/userinfo", t.bearer(t.userInfo))
	t.handle(TimeLogResolveURI, "GET /api/ResolveUri", t.bearer(t.resolveURI))
	t.handle(TimeLogAPI, "GET /{tenant}/api/v1/user", t.bearer(t.user))
	t.handle(Unknown, "/", http.NotFound)
}

// Issuer is the OpenID issuer: the service's URL.
func (t *TimeLog) Issuer() string { return t.URL() }

// Register adds a client or replaces the one with the same id.
func (t *TimeLog) Register(c Client) {
	if c.Scopes == nil {
		c.Scopes = []string{"openid", "profile", "email", "tlp", scopeOffline}
	}
	t.secrets.add(c.Secret)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clients[c.ID] = c
}

func (t *TimeLog) client(id string) (Client, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.clients[id]
	return c, ok
}

// TokenCalls is how many requests came to the token endpoint.
func (t *TimeLog) TokenCalls() int { return t.Count(TimeLogToken) }

// RefreshCalls is how many of them were for a refresh.
func (t *TimeLog) RefreshCalls() int { return t.Count(TimeLogRefresh) }

// WaitRefresh returns once n refreshes have arrived, or with ctx's error.
func (t *TimeLog) WaitRefresh(ctx context.Context, n int) error {
	return t.WaitCount(ctx, TimeLogRefresh, n)
}

// Reuses is how often a spent refresh token was presented, over all families.
func (t *TimeLog) Reuses() int {
	n := 0
	for _, f := range t.Families() {
		n += f.Reused
	}
	return n
}

// RotateKeys makes a new signing key. With keepOld the JWKS goes on listing
// the former ones, as a careful provider does.
func (t *TimeLog) RotateKeys(keepOld bool) error {
	if err := t.keys.rotate(keepOld); err != nil {
		return fmt.Errorf("sandbox: rotating keys: %w", err)
	}
	return nil
}

// denial is one authorize request to be refused.
type denial struct{ code, description string }

// DenyNext makes the next authorize request that is otherwise in order answer
// with this error, by the response mode that the request asked for.
func (t *TimeLog) DenyNext(code, description string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.denials = append(t.denials, denial{code, description})
}

func (t *TimeLog) nextDenial() (denial, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.denials) == 0 {
		return denial{}, false
	}
	d := t.denials[0]
	t.denials = t.denials[1:]
	return d, true
}

// tenantRoot is where the tenant's API lives.
func (t *TimeLog) tenantRoot(r *http.Request) string {
	return cmp.Or(t.Settings().TenantRoot, t.baseURL(r)+"/soxdemo")
}

const (
	scopeOpenID  = "openid"
	scopeOffline = "offline_access"
)

// scopeFields splits a scope parameter; order and repetition do not matter.
func scopeFields(s string) []string {
	f := strings.Fields(s)
	slices.Sort(f)
	return slices.Compact(f)
}
