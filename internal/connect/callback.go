package connect

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// fragmentPage takes a reply out of the fragment. connect/fragment.html
type fragmentPage struct {
	Action string
	Again  web.Link
}

// reply is what came back through some browser, not yet judged. It is kept,
// sealed, until the browser that began the attempt comes for it.
type reply struct {
	mode   providers.ResponseMode
	values string // form-urlencoded, as it came
}

// mixed is the mode of a reply that came in two ways at once. No flow has it,
// and it is refused where the others are judged.
const mixed providers.ResponseMode = "mixed"

func (r reply) seal() vault.Secret {
	return vault.NewSecret(string(r.mode) + "\n" + r.values)
}

func unseal(s vault.Secret) reply {
	mode, values, _ := strings.Cut(s.Reveal(), "\n")
	return reply{mode: providers.ResponseMode(mode), values: values}
}

// replyByURL handles GET /connect/callback/{integration}: a reply in the query,
// or one in the fragment, which no server sees.
func (h *Handler) replyByURL(c echo.Context) error {
	q := c.Request().URL.Query() // what of it can be read; it is judged later
	if !isReply(q) {
		page := fragmentPage{Action: "/connect/callback/" + url.PathEscape(c.Param("integration"))}
		if id := h.onlySession(c); id != "" {
			page.Again = web.Link{Href: sessionPath(id), Text: "Start again"}
		}
		return httpd.Render(c, http.StatusOK, "connect/fragment", page)
	}
	if c.Request().Method != http.MethodGet {
		return echo.ErrMethodNotAllowed // HEAD must not use a state up
	}
	return h.keep(c, q, reply{mode: providers.ModeQuery, values: c.Request().URL.RawQuery})
}

// replyByForm handles POST /connect/callback/{integration}: from the provider's
// site (form_post), or from our own page with what was in the fragment. No
// cookie is expected here: with the former, Lax ones stay at home.
func (h *Handler) replyByForm(c echo.Context) error {
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	r := reply{mode: providers.ModeFormPost, values: form.Encode()} // the two look the same
	if isReply(c.Request().URL.Query()) {
		r.mode = mixed
	}
	return h.keep(c, form, r)
}

// isReply reports whether values have something of an authorization response.
func isReply(values url.Values) bool {
	return slices.ContainsFunc([]string{"state", "code", "id_token", "access_token", "error"}, values.Has)
}

// keep gives the reply to the attempt that its state belongs to, and moves the
// browser to a URL with nothing of it. The fragment is empty and there: without
// one, browsers carry over the one they have (RFC 9110 section 10.2.2).
func (h *Handler) keep(c echo.Context, values url.Values, r reply) error {
	var state vault.Secret // none, if there are two
	if vs := values["state"]; len(vs) == 1 {
		state = vault.NewSecret(vs[0])
	}
	id, err := h.vault.AttachReply(c.Request().Context(), c.Param("integration"), state, r.seal())
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/connect/resume/"+sessionOf(state)+"/"+id+"#")
}
