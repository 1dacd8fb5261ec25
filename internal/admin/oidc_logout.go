package admin

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/vault"
)

// POST /admin/backchannel-logout
//
// The provider says by itself that somebody has logged out (OpenID Connect
// Back-Channel Logout 1.0 section 2.5). There is no browser and no session: the
// token is the proof. A token that comes again ends nothing that began since.
func (h *Handler) backChannelLogout(c echo.Context) error {
	if wait := h.logouts.takeAddress(c.RealIP()); wait > 0 {
		c.Response().Header().Set("Retry-After", retryAfter(wait))
		return c.NoContent(http.StatusTooManyRequests)
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	rec := httpd.RecordOf(ctx)
	if len(form["logout_token"]) != 1 {
		rec.SetOutcome("logout_refused")
		return c.JSON(http.StatusBadRequest, logoutError{"invalid_request"})
	}
	issuer, out, err := h.issuer.Login.Logout(ctx, vault.NewSecret(form.Get("logout_token")))
	if rejected := new(oidc.Rejection); errors.As(err, &rejected) {
		rec.SetOutcome("logout_refused")
		rec.Add(slog.String("error", rejected.Error()))
		return c.JSON(http.StatusBadRequest, logoutError{"invalid_request"})
	}
	if err != nil { // its keys are not to be had; it may try again
		rec.SetOutcome("provider_unavailable")
		rec.Add(slog.String("error", err.Error()))
		return c.JSON(http.StatusServiceUnavailable, logoutError{"temporarily_unavailable"})
	}
	n, err := h.vault.EndProviderSessions(ctx, issuer, out.Subject, out.SessionID, out.IssuedAt)
	if err != nil {
		return err
	}
	rec.Add(slog.Int("ended", n))
	return c.NoContent(http.StatusOK)
}

// logoutError is the answer to a logout token that is no good (section 2.8).
type logoutError struct {
	Error string `json:"error"`
}
