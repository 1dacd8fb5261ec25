package admin

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// overviewPage is how the environment stands. admin/overview.html
type overviewPage struct {
	frame
	At       time.Time
	Tiles    []tile
	Needs    []need
	Rows     []standingRow
	Forecast chart
	// Start is what to do in an environment that has nothing yet; zero where it
	// has something.
	Start need
}

// tile is one large number.
type tile struct {
	Value, Text, Href string
	// Alarm says that something is not as it should be.
	Alarm bool
}

// need is something that wants attention, with the way to it.
type need struct {
	// Key is the same for the same need, of however many.
	Key string
	// Count is how many of what, and Text follows it.
	Count, Text string
	Href        string
	// Go is what the link is called.
	Go string
	// Grave needs go first.
	Grave bool
}

// standingRow is an integration in the table.
type standingRow struct {
	Title, Key string
	Href       string
	Cells      []standingCell
}

// standingCell is a number of an integration, with the list that it counts.
type standingCell struct {
	Value, Label, Href string
	Alarm              bool
}

// GET /admin
func (h *Handler) showOverview(c echo.Context, v visit) error {
	o, err := h.vault.Overview(c.Request().Context(), v.caller)
	if err != nil {
		return err
	}
	page := newOverviewPage(&v, &o)
	page.frame = v.frame(c, homePath)
	httpd.AllowEvents(c)
	return httpd.Render(c, http.StatusOK, "admin/overview", page)
}

// newOverviewPage is the page without what is around it.
func newOverviewPage(v *visit, o *vault.Overview) overviewPage {
	page := overviewPage{At: o.At, Needs: needs(v, o), Forecast: forecast(o)}
	total := o.Total()
	all := func(query string) string { return connectionsPath + "?" + query }
	page.Tiles = []tile{
		{number(int64(total.Active)), "active", all("status=active"), false},
		{number(int64(total.ReconnectRequired)), "need the end user", all("status=reconnect_required"), total.ReconnectRequired > 0},
		{number(int64(total.Failing)), "refresh failing", all("status=failing"), total.Failing > 0},
		{number(int64(total.Soon)), fmt.Sprintf("run out within %d days", vault.SoonDays), all("expires=within_7d"), total.Soon > 0},
		{perMinute(total.ReadsPerMinute), "reads a minute", all("last_read=within_24h"), false},
	}
	for _, s := range o.Standings {
		page.Rows = append(page.Rows, newStandingRow(s))
	}
	switch {
	case len(o.Standings) == 0 && v.maySetUp():
		page.Start = need{Text: "No service is set up here yet. Choose one from the catalog: end users link their accounts there.", Href: catalogPath, Go: "Set up an integration"}
	case len(o.Standings) == 0:
		page.Start = need{Text: "No service is set up here yet. An owner sets up an integration first.", Href: integrationsPath, Go: "See the integrations"}
	case total == (vault.Standing{ReadsPerMinute: total.ReadsPerMinute}):
		page.Start = need{Text: "Nobody has linked an account yet. Let the host application make a connect session with POST /v1/connect-sessions, and send the end user its link.", Href: integrationsPath, Go: "See the integrations"}
	}
	return page
}

func newStandingRow(s vault.Standing) standingRow {
	in := func(query string) string {
		return connectionsPath + "?integration=" + url.QueryEscape(s.Key) + "&" + query
	}
	cell := func(n int, label, query string, alarm bool) standingCell {
		return standingCell{number(int64(n)), label, in(query), alarm && n > 0}
	}
	title := s.Title
	if title == "" {
		title = s.Key
	}
	return standingRow{
		Title: title, Key: s.Key, Href: connectionsPath + "?integration=" + url.QueryEscape(s.Key),
		Cells: []standingCell{
			cell(s.Active, "Active", "status=active", false),
			cell(s.ReconnectRequired, "Need the end user", "status=reconnect_required", true),
			cell(s.Failing, "Refresh failing", "status=failing", true),
			cell(s.Month, fmt.Sprintf("Run out within %d days", vault.ForecastDays), "expires=within_30d", false),
			{perMinute(s.ReadsPerMinute), "Reads a minute", "", false},
		},
	}
}

// needs are what wants attention, the gravest first: of each kind those that
// concern most connections.
func needs(v *visit, o *vault.Overview) []need {
	var found []need
	add := func(grave bool, of func(vault.Standing) int, id, one, many, query string) {
		standings := slices.DeleteFunc(slices.Clone(o.Standings), func(s vault.Standing) bool { return of(s) == 0 })
		slices.SortStableFunc(standings, func(a, b vault.Standing) int { return of(b) - of(a) })
		for _, s := range standings {
			found = append(found, need{
				Key: id + " " + s.Key, Count: grouped(int64(of(s)), one, many), Text: " at " + s.Key,
				Href: connectionsPath + "?integration=" + url.QueryEscape(s.Key) + "&" + query, Go: "Show them", Grave: grave,
			})
		}
	}
	add(true, func(s vault.Standing) int { return s.Failing }, "failing", "connection cannot be refreshed", "connections cannot be refreshed", "status=failing")
	add(true, func(s vault.Standing) int { return s.Ended }, "ended", "active connection has run out", "active connections have run out", "expires=expired")
	add(false, func(s vault.Standing) int { return s.Soon }, "soon",
		fmt.Sprintf("connection runs out within %d days", vault.SoonDays), fmt.Sprintf("connections run out within %d days", vault.SoonDays), "expires=within_7d")
	add(false, func(s vault.Standing) int { return s.ReconnectRequired }, "reconnect",
		"connection waits for its end user to link again", "connections wait for their end users to link again", "status=reconnect_required")
	for _, k := range o.Keys {
		n := need{Key: k.ID, Count: "The API key “" + k.Name + "”", Text: " expires on " + k.ExpiresAt.UTC().Format("2 January"), Href: apiKeysPath, Go: "See the keys"}
		found = append(found, n)
	}
	if o.Untold > 0 {
		count := grouped(int64(o.Untold), "revocation is", "revocations are")
		if o.Untold >= vault.MaxUntold {
			count = "More than " + number(vault.MaxUntold-1) + " revocations are"
		}
		n := need{Key: "untold", Count: count, Text: " not confirmed by the provider; it is told again every few minutes"}
		if v.caller.May(vault.ScopeAuditRead) {
			n.Href, n.Go = auditPath+"?action="+string(vault.ActionProviderTold), "See the trail"
		}
		found = append(found, n)
	}
	return found
}

// forecast draws how many connections run out on each of the next days.
func forecast(o *vault.Overview) chart {
	slots := make([]slot, len(o.Ends))
	var total int64
	for i, n := range o.Ends {
		slots[i] = slot{o.At.UTC().AddDate(0, 0, i).Format("2 January"), []int64{int64(n)}}
		total += int64(n)
	}
	c := chart{Name: "forecast", Title: "Run out in the next 30 days", Columns: []string{"24 hours from", "Connections"}, Rows: rows(slots, false)}
	drawn, top := bars(slots, "chart-bar", "connection", "connections")
	c.Bars, c.Top = drawn, number(top)
	c.From, c.To = "now", slots[len(slots)-1].label
	c.Summary = grouped(total, "connection", "connections") + ": what renews the credential ends, or the credential where nothing renews it"
	return c
}

// perMinute is a number a minute: to one place where it is small.
func perMinute(n float64) string {
	if n > 0 && n < 9.95 {
		return fmt.Sprintf("%.1f", math.Max(n, 0.1))
	}
	return number(int64(math.Round(n)))
}
