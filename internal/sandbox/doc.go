// Package sandbox is a Toggl Track, a ClickTime and a TimeLog on loopback, for
// the demo command, for tests and for benchmarks.
//
// It owns the manners of the three services: who may come in with what, what
// they answer, what they keep of it, and how they go wrong. It knows nothing
// of the broker and imports nothing of it, so that the broker is tried against
// somebody else's reading of the same facts. It is no place for real people's
// data: passwords and tokens are constants in the documentation, and that is
// why it refuses to listen on anything but loopback.
//
// # Services
//
// [Start] serves all three, each at an address of its own. [NewToggl],
// [NewClickTime] and [NewTimeLog] give the bare [net/http.Handler]; call
// SetURL when it is mounted under an address of somebody else's making.
//
// Toggl Track ([Toggl]), failed authentication is 403 with a line of text:
//
//	GET    /api/v9/me                 Basic token:api_token | Basic e-mail:password | cookie
//	GET    /api/v9/me/time_entries    the same
//	POST   /api/v9/me/reset_token     the same; the old API token is dead
//	POST   /api/sessions              JSON {email, password} → Set-Cookie, an EdDSA JWT
//	DELETE /api/sessions              cookie; the session is dead
//
// ClickTime ([ClickTime]), every request with Content-Type: application/json
// (else 415), failed authentication is 401 with {"errors": […]}, paths in any case:
//
//	GET    /v2/Me                     Token | Basic; the answer carries the token
//	POST   /v2/Me/ResetAuthToken      Basic only; the old token is dead
//	GET    /v2/Jobs, /v2/TimeEntries  Token only
//
// TimeLog ([TimeLog]), an OpenID provider after IdentityServer and an API:
//
//	GET    /.well-known/openid-configuration, …/jwks
//	GET    /connect/authorize         code id_token only; sign-in page; or by POST,
//	                                  as OpenID Connect Core 3.1.2.1 has it
//	POST   /account/login             the sign-in page's two buttons
//	POST   /connect/token             client_secret_basic | client_secret_post;
//	                                  authorization_code | refresh_token (with redirect_uri)
//	POST   /connect/revocation        RFC 7009; a refresh token takes its family along
//	GET    /connect/userinfo          Bearer
//	GET    /api/ResolveUri            Bearer → {"url": tenant root}
//	GET    {tenant root}/api/v1/user  Bearer
//
// Bearer is an access token or a personal access token. An authorize request
// that only a broken client can send gets an error page, as at IdentityServer;
// what the user decides (access_denied) goes back to the client.
//
// # Switches
//
//	Accounts().Put, Remove, ResetToken   who exists, and with which token
//	Set(func(*…Settings))                cookie name and life at Toggl, where the token stands at
//	                                     ClickTime, everything in [TimeLogSettings]
//	Faults().Next, Always, Clear         a [Fault] for the next n calls of an [Endpoint], or all
//	TimeLog.Register                     OAuth clients
//	TimeLog.Agree                        tokens without the flow
//	TimeLog.DenyNext                     an error reply to the next authorize request
//	TimeLog.Tamper, OnToken              one thing wrong in an id_token, a token answer or a reply
//	TimeLog.RotateKeys                   a new signing key
//	TimeLog.RevokeFamilies               the user withdraws the permission
//	TimeLog.ExpireAccessTokens           access tokens die early
//	Toggl.EndSessions                    sessions die early
//
// [Cases] is a table of ready-made tampers with what a careful client makes of
// each, for tests that break one thing at a time.
//
// Faults that leave the work undone: [Status], [Respond], [TooManyRequests],
// [Redirect], [NotJSON], [Drop]. Faults that do the work: [Slow] and [Hang]
// before it, [Late], [Withhold], [Cut], [Trickle], [Oversized] and [Rewrite]
// after it; [Done] turns any of the former into one of the latter. [Named] puts a
// name into the books.
//
// # Books
//
//	Calls, Count, WaitCount, WaitIdle    what was asked, by endpoint, without secrets
//	TimeLog.TokenCalls, RefreshCalls     the token endpoint's share
//	TimeLog.Families, Reuses             refresh tokens issued, spent, reused, in flight at once
//	TimeLog.Refreshes                    each refresh: spent or reused, answered or not, under which fault
//	TimeLog.Revocations                  how often a refresh token was ended by its client
//	TimeLog.AccessToken                  whose an access token is, since when and until when it works
//	Secrets                              every secret that exists or existed, for leak tests
package sandbox
