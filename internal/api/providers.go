package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
)

// provider is an entry of the catalog, as far as it concerns backends.
type provider struct {
	Name        string   `json:"name"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Website     *string  `json:"website"`
	Docs        *string  `json:"docs"`
	BaseURL     *string  `json:"base_url"`
	Methods     []method `json:"methods"`
}

type method struct {
	Name        string           `json:"name"`
	Title       string           `json:"title"`
	Description string           `json:"description"`
	Scheme      providers.Scheme `json:"scheme"`
	Recommended bool             `json:"recommended"`
	Fields      []field          `json:"fields"`
}

type field struct {
	Name     string              `json:"name"`
	Label    string              `json:"label"`
	Type     providers.FieldType `json:"type"`
	Secret   bool                `json:"secret"`
	Required bool                `json:"required"`
	Help     string              `json:"help"`
}

func showProvider(p *providers.Provider) provider {
	out := provider{
		Name: p.Name, Title: p.Title, Description: p.Description,
		Website: wordOrNull(p.Website), Docs: wordOrNull(p.Docs), BaseURL: wordOrNull(p.BaseURL), Methods: []method{},
	}
	for _, m := range p.Methods {
		shown := method{Name: m.Name, Title: m.Title, Description: m.Description, Scheme: m.Scheme, Recommended: m.Recommended, Fields: []field{}}
		for _, f := range m.Fields {
			shown.Fields = append(shown.Fields, field{Name: f.Name, Label: f.Label, Type: f.Type, Secret: f.IsSecret(), Required: f.Required, Help: f.Help})
		}
		out.Methods = append(out.Methods, shown)
	}
	return out
}

// GET /v1/providers
func (h *Handler) listProviders(c echo.Context, caller vault.Caller) error {
	if err := h.vault.AllowCatalog(c.Request().Context(), caller); err != nil {
		return err
	}
	return answerList(c, h.providers.Catalog().Providers(), nil, showProvider)
}

// GET /v1/providers/{name}
func (h *Handler) getProvider(c echo.Context, caller vault.Caller) error {
	if err := h.vault.AllowCatalog(c.Request().Context(), caller); err != nil {
		return err
	}
	p, ok := h.providers.Catalog().Get(c.Param("name"))
	if !ok {
		return fault.New(fault.NotFound, "There is no such provider.")
	}
	return c.JSON(http.StatusOK, showProvider(p))
}
