package httpd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/web"
)

// MaxBody is the largest request body read anywhere, in bytes. Groups ask for
// less with [BodyLimit].
const MaxBody = 1 << 20

// Config is what the shell needs. Log and PublicURL are required.
type Config struct {
	// Log gets one record a request, and what goes wrong outside of one.
	Log *slog.Logger
	// PublicURL is where browsers find us. Its scheme decides on HSTS.
	PublicURL *url.URL
	// AppName is the product as pages name it; "Claviger" where empty.
	AppName string
	// Now is the clock; time.Now where nil.
	Now func() time.Time
	// TrustedProxies are the peers whose X-Forwarded-For is believed. With
	// none, the client is who opened the connection.
	TrustedProxies []netip.Prefix
	// Checks decide /readyz, in this order.
	Checks []Check
	// Templates holds the pages; web.Templates() where nil.
	Templates fs.FS
}

// New builds the shell with /static, /healthz and /readyz mounted; rooms mount
// the rest. It fails on a template that does not parse, so that a broken page
// is found at start and not by a visitor.
func New(cfg Config) (*echo.Echo, error) {
	if cfg.Log == nil || cfg.PublicURL == nil {
		return nil, errors.New("httpd: Log and PublicURL are required")
	}
	if cfg.AppName == "" {
		cfg.AppName = "Claviger"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Templates == nil {
		cfg.Templates = web.Templates()
	}
	assets, err := newAssets(web.Static())
	if err != nil {
		return nil, fmt.Errorf("loading static files: %w", err)
	}
	pages, err := newPages(cfg.Templates, assets, cfg.AppName)
	if err != nil {
		return nil, fmt.Errorf("parsing templates: %w", err)
	}

	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(io.Discard) // echo's own logger knows paths; ours does not
	e.Renderer = pages
	e.IPExtractor = clientIP(cfg.TrustedProxies)

	s := &shell{log: cfg.Log, now: cfg.Now}
	s.apiHeaders, s.pageHeaders = fixedHeaders(cfg.PublicURL.Scheme == "https")
	e.HTTPErrorHandler = s.exit
	e.Use(s.middleware)

	e.GET(staticRoute, assets.serve)
	h := &health{log: cfg.Log, now: cfg.Now, checks: cfg.Checks}
	e.GET("/healthz", h.live)
	e.GET("/readyz", h.ready)
	return e, nil
}

// clientIP believes X-Forwarded-For from the given peers and nobody else.
func clientIP(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	opts := []echo.TrustOption{
		echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false),
	}
	for _, p := range trusted {
		p = p.Masked()
		opts = append(opts, echo.TrustIPRange(&net.IPNet{
			IP:   p.Addr().AsSlice(),
			Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(opts...)
}

// BodyLimit refuses bodies of more than n bytes with [fault.TooLarge]: at once
// where the length is announced, else when the n+1st byte is read.
func BodyLimit(n int64) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := limitBody(c, n); err != nil {
				return err
			}
			return next(c)
		}
	}
}

func limitBody(c echo.Context, n int64) error {
	r := c.Request()
	if r.ContentLength > n {
		return tooLarge(nil)
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = http.MaxBytesReader(c.Response().Writer, r.Body, n)
	}
	return nil
}
