package admin

import (
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/web"
)

// flashLife is how long a message waits for the page that shows it.
const flashLife = time.Minute

// sealedFlash is the purpose that a message is sealed for.
const sealedFlash = "admin flash"

// flashes take what came of a form over to the page that follows it, once, in a
// cookie. They are sealed: nobody else writes on our pages.
type flashes struct {
	cookie httpd.Cookie
	sealer *sealer
	now    func() time.Time
}

// flash is the content of the cookie.
type flash struct {
	Path, Title, Text string
	Kind              web.NoticeKind
	At                time.Time
}

func newFlashes(publicURL *url.URL, s *sealer, now func() time.Time) *flashes {
	return &flashes{httpd.NewCookie(publicURL, "clv_flash", http.SameSiteStrictMode, flashLife), s, now}
}

// flashText is the longest text of a message, in characters: a fault may quote
// what was typed, and a cookie has 4 KiB.
const flashText = 200

// leave goes on to a page of ours, which will say this.
func (f *flashes) leave(c echo.Context, path string, n web.Notice) error {
	if text := []rune(n.Text); len(text) > flashText {
		n.Text = string(text[:flashText-1]) + "…"
	}
	sealed, err := f.sealer.seal(sealedFlash, flash{path, n.Title, n.Text, n.Kind, f.now()})
	if err != nil {
		return err
	}
	f.cookie.Set(c, sealed)
	return c.Redirect(http.StatusSeeOther, path)
}

// take answers what was left for this page, and makes the browser forget it.
func (f *flashes) take(c echo.Context) []web.Notice {
	value := f.cookie.Get(c)
	if value == "" {
		return nil
	}
	var left flash
	if _, ok := f.sealer.open(sealedFlash, value, &left); ok && left.Path != c.Request().URL.Path {
		return nil // it waits for another page
	}
	f.cookie.Clear(c)
	if left.Title == "" || f.now().Sub(left.At) >= flashLife {
		return nil
	}
	return []web.Notice{{Kind: left.Kind, Title: left.Title, Text: left.Text}}
}

// refusal is a fault as a message on the page that asked for it; ok is false for
// what has a page of its own.
func refusal(title string, err error) (n web.Notice, ok bool) {
	f, ok := fault.As(err)
	if !ok {
		return n, false
	}
	switch f.Kind {
	case fault.Conflict, fault.ReconnectRequired, fault.Revoked, fault.RateLimited, fault.ProviderRejected, fault.ProviderUnavailable, fault.Unavailable, fault.Invalid:
		n = web.Notice{Kind: web.Problem, Title: title, Text: f.Message}
		for _, field := range f.Fields {
			n.Text += " " + field.Detail
		}
		return n, true
	}
	return n, false
}
