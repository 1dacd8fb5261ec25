package admin

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// auditPage is the trail. admin/audit.html
type auditPage struct {
	frame
	Action     web.Select
	Actor      web.Field
	Connection web.Field
	Filtered   bool
	Rows       []auditRow
	Pager      pager
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

// GET /admin/audit
func (h *Handler) listAudit(c echo.Context, v visit) error {
	q := httpd.Query(c)
	f := vault.AuditFilter{
		ConnectionID: q.String("connection_id", maxParam),
		ActorID:      q.String("actor", maxParam),
		Action:       vault.Action(q.OneOf("action", actionValues()...)),
		Page:         pageOf(q),
	}
	if err := q.Err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	found, err := h.vault.Audit(ctx, v.caller, f)
	if err != nil {
		return err
	}
	page := auditPage{
		frame:  v.frame(c, auditPath),
		Action: web.Select{Name: "action", Label: "What", Value: string(f.Action), Options: actionOptions()},
		Actor: web.Field{
			Name: "actor", Label: "Who, by id", Value: f.ActorID, MaxLength: maxParam, Autocomplete: "off", Code: true,
		},
		Connection: web.Field{
			Name: "connection_id", Label: "Connection, by id", Value: f.ConnectionID, MaxLength: maxParam, Autocomplete: "off", Code: true,
		},
	}
	query := url.Values{}
	setSome(query, "connection_id", f.ConnectionID)
	setSome(query, "actor", f.ActorID)
	setSome(query, "action", string(f.Action))
	page.Filtered = len(query) > 0
	found, page.Pager = paged(found, func(e *vault.AuditEntry) string { return e.ID }, f.Page, auditPath, query, "entry", "entries")
	if page.Rows, err = h.auditRows(ctx, &v, found); err != nil {
		return err
	}
	return httpd.Render(c, http.StatusOK, "admin/audit", page)
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
