package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// catalogPath is where an integration begins: the choice of a provider.
const catalogPath = integrationsPath + "/new"

// catalogPage is the providers that can be set up. admin/catalog.html
type catalogPage struct {
	frame
	Search web.Field
	Cards  []catalogCard
	// Summary counts what is shown.
	Summary string
}

// catalogCard is one provider.
type catalogCard struct {
	Name, Title, Description string
	// Href begins an integration of it.
	Href    string
	Methods []string // their titles, the recommended one first
	Needs   string
}

// GET /admin/integrations/new
func (h *Handler) showCatalog(c echo.Context, v visit) error {
	q := httpd.Query(c)
	search := q.String("q", maxParam)
	if err := q.Err(); err != nil {
		return err
	}
	if err := h.vault.AllowSetup(c.Request().Context(), v.caller); err != nil {
		return err
	}
	page := catalogPage{
		frame: v.frame(c, integrationsPath),
		Search: web.Field{
			Name: "q", Label: "Search the catalog", Type: "search", Value: search, MaxLength: maxParam, Autocomplete: "off",
		},
	}
	for _, p := range h.providers.Catalog().Providers() {
		if card := newCatalogCard(p); card.matches(search) {
			page.Cards = append(page.Cards, card)
		}
	}
	slices.SortStableFunc(page.Cards, func(a, b catalogCard) int {
		return strings.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title))
	})
	page.Summary = counted(len(page.Cards), "provider", "providers")
	return httpd.Render(c, http.StatusOK, "admin/catalog", page)
}

func newCatalogCard(p *providers.Provider) catalogCard {
	card := catalogCard{
		Name: p.Name, Title: p.Title, Description: p.Description, Href: catalogPath + "/" + url.PathEscape(p.Name), Needs: needsOf(p),
	}
	for i := range p.Methods {
		m := &p.Methods[i]
		if m.Recommended {
			card.Methods = slices.Insert(card.Methods, 0, m.Title)
			continue
		}
		card.Methods = append(card.Methods, m.Title)
	}
	return card
}

// matches reports whether every word of a search is somewhere on the card.
func (x catalogCard) matches(search string) bool {
	text := strings.ToLower(strings.Join(append([]string{x.Name, x.Title, x.Description}, x.Methods...), "\n"))
	for word := range strings.FieldsSeq(strings.ToLower(search)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// needsClient reports whether a method asks the integration for a client id.
func needsClient(m *providers.Method) bool {
	_, own := m.Field("client_id")
	return m.OAuth != nil && !own
}

// placeless reports whether a provider file leaves it to the integration to say
// where the service is.
func placeless(p *providers.Provider) bool {
	for i := range p.Methods {
		if o := p.Methods[i].OAuth; o != nil && (o.Issuer != "" || o.TokenURL != "") {
			return false
		}
	}
	return p.BaseURL == ""
}

// needsOf says what an admin has to have at hand.
func needsOf(p *providers.Provider) string {
	with := 0
	for i := range p.Methods {
		if needsClient(&p.Methods[i]) {
			with++
		}
	}
	needs := "Nothing has to be registered."
	switch with {
	case 0:
	case len(p.Methods):
		needs = "You need a client id and secret from there."
	default:
		needs = "You need a client id and secret from there, or offer only the ways without."
	}
	if placeless(p) {
		needs += " You say where the service is."
	}
	return needs
}

// provider is the provider that the path names.
func (h *Handler) provider(c echo.Context) (*providers.Provider, error) {
	p, ok := h.providers.Catalog().Get(c.Param("provider"))
	if !ok {
		return nil, fault.New(fault.NotFound, "There is no such provider in the catalog.")
	}
	return p, nil
}

// setupGuide is what a provider file says to admins; nil for nothing.
func setupGuide(p *providers.Provider) *web.Guide {
	if len(p.Setup) == 0 {
		return nil
	}
	g := &web.Guide{Title: "Setting it up at " + p.Title}
	if placeless(p) { // its title is what it does, not who it is
		g.Title = "Setting it up"
	}
	steps := p.Setup
	if p.Docs != "" && !slices.ContainsFunc(steps, func(s providers.Step) bool { return s.Link == p.Docs }) {
		steps = append(slices.Clone(steps), providers.Step{Text: "More is in the documentation.", Link: p.Docs})
	}
	for _, s := range steps {
		step := web.Step{Text: s.Text}
		if u, err := url.Parse(s.Link); err == nil && s.Link != "" {
			step.Link = web.Link{Href: s.Link, Text: strings.TrimSuffix(u.Host+u.Path, "/")}
		}
		g.Steps = append(g.Steps, step)
	}
	return g
}

// maySetUp reports whether the admin decides on integrations.
func (v *visit) maySetUp() bool { return v.caller.May(vault.ScopeIntegrationsWrite) }
