package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/sandbox"
)

// TestVerdict tries the judge: evidence made by hand, and what there is to be
// found in it.
func TestVerdict(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(seconds float64) time.Time { return begun.Add(time.Duration(seconds * float64(time.Second))) }
	call := func(broker string, token int, arrived, ended float64) sandbox.RefreshCall {
		return sandbox.RefreshCall{
			Family: "f", Token: token, RedirectURI: "http://localhost:" + broker + "/connect/callback/int_1",
			Arrived: at(arrived), Ended: at(ended), Delivered: true, Status: 200,
		}
	}
	spent := func(c sandbox.RefreshCall) sandbox.RefreshCall {
		c.Spent, c.Granted = c.Arrived, true
		return c
	}
	reused := func(c sandbox.RefreshCall) sandbox.RefreshCall {
		c.Reused, c.Status = true, 400
		return c
	}
	lost := func(c sandbox.RefreshCall, fault string) sandbox.RefreshCall {
		c.Fault, c.Delivered = fault, false
		return c
	}
	failing := func(c sandbox.RefreshCall) sandbox.RefreshCall {
		c.Fault, c.Status = status500After, 500
		return c
	}
	kill := func(broker int, from, done float64) deed {
		return deed{what: killBroker, broker: broker, from: at(from), done: at(done), to: at(done + 3)}
	}
	stop := func(broker int, from, to float64) deed {
		return deed{what: stopBroker, broker: broker, from: at(from), to: at(to)}
	}
	calls := func(c ...sandbox.RefreshCall) []sandbox.RefreshCall { return c }
	well := ending{status: "active", well: true, kept: true}
	condemned := ending{status: "reconnect_required", reason: "refresh_outcome_lost"}
	revoked := &sandbox.Family{ID: "f", Revoked: true, RevokedBy: "reuse"}

	for _, tt := range []struct {
		name    string
		calls   []sandbox.RefreshCall
		journal []deed
		ending  ending
		family  *sandbox.Family // alive where nil
		wrong   *wrongRead
		reuses  map[string]int
		finds   []string // what each finding has
	}{
		{name: "nothing happens", calls: calls(spent(call("1", 1, 0, 0.1)), spent(call("2", 2, 24, 24.1))), ending: well},
		{
			name:  "the answer is cut, and the token tried once more",
			calls: calls(lost(spent(call("1", 1, 0, 0.1)), cutHalfWay), reused(call("2", 1, 40, 40.1))), ending: condemned, family: revoked,
			reuses: map[string]int{cutHalfWay: 1},
		},
		{
			name:  "and once more",
			calls: calls(lost(spent(call("1", 1, 0, 0.1)), cutHalfWay), reused(call("2", 1, 40, 40.1)), reused(call("2", 1, 50, 50.1))), ending: condemned, family: revoked,
			reuses: map[string]int{cutHalfWay: 1, avoidable: 1}, finds: []string{"token 1 was spent"},
		},
		{
			name:  "a 500 in place of the refusal tells nobody anything",
			calls: calls(lost(spent(call("1", 1, 0, 0.1)), cutHalfWay), failing(reused(call("2", 1, 40, 40.1))), reused(call("2", 1, 50, 50.1))), ending: condemned, family: revoked,
			reuses: map[string]int{cutHalfWay: 2},
		},
		{
			name:  "a fault that strikes before the work is no excuse",
			calls: calls(lost(call("1", 1, 0, 0.1), cutBefore), spent(call("1", 1, 5, 5.1)), reused(call("1", 1, 9, 9.1))), ending: condemned, family: revoked,
			reuses: map[string]int{avoidable: 1}, finds: []string{"token 1 was spent"},
		},
		{
			name:  "a slow answer that was given up on is no excuse",
			calls: calls(lost(spent(call("1", 1, 0, 20)), slowAfter), reused(call("2", 1, 40, 40.1))), ending: condemned, family: revoked,
			reuses: map[string]int{avoidable: 1}, finds: []string{"token 1 was spent"},
		},
		{
			name:  "killed while it waits",
			calls: calls(spent(call("1", 1, 0, 0.1)), reused(call("2", 1, 40, 40.1))), journal: []deed{kill(1, 0.05, 0.06)}, ending: condemned, family: revoked,
			reuses: map[string]int{"killed": 1},
		},
		{
			name:  "dying when the call arrives",
			calls: calls(spent(call("1", 1, 0, 0.1)), reused(call("2", 1, 40, 40.1))), journal: []deed{kill(1, -0.1, 0.05)}, ending: condemned, family: revoked,
			reuses: map[string]int{"killed": 1},
		},
		{
			name:  "another one is killed",
			calls: calls(spent(call("1", 1, 0, 0.1)), reused(call("2", 1, 40, 40.1))), journal: []deed{kill(2, 0.05, 0.06)}, ending: condemned, family: revoked,
			reuses: map[string]int{avoidable: 1}, finds: []string{"by broker 1 and came again 40.000s later from broker 2"},
		},
		{
			name:  "killed when the answer should have been saved",
			calls: calls(spent(call("1", 1, 0, 0.1)), reused(call("2", 1, 40, 40.1))), journal: []deed{kill(1, 4, 4.1)}, ending: condemned, family: revoked,
			reuses: map[string]int{avoidable: 1}, finds: []string{"token 1 was spent"},
		},
		{
			name:  "PostgreSQL crashes when the answer is there",
			calls: calls(spent(call("1", 1, 0, 0.1)), reused(call("2", 1, 40, 40.1))), journal: []deed{{what: crashPostgres, from: at(0.1), to: at(3)}}, ending: condemned, family: revoked,
			reuses: map[string]int{avoidable: 1}, finds: []string{"token 1 was spent"},
		},
		{
			name:  "stopped, and another one takes over",
			calls: calls(spent(call("1", 1, 0, 0.1)), reused(call("2", 1, 40, 40.1))), journal: []deed{stop(1, -1, 36)}, ending: condemned, family: revoked,
			reuses: map[string]int{"stopped": 1},
		},
		{
			name:  "away from the database for longer than a lease",
			calls: calls(spent(call("1", 1, 0, 0.1)), reused(call("2", 1, 40, 40.1))), journal: []deed{{what: partLong, broker: 1, from: at(0.05), to: at(36)}}, ending: condemned, family: revoked,
			reuses: map[string]int{"parted": 1},
		},
		{
			name:  "stopped while the provider is slow: what came first is served last",
			calls: calls(reused(call("1", 1, 0, 38)), spent(call("2", 1, 33, 33.1))), journal: []deed{stop(1, 1, 37)}, ending: condemned, family: revoked,
			reuses: map[string]int{"stopped": 1},
		},
		{
			name:   "two at once, and luck",
			calls:  calls(call("1", 1, 0, 10), spent(call("2", 1, 5, 5.1))),
			ending: well, finds: []string{"token 1 was sent while it was being refreshed already, by broker 1 and then 2"},
		},
		{
			name: "condemned for nothing", ending: condemned,
			finds: []string{"it is reconnect_required (refresh_outcome_lost), and the provider honours it"},
		},
		{
			name:  "lost, and the user is blamed",
			calls: calls(lost(spent(call("1", 1, 0, 0.1)), cutHalfWay), reused(call("2", 1, 40, 40.1))), family: revoked,
			ending: ending{status: "reconnect_required", reason: "invalid_grant"},
			reuses: map[string]int{cutHalfWay: 1}, finds: []string{`with the reason "invalid_grant"`},
		},
		{name: "not well again", ending: ending{status: "active", last: errors.New("503")}, finds: []string{"did not become well again: 503"}},
		{name: "another token than the provider's", ending: ending{status: "active", well: true}, finds: []string{"is not the one that the provider will take"}},
		{name: "revoked by the broker", ending: well, family: &sandbox.Family{ID: "f", Revoked: true, RevokedBy: "client"}, finds: []string{"was revoked by client"}},
		{name: "served dead", ending: well, wrong: &wrongRead{what: "an access token"}, finds: []string{"served an access token"}},
		{
			name: "served dead with its family, which was revoked by mistake", ending: condemned, family: revoked, wrong: &wrongRead{what: "an access token", family: true},
			calls: calls(spent(call("1", 1, 0, 0.1)), reused(call("2", 1, 40, 40.1))), reuses: map[string]int{avoidable: 1}, finds: []string{"token 1 was spent", "served an access token"},
		},
		{
			name: "served dead with its family, which could not be helped", ending: condemned, family: revoked, wrong: &wrongRead{what: "an access token", family: true},
			calls: calls(lost(spent(call("1", 1, 0, 0.1)), cutHalfWay), reused(call("2", 1, 40, 40.1))), reuses: map[string]int{cutHalfWay: 1},
		},
		{name: "served old", ending: well, wrong: &wrongRead{what: "an access token", stale: true, since: at(0)}, finds: []string{"served an access token"}},
		{
			name: "served old while the database was away", ending: well, wrong: &wrongRead{what: "an access token", stale: true, since: at(0)},
			journal: []deed{{what: partDatabase, broker: 1, from: at(0), to: at(5)}},
		},
		{name: "served dead after a long wait", ending: well, wrong: &wrongRead{what: "an access token", late: true}, finds: []string{"served an access token"}},
		{
			name: "served dead by one who stood still", ending: well, wrong: &wrongRead{what: "an access token", late: true},
			journal: []deed{stop(1, 5, 11)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := &line{id: "con_1", family: "f"}
			tt.ending.line = l
			if tt.family == nil {
				tt.family = &sandbox.Family{ID: "f"}
			}
			tr := &trial{
				endings: []ending{tt.ending}, families: []sandbox.Family{*tt.family}, refreshes: tt.calls,
				journal: tt.journal, brokers: []string{"http://localhost:1", "http://localhost:2"},
			}
			if tt.wrong != nil {
				tt.wrong.line, tt.wrong.broker, tt.wrong.asked, tt.wrong.answered = l, 1, at(10), at(12)
				tr.wrong = []wrongRead{*tt.wrong}
			}
			if tt.reuses == nil {
				tt.reuses = map[string]int{}
			}
			v := tr.verdict()
			if diff := cmp.Diff(tt.reuses, v.reuses); diff != "" {
				t.Errorf("reuses (-want +got):\n%s", diff)
			}
			for i, f := range v.findings {
				if i >= len(tt.finds) || !strings.Contains(f.what, tt.finds[i]) {
					t.Errorf("found: %s", f.what)
				}
			}
			if len(v.findings) < len(tt.finds) {
				t.Errorf("%d findings, want %q", len(v.findings), tt.finds)
			}
		})
	}
}
