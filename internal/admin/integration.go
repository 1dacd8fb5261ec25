package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// integrationPage is one integration. admin/integration.html
type integrationPage struct {
	frame
	integrationRow
	Notices []web.Notice
	Guide   *web.Guide
	Lists   []web.Link
	// EditHref, SecretHref, DeleteHref and TestHref are "" for who may not.
	EditHref, SecretHref, DeleteHref, TestHref string
	Tests                                      []pastTest
}

// pastTest is a test of the integration that somebody began.
type pastTest struct {
	auditRow
	Href string
}

// What was just done, as the address says it.
const (
	doneCreated = "created"
	doneChanged = "changed"
	doneSecret  = "secret"
	doneDropped = "dropped"
)

func integrationPath(id string) string { return integrationsPath + "/" + id }

var integrationID = regexp.MustCompile(`^int_[0-9a-v]{26}$`)

// integration is the one that the path names, by id or by key.
func (h *Handler) integration(c echo.Context, v *visit) (vault.Integration, error) {
	ctx, name := c.Request().Context(), c.Param("id")
	if integrationID.MatchString(name) {
		return h.vault.IntegrationByID(ctx, v.caller, name)
	}
	return h.vault.Integration(ctx, v.caller, name)
}

// GET /admin/integrations/{id}
func (h *Handler) showIntegration(c echo.Context, v visit) error {
	q := httpd.Query(c)
	done := httpd.OneOf(q, "done", "", doneCreated, doneChanged, doneSecret, doneDropped)
	if err := q.Err(); err != nil {
		return err
	}
	in, err := h.integration(c, &v)
	if err != nil {
		return err
	}
	row, err := h.integrationRow(in)
	if err != nil {
		return err
	}
	page := integrationPage{frame: v.frame(c, integrationsPath), integrationRow: row}
	page.Notices = page.notices(done)
	if p, ok := h.providers.Catalog().Get(in.Provider); ok {
		page.Guide = setupGuide(p)
	}
	if page.Lists, err = h.connectionLists(c.Request().Context(), &v, in); err != nil {
		return err
	}
	if v.maySetUp() {
		page.EditHref, page.DeleteHref = row.Href()+"/edit", row.Href()+"/delete"
		if row.AsksForSecret {
			page.SecretHref = row.Href() + "/secret"
		}
	}
	if v.caller.May(vault.ScopeConnectWrite) && !row.Gone {
		page.TestHref = row.Href() + "/test"
		if page.Tests, err = h.pastTests(c.Request().Context(), &v, in.ID); err != nil {
			return err
		}
	}
	if err := h.noteDeletion(c.Request().Context(), &v, &page); err != nil {
		return err
	}
	return httpd.Render(c, http.StatusOK, "admin/integration", page)
}

// noteDeletion says that the integration is being deleted, if it is. Then it need
// not be asked for again, and nothing can be linked to test it.
func (h *Handler) noteDeletion(ctx context.Context, v *visit, page *integrationPage) error {
	if !v.caller.May(vault.ScopeConnectionsRead) {
		return nil
	}
	id, err := h.vault.DeletionOf(ctx, v.caller, page.ID)
	if err != nil || id == "" {
		return err
	}
	page.DeleteHref, page.TestHref = "", ""
	page.Notices = append(page.Notices, web.Notice{
		Kind: web.Warning, Title: "This integration is being deleted",
		Text:  "Its connections are revoked first. Nothing can be linked with it any more.",
		Links: []web.Link{{Href: revocationPath(id), Text: "How far it is"}},
	})
	return nil
}

// connectionLists leads to an integration's connections by their status, with
// how many there were some seconds ago.
func (h *Handler) connectionLists(ctx context.Context, v *visit, in vault.Integration) ([]web.Link, error) {
	if !v.caller.May(vault.ScopeConnectionsRead) {
		return nil, nil
	}
	o, err := h.vault.Overview(ctx, v.caller)
	if err != nil {
		return nil, err
	}
	var now vault.Standing // none yet, where the integration is newer than the numbers
	if i := slices.IndexFunc(o.Standings, func(s vault.Standing) bool { return s.IntegrationID == in.ID }); i >= 0 {
		now = o.Standings[i]
	}
	var lists []web.Link
	for _, s := range [...]struct {
		status vault.Status
		count  int
		text   string
	}{
		{vault.StatusActive, now.Active, "active"},
		{vault.StatusReconnectRequired, now.ReconnectRequired, "reconnect required"},
		{vault.StatusPending, now.Pending, "pending"},
		{vault.StatusRevoked, now.Revoked, "revoked"},
	} {
		lists = append(lists, web.Link{
			Text: number(int64(s.count)) + " " + s.text,
			Href: withQuery(connectionsPath, url.Values{"integration": {in.Key}, "status": {string(s.status)}}),
		})
	}
	return lists, nil
}

func (p *integrationPage) notices(done string) []web.Notice {
	switch done {
	case doneCreated:
		n := web.Notice{Kind: web.Success, Title: p.Name() + " is set up", Text: "Test it before you send anybody a link."}
		if p.Redirect != nil {
			n.Text = "Register the redirect URI at " + p.Service + ", then test it before you send anybody a link."
		}
		return []web.Notice{n}
	case doneChanged:
		return []web.Notice{{Kind: web.Success, Title: "The changes are saved", Text: "They hold from now on, on every replica."}}
	case doneSecret:
		n := web.Notice{Kind: web.Success, Title: "The client secret is replaced", Text: "The new one is used from now on, on every replica."}
		if !p.PreviousUntil.IsZero() {
			n.Text += " Where the provider refuses it, the old one is tried."
		}
		return []web.Notice{n}
	case doneDropped:
		return []web.Notice{{Kind: web.Success, Title: "The old client secret is erased"}}
	}
	return nil
}

const (
	shownTests  = 5
	searchTests = 50
)

// pastTests lists the newest tests of an integration.
func (h *Handler) pastTests(ctx context.Context, v *visit, id string) ([]pastTest, error) {
	if !v.caller.May(vault.ScopeAuditRead) {
		return nil, nil
	}
	entries, err := h.vault.Audit(ctx, v.caller, vault.AuditFilter{Action: vault.ActionIntegrationTested, Page: vault.Page{Limit: searchTests}})
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e vault.AuditEntry) bool { return e.IntegrationID != id })
	entries = entries[:min(len(entries), shownTests)]
	rows, err := h.auditRows(ctx, v, entries)
	if err != nil {
		return nil, err
	}
	var tests []pastTest
	for _, r := range rows {
		tests = append(tests, pastTest{r, testPath(id, r.SessionID)})
	}
	return tests, nil
}

// integrationRow is an integration for people.
type integrationRow struct {
	vault.Integration
	Service string // the provider's title
	Methods []string
	// Gone says that the provider is not in the catalog any more.
	Gone bool
	// AsksForSecret says that a method has a use for a client secret.
	AsksForSecret bool
	// PreviousUntil is until when the client secret before is tried; zero where
	// there is none.
	PreviousUntil time.Time
	// Redirect is the URI to register at the provider; nil where no method
	// sends a browser there.
	Redirect *web.Copy
	// Connections is the list of its connections.
	Connections string
	// Overridden is what of the provider file it replaces.
	Overridden []override
}

// override is one setting that replaces the provider file's.
type override struct{ Name, Value string }

// Label is what the form calls it.
func (o override) Label() string {
	for _, x := range overrideMeaning {
		if x.name == o.Name {
			return x.label
		}
	}
	return o.Name
}

// Name is its title, or its provider's.
func (r integrationRow) Name() string { return cmp.Or(r.Title, r.Service) }

// Href is its own page.
func (r integrationRow) Href() string { return integrationPath(r.ID) }

func (h *Handler) integrationRow(in vault.Integration) (integrationRow, error) {
	row := integrationRow{
		Integration: in, Service: in.Provider,
		Connections: withQuery(connectionsPath, url.Values{"integration": {in.Key}}),
		Overridden:  overridden(in.Overrides),
	}
	if h.now().Before(in.PreviousClientSecretUntil) {
		row.PreviousUntil = in.PreviousClientSecretUntil
	}
	p, ok := h.providers.Catalog().Get(in.Provider)
	if !ok {
		row.Gone = true
		return row, nil
	}
	row.Service = p.Title
	row.AsksForSecret = slices.ContainsFunc(p.Methods, func(m providers.Method) bool { return needsClient(&m) })
	methods, err := h.providers.Methods(in)
	if err != nil {
		return row, err
	}
	for _, m := range methods {
		row.Methods = append(row.Methods, m.Title)
	}
	if slices.ContainsFunc(methods, (*providers.Method).Redirects) {
		row.Redirect = h.redirectURI(in, "Redirect URI, to register at "+p.Title)
	}
	return row, nil
}

func (h *Handler) redirectURI(in vault.Integration, label string) *web.Copy {
	return &web.Copy{Name: in.ID, Label: label, Value: h.providers.RedirectURI(in.ID)}
}

func overridden(o vault.Overrides) []override {
	var set []override
	for _, x := range [...]override{
		{"base_url", o.BaseURL},
		{"issuer", o.Issuer},
		{"authorization_url", o.AuthorizationURL},
		{"token_url", o.TokenURL},
		{"revocation_url", o.RevocationURL},
		{"jwks_url", o.JWKSURL},
		{"session_url", o.SessionURL},
		{"resolve_url", o.ResolveURL},
		{"response_mode", o.ResponseMode},
	} {
		if x.Value != "" {
			set = append(set, x)
		}
	}
	for _, host := range o.AllowedHosts {
		set = append(set, override{fieldHosts, host})
	}
	return set
}

// providerOf is an integration's provider, where it still is in the catalog.
func (h *Handler) providerOf(in vault.Integration) (*providers.Provider, error) {
	p, ok := h.providers.Catalog().Get(in.Provider)
	if !ok {
		return nil, fault.New(fault.NotFound, "The provider %q is not in the catalog any more, so this integration can only be deleted.", in.Provider)
	}
	return p, nil
}
