package admin

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// connectionsPage lists connections. admin/connections.html
type connectionsPage struct {
	frame
	Search      web.Field
	EndUser     web.Field
	Integration web.Select
	Status      web.Select
	LastRead    web.Select
	Expires     web.Select
	// More says that the list is narrowed by what is folded away.
	More bool
	// Tags are the tags that the list is narrowed to.
	Tags []tagFilter
	// Filtered says that the list is narrowed at all, and Query by what.
	Filtered bool
	Query    []parameter
	// Tickable offers to revoke what is ticked.
	Tickable bool
	Rows     []connectionRow
	Pager    pager
}

// tagFilter is a tag that a list is narrowed to.
type tagFilter struct {
	Name, Value string
	// Without is the list without this tag.
	Without string
}

// connectionRow is a connection in a list.
type connectionRow struct{ vault.Connection }

// Live says that it can be revoked.
func (r connectionRow) Live() bool { return r.Status != vault.StatusRevoked }

// Href is the connection's own page.
func (r connectionRow) Href() string { return connectionPath(r.ID) }

// Badge is the status for the partial of that name.
func (r connectionRow) Badge() string { return string(r.Status) }

// Who is the end user in a few words.
func (r connectionRow) Who() string { return who(r.EndUser) }

// OtherID is the end user's id where Who is something else.
func (r connectionRow) OtherID() string {
	if r.Who() == r.EndUser.ID {
		return ""
	}
	return r.EndUser.ID
}

// Failing says that the last refresh failed of what still works.
func (r connectionRow) Failing() bool { return r.Status == vault.StatusActive && r.Failures > 0 }

// Linked is the account in a few words.
func (r connectionRow) Linked() string { return cmp.Or(r.Account.Label, r.Account.ID) }

func who(u vault.EndUser) string { return cmp.Or(u.Name, u.Email, u.ID) }

func connectionPath(id string) string { return connectionsPath + "/" + id }

// failing is what the status in a query is for active connections whose last
// refresh failed.
const failing = "failing"

// connectionFilter is what a query asks of the list of connections. It asks for
// every parameter but cursor, so that the way back from a list reads the same.
func connectionFilter(q *httpd.Params) vault.ConnectionFilter {
	f := vault.ConnectionFilter{
		Integration: q.String("integration", maxParam),
		EndUserID:   q.String("end_user_id", maxParam),
		Tags:        q.Prefixed("tag.", maxParam),
		Query:       q.String("q", maxParam),
		// A form sends "" for any.
		Status:   httpd.OneOf(q, "status", append(vault.Statuses(), failing, "")...),
		LastRead: httpd.OneOf(q, "last_read", append(vault.LastReads(), "")...),
		Expires:  httpd.OneOf(q, "expires", append(vault.ExpiresSpans(), "")...),
	}
	if f.Failing = f.Status == failing; f.Failing {
		f.Status = ""
	}
	return f
}

// GET /admin/connections
func (h *Handler) listConnections(c echo.Context, v visit) error {
	q := httpd.Query(c)
	f := connectionFilter(q)
	f.Page = pageOf(q)
	if err := q.Err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	found, err := h.vault.Connections(ctx, v.caller, f)
	if err != nil {
		return err
	}
	page := newConnectionsPage(v.frame(c, connectionsPath), f)
	if page.Integration, err = h.integrationSelect(ctx, &v, f.Integration); err != nil {
		return err
	}
	query := connectionQuery(f)
	page.Filtered, page.Query = len(query) > 0, parameters(query)
	page.Tickable = v.caller.May(vault.ScopeConnectionsRevoke)
	found, page.Pager = paged(found, f.CursorOf, f.Page, connectionsPath, query, "connection", "connections")
	page.Pager.inOrder(f.Order(), len(found))
	for _, x := range found {
		page.Rows = append(page.Rows, connectionRow{x})
	}
	return httpd.Render(c, http.StatusOK, "admin/connections", page)
}

func newConnectionsPage(around frame, f vault.ConnectionFilter) connectionsPage {
	page := connectionsPage{
		frame: around,
		Search: web.Field{
			Name: "q", Label: "Search", Type: "search", Value: f.Query, MaxLength: maxParam, Autocomplete: "off",
			Placeholder: "Name, email, id, tag:team=blue",
		},
		EndUser: web.Field{Name: "end_user_id", Label: "End user's id", Value: f.EndUserID, MaxLength: maxParam, Autocomplete: "off"},
		Status: web.Select{
			Name: "status", Label: "Status", Value: statusParam(f),
			Options: []web.Option{
				{Label: "Any status"},
				{Value: string(vault.StatusActive), Label: "Active"},
				{Value: failing, Label: "Active, refresh failing"},
				{Value: string(vault.StatusReconnectRequired), Label: "Reconnect required"},
				{Value: string(vault.StatusPending), Label: "Pending"},
				{Value: string(vault.StatusRevoked), Label: "Revoked"},
			},
		},
		LastRead: web.Select{
			Name: "last_read", Label: "Last read", Value: string(f.LastRead),
			Options: []web.Option{
				{Label: "Any time"},
				{Value: string(vault.LastRead24h), Label: "In the last 24 hours"},
				{Value: string(vault.LastReadOver7), Label: "More than 7 days ago"},
				{Value: string(vault.LastReadOver30), Label: "More than 30 days ago"},
				{Value: string(vault.LastReadOver90), Label: "More than 90 days ago"},
				{Value: string(vault.LastReadNever), Label: "Never"},
			},
		},
		Expires: web.Select{
			Name: "expires", Label: "Runs out", Value: string(f.Expires),
			Options: []web.Option{
				{Label: "Any time"},
				{Value: string(vault.ExpiresPast), Label: "Has run out"},
				{Value: string(vault.Expires1d), Label: "Within a day"},
				{Value: string(vault.Expires7d), Label: "Within 7 days"},
				{Value: string(vault.Expires30d), Label: "Within 30 days"},
				{Value: string(vault.ExpiresNever), Label: "Never, or not known to"},
			},
		},
		More: f.LastRead != "" || f.Expires != "" || f.EndUserID != "",
	}
	for _, name := range slices.Sorted(maps.Keys(f.Tags)) {
		rest := f
		rest.Tags = maps.Clone(f.Tags)
		delete(rest.Tags, name)
		page.Tags = append(page.Tags, tagFilter{name, f.Tags[name], withQuery(connectionsPath, connectionQuery(rest))})
	}
	return page
}

// statusParam is the status in a query.
func statusParam(f vault.ConnectionFilter) string {
	if f.Failing {
		return failing
	}
	return string(f.Status)
}

// connectionQuery is a filter as a URL has it, without the cursor.
func connectionQuery(f vault.ConnectionFilter) url.Values {
	q := url.Values{}
	setSome(q, "integration", f.Integration)
	setSome(q, "end_user_id", f.EndUserID)
	setSome(q, "status", statusParam(f))
	setSome(q, "last_read", string(f.LastRead))
	setSome(q, "expires", string(f.Expires))
	setSome(q, "q", f.Query)
	for name, value := range f.Tags {
		q.Set("tag."+name, value)
	}
	return q
}
