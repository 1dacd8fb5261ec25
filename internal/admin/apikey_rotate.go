package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// rotateAPIKeyPage makes a key in the place of another. admin/api-key-rotate.html
type rotateAPIKeyPage struct {
	frame
	apiKeyRow
	Overlap web.Select
	Life    web.Select
	Until   web.Field
	// KeyID is the id that the new key will have.
	KeyID   string
	Notices []web.Notice
}

const fieldKeyOverlap = "overlap"

// overlaps are for how long both keys work, in seconds.
func overlapChoice() web.Select {
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
	return web.Select{
		Name: fieldKeyOverlap, Label: "The old key works for", Value: seconds(vault.DefaultKeyOverlap),
		Help: "Long enough to put the new one everywhere that has the old one. If it ends sooner by itself, it ends then.",
		Options: []web.Option{
			{Value: "0", Label: "No longer: it is revoked at once"},
			{Value: seconds(time.Hour), Label: "1 hour"},
			{Value: seconds(24 * time.Hour), Label: "1 day"},
			{Value: seconds(7 * 24 * time.Hour), Label: "7 days"},
			{Value: seconds(30 * 24 * time.Hour), Label: "30 days"},
		},
	}
}

func (h *Handler) rotatePage(c echo.Context, v *visit, k vault.APIKey) rotateAPIKeyPage {
	p := rotateAPIKeyPage{frame: v.frame(c, apiKeysPath), apiKeyRow: newAPIKeyRow(k, h.now()), Overlap: overlapChoice(), KeyID: vault.NewAPIKeyID()}
	p.Life, p.Until = lifeFields(k.ExpiresAt, true)
	p.Life.Label = "The new key ends"
	return p
}

// GET /admin/api-keys/{id}/rotate
func (h *Handler) askToRotateAPIKey(c echo.Context, v visit, k vault.APIKey) error {
	return httpd.Render(c, http.StatusOK, "admin/api-key-rotate", h.rotatePage(c, &v, k))
}

// POST /admin/api-keys/{id}/rotate
//
// As with a new key, the answer shows it, and to send the form again does not.
func (h *Handler) rotateAPIKey(c echo.Context, v visit, k vault.APIKey) error {
	typed, err := httpd.Form(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	page := h.rotatePage(c, &v, k)
	page.KeyID = typed.Get(fieldKeyID)
	r := vault.KeyRotation{ID: page.KeyID, Overlap: page.readOverlap(typed)}
	r.ExpiresAt = readLife(typed, h.now(), &page.Life, &page.Until)
	if page.Overlap.Error == "" && page.Life.Error == "" && page.Until.Error == "" {
		made, key, err := h.vault.RotateAPIKey(ctx, v.caller, k.ID, r)
		switch {
		case err == nil:
			return h.showRotated(c, &v, made, key)
		case fault.Is(err, fault.Conflict):
			return h.alreadyMade(c, err)
		case !fault.Is(err, fault.Invalid):
			return err
		}
		page.blame(err)
	}
	if page.Notices == nil {
		page.Notices = []web.Notice{{Kind: web.Problem, Title: "Nothing was done yet"}}
	}
	httpd.RecordOf(ctx).SetOutcome(fault.Invalid.Code())
	return httpd.Render(c, http.StatusUnprocessableEntity, "admin/api-key-rotate", page)
}

// showRotated shows the new key, and what becomes of the old one.
func (h *Handler) showRotated(c echo.Context, v *visit, made vault.APIKey, key vault.Secret) error {
	old, err := h.vault.APIKey(c.Request().Context(), v.caller, made.ReplacesID)
	if err != nil {
		return err
	}
	row := newAPIKeyRow(old, h.now())
	return h.showAPIKey(c, v, made, key, &row)
}

func (p *rotateAPIKeyPage) readOverlap(form url.Values) time.Duration {
	chosen := form.Get(fieldKeyOverlap)
	seconds, err := strconv.ParseInt(chosen, 10, 32)
	if err != nil || !slices.ContainsFunc(p.Overlap.Options, func(o web.Option) bool { return o.Value == chosen }) {
		p.Overlap.Error = "Choose one of these."
		return 0
	}
	p.Overlap.Value = chosen
	return time.Duration(seconds) * time.Second
}

// blame says what is wrong: the end beside its field, the rest above, such as a
// scope that may not be handed out.
func (p *rotateAPIKeyPage) blame(err error) {
	n := web.Notice{Kind: web.Problem, Title: "The key was not rotated"}
	e, _ := fault.As(err)
	for _, x := range e.Fields {
		if x.Pointer == "/expires_at" {
			p.Until.Error = join(p.Until.Error, x.Detail)
		} else {
			n.Text = once(n.Text, x.Detail)
		}
	}
	p.Notices = []web.Notice{n}
}
