package connect

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/web"
)

// choosePage offers a choice. connect/choose.html
type choosePage struct {
	Title   string
	Lead    string
	Choices []web.Choice
	// Other leads one choice back, "" where there was none.
	Other  string
	Cancel string
}

// start handles GET /connect/s/{session}: the first step at which there is
// something to decide or to do.
func (h *Handler) start(c echo.Context, v visit) error {
	offers, err := h.offers(c, &v.session)
	if err != nil {
		return err
	}
	if len(offers) == 1 {
		return c.Redirect(http.StatusSeeOther, v.first(&offers[0]))
	}
	page := choosePage{
		Title:  "Which account do you want to link?",
		Lead:   "For " + h.party(&v.session).Name + ".",
		Cancel: v.path("cancel"),
	}
	for _, o := range offers {
		choice := web.Choice{Href: v.first(&o), Title: o.title}
		if p, ok := h.providers.Catalog().Get(o.in.Provider); ok {
			choice.Text = p.Description
		}
		page.Choices = append(page.Choices, choice)
	}
	return httpd.Render(c, http.StatusOK, "connect/choose", page)
}

// first is the first page about an integration.
func (v *visit) first(o *offer) string {
	if len(o.methods) == 1 {
		return v.path(o.in.Key, o.methods[0].Name)
	}
	return v.path(o.in.Key)
}

// chooseMethod handles GET /connect/s/{session}/{integration}.
func (h *Handler) chooseMethod(c echo.Context, v visit) error {
	o, err := h.chosen(c, &v)
	if err != nil {
		return err
	}
	if len(o.methods) == 1 {
		return c.Redirect(http.StatusSeeOther, v.first(&o))
	}
	page := choosePage{
		Title:  "How do you want to link " + o.title + "?",
		Other:  v.back(),
		Cancel: v.path("cancel"),
	}
	for _, m := range o.methods {
		page.Choices = append(page.Choices, web.Choice{
			Href: v.path(o.in.Key, m.Name), Title: m.Title, Text: m.Description, Recommended: m.Recommended,
		})
	}
	return httpd.Render(c, http.StatusOK, "connect/choose", page)
}

// back leads to the choice of integrations, "" where there is none.
func (v *visit) back() string {
	if len(v.session.Integrations) > 1 {
		return v.path()
	}
	return ""
}

// other leads to the nearest choice before a method, "" where there was none.
func (v *visit) other(o *offer) string {
	if len(o.methods) > 1 {
		return v.path(o.in.Key)
	}
	return v.back()
}
