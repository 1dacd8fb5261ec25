package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// The steps of a test, in their order.
const (
	stepMade     = iota // the link
	stepOpened          // in a browser
	stepLeft            // for the provider
	stepReply           // of the provider, checked
	stepExchange        // of the code for tokens
	stepVerify          // whose account it is
	stepSeal            // the credential
	stepHeaders         // are rendered
	stepRenew           // once
	stepErase           // here, from where on nothing of it works
	stepRevoke          // at the provider
	stepCount
)

// report makes steps of a test's trail.
type report struct {
	stages  []web.Stage
	service string
	// redirects says that the way leads to the provider, and is no form.
	redirects               bool
	linked, revoked, failed bool
	session                 vault.SessionStatus
}

// report reads how far a test has come.
func (h *Handler) report(in vault.Integration, row *integrationRow, t *vault.IntegrationTest) (*report, error) {
	r := &report{service: row.Service, stages: make([]web.Stage, stepCount), session: t.Session.Status}
	for i := range r.stages {
		r.stages[i].State = web.StageWaiting
	}
	if err := h.chooseWay(r, in, t); err != nil {
		return nil, err
	}
	r.title()
	r.stages[stepMade].State, r.stages[stepMade].At = web.StageDone, t.Session.CreatedAt
	for i := range t.Entries {
		r.read(&t.Entries[i], row)
	}
	if r.linked {
		if err := h.describe(r, in, t); err != nil {
			return nil, err
		}
	}
	r.point(row)
	r.measure()
	if !r.redirects {
		r.stages = slices.DeleteFunc(r.stages, func(s web.Stage) bool { return s.Title == "" })
	}
	return r, nil
}

// chooseWay finds out whether the way leads to the provider or is a form.
func (h *Handler) chooseWay(r *report, in vault.Integration, t *vault.IntegrationTest) error {
	started := slices.ContainsFunc(t.Entries, func(e vault.AuditEntry) bool { return e.Action == vault.ActionLinkStarted })
	methods, err := h.providers.Methods(in)
	if err != nil {
		return err
	}
	if t.Connection != nil {
		methods = slices.DeleteFunc(slices.Clone(methods), func(m *providers.Method) bool { return m.Name != t.Connection.Method })
	}
	some := slices.ContainsFunc(methods, (*providers.Method).Redirects)
	all := some && !slices.ContainsFunc(methods, func(m *providers.Method) bool { return !m.Redirects() })
	r.redirects = started || all
	return nil
}

// title names the steps; those of the other way stay without a name.
func (r *report) title() {
	for step, title := range map[int]string{
		stepMade: "Connect link made", stepOpened: "Link opened in a browser",
		stepVerify: "Account verified", stepSeal: "Credential encrypted and saved", stepHeaders: "Headers rendered",
		stepRenew: "Renewed once", stepErase: "Erased here", stepRevoke: r.service + " told that it is over",
	} {
		r.stages[step].Title = title
	}
	if r.redirects {
		r.stages[stepLeft].Title = "Sent to " + r.service
		r.stages[stepReply].Title = "Reply of " + r.service + " checked"
		r.stages[stepExchange].Title = "Code traded for tokens"
	}
}

// read takes one entry of the trail into the steps.
func (r *report) read(e *vault.AuditEntry, row *integrationRow) {
	done := func(step int) { r.stages[step].State, r.stages[step].At = web.StageDone, e.At }
	switch e.Action {
	case vault.ActionSessionBound:
		if e.Allowed {
			done(stepOpened)
		}
	case vault.ActionLinkStarted:
		r.restart()
		done(stepLeft)
	case vault.ActionLinkFailed:
		r.fail(e, row)
	case vault.ActionConnectionCreated:
		r.restart()
		r.linked = true
		for step := stepReply; step <= stepHeaders; step++ {
			done(step)
		}
	case vault.ActionConnectionRefreshed:
		done(stepRenew)
		r.stages[stepRenew].Text = "A new credential came back."
	case vault.ActionRefreshFailed:
		done(stepRenew)
		r.stages[stepRenew].State, r.failed = web.StageFailed, true
		trouble := testTrouble(e.Reason, r.service)
		r.stages[stepRenew].Text, r.stages[stepRenew].Advice = trouble.text, trouble.advice
	case vault.ActionConnectionRevoked:
		r.revoked = true
		done(stepErase)
		if e.Reason == vault.ReasonNotRedeemed {
			r.stages[stepErase].Text = "The test was not finished within ten minutes, so this was done without you."
		}
	case vault.ActionProviderTold:
		done(stepRevoke)
		s := &r.stages[stepRevoke]
		switch vault.Outcome(e.Reason) {
		case vault.OutcomeRevoked:
			s.Text = "It confirmed."
		case vault.OutcomeUnsupported:
			s.State, s.Text = web.StageSkipped, r.service+" has no way to be told."
		case vault.OutcomeFailed:
			s.State, s.Text = web.StageFailed, "It did not confirm. It is told again every few minutes for about an hour."
			r.failed = true
		}
	}
}

// restart forgets a try that another one has followed.
func (r *report) restart() {
	for step := stepReply; step <= stepVerify; step++ {
		r.stages[step] = web.Stage{State: web.StageWaiting, Title: r.stages[step].Title}
	}
	r.failed = false
}

// fail puts a failed try at the step where it failed; what was before it went
// well.
func (r *report) fail(e *vault.AuditEntry, row *integrationRow) {
	trouble := testTrouble(e.Reason, r.service)
	at := trouble.step
	if !r.redirects {
		at = stepVerify
	}
	for step := stepReply; step < at; step++ {
		r.stages[step].State, r.stages[step].At = web.StageDone, e.At
	}
	s := &r.stages[at]
	s.State, s.At, s.Text, s.Advice = web.StageFailed, e.At, trouble.text, trouble.advice
	if trouble.redirectURI {
		s.Copy = row.Redirect
	}
	r.failed = true
}

// measure says of each step how long it took after the one before, where that
// tells more than the minute.
func (r *report) measure() {
	var before time.Time
	for i := range r.stages {
		s := &r.stages[i]
		if s.At.IsZero() || s.Title == "" {
			continue
		}
		if took := s.At.Sub(before); !before.IsZero() && took >= 0 && took < time.Minute {
			s.Later = "at once"
			if took >= 100*time.Millisecond {
				s.Later = fmt.Sprintf("%.1f s later", took.Seconds())
			}
		}
		before = s.At
	}
}

// describe says what the linked account is.
func (h *Handler) describe(r *report, in vault.Integration, t *vault.IntegrationTest) error {
	conn := t.Connection
	if conn == nil {
		r.stages[stepVerify].Text = "What was known of the account is deleted by now."
		return nil
	}
	about := conn.Account.Label
	if about == "" {
		about = conn.Account.ID
	}
	if about == "" {
		about = r.service + " has no call that says whose it is, so nobody was asked."
	}
	switch {
	case strings.HasSuffix(conn.BaseURL, about): // the account is called by its API root
		about = conn.BaseURL
	case conn.BaseURL != "":
		about += " · " + conn.BaseURL
	}
	r.stages[stepVerify].Text = about
	names, err := h.providers.HeaderNames(in, conn.Method)
	if err != nil {
		return err
	}
	r.stages[stepHeaders].Text = strings.Join(names, ", ")
	if !conn.Renewable && r.stages[stepRenew].State == web.StageWaiting {
		r.stages[stepRenew].State = web.StageSkipped
		r.stages[stepRenew].Text = "There is nothing to renew: this credential has no end, or no refresh token came with it."
	}
	d, err := h.providers.Disconnection(in, conn.Method)
	if err != nil {
		return err
	}
	if r.stages[stepRevoke].State == web.StageSkipped {
		r.stages[stepRevoke].Advice = d.ByHand
	}
	return nil
}

// point marks what is under way.
func (r *report) point(row *integrationRow) {
	over := r.session == vault.SessionFailed || r.session == vault.SessionExpired
	if r.revoked || r.failed || over && !r.linked {
		return
	}
	next := slices.IndexFunc(r.stages, func(s web.Stage) bool { return s.State == web.StageWaiting && s.Title != "" })
	if next < 0 {
		return
	}
	s := &r.stages[next]
	s.State = web.StageNow
	switch {
	case next == stepReply && r.redirects:
		s.Text = "Nothing has come back yet."
		s.Advice = "If " + r.service + " shows an error instead of a sign-in, the client id is wrong, or this redirect URI is not registered there, letter by letter."
		s.Copy = row.Redirect
	case next == stepVerify && !r.linked:
		s.Text = "Nothing was sent yet, or nobody has chosen a way to link."
	}
}

// notice sums a report up.
func (r *report) notice() web.Notice {
	failed := slices.IndexFunc(r.stages, func(s web.Stage) bool { return s.State == web.StageFailed })
	switch {
	case failed >= 0:
		return web.Notice{Kind: web.Problem, Title: "It failed at: " + r.stages[failed].Title, Text: "What is known of the reason is below."}
	case r.revoked && r.stages[0].State == web.StageDone:
		return web.Notice{Kind: web.Success, Title: "It works", Text: "Every step went well, and nothing of the test is left."}
	case r.linked:
		return web.Notice{Kind: web.Info, Title: "Linked; now the rest", Text: "The credential is renewed once, if it can be, and revoked. If you leave, that happens by itself within ten minutes."}
	case r.session == vault.SessionExpired:
		return web.Notice{Kind: web.Warning, Title: "The test ran out of time", Text: "Nothing was linked."}
	case r.session == vault.SessionFailed:
		return web.Notice{Kind: web.Warning, Title: "The test was ended", Text: "Nothing was linked."}
	}
	return web.Notice{Kind: web.Info, Title: "The test is under way", Text: "Load this page again to see how far it has come."}
}
