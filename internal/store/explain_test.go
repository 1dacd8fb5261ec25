package store_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/store"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// Every lookup and list of the request path finds its rows by an index.
func TestStatementsUseIndexes(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		if db.Kind == "postgres" {
			// An empty table is fastest read whole. With that made expensive the
			// planner does it only where it has no other way.
			db.URL += "&options=" + "-c%20enable_seqscan%3Doff"
		}
		s := db.Open(t)
		w := newWorld(t, s)
		session, row := w.session(), w.connect()
		ctx, env := t.Context(), w.env.ID
		plans := map[string]string{}
		shown, tx := s.Explained(func(query, plan string) { plans[query] = plan })
		page := vault.Page{Cursor: "zzz", Limit: 10}
		// What a list is narrowed by is in the index that it goes along.
		narrowed := map[string][]string{
			"audit":                      {"id"},
			"chain ends":                 {"writer", "seq"},
			"last of a chain":            {"writer"},
			"chain":                      {"writer", "seq"},
			"audit of a connection":      {"connection_id", "id"},
			"connections, by status":     {"environment_id", "status"},
			"connections, by end":        {"integration_id"},
			"connections, failing":       {"environment_id"},
			"recent reads":               {"action", "id"},
			"untold":                     {"environment_id", "created_at"},
			"keys that expire":           {"environment_id"},
			"audit of an actor":          {"actor_id", "id"},
			"audit of an integration":    {"integration_id", "id"},
			"audit of refusals":          {"id"},
			"audit of a span":            {"id"},
			"audit, oldest first":        {"id"},
			"history of a connection":    {"connection_id", "id"},
			"reads of a connection":      {"connection_id", "id"},
			"activity of a connection":   {"connection_id", "id"},
			"audit of an action":         {"action", "id"},
			"connections of integration": {"integration_id", "id"},
			"managed connections":        {"end_user_id", "id"},
			"managed connection":         {"id"},
			"reconnects, counted":        {"parent_id"},
			"reconnects, ended":          {"parent_id"},
			"overdue connections":        {"pending_until"},
			"ended tests":                {"created_at"},
			"events":                     {"environment_id", "position"},
			"bulk revocations":           {"environment_id", "id"},
			"report":                     {"bulk_revocation_id", "connection_id"},
			"report of what failed":      {"bulk_revocation_id", "outcome", "connection_id"},
			"report of who was not told": {"bulk_revocation_id", "told", "connection_id"},
			"bulk of a connection":       {"connection_id"},
			"revocable with a status":    {"status"},
			"revocable of one":           {"integration_id"},
			"revocable of an end user":   {"end_user_id"},
			"untouched":                  {"bulk_revocation_id"},
			"deletion":                   {"deletes_integration_id"},
			"revoked of integration":     {"integration_id"},
			"outbox":                     {"integration_id", "due_at"},
		}
		bulk, many := w.bulk(vault.ConnectionFilter{}), vault.Page{Cursor: "zzz", Limit: 10}
		count := func(f vault.ConnectionFilter) func() error {
			return func() error { _, err := shown.CountRevocable(ctx, env, vault.BulkTarget{Filter: f}, 10); return err }
		}
		for what, run := range map[string]func() error{
			"key and connection":  func() error { _, err := shown.LookupHeaders(ctx, hash("k"), row.ID); return err },
			"admin":               func() error { _, err := shown.Admin(ctx, "a"); return ignore(err, vault.ErrNotFound) },
			"admin by subject":    func() error { _, err := shown.AdminBySubject(ctx, "i", "s"); return ignore(err, vault.ErrNotFound) },
			"admins":              func() error { _, err := shown.Admins(ctx, page); return err },
			"admin, locked":       func() error { _, err := tx.LockAdmin(ctx, "a"); return ignore(err, vault.ErrNotFound) },
			"admin session":       func() error { _, err := shown.AdminStay(ctx, "a"); return ignore(err, vault.ErrNotFound) },
			"admin sessions":      func() error { _, err := shown.AdminSessions(ctx, "a", noon, 10); return err },
			"sessions by sid":     func() error { _, err := tx.ProviderSessions(ctx, "i", "", "sid", noon); return err },
			"sessions of subject": func() error { _, err := tx.ProviderSessions(ctx, "i", "s", "", noon); return err },
			"session in use":      func() error { return shown.TouchAdminSession(ctx, "a", noon) },
			"sign-in link":        func() error { _, err := shown.AdminLinkByToken(ctx, hash("l")); return ignore(err, vault.ErrNotFound) },
			"links dropped":       func() error { return tx.DropAdminLinks(ctx, "a") },
			"environment":         func() error { _, err := shown.Environment(ctx, env); return err },
			"environment by name": func() error { _, err := shown.EnvironmentByName(ctx, w.env.Name); return err },
			"API key by hash":     func() error { _, err := shown.APIKeyByHash(ctx, w.key.Hash); return err },
			"API key":             func() error { _, err := shown.APIKey(ctx, env, w.key.ID); return err },
			"API keys":            func() error { _, err := shown.APIKeys(ctx, env, page); return err },
			"integration":         func() error { _, err := shown.Integration(ctx, env, w.in.ID); return err },
			"integration by key":  func() error { _, err := shown.IntegrationByKey(ctx, env, w.in.Key); return err },
			"integrations":        func() error { _, err := shown.Integrations(ctx, env, nil, page); return err },
			"integrations, some":  func() error { _, err := shown.Integrations(ctx, env, []string{"toggl", "x"}, page); return err },
			"connections, some": func() error {
				_, err := shown.Connections(ctx, env, vault.ConnectionFilter{Within: []string{"toggl", "x"}, Page: page})
				return err
			},
			"events, some":       func() error { _, err := shown.Events(ctx, env, []string{"toggl"}, 3, 10); return err },
			"successor of a key": func() error { _, err := shown.APIKeySuccessor(ctx, env, "key"); return err },
			"key, locked":        func() error { _, err := tx.LockAPIKey(ctx, env, w.key.ID); return err },
			"secrets before":     func() error { _, err := shown.PreviousSecretsUntil(ctx, noon, 10); return err },
			"secret before":      func() error { _, err := tx.DropPreviousSecret(ctx, env, w.in.ID, noon); return err },
			"session":            func() error { _, err := shown.Session(ctx, env, session.ID); return err },
			"session by token":   func() error { _, err := shown.SessionByToken(ctx, session.TokenHash); return err },
			"session, locked":    func() error { _, err := tx.LockSession(ctx, session.ID); return err },
			"session update":     func() error { return tx.UpdateSession(ctx, session) },
			"attempt by state":   func() error { _, err := shown.AttemptByState(ctx, hash("s")); return ignore(err, vault.ErrNotFound) },
			"attempt taken":      func() error { _, err := tx.TakeAttempt(ctx, "att"); return ignore(err, vault.ErrNotFound) },
			"connection":         func() error { _, err := shown.Connection(ctx, env, row.ID); return err },
			"connection, locked": func() error { _, err := tx.LockConnection(ctx, env, row.ID); return err },
			"managed connections": func() error {
				_, err := shown.ManagedConnections(ctx, env, vault.ManagedFilter{EndUserID: "u", Integrations: []string{"a", "b"}, Page: page})
				return err
			},
			"managed connection": func() error {
				_, err := shown.ManagedConnections(ctx, env, vault.ManagedFilter{EndUserID: "u", ID: "c"})
				return err
			},
			"reconnects, counted":        func() error { _, err := tx.CountReconnects(ctx, session.ID); return err },
			"reconnects, ended":          func() error { return tx.EndReconnects(ctx, session.ID, "x") },
			"connections of integration": func() error { _, err := shown.ConnectionsOf(ctx, env, w.in.ID, "con", 10); return err },
			"overdue connections":        func() error { _, err := shown.PendingBefore(ctx, noon, 10); return err },
			"ended tests":                func() error { _, err := shown.EndedTests(ctx, noon, 10); return err },
			"save":                       func() error { _, err := tx.SaveCredential(ctx, row.ID, 9, 0, change("active")); return err },
			"status":                     func() error { _, err := tx.SetStatus(ctx, row.ID, 9, "active", "", noon); return err },
			"revocation":                 func() error { _, err := tx.Revoke(ctx, "con", "", noon); return err },
			"lease":                      func() error { _, _, err := shown.ClaimLease(ctx, row.ID, 9, "me", time.Second); return err },
			"spending":                   func() error { _, err := shown.NoteSpending(ctx, row.ID, 9, []byte("x"), time.Second); return err },
			"release":                    func() error { _, err := tx.ReleaseLease(ctx, row.ID, 9, vault.Release{}); return err },
			"extension":                  func() error { _, err := shown.ExtendLease(ctx, row.ID, 9, time.Second); return err },
			"due":                        func() error { _, err := shown.ClaimDue(ctx, 10, time.Second, []string{"a"}); return err },
			"next look":                  func() error { return shown.SetDue(ctx, row.ID, 9, noon) },
			"patch":                      func() error { return tx.UpdateConnection(ctx, row.ID, vault.ConnectionPatch{Tags: &row.Tags}, noon) },
			"delete":                     func() error { return tx.DeleteConnection(ctx, w.connect().ID) },
			"sealed":                     func() error { _, err := shown.Sealed(ctx, env, "a", 10); return err },
			"expiry":                     func() error { return shown.DeleteExpired(ctx, noon.Add(-time.Hour), noon.Add(-time.Hour)) },
			"bulk revocation":            func() error { _, err := shown.BulkRevocation(ctx, env, bulk.ID); return err },
			"bulk revocations":           func() error { _, err := shown.BulkRevocations(ctx, env, "", many); return err },
			"report":                     func() error { _, err := shown.BulkItems(ctx, bulk.ID, vault.BulkItemFilter{Page: many}); return err },
			"report of what failed": func() error {
				_, err := shown.BulkItems(ctx, bulk.ID, vault.BulkItemFilter{Outcome: vault.BulkFailed, Page: many})
				return err
			},
			"report of who was not told": func() error {
				_, err := shown.BulkItems(ctx, bulk.ID, vault.BulkItemFilter{Told: vault.OutcomeFailed, Page: many})
				return err
			},
			"bulk of a connection": func() error {
				_, err := shown.BulkRevocationOf(ctx, env, "c")
				return ignore(err, vault.ErrNotFound)
			},
			"deletion": func() error {
				_, err := shown.BulkDeletionOf(ctx, env, w.in.ID)
				return ignore(err, vault.ErrNotFound)
			},
			"revoked of integration":   func() error { _, err := tx.DeleteRevokedConnections(ctx, env, w.in.ID, 10); return err },
			"revocable":                count(vault.ConnectionFilter{}),
			"revocable with a status":  count(vault.ConnectionFilter{Status: "active"}),
			"revocable of one":         count(vault.ConnectionFilter{Integration: "toggl"}),
			"revocable of an end user": count(vault.ConnectionFilter{EndUserID: "u"}),
			"revocable by id": func() error {
				_, err := shown.CountRevocable(ctx, env, vault.BulkTarget{IDs: []string{"a", "b"}}, 10)
				return err
			},
			"bulk, locked":  func() error { _, err := tx.LockBulkRevocation(ctx, env, bulk.ID); return err },
			"bulk, at work": func() error { _, err := tx.LockBulkAtWork(ctx); return ignore(err, vault.ErrNotFound) },
			"untouched":     func() error { _, err := tx.UntouchedBulkItems(ctx, bulk.ID, 10); return err },
			"settling": func() error {
				_, err := tx.SettleBulkItem(ctx, bulk.ID, vault.BulkItem{ConnectionID: "c", Outcome: vault.BulkMissing, DoneAt: noon})
				return err
			},
			"noting":     func() error { return tx.NoteBulkTold(ctx, bulk.ID, "c", vault.OutcomeFailed) },
			"outbox":     func() error { _, err := tx.ClaimRevocation(ctx, "int", noon, noon); return err },
			"outboxes":   func() error { _, err := shown.RevocationsDue(ctx, noon); return err },
			"events":     func() error { _, err := shown.Events(ctx, env, nil, 3, 10); return err },
			"new events": func() error { _, err := shown.NumberEvents(ctx, 10); return err },
			"numbering":  func() error { return store.NumberIn(ctx, tx, 10) },
			"audit":      func() error { _, err := shown.Audit(ctx, env, vault.AuditFilter{Page: page}); return err },
			"audit of a connection": func() error {
				_, err := shown.Audit(ctx, env, vault.AuditFilter{ConnectionID: "c", Page: page})
				return err
			},
			"audit of an integration": func() error {
				_, err := shown.Audit(ctx, env, vault.AuditFilter{IntegrationID: "i", Page: page})
				return err
			},
			"audit of refusals": func() error {
				_, err := shown.Audit(ctx, env, vault.AuditFilter{Refused: true, Page: page})
				return err
			},
			"audit of a span": func() error {
				_, err := shown.Audit(ctx, env, vault.AuditFilter{Since: noon, Until: noon.Add(time.Hour), Page: page})
				return err
			},
			"audit, oldest first": func() error {
				_, err := shown.Audit(ctx, env, vault.AuditFilter{OldestFirst: true, Page: page})
				return err
			},
			"trail":                   func() error { return store.TrailIn(ctx, tx) },
			"checkpoint":              func() error { _, err := shown.LastOfKind(ctx, "wri", vault.CheckpointDropped); return err },
			"stated of a chain":       func() error { _, err := shown.StatedAfter(ctx, "wri", 3, 10); return err },
			"stated of entries":       func() error { _, err := shown.CheckpointsBetween(ctx, "aud_1", "aud_2"); return err },
			"acknowledged":            func() error { _, err := shown.Acknowledgements(ctx); return err },
			"chain ends":              func() error { _, err := shown.ChainEnds(ctx, "wri", 10); return err },
			"last of a chain":         func() error { _, err := shown.LastStated(ctx, "wri"); return err },
			"chain":                   func() error { _, err := shown.ChainEntries(ctx, "wri", 3, 10); return err },
			"old entries":             func() error { _, err := shown.AuditBefore(ctx, "aud", 10); return err },
			"old checkpoints":         func() error { _, err := shown.CheckpointsAfter(ctx, 3, 10); return err },
			"pruning":                 func() error { return store.PruneIn(ctx, tx, 3) },
			"dropping":                func() error { return store.DropIn(ctx, tx, "aud") },
			"audit of an actor":       func() error { _, err := shown.Audit(ctx, env, vault.AuditFilter{ActorID: "a", Page: page}); return err },
			"audit of an action":      func() error { _, err := shown.Audit(ctx, env, vault.AuditFilter{Action: "a", Page: page}); return err },
			"connections, by status":  func() error { _, err := shown.CountByStatus(ctx, env); return err },
			"connections, failing":    func() error { _, err := shown.CountFailing(ctx, env); return err },
			"connections, by end":     func() error { _, err := shown.CountEnds(ctx, env, noon, 30); return err },
			"recent reads":            func() error { _, err := shown.RecentReads(ctx, env, "aud_1", 10); return err },
			"untold":                  func() error { _, err := shown.CountUntold(ctx, env, noon, 10); return err },
			"keys that expire":        func() error { _, err := shown.KeysEnding(ctx, env, noon, noon.Add(time.Hour), 10); return err },
			"history of a connection": func() error { _, err := shown.ConnectionHistory(ctx, env, "c", page); return err },
			"reads of a connection": func() error {
				_, err := shown.ConnectionReads(ctx, env, vault.ReadsFilter{ConnectionID: "c", From: "aud_1", Before: "aud_2", HourlySince: noon, Most: 10})
				return err
			},
			"activity of a connection": func() error {
				_, _, err := shown.ConnectionActivity(ctx, env, vault.ActivityFilter{ConnectionID: "c", From: "aud_1", Since: noon, Most: 10})
				return err
			},
			"counted": func() error {
				_, err := shown.CountConnections(ctx, env, vault.ConnectionFilter{Integration: "toggl", Status: "active"}, 100)
				return err
			},
		} {
			clear(plans)
			if err := run(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if len(plans) == 0 {
				t.Errorf("%s: no statement was seen", what)
			}
			for query, plan := range plans {
				for _, column := range narrowed[what] {
					if !searches(plan, column) {
						t.Errorf("%s does not search by %s\n%s\n%s", what, column, query, plan)
					}
				}
				if line := readsWhole(plan); line != "" && !(what == "due" && eachIntegration.MatchString(line)) && !(what == "expiry" && fewLinks.MatchString(line)) {
					t.Errorf("%s reads a whole table: %s\n%s\n%s", what, line, query, plan)
				}
			}
		}
	})
}

// Among many connections of which none is due, none is looked at: each claim
// goes along its own index. Replicas ask every second.
func TestDueIsFoundByItsIndexes(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		s := db.Open(t)
		w := newWorld(t, s)
		row := w.connect()
		raw := db.Raw(t)
		for _, statement := range []string{
			`INSERT INTO connections (id, environment_id, integration_id, method, status, status_reason, generation, end_user_id, end_user_email,
				end_user_name, account_id, account_label, base_url, scopes, tags, metadata, renewable, created_at, updated_at, credential, answer, expires_at, due_at)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
			SELECT id || i, environment_id, integration_id, method, 'active', '', 1, end_user_id, '', '', '', '', '', 'null', 'null', 'null', TRUE,
				1, 1, credential, answer, 4000000000000000 + i * 1000, 3000000000000000 + i * 1000
			FROM connections, n WHERE id = '` + row.ID + `'`,
			`ANALYZE`,
		} {
			if _, err := raw.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		var plans []string
		shown, _ := s.Explained(func(_, plan string) { plans = append(plans, plan) })
		if _, err := shown.ClaimDue(t.Context(), 10, time.Second, nil); err != nil {
			t.Fatal(err)
		}
		if len(plans) != 1 || !searches(plans[0], "integration_id") || !searches(plans[0], "due_at") {
			t.Errorf("plans:\n%s", strings.Join(plans, "\n\n"))
		}
	})
}

// Every list of connections, however it is narrowed, goes along an index in its
// own order and past few rows that do not belong to it: among many rows that are all
// alike, none is sorted with the rest, and no list reads the whole table.
func TestConnectionListsUseIndexes(t *testing.T) {
	each(t, func(t *testing.T, db *storetest.DB) {
		if db.Kind == "postgres" {
			db.URL += "&options=" + "-c%20enable_seqscan%3Doff" // as above
		}
		s := db.Open(t)
		w := newWorld(t, s)
		row := w.connect()
		crowd(t, db, row.ID, 3000)
		crowd(t, db, w.elsewhere().connect().ID, 12000) // no list may go past these
		plans := map[string]string{}
		shown, _ := s.Explained(func(query, plan string) { plans[query] = plan })
		ids, terms := []string{"environment_id", "id"}, []string{"term"}
		ends, reads := []string{"ends_at"}, []string{"read_day"}
		rare := map[string]string{"rare": "yes"}
		for what, c := range map[string]struct {
			f vault.ConnectionFilter
			// by are columns that one of the statements searches by.
			by []string
		}{
			"all":                           {vault.ConnectionFilter{}, ids},
			"integration":                   {vault.ConnectionFilter{Integration: "toggl"}, []string{"integration_id"}},
			"status of all":                 {vault.ConnectionFilter{Status: "active"}, []string{"environment_id"}},
			"rare status":                   {vault.ConnectionFilter{Status: "reconnect_required"}, []string{"status"}},
			"integration and status of all": {vault.ConnectionFilter{Integration: "toggl", Status: "active"}, []string{"integration_id"}},
			"integration and rare status":   {vault.ConnectionFilter{Integration: "toggl", Status: "reconnect_required"}, []string{"integration_id", "status"}},
			"end user":                      {vault.ConnectionFilter{EndUserID: "user-7"}, []string{"end_user_id"}},
			"end user and status":           {vault.ConnectionFilter{EndUserID: "user-7", Status: "active"}, []string{"end_user_id"}},
			"failing":                       {vault.ConnectionFilter{Failing: true}, []string{"environment_id"}},
			"failing, of one":               {vault.ConnectionFilter{Failing: true, Integration: "toggl"}, []string{"environment_id"}},
			"rare tag":                      {vault.ConnectionFilter{Tags: rare}, []string{"value"}},
			"tag of all":                    {vault.ConnectionFilter{Tags: map[string]string{"all": "yes"}}, []string{"connection_id"}},
			"both":                          {vault.ConnectionFilter{Tags: map[string]string{"all": "yes", "rare": "yes"}}, []string{"value", "connection_id"}},
			"rare word":                     {vault.ConnectionFilter{Query: "user-77"}, terms},
			"word of all":                   {vault.ConnectionFilter{Query: "user"}, []string{"connection_id"}},
			"words":                         {vault.ConnectionFilter{Query: "user-77 user"}, terms},
			"word and status":               {vault.ConnectionFilter{Query: "user", Status: "active"}, []string{"connection_id"}},
			"word, integration, status":     {vault.ConnectionFilter{Query: "user-7", Integration: "toggl", Status: "active"}, terms},
			"id":                            {vault.ConnectionFilter{Query: row.ID}, ids},
			"expired":                       {vault.ConnectionFilter{Expires: vault.ExpiresPast}, ends},
			"expires":                       {vault.ConnectionFilter{Expires: vault.Expires30d}, ends},
			"expires, of one":               {vault.ConnectionFilter{Expires: vault.Expires30d, Integration: "toggl"}, ends},
			"expires never":                 {vault.ConnectionFilter{Expires: vault.ExpiresNever}, []string{"environment_id"}},
			"read lately":                   {vault.ConnectionFilter{LastRead: vault.LastRead24h}, reads},
			"read long ago":                 {vault.ConnectionFilter{LastRead: vault.LastReadOver30}, reads},
			"read long ago, active":         {vault.ConnectionFilter{LastRead: vault.LastReadOver30, Status: "active"}, reads},
			"never read":                    {vault.ConnectionFilter{LastRead: vault.LastReadNever}, reads},
			"never read, of one":            {vault.ConnectionFilter{LastRead: vault.LastReadNever, Integration: "toggl"}, []string{"environment_id"}},
			"read and expiry":               {vault.ConnectionFilter{LastRead: vault.LastReadOver30, Expires: vault.Expires30d}, ends},
			"word and expiry":               {vault.ConnectionFilter{Query: "user-77", Expires: vault.Expires30d}, terms},
		} {
			c.f.At = noon
			for _, limit := range []int{1, 50} { // the second page begins with a cursor
				clear(plans)
				c.f.Page.Limit = limit
				list, err := shown.Connections(t.Context(), w.env.ID, c.f)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				wantSearched(t, what, plans, c.by)
				if len(list) > 0 {
					c.f.Page.Cursor = c.f.CursorOf(&list[len(list)-1])
				}
			}
		}
	})
}

// crowd puts n copies of a connection beside it, with words and tags, and lets
// Postgres look at them. SQLite gets no statistics from anybody.
func crowd(t *testing.T, db *storetest.DB, id string, n int) {
	t.Helper()
	raw := db.Raw(t)
	for _, statement := range []string{
		`INSERT INTO connections (id, environment_id, integration_id, method, status, status_reason, generation, end_user_id, end_user_email,
			end_user_name, account_id, account_label, base_url, scopes, tags, metadata, renewable, created_at, updated_at, credential, answer,
			expires_at, refresh_expires_at, last_read_at, failures)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ` + strconv.Itoa(n) + `)
		SELECT id || i, environment_id, integration_id, method, CASE WHEN i % 500 = 1 THEN 'reconnect_required' ELSE 'active' END, '', 1, 'user-' || i,
			'', '', '', '', '', 'null', 'null', 'null', TRUE, 1, 1, credential, answer, created_at + 3600000000,
			created_at + (i % 60 - 5) * 86400000000, CASE WHEN i % 5 > 0 THEN created_at - (i % 120) * 86400000000 END, CASE WHEN i % 100 = 1 THEN 1 ELSE 0 END
		FROM connections, n WHERE id = '` + id + `'`,
		`INSERT INTO connection_terms (environment_id, connection_id, term) SELECT environment_id, id, end_user_id FROM connections WHERE id LIKE '` + id + `_%'`,
		`INSERT INTO connection_tags (environment_id, connection_id, key, value) SELECT environment_id, id, 'all', 'yes' FROM connections WHERE id LIKE '` + id + `%'`,
		`INSERT INTO connection_tags (environment_id, connection_id, key, value) SELECT environment_id, id, 'rare', 'yes' FROM connections WHERE id LIKE '` + id + `_'`,
		`ANALYZE`,
	} {
		if db.Kind == "sqlite" && statement == "ANALYZE" {
			continue
		}
		if _, err := raw.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%v\n%s", err, statement)
		}
	}
}

// sortsWhole is a sort of all that was found, and not of what is equal in an
// order that is there already.
var sortsWhole = regexp.MustCompile(`(?m)^ *(-> +)?Sort  |USE TEMP B-TREE FOR ORDER BY`)

var (
	pgScan     = regexp.MustCompile(`(Index Scan|Index Only Scan|Bitmap Index Scan)`)
	sqliteScan = regexp.MustCompile(`^SCAN (environments|admins|admin_sessions|admin_links|api_keys|integrations|connections|connection_tags|connection_terms|connect_sessions|attempts|guesses|revocations|bulk_revocations|bulk_revocation_items|audit_entries|audit_checkpoints|events|event_counter)`)
)

// searches reports whether a plan finds rows by an index on the column.
func searches(plan, column string) bool {
	by := regexp.MustCompile(`(SEARCH .*|Index Cond: .*)[( ]"?` + column + `"?( |=|<|>)`)
	return by.MatchString(plan)
}

// fewLinks are the sign-in links of an installation's admins.
var fewLinks = regexp.MustCompile(`admin_links_pkey`)

// eachIntegration is a walk over the integrations, of which there are few.
var eachIntegration = regexp.MustCompile(`integrations_\w+|on integrations i|^SCAN i\b`)

// undone are indexes that have nothing but what is still to be done, and are read
// from their start.
var undone = regexp.MustCompile(`events_unnumbered|bulk_revocations_at_work`)

// readsWhole answers the line of a plan that goes through all rows of a table,
// by an index or not.
func readsWhole(plan string) string {
	lines := strings.Split(plan, "\n")
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		switch {
		case undone.MatchString(line):
		case strings.Contains(line, "Seq Scan"), sqliteScan.MatchString(trimmed):
			return trimmed
		case pgScan.MatchString(line) && (i+1 == len(lines) || !strings.Contains(lines[i+1], "Index Cond")):
			return trimmed
		case strings.Contains(line, "rror"): // the plan could not be had
			return trimmed
		}
	}
	return ""
}

// wantSearched: no plan reads a whole table or sorts what it has found, unless
// that is a list of few, and together they search by the columns.
func wantSearched(t *testing.T, what string, plans map[string]string, by []string) {
	t.Helper()
	all := ""
	for query, plan := range plans {
		if line := readsWhole(plan); line != "" {
			t.Errorf("%s reads a whole table: %s\n%s\n%s", what, line, query, plan)
		}
		if sortsWhole.MatchString(plan) && !strings.Contains(query, "json_each") && !strings.Contains(query, "ANY(") {
			t.Errorf("%s sorts what it has found\n%s\n%s", what, query, plan)
		}
		all += query + "\n" + plan + "\n"
	}
	for _, column := range by {
		if !searches(all, column) {
			t.Errorf("%s does not search by %s\n%s", what, column, all)
		}
	}
}
