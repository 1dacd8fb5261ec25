package admin

import (
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// visit is a request of an admin who is signed in.
type visit struct {
	caller  vault.Caller
	session session
}

// step is a handler for an admin who is signed in.
type step func(echo.Context, visit) error

// signedIn lets a step have the requests of signed-in admins; others are sent
// to sign in. A form gets no further without the session's token.
func (h *Handler) signedIn(next step) echo.HandlerFunc {
	return func(c echo.Context) error {
		v, err := h.visit(c)
		if fault.Is(err, fault.Unauthenticated) {
			return h.toSignIn(c)
		}
		if err != nil {
			return err
		}
		if err := v.checkToken(c); err != nil {
			return v.explain(c, err)
		}
		return v.explain(c, next(c, v))
	}
}

// visit reads who is there.
func (h *Handler) visit(c echo.Context) (visit, error) {
	s, ok := h.sessions.open(c)
	if !ok {
		return visit{}, fault.New(fault.Unauthenticated, "This needs a sign-in.")
	}
	ctx := c.Request().Context()
	caller, err := h.vault.ResumeAdmin(ctx, s.AdminSession)
	if err != nil {
		return visit{}, err
	}
	rec := httpd.RecordOf(ctx)
	rec.SetActor(caller.ID)
	rec.SetEnvironment(caller.EnvironmentID)
	return visit{caller, s}, h.sessions.touch(c, s)
}

// tokenField is the name of the token in forms.
const tokenField = "token"

// checkToken refuses a form that was not made for this session.
func (v *visit) checkToken(c echo.Context) error {
	switch c.Request().Method {
	case http.MethodGet, http.MethodHead:
		return nil
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	if !v.session.owns(form.Get(tokenField)) {
		return fault.New(fault.Forbidden, "This form was not made for your session, so nothing was done.")
	}
	return nil
}

// frame is what every page of a signed-in admin has around it. admin/layout.html
type frame struct {
	Environment string
	KeyName     string
	// Token goes into every form.
	Token string
	Nav   []place
}

// place is one of the main pages, for the navigation.
type place struct {
	Href, Text string
	// Current is the value of aria-current, "" for where one is not.
	Current string
}

// frame is the frame of a page; at is the main page that it belongs to. What
// the key may not see is not offered.
func (v *visit) frame(c echo.Context, at string) frame {
	f := frame{Environment: v.session.Environment, KeyName: v.session.KeyName, Token: v.session.Token}
	for _, p := range [...]struct {
		href, text string
		scope      vault.Scope
	}{
		{connectionsPath, "Connections", vault.ScopeConnectionsRead},
		{integrationsPath, "Integrations", vault.ScopeIntegrationsRead},
		{apiKeysPath, "API keys", vault.ScopeAPIKeysWrite},
		{auditPath, "Audit trail", vault.ScopeAuditRead},
	} {
		if !v.caller.May(p.scope) {
			continue
		}
		current := ""
		if p.href == at {
			current = "true"
			if c.Request().URL.Path == p.href {
				current = "page"
			}
		}
		f.Nav = append(f.Nav, place{p.href, p.text, current})
	}
	return f
}

// problemPage says why something was not done. admin/problem.html
type problemPage struct {
	frame
	Title string
	Text  string
	Next  string
}

// explain says in the words of these pages what the rooms below refuse, with
// the way on around it. Faults of ours keep the words of the error exit.
func (v *visit) explain(c echo.Context, err error) error {
	f, ok := fault.As(err)
	if !ok {
		return err
	}
	page := problemPage{frame: v.frame(c, ""), Text: f.Message}
	status := 0
	switch f.Kind {
	case fault.NotFound:
		status, page.Title = http.StatusNotFound, "There is nothing here"
		page.Next = "It may have been deleted, or belong to another environment than the one you are signed in to."
	case fault.InsufficientScope:
		status, page.Title = http.StatusForbidden, "Your API key may not do this"
		page.Next = "Sign in with a key that has this scope."
	case fault.Forbidden:
		status, page.Title = http.StatusForbidden, "Nothing was done"
		page.Next = "Open the page anew and send the form from there."
	case fault.Malformed:
		status, page.Title = http.StatusBadRequest, "This address cannot be read"
		page.Next = "Go on from one of the pages above."
		for _, field := range f.Fields {
			page.Text += " The parameter " + field.Pointer + " " + field.Detail + "."
		}
	default:
		return err
	}
	rec := httpd.RecordOf(c.Request().Context())
	rec.SetOutcome(f.Kind.Code())
	rec.Add(slog.String("error", f.Error()))
	return httpd.Render(c, status, "admin/problem", page)
}
