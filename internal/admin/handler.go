package admin

import (
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/login"
	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/vault"
)

// maxBody bounds a form, in bytes.
const maxBody = 16 << 10

// Config is what the pages need. All but Provider and Now are required.
type Config struct {
	Vault     *vault.Vault
	Providers *providers.Service
	// Engine refreshes and verifies.
	Engine *refresh.Engine
	// PublicURL is the broker as browsers see it.
	PublicURL *url.URL
	// CookieKeys protect the session cookie: 32 random bytes each, the one for
	// new cookies first. The others still open what they made.
	CookieKeys [][]byte
	// Provider is the OpenID provider that admins sign in at; nil where there is
	// none, and links are the way in.
	Provider *Provider
	Now      func() time.Time // time.Now where nil
}

// Handler serves /admin. What it keeps between two requests is only how often
// each address and account has tried to sign in.
type Handler struct {
	vault     *vault.Vault
	providers *providers.Service
	engine    *refresh.Engine
	publicURL *url.URL
	sessions  *keeper
	flashes   *flashes
	wishes    *wishes
	sealer    *sealer
	trips     httpd.Cookie
	issuer    *Provider
	streams   *streams
	tries     *limiter
	logouts   *limiter
	now       func() time.Time
}

// New makes a handler.
func New(cfg Config) *Handler {
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	seal := newSealer(cfg.CookieKeys)
	return &Handler{
		streams:   newStreams(),
		vault:     cfg.Vault,
		providers: cfg.Providers,
		engine:    cfg.Engine,
		publicURL: cfg.PublicURL,
		flashes:   newFlashes(cfg.PublicURL, seal, now),
		wishes:    newWishes(cfg.PublicURL, seal, now),
		sessions:  newKeeper(cfg.PublicURL, seal),
		sealer:    seal,
		// Lax: the provider's redirect has to bring it.
		trips:   httpd.NewCookie(cfg.PublicURL, "clv_admin_trip", http.SameSiteLaxMode, login.TripLife),
		issuer:  cfg.Provider,
		tries:   newLimiter(now, triesPerMinute),
		logouts: newLimiter(now, logoutsPerMinute),
		now:     now,
	}
}

// The pages, as links and redirects name them.
const (
	homePath         = "/admin"
	signInPath       = "/admin/sign-in"
	connectionsPath  = "/admin/connections"
	integrationsPath = "/admin/integrations"
	apiKeysPath      = "/admin/api-keys"
	auditPath        = "/admin/audit"
	revocationsPath  = "/admin/revocations"
	adminsPath       = "/admin/admins"
	environmentsPath = "/admin/environments"
	ownSessionsPath  = "/admin/sessions"
	linkPath         = "/admin/link/"
)

// Mount adds the routes to an echo of [httpd.New].
func (h *Handler) Mount(e *echo.Echo) {
	g := e.Group("/admin", httpd.BodyLimit(maxBody), httpd.SameOrigin(h.publicURL))
	g.GET("/sign-in", h.askToSignIn)
	g.GET("/link/:token", h.showLink)
	g.POST("/link/:token", h.useLink)
	if h.issuer != nil {
		g.GET("/sign-in/provider", h.goToProvider)
		g.GET("/callback", h.callback)
		g.POST("/backchannel-logout", h.backChannelLogout)
	}
	g.POST("/sign-out", h.signedInAnywhere(h.signOut))
	g.POST("/environment", h.signedInAnywhere(h.switchEnvironment))

	g.GET("", h.signedIn(h.showOverview))
	g.GET("/overview/stream", h.signedIn(h.streamOverview))
	g.GET("/connections", h.signedIn(h.listConnections))
	g.GET("/connections/:id", h.signedIn(h.showConnection))
	g.POST("/connections/:id/refresh", h.signedIn(h.refreshConnection))
	g.POST("/connections/:id/verify", h.signedIn(h.verifyConnection))
	g.POST("/connections/:id/reconnect", h.signedIn(h.makeReconnectLink))
	g.POST("/connections/:id/tags", h.signedIn(h.saveTags))
	g.GET("/connections/:id/revoke", h.signedIn(h.confirmRevoke))
	g.POST("/connections/:id/revoke", h.signedIn(h.needs(vault.ScopeConnectionsRevoke, h.revoke)))
	h.mountBulk(g)
	g.GET("/integrations", h.signedIn(h.listIntegrations))
	h.mountIntegrations(g)
	h.mountAPIKeys(g)
	g.GET("/audit", h.signedIn(h.listAudit))
	g.GET("/audit/export", h.signedIn(h.exportAudit))
	h.mountAccess(g)
}

// mountAccess adds the routes on who gets in, and to what.
func (h *Handler) mountAccess(g *echo.Group) {
	admins := func(next step) echo.HandlerFunc { return h.signedIn(h.needs(vault.ScopeAdminsWrite, next)) }
	g.GET("/admins", admins(h.listAdmins))
	g.GET("/admins/new", admins(h.fresh(h.askToInvite)))
	g.POST("/admins", admins(h.fresh(h.invite)))
	g.GET("/admins/:id", admins(h.showAdmin))
	g.POST("/admins/:id/link", admins(h.fresh(h.inviteAgain)))
	g.POST("/admins/:id/role", admins(h.setRole))
	g.GET("/admins/:id/remove", admins(h.fresh(h.confirmRemoveAdmin)))
	g.POST("/admins/:id/remove", admins(h.changed(h.removeAdmin)))
	g.POST("/admins/:id/restore", admins(h.changed(h.restoreAdmin)))
	g.POST("/admins/:id/end-sessions", admins(h.endSessionsOf))

	g.GET("/sessions", h.signedIn(h.listOwnSessions))
	g.POST("/sessions/end", h.signedIn(h.endOtherSessions))
	g.POST("/sessions/:id/end", h.signedIn(h.endSession))

	environments := func(next step) echo.HandlerFunc { return h.signedIn(h.needs(vault.ScopeEnvironmentsWrite, next)) }
	g.GET("/environments", environments(h.listEnvironments))
	g.POST("/environments", environments(h.createEnvironment))
	g.GET("/environments/:id", environments(h.showEnvironment))
	g.POST("/environments/:id/name", environments(h.renameEnvironment))
	g.POST("/environments/:id/reads", environments(h.setReadAudit))
}

var idPattern = regexp.MustCompile(`^[a-z]{2,4}_[0-9a-v]{26}$`)

// pathID is the id that the path names. What cannot be an id is nothing that is
// there.
func pathID(c echo.Context, what string) (string, error) {
	id := c.Param("id")
	if !idPattern.MatchString(id) {
		return "", fault.New(fault.NotFound, "There is no such %s.", what)
	}
	return id, nil
}
