package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// timelineLength is how much of the trail a connection's own page shows.
const timelineLength = 30

// connectionPage is one connection, all but the secret. admin/connection.html
type connectionPage struct {
	frame
	connectionRow
	Service  string // the provider's title
	Notices  []web.Notice
	TagLinks []tagLink
	// MetadataText is JSON for people, "" where there is none.
	MetadataText string
	// RevokeHref is "" where there is nothing to revoke, or for somebody who may not.
	RevokeHref string
	Timeline   timeline
}

// tagLink is a tag, and the list of the connections that have it.
type tagLink struct{ Name, Value, Href string }

// timeline is the newest part of what the trail has on one connection.
type timeline struct {
	// Visible is false for somebody who may not read the trail.
	Visible bool
	Entries []auditRow
	// More is the whole of it, "" where this is the whole.
	More string
}

// GET /admin/connections/{id}
func (h *Handler) showConnection(c echo.Context, v visit) error {
	id, err := pathID(c, "connection")
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	httpd.RecordOf(ctx).SetConnection(id)
	conn, err := h.vault.Connection(ctx, v.caller, id)
	if err != nil {
		return err
	}
	page := connectionPage{frame: v.frame(c, connectionsPath), connectionRow: connectionRow{conn}}
	d, err := h.disconnection(ctx, &conn)
	if err != nil {
		return err
	}
	page.Service = d.Provider
	if page.Notices, err = h.connectionNotices(ctx, &v, &conn, d); err != nil {
		return err
	}
	if page.MetadataText, err = metadataText(conn.Metadata); err != nil {
		return err
	}
	for name, value := range conn.Tags {
		page.TagLinks = append(page.TagLinks, tagLink{name, value, withQuery(connectionsPath, url.Values{"tag." + name: {value}})})
	}
	sortTags(page.TagLinks)
	if conn.Status != vault.StatusRevoked && v.caller.May(vault.ScopeConnectionsRevoke) {
		page.RevokeHref = connectionPath(id) + "/revoke"
	}
	if page.Timeline, err = h.timeline(ctx, &v, id); err != nil {
		return err
	}
	return httpd.Render(c, http.StatusOK, "admin/connection", page)
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
		d, err = providers.Disconnection{Provider: conn.Provider, ByHand: "What the catalog said of it is gone."}, nil
	}
	return d, err
}

// connectionNotices says what somebody should know or do about a status.
func (h *Handler) connectionNotices(ctx context.Context, v *visit, conn *vault.Connection, d providers.Disconnection) ([]web.Notice, error) {
	switch conn.Status {
	case vault.StatusReconnectRequired:
		return []web.Notice{{
			Kind: web.Warning, Title: "The end user has to link this account again",
			Text: reasonSentence(conn.StatusReason) + " To mend it, make a connect session with this connection_id and send its link.",
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
		return []web.Notice{receipt(conn, r, d)}, nil
	}
	return nil, nil
}

// timeline reads the newest of what happened to a connection.
func (h *Handler) timeline(ctx context.Context, v *visit, id string) (timeline, error) {
	if !v.caller.May(vault.ScopeAuditRead) {
		return timeline{}, nil
	}
	entries, err := h.vault.Audit(ctx, v.caller, vault.AuditFilter{ConnectionID: id, Page: vault.Page{Limit: timelineLength + 1}})
	if err != nil {
		return timeline{}, err
	}
	t := timeline{Visible: true}
	if len(entries) > timelineLength {
		entries = entries[:timelineLength]
		t.More = withQuery(auditPath, url.Values{"connection_id": {id}})
	}
	t.Entries, err = h.auditRows(ctx, v, entries)
	return t, err
}
