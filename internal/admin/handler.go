package admin

import (
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
)

// maxBody bounds a form, in bytes. The largest one here holds an API key.
const maxBody = 16 << 10

// Config is what the pages need. All but Now are required.
type Config struct {
	Vault     *vault.Vault
	Providers *providers.Service
	// PublicURL is the broker as browsers see it.
	PublicURL *url.URL
	// CookieKeys protect the session cookie: 32 bytes each, the one for new
	// cookies first. The others still open what they made.
	CookieKeys [][]byte
	Now        func() time.Time // time.Now where nil
}

// Handler serves /admin.
type Handler struct {
	vault     *vault.Vault
	providers *providers.Service
	publicURL *url.URL
	now       func() time.Time
}

// New makes a handler.
func New(cfg Config) *Handler {
	h := &Handler{vault: cfg.Vault, providers: cfg.Providers, publicURL: cfg.PublicURL, now: cfg.Now}
	if h.now == nil {
		h.now = time.Now
	}
	return h
}

// Mount adds the routes to an echo of [httpd.New].
func (h *Handler) Mount(e *echo.Echo) {
	g := e.Group("/admin", httpd.BodyLimit(maxBody), httpd.SameOrigin(h.publicURL))
	g.GET("/sign-in", h.showSignIn)
}

// GET /admin/sign-in
func (h *Handler) showSignIn(c echo.Context) error {
	return httpd.Render(c, http.StatusOK, "admin/sign-in", nil)
}
