package admin

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// visit is a request of an admin who is signed in.
type visit struct {
	caller vault.Caller
	stay   vault.Stay
	ticket ticket
}

// step is a handler for an admin who is signed in.
type step func(echo.Context, visit) error

// signedIn lets a step have the requests of signed-in admins; others are sent
// to sign in. A form gets no further without the session's token for the
// environment that the session looks at.
func (h *Handler) signedIn(next step) echo.HandlerFunc { return h.guarded(next, false) }

// signedInAnywhere is signedIn for forms that mean the same in every
// environment: one from before a switch will do.
func (h *Handler) signedInAnywhere(next step) echo.HandlerFunc { return h.guarded(next, true) }

func (h *Handler) guarded(next step, anywhere bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		v, err := h.visit(c)
		if fault.Is(err, fault.Unauthenticated) {
			return h.toSignIn(c)
		}
		if err != nil {
			return err
		}
		if err := v.checkToken(c, anywhere); err != nil {
			return h.explain(c, v, err)
		}
		return h.explain(c, v, next(c, v))
	}
}

// needs is for steps that show nothing, and change nothing, to whom the scope is
// wanting.
func (h *Handler) needs(scope vault.Scope, next step) step {
	return func(c echo.Context, v visit) error {
		if err := h.vault.Allow(c.Request().Context(), v.caller, scope); err != nil {
			return err
		}
		return next(c, v)
	}
}

// fresh is for pages whose form needs a fresh sign-in: it is asked for before
// the form, not after it has been filled in.
func (h *Handler) fresh(next step) step {
	return func(c echo.Context, v visit) error {
		if err := h.vault.RequireFresh(v.caller); err != nil {
			return err
		}
		return next(c, v)
	}
}

// still answers nil while whoever asked is signed in, and has the scope.
func (h *Handler) still(c echo.Context, scope vault.Scope) error {
	v, err := h.visit(c)
	if err != nil {
		return err
	}
	return h.vault.Allow(c.Request().Context(), v.caller, scope)
}

// visit reads who is there.
func (h *Handler) visit(c echo.Context) (visit, error) {
	t, ok, err := h.sessions.open(c)
	if err != nil {
		return visit{}, err
	}
	if !ok {
		return visit{}, fault.New(fault.Unauthenticated, "This needs a sign-in.")
	}
	ctx := c.Request().Context()
	// A stream stays open, and asks anew, by itself: nobody uses it.
	use := c.Request().Header.Get("Accept") != eventStream
	stay, err := h.vault.ResumeAdmin(ctx, t.ID, vault.NewSecret(t.Token), use)
	if err != nil {
		return visit{}, err
	}
	caller := stay.Caller()
	rec := httpd.RecordOf(ctx)
	rec.SetActor(caller.ID)
	rec.SetEnvironment(caller.EnvironmentID)
	return visit{caller, stay, t}, nil
}

// tokenField is the name of the token in forms.
const tokenField = "token"

// checkToken refuses a form that was not made for this session, or, unless
// anywhere, while it looked at another environment.
func (v *visit) checkToken(c echo.Context, anywhere bool) error {
	switch c.Request().Method {
	case http.MethodGet, http.MethodHead:
		return nil
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	environment, ok := v.ticket.formOf(form.Get(tokenField))
	switch {
	case !ok:
		return fault.New(fault.Forbidden, "This form was not made for your session, so nothing was done.")
	case !anywhere && environment != v.caller.EnvironmentID:
		return fault.New(fault.Forbidden, "This form was opened in the environment %s, and you have switched to %s since, so nothing was done.",
			v.environmentName(environment), v.stay.Environment)
	}
	return nil
}

// frame is what every page of a signed-in admin has around it. admin/layout.html
type frame struct {
	// Self is who is signed in.
	Self        vault.Admin
	Environment string
	// Switch is the choice of environments; nil where there is only one.
	Switch []web.Option
	// Section is the main page to show after a switch, Here the page itself.
	Section string
	Here    string
	// Token goes into every form.
	Token string
	Nav   []place

	caller vault.Caller
}

// May reports whether the admin may do what needs the scope: what they may not
// is not offered.
func (f frame) May(scope string) bool { return f.caller.May(vault.Scope(scope)) }

// EnvironmentID is the environment that the page is about.
func (f frame) EnvironmentID() string { return f.caller.EnvironmentID }

// place is one of the main pages, for the navigation.
type place struct {
	Href, Text string
	// Current is the value of aria-current, "" for where one is not.
	Current string
}

// frame is the frame of a page; at is the main page that it belongs to. What
// the admin may not see is not offered.
func (v *visit) frame(c echo.Context, at string) frame {
	f := frame{
		Self: v.stay.Admin, Environment: v.stay.Environment, Section: orHome(at),
		Here:  pageOfForm(c),
		Token: v.ticket.formToken(v.caller.EnvironmentID), caller: v.caller,
	}
	if len(v.stay.Environments) > 1 {
		for _, e := range v.stay.Environments {
			f.Switch = append(f.Switch, web.Option{Value: e.ID, Label: e.Name})
		}
	}
	for _, p := range [...]struct {
		href, text string
		scope      vault.Scope
	}{
		{homePath, "Overview", vault.ScopeConnectionsRead},
		{connectionsPath, "Connections", vault.ScopeConnectionsRead},
		{integrationsPath, "Integrations", vault.ScopeIntegrationsRead},
		{apiKeysPath, "API keys", vault.ScopeAPIKeysRead},
		{auditPath, "Audit trail", vault.ScopeAuditRead},
		{adminsPath, "Admins", vault.ScopeAdminsWrite},
		{environmentsPath, "Environments", vault.ScopeEnvironmentsWrite},
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
func (h *Handler) explain(c echo.Context, v visit, err error) error {
	if errors.Is(err, vault.ErrSignInAgain) {
		return h.askAgain(c, v)
	}
	f, ok := fault.As(err)
	if !ok || c.Response().Committed { // no page goes into half of something else
		return err
	}
	page := problemPage{frame: v.frame(c, ""), Text: f.Message}
	status := 0
	switch f.Kind {
	case fault.NotFound:
		status, page.Title = http.StatusNotFound, "There is nothing here"
		page.Next = "It may have been deleted, or belong to another environment than " + v.stay.Environment + "."
	case fault.InsufficientScope:
		status, page.Title = http.StatusForbidden, "Your role may not do this"
		page.Text = "You are signed in as " + roleWords(v.stay.Admin.Role) + "."
		page.Next = "Ask an owner to do it, or for another role."
	case fault.Forbidden:
		status, page.Title = http.StatusForbidden, "Nothing was done"
		page.Next = "Open the page anew and send the form from there."
	case fault.Conflict:
		status, page.Title = http.StatusConflict, "Nothing was done"
		page.Next = "Open the page anew and see what is there now."
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

// againPage asks for a fresh sign-in. admin/again.html
type againPage struct {
	frame
	// Provider leads to the OpenID provider and back to where one was; nil for
	// who came by a link.
	Provider *web.Link
	Command  web.Copy
}

// askAgain explains why signing in once more is needed, and how.
func (h *Handler) askAgain(c echo.Context, v visit) error {
	httpd.RecordOf(c.Request().Context()).SetOutcome("sign_in_again")
	page := againPage{
		frame: v.frame(c, ""),
		Command: web.Copy{
			Name: "command", Label: "Where Claviger runs", Value: inviteCommand + " -admin " + v.stay.Admin.ID,
		},
	}
	next := pageOfForm(c)
	h.wishes.keep(c, next)
	if h.issuer != nil && v.stay.Session.Method == vault.MethodOIDC {
		q := url.Values{"again": {"1"}}
		setSome(q, "next", next)
		page.Provider = &web.Link{Href: withQuery(providerPath, q), Text: h.issuer.Login.Host()}
	}
	return httpd.Render(c, http.StatusForbidden, "admin/again", page)
}

// environmentName is what an environment is called, or its id.
func (v *visit) environmentName(id string) string {
	i := slices.IndexFunc(v.stay.Environments, func(e vault.Environment) bool { return e.ID == id })
	if i < 0 {
		return id
	}
	return v.stay.Environments[i].Name
}
