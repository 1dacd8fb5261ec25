package admin

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// POST /admin/environment
//
// The same main page is shown for the other environment; what was on it is
// nothing that is there.
func (h *Handler) switchEnvironment(c echo.Context, v visit) error {
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	if err := h.vault.SwitchEnvironment(c.Request().Context(), v.caller, v.stay.Session.ID, form.Get("environment")); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, orHome(inside(c, form.Get("next"))))
}

// environmentsPage lists them, with a form for one more. admin/environments.html
type environmentsPage struct {
	frame
	Notices []web.Notice
	Rows    []environmentRow
	Name    web.Field
}

// environmentRow is an environment in the list.
type environmentRow struct {
	vault.Environment
	// Current is the one that the session looks at.
	Current bool
}

// Href is the environment's own page.
func (r environmentRow) Href() string { return environmentPath(r.ID) }

// Reads is what reads of headers leave in its trail.
func (r environmentRow) Reads() string {
	if r.StrictReads {
		return "One entry each"
	}
	return "One entry a minute"
}

// IsDefault says that its name stays.
func (r environmentRow) IsDefault() bool { return r.Name == vault.DefaultEnvironment }

func environmentPath(id string) string { return environmentsPath + "/" + id }

func environmentName(value string) web.Field {
	return web.Field{
		Name: "name", Label: "Name", Value: value, Required: true, MaxLength: 64, Autocomplete: "off", Code: true,
		Help: "Lower-case letters, digits, - and _, such as staging.",
	}
}

func (v *visit) environmentsPage(c echo.Context, name string) environmentsPage {
	page := environmentsPage{frame: v.frame(c, environmentsPath), Name: environmentName(name)}
	for _, e := range v.stay.Environments {
		page.Rows = append(page.Rows, environmentRow{e, e.ID == v.caller.EnvironmentID})
	}
	return page
}

// GET /admin/environments
func (h *Handler) listEnvironments(c echo.Context, v visit) error {
	return httpd.Render(c, http.StatusOK, "admin/environments", v.environmentsPage(c, ""))
}

// POST /admin/environments
func (h *Handler) createEnvironment(c echo.Context, v visit) error {
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	name := form.Get("name")
	env, err := h.vault.CreateEnvironment(c.Request().Context(), v.caller, name)
	if wrong := fieldErrors(err); wrong != nil {
		page := v.environmentsPage(c, name)
		page.Name.Error, page.Name.Autofocus = wrong["/name"], true
		return httpd.Render(c, http.StatusUnprocessableEntity, "admin/environments", page)
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, environmentPath(env.ID))
}

// environmentPage is one environment. admin/environment.html
type environmentPage struct {
	frame
	Row environmentRow
	// Seen is the name that the form was made from.
	Seen    string
	NewName web.Field
	Strict  web.Checkbox
}

func (v *visit) environmentPage(c echo.Context) (environmentPage, error) {
	id, err := pathID(c, "environment")
	if err != nil {
		return environmentPage{}, err
	}
	for _, e := range v.stay.Environments {
		if e.ID == id {
			return environmentPage{
				frame: v.frame(c, environmentsPath), Row: environmentRow{e, e.ID == v.caller.EnvironmentID},
				Seen: e.Name, NewName: environmentName(e.Name),
				Strict: web.Checkbox{
					Name: "strict", Label: "Write an entry for each read, before it is answered", Checked: e.StrictReads,
					Help: "Otherwise reads are gathered: one entry a minute for each API key and connection.",
				},
			}, nil
		}
	}
	return environmentPage{}, fault.New(fault.NotFound, "There is no such environment.")
}

// GET /admin/environments/{id}
func (h *Handler) showEnvironment(c echo.Context, v visit) error {
	page, err := v.environmentPage(c)
	if err != nil {
		return err
	}
	return httpd.Render(c, http.StatusOK, "admin/environment", page)
}

// POST /admin/environments/{id}/name
func (h *Handler) renameEnvironment(c echo.Context, v visit) error {
	page, err := v.environmentPage(c)
	if err != nil {
		return err
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	ctx, from, to := c.Request().Context(), form.Get(versionField), form.Get("name")
	err = h.vault.RenameEnvironment(ctx, v.caller, page.Row.ID, from, to)
	status, kind := http.StatusUnprocessableEntity, fault.Invalid
	switch wrong := fieldErrors(err); {
	case err == nil:
		return c.Redirect(http.StatusSeeOther, page.Row.Href())
	case wrong != nil:
		page.Seen, page.NewName.Error = from, wrong["/name"]
	case errors.Is(err, vault.ErrChangedSince):
		status, kind = http.StatusConflict, fault.Conflict
		page.NewName.Error = "It was renamed to " + page.Row.Name + " after you had opened the page. Send yours again to change that."
	default:
		return err
	}
	page.NewName.Value, page.NewName.Autofocus = to, true
	httpd.RecordOf(ctx).SetOutcome(kind.Code())
	return httpd.Render(c, status, "admin/environment", page)
}

// POST /admin/environments/{id}/reads
func (h *Handler) setReadAudit(c echo.Context, v visit) error {
	page, err := v.environmentPage(c)
	if err != nil {
		return err
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	there, strict := v.caller, form.Get("strict") != ""
	there.EnvironmentID = page.Row.ID
	if seen := form.Get(versionField) != ""; seen != strict { // else nothing was chosen, whatever is there by now
		if err := h.vault.SetReadAudit(c.Request().Context(), there, strict); err != nil {
			return err
		}
	}
	return c.Redirect(http.StatusSeeOther, page.Row.Href())
}

// fieldErrors is what is wrong with each field of a form, by pointer; nil for
// any other error.
func fieldErrors(err error) map[string]string {
	f, ok := fault.As(err)
	if !ok || f.Kind != fault.Invalid || len(f.Fields) == 0 {
		return nil
	}
	wrong := map[string]string{}
	for _, field := range f.Fields {
		wrong[field.Pointer] = field.Detail
	}
	return wrong
}
