package connect

import (
	"context"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
)

const (
	// maxBody bounds a form, and a reply that comes as one, in bytes.
	maxBody = 64 << 10
	// askTime is how long one step may ask a provider. It is below the
	// server's write deadline, so that there is still somebody to tell.
	askTime = 75 * time.Second
	// tellTime is how long a provider may take to be told that a credential
	// is not wanted after all.
	tellTime = 10 * time.Second
)

// Config is what the pages need. All but AppName are required.
type Config struct {
	Vault     *vault.Vault
	Providers *providers.Service
	// PublicURL is the broker as browsers see it.
	PublicURL *url.URL
	// AppName is the application that asks for access, as its users know it.
	// Where it is empty, the host of the session's return URL stands in.
	AppName string
}

// Handler serves /connect. It keeps nothing between two requests.
type Handler struct {
	vault     *vault.Vault
	providers *providers.Service
	publicURL *url.URL
	appName   string
}

// New makes a handler.
func New(cfg Config) *Handler {
	return &Handler{
		vault:     cfg.Vault,
		providers: cfg.Providers,
		publicURL: cfg.PublicURL,
		appName:   cfg.AppName,
	}
}

// Mount adds the routes to an echo of [httpd.New].
func (h *Handler) Mount(e *echo.Echo) {
	const callback = "/callback/:integration"
	g := e.Group("/connect",
		httpd.BodyLimit(maxBody),
		// Other sites do post to the callback: that is what form_post is. It
		// believes nothing but the state in it.
		httpd.SameOrigin(h.publicURL, "/connect"+callback),
		h.explain,
	)
	g.GET("/:token", h.landing)
	g.POST("/:token", h.bind)

	g.GET("/s/:session", h.bound(h.start))
	g.POST("/s/:session/cancel", h.bound(h.cancel))
	g.GET("/s/:session/:integration", h.bound(h.chooseMethod))
	g.GET("/s/:session/:integration/:method", h.bound(h.show))
	g.POST("/s/:session/:integration/:method", h.bound(h.submit))

	h.mountManage(g)

	g.GET(callback, h.replyByURL)
	g.POST(callback, h.replyByForm)
	g.GET("/resume/:session/:attempt", h.resume)
	g.GET("/finish/:session/:attempt", h.finish)
}

// reader is who looks up what a page shows of an environment. An end user has
// no scopes; what they get to see is decided here, by the session they hold.
func reader(s *vault.ConnectSession) vault.Caller {
	return vault.System("connect", s.EnvironmentID)
}

// detached is a context for a call to a provider. It does not end with the
// browser's patience: what the provider has handed out by then would be lost.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), askTime)
}
