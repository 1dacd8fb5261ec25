package api

import (
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/vault"
)

// maxBody bounds every request of this API, in bytes.
const maxBody = 64 << 10

// Config is what the API is made of; all of it is required.
type Config struct {
	Vault     *vault.Vault
	Providers *providers.Service
	Engine    *refresh.Engine
	PublicURL *url.URL
}

// Handler answers /v1 and /openapi.json.
type Handler struct {
	vault     *vault.Vault
	providers *providers.Service
	engine    *refresh.Engine
	publicURL *url.URL
	document  func() (document, error)
}

// New makes a handler.
func New(cfg Config) *Handler {
	return &Handler{
		vault: cfg.Vault, providers: cfg.Providers, engine: cfg.Engine, publicURL: cfg.PublicURL,
		document: sync.OnceValues(func() (document, error) { return describe(cfg.PublicURL) }),
	}
}

// Mount adds the routes to an echo of [httpd.New].
func (h *Handler) Mount(e *echo.Echo) {
	e.GET("/openapi.json", h.openAPI)
	g := e.Group("/v1", httpd.BodyLimit(maxBody))

	// The hot path brings its key to the database together with its question.
	g.GET("/connections/:id/headers", h.getHeaders)

	for _, r := range []struct {
		method, path string
		handle       func(echo.Context, vault.Caller) error
	}{
		{http.MethodGet, "/providers", bare(h.listProviders)},
		{http.MethodGet, "/providers/:name", bare(h.getProvider)},

		{http.MethodPost, "/integrations", bare(h.createIntegration)},
		{http.MethodGet, "/integrations", h.listIntegrations},
		{http.MethodGet, "/integrations/:key", bare(h.getIntegration)},
		{http.MethodPatch, "/integrations/:key", bare(h.patchIntegration)},
		{http.MethodDelete, "/integrations/:key", h.deleteIntegration},

		{http.MethodPost, "/connect-sessions", bare(h.createSession)},
		{http.MethodGet, "/connect-sessions/:id", h.getSession},
		{http.MethodPost, "/connect-sessions/:id/redeem", bare(h.redeemSession)},

		{http.MethodPost, "/connections", bare(h.importConnection)},
		{http.MethodGet, "/connections", h.listConnections},
		{http.MethodGet, "/connections/:id", bare(h.getConnection)},
		{http.MethodPatch, "/connections/:id", bare(h.patchConnection)},
		{http.MethodGet, "/connections/:id/credential", h.getCredential},
		{http.MethodPost, "/connections/:id/refresh", bare(h.refreshConnection)},
		{http.MethodPost, "/connections/:id/rejected", bare(h.rejectConnection)},
		{http.MethodPost, "/connections/:id/revoke", bare(h.revokeConnection)},
		{http.MethodDelete, "/connections/:id", bare(h.deleteConnection)},

		{http.MethodGet, "/revocations", h.listRevocations},
		{http.MethodPost, "/revocations", bare(h.createRevocation)},
		{http.MethodGet, "/revocations/:id", h.getRevocation},
		{http.MethodGet, "/revocations/:id/items", h.listRevocationItems},
		{http.MethodPost, "/revocations/:id/stop", bare(h.stopRevocation)},
		{http.MethodPost, "/revocations/:id/resume", bare(h.resumeRevocation)},

		{http.MethodGet, "/api-keys", h.listAPIKeys},
		{http.MethodPost, "/api-keys", bare(h.createAPIKey)},
		{http.MethodGet, "/api-keys/:id", bare(h.getAPIKey)},
		{http.MethodPatch, "/api-keys/:id", bare(h.patchAPIKey)},
		{http.MethodPost, "/api-keys/:id/rotate", bare(h.rotateAPIKey)},
		{http.MethodDelete, "/api-keys/:id", bare(h.deleteAPIKey)},

		{http.MethodGet, "/audit", h.listAudit},
		{http.MethodGet, "/audit/export", h.exportAudit},
		{http.MethodGet, "/events", h.listEvents},
	} {
		g.Add(r.method, r.path, h.authenticated(r.handle))
	}
}

// authenticated finds out who presents the key, and hands the caller on.
func (h *Handler) authenticated(handle func(echo.Context, vault.Caller) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		caller, err := h.vault.Authenticate(c.Request().Context(), bearerOf(c))
		if err != nil {
			return err
		}
		rec := httpd.RecordOf(c.Request().Context())
		rec.SetActor(caller.ID)
		rec.SetEnvironment(caller.EnvironmentID)
		return handle(c, caller)
	}
}

// bearerOf is who asks, as far as the request tells.
func bearerOf(c echo.Context) vault.Bearer {
	return vault.Bearer{Key: bearer(c), From: httpd.RemoteAddr(c)}
}

// bearer is the key of RFC 6750 section 2.1, empty where there is none. A key
// in the query (section 2.3) would end up in logs and is not looked for.
func bearer(c echo.Context) vault.Secret {
	values := c.Request().Header["Authorization"]
	if len(values) != 1 {
		return vault.Secret{}
	}
	scheme, key, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return vault.Secret{}
	}
	return vault.NewSecret(strings.TrimSpace(key))
}
