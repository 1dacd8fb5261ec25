package connect

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// disconnectPage asks once more and says what will happen.
// connect/disconnect.html
type disconnectPage struct {
	accountRow
	// Provider is who is told, Tellable whether it can be, ByHand what the end
	// user can do there themselves.
	Provider string
	Tellable bool
	ByHand   string
	Back     string
}

// disconnectedPage is the receipt. connect/disconnected.html
type disconnectedPage struct {
	accountRow
	Receipt web.Notice
	Back    string
}

// askDisconnect handles GET /connect/m/{session}/{connection}/disconnect. It
// changes nothing. Afterwards it is the receipt, also after a reload.
func (h *Handler) askDisconnect(c echo.Context, v visit) error {
	a, err := h.ours(c, &v)
	if err != nil {
		return err
	}
	d, err := h.providers.Disconnection(a.service.in, a.conn.Method)
	if err != nil {
		// It left the catalog: then nobody can be told, and that must not keep
		// anybody from ending it here.
		d = providers.Disconnection{Provider: a.Service(), ByHand: "Take the access back there, or change the password."}
	}
	if a.Disconnected() {
		return h.receipt(c, &v, a, d)
	}
	return httpd.Render(c, http.StatusOK, "connect/disconnect", disconnectPage{
		accountRow: a, Provider: d.Provider, Tellable: d.Tellable, ByHand: d.ByHand, Back: v.path(),
	})
}

// disconnect handles POST /connect/m/{session}/{connection}/disconnect. A second
// click, or a second window, ends at the same receipt.
func (h *Handler) disconnect(c echo.Context, v visit) error {
	a, err := h.ours(c, &v)
	if err != nil {
		return err
	}
	ctx, cancel := detached(c.Request().Context())
	defer cancel()
	r, err := h.vault.Disconnect(ctx, v.caller, a.conn.ID)
	rec := httpd.RecordOf(ctx)
	switch {
	case fault.Is(err, fault.Revoked):
		rec.SetOutcome(fault.Revoked.Code())
	case err != nil:
		return h.overtaken(c, &v, err)
	default:
		rec.SetOutcome("provider_" + string(r.Provider.Outcome))
	}
	return c.Redirect(http.StatusSeeOther, a.Disconnect())
}

// receipt says what disconnecting did, as the trail has it: a provider that did
// not confirm at first is told again.
func (h *Handler) receipt(c echo.Context, v *visit, a accountRow, d providers.Disconnection) error {
	r, err := h.vault.Revocation(c.Request().Context(), reader(&v.session), a.conn.ID)
	if err != nil {
		return err
	}
	n := web.Notice{Kind: web.Success, Title: a.Asking() + " has no access any more"}
	switch r.Outcome {
	case vault.OutcomeRevoked:
		n.Text = d.Provider + " was told, and confirmed that the access is over. There is nothing else that you have to do."
	case vault.OutcomeUnsupported:
		n.Kind = web.Warning
		n.Text = "At " + d.Provider + " what you linked goes on working until it is changed there. " + d.ByHand
	case vault.OutcomeFailed:
		n.Kind = web.Warning
		n.Text = d.Provider + " was told and has not confirmed it; it is told again every few minutes for about an hour. You can do it yourself as well. " + d.ByHand
	default:
		n.Kind = web.Info
		n.Text = "It is not known yet whether " + d.Provider + " was told. " + d.ByHand
	}
	return httpd.Render(c, http.StatusOK, "connect/disconnected", disconnectedPage{accountRow: a, Receipt: n, Back: v.path()})
}
