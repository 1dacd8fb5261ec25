package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// adminsPage lists who gets in. admin/admins.html
type adminsPage struct {
	frame
	Rows  []adminRow
	Pager pager
}

// adminRow is an admin in a list.
type adminRow struct {
	vault.Admin
	Own bool
}

// Href is the admin's own page.
func (r adminRow) Href() string { return adminPath(r.ID) }

// How says how they sign in.
func (r adminRow) How() string {
	if !r.FromProvider() {
		return "By links"
	}
	u, err := url.Parse(r.Issuer)
	if err != nil {
		return r.Issuer
	}
	return "At " + u.Host
}

// State is where the admin stands, and Badge the class for it.
func (r adminRow) State() string {
	switch {
	case r.Removed():
		return "Removed"
	case r.LastSignedInAt.IsZero():
		return "Invited"
	}
	return "Active"
}

// Badge is the class of the state's badge.
func (r adminRow) Badge() string {
	switch r.State() {
	case "Removed":
		return "badge-revoked"
	case "Invited":
		return "badge-pending"
	}
	return "badge-active"
}

func adminPath(id string) string { return adminsPath + "/" + id }

// GET /admin/admins
func (h *Handler) listAdmins(c echo.Context, v visit) error {
	q := httpd.Query(c)
	p := pageOf(q)
	if err := q.Err(); err != nil {
		return err
	}
	found, err := h.vault.Admins(c.Request().Context(), v.caller, p)
	if err != nil {
		return err
	}
	page := adminsPage{frame: v.frame(c, adminsPath)}
	found, page.Pager = paged(found, func(a *vault.Admin) string { return a.ID }, p, adminsPath, nil, "admin", "admins")
	for _, a := range found {
		page.Rows = append(page.Rows, adminRow{a, a.ID == v.caller.ID})
	}
	return httpd.Render(c, http.StatusOK, "admin/admins", page)
}

// invitePage is the form for a new admin. admin/invite.html
type invitePage struct {
	frame
	Notices []web.Notice
	Name    web.Field
	Role    web.Select
}

func (v *visit) invitePage(c echo.Context, n vault.NewAdmin) invitePage {
	return invitePage{
		frame: v.frame(c, adminsPath),
		Name: web.Field{
			Name: "name", Label: "Name", Value: n.Name, Required: true, MaxLength: 100, Autocomplete: "off", Autofocus: true,
			Help: "What to call them here and in the trail.",
		},
		Role: web.Select{Name: "role", Label: "Role", Value: string(n.Role), Options: roleOptions()},
	}
}

func roleOptions() []web.Option {
	return []web.Option{
		{Value: string(vault.RoleViewer), Label: "Viewer: sees everything but secrets"},
		{Value: string(vault.RoleOperator), Label: "Operator: also revokes, refreshes and makes connect links"},
		{Value: string(vault.RoleOwner), Label: "Owner: also integrations, API keys, admins and environments"},
	}
}

// GET /admin/admins/new
func (h *Handler) askToInvite(c echo.Context, v visit) error {
	return httpd.Render(c, http.StatusOK, "admin/invite", v.invitePage(c, vault.NewAdmin{Role: vault.RoleViewer}))
}

// invitedPage shows a sign-in link, once. admin/invited.html
type invitedPage struct {
	frame
	adminRow
	Link      web.Copy
	ExpiresAt time.Time
}

// POST /admin/admins
//
// The answer is the page with the link, as it is shown this once and stands in
// no address.
func (h *Handler) invite(c echo.Context, v visit) error {
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	n := vault.NewAdmin{Name: strings.TrimSpace(form.Get("name")), Role: vault.Role(form.Get("role"))}
	i, err := h.vault.InviteAdmin(c.Request().Context(), v.caller, n, vault.InviteLife)
	if wrong := fieldErrors(err); wrong != nil {
		page := v.invitePage(c, n)
		page.Name.Error, page.Role.Error = wrong["/name"], wrong["/role"]
		if notice, ok := web.FieldErrors("Nobody was invited", []web.Field{page.Name}); ok {
			page.Notices = append(page.Notices, notice)
		}
		return httpd.Render(c, http.StatusUnprocessableEntity, "admin/invite", page)
	}
	if err != nil {
		return err
	}
	return h.showInvite(c, v, i)
}

// POST /admin/admins/{id}/link
func (h *Handler) inviteAgain(c echo.Context, v visit) error {
	id, err := pathID(c, "admin")
	if err != nil {
		return err
	}
	i, err := h.vault.InviteAgain(c.Request().Context(), v.caller, id, vault.InviteLife)
	if err != nil {
		return err
	}
	return h.showInvite(c, v, i)
}

func (h *Handler) showInvite(c echo.Context, v visit, i vault.Invite) error {
	return httpd.Render(c, http.StatusOK, "admin/invited", invitedPage{
		frame: v.frame(c, adminsPath), adminRow: adminRow{Admin: i.Admin}, ExpiresAt: i.ExpiresAt,
		Link: web.Copy{Name: "link", Label: "Sign-in link", Value: h.publicURL.String() + linkPath + i.Token.Reveal()},
	})
}

// adminPage is one admin, with their sessions. admin/admin.html
type adminPage struct {
	frame
	adminRow
	Notices  []web.Notice
	Role     web.Select
	Sessions []sessionRow
}

func (h *Handler) adminPage(c echo.Context, v *visit) (adminPage, error) {
	id, err := pathID(c, "admin")
	if err != nil {
		return adminPage{}, err
	}
	ctx := c.Request().Context()
	a, err := h.vault.Admin(ctx, v.caller, id)
	if err != nil {
		return adminPage{}, err
	}
	sessions, err := h.vault.AdminSessions(ctx, v.caller, id)
	return adminPage{
		frame: v.frame(c, adminsPath), adminRow: adminRow{a, a.ID == v.caller.ID}, Sessions: h.sessionRows(v, sessions),
		Role: web.Select{Name: "role", Label: "Role", Value: string(a.Role), Options: roleOptions()},
	}, err
}

// GET /admin/admins/{id}
func (h *Handler) showAdmin(c echo.Context, v visit) error {
	page, err := h.adminPage(c, &v)
	if err != nil {
		return err
	}
	return httpd.Render(c, http.StatusOK, "admin/admin", page)
}

// changed makes a step of a change of one admin, which leads to their page.
func (h *Handler) changed(change func(ctx context.Context, c echo.Context, v visit, id string) error) step {
	return func(c echo.Context, v visit) error {
		id, err := pathID(c, "admin")
		if err != nil {
			return err
		}
		if err := change(c.Request().Context(), c, v, id); err != nil {
			return err
		}
		return c.Redirect(http.StatusSeeOther, adminPath(id))
	}
}

// POST /admin/admins/{id}/role
func (h *Handler) setRole(c echo.Context, v visit) error {
	id, err := pathID(c, "admin")
	if err != nil {
		return err
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	from, to := vault.Role(form.Get(versionField)), vault.Role(form.Get("role"))
	if from == to { // nothing was chosen, whatever is there by now
		return c.Redirect(http.StatusSeeOther, adminPath(id))
	}
	err = h.vault.SetAdminRole(c.Request().Context(), v.caller, id, from, to)
	if errors.Is(err, vault.ErrChangedSince) {
		page, err := h.adminPage(c, &v)
		if err != nil {
			return err
		}
		page.Notices = []web.Notice{{
			Kind: web.Warning, Title: "The role was not changed yet",
			Text: page.Name + " has become " + roleWords(page.Admin.Role) + " after you had opened the page. Send your choice again to change that.",
		}}
		page.Role.Value = string(to)
		httpd.RecordOf(c.Request().Context()).SetOutcome(fault.Conflict.Code())
		return httpd.Render(c, http.StatusConflict, "admin/admin", page)
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, adminPath(id))
}

// POST /admin/admins/{id}/restore
func (h *Handler) restoreAdmin(ctx context.Context, _ echo.Context, v visit, id string) error {
	return h.vault.RestoreAdmin(ctx, v.caller, id)
}

// POST /admin/admins/{id}/remove
func (h *Handler) removeAdmin(ctx context.Context, _ echo.Context, v visit, id string) error {
	return h.vault.RemoveAdmin(ctx, v.caller, id)
}

// removeAdminPage asks once more. admin/remove-admin.html
type removeAdminPage struct {
	frame
	adminRow
}

// GET /admin/admins/{id}/remove
func (h *Handler) confirmRemoveAdmin(c echo.Context, v visit) error {
	id, err := pathID(c, "admin")
	if err != nil {
		return err
	}
	a, err := h.vault.Admin(c.Request().Context(), v.caller, id)
	if err != nil {
		return err
	}
	if a.Removed() {
		return c.Redirect(http.StatusSeeOther, adminPath(id))
	}
	return httpd.Render(c, http.StatusOK, "admin/remove-admin", removeAdminPage{v.frame(c, adminsPath), adminRow{a, a.ID == v.caller.ID}})
}
