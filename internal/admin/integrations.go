package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// mountIntegrations adds the pages of one integration.
func (h *Handler) mountIntegrations(g *echo.Group) {
	g.GET("/integrations/new", h.signedIn(h.showCatalog))
	g.GET("/integrations/new/:provider", h.signedIn(h.askForIntegration))
	g.POST("/integrations/new/:provider", h.signedIn(h.createIntegration))
	g.GET("/integrations/:id", h.signedIn(h.showIntegration))
	g.GET("/integrations/:id/edit", h.signedIn(h.askForChanges))
	g.POST("/integrations/:id/edit", h.signedIn(h.changeIntegration))
	g.GET("/integrations/:id/secret", h.signedIn(h.fresh(h.askForSecret)))
	g.POST("/integrations/:id/secret", h.signedIn(h.replaceSecret))
	g.GET("/integrations/:id/delete", h.signedIn(h.needs(vault.ScopeIntegrationsWrite, h.fresh(h.confirmDelete))))
	g.POST("/integrations/:id/delete", h.signedIn(h.deleteIntegration))
	g.GET("/integrations/:id/test", h.signedIn(h.askForTest))
	g.POST("/integrations/:id/test", h.signedIn(h.beginTest))
	g.GET("/integrations/:id/test/done", h.signedIn(h.testCameBack))
	g.GET("/integrations/:id/test/:session", h.signedIn(h.showTest))
	g.POST("/integrations/:id/test/:session", h.signedIn(h.finishTest))
}

// integrationsPage lists what is set up. admin/integrations.html
type integrationsPage struct {
	frame
	Notices []web.Notice
	// New begins another one, "" for who may not.
	New   string
	Rows  []integrationRow
	Pager pager
}

// GET /admin/integrations
func (h *Handler) listIntegrations(c echo.Context, v visit) error {
	q := httpd.Query(c)
	p, deleted := pageOf(q), q.String("deleted", maxParam)
	if err := q.Err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	found, err := h.vault.Integrations(ctx, v.caller, p)
	if err != nil {
		return err
	}
	page := integrationsPage{frame: v.frame(c, integrationsPath)}
	if v.maySetUp() {
		page.New = catalogPath
	}
	if deleted != "" {
		// What the address says is only believed of a key that nothing has.
		if _, err := h.vault.Integration(ctx, v.caller, deleted); isNotFound(err) {
			page.Notices = []web.Notice{{Kind: web.Success, Title: "There is no integration “" + deleted + "” any more"}}
		} else if err != nil {
			return err
		}
	}
	found, page.Pager = paged(found, func(x *vault.Integration) string { return x.ID }, p, integrationsPath, nil, "integration", "integrations")
	for _, in := range found {
		row, err := h.integrationRow(in)
		if err != nil {
			return err
		}
		page.Rows = append(page.Rows, row)
	}
	return httpd.Render(c, http.StatusOK, "admin/integrations", page)
}

// maxOptions is how many integrations a choice offers; with more the address
// still takes any.
const maxOptions = 200

// integrationSelect is the choice of an integration for a filter. Who may not
// see integrations chooses among what the address already says.
func (h *Handler) integrationSelect(ctx context.Context, v *visit, chosen string) (web.Select, error) {
	s := web.Select{Name: "integration", Label: "Integration", Value: chosen, Options: []web.Option{{Label: "Any integration"}}}
	if v.caller.May(vault.ScopeIntegrationsRead) {
		found, err := h.vault.Integrations(ctx, v.caller, vault.Page{Limit: maxOptions})
		if err != nil {
			return s, err
		}
		for _, in := range found {
			s.Options = append(s.Options, web.Option{Value: in.Key, Label: in.Key})
		}
	}
	if !slices.ContainsFunc(s.Options, func(o web.Option) bool { return o.Value == chosen }) {
		s.Options = append(s.Options, web.Option{Value: chosen, Label: chosen})
	}
	slices.SortFunc(s.Options[1:], func(a, b web.Option) int { return cmp.Compare(a.Label, b.Label) })
	return s, nil
}
