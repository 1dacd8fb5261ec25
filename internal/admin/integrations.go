package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// integrationsPage lists what is set up. admin/integrations.html
type integrationsPage struct {
	frame
	Rows  []integrationRow
	Pager pager
}

// integrationRow is an integration in the list.
type integrationRow struct {
	vault.Integration
	Service string // the provider's title
	Methods []string
	// Gone says that the provider is not in the catalog any more.
	Gone bool
	// Redirect is the URI to register at the provider; nil where no method
	// sends a browser there.
	Redirect *web.Copy
	// Connections is the list of its connections.
	Connections string
	// Overridden is what of the provider file it replaces.
	Overridden []override
}

// override is one setting that replaces the provider file's.
type override struct{ Name, Value string }

// Name is its title, or its key.
func (r integrationRow) Name() string { return cmp.Or(r.Title, r.Service) }

// GET /admin/integrations
func (h *Handler) listIntegrations(c echo.Context, v visit) error {
	q := httpd.Query(c)
	p := pageOf(q)
	if err := q.Err(); err != nil {
		return err
	}
	found, err := h.vault.Integrations(c.Request().Context(), v.caller, p)
	if err != nil {
		return err
	}
	page := integrationsPage{frame: v.frame(c, integrationsPath)}
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

func (h *Handler) integrationRow(in vault.Integration) (integrationRow, error) {
	row := integrationRow{
		Integration: in, Service: in.Provider,
		Connections: withQuery(connectionsPath, url.Values{"integration": {in.Key}}),
		Overridden:  overridden(in.Overrides),
	}
	p, ok := h.providers.Catalog().Get(in.Provider)
	if !ok {
		row.Gone = true
		return row, nil
	}
	row.Service = p.Title
	methods, err := h.providers.Methods(in)
	if err != nil {
		return row, err
	}
	for _, m := range methods {
		row.Methods = append(row.Methods, m.Title)
	}
	if slices.ContainsFunc(methods, (*providers.Method).Redirects) {
		row.Redirect = &web.Copy{Name: in.ID, Label: "Redirect URI, to register at " + p.Title, Value: h.providers.RedirectURI(in.ID)}
	}
	return row, nil
}

func overridden(o vault.Overrides) []override {
	var set []override
	for _, x := range [...]override{
		{"base_url", o.BaseURL},
		{"issuer", o.Issuer},
		{"authorization_url", o.AuthorizationURL},
		{"token_url", o.TokenURL},
		{"revocation_url", o.RevocationURL},
		{"jwks_url", o.JWKSURL},
		{"session_url", o.SessionURL},
		{"resolve_url", o.ResolveURL},
		{"response_mode", o.ResponseMode},
	} {
		if x.Value != "" {
			set = append(set, x)
		}
	}
	for _, host := range o.AllowedHosts {
		set = append(set, override{"allowed_hosts", host})
	}
	return set
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
