package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// probeTime and renewTime bound what a page waits for.
const (
	probeTime = 20 * time.Second
	renewTime = 75 * time.Second
)

// startTestPage says what a test does, after a look at what can be seen without
// an account. admin/integration-test.html
type startTestPage struct {
	frame
	integrationRow
	Looks []web.Stage
	// Failing says that a look failed: the test will most likely fail as well.
	Failing bool
	Notices []web.Notice
}

func testPath(integrationID, sessionID string) string {
	return integrationPath(integrationID) + "/test/" + sessionID
}

// GET /admin/integrations/{id}/test
func (h *Handler) askForTest(c echo.Context, v visit) error {
	in, err := h.toTest(c, &v)
	if err != nil {
		return err
	}
	row, err := h.integrationRow(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), probeTime)
	defer cancel()
	page := startTestPage{frame: v.frame(c, integrationsPath), integrationRow: row}
	for _, f := range h.providers.Probe(ctx, in) {
		page.Looks = append(page.Looks, lookStage(f))
		page.Failing = page.Failing || !f.OK
	}
	if page.Failing {
		page.Notices = []web.Notice{{
			Kind: web.Warning, Title: "Something is not right yet", Text: "The test will most likely fail. What to mend is below.",
		}}
	}
	return httpd.Render(c, http.StatusOK, "admin/integration-test", page)
}

// toTest is the integration of the path, for somebody who may make connect links.
func (h *Handler) toTest(c echo.Context, v *visit) (vault.Integration, error) {
	if err := h.vault.AllowConnect(c.Request().Context(), v.caller); err != nil {
		return vault.Integration{}, err
	}
	in, err := h.integration(c, v)
	if err != nil {
		return vault.Integration{}, err
	}
	_, err = h.providerOf(in)
	return in, err
}

func lookStage(f providers.Finding) web.Stage {
	s := web.Stage{State: web.StageDone, Text: f.Detail}
	if !f.OK {
		s.State = web.StageFailed
	}
	switch f.Probe {
	case providers.ProbeSettings:
		s.Title = "Settings are complete"
	case providers.ProbeDiscovery:
		s.Title = "Discovery at " + f.Host
	case providers.ProbeKeys:
		s.Title = "Signing keys at " + f.Host
	case providers.ProbeReach:
		s.Title = f.Host + " can be reached"
	case providers.ProbeClock:
		s.Title = "The clock of " + f.Host
	}
	return s
}

// POST /admin/integrations/{id}/test
//
// From here on the admin is an end user: the trip is that of a connect link.
func (h *Handler) beginTest(c echo.Context, v visit) error {
	in, err := h.toTest(c, &v)
	if err != nil {
		return err
	}
	back := h.publicURL.JoinPath(integrationPath(in.ID), "test", "done").String()
	s, token, err := h.vault.BeginTest(c.Request().Context(), v.caller, in.ID, back)
	if err != nil {
		return err
	}
	httpd.RecordOf(c.Request().Context()).SetOutcome("test_" + s.ID)
	return c.Redirect(http.StatusSeeOther, "/connect/"+token.Reveal())
}

// GET /admin/integrations/{id}/test/done
//
// Where the trip ends. The result in the query is of no use: nobody can redeem it.
func (h *Handler) testCameBack(c echo.Context, v visit) error {
	in, err := h.toTest(c, &v)
	if err != nil {
		return err
	}
	q := httpd.Query(c)
	session := q.String("session_id", maxParam)
	q.String("result", maxParam)
	q.String("status", maxParam)
	if err := q.Err(); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, testPath(in.ID, url.PathEscape(session)))
}

// testPage is how far a test has come. admin/integration-report.html
type testPage struct {
	frame
	integrationRow
	Stages []web.Stage
	Notice web.Notice
	// Finish says that there is something to renew once and revoke; Cancel, that
	// there is a link to end.
	Finish, Cancel bool
	// Resume leads back into the trip, "" where it is over.
	Resume string
	// Again leads to another test, "" while this one runs.
	Again string
}

var sessionID = regexp.MustCompile(`^cs_[0-9a-v]{26}$`)

// test is the test that the path names, and its integration.
func (h *Handler) test(c echo.Context, v *visit) (vault.Integration, vault.IntegrationTest, error) {
	none := fault.New(fault.NotFound, "There is no such test.")
	in, err := h.toTest(c, v)
	if err != nil {
		return in, vault.IntegrationTest{}, err
	}
	id := c.Param("session")
	if !sessionID.MatchString(id) {
		return in, vault.IntegrationTest{}, none
	}
	t, err := h.vault.Test(c.Request().Context(), v.caller, id)
	if err != nil {
		return in, t, err
	}
	if len(t.Session.Integrations) != 1 || t.Session.Integrations[0] != in.Key {
		return in, t, none
	}
	return in, t, nil
}

// GET /admin/integrations/{id}/test/{session}
func (h *Handler) showTest(c echo.Context, v visit) error {
	in, t, err := h.test(c, &v)
	if err != nil {
		return err
	}
	row, err := h.integrationRow(in)
	if err != nil {
		return err
	}
	r, err := h.report(in, &row, &t)
	if err != nil {
		return err
	}
	page := testPage{frame: v.frame(c, integrationsPath), integrationRow: row, Stages: r.stages, Notice: r.notice()}
	switch {
	case r.linked && !r.revoked:
		page.Finish = true
	case t.Session.Status == vault.SessionBound:
		page.Resume, page.Cancel = "/connect/s/"+t.Session.ID, true
	case t.Session.Status == vault.SessionOpen:
		page.Cancel = true
	default:
		page.Again = row.Href() + "/test"
	}
	return httpd.Render(c, http.StatusOK, "admin/integration-report", page)
}

// POST /admin/integrations/{id}/test/{session}
func (h *Handler) finishTest(c echo.Context, v visit) error {
	in, t, err := h.test(c, &v)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	err = h.vault.FinishTest(ctx, v.caller, t.Session.ID, h.renewOnce)
	if err != nil && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Revoked) { // a second click, or too late
		return err
	}
	return c.Redirect(http.StatusSeeOther, testPath(in.ID, t.Session.ID))
}

// renewOnce is the [vault.TestRenewal] of these pages.
func (h *Handler) renewOnce(ctx context.Context, in vault.Integration, conn vault.Connection, cred vault.Credential) (vault.Credential, string) {
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	renewal, err := h.providers.Refresh(ctx, in, conn, cred)
	if err != nil {
		return cred, renewalReason(err)
	}
	if renewal.Rescue != nil {
		cred = renewal.Rescue.Credential
	}
	grant, err := renewal.Finish(ctx)
	if err != nil {
		return cred, renewalReason(err)
	}
	return grant.Credential, ""
}

func renewalReason(err error) string {
	if e, ok := errors.AsType[*providers.RefreshError](err); ok {
		return cmp.Or(e.Code, string(e.Class))
	}
	return fault.KindOf(err).Code()
}
