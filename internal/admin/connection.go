package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// connectionPage is one connection, all but the secret. admin/connection.html
type connectionPage struct {
	frame
	connectionRow
	Service  string // the provider's title
	Way      string // the method's
	Notices  []web.Notice
	TagLinks []tagLink
	// MetadataText is JSON for people, "" where there is none.
	MetadataText string
	// RevokeHref is "" where there is nothing to revoke, or for somebody who may not.
	RevokeHref string
	// Actions are what else can be done, each a form that is posted there.
	Actions []action
	// Tags is the form that changes them, made from TagsSeen; CanTag says that there
	// is one.
	Tags     web.Field
	TagsSeen string
	CanTag   bool
	Charts   []chart
	// ChartsSince is set where the charts do not go back all the way.
	ChartsSince time.Time
	Timeline    timeline
}

// action is a button of a connection's page.
type action struct{ Path, Text, Busy string }

// tagLink is a tag, and the list of the connections that have it.
type tagLink struct{ Name, Value, Href string }

// timeline is a page of what the trail has on one connection.
type timeline struct {
	// Visible is false for somebody who may not read the trail.
	Visible bool
	Items   []happening
	// Newest and Older lead through it, "" where there is nothing; Whole is all of
	// it, reads one by one.
	Newest, Older, Whole string
}

// happening is one item of a timeline in words.
type happening struct {
	auditRow
	// Reads says that it is reads, added up.
	Reads bool
	// Daily says that they are those of a day, which Since is.
	Daily bool
	Since time.Time
}

// GET /admin/connections/{id}
func (h *Handler) showConnection(c echo.Context, v visit) error {
	id, err := pathID(c, "connection")
	if err != nil {
		return err
	}
	q := httpd.Query(c)
	before := q.String("before", maxParam)
	if err := q.Err(); err != nil {
		return err
	}
	page, err := h.connectionPage(c, &v, id, before)
	if err != nil {
		return err
	}
	page.Notices = append(h.flashes.take(c), page.Notices...)
	return httpd.Render(c, http.StatusOK, "admin/connection", page)
}

func (h *Handler) connectionPage(c echo.Context, v *visit, id, before string) (page connectionPage, err error) {
	ctx := c.Request().Context()
	httpd.RecordOf(ctx).SetConnection(id)
	conn, err := h.vault.Connection(ctx, v.caller, id)
	if err != nil {
		return page, err
	}
	page = connectionPage{frame: v.frame(c, connectionsPath), connectionRow: connectionRow{conn}}
	d, err := h.disconnection(ctx, &conn)
	if err != nil {
		return page, err
	}
	page.Service, page.Way = d.Provider, d.Way
	if page.Notices, err = h.connectionNotices(ctx, v, &conn, d); err != nil {
		return page, err
	}
	if page.MetadataText, err = metadataText(conn.Metadata); err != nil {
		return page, err
	}
	for name, value := range conn.Tags {
		page.TagLinks = append(page.TagLinks, tagLink{name, value, withQuery(connectionsPath, url.Values{"tag." + name: {value}})})
	}
	sortTags(page.TagLinks)
	if conn.Status != vault.StatusRevoked && v.caller.May(vault.ScopeConnectionsRevoke) {
		page.RevokeHref = connectionPath(id) + "/revoke"
	}
	page.Actions = actionsOn(v, &conn)
	page.CanTag = v.caller.May(vault.ScopeConnectionsWrite)
	page.Tags, page.TagsSeen = tagsField(page.TagLinks), conn.TagsVersion()
	if page.Timeline, err = h.timeline(ctx, v, id, before); err != nil {
		return page, err
	}
	if page.Timeline.Visible && before == "" {
		activity, err := h.vault.Activity(ctx, v.caller, id)
		if err != nil {
			return page, err
		}
		page.Charts = activityCharts(activity, h.now())
		if h.now().Sub(activity.Since) < (vault.ActivityDays-1)*24*time.Hour {
			page.ChartsSince = activity.Since
		}
	}
	return page, nil
}

// tagsField is a line for each tag.
func tagsField(tags []tagLink) web.Field {
	f := web.Field{
		Name: "tags", Label: "Tags, one a line", Type: "textarea", Code: true, Autocomplete: "off",
		Help: "Each is key=value. What is not here is removed.",
	}
	for _, tag := range tags {
		f.Value += tag.Name + "=" + tag.Value + "\n"
	}
	return f
}

// actionsOn are what an admin may have done to a connection as it is.
func actionsOn(v *visit, conn *vault.Connection) []action {
	var all []action
	if conn.Status == vault.StatusActive && v.caller.May(vault.ScopeConnectionsRefresh) {
		if conn.Renewable {
			all = append(all, action{connectionPath(conn.ID) + "/refresh", "Refresh now", "Asking the provider for a new credential…"})
		}
		all = append(all, action{connectionPath(conn.ID) + "/verify", "Verify now", "Asking the provider…"})
	}
	if (conn.Status == vault.StatusActive || conn.Status == vault.StatusReconnectRequired) && v.caller.May(vault.ScopeConnectWrite) {
		all = append(all, action{connectionPath(conn.ID) + "/reconnect", "Make a reconnect link", "Making a link…"})
	}
	return all
}

func metadataText(m map[string]any) (string, error) {
	if len(m) == 0 {
		return "", nil
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return "", fmt.Errorf("showing metadata: %w", err)
	}
	return string(b), nil
}

// disconnection is what revoking a connection means at its provider. It is part
// of the connection, so nobody needs to be allowed to see integrations for it.
func (h *Handler) disconnection(ctx context.Context, conn *vault.Connection) (providers.Disconnection, error) {
	in, err := h.vault.Integration(ctx, vault.System("admin", conn.EnvironmentID), conn.Integration)
	if err != nil {
		return providers.Disconnection{}, err
	}
	d, err := h.providers.Disconnection(in, conn.Method)
	if fault.Is(err, fault.ProviderRejected) || fault.Is(err, fault.Invalid) { // the provider's file, or the method in it, is gone
		d, err = providers.Disconnection{Provider: conn.Provider, Way: conn.Method, ByHand: "What the catalog said of it is gone."}, nil
	}
	return d, err
}

// connectionNotices says what somebody should know or do about a status.
func (h *Handler) connectionNotices(ctx context.Context, v *visit, conn *vault.Connection, d providers.Disconnection) ([]web.Notice, error) {
	switch conn.Status {
	case vault.StatusReconnectRequired:
		return []web.Notice{{
			Kind: web.Warning, Title: "The end user has to link this account again",
			Text: reasonSentence(conn.StatusReason) + " To mend it, make a reconnect link and send it to them, or let the host application make a connect session with this connection_id.",
		}}, nil
	case vault.StatusPending:
		return []web.Notice{{
			Kind: web.Info, Title: "Linked, and not yet redeemed",
			Text: "The host application has to redeem the result for the user that it sees signed in. Until then there are no headers; if it does not, this is revoked.",
		}}, nil
	case vault.StatusActive:
		if conn.StatusReason == "" {
			return nil, nil
		}
		return []web.Notice{{Kind: web.Warning, Title: "Something to look at", Text: reasonSentence(conn.StatusReason)}}, nil
	case vault.StatusRevoked:
		r, err := h.vault.Revocation(ctx, v.caller, conn.ID)
		if err != nil {
			return nil, err
		}
		n := receipt(conn, r, d)
		n.Links, err = h.bulkLinks(ctx, v, conn.ID)
		return []web.Notice{n}, err
	}
	return nil, nil
}

// timeline reads a page of what happened to a connection.
func (h *Handler) timeline(ctx context.Context, v *visit, id, before string) (timeline, error) {
	if !v.caller.May(vault.ScopeAuditRead) {
		return timeline{}, nil
	}
	found, err := h.vault.Timeline(ctx, v.caller, id, before)
	if err != nil {
		return timeline{}, err
	}
	entries := make([]vault.AuditEntry, len(found.Items))
	for i, item := range found.Items {
		if item.Entry != nil {
			entries[i] = *item.Entry
			continue
		}
		entries[i] = vault.AuditEntry{
			At: item.Reads.Last, ActorKind: item.Reads.ActorKind, ActorID: item.Reads.ActorID, Action: vault.ActionHeadersRead, Allowed: true, Count: item.Reads.Count,
		}
	}
	rows, err := h.auditRows(ctx, v, entries)
	if err != nil {
		return timeline{}, err
	}
	t := timeline{Visible: true, Whole: withQuery(auditPath, url.Values{"connection_id": {id}})}
	for i, row := range rows {
		item := happening{auditRow: row}
		if reads := found.Items[i].Reads; reads != nil {
			item.Reads, item.Daily, item.Since = true, reads.Daily, reads.Since
		}
		t.Items = append(t.Items, item)
	}
	if before != "" {
		t.Newest = connectionPath(id) + "#trail-title"
	}
	if found.Next != "" {
		t.Older = withQuery(connectionPath(id), url.Values{"before": {found.Next}}) + "#trail-title"
	}
	return t, nil
}

// What is what happened, of reads how often.
func (h happening) What() string {
	if h.Reads {
		return "Headers read " + grouped(h.Count, "time", "times")
	}
	return h.auditRow.What()
}

// Details is what remains to be said.
func (h happening) Details() []string {
	if h.Reads {
		return nil
	}
	return h.auditRow.Details()
}

// exactly is a moment in words, for texts that no script turns to another zone.
func exactly(t time.Time) string { return t.UTC().Format("2 January 2006 at 15:04 UTC") }
