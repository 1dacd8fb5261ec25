package e2e

import (
	"net/http"
	"strings"
	"testing"
)

const deletedMany = 3000

// TestDeleteIntegration deletes an integration with 3,000 connections in the
// console, and kills every process with SIGKILL in the middle. What comes after
// them brings it to its end: the integration is gone, and the service told of all
// that was linked.
func TestDeleteIntegration(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		hybridWorld(w)
		families := w.crowd(deletedMany)

		p := visit(t, look{})
		w.signIn(p, "owner")
		p.open(w.front.url + "/admin/integrations/timelog")
		p.arrive("TimeLog")
		p.press("Delete this integration…")
		p.arrive("Delete this integration?")
		p.reads("3,000 connections, not revoked", "in the background", "This cannot be undone")
		p.inspect("admin-integration-delete-many")
		p.enter("Type the integration's key, timelog, to confirm", "timelog")
		p.scripts(false) // a page that follows would complain of what comes
		p.press("Revoke its connections and delete it")
		p.arrive("Bulk revocation")
		shown := p.url()
		path := strings.Replace(strings.TrimPrefix(shown, w.front.url), "/admin/", "/v1/", 1)
		p.open("about:blank")
		p.scripts(true)

		live := "SELECT id FROM connections WHERE status <> 'revoked'"
		w.brokers[0].waitFor(t, "getting on with it", func() bool { return len(w.rows(live)) < deletedMany })
		dead := w.killAll()
		left := w.rows(live)
		if len(left) == 0 {
			t.Fatal("it was done before it was killed")
		}
		t.Logf("killed when %d of %d were left", len(left), deletedMany)
		w.exec("UPDATE revocations SET due_at = 1 WHERE tries > 0") // the five minutes of the calls that were under way are over

		for range dead {
			w.start()
		}
		heir := w.at(w.brokers[len(w.brokers)-1])
		r := heir.awaitRevocation(path)
		if r.Status != "completed" || r.Total != deletedMany || r.Revoked != deletedMany || r.Provider.Revoked != deletedMany {
			t.Errorf("in the end %+v", r)
		}
		heir.get("/v1/integrations/timelog").want(http.StatusNotFound)
		if rows := w.rows("SELECT id FROM connections"); len(rows) != 0 {
			t.Errorf("%d connections are left", len(rows))
		}
		told := map[string]bool{}
		for _, f := range w.sandbox.TimeLog().Families() {
			told[f.ID] = f.Revoked
		}
		for id, family := range families {
			if !told[family] {
				t.Errorf("the service was not told of %s", id)
			}
		}
		deletions := 0
		eachPage(heir, "/v1/audit?action=integration.deleted", func(e auditEntry) {
			deletions++
			if e.ActorKind != "admin" {
				t.Errorf("deleted by %+v", e)
			}
		})
		if deletions != 1 {
			t.Errorf("it is %d times in the trail", deletions)
		}

		p.open(shown)
		p.arrive("Bulk revocation")
		p.reads("The integration timelog is deleted", "Completed", "3000 connections are revoked")
		p.inspect("admin-revocation-deleted")
	})
}
