package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// revocationsPage lists bulk revocations. admin/revocations.html
type revocationsPage struct {
	frame
	Rows  []revocationRow
	Pager pager
}

// revocationRow is one of them in a list.
type revocationRow struct {
	vault.BulkRevocation

	By string // who asked for it, in words
}

// Href is its own page.
func (r revocationRow) Href() string { return revocationPath(r.ID) }

// State is the status in words.
func (r revocationRow) State() string {
	switch r.Status {
	case vault.BulkGathering:
		return "Looking for connections"
	case vault.BulkRunning:
		switch {
		case r.Unrevoked():
			return "Revoking"
		case r.Undeleted():
			return "Deleting the integration"
		}
		return "Telling providers"
	case vault.BulkStopped:
		return "Stopped"
	case vault.BulkCompleted:
		return "Completed"
	}
	return string(r.Status)
}

// Told is how many of the revoked ones the provider was told of.
func (r revocationRow) Told() int64 { return r.Revoked - r.Untold() }

// Left is how many are untouched.
func (r revocationRow) Left() int64 { return r.Total - r.Done() }

// Phase is what its page is loaded anew for, once it is another one.
func (r revocationRow) Phase() string {
	if r.Status == vault.BulkRunning && !r.Deletion.DeletedAt.IsZero() {
		return "deleted"
	}
	return string(r.Status)
}

// Stopped says that it can be gone on with.
func (r revocationRow) Stopped() bool { return r.Status == vault.BulkStopped }

// GET /admin/revocations
func (h *Handler) listRevocations(c echo.Context, v visit) error {
	q := httpd.Query(c)
	p := pageOf(q)
	if err := q.Err(); err != nil {
		return err
	}
	found, err := h.vault.BulkRevocations(c.Request().Context(), v.caller, p)
	if err != nil {
		return err
	}
	page := revocationsPage{frame: v.frame(c, connectionsPath)}
	found, page.Pager = paged(found, func(b *vault.BulkRevocation) string { return b.ID }, p, revocationsPath, nil, "bulk revocation", "bulk revocations")
	if page.Rows, err = h.revocationRows(c.Request().Context(), &v, found...); err != nil {
		return err
	}
	return httpd.Render(c, http.StatusOK, "admin/revocations", page)
}

// revocationShown is one bulk revocation, and its report. admin/revocation.html
type revocationShown struct {
	frame
	revocationRow
	Notices []web.Notice
	// CanResume says that the admin may go on with it.
	CanResume bool
	// Views are the parts of the report that have something in them.
	Views []reportView
	Items []reportItem
	Pager pager
}

// reportView is a part of a report.
type reportView struct {
	Text    string
	Count   int64
	Href    string
	Current bool
}

// reportItem is one connection in a report.
type reportItem struct{ vault.BulkItem }

// Href is the connection's own page, "" where it is not there.
func (i reportItem) Href() string {
	if i.Integration == "" {
		return ""
	}
	return connectionPath(i.ConnectionID)
}

// Whose is the end user, or the id where nobody knows any more.
func (i reportItem) Whose() string { return cmp.Or(who(i.EndUser), i.ConnectionID) }

// Linked is the account in a few words.
func (i reportItem) Linked() string { return cmp.Or(i.Account.Label, i.Account.ID) }

// Became is the outcome in words.
func (i reportItem) Became() string {
	switch i.Outcome {
	case vault.BulkRevoked:
		return "Revoked"
	case vault.BulkAlreadyRevoked:
		return "Had been revoked before"
	case vault.BulkMissing:
		return "Is not there any more"
	case vault.BulkFailed:
		return "Could not be revoked"
	}
	return "Untouched"
}

// Provider is what the provider made of it, in words.
func (i reportItem) Provider() string {
	switch {
	case i.Outcome != vault.BulkRevoked:
		return ""
	case i.Told == "":
		return "not told yet"
	}
	return outcomeWords(i.Told)
}

// views are the parts of a report, by what the query calls them.
func (r revocationRow) views() []struct {
	name, text string
	count      int64
	filter     vault.BulkItemFilter
} {
	return []struct {
		name, text string
		count      int64
		filter     vault.BulkItemFilter
	}{
		{"failed", "Could not be revoked", r.Failed, vault.BulkItemFilter{Outcome: vault.BulkFailed}},
		{"unconfirmed", "The provider did not confirm", r.ToldFailed, vault.BulkItemFilter{Outcome: vault.BulkRevoked, Told: vault.OutcomeFailed}},
		{"untold", "The provider cannot be told", r.ToldUnsupported, vault.BulkItemFilter{Outcome: vault.BulkRevoked, Told: vault.OutcomeUnsupported}},
		{"confirmed", "The provider confirmed", r.ToldRevoked, vault.BulkItemFilter{Outcome: vault.BulkRevoked, Told: vault.OutcomeRevoked}},
		{"before", "Had been revoked before", r.AlreadyRevoked, vault.BulkItemFilter{Outcome: vault.BulkAlreadyRevoked}},
		{"missing", "Are not there any more", r.Missing, vault.BulkItemFilter{Outcome: vault.BulkMissing}},
		{"all", "All", r.Total, vault.BulkItemFilter{}},
	}
}

// GET /admin/revocations/{id}
func (h *Handler) showRevocations(c echo.Context, v visit) error {
	id, err := pathID(c, "bulk revocation")
	if err != nil {
		return err
	}
	q := httpd.Query(c)
	show, p := httpd.OneOf(q, "show", "", "failed", "unconfirmed", "untold", "confirmed", "before", "missing", "all"), pageOf(q)
	if err := q.Err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	b, err := h.vault.BulkRevocation(ctx, v.caller, id)
	if err != nil {
		return err
	}
	rows, err := h.revocationRows(ctx, &v, b)
	if err != nil {
		return err
	}
	row := rows[0]
	page := revocationShown{frame: v.frame(c, connectionsPath), revocationRow: row, Notices: append(row.deletionNotices(), row.notices()...)}
	page.CanResume = row.Stopped() && (b.Deletion.IntegrationID == "" || v.caller.May(vault.ScopeIntegrationsWrite))
	var f vault.BulkItemFilter
	for _, view := range row.views() {
		if show == "" && view.count > 0 { // the first that has something: what is left to do comes first
			show = view.name
		}
		if view.count == 0 && view.name != show {
			continue
		}
		if view.name == show {
			f = view.filter
		}
		page.Views = append(page.Views, reportView{view.text, view.count, withQuery(row.Href(), url.Values{"show": {view.name}}), view.name == show})
	}
	f.Page = p
	items, err := h.vault.BulkItems(ctx, v.caller, id, f)
	if err != nil {
		return err
	}
	items, page.Pager = paged(items, func(i *vault.BulkItem) string { return i.ConnectionID }, p, row.Href(), url.Values{"show": {show}}, "connection", "connections")
	for _, i := range items {
		page.Items = append(page.Items, reportItem{i})
	}
	if !b.Ended() {
		httpd.AllowEvents(c)
	}
	return httpd.Render(c, http.StatusOK, "admin/revocation", page)
}

// notices say what came of one that has ended, and what is left to do.
func (r revocationRow) notices() []web.Notice {
	var all []web.Notice
	switch r.Status {
	case vault.BulkStopped:
		n := web.Notice{Kind: web.Warning, Title: "Stopped", Text: "No further connection is revoked. Providers are still told of those that were."}
		switch {
		case r.Gathered && r.Left() == 0:
			n.Text = "Nothing was left to revoke. Providers are still told of those that were revoked."
		case r.Gathered:
			n.Text = fmt.Sprintf("%s not revoked and left as they were. Providers are still told of those that were.", counted(int(r.Left()), "connection was", "connections were"))
		}
		all = append(all, n)
	case vault.BulkCompleted:
		all = append(all, web.Notice{
			Kind: web.Success, Title: "Completed",
			Text: fmt.Sprintf("%s revoked: no headers are handed out, and the credentials are erased.", counted(int(r.Revoked), "connection is", "connections are")),
		})
	}
	if r.Failed > 0 {
		all = append(all, web.Notice{
			Kind: web.Problem, Title: counted(int(r.Failed), "connection", "connections") + " could not be revoked",
			Text: "The log says why. Revoke them one by one once that is mended.",
		})
	}
	if r.ToldFailed > 0 {
		all = append(all, web.Notice{
			Kind: web.Warning, Title: counted(int(r.ToldFailed), "provider's answer is", "providers' answers are") + " still wanted",
			Text: "They were told and have not confirmed it; they are told again every few minutes for about an hour. The numbers here follow.",
		})
	}
	if r.ToldUnsupported > 0 {
		n := web.Notice{
			Kind: web.Warning, Title: "Of " + counted(int(r.ToldUnsupported), "connection", "connections") + " the provider cannot be told",
			Text: "There the credential goes on working until its owner changes it.",
		}
		if r.Deletion.DeletedAt.IsZero() { // else these pages are gone
			n.Text += " Each connection's page says how."
		}
		all = append(all, n)
	}
	return all
}

// deletionNotices say what becomes of the integration that goes with its
// connections.
func (r revocationRow) deletionNotices() []web.Notice {
	d := r.Deletion
	open := []web.Link{{Href: integrationPath(d.IntegrationID), Text: "See the integration"}}
	switch {
	case d.IntegrationID == "":
		return nil
	case !d.DeletedAt.IsZero():
		n := web.Notice{Kind: web.Success, Title: "The integration " + d.Key + " is deleted", Text: "Its settings are erased."}
		if !r.Ended() {
			n.Text += " What providers are still to be told, they are told all the same."
		}
		return []web.Notice{n}
	case r.Status != vault.BulkStopped:
		return []web.Notice{{
			Kind: web.Info, Title: "The integration " + d.Key + " is being deleted", Links: open,
			Text: "It goes as soon as none of its connections is left, without waiting for its provider. Nothing can be linked with it any more. To keep it, stop this.",
		}}
	}
	n := web.Notice{
		Kind: web.Warning, Title: "The integration " + d.Key + " was not deleted", Links: open,
		Text: "Accounts can be linked with it as before. To go on is to delete it with all that is linked by then.",
	}
	if r.Failed > 0 && !r.Unrevoked() {
		n.Text = "Not all of its connections could be revoked. Delete it again once that is mended."
	}
	return []web.Notice{n}
}

// GET /admin/revocations/{id}/progress
//
// One event, after which the browser asks again by itself: it looks like a
// stream to it, so that nobody's session is kept alive by a page that is open.
func (h *Handler) revocationsProgress(c echo.Context, v visit) error {
	id, err := pathID(c, "bulk revocation")
	if err != nil {
		return err
	}
	b, err := h.vault.BulkRevocation(c.Request().Context(), v.caller, id)
	if err != nil {
		return err
	}
	row := revocationRow{BulkRevocation: b}
	data, err := json.Marshal(map[string]any{
		"status": row.Phase(), "state": row.State(), "total": row.Total, "done": row.Done(), "told": row.Told(), "revoked": row.Revoked,
		"failed": row.Failed, "unconfirmed": row.ToldFailed,
	})
	if err != nil {
		return fmt.Errorf("encoding the progress of a bulk revocation: %w", err)
	}
	return c.Blob(http.StatusOK, "text/event-stream", fmt.Appendf(nil, "retry: 1000\nevent: progress\ndata: %s\n\n", data))
}

// bulkLinks lead from a connection to the bulk revocation that ended it, if one
// did.
func (h *Handler) bulkLinks(ctx context.Context, v *visit, connectionID string) ([]web.Link, error) {
	id, err := h.vault.BulkRevocationOf(ctx, v.caller, connectionID)
	if err != nil || id == "" {
		return nil, err
	}
	return []web.Link{{Href: revocationPath(id), Text: "The bulk revocation that it was part of"}}, nil
}

// POST /admin/revocations/{id}/stop
func (h *Handler) stopRevocations(c echo.Context, v visit) error {
	id, err := pathID(c, "bulk revocation")
	if err != nil {
		return err
	}
	if _, err := h.vault.StopBulkRevocation(c.Request().Context(), v.caller, id); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, revocationPath(id))
}

// POST /admin/revocations/{id}/resume
func (h *Handler) resumeRevocations(c echo.Context, v visit) error {
	id, err := pathID(c, "bulk revocation")
	if err != nil {
		return err
	}
	if _, err := h.vault.ResumeBulkRevocation(c.Request().Context(), v.caller, id); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, revocationPath(id))
}
