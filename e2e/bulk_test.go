package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claviger/claviger/internal/sandbox"
)

const (
	bulkMany = 5000
	// bulkLanes is how many calls a process has under way for one integration.
	bulkLanes = 8
)

// revocation is a bulk revocation as the API shows it.
type revocation struct {
	ID       string
	Status   string
	Total    int
	Done     int
	Revoked  int
	Failed   int
	Provider struct{ Revoked, Unsupported, Failed, Waiting int }
}

// crowd imports so many TimeLog connections of the team blue, and answers the
// family of each at the service.
func (w *world) crowd(many int) map[string]string {
	w.t.Helper()
	timeLog := w.sandbox.TimeLog()
	timeLog.Set(func(s *sandbox.TimeLogSettings) { s.OpaqueAccessTokens = true })
	var mu sync.Mutex
	families := map[string]string{}
	var workers errgroup.Group
	for worker := range 8 {
		at := w.at(w.brokers[worker%len(w.brokers)]) // the front would keep it all
		workers.Go(func() error {
			for i := worker; i < many; i += 8 {
				tokens, err := timeLog.Agree(sandbox.DemoClientID, sandbox.AdaEmail, time.Hour)
				if err != nil {
					return err
				}
				a, err := at.try(http.MethodPost, "/v1/connections", map[string]any{
					"integration": "timelog", "method": "oidc", "verify": false, "end_user": map[string]any{"id": fmt.Sprintf("user-%d", i)},
					"tags":       map[string]string{"team": "blue"},
					"credential": map[string]any{"access_token": tokens.Access, "refresh_token": tokens.Refresh, "expires_at": tokens.Expires.UTC().Format(time.RFC3339)},
				}, "application/json")
				if err != nil {
					return err
				}
				var made connection
				if err := json.Unmarshal(a.body, &made); err != nil || a.status != http.StatusCreated {
					return fmt.Errorf("importing a connection: %d %s", a.status, a.body)
				}
				mu.Lock()
				families[made.ID] = tokens.Family
				mu.Unlock()
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		w.t.Fatal(err)
	}
	return families
}

// TestBulkRevocation revokes 5,000 connections in the console and kills every
// process with SIGKILL in the middle. What comes after them goes on: none is left,
// and the service is told of none twice, but of those that it was being told of
// at that moment.
func TestBulkRevocation(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		hybridWorld(w)
		timeLog := w.sandbox.TimeLog()
		families := w.crowd(bulkMany)
		v := newVisitor(t)
		v.deliver(w, v.toTimeLog(w.link("bystander", []string{"timelog"}, nil))).want(http.StatusOK, "TimeLog is linked")
		bystander := w.linked("bystander")

		p := visit(t, look{})
		w.signIn(p, "operator")
		p.open(w.front.url + "/admin/connections?tag.team=blue")
		p.arrive("Connections")
		p.inspect("admin-connections-ticks")
		p.press("Revoke all that match…")
		p.arrive("Revoke 5000 connections?")
		p.reads("timelog", "5000", "TimeLog is told", "This cannot be undone")
		p.inspect("admin-revoke-all")
		p.enter("Type the number of connections, 5000, to confirm", "5000")
		p.press("Revoke them")
		p.arrive("Bulk revocation")
		shown := p.url()
		path := strings.Replace(strings.TrimPrefix(shown, w.front.url), "/admin/", "/v1/", 1)
		p.open("about:blank") // a page that is open would complain of what comes

		w.brokers[0].waitFor(t, "telling the service", func() bool { return len(timeLog.Revocations()) > 0 })
		w.brokers[0].waitFor(t, "getting on with it", func() bool { return len(timeLog.Revocations()) >= bulkMany/10 })
		dead := w.killAll()
		if err := timeLog.WaitIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		told := timeLog.Revocations()
		if len(told) >= bulkMany {
			t.Fatal("it was done before it was killed")
		}
		t.Logf("killed when %d of %d were told", len(told), bulkMany)
		inFlight := w.rows("SELECT id FROM revocations WHERE tries > 0")
		if len(inFlight) > bulkLanes*len(dead) {
			t.Errorf("%d calls were under way, and %d at most may be", len(inFlight), bulkLanes*len(dead))
		}
		if n := w.exec("UPDATE revocations SET due_at = 1 WHERE tries > 0"); int(n) != len(inFlight) { // their five minutes are over
			t.Errorf("%d were put forward, want %d", n, len(inFlight))
		}

		for range dead {
			w.start()
		}
		left := w.at(w.brokers[len(w.brokers)-1])
		r := left.awaitRevocation(path)
		if r.Status != "completed" || r.Total != bulkMany || r.Revoked != bulkMany || r.Provider.Revoked != bulkMany || r.Provider.Waiting != 0 {
			t.Errorf("in the end %+v", r)
		}

		// None is left, here and there.
		var list struct{ Data []connection }
		left.get("/v1/connections?status=active").want(http.StatusOK).into(&list)
		if len(list.Data) != 1 || list.Data[0].ID != bystander.ID {
			t.Errorf("%d connections are active, want that of the bystander", len(list.Data))
		}
		ours := map[string]bool{}
		for _, family := range families {
			ours[family] = true
		}
		for _, f := range timeLog.Families() {
			if f.Revoked != ours[f.ID] {
				t.Errorf("a family is revoked: %v, ours: %v", f.Revoked, ours[f.ID])
			}
		}
		if rows := w.rows("SELECT id FROM revocations"); len(rows) != 0 {
			t.Errorf("%d are still in the outbox", len(rows))
		}

		// None was told twice, but where nobody could know.
		twice, unknown := 0, map[string]bool{}
		for _, id := range inFlight {
			connection, _, _ := strings.Cut(id, ".")
			unknown[families[connection]] = true
		}
		for family, n := range timeLog.Revocations() {
			if n > 1 {
				twice++
			}
			if n > 2 || n > 1 && !unknown[family] {
				t.Errorf("the service was told %d times of a credential, under way at the kill: %v", n, unknown[family])
			}
		}
		t.Logf("%d calls were under way, and %d of them are told twice", len(inFlight), twice)

		// The trail has each once, in the name of the admin, and so has the report.
		trail, report := map[string]int{}, map[string]int{}
		eachPage(left, "/v1/audit?action=connection.revoked", func(e auditEntry) {
			trail[e.ConnectionID]++
			if e.ActorKind != "admin" {
				t.Errorf("revoked by %+v", e)
			}
		})
		type item struct {
			ConnectionID string `json:"connection_id"`
		}
		eachPage(left, path+"/items?outcome=revoked&provider=revoked", func(i item) { report[i.ConnectionID]++ })
		for id := range families {
			if trail[id] != 1 || report[id] != 1 {
				t.Errorf("%s is %d times in the trail and %d times in the report", id, trail[id], report[id])
			}
		}
		if len(trail) != bulkMany || len(report) != bulkMany {
			t.Errorf("%d in the trail, %d in the report", len(trail), len(report))
		}

		p.open(shown)
		p.arrive("Bulk revocation")
		p.reads("Completed", "5000 connections are revoked", "5000 of 5000", "The provider confirmed 5000")
		p.inspect("admin-revocation")
		p.press("Bulk revocations")
		p.arrive("Bulk revocations")
		p.inspect("admin-revocations")
	})
}

// killAll kills every broker at the same time with SIGKILL.
func (w *world) killAll() (dead []*broker) {
	dead = w.brokers
	var killed sync.WaitGroup
	for _, b := range dead {
		killed.Go(b.kill)
		w.front.drop(b)
	}
	killed.Wait()
	return dead
}

// awaitRevocation answers a bulk revocation when it is over. How long that takes
// is the machine's affair; that it goes on is the broker's.
func (b backend) awaitRevocation(path string) revocation {
	b.t.Helper()
	var r revocation
	for moved := time.Now(); r.Status != "completed" && time.Since(moved) < time.Minute; {
		before := r
		b.get(path + "?wait=10").want(http.StatusOK).into(&r)
		if r != before {
			moved = time.Now()
		}
	}
	return r
}

// eachPage goes through a list of the API.
func eachPage[T any](b backend, path string, fn func(T)) {
	b.t.Helper()
	cursor := ""
	for {
		var page struct {
			Data       []T
			NextCursor string `json:"next_cursor"`
		}
		b.get(path + "&limit=200" + cursor).want(http.StatusOK).into(&page)
		for _, x := range page.Data {
			fn(x)
		}
		if page.NextCursor == "" {
			return
		}
		cursor = "&cursor=" + page.NextCursor
	}
}
