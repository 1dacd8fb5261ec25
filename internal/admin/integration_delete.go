package admin

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// deleteIntegrationPage asks once more, and says what will happen.
// admin/integration-delete.html
type deleteIntegrationPage struct {
	frame
	integrationRow
	// Live says that there are connections that are not revoked. Count is how many,
	// in words; "" where no list has them.
	Live  bool
	Count string
	// Untold are those that the provider cannot be told of.
	Untold  []revokeGroup
	Confirm web.Field
	Notices []web.Notice
	Back    string
}

// GET /admin/integrations/{id}/delete
func (h *Handler) confirmDelete(c echo.Context, v visit) error {
	if err := h.vault.AllowSetup(c.Request().Context(), v.caller); err != nil {
		return err
	}
	in, err := h.integration(c, &v)
	if err != nil {
		return err
	}
	return h.renderDelete(c, &v, http.StatusOK, in, typedName("integration's key", in.Key), nil)
}

func (h *Handler) renderDelete(c echo.Context, v *visit, status int, in vault.Integration, confirm web.Field, notices []web.Notice) error {
	row, err := h.integrationRow(in)
	if err != nil {
		return err
	}
	page := deleteIntegrationPage{
		frame: v.frame(c, integrationsPath), integrationRow: row, Confirm: confirm, Notices: notices, Back: row.Href(),
	}
	ctx := c.Request().Context()
	p, err := h.vault.PreviewBulkRevocation(ctx, v.caller, vault.BulkTarget{Filter: vault.ConnectionFilter{Integration: in.Key}})
	if err != nil {
		return err
	}
	// What was in the way a moment ago may be in no list: what is to mend a connection.
	page.Live = p.Total > 0 || status == http.StatusConflict
	if p.Total > 0 {
		page.Count = grouped(p.Total, "connection", "connections")
	}
	if p.More {
		page.Count = "more than " + page.Count
	}
	for _, g := range p.Groups {
		group := revokeGroup{BulkGroup: g}
		if group.Disconnection, err = h.disconnection(ctx, &vault.Connection{EnvironmentID: in.EnvironmentID, Integration: in.Key, Method: g.Method, Provider: in.Key}); err != nil {
			return err
		}
		if !group.Tellable {
			page.Untold = append(page.Untold, group)
		}
	}
	return httpd.Render(c, status, "admin/integration-delete", page)
}

// POST /admin/integrations/{id}/delete
func (h *Handler) deleteIntegration(c echo.Context, v visit) error {
	ctx := c.Request().Context()
	if err := h.vault.AllowSetup(ctx, v.caller); err != nil {
		return err
	}
	in, err := h.integration(c, &v)
	if err != nil {
		return err
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	confirm := typedName("integration's key", in.Key)
	if !confirmed(form, in.Key, &confirm) {
		return h.renderDelete(c, &v, http.StatusUnprocessableEntity, in, confirm, nil)
	}
	if form.Get("revoke") == "yes" {
		b, err := h.vault.RevokeAndDeleteIntegration(ctx, v.caller, in.Key, 0)
		if err != nil {
			return err
		}
		if b != nil {
			return c.Redirect(http.StatusSeeOther, revocationPath(b.ID))
		}
		return c.Redirect(http.StatusSeeOther, deletedPath(in.Key))
	}
	err = h.vault.DeleteIntegration(ctx, v.caller, in.Key)
	if f, ok := fault.As(err); ok && f.Kind == fault.Conflict {
		httpd.RecordOf(ctx).SetOutcome(f.Kind.Code())
		return h.renderDelete(c, &v, http.StatusConflict, in, confirm, []web.Notice{{
			Kind: web.Problem, Title: "It was not deleted",
			Text: "Somebody has an account linked with it, since a moment ago perhaps. Confirm once more to revoke that as well.",
		}})
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, deletedPath(in.Key))
}

// deletedPath is the list of integrations, which says that one is gone.
func deletedPath(key string) string {
	return withQuery(integrationsPath, url.Values{"deleted": {key}})
}
