// Package tokenendpoint makes the one request to an OAuth token endpoint, and
// the one to a revocation endpoint (RFC 7009).
//
// A refresh token may work once only, so the request is made with care:
// client authentication is said, never guessed; there is exactly one POST, on
// a connection of its own; no redirect, no retry. What comes back is read
// leniently and judged strictly: whatever is wrong with an answer, a refresh
// token in it is found and returned, and no access token leaves that is not
// fit to stand in a header.
//
// The class of an [Error] says whose fault a refusal is, since that decides
// whether a connection is condemned, tried again or left alone.
//
// Reaching the endpoint is package outbound's work. Verifying ID tokens,
// keeping what came back, and when to refresh are for others.
package tokenendpoint
