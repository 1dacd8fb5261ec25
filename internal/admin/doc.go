// Package admin is the admin's pages: who is linked to what, revoking it, and
// the trail of who did what.
//
// It owns the browser's side of that: sign-in with an API key, the cookie that
// stands for it, CSRF tokens, and what every page says.
package admin
