package admin

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// acted goes back to a connection's own page, which says what came of what was
// asked for.
func (h *Handler) acted(c echo.Context, id string, done web.Notice, failed string, err error) error {
	if err != nil {
		n, ok := refusal(failed, err)
		if !ok {
			return err
		}
		f, _ := fault.As(err)
		httpd.RecordOf(c.Request().Context()).SetOutcome(f.Kind.Code())
		done = n
	}
	return h.flashes.leave(c, connectionPath(id), done)
}

// asked reads which connection a form is about.
func asked(c echo.Context) (string, error) {
	id, err := pathID(c, "connection")
	if err == nil {
		httpd.RecordOf(c.Request().Context()).SetConnection(id)
	}
	return id, err
}

// POST /admin/connections/{id}/refresh
func (h *Handler) refreshConnection(c echo.Context, v visit) error {
	id, err := asked(c)
	if err != nil {
		return err
	}
	conn, err := h.engine.Refresh(c.Request().Context(), v.caller, id)
	done := web.Notice{Kind: web.Success, Title: "Refreshed", Text: "The provider gave a new credential, and it is saved."}
	if err == nil && !conn.ExpiresAt.IsZero() {
		done.Text = "The provider gave a new credential, and it is saved. Its headers work until " + exactly(conn.ExpiresAt) + "."
	}
	return h.acted(c, id, done, "Not refreshed", err)
}

// POST /admin/connections/{id}/verify
func (h *Handler) verifyConnection(c echo.Context, v visit) error {
	id, err := asked(c)
	if err != nil {
		return err
	}
	said, err := h.engine.Verify(c.Request().Context(), v.caller, id)
	var done web.Notice
	switch said {
	case refresh.VerifiedHonoured:
		done = web.Notice{Kind: web.Success, Title: "It works", Text: "The provider was asked just now and takes the credential."}
	case refresh.VerifiedRenewed:
		done = web.Notice{Kind: web.Success, Title: "It works again", Text: "The provider refused the credential, so it was refreshed, and the new one is saved."}
	case refresh.VerifiedNot:
		done = web.Notice{Kind: web.Info, Title: "Nothing to ask", Text: "This provider has no way to be asked about this kind of credential. Whether it works shows when somebody uses it."}
	}
	return h.acted(c, id, done, "The provider does not say that it works", err)
}

// reconnectPage shows a connect link, once. admin/reconnect.html
type reconnectPage struct {
	frame
	connectionRow
	Link    web.Copy
	Expires vault.ConnectSession
}

// POST /admin/connections/{id}/reconnect
//
// The link is on the page that this answers with and nowhere else: it goes
// through no address and no cookie. To load the page again makes another one.
func (h *Handler) makeReconnectLink(c echo.Context, v visit) error {
	id, err := asked(c)
	if err != nil {
		return err
	}
	conn, s, token, err := h.vault.CreateReconnect(c.Request().Context(), v.caller, id)
	if err != nil {
		return h.acted(c, id, web.Notice{}, "No link was made", err)
	}
	return httpd.Render(c, http.StatusOK, "admin/reconnect", reconnectPage{
		frame: v.frame(c, connectionsPath), connectionRow: connectionRow{conn}, Expires: s,
		Link: web.Copy{Name: "link", Label: "Connect link", Value: h.publicURL.JoinPath("connect", token.Reveal()).String()},
	})
}

// POST /admin/connections/{id}/tags
func (h *Handler) saveTags(c echo.Context, v visit) error {
	id, err := asked(c)
	if err != nil {
		return err
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	typed, seen := form.Get("tags"), form.Get(versionField)
	tags, err := parseTags(typed)
	if err == nil {
		_, err = h.vault.PatchConnection(c.Request().Context(), v.caller, id, vault.ConnectionPatch{SeenTags: &seen, Tags: &tags})
	}
	const failed = "The tags were not saved"
	changed := errors.Is(err, vault.ErrChangedSince)
	if !changed && !fault.Is(err, fault.Invalid) {
		return h.acted(c, id, web.Notice{Kind: web.Success, Title: "Tags saved"}, failed, err)
	}
	page, pageErr := h.connectionPage(c, &v, id, "")
	if pageErr != nil {
		return pageErr
	}
	status, kind := http.StatusUnprocessableEntity, fault.Invalid
	if changed {
		status, kind = http.StatusConflict, fault.Conflict
		there := strings.Join(strings.Split(strings.TrimSpace(page.Tags.Value), "\n"), ", ")
		if there == "" {
			there = "none"
		}
		page.Tags.Error = "They were changed after you had opened the page. There are now: " + there + ". Save yours again to change that."
	} else {
		n, _ := refusal(failed, err)
		page.Tags.Error, page.TagsSeen = n.Text, seen
	}
	page.Tags.Value = typed
	page.Notices = slices.Insert(page.Notices, 0, web.Notice{
		Kind: web.Problem, Title: failed, Links: []web.Link{{Href: "#" + page.Tags.ID(), Text: page.Tags.Error}},
	})
	httpd.RecordOf(c.Request().Context()).SetOutcome(kind.Code())
	return httpd.Render(c, status, "admin/connection", page)
}

// parseTags reads one "key=value" a line.
func parseTags(text string) (map[string]string, error) {
	tags := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		_, twice := tags[key]
		switch {
		case !ok:
			return nil, fault.New(fault.Invalid, "Each line is key=value, and “%s” is not.", line)
		case twice:
			return nil, fault.New(fault.Invalid, "The tag %s is there twice.", key)
		}
		tags[key] = value
	}
	return tags, nil
}
