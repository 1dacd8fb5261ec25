// Package admin is the admin's pages: who is linked to what, how to end it, and
// the trail of who did what.
//
// It owns the browser's side of that: the routes below, the cookie that stands
// for a sign-in, the token in each form, and the words of every page.
//
//	GET  /admin                             the connections
//	GET  /admin/sign-in                     asks for an API key (signin.go)
//	POST /admin/sign-in                     begins a session with it
//	POST /admin/sign-out                    ends the session, on every replica
//	GET  /admin/connections                 list, search, filter (connections.go)
//	GET  /admin/connections/{id}            everything but the secret (connection.go)
//	GET  /admin/connections/{id}/revoke     says what will happen; changes nothing (revoke.go)
//	POST /admin/connections/{id}/revoke     does it
//	POST /admin/revocations/preview         from what was ticked to the question (bulk.go)
//	GET  /admin/revocations/new             says what revoking many will do; changes nothing
//	POST /admin/revocations                 begins it
//	GET  /admin/revocations                 bulk revocations, newest first
//	GET  /admin/revocations/{id}            how far one is, and its report (bulk_show.go)
//	GET  /admin/revocations/{id}/progress   the same numbers as an event, for scripts
//	POST /admin/revocations/{id}/stop       leaves the rest; /resume goes on
//	GET  /admin/integrations                list (integrations.go)
//	GET  /admin/integrations/new            the catalog, with search (catalog.go)
//	     /admin/integrations/new/{provider} sets one up (integration_new.go)
//	GET  /admin/integrations/{id}           one, by id or key, with the redirect URI to copy (integration.go)
//	     /admin/integrations/{id}/edit      changes it; /secret replaces the client secret (integration_edit.go)
//	     /admin/integrations/{id}/delete    says what will happen, and does it (integration_delete.go)
//	     /admin/integrations/{id}/test      runs the real flow as the admin (testflow.go, testreport.go)
//	GET  /admin/api-keys                    list, without the keys (apikeys.go)
//	GET  /admin/api-keys/{id}/revoke        says what will happen; changes nothing
//	POST /admin/api-keys/{id}/revoke        does it
//	GET  /admin/audit                       the trail (audit.go)
//
// # A session
//
// What a signed-in admin may do is what their key may do, looked up on each
// request: a revoked key is out at once. The cookie is sealed and says which
// key, since when, and when last seen; the trail says whether the session was
// signed out of. So replicas share nothing but the database.
//
// Two things stand against forged requests: the check of Sec-Fetch-Site and
// Origin (httpd), and the session's token in every form (visit.go).
//
// What it leaves to others: who may do what, and writing it down (vault); what a
// provider can be told (providers); headers, rendering, error pages (httpd).
package admin
