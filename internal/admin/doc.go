// Package admin is the admin's pages: who is linked to what, how to end it, and
// the trail of who did what.
//
// It owns the browser's side of that: the routes below, the cookie that stands
// for a sign-in, the token in each form, and the words of every page.
//
//	GET  /admin                             the connections
//	GET  /admin/sign-in                     says how to get in (signin.go)
//	GET  /admin/sign-in/provider            leads to the OpenID provider (oidc.go)
//	GET  /admin/callback                    begins a session with its reply
//	POST /admin/backchannel-logout          the provider's word that somebody logged out (oidc_logout.go)
//	GET  /admin/link/{token}                asks whether to sign in; changes nothing
//	POST /admin/link/{token}                begins a session, and uses the link up
//	POST /admin/sign-out                    ends the session, on every replica
//	POST /admin/environment                 looks at another environment
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
//	     /admin/admins                      who gets in: list, invite, role, remove (admins.go)
//	     /admin/sessions                    where one is signed in, and ending it (sessions.go)
//	     /admin/environments                list, create, rename, recording of reads (environments.go)
//
// # A session
//
// A session is a row, read with its admin on each request: an ended one, a
// removed admin and another role count at once, on every replica. The cookie is
// sealed and says which session, with a token whose hash the row has.
//
// Two things stand against forged requests: the check of Sec-Fetch-Site and
// Origin (httpd), and a token in every form, of the session and of the
// environment that it looks at (visit.go, session.go). What needs a fresh
// sign-in asks for it before the form ([Handler.fresh]) and after (explain).
//
// What it leaves to others: who somebody is at the OpenID provider
// (providers/login); who may do what, and writing it down (vault); what a
// provider can be told (providers); headers, rendering, error pages (httpd).
package admin
