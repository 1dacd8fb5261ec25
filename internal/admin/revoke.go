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
	Way      string
	Tellable bool
	ByHand   string
	Confirm  web.Field
}

// Back is the connection's own page.
func (p revokePage) Back() string { return p.Href() }

// revocable is the connection that the path names.
func (h *Handler) revocable(c echo.Context, v *visit) (vault.Connection, error) {
	id, err := pathID(c, "connection")
	if err != nil {
		return vault.Connection{}, err
	}
	ctx := c.Request().Context()
	httpd.RecordOf(ctx).SetConnection(id)
	return h.vault.Connection(ctx, v.caller, id)
}

// GET /admin/connections/{id}/revoke
func (h *Handler) confirmRevoke(c echo.Context, v visit) error {
	conn, err := h.revocable(c, &v)
	if err != nil {
		return err
	}
	if conn.Status == vault.StatusRevoked {
		return c.Redirect(http.StatusSeeOther, connectionPath(conn.ID))
	}
	return h.askRevoke(c, &v, http.StatusOK, conn, confirmEndUser(&conn))
}

func confirmEndUser(conn *vault.Connection) web.Field {
	return typedName("end user's id", conn.EndUser.ID)
}

func (h *Handler) askRevoke(c echo.Context, v *visit, status int, conn vault.Connection, confirm web.Field) error {
	d, err := h.disconnection(c.Request().Context(), &conn)
	if err != nil {
		return err
	}
	return httpd.Render(c, status, "admin/revoke", revokePage{
		frame: v.frame(c, connectionsPath), connectionRow: connectionRow{conn},
		Service: d.Provider, Way: d.Way, Tellable: d.Tellable, ByHand: d.ByHand, Confirm: confirm,
	})
}

// POST /admin/connections/{id}/revoke
//
// The receipt is the connection's own page, which reads it from the trail: it
// is there after a reload, for others, and for a second click.
func (h *Handler) revoke(c echo.Context, v visit) error {
	conn, err := h.revocable(c, &v)
	if err != nil {
		return err
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	if confirm := confirmEndUser(&conn); conn.Status != vault.StatusRevoked && !confirmed(form, conn.EndUser.ID, &confirm) {
		return h.askRevoke(c, &v, http.StatusUnprocessableEntity, conn, confirm)
	}
	ctx := c.Request().Context()
	rec := httpd.RecordOf(ctx)
	r, err := h.vault.Revoke(ctx, v.caller, conn.ID)
	if err != nil && !fault.Is(err, fault.Revoked) {
		return err
	}
	rec.SetOutcome("provider_" + string(r.Provider.Outcome))
	if err != nil {
		rec.SetOutcome(fault.Revoked.Code())
	}
	return c.Redirect(http.StatusSeeOther, connectionPath(conn.ID))
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
