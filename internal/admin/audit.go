package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// auditPage is the trail. admin/audit.html
type auditPage struct {
	frame
	Connection  web.Field
	Action      web.Select
	Actor       web.Field
	Integration web.Select
	Outcome     web.Select
	Since       web.Field
	Until       web.Field
	// More says that one of the filters that are not seen at first is in use.
	More     bool
	Filtered bool
	// Export is where all that the filters leave is to be had.
	Export string
	Rows   []auditRow
	Pager  pager
}

// auditRow is one line of the trail in words.
type auditRow struct {
	vault.AuditEntry
	names *names
}

// What is what was done or tried.
func (r auditRow) What() string { return actionWords(r.Action) }

// Mark is a word for what was tried and not let through, where What does not
// say so by itself.
func (r auditRow) Mark() string {
	switch r.Action {
	case vault.ActionRefused, vault.ActionRefreshFailed, vault.ActionLinkFailed, vault.ActionSessionFailed,
		vault.ActionConnectionCondemned, vault.ActionBaseURLHeld, vault.ActionProviderTold:
		return ""
	}
	if r.Allowed {
		return ""
	}
	return "refused"
}

// Who is who did it.
func (r auditRow) Who() string { return actorWords(r.ActorKind, r.names.key(r.ActorID)) }

// ByActor is the trail of who did it.
func (r auditRow) ByActor() string { return withQuery(auditPath, url.Values{"actor": {r.ActorID}}) }

// ConnectionHref is the connection that it was about, "" where it was about none.
func (r auditRow) ConnectionHref() string {
	if r.ConnectionID == "" {
		return ""
	}
	return connectionPath(r.ConnectionID)
}

// About is what else it was about, in words.
func (r auditRow) About() string {
	switch {
	case r.aboutKey():
		return "Key " + r.names.key(r.Reason)
	case r.aboutAdmin():
		return "Admin " + r.names.key(r.Reason)
	case r.ConnectionID == "" && r.IntegrationID != "":
		return "Integration " + r.names.integration(r.IntegrationID)
	}
	return ""
}

// aboutKey reports whether the reason is the id of an API key.
func (r auditRow) aboutKey() bool {
	return r.Action == vault.ActionAPIKeyCreated || r.Action == vault.ActionAPIKeyUpdated || r.Action == vault.ActionAPIKeyRevoked
}

// aboutAdmin reports whether the reason is the id of an admin.
func (r auditRow) aboutAdmin() bool { return strings.HasPrefix(r.Reason, "adm_") }

// Details is what remains to be said: how often, why, which generation.
func (r auditRow) Details() []string {
	var d []string
	if r.Count > 1 {
		d = append(d, counted(int(r.Count), "time", "times")+" within a minute")
	}
	if r.Reason != "" && !r.aboutKey() && !r.aboutAdmin() {
		d = append(d, reasonWords(&r.AuditEntry))
	}
	return d
}

// auditFilter is what a query asks of the trail. It asks for every parameter but
// cursor, so that the list and its export read the same.
func auditFilter(q *httpd.Params) vault.AuditFilter {
	f := vault.AuditFilter{
		ConnectionID:  q.String("connection_id", maxParam),
		ActorID:       q.String("actor", maxParam),
		Action:        httpd.OneOf(q, "action", actionValues()...),
		IntegrationID: q.String("integration_id", maxParam),
		Refused:       httpd.OneOf(q, "outcome", "", outcomeRefused) != "",
		Since:         q.Time("since"),
		Until:         q.Time("until"),
	}
	if day := q.String("until", maxParam); len(day) == len(time.DateOnly) {
		f.Until = f.Until.AddDate(0, 0, 1) // all of that day
	}
	return f
}

// outcomeRefused is the value of outcome for what was not allowed, or failed.
const outcomeRefused = "refused"

// auditQuery is the query that asks for f.
func auditQuery(f vault.AuditFilter) url.Values {
	query := url.Values{}
	setSome(query, "connection_id", f.ConnectionID)
	setSome(query, "actor", f.ActorID)
	setSome(query, "action", string(f.Action))
	setSome(query, "integration_id", f.IntegrationID)
	if f.Refused {
		query.Set("outcome", outcomeRefused)
	}
	for name, t := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !t.IsZero() {
			query.Set(name, t.Format(time.RFC3339))
		}
	}
	return query
}

// GET /admin/audit
func (h *Handler) listAudit(c echo.Context, v visit) error {
	q := httpd.Query(c)
	f := auditFilter(q)
	f.Page = pageOf(q)
	if err := q.Err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	found, err := h.vault.Audit(ctx, v.caller, f)
	if err != nil {
		return err
	}
	page := newAuditPage(v.frame(c, auditPath), f)
	if page.Integration, err = h.auditIntegrations(ctx, &v, f.IntegrationID); err != nil {
		return err
	}
	query := auditQuery(f)
	page.Filtered, page.Export = len(query) > 0, withQuery(auditPath+"/export", query)
	found, page.Pager = paged(found, func(e *vault.AuditEntry) string { return e.ID }, f.Page, auditPath, query, "entry", "entries")
	if page.Rows, err = h.auditRows(ctx, &v, found); err != nil {
		return err
	}
	return httpd.Render(c, http.StatusOK, "admin/audit", page)
}

func newAuditPage(around frame, f vault.AuditFilter) auditPage {
	id := func(name, label, value string) web.Field {
		return web.Field{Name: name, Label: label, Value: value, MaxLength: maxParam, Autocomplete: "off", Code: true}
	}
	day := func(name, label string, t time.Time) web.Field {
		field := web.Field{Name: name, Label: label, Type: "date"}
		if !t.IsZero() {
			field.Value = t.Format(time.DateOnly)
		}
		return field
	}
	page := auditPage{
		frame:      around,
		Action:     web.Select{Name: "action", Label: "What", Value: string(f.Action), Options: actionOptions()},
		Actor:      id("actor", "Who, by id", f.ActorID),
		Connection: id("connection_id", "Connection, by id", f.ConnectionID),
		Outcome: web.Select{
			Name: "outcome", Label: "Outcome", Options: []web.Option{{Label: "Any"}, {Value: outcomeRefused, Label: "Refused or failed"}},
		},
		Since: day("since", "From this day on, UTC", f.Since),
		Until: day("until", "Up to this day, UTC", f.Until.Add(-time.Microsecond)),
		More:  f.ActorID != "" || f.IntegrationID != "" || f.Refused || !f.Since.IsZero() || !f.Until.IsZero(),
	}
	if f.Until.IsZero() {
		page.Until.Value = ""
	}
	if f.Refused {
		page.Outcome.Value = outcomeRefused
	}
	return page
}

// auditIntegrations is the choice of an integration, by id: the trail has those
// that are gone as well.
func (h *Handler) auditIntegrations(ctx context.Context, v *visit, chosen string) (web.Select, error) {
	s := web.Select{Name: "integration_id", Label: "Integration", Value: chosen, Options: []web.Option{{Label: "Any integration"}}}
	if v.caller.May(vault.ScopeIntegrationsRead) {
		found, err := h.vault.Integrations(ctx, v.caller, vault.Page{Limit: maxOptions})
		if err != nil {
			return s, err
		}
		for _, in := range found {
			s.Options = append(s.Options, web.Option{Value: in.ID, Label: in.Key})
		}
	}
	if !slices.ContainsFunc(s.Options, func(o web.Option) bool { return o.Value == chosen }) {
		s.Options = append(s.Options, web.Option{Value: chosen, Label: chosen})
	}
	slices.SortFunc(s.Options[1:], func(a, b web.Option) int { return cmp.Compare(a.Label, b.Label) })
	return s, nil
}

// GET /admin/audit/export
func (h *Handler) exportAudit(c echo.Context, v visit) error {
	q := httpd.Query(c)
	f := auditFilter(q)
	if err := q.Err(); err != nil {
		return err
	}
	name := "audit-" + h.now().UTC().Format("2006-01-02-150405") + ".jsonl"
	return httpd.Lines(c, name, func(send func([]vault.EntryLine) error) error {
		return h.vault.ExportAudit(c.Request().Context(), v.caller, f, func(entries []vault.AuditEntry) error {
			// It may take hours: who has signed out meanwhile gets no further part.
			if err := h.still(c, vault.ScopeAuditRead); err != nil {
				return err
			}
			return send(vault.Lines(entries))
		})
	})
}

// names puts names to the ids in a trail, where the admin may know them: keys
// are API keys and admins.
type names struct{ keys, integrations map[string]string }

func (n *names) key(id string) string {
	if name := n.keys[id]; name != "" {
		return "“" + name + "”"
	}
	return id
}

func (n *names) integration(id string) string {
	if name := n.integrations[id]; name != "" {
		return name
	}
	return id
}

// maxNames is how many of the newest keys and integrations are named.
const maxNames = 200

func (h *Handler) auditRows(ctx context.Context, v *visit, entries []vault.AuditEntry) ([]auditRow, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	n := &names{integrations: map[string]string{}}
	var err error
	if n.keys, err = h.vault.AdminNames(ctx, v.caller, adminsIn(entries)); err != nil {
		return nil, err
	}
	if v.caller.May(vault.ScopeAPIKeysWrite) {
		keys, err := h.vault.APIKeys(ctx, v.caller, vault.Page{Limit: maxNames})
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			n.keys[k.ID] = k.Name
		}
	}
	if v.caller.May(vault.ScopeIntegrationsRead) {
		found, err := h.vault.Integrations(ctx, v.caller, vault.Page{Limit: maxNames})
		if err != nil {
			return nil, err
		}
		for _, in := range found {
			n.integrations[in.ID] = in.Key
		}
	}
	rows := make([]auditRow, len(entries))
	for i, e := range entries {
		rows[i] = auditRow{e, n}
	}
	return rows, nil
}

// adminsIn is the ids of admins in entries: who did it, or whom it was about.
func adminsIn(entries []vault.AuditEntry) []string {
	var ids []string
	for _, e := range entries {
		if e.ActorKind == vault.CallerAdmin {
			ids = append(ids, e.ActorID)
		}
		if strings.HasPrefix(e.Reason, "adm_") {
			ids = append(ids, e.Reason)
		}
	}
	return ids
}
