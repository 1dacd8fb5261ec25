package admin

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// revokePage asks once more, and says what will happen. admin/revoke.html
type revokePage struct {
	frame
	connectionRow
	Service  string
	Tellable bool
	ByHand   string
}

// Back is the connection's own page.
func (p revokePage) Back() string { return p.Href() }

// GET /admin/connections/{id}/revoke
func (h *Handler) confirmRevoke(c echo.Context, v visit) error {
	id, err := pathID(c, "connection")
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	httpd.RecordOf(ctx).SetConnection(id)
	conn, err := h.vault.Connection(ctx, v.caller, id)
	if err != nil {
		return err
	}
	if conn.Status == vault.StatusRevoked {
		return c.Redirect(http.StatusSeeOther, connectionPath(id))
	}
	d, err := h.disconnection(ctx, &conn)
	if err != nil {
		return err
	}
	return httpd.Render(c, http.StatusOK, "admin/revoke", revokePage{
		frame: v.frame(c, connectionsPath), connectionRow: connectionRow{conn},
		Service: d.Provider, Tellable: d.Tellable, ByHand: d.ByHand,
	})
}

// POST /admin/connections/{id}/revoke
//
// The receipt is the connection's own page, which reads it from the trail: it
// is there after a reload, for others, and for a second click.
func (h *Handler) revoke(c echo.Context, v visit) error {
	id, err := pathID(c, "connection")
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	rec := httpd.RecordOf(ctx)
	rec.SetConnection(id)
	r, err := h.vault.Revoke(ctx, v.caller, id)
	if err != nil && !fault.Is(err, fault.Revoked) {
		return err
	}
	rec.SetOutcome("provider_" + string(r.Provider.Outcome))
	if err != nil {
		rec.SetOutcome(fault.Revoked.Code())
	}
	return c.Redirect(http.StatusSeeOther, connectionPath(id))
}

// receipt says what a revocation did.
func receipt(conn *vault.Connection, r vault.Revocation, d providers.Disconnection) web.Notice {
	n := web.Notice{Kind: web.Success, Title: "Revoked"}
	if !r.At.IsZero() {
		n.Title = "Revoked on " + r.At.UTC().Format("2 January 2006 at 15:04 UTC")
	}
	n.Text = reasonSentence(conn.StatusReason) + " No headers are handed out, and the credential is erased. "
	switch r.Outcome {
	case vault.OutcomeRevoked:
		n.Text += fmt.Sprintf("%s was told and confirmed it.", d.Provider)
	case vault.OutcomeUnsupported:
		n.Kind = web.Warning
		n.Text += fmt.Sprintf("At %s the credential goes on working until it is changed there. %s", d.Provider, d.ByHand)
	case vault.OutcomeFailed:
		n.Kind = web.Warning
		n.Text += fmt.Sprintf("%s was told and has not confirmed it; it is told again every few minutes for about an hour. %s", d.Provider, d.ByHand)
	default:
		n.Kind = web.Info
		n.Text += fmt.Sprintf("The trail does not say that %s was told. %s", d.Provider, d.ByHand)
	}
	return n
}

func isNotFound(err error) bool { return fault.Is(err, fault.NotFound) }
