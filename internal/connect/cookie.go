package connect

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// bindingPrefix begins the name of a binding cookie; the session's id ends it,
// so that several sessions live in one browser.
const bindingPrefix = "clv_connect_"

// binding is the cookie that ties a session to one browser. Lax, because links
// in mails and on other sites lead to a session's pages.
func (h *Handler) binding(sessionID string) httpd.Cookie {
	return httpd.NewCookie(h.publicURL, bindingPrefix+sessionID, http.SameSiteLaxMode, vault.BoundTTL)
}

// presented is what this browser has of a session, empty where it has nothing.
func (h *Handler) presented(c echo.Context, sessionID string) vault.Secret {
	return vault.NewSecret(h.binding(sessionID).Get(c))
}

// onlySession is the one session that this browser holds, "" where there is
// none or a choice. It is a hint for a link; nothing is proven by it.
func (h *Handler) onlySession(c echo.Context) string {
	found := ""
	for _, k := range c.Cookies() {
		_, id, ok := strings.Cut(k.Name, bindingPrefix)
		switch {
		case !ok || h.binding(id).Name() != k.Name || !isID(id):
		case found != "":
			return ""
		default:
			found = id
		}
	}
	return found
}

// isID reports whether s can be an id of ours: cookie names and links are made
// of it before anybody has looked it up.
func isID(s string) bool {
	ok, _ := regexp.MatchString(`^[a-z]{2,4}_[0-9a-v]{26}$`, s)
	return ok
}
