// Package login signs people in at one OpenID provider, by the authorization
// code flow with PKCE: it makes the URL that a browser goes to, and of what the
// browser brings back it makes a person.
//
//   - [Provider.Begin] makes the URL and the [Trip], which whoever asked keeps
//     for that browser and uses once.
//   - [Provider.Complete] holds the reply to the trip, exchanges the code, judges
//     the id_token (package oidc) and asks userinfo for what that leaves out.
//   - [Provider.Logout] judges the provider's word that somebody has logged out.
//
// Issuer and client are the operator's. Nothing is asked before somebody signs
// in: a provider that is down keeps nobody from starting. What a person may do
// here, and their session, is for whoever asked.
package login
