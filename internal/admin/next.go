package admin

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

const maxNext = 2048 // bytes

// inside is a reference to one of these pages, or "": nobody is sent elsewhere
// by a link that somebody else made, nor to what cannot be opened.
func inside(c echo.Context, ref string) string {
	u, err := url.Parse(ref)
	if err != nil || len(ref) > maxNext || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" ||
		path.Clean(u.Path) != u.Path || strings.Contains(u.Path, `\`) {
		return ""
	}
	below, ok := strings.CutPrefix(u.Path, homePath)
	if !ok || below != "" && below[0] != '/' || strings.HasPrefix(below, "/sign-") ||
		strings.HasPrefix(below, "/link/") || u.Path == CallbackPath || !isPage(c.Echo(), u.Path) {
		return ""
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

// isPage reports whether something is shown at a path: what goes on by itself, and
// a file, is nothing to come back to.
func isPage(e *echo.Echo, at string) bool {
	switch path.Base(at) {
	case "stream", "progress", "export":
		return false
	}
	probe := e.NewContext(nil, nil)
	e.Router().Find(http.MethodGet, at, probe)
	return slices.ContainsFunc(e.Routes(), func(r *echo.Route) bool {
		return r.Method == http.MethodGet && r.Path == probe.Path()
	})
}

func orHome(next string) string {
	if next == "" {
		return homePath
	}
	return next
}

// pageOfForm is the page that a request came from: itself, or, of a form, what is
// shown at its address, or the nearest page above. Browsers do not say it here.
func pageOfForm(c echo.Context) string {
	r := c.Request()
	if r.Method == http.MethodGet {
		if next := inside(c, r.URL.RequestURI()); next != "" {
			return next
		}
	}
	for at := r.URL.Path; strings.HasPrefix(at, homePath); at = path.Dir(at) {
		if next := inside(c, (&url.URL{Path: at}).String()); next != "" {
			return next
		}
	}
	return ""
}

// wishLife is how long it is remembered where somebody wanted to go: as long as
// a sign-in link works.
const wishLife = vault.InviteLife

// sealedWish is the purpose that a wish is sealed for.
const sealedWish = "admin wish"

// wishes remember in the browser where somebody wanted to go who has to get a
// sign-in link first: unlike a trip to the OpenID provider, a link comes from
// elsewhere and knows nothing of it.
type wishes struct {
	cookie httpd.Cookie
	sealer *sealer
	now    func() time.Time
}

// wish is the content of the cookie.
type wish struct {
	Next string
	At   time.Time
}

func newWishes(publicURL *url.URL, s *sealer, now func() time.Time) *wishes {
	return &wishes{httpd.NewCookie(publicURL, "clv_next", http.SameSiteStrictMode, wishLife), s, now}
}

// keep remembers a page of ours. One whose address does not fit into a cookie is
// not gone back to.
func (w *wishes) keep(c echo.Context, next string) {
	if next == "" {
		return
	}
	if sealed, err := w.sealer.seal(sealedWish, wish{next, w.now()}); err == nil {
		w.cookie.Set(c, sealed)
	}
}

// see is the page that is remembered, "" for none.
func (w *wishes) see(c echo.Context) string {
	var kept wish
	if _, ok := w.sealer.open(sealedWish, w.cookie.Get(c), &kept); !ok || w.now().Sub(kept.At) >= wishLife {
		return ""
	}
	return inside(c, kept.Next)
}

// take is see, and forgets it.
func (w *wishes) take(c echo.Context) string {
	next := w.see(c)
	if w.cookie.Get(c) != "" {
		w.cookie.Clear(c)
	}
	return next
}
