package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// integration is an integration as the API shows it; never with its secret.
type integration struct {
	ID              string          `json:"id"`
	Key             string          `json:"key"`
	Provider        string          `json:"provider"`
	Title           string          `json:"title"`
	ClientID        *string         `json:"client_id"`
	HasClientSecret bool            `json:"has_client_secret"`
	Scopes          []string        `json:"scopes"`
	Methods         []string        `json:"methods"`
	Overrides       vault.Overrides `json:"overrides"`
	// RedirectURI is what has to be registered at the provider.
	RedirectURI string `json:"redirect_uri"`
	// PreviousClientSecretUntil is for how long the secret that was replaced is
	// still tried.
	PreviousClientSecretUntil *time.Time `json:"previous_client_secret_until"`
	CreatedAt                 time.Time  `json:"created_at"`
	UpdatedAt                 time.Time  `json:"updated_at"`
}

func (h *Handler) showIntegration(in vault.Integration) integration {
	return integration{
		ID: in.ID, Key: in.Key, Provider: in.Provider, Title: in.Title,
		ClientID: wordOrNull(in.ClientID), HasClientSecret: in.HasClientSecret,
		Scopes: emptyNotNull(in.Scopes), Methods: emptyNotNull(in.Methods), Overrides: in.Overrides,
		RedirectURI: h.providers.RedirectURI(in.ID), PreviousClientSecretUntil: orNull(in.PreviousClientSecretUntil), CreatedAt: in.CreatedAt, UpdatedAt: in.UpdatedAt,
	}
}

// POST /v1/integrations
func (h *Handler) createIntegration(c echo.Context, caller vault.Caller) error {
	var in *struct {
		Provider     string          `json:"provider"`
		Key          string          `json:"key"`
		Title        string          `json:"title"`
		ClientID     string          `json:"client_id"`
		ClientSecret vault.Secret    `json:"client_secret"`
		Scopes       []string        `json:"scopes"`
		Methods      []string        `json:"methods"`
		Overrides    vault.Overrides `json:"overrides"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	made, err := h.vault.CreateIntegration(c.Request().Context(), caller, vault.Integration{
		Provider: in.Provider, Key: in.Key, Title: in.Title, ClientID: in.ClientID, ClientSecret: in.ClientSecret,
		Scopes: in.Scopes, Methods: in.Methods, Overrides: in.Overrides,
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, h.showIntegration(made))
}

// GET /v1/integrations
func (h *Handler) listIntegrations(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	p := pageOf(q)
	if err := p.err(q); err != nil {
		return err
	}
	found, err := h.vault.Integrations(c.Request().Context(), caller, p.page())
	if err != nil {
		return err
	}
	return answerPage(c, p, found, func(x vault.Integration) string { return x.ID }, h.showIntegration)
}

// GET /v1/integrations/{key}
func (h *Handler) getIntegration(c echo.Context, caller vault.Caller) error {
	found, err := h.vault.Integration(c.Request().Context(), caller, c.Param("key"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, h.showIntegration(found))
}

// PATCH /v1/integrations/{key}
func (h *Handler) patchIntegration(c echo.Context, caller vault.Caller) error {
	var in *struct {
		Title        *string          `json:"title"`
		ClientID     *string          `json:"client_id"`
		ClientSecret *vault.Secret    `json:"client_secret"`
		Scopes       *[]string        `json:"scopes"`
		Methods      *[]string        `json:"methods"`
		Overrides    *vault.Overrides `json:"overrides"`

		ClientSecretOverlapSeconds *int64 `json:"client_secret_overlap_seconds"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	p := vault.IntegrationPatch{
		Title: in.Title, ClientID: in.ClientID, ClientSecret: in.ClientSecret, Scopes: in.Scopes, Methods: in.Methods, Overrides: in.Overrides,
	}
	if in.ClientSecretOverlapSeconds != nil {
		overlap := overlapOf(in.ClientSecretOverlapSeconds, vault.DefaultSecretOverlap, vault.MaxSecretOverlap)
		p.ClientSecretOverlap = &overlap
	}
	patched, err := h.vault.PatchIntegration(c.Request().Context(), caller, c.Param("key"), p)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, h.showIntegration(patched))
}

// deleteWait is how long a request waits for the connections of an integration to
// be revoked: most integrations are gone by then.
const deleteWait = 5 * time.Second

// DELETE /v1/integrations/{key}
func (h *Handler) deleteIntegration(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	revoke := q.Bool("revoke")
	if err := q.Err(); err != nil {
		return err
	}
	ctx, key := c.Request().Context(), c.Param("key")
	if !revoke {
		if err := h.vault.DeleteIntegration(ctx, caller, key); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	}
	b, err := h.vault.RevokeAndDeleteIntegration(ctx, caller, key, deleteWait)
	if err != nil {
		return err
	}
	if b != nil {
		return acceptRevocation(c, *b)
	}
	return c.NoContent(http.StatusNoContent)
}
