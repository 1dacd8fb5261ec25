package admin

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// mountAPIKeys adds the routes about API keys. Where a key is shown or what it
// may do is decided, a fresh sign-in comes first.
func (h *Handler) mountAPIKeys(g *echo.Group) {
	writes := func(next step) echo.HandlerFunc { return h.signedIn(h.needs(vault.ScopeAPIKeysWrite, next)) }
	g.GET("/api-keys", h.signedIn(h.listAPIKeys))
	g.GET("/api-keys/new", writes(h.fresh(h.askForAPIKey)))
	g.POST("/api-keys/new", writes(h.createAPIKey))
	g.GET("/api-keys/:id/edit", writes(h.fresh(h.working(h.askToChangeAPIKey))))
	g.POST("/api-keys/:id/edit", writes(h.working(h.changeAPIKey)))
	g.GET("/api-keys/:id/rotate", writes(h.fresh(h.working(h.askToRotateAPIKey))))
	g.POST("/api-keys/:id/rotate", writes(h.working(h.rotateAPIKey)))
	g.GET("/api-keys/:id/revoke", writes(h.confirmRevokeAPIKey))
	g.POST("/api-keys/:id/revoke", writes(h.revokeAPIKey))
}

// newAPIKeyPage makes a key. admin/api-key-new.html
type newAPIKeyPage struct {
	frame
	Form    apiKeyForm
	Presets []preset
	// KeyID is the id that the key will have: sent twice, the form makes one.
	KeyID   string
	Notices []web.Notice
}

// preset fills the form in.
type preset struct{ Href, Title, Text, Current string }

func presets(chosen string) []preset {
	var all []preset
	for _, p := range scopePresets {
		x := preset{Href: apiKeysPath + "/new?for=" + p.name, Title: p.title, Text: p.text}
		if p.name == chosen {
			x.Current = "true"
		}
		all = append(all, x)
	}
	return all
}

// fieldKeyID is the form field of the id that the key will have.
const fieldKeyID = "id"

// GET /admin/api-keys/new
func (h *Handler) askForAPIKey(c echo.Context, v visit) error {
	q := httpd.Query(c)
	chosen := q.String("for", maxParam)
	if err := q.Err(); err != nil {
		return err
	}
	integrations, err := h.limitable(c.Request().Context(), &v)
	if err != nil {
		return err
	}
	var n vault.NewAPIKey
	for _, p := range scopePresets {
		if p.name == chosen {
			n.Scopes = p.scopes
		}
	}
	return httpd.Render(c, http.StatusOK, "admin/api-key-new", newAPIKeyPage{
		frame: v.frame(c, apiKeysPath), Form: newAPIKeyForm(n, integrations, false), Presets: presets(chosen), KeyID: vault.NewAPIKeyID(),
	})
}

// limitable are the integrations that a key can be limited to.
func (h *Handler) limitable(ctx context.Context, v *visit) ([]vault.Integration, error) {
	return h.vault.Integrations(ctx, v.caller, vault.Page{Limit: maxOptions})
}

// POST /admin/api-keys/new
//
// The answer shows the key, this once. To send the form again, as a reload does,
// asks for a key with the same id: there is none to show.
func (h *Handler) createAPIKey(c echo.Context, v visit) error {
	typed, err := httpd.Form(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	integrations, err := h.limitable(ctx, &v)
	if err != nil {
		return err
	}
	f := newAPIKeyForm(vault.NewAPIKey{}, integrations, false)
	n, _ := f.read(typed, h.now())
	n.ID = typed.Get(fieldKeyID)
	if err = f.unread(h.vault.CheckAPIKey(v.caller, n, true)); err == nil {
		var k vault.APIKey
		var key vault.Secret
		if k, key, err = h.vault.CreateAPIKey(ctx, v.caller, n); err == nil {
			return h.showAPIKey(c, &v, k, key, nil)
		}
	}
	switch {
	case fault.Is(err, fault.Conflict):
		return h.alreadyMade(c, err)
	case !f.blames(err):
		return err
	}
	httpd.RecordOf(ctx).SetOutcome(fault.Invalid.Code())
	return httpd.Render(c, http.StatusUnprocessableEntity, "admin/api-key-new", newAPIKeyPage{
		frame: v.frame(c, apiKeysPath), Form: f, Presets: presets(""), KeyID: n.ID, Notices: f.Notices,
	})
}

// alreadyMade leads to the list, which says why no key is shown.
func (h *Handler) alreadyMade(c echo.Context, err error) error {
	n := web.Notice{Kind: web.Warning, Title: "No other key was made"}
	if e, ok := fault.As(err); ok {
		n.Text = e.Message
	}
	return h.flashes.leave(c, apiKeysPath, n)
}

// madeAPIKeyPage shows a key, once. admin/api-key-made.html
type madeAPIKeyPage struct {
	frame
	vault.APIKey
	Key     web.Copy
	Example web.Copy
	// Old is the key that this one takes over from.
	Old *apiKeyRow
}

func (h *Handler) showAPIKey(c echo.Context, v *visit, k vault.APIKey, key vault.Secret, old *apiKeyRow) error {
	httpd.RecordOf(c.Request().Context()).SetOutcome("api_key_shown")
	connections := h.publicURL.JoinPath("v1", "connections").String()
	return httpd.Render(c, http.StatusOK, "admin/api-key-made", madeAPIKeyPage{
		frame: v.frame(c, apiKeysPath), APIKey: k, Old: old,
		Key: web.Copy{Name: "key", Label: "API key", Value: key.Reveal()},
		Example: web.Copy{
			Name: "example", Label: "In use, with the key in the variable KEY and a connection's id in ID",
			Value: `curl -H "Authorization: Bearer $KEY" "` + connections + `/$ID/headers"`,
		},
	})
}
