package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// Of a list somebody ticks connections, or takes all that match. Either is a
// target, and stands in the query of the question and of what is done: idsParam
// with the ids, or the parameters of the list, with allParam where there are none.
const (
	idsParam = "ids"
	allParam = "all"
	// maxTarget is for all ids of a page of the list, in bytes.
	maxTarget = 4 << 10
)

func (h *Handler) mountBulk(g *echo.Group) {
	g.POST("/revocations/preview", h.signedIn(h.chooseRevocations))
	g.GET("/revocations/new", h.signedIn(h.fresh(h.confirmRevocations)))
	g.POST("/revocations", h.signedIn(h.startRevocations))
	g.GET("/revocations", h.signedIn(h.listRevocations))
	g.GET("/revocations/:id", h.signedIn(h.showRevocations))
	g.GET("/revocations/:id/progress", h.signedIn(h.revocationsProgress))
	g.POST("/revocations/:id/stop", h.signedIn(h.stopRevocations))
	g.POST("/revocations/:id/resume", h.signedIn(h.resumeRevocations))
}

// POST /admin/revocations/preview
//
// The form around a list has connection_id for each that is ticked, or
// all=matching and the list's parameters. Nothing is done here: the question
// has an address of its own, for the way back to it.
func (h *Handler) chooseRevocations(c echo.Context, _ visit) error {
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	q := url.Values{}
	if form.Get(allParam) != "" {
		for name, values := range form {
			if name == "connection_id" || name == tokenField || name == allParam || len(values) == 0 {
				continue
			}
			setSome(q, name, values[0])
		}
		if len(q) == 0 {
			q.Set(allParam, "yes")
		}
	} else {
		setSome(q, idsParam, strings.Join(form["connection_id"], "."))
	}
	return c.Redirect(http.StatusSeeOther, withQuery(revocationsPath+"/new", q))
}

// bulkTarget reads a target, and answers the query that it stands in.
func bulkTarget(c echo.Context) (vault.BulkTarget, url.Values, error) {
	q := httpd.Query(c)
	t := vault.BulkTarget{All: httpd.OneOf(q, allParam, "", "yes") != ""}
	ids := q.String(idsParam, maxTarget)
	t.Filter = connectionFilter(q)
	query := connectionQuery(t.Filter)
	if ids != "" {
		t.All, t.Filter = false, vault.ConnectionFilter{} // ids alone count, good or not
		t.IDs = slices.DeleteFunc(strings.Split(ids, "."), func(id string) bool { return !idPattern.MatchString(id) })
		query = url.Values{idsParam: {strings.Join(t.IDs, ".")}}
	} else if t.All {
		query.Set(allParam, "yes")
	}
	return t, query, q.Err()
}

// revokeAllPage asks once more, and says what will happen. admin/revoke-all.html
type revokeAllPage struct {
	frame
	Notices []web.Notice
	// Total is how many it would be, as it is typed; "" where nothing was chosen.
	Total string
	Count int64
	More  bool
	// What is how they were chosen, and Back the list.
	What, Back string
	Groups     []revokeGroup
	// Action begins it.
	Action  string
	Confirm web.Field
	Expect  int64
}

// revokeGroup is a part of them that the provider is told of in one way.
type revokeGroup struct {
	vault.BulkGroup
	providers.Disconnection
}

// GET /admin/revocations/new
func (h *Handler) confirmRevocations(c echo.Context, v visit) error {
	return h.askRevocations(c, &v, http.StatusOK, nil)
}

// askRevocations renders the question; typed is the form of somebody who typed
// another number.
func (h *Handler) askRevocations(c echo.Context, v *visit, status int, typed url.Values) error {
	target, query, err := bulkTarget(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	page := revokeAllPage{frame: v.frame(c, connectionsPath), Back: connectionsPath}
	p, err := h.vault.PreviewBulkRevocation(ctx, v.caller, target)
	if fault.Is(err, fault.Invalid) { // nothing was chosen
		return httpd.Render(c, http.StatusUnprocessableEntity, "admin/revoke-all", page)
	}
	if err != nil {
		return err
	}
	page.Count, page.More, page.Expect = p.Total, p.More, p.Total
	page.Total = strconv.FormatInt(p.Total, 10)
	page.Action = withQuery(revocationsPath, query)
	switch {
	case len(target.IDs) > 0:
		page.What = "They were ticked in the list."
	case target.All && len(query) == 1:
		page.What = "That is every connection of the environment " + page.Environment + " that is not revoked."
	default:
		page.What = matchWords(target.Filter) + ". What is linked later is not among them."
		page.Back = withQuery(connectionsPath, query)
	}
	for _, g := range p.Groups {
		group := revokeGroup{BulkGroup: g}
		if group.Disconnection, err = h.disconnection(ctx, &vault.Connection{EnvironmentID: v.caller.EnvironmentID, Integration: g.Integration, Method: g.Method, Provider: g.Integration}); err != nil {
			return err
		}
		page.Groups = append(page.Groups, group)
	}
	page.Confirm = typedName("number of connections", page.Total)
	page.Confirm.InputMode = "numeric"
	if typed != nil {
		confirmed(typed, page.Total, &page.Confirm)
	}
	return httpd.Render(c, status, "admin/revoke-all", page)
}

// POST /admin/revocations
func (h *Handler) startRevocations(c echo.Context, v visit) error {
	target, _, err := bulkTarget(c)
	if err != nil {
		return err
	}
	form, err := httpd.Form(c)
	if err != nil {
		return err
	}
	// The number is the one that was on the page: another one now is for the vault
	// to refuse.
	shown := form.Get("expect")
	expect, err := strconv.ParseInt(shown, 10, 64)
	if err != nil || !confirmed(form, shown, &web.Field{}) {
		return h.askRevocations(c, &v, http.StatusUnprocessableEntity, form)
	}
	n := vault.NewBulkRevocation{BulkTarget: target, Expect: &expect}
	if form.Get("more") != "" { // more than are counted
		n.Expect = nil
	}
	b, err := h.vault.StartBulkRevocation(c.Request().Context(), v.caller, n)
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, revocationPath(b.ID))
}

func revocationPath(id string) string { return revocationsPath + "/" + id }
