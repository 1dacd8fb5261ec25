package admin

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// ownSessionsPage is the sessions of whoever looks. admin/sessions.html
type ownSessionsPage struct {
	frame
	Notices  []web.Notice
	Sessions []sessionRow
	// Others is how many of the others are live.
	Others int
}

// sessionRow is a session in a list.
type sessionRow struct {
	vault.AdminSession
	// This says that it is the one of this request.
	This bool
	Live bool
}

// How is how they signed in.
func (r sessionRow) How() string {
	if r.Method == vault.MethodOIDC {
		return "At the OpenID provider"
	}
	return "By a link"
}

// Browser is what the browser calls itself, in few words.
func (r sessionRow) Browser() string { return browserWords(r.Agent) }

// EndHref ends it.
func (r sessionRow) EndHref() string { return ownSessionsPath + "/" + r.ID + "/end" }

func (h *Handler) sessionRows(v *visit, sessions []vault.AdminSession) []sessionRow {
	rows := make([]sessionRow, len(sessions))
	for i, s := range sessions {
		rows[i] = sessionRow{s, s.ID == v.stay.Session.ID, s.Live(h.now())}
	}
	return rows
}

// GET /admin/sessions
func (h *Handler) listOwnSessions(c echo.Context, v visit) error {
	q := httpd.Query(c)
	ended := q.Int("ended", -1, 0, 1_000_000)
	if err := q.Err(); err != nil {
		return err
	}
	sessions, err := h.vault.AdminSessions(c.Request().Context(), v.caller, v.caller.ID)
	if err != nil {
		return err
	}
	page := ownSessionsPage{frame: v.frame(c, ""), Sessions: h.sessionRows(&v, sessions)}
	for _, s := range page.Sessions {
		if s.Live && !s.This {
			page.Others++
		}
	}
	if ended >= 0 {
		page.Notices = []web.Notice{{Kind: web.Success, Title: "Ended: " + counted(ended, "session", "sessions")}}
	}
	return httpd.Render(c, http.StatusOK, "admin/sessions", page)
}

// POST /admin/sessions/end
func (h *Handler) endOtherSessions(c echo.Context, v visit) error {
	n, err := h.vault.EndAdminSessions(c.Request().Context(), v.caller, v.caller.ID, v.stay.Session.ID)
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, withQuery(ownSessionsPath, url.Values{"ended": {strconv.Itoa(n)}}))
}

// POST /admin/sessions/{id}/end
func (h *Handler) endSession(c echo.Context, v visit) error {
	id, err := pathID(c, "session")
	if err != nil {
		return err
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	if err := h.vault.EndAdminSession(c.Request().Context(), v.caller, id); err != nil {
		return err
	}
	if next := inside(c, form.Get("next")); next != "" {
		return c.Redirect(http.StatusSeeOther, next)
	}
	return c.Redirect(http.StatusSeeOther, withQuery(ownSessionsPath, url.Values{"ended": {"1"}}))
}

// POST /admin/admins/{id}/end-sessions
func (h *Handler) endSessionsOf(c echo.Context, v visit) error {
	id, err := pathID(c, "admin")
	if err != nil {
		return err
	}
	except := ""
	if id == v.caller.ID {
		except = v.stay.Session.ID
	}
	if _, err := h.vault.EndAdminSessions(c.Request().Context(), v.caller, id, except); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, adminPath(id))
}

// browserWords finds browser and system in a User-Agent, for people to recognise
// their own. Every browser claims to be several others: the order tells them
// apart.
func browserWords(agent string) string {
	find := func(words ...[2]string) string {
		for _, w := range words {
			if strings.Contains(agent, w[0]) {
				return w[1]
			}
		}
		return ""
	}
	browser := find([2]string{"Edg/", "Edge"}, [2]string{"OPR/", "Opera"}, [2]string{"Firefox/", "Firefox"},
		[2]string{"Chrome/", "Chrome"}, [2]string{"Safari/", "Safari"})
	system := find([2]string{"Android", "Android"}, [2]string{"iPhone", "iPhone"}, [2]string{"iPad", "iPad"},
		[2]string{"Windows", "Windows"}, [2]string{"Mac OS X", "macOS"}, [2]string{"CrOS", "ChromeOS"}, [2]string{"Linux", "Linux"})
	switch {
	case browser == "" && system == "":
		return "Unknown browser"
	case browser == "" || system == "":
		return browser + system
	}
	return browser + " on " + system
}
